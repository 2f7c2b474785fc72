"""Requests: sent again on 503 only, and what is not an answer raised as an exception."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from service.client.errors import ClientError, NoAnswerError, error_from_problem

if TYPE_CHECKING:
    import httpx

FIRST_WAIT = 0.5
"""Seconds before the first repetition, on average half of it; doubled before each further one."""
LONGEST_WAIT = 30.0
"""Seconds between two attempts at most, whatever the server asks for."""


class Transport:
    """A connection to one server.

    Parameters
    ----------
    url
        Where `nearcast serve` answers.
    timeout
        Seconds without a sign of life from the server.
    retries
        How often a request that was answered by 503 is sent again. Nothing else is: a 503 says that
        nothing was done, a lost connection does not.
    headers
        Sent with each request, such as `Authorization` for a proxy in front of the server.
    """

    def __init__(self, url: str, *, timeout: float, retries: int, headers: Mapping[str, str] | None) -> None:
        import httpx  # noqa: PLC0415 - a client is imported faster than httpx

        self._http = httpx.Client(base_url=url, timeout=timeout, headers=dict(headers or {}), follow_redirects=False)
        self._retries = retries

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        body: Callable[[], BinaryIO] | None = None,
    ) -> httpx.Response:
        """Send, and again while the answer is 503; `body` makes the content afresh for each attempt.

        Raises
        ------
        ProblemError
            With the server's problem document.
        NoAnswerError
            When there is no answer.
        """
        import httpx  # noqa: PLC0415

        for attempt in range(self._retries + 1):
            content = None if body is None else body()
            try:
                answer = self._http.request(
                    method, path, params=_said(params), headers=headers, json=json, content=content
                )
            except (httpx.TransportError, httpx.InvalidURL) as error:
                base = str(self._http.base_url)
                raise NoAnswerError(
                    f"no answer from {base} to {method} {path}: {error or type(error).__name__}"
                ) from error
            finally:
                if content is not None:
                    content.close()
            if answer.status_code != 503 or attempt == self._retries:
                break
            time.sleep(wait_before(attempt, asked=answer.headers.get("retry-after")))
        check_answer(answer)
        return answer


def key_header(key: str | None) -> dict[str, str]:
    """The header that carries an API key; none for None or an empty text.

    Raises ValueError, without the key in it, for what cannot stand in a header.
    """
    secret = (key or "").strip()
    if not secret:
        return {}
    if not (secret.isascii() and secret.isprintable() and " " not in secret):
        raise ValueError("the key has characters that no key has; it begins with nc_, and is one word")
    return {"authorization": f"Bearer {secret}"}


def wait_before(attempt: int, *, asked: str | None) -> float:
    """Seconds to wait after attempt 0.., never less than the server asks for, up to LONGEST_WAIT.

    Full jitter: many clients that were turned away at once do not come back at once (M. Brooker, Exponential
    Backoff and Jitter, AWS Architecture Blog, 2015).
    """
    least = float(asked) if asked is not None and asked.strip().isdigit() else 0.0
    spread = random.uniform(0.0, FIRST_WAIT * 2**attempt)  # noqa: S311 - no secret
    return min(least + spread, LONGEST_WAIT)


def check_answer(answer: httpx.Response) -> None:
    """Raise ProblemError for a status from 400 on, ClientError for one that no nearcast gives."""
    if answer.status_code < 300:
        return
    if answer.status_code < 400:
        raise ClientError(f"{answer.url} answers {answer.status_code} and leads elsewhere: is this a nearcast?")
    try:
        document = answer.json()
    except json.JSONDecodeError:
        document = None
    if not isinstance(document, dict):  # something in between: a proxy, or another server
        document = {"title": answer.reason_phrase, "detail": answer.text[:500]}
    raise error_from_problem(document, status=answer.status_code)


def _said(params: Mapping[str, Any] | None) -> dict[str, Any]:
    """Parameters without those that say nothing."""
    return {name: value for name, value in (params or {}).items() if value is not None}
