"""What BI tools see: the served steps as text that SQL can take apart, for the view `nearcast_forecast`.

Forecasts are stored as checksummed arrays, which SQL cannot look inside. For the version that is served, and for it
alone, each series is kept once more as one text: a JSON array of steps, `[mean, quantiles ..., in_flight, new]` each.
The view takes it apart when it is read; a retrain pays for one small row a series.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from models.forecast import QUANTILES, Forecast
from models.funnel import DEFAULT_HORIZON
from service.store.bulk import insert_rows
from service.store.tables import published

DECIMALS = 4
"""Of the numbers in the view: a ten-thousandth of an entity."""
TOGETHER = 100
"""Series whose numbers are laid side by side and rounded: by itself each would cost more in calls than in numbers."""


def clear_published(connection: Connection, funnel_id: int) -> None:
    """Show nothing of a funnel; in the transaction that changes what is served."""
    connection.execute(sa.delete(published).where(published.c.funnel_id == funnel_id))


def show(connection: Connection, funnel_id: int, version_id: int, made: Iterable[tuple[Forecast, str]]) -> None:
    """Add series to what the view shows, each with its text."""
    rows = ((funnel_id, each.segment, each.stage, version_id, each.reliable_until, text) for each, text in made)
    insert_rows(connection, published, rows)


def texts_from_forecasts(made: Sequence[Forecast]) -> Iterator[str]:
    """Of each its steps of the default horizon as a JSON array of arrays; null where the parts are not told apart."""
    for first in range(0, len(made), TOGETHER):
        some = made[first : first + TOGETHER]
        steps = min(some[0].horizon, DEFAULT_HORIZON[some[0].frequency])
        missing = np.full(steps, np.nan)
        table = np.empty((len(some), steps, 1 + len(QUANTILES) + 2))
        table[..., 0] = [each.mean[:steps] for each in some]
        table[..., 1:-2] = [each.quantiles[:steps] for each in some]
        for column in -2, -1:
            parts = [each.in_flight if column == -2 else each.new for each in some]
            table[..., column] = [missing if part is None else part[:steps] for part in parts]
        for one in table.round(DECIMALS):
            yield orjson.dumps(one, option=orjson.OPT_SERIALIZE_NUMPY).decode()
