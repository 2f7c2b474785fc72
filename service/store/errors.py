"""What the store cannot do, each fact as one error.

StoreError
├── StoreUnavailableError   the database cannot be reached, or does not answer
├── StoreBusyError          another writer held the database for too long
├── SchemaError             the database's schema is not the one of this release
├── DatabaseUrlError        a database URL that cannot be used
├── FunnelNotFoundError
├── VersionNotFoundError
├── RunNotFoundError
├── KeyNotFoundError        no API key of that name
├── KeyNameTakenError       there is, or was, an API key of that name
├── LeaseLostError          a run is not, or no longer, the one that may publish
├── KeyInUseError           a request with the same idempotency key is still being answered
└── KeyReusedError          the same idempotency key came with another body
"""

from __future__ import annotations

from models.errors import NearcastError


class StoreError(NearcastError):
    """Base of all errors of the store."""

    slug = "store-error"

    def __init__(self, text: str, *, cause: str = "") -> None:
        super().__init__(text)
        self.cause = cause
        """What the driver says: hosts, ports and paths, for whoever runs the store and nobody else."""

    def in_full(self) -> str:
        """With the cause: for logs and the command line."""
        return f"{self}: {self.cause}" if self.cause else str(self)


class StoreUnavailableError(StoreError):
    """The database cannot be reached, or does not answer; trying again may help."""

    slug = "store-unavailable"


class StoreBusyError(StoreError):
    """Another writer held the database for too long; trying again may help."""

    slug = "store-busy"


class SchemaError(StoreError):
    """The database's schema is not the one of this release."""

    slug = "schema-mismatch"


class DatabaseUrlError(StoreError):
    """A database URL that cannot be used."""

    slug = "invalid-database-url"


class FunnelNotFoundError(StoreError):
    """No funnel of that name."""

    slug = "funnel-not-found"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"there is no funnel {name!r}; declare it, or upload its first events")


class VersionNotFoundError(StoreError):
    """No version of that number, or none published yet."""

    slug = "version-not-found"


class RunNotFoundError(StoreError):
    """No run of that id."""

    slug = "run-not-found"


class KeyNotFoundError(StoreError):
    """No API key of that name."""

    slug = "key-not-found"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no key {name!r}; `nearcast keys list` names them")


class KeyNameTakenError(StoreError):
    """There is, or was, an API key of that name."""

    slug = "key-name-taken"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"a key {name!r} was made before, and a name means one key for ever; choose another, such as {name[:60]}-2"
        )


class LeaseLostError(StoreError):
    """The run's lease lapsed or went to another run."""

    slug = "lease-lost"


class KeyInUseError(StoreError):
    """A request with the same idempotency key is still being answered."""

    slug = "idempotency-key-in-use"


class KeyReusedError(StoreError):
    """The same idempotency key came with another body."""

    slug = "idempotency-key-reused"
