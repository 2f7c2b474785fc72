"""Reading from other systems: a query on a database, or a folder of files, from where the last pull ended."""

from service.pull.folder import FolderSource
from service.pull.job import PullReport, PullTerms, pull
from service.pull.query import QuerySource

__all__ = ["FolderSource", "PullReport", "PullTerms", "QuerySource", "pull"]
