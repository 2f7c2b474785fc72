"""Bytes of an upload to lines of text: gzip, encodings, limits, each error with its line."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NoReturn

from models.errors import InputError, Problem

BLOCK = 1 << 20
"""Bytes read at a time."""
LONGEST_LINE = 1 << 20
"""Characters; a longer line is not a row of any table."""
GZIP = b"\x1f\x8b"
GZIP_ERRORS = (EOFError, gzip.BadGzipFile, zlib.error)

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


class _Rejoined(io.RawIOBase):
    """A stream with the bytes that were read from it to look at put back."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        super().__init__()
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        if self._head:
            data, self._head = self._head[: len(view)], self._head[len(view) :]
        else:
            data = self._rest.read(len(view))
        view[: len(data)] = data
        return len(data)


def peek(source: BinaryIO, size: int) -> tuple[bytes, BinaryIO]:
    """The first bytes, fewer only at the end, and a stream that still begins with them."""
    head = b""
    while len(head) < size and (more := source.read(size - len(head))):
        head += more
    return head, io.BufferedReader(_Rejoined(head, source), buffer_size=BLOCK)


def expanded(source: BinaryIO) -> BinaryIO:
    """The stream, decompressed if it is gzip."""
    head, stream = peek(source, 2)
    if head != GZIP:
        return stream
    return io.BufferedReader(gzip.GzipFile(fileobj=stream), buffer_size=BLOCK)


def blocks(stream: BinaryIO, *, max_bytes: int) -> Iterator[bytes]:
    """The stream in blocks; raises InputError when gzip data is damaged, or there is more than `max_bytes`."""
    read = 0
    while block := stream.read(BLOCK):
        read += len(block)
        if read > max_bytes:
            raise InputError(
                Problem(f"more than {max_bytes:,} bytes", remedy="send it in parts: rows sent twice do no harm")
            )
        yield block


def text_blocks(stream: BinaryIO, *, max_bytes: int, longest_line: int | None = LONGEST_LINE) -> Iterator[str]:
    """Whole lines of text, many at a time, each ended by "\\n" except perhaps the last.

    Without `longest_line` a line may come in several parts.

    UTF-8 with or without BOM, and UTF-16 with one. Raises InputError, with the line, for bytes that are
    no text, NUL, gzip data that is damaged or cut short, and lines longer than `longest_line` characters.
    """
    line, carry = 1, ""
    decoder: codecs.IncrementalDecoder | None = None
    source = blocks(stream, max_bytes=max_bytes)
    while True:
        try:
            block = next(source, b"")
            if decoder is None:
                decoder, block = _decoder(block)
            text = carry + decoder.decode(block, final=not block)
        except GZIP_ERRORS as error:
            raise gzip_problem(error, line) from error
        except UnicodeDecodeError as error:
            _refuse_bytes(error, line, carry)
        if "\0" in text:
            at = text.index("\0")
            raise InputError(
                Problem(
                    "contains a NUL character",
                    line + text.count("\n", 0, at),
                    remedy="save the file as UTF-8 text; UTF-16 needs its byte order mark",
                )
            )
        end = text.rfind("\n") + 1 if block and longest_line else len(text)
        whole, carry = text[:end], text[end:]
        if longest_line and len(carry) > longest_line:
            reason = f"longer than {longest_line:,} characters"
            raise InputError(Problem(reason, line + whole.count("\n"), remedy="end each row with a line end"))
        if whole:
            yield whole
            line += whole.count("\n")
        if not block:
            return


def _decoder(head: bytes) -> tuple[codecs.IncrementalDecoder, bytes]:
    """The decoder that the byte order mark asks for, and the bytes behind the mark."""
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return codecs.getincrementaldecoder(encoding)(), head[len(mark) :]
    return codecs.getincrementaldecoder("utf-8")(), head


def gzip_problem(error: Exception, line: int | None = None) -> InputError:
    """What to tell about gzip data that cannot be read to its end."""
    reason = "the gzip data is cut short" if isinstance(error, EOFError) else "the gzip data is damaged"
    return InputError(Problem(reason, line, remedy="nothing was stored; send the whole file again"))


def _refuse_bytes(error: UnicodeDecodeError, line: int, carry: str) -> NoReturn:
    before = error.object[: error.start].decode(error.encoding, errors="ignore")
    place = line + carry.count("\n") + before.count("\n")
    what = f"byte 0x{error.object[error.start]:02x}" if error.start < len(error.object) else "the end"
    raise InputError(
        Problem(f"{what} is not {error.encoding.upper()} text", place, remedy="save the file as UTF-8")
    ) from error
