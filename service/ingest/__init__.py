"""Taking in uploads: formats, columns, the funnel they are about, and the one transaction that keeps them."""

from service.ingest.options import Format, IngestOptions, IngestReport, pairs_from_text
from service.ingest.pipeline import ingest

__all__ = ["Format", "IngestOptions", "IngestReport", "ingest", "pairs_from_text"]
