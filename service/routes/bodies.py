"""Request bodies: of any size, laid down in a spooled temporary file as they arrive, up to a limit; or small JSON."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import AsyncIterator
from typing import BinaryIO, Self, TypeVar, cast

from anyio.to_thread import run_sync
from fastapi import Request
from pydantic import BaseModel, ValidationError

from service.problems import ProblemError
from service.routes.handlers import problem_from_validation, problems_from_validation

SPOOLED_BYTES = 4 * 1024 * 1024
"""Bodies up to this size stay in memory."""
BATCH_BYTES = 1024 * 1024
"""Bytes written at a time: each write is a trip to a thread."""

Model = TypeVar("Model", bound=BaseModel)


class SpooledBody:
    """A request body being laid down; closing it frees the file.

    Parameters
    ----------
    limit
        Largest body, bytes as sent.
    salt
        What identifies the request beside its body; part of `sha256`.
    """

    def __init__(self, *, limit: int, salt: str = "") -> None:
        file = tempfile.SpooledTemporaryFile(max_size=SPOOLED_BYTES)  # noqa: SIM115 - closed by __exit__
        self.file = cast("BinaryIO", file)
        self.size = 0
        self._limit = limit
        self._digest = hashlib.sha256(salt.encode("utf-8", "replace") + b"\0")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    @property
    def sha256(self) -> str:
        """Identifies the request: its salt and its body."""
        return self._digest.hexdigest()

    def check_size(self, size: int) -> None:
        """Raise ProblemError (413) when a body of `size` bytes is past the limit."""
        if size > self._limit:
            detail = f"a body may have {self._limit} bytes; send it in parts, or compressed with gzip"
            raise ProblemError(413, "too-large", detail, extra={"max_bytes": self._limit})

    async def fill(self, stream: AsyncIterator[bytes]) -> None:
        """Take in the whole stream and rewind; ProblemError (413) as soon as it is past the limit."""
        batch = bytearray()
        async for chunk in stream:
            self.size += len(chunk)
            self.check_size(self.size)
            batch += chunk
            if len(batch) >= BATCH_BYTES:
                await run_sync(self._write, bytes(batch))
                batch.clear()
        await run_sync(self._write, bytes(batch))
        self.file.seek(0)

    def _write(self, batch: bytes) -> None:
        self._digest.update(batch)
        self.file.write(batch)


async def read_json(request: Request, model: type[Model], *, limit: int) -> Model:
    """The document in a request body; ProblemError for another media type, and naming each field that cannot be."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ProblemError(415, "unsupported-media-type", "the body of this request is application/json")
    with SpooledBody(limit=limit) as body:
        await body.fill(request.stream())
        text = body.file.read()
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        places = problems_from_validation(error.errors(include_url=False, include_input=False, include_context=False))
        raise problem_from_validation(places) from None
