"""Logs as one JSON object a line, with the id of the request or run they belong to."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
run_id: ContextVar[int | None] = ContextVar("run_id", default=None)

OWN_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
"""What every record has; anything else was given as `extra` and is written out."""


class JsonFormatter(logging.Formatter):
    """time, level, logger, message, then request and run id, the record's extras and the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """`record` as one line of JSON."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        context = {"request_id": request_id.get(), "run_id": run_id.get()}
        entry |= {name: value for name, value in context.items() if value is not None}
        entry |= {name: value for name, value in vars(record).items() if name not in OWN_ATTRIBUTES}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return text_from_entry(entry)


def text_from_entry(entry: dict[str, Any]) -> str:
    """JSON of `entry`, whatever is in it: a log line must not fail on a lone surrogate or a strange type."""
    sound = {
        name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for name, value in entry.items()
    }
    try:
        return orjson.dumps(sound, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        return orjson.dumps({name: ascii(value) for name, value in sound.items()}).decode()


def set_up_logging(level: str, *, stream: TextIO | None = None) -> None:
    """Send everything of `level` and above to `stream` (standard error) as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("uvicorn.access").disabled = True
    for noisy in ("alembic", "numba", "filelock", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
