"""The HTTP app: routes over the store and the published forecasts in memory.

It imports nothing that fits models: forecasts are served from what retrain jobs, in processes of their own, published.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from anyio.to_thread import run_sync
from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi

from service import __version__
from service.dashboard.rendering import load_templates
from service.jobs import Jobs
from service.keyring import Keyring
from service.observability import Metrics, ObservingMiddleware
from service.routes import (
    dashboard,
    days,
    docs,
    forecasts,
    funnels,
    levers,
    operations,
    runs,
    scenarios,
    signin,
    upload_pages,
    uploads,
)
from service.routes.access import authorize, scope_needed
from service.routes.context import Resources
from service.routes.handlers import add_problem_handlers
from service.scheduler import Scheduler
from service.schemas.common import ProblemDocument, problem_responses
from service.schemas.funnels import FunnelDeclaration
from service.schemas.levers import ScenarioRequest
from service.serving import Serving
from service.settings import Settings
from service.store.database import Database
from service.store.errors import StoreBusyError, StoreUnavailableError
from service.waiting import WaitingUploads

KEY_SCHEME = {"type": "http", "scheme": "bearer", "description": "A key of `nearcast keys create`."}
NOUNS = (
    *(funnels, days, uploads, forecasts, scenarios, runs, operations, docs),
    *(dashboard, levers, upload_pages, signin),
)
"""Modules with the routes of one noun each: the API's, then the pages'."""
DESCRIPTION = "What each stage of a funnel will do over the next days and weeks, and how sure that is."

logger = logging.getLogger("nearcast.app")


def make_app(settings: Settings | None = None) -> FastAPI:
    """The app; its lifespan opens and closes the store, the forecasts in memory and the jobs."""
    settings = settings or Settings()
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with Database(settings.database_url, timeout=settings.store_timeout) as database:
            await run_sync(prepare_store, database)
            serving = Serving(database, every=settings.refresh_seconds)
            with Jobs(database, settings) as jobs, Scheduler(database, jobs) if settings.with_jobs else nullcontext():
                metrics.watch(serving, database)
                waiting = WaitingUploads(most_bytes=settings.max_upload_bytes)
                keyring = Keyring(database, every=settings.refresh_seconds) if settings.auth == "keys" else None
                app.state.keyring = keyring
                app.state.resources = Resources(settings, database, serving, jobs, metrics, waiting, keyring)
                await run_sync(serving.start)
                if keyring is not None:
                    await run_sync(keyring.start)
                # While nobody waits for it: the first page would otherwise be late by what its templates take to load.
                threading.Thread(target=load_templates, name="templates", daemon=True).start()
                yield
                if keyring is not None:
                    await run_sync(keyring.stop)
                await run_sync(serving.stop)
                waiting.close()

    app = FastAPI(
        title="nearcast",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(authorize)],
    )
    app.openapi = lambda: openapi_of(app, with_keys=settings.auth == "keys")  # type: ignore[method-assign]
    app.add_middleware(ObservingMiddleware, metrics=metrics)
    add_problem_handlers(app)
    for module in NOUNS:
        app.include_router(module.router)
    return app


def openapi_of(app: FastAPI, *, with_keys: bool) -> dict[str, Any]:
    """The OpenAPI document, with the documents that routes refer to by name, and the scope that each route needs.

    `with_keys`: whether this server asks for keys; where it does not, each route can do without.
    """
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        template = "#/components/schemas/{model}"
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for model in (ProblemDocument, FunnelDeclaration, ScenarioRequest):
            schema = model.model_json_schema(ref_template=template)
            schemas |= {**schema.pop("$defs", {}), model.__name__: schema}
        document["components"]["securitySchemes"] = {"key": KEY_SCHEME}
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if (scope := scope_needed(method.upper(), path)) is not None:
                    operation["security"] = [{"key": [scope]}] + ([] if with_keys else [{}])
                    operation["responses"] |= {
                        str(status): said for status, said in problem_responses(401, 403).items()
                    }
                # FastAPI documents its own 422 on routes that do not say theirs; ours is always a problem document.
                if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                    operation["responses"]["422"] = problem_responses(422)[422]
        app.openapi_schema = document
    return app.openapi_schema


def prepare_store(database: Database) -> None:
    """Bring the schema up to date; a store that is away must not keep the server from starting."""
    try:
        database.migrate()
    except (StoreUnavailableError, StoreBusyError) as error:
        logger.warning("started without the store", extra={"reason": error.in_full()})
