"""What tests look for in an answer."""

from __future__ import annotations

from typing import Any

import httpx


def problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """The problem document of an answer that has to be one of this kind."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["type"] == f"urn:nearcast:problem:{kind}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document
