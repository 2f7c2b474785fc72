"""Yesterday's forecasts against what came: hand-made versions whose comparison is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from models.forecast import QUANTILES, Forecast
from models.funnel import Funnel
from service.dashboard.lookback import look_back
from service.serving import Served

CUTOFF = date(2026, 11, 20)


def version(mean, *, cutoff=CUTOFF, observed=(), number=1):
    """One stage, forecast at `mean` each day, the 80 % interval one to each side."""
    means = np.asarray(mean, dtype=float)
    quantiles = means[:, None] + np.linspace(-1.0, 1.0, len(QUANTILES)) * 1.25  # 0.1 and 0.9 lie at -1 and +1
    forecast = Forecast("total", "won", cutoff, "m", means, quantiles)
    return Served(
        name="f",
        funnel=Funnel(("won",)),
        version_id=number,
        version=number,
        published_at=datetime(2026, 11, 21, tzinfo=UTC),
        cutoff=cutoff,
        horizon=len(means),
        model="m",
        reason="",
        forecasts={("total", "won"): forecast},
        scorecard=(),
        quality={},
        observed={("total", "won"): np.asarray(observed, dtype=float)},
    )


def test_one_day_later_the_first_step_is_compared_and_the_rest_is_stable_or_not():
    earlier = version([10.0, 20.0, 20.0, 20.0])
    later = version([22.0, 18.0, 20.0, 30.0], cutoff=CUTOFF + timedelta(days=1), observed=[5, 5, 12.0], number=2)
    (found,) = look_back(earlier, later, segment="total")
    assert (found.forecast, found.came, found.error) == (10.0, 12.0, -2.0)
    assert (found.inside, found.steps) == (0, 1)
    assert found.moved == pytest.approx(4 / 60)
    assert found.drift == pytest.approx(0.0)


def test_of_many_days_the_latest_seven_count_and_unobserved_ones_do_not():
    earlier = version(np.arange(10.0, 30.0))
    observed = np.arange(10.0, 20.0)
    observed[-1] = np.nan
    later = version(np.full(20, 20.0), cutoff=CUTOFF + timedelta(days=10), observed=observed, number=2)
    (found,) = look_back(earlier, later, segment="total")
    assert found.steps == found.inside == 6
    assert found.forecast == found.came == sum(range(13, 19))


def test_what_cannot_be_compared_is_left_out():
    earlier = version([10.0, 20.0])
    same = version([10.0, 20.0], observed=[1.0], number=2)
    far = version([10.0, 20.0], cutoff=CUTOFF + timedelta(days=5), observed=np.ones(9), number=2)
    bare = replace(far, cutoff=CUTOFF + timedelta(days=1), observed={})
    for later in (same, far, bare):
        assert look_back(earlier, later, segment="total") == []
    assert look_back(earlier, replace(far, cutoff=CUTOFF + timedelta(days=1)), segment="north") == []
