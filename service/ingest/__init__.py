"""Taking in uploads: formats, columns, the funnel they are about, and the one transaction that keeps them."""

from service.ingest.guessing import guess_columns
from service.ingest.options import REPAIRS, Format, IngestOptions, IngestReport, pairs_from_text
from service.ingest.pipeline import ingest
from service.ingest.rehearsal import Rehearsal, head_of, rehearse

__all__ = [
    "REPAIRS",
    "Format",
    "IngestOptions",
    "IngestReport",
    "Rehearsal",
    "guess_columns",
    "head_of",
    "ingest",
    "pairs_from_text",
    "rehearse",
]
