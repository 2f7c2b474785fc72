"""Small funnels in a store, for benchmarks of what happens around a fit and not in it."""

from __future__ import annotations

import io
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from models.funnel import Funnel
from service.ingest import IngestOptions, ingest
from service.store.database import Database
from service.store.funnels import declare_funnel
from service.store.runs import Run, list_runs

SERVER = os.environ.get("NEARCAST_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
"""Any database of the PostgreSQL server to measure on; scratch databases are made beside it."""
DAYS = 60
FUNNEL = Funnel(("lead", "won"), segment_by="region", max_horizon=7)
SERIES = 6
"""Of such a funnel: two stages of the total and of two segments."""


@contextmanager
def store_url(engine: str, folder: Path) -> Iterator[str]:
    """Address of a migrated, empty store on `sqlite` or `postgresql`; gone afterwards."""
    if engine == "sqlite":
        url = f"sqlite:///{folder / 'store.db'}"
        with Database(url) as database:
            database.migrate()
        yield url
        return
    import psycopg  # noqa: PLC0415 - an extra
    from psycopg import sql  # noqa: PLC0415

    name = sql.Identifier(f"nearcast_bench_{uuid.uuid4().hex[:12]}")
    with psycopg.connect(SERVER, autocommit=True, connect_timeout=3) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(name))
        try:
            url = urlunsplit(urlsplit(SERVER)._replace(path=f"/{name.as_string(None).strip(chr(34))}"))
            with Database(url) as database:
                database.migrate()
            yield url
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def engines() -> tuple[str, ...]:
    """The engines that can be measured here: PostgreSQL where a server answers."""
    import psycopg  # noqa: PLC0415 - an extra

    try:
        psycopg.connect(SERVER, connect_timeout=3).close()
    except psycopg.OperationalError:
        return ("sqlite",)
    return ("sqlite", "postgresql")


def make_funnel(database: Database, name: str) -> None:
    """A funnel of two stages and two segments, counted daily."""
    with database.write() as connection:
        declare_funnel(connection, name, FUNNEL, now=datetime.now(UTC))


def upload(database: Database, name: str, *, last: int, days: int = 1) -> None:
    """Counts of the last `days` complete days; `last` on the newest, so that another number is something new."""
    today = datetime.now(UTC).date()
    rows = [
        f"{today - timedelta(days=back)},{stage},{region},{10 + back % 7 if back > 1 else last}"
        for back in range(days, 0, -1)
        for stage in FUNNEL.stages
        for region in ("east", "west")
    ]
    body = "\n".join(["ds,stage,region,y", *rows]) + "\n"
    ingest(database, name, io.BytesIO(body.encode()), kind="counts", format="csv", options=IngestOptions())


def run_after(database: Database, run_id: int, *, seconds: float = 60.0) -> Run:
    """The run that has begun after another one, as soon as it is there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with database.read() as connection:
            (newest,) = list_runs(connection, limit=1)
        if newest.id > run_id:
            return newest
        time.sleep(0.002)
    raise RuntimeError(f"no run has begun after run {run_id}")
