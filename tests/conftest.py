"""What all tests share: a clean environment, and scratch databases on a real PostgreSQL."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from hypothesis import settings
from psycopg import sql

SERVER = os.environ.get("NEARCAST_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
"""Any database of the PostgreSQL server to test on; scratch databases are made beside it."""
REQUIRED = os.environ.get("NEARCAST_REQUIRE_POSTGRES") == "1"
"""Whether a missing server fails the tests that need it (CI) or skips them (a laptop)."""

# A developer's own settings must not steer the tests.
for name in [name for name in os.environ if name.startswith("NEARCAST_")]:
    if name not in ("NEARCAST_TEST_POSTGRES", "NEARCAST_REQUIRE_POSTGRES"):
        del os.environ[name]

# How long an example takes says what else the machine does.
settings.register_profile("nearcast", deadline=None)
settings.load_profile("nearcast")


@contextmanager
def scratch_database() -> Iterator[str]:
    """URL of a new, empty database, dropped at the end; nothing else on the server is touched."""
    name = f"nearcast_test_{uuid.uuid4().hex[:12]}"
    try:
        admin = psycopg.connect(SERVER, autocommit=True, connect_timeout=3)
    except psycopg.OperationalError as error:
        reason = f"no PostgreSQL at {SERVER} (NEARCAST_TEST_POSTGRES names another): {error}"
        if REQUIRED:
            pytest.fail(f"NEARCAST_REQUIRE_POSTGRES=1, but {reason}", pytrace=False)
        pytest.skip(reason)
    with admin:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(name)))
        try:
            yield urlunsplit(urlsplit(SERVER)._replace(path=f"/{name}"))
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """One scratch database for all tests of this process: a test cleans up what it leaves there."""
    with scratch_database() as url:
        yield url


@pytest.fixture(scope="session")
def scratch_postgres() -> Callable[[], AbstractContextManager[str]]:
    """Makes a scratch database for a fixture that lives longer than a test: `with scratch_postgres() as url`."""
    return scratch_database


@pytest.fixture
def empty_postgres_url() -> Iterator[str]:
    """A scratch database of the test's own, empty."""
    with scratch_database() as url:
        yield url


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first: one that begins last keeps a single worker busy while the others are done."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
