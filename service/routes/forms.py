"""Forms of pages: read within a limit, with at most one file."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from fastapi import Request
from starlette.datastructures import FormData
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser

from service.problems import ProblemError

LARGEST_FORM = 256 * 1024
"""Bytes of a form without a file."""


async def form_of(request: Request, *, limit: int) -> FormData:
    """The form in the body, with at most one file, which is laid down on disk as it comes.

    Raises ProblemError for a body past the limit, and for one that is no form.
    """

    async def bounded() -> AsyncGenerator[bytes]:
        size = int(request.headers.get("content-length", 0))
        check_size(size, limit)
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            check_size(size, limit)
            yield chunk

    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "multipart/form-data":
            return await MultiPartParser(request.headers, bounded(), max_files=1, max_fields=20).parse()
        if kind == "application/x-www-form-urlencoded":
            return await FormParser(request.headers, bounded()).parse()
    except MultiPartException as error:
        raise ProblemError(400, "invalid-request", f"this form cannot be read: {error.message}") from error
    raise ProblemError(415, "unsupported-media-type", "send the form of the page")


def check_size(size: int, limit: int) -> None:
    """Raise ProblemError (413) for a body past the limit."""
    if size > limit:
        raise ProblemError(
            413, "too-large", f"a form may have {limit} bytes; send larger files in parts, or to the API"
        )


def text_of(form: FormData, name: str) -> str:
    """A field that is a text; empty when it is not there."""
    value = form.get(name)
    return value.strip() if isinstance(value, str) else ""
