"""What HTTP headers mean: media types and entity tags."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from service.problems import ProblemError


def accepted_type(accept: str | None, offered: Sequence[str], *, absent: str = "") -> str:
    """The offered media type that `accept` prefers, the earlier offer on a tie; 406 when it takes none.

    `absent` ends that sentence: what could be offered and is not.
    """
    if accept is None or not accept.strip():
        return offered[0]
    weights = {offer: weight_of(offer, accept) for offer in offered}
    best = max(offered, key=lambda offer: weights[offer])
    if weights[best] <= 0:
        detail = f"this is served as {' or '.join(offered)}{absent}"
        raise ProblemError(406, "not-acceptable", detail, extra={"offered": list(offered)})
    return best


def weight_of(offer: str, accept: str) -> float:
    """The quality that an Accept header gives to `offer`, by its most specific range; 0 for none."""
    weights: dict[str, float] = {}
    for part in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        try:
            weights[kind] = float(quality)
        except ValueError:
            weights[kind] = 0.0
    ranges = (offer, offer.partition("/")[0] + "/*", "*/*")
    return next((weights[kind] for kind in ranges if kind in weights), 0.0)


def make_etag(*parts: object) -> str:
    """A strong entity tag of what an answer is made from."""
    return f'"{hashlib.sha256(repr(parts).encode("utf-8", "replace")).hexdigest()[:32]}"'


def etag_matches(etag: str, if_none_match: str | None) -> bool:
    """Whether the caller already has this answer (RFC 9110, 13.1.2: weak comparison)."""
    if if_none_match is None:
        return False
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in known or etag in known
