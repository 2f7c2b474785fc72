"""What the routes work with, made once when the app starts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Annotated

from anyio import CapacityLimiter
from fastapi import Depends, Request

from service.auth import ANYBODY, Caller
from service.jobs import Jobs
from service.keyring import Keyring
from service.observability import Metrics
from service.problems import RETRY_AFTER, ProblemError
from service.routes.access import CallerOf
from service.serving import Serving
from service.settings import Settings
from service.store.database import Database
from service.waiting import Refusals, WaitingUploads

MOST_BODIES = 64
"""Uploads laid down at once; more are asked to come back."""
MOST_UPLOADS = 4
"""Uploads read into the store at once; others wait their turn on disk."""


class Turns:
    """Lets a few in at a time and turns the others away at once, rather than let them all wait."""

    def __init__(self, most: int) -> None:
        self._left = threading.BoundedSemaphore(most)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One turn; ProblemError (503) when all are taken."""
        if not self._left.acquire(blocking=False):
            detail = "as many uploads as the server takes at once are going on"
            raise ProblemError(503, "overloaded", detail, headers={"retry-after": RETRY_AFTER})
        try:
            yield
        finally:
            self._left.release()


@dataclass(frozen=True, slots=True)
class Resources:
    """The app's own: settings, store, published forecasts in memory, retrain jobs, metrics, room for uploads; who asks.

    `keyring` is None where no keys are asked for.
    """

    settings: Settings
    database: Database
    serving: Serving
    jobs: Jobs
    metrics: Metrics
    waiting: WaitingUploads
    keyring: Keyring | None = None
    caller: Caller = ANYBODY
    bodies: Turns = field(default_factory=lambda: Turns(MOST_BODIES))
    uploads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(MOST_UPLOADS))
    refusals: Refusals = field(default_factory=Refusals)

    def served_names(self) -> tuple[str, ...]:
        """Funnels that have a served version and that the caller may see."""
        return tuple(name for name in self.serving.names() if self.caller.sees(name))


async def resources_of(request: Request, caller: CallerOf) -> Resources:
    """The resources of the app that answers `request`, for who asks; who may not ask is refused here."""
    resources = request.app.state.resources
    assert isinstance(resources, Resources)
    return replace(resources, caller=caller)


Context = Annotated[Resources, Depends(resources_of)]
