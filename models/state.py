"""Arrays and forecasts as bytes: versioned, checksummed, little endian, and never a pickle.

Layout: the mark, the SHA-256 of all that follows, the length of the header (uint32), the header (JSON: facts,
and name, type and shape of each array), then the arrays one after the other in C order.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import NearcastError
from models.forecast import Coverage, DeclaredEffect, Forecast

MARK = b"NCA1"
DIGEST = 32
HEADER = struct.Struct("<I")
HEADER_TEXT = json.JSONEncoder(ensure_ascii=False).encode
"""NaN in facts (an unmeasured coverage) is written as Python's json does, and read back by it; `json.dumps` would make
an encoder for each payload."""
VALUE = "value."
"""How the name of an array begins that belongs to the forecast of value."""
SINGLE, DOUBLE, WHOLE = np.dtype("<f4"), np.dtype("<f8"), np.dtype("<i8")
START = len(MARK) + DIGEST + HEADER.size

AnyArray = npt.NDArray[Any]


class DamagedPayloadError(NearcastError):
    """Bytes that are not what was written, or were never ours."""

    slug = "damaged-payload"


def bytes_from_arrays(arrays: Mapping[str, AnyArray]) -> bytes:
    """Arrays as bytes: floats become float64 unless they are single, integers and booleans int64.

    Raises TypeError for any other kind of array.
    """
    return pack({}, arrays)


def arrays_from_bytes(payload: bytes) -> dict[str, AnyArray]:
    """Inverse of `bytes_from_arrays`: read-only views into `payload`.

    Raises DamagedPayloadError unless every byte is as it was written.
    """
    return unpack(payload)[1]


def bytes_from_forecast(forecast: Forecast) -> bytes:
    """A forecast as bytes, that of its value included."""
    facts, arrays = _parts(forecast)
    if forecast.value is not None:
        worth, money = _parts(forecast.value)
        facts, arrays = facts | {"value": worth}, arrays | {VALUE + name: values for name, values in money.items()}
    return pack(facts, arrays)


def _parts(forecast: Forecast) -> tuple[dict[str, Any], dict[str, AnyArray]]:
    """Facts and arrays of a forecast."""
    facts = {
        "segment": forecast.segment,
        "stage": forecast.stage,
        "cutoff": forecast.cutoff.isoformat(),
        "model": forecast.model,
        "reliable_until": forecast.reliable_until,
        "frequency": forecast.frequency,
        "ceiling": forecast.ceiling if math.isfinite(forecast.ceiling) else None,
        "coverage": {str(level): facts_from_record(coverage) for level, coverage in forecast.coverage.items()},
        "repairs": list(forecast.repairs),
        "fallback_reason": forecast.fallback_reason,
    }
    if forecast.declared:
        facts["declared"] = [
            facts_from_record(each) | {"start": each.start.isoformat(), "end": each.end.isoformat()}
            for each in forecast.declared
        ]
    arrays = {name: getattr(forecast, name) for name in ("mean", "quantiles", "in_flight", "new")}
    return facts, {name: values for name, values in arrays.items() if values is not None}


def forecast_from_bytes(payload: bytes) -> Forecast:
    """Inverse of `bytes_from_forecast`; the forecast's invariants are checked again.

    Raises DamagedPayloadError unless every byte is as it was written.
    """
    facts, arrays = unpack(payload)
    if "value" not in facts:
        return _forecast(facts, arrays)
    money = {name.removeprefix(VALUE): values for name, values in arrays.items() if name.startswith(VALUE)}
    return replace(_forecast(facts, arrays), value=_forecast(facts["value"], money))


def _forecast(facts: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> Forecast:
    return Forecast(
        segment=facts["segment"],
        stage=facts["stage"],
        cutoff=date.fromisoformat(facts["cutoff"]),
        model=facts["model"],
        mean=arrays["mean"],
        quantiles=arrays["quantiles"],
        in_flight=arrays.get("in_flight"),
        new=arrays.get("new"),
        reliable_until=facts["reliable_until"],
        frequency=facts["frequency"],
        ceiling=np.inf if facts["ceiling"] is None else facts["ceiling"],
        coverage={int(level): Coverage(**coverage) for level, coverage in facts["coverage"].items()},
        repairs=tuple(facts["repairs"]),
        fallback_reason=facts["fallback_reason"],
        declared=tuple(
            DeclaredEffect(**each | {side: date.fromisoformat(each[side]) for side in ("start", "end")})
            for each in facts.get("declared", ())
        ),
    )


def facts_from_record(record: Any) -> dict[str, Any]:
    """Fields of a flat dataclass with slots by name; `dataclasses.asdict` would be most of a large publication."""
    return {name: getattr(record, name) for name in record.__slots__}


def pack(facts: Mapping[str, Any], arrays: Mapping[str, AnyArray], *, as_is: bool = False) -> bytes:
    """Facts (JSON) and arrays as one payload; `as_is`: numbers stay as wide as they are."""
    if as_is:
        stored = {name: values.astype(values.dtype.newbyteorder("<"), copy=False) for name, values in arrays.items()}
    else:
        stored = {name: stored_array(name, values) for name, values in arrays.items()}
    listed = [[name, values.dtype.str, list(values.shape)] for name, values in stored.items()]
    header = HEADER_TEXT({"facts": facts, "arrays": listed}).encode()
    header += b" " * (-(START + len(header)) % 8)  # so that the arrays can be used where they lie
    pieces: list[Any] = [HEADER.pack(len(header)), header]
    pieces += [np.ravel(values).view(np.uint8) for values in stored.values()]
    digest = hashlib.sha256()
    for piece in pieces:  # joined once: of a memory of megabytes every further copy is felt
        digest.update(piece)
    return b"".join([MARK, digest.digest(), *pieces])


def unpack(payload: bytes) -> tuple[dict[str, Any], dict[str, AnyArray]]:
    """Inverse of `pack`."""
    if len(payload) < START or not payload.startswith(MARK):
        raise DamagedPayloadError(f"{len(payload)} bytes that do not begin as a payload of arrays")
    body = memoryview(payload)[len(MARK) + DIGEST :]
    if hashlib.sha256(body).digest() != payload[len(MARK) : len(MARK) + DIGEST]:
        raise DamagedPayloadError(f"the checksum of {len(payload)} bytes does not fit: they are not what was written")
    (length,) = HEADER.unpack_from(body)
    header = json.loads(bytes(body[HEADER.size : HEADER.size + length]))
    arrays: dict[str, AnyArray] = {}
    offset = HEADER.size + length
    for name, kind, shape in header["arrays"]:
        count = math.prod(shape)
        arrays[name] = np.frombuffer(body, dtype=kind, count=count, offset=offset).reshape(shape)
        offset += count * np.dtype(kind).itemsize
    return header["facts"], arrays


def stored_array(name: str, values: AnyArray) -> AnyArray:
    """The array as it is stored."""
    given = np.asarray(values).dtype
    if given.kind == "f":
        return np.asarray(values, dtype=SINGLE if given.itemsize == 4 else DOUBLE)
    if given.kind in "iub":
        return np.asarray(values, dtype=WHOLE)
    raise TypeError(f"array {name!r} of {given} is neither numbers nor booleans")
