"""The nearcast service: HTTP API, store, ingest, retrain job and command line."""

__version__ = "0.1.0"
