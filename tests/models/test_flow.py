"""Where entities stand and how they moved lately."""

from __future__ import annotations

from datetime import date

import numpy as np

from models.entities import NEVER, Entities
from models.flow import KEPT, flow_from_history, latest_counts
from models.history import History


def history_of(days, *, periods=200, counted=()):
    """Two stages and an exit; `days` (entities, 3)."""
    days = np.array(days, dtype=np.int32)
    nobody = np.full(len(days), NEVER, dtype=np.int32)
    entities = Entities(days, np.zeros(len(days), dtype=np.int32), nobody, np.full(len(days), np.nan))
    counts = np.arange(2.0 * periods).reshape(1, 2, periods)
    return History(date(2025, 1, 1), "day", (), ("lead", "won"), counts, entities=entities, counted=counted)


def test_in_flight_is_who_has_not_moved_on_nor_left_nor_been_there_too_long():
    rows = [[199, NEVER, NEVER], [190, 195, NEVER], [180, NEVER, 185], [5, NEVER, NEVER]]
    assert flow_from_history(history_of(rows))[0, 0] == 1


def test_conversion_and_delay_are_of_those_who_had_time():
    rows = [[100, 104, NEVER], [100, 102, NEVER], [100, 104, NEVER], [100, NEVER, 110], [199, NEVER, NEVER]]
    flow = flow_from_history(history_of(rows))
    assert flow[1, 1] == 0.75
    assert flow[2, 1] == 4


def test_what_is_counted_only_is_not_followed():
    flow = flow_from_history(history_of([[100, 104, NEVER]], counted=("lead",)))
    assert np.isnan(flow[0, 0])
    assert np.isnan(flow[1:, 1]).all()


def test_the_latest_counts_are_those_of_the_last_periods():
    history = history_of([[100, 104, NEVER]])
    assert np.array_equal(latest_counts(history), history.matrix[:, -KEPT:])
