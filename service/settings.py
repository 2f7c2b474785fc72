"""Settings of the service: read once from the environment, then passed in."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

MEBIBYTE = 1024 * 1024

Workers = Literal["inline", "process", "dask"]
"""Where series are fitted, see `service.workers`."""


Auth = Literal["none", "keys"]
"""Whether requests need a key, see `service.auth`."""


class Settings(BaseSettings):
    """What an operator may set, each as `NEARCAST_<NAME>` in the environment."""

    model_config = SettingsConfigDict(env_prefix="NEARCAST_", frozen=True, extra="ignore")

    database_url: str = Field(
        default="sqlite:///nearcast.db",
        description="Store: sqlite:///file.db (local disk only) or postgresql://user:password@host/database.",
    )
    pull_url: SecretStr | None = Field(
        default=None, description="Database that `nearcast pull --query` reads from: any URL of SQLAlchemy."
    )
    auth: Auth = Field(
        default="none", description="Who is answered: `none`: anybody; `keys`: who has a key, see `nearcast keys`."
    )
    host: str = Field(default="127.0.0.1", description="Address that `nearcast serve` listens on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port that `nearcast serve` listens on; 0: any free.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe event that is logged."
    )
    max_upload_bytes: int = Field(
        default=1024 * MEBIBYTE, ge=1, description="Largest request body accepted, bytes as sent."
    )
    max_expanded_bytes: int = Field(
        default=8192 * MEBIBYTE, ge=1, description="Largest upload after decompression, bytes."
    )
    header_timeout: float = Field(default=10.0, gt=0, description="Seconds a client has to send its request headers.")
    body_timeout: float = Field(
        default=30.0, gt=0, description="Seconds a client may send nothing while its request body is read."
    )
    keep_alive: float = Field(default=5.0, gt=0, description="Seconds an idle connection is kept open.")
    refresh_seconds: float = Field(
        default=1.0, gt=0, description="Seconds between two looks for newly published versions."
    )
    store_timeout: float = Field(
        default=60.0, gt=0, description="Seconds to wait for another writer before a write is refused as busy."
    )
    lease_seconds: float = Field(
        default=60.0, ge=1, description="Seconds after which a retrain that fell silent is given up for dead."
    )
    workers: Workers = Field(
        default="process",
        description="Where a retrain fits its series: `inline`, in a pool of processes, or on `dask`.",
    )
    processes: int | None = Field(
        default=None, ge=1, description="Size of the pool of worker processes; unset: one a core."
    )
    dask_address: str | None = Field(
        default=None, description="Scheduler for `dask` workers: tcp://host:8786; tls:// beyond this machine."
    )
    chunk_seconds: float = Field(
        default=600.0, gt=0, description="Seconds a worker has for one chunk of series before it is ended."
    )
    with_jobs: bool = Field(default=False, description="Whether `nearcast serve` starts the retrains that are due.")
    idempotency_hours: float = Field(
        default=24.0, gt=0, description="Hours for which an Idempotency-Key is remembered."
    )
