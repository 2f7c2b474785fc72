"""Retrains that are killed, raced and paused, as the benchmarks do it, in small."""

import pytest

from benchmarks.kill import kill_many
from benchmarks.race import race
from service.store.database import Database

pytestmark = pytest.mark.slow


@pytest.fixture
def migrated_url(store_url):
    """Address of an empty store with its tables, on each engine in turn."""
    with Database(store_url) as database:
        database.migrate()
    return store_url


def test_of_retrains_begun_at_once_one_publishes_and_one_paused_past_its_lease_does_not(migrated_url):
    seen = race(migrated_url, races=4, pauses=2)
    assert seen.faults == []
    assert seen.publishers == {1: 4}
    assert sum(seen.reasons.values()) == 4 * 3
    assert seen.pauses["published late"] == 0
    assert sum(seen.pauses.values()) == 2


def test_a_retrain_killed_at_any_moment_is_as_if_it_had_never_been(migrated_url, tmp_path):
    seen = kill_many(migrated_url, tmp_path, kills=3, funnels=3)
    assert seen.faults == []
    assert sum(seen.kills.values()) == 3
    assert seen.completed == seen.kills["before it published"] == len(seen.ended_after)
    assert seen.answers > 0
    assert all(seconds < 40 for seconds in seen.ended_after)
