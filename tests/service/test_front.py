"""The front: what is answered before the app has been loaded, and what becomes of the rest."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI

from service.front import Front


def make_loader(*, release, error=None, seen=None):
    """Loads an app with `/healthz` and `/thing` once released; or fails."""

    @asynccontextmanager
    async def lifespan(_):
        seen.append("opened")
        yield
        seen.append("closed")

    def load():
        assert release.wait(30)
        if error is not None:
            raise error
        app = FastAPI(lifespan=lifespan)
        app.get("/healthz")(lambda: {"status": "of the app"})
        app.get("/thing")(lambda: {"thing": 1})
        return app

    return load


@asynccontextmanager
async def live(front):
    """The front under way, as a server keeps it, and a client of it."""
    asked, told = asyncio.Queue(), asyncio.Queue()
    living = asyncio.create_task(front({"type": "lifespan"}, asked.get, told.put))
    await asked.put({"type": "lifespan.startup"})
    assert (await told.get())["type"] == "lifespan.startup.complete"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(front), base_url="http://test") as client:
        yield client
    await asked.put({"type": "lifespan.shutdown"})
    await living
    assert (await told.get())["type"] == "lifespan.shutdown.complete"


def test_it_is_alive_at_once_ready_later_and_other_requests_wait_for_the_app():
    release, seen = threading.Event(), []

    async def ask():
        async with live(Front(make_loader(release=release, seen=seen))) as client:
            assert (await client.get("/healthz")).json()["status"] == "ok"
            unready = await client.get("/readyz")
            assert (unready.status_code, unready.headers["content-type"]) == (503, "application/problem+json")
            assert unready.headers["retry-after"]
            waiting = asyncio.create_task(client.get("/thing"))
            done, _ = await asyncio.wait([waiting], timeout=0.1)
            assert not done
            release.set()
            assert (await waiting).json() == {"thing": 1}
            assert (await client.get("/healthz")).json()["status"] == "of the app"
            assert (await client.get("/readyz")).status_code == 404

    asyncio.run(ask())
    assert seen == ["opened", "closed"]


def test_an_app_that_cannot_be_loaded_ends_the_server_and_is_told_to_those_who_wait():
    release, ended = threading.Event(), threading.Event()
    front = Front(make_loader(release=release, error=ValueError("no such store")))
    front.on_error = ended.set

    async def ask():
        async with live(front) as client:
            waiting = asyncio.create_task(client.get("/thing"))
            await asyncio.sleep(0)
            release.set()
            assert (await waiting).status_code == 503

    asyncio.run(ask())
    assert ended.is_set()
    with pytest.raises(ValueError, match="no such store"):
        raise front.error


def test_stopped_while_it_loads_it_ends_without_opening_the_app():
    release, seen = threading.Event(), []

    async def stop():
        async with live(Front(make_loader(release=release, seen=seen))):
            asyncio.get_running_loop().call_later(0.1, release.set)

    asyncio.run(stop())
    assert seen == []
