"""Uploads that were looked at and wait for a person to confirm them: few, not large together, and not for long."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from models.errors import NearcastError
from service.store.uploads import Kind

if TYPE_CHECKING:
    from service.ingest import Rehearsal

PATIENCE = 30 * 60.0
"""Seconds after which an upload is forgotten that nobody has confirmed."""
MOST_WAITING = 8
"""Uploads that wait at once; a further one makes the oldest forgotten."""
MOST_REFUSED = 50
"""Refused uploads that are remembered."""


class UploadGoneError(NearcastError):
    """An upload that was confirmed, discarded, or forgotten."""

    slug = "not-found"


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is to be read, as `service.ingest.IngestOptions` says it; `said` are texts as in a query string."""

    mapping: dict[str, str] = field(default_factory=dict)
    wide: dict[str, str] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class WaitingUpload:
    """One file, how it is to be read, and what was found in it; `lock` is held by whoever reads or changes it.

    Parameters
    ----------
    columns
        The file's columns with their first texts; empty when it is no table.
    reading
        How it was read last.
    guessed
        Whether that was guessed from the columns, as the file could not be read as it is.
    found, problem
        What it would do, or why it cannot be used (a problem document); both None before it was looked at.
    report, run
        What it did, and the retrain that was started then; None before it was confirmed.
    """

    funnel: str
    kind: Kind
    name: str
    file: BinaryIO
    size: int
    columns: dict[str, list[str]] = field(default_factory=dict)
    reading: Reading = field(default_factory=Reading)
    guessed: bool = False
    found: Rehearsal | None = None
    problem: dict[str, Any] | None = None
    report: dict[str, Any] | None = None
    run: int | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class WaitingUploads:
    """The uploads that wait, by a token that only their page knows; they are in this process only, and go with it.

    Parameters
    ----------
    most_bytes
        Bytes that the files may have together; a further one makes the oldest forgotten until it fits.
    """

    def __init__(self, *, most_bytes: int, patience: float = PATIENCE) -> None:
        self._most_bytes, self._patience = most_bytes, patience
        self._waiting: dict[str, tuple[WaitingUpload, threading.Timer]] = {}
        self._lock = threading.Lock()

    def add(self, upload: WaitingUpload) -> str:
        """Keep an upload for a while; its token."""
        token = secrets.token_urlsafe(18)
        timer = threading.Timer(self._patience, self.drop, [token])
        timer.daemon = True
        with self._lock:
            kept = upload.size + sum(each.size for each, _ in self._waiting.values())
            crowded: list[str] = []
            for oldest, (each, _) in self._waiting.items():
                if len(self._waiting) - len(crowded) < MOST_WAITING and kept <= self._most_bytes:
                    break
                crowded.append(oldest)
                kept -= each.size
            self._waiting[token] = upload, timer
        for oldest in crowded:
            self.drop(oldest)
        timer.start()
        return token

    def find(self, token: str) -> WaitingUpload:
        """The upload of that token; UploadGoneError when it is not kept any more."""
        with self._lock:
            entry = self._waiting.get(token)
        if entry is None:
            raise UploadGoneError(
                "this upload does not wait any more: what was not confirmed is gone; choose the file again"
            )
        return entry[0]

    def drop(self, token: str) -> None:
        """Forget an upload, and free its file as soon as nobody reads it; one that is gone is fine."""
        with self._lock:
            entry = self._waiting.pop(token, None)
        if entry is not None:
            upload, timer = entry
            timer.cancel()
            with upload.lock:
                upload.file.close()

    def close(self) -> None:
        """Forget all."""
        for token in list(self._waiting):
            self.drop(token)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An upload of which nothing was kept, and why: a problem document."""

    at: datetime
    funnel: str
    kind: Kind
    problem: dict[str, Any]


class Refusals:
    """The latest refused uploads of this process: nothing of them is in the store."""

    def __init__(self) -> None:
        self._kept: deque[Refusal] = deque(maxlen=MOST_REFUSED)

    def add(self, funnel: str, kind: Kind, problem: dict[str, Any]) -> None:
        """Remember a refusal."""
        self._kept.append(Refusal(datetime.now(UTC), funnel, kind, problem))

    def of(self, funnel: str) -> list[Refusal]:
        """Those of a funnel, newest first."""
        return [refusal for refusal in reversed(list(self._kept)) if refusal.funnel == funnel]
