"""Python client: `Client(url)` sends frames and files in, and gets forecasts back as frames.

client     what can be asked          transport   requests, retries, problems as exceptions
errors     what can go wrong          frames      documents to frames and back
progress   a bar in notebooks and terminals

It needs httpx and, inside its methods, pandas; nothing of the server, and neither is loaded before it is used.
"""

from service.client.client import Client, Scenario
from service.client.errors import (
    ClientError,
    ConflictError,
    ForbiddenError,
    NoAnswerError,
    NotFoundError,
    ProblemError,
    RefusedError,
    RunFailedError,
    ServerError,
    UnauthenticatedError,
    UnavailableError,
    WaitError,
)

__all__ = [
    "Client",
    "ClientError",
    "ConflictError",
    "ForbiddenError",
    "NoAnswerError",
    "NotFoundError",
    "ProblemError",
    "RefusedError",
    "RunFailedError",
    "Scenario",
    "ServerError",
    "UnauthenticatedError",
    "UnavailableError",
    "WaitError",
]
