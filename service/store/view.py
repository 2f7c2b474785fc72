"""What BI tools see: the served steps as text that SQL can take apart, for the view `nearcast_forecast`.

Forecasts are stored as checksummed arrays, which SQL cannot look inside. For the version that is served, and for it
alone, each series is kept once more as one text: a JSON array of steps, `[mean, quantiles ..., in_flight, new]` each.
The view takes it apart when it is read; a retrain pays for one small row a series.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from models.forecast import Forecast
from models.funnel import DEFAULT_HORIZON
from service.store.bulk import insert_rows
from service.store.tables import published

DECIMALS = 4
"""Of the numbers in the view: a ten-thousandth of an entity."""


def clear_published(connection: Connection, funnel_id: int) -> None:
    """Show nothing of a funnel; in the transaction that changes what is served."""
    connection.execute(sa.delete(published).where(published.c.funnel_id == funnel_id))


def show(connection: Connection, funnel_id: int, version_id: int, made: Iterable[Forecast]) -> None:
    """Add series to what the view shows."""
    rows = (
        (funnel_id, each.segment, each.stage, version_id, each.reliable_until, text_from_forecast(each))
        for each in made
    )
    insert_rows(connection, published, rows)


def text_from_forecast(forecast: Forecast) -> str:
    """The steps of the default horizon as a JSON array of arrays; null where the parts are not told apart."""
    steps = min(forecast.horizon, DEFAULT_HORIZON[forecast.frequency])
    missing = np.full(forecast.horizon, np.nan)
    parts: list[npt.NDArray[Any]] = [missing if part is None else part for part in (forecast.in_flight, forecast.new)]
    table = np.column_stack([forecast.mean, forecast.quantiles, *parts])[:steps]
    return orjson.dumps(np.ascontiguousarray(table.round(DECIMALS)), option=orjson.OPT_SERIALIZE_NUMPY).decode()
