"""Scores by step bucket, and how far a forecast can be relied on."""

import numpy as np
import pytest

from models.forecast import QUANTILES
from models.skill import Evidence, coverage_from_scores, reliable_until, scores_from_evidence, sums_from_evidence

COLUMNS = len(QUANTILES)


def evidence(*, ours: float, naive: float, late: float | None = None, horizon: int = 28) -> Evidence:
    """Actuals of 10; both forecasts are sharp, off by `ours` and `naive`, ours from step 8 on by `late`."""
    actual = np.full((4, horizon), 10.0)
    mine = np.full((4, horizon), 10.0 + ours)
    if late is not None:
        mine[:, 7:] = 10.0 + late
    return Evidence(
        segment="total",
        stage="won",
        mean=mine,
        quantiles=np.repeat(mine[:, :, None], COLUMNS, axis=2),
        naive=np.full((4, horizon, COLUMNS), 10.0 + naive),
        actual=actual,
        scale=2.0,
    )


def test_skill_is_the_share_of_the_naive_loss_that_is_saved():
    scores = scores_from_evidence(evidence(ours=1.0, naive=4.0))
    assert [score.steps for score in scores] == ["1", "2-3", "4-7", "8-14", "15-28"]
    for score in scores:
        assert score.skill == pytest.approx(0.75)
        assert score.wql == pytest.approx(0.1)
        assert score.bias == pytest.approx(0.1)
        assert score.mase == pytest.approx(0.5)
    assert sum(score.n for score in scores) == 4 * 28


def relied_on(evidence: Evidence) -> int:
    return reliable_until(sums_from_evidence(evidence)[None], horizon=evidence.actual.shape[1]).item()


def test_a_forecast_is_relied_on_up_to_the_last_block_before_it_loses_to_naive():
    assert relied_on(evidence(ours=1.0, naive=2.0)) == 28
    assert relied_on(evidence(ours=1.0, naive=2.0, horizon=10)) == 10
    assert relied_on(evidence(ours=1.0, naive=2.0, late=3.0)) == 7
    assert relied_on(evidence(ours=3.0, naive=2.0, late=0.0)) == 0


def test_without_actuals_nothing_is_called_reliable():
    unknown = evidence(ours=0.0, naive=1.0)
    unknown.actual[:] = np.nan
    assert relied_on(unknown) == 0


def test_actuals_that_have_not_come_are_not_counted():
    partial = evidence(ours=0.0, naive=1.0)
    partial.actual[:, 3:] = np.nan
    scores = scores_from_evidence(partial)
    assert [(score.steps, score.n) for score in scores] == [("1", 4), ("2-3", 8)]


def test_coverage_is_over_all_buckets_with_its_sample_size():
    measured = coverage_from_scores(scores_from_evidence(evidence(ours=0.0, naive=1.0)))
    assert measured[80].measured == 1.0
    assert measured[95].samples == 4 * 28
    assert coverage_from_scores(()) == {}


def test_each_level_counts_the_actuals_within_its_own_quantiles_and_errors_are_of_the_median():
    quantiles = np.array(QUANTILES) * 100
    actual = np.array([[50.0, 85.0, 95.0, 99.0]])  # inside both, both, the wider one, and neither
    spread = Evidence(
        segment="total",
        stage="won",
        mean=np.full((1, 4), 60.0),
        quantiles=np.tile(quantiles, (1, 4, 1)),
        naive=np.tile(quantiles, (1, 4, 1)),
        actual=actual,
        scale=1.0,
    )
    measured = coverage_from_scores(scores_from_evidence(spread))
    assert (measured[80].measured, measured[95].measured) == (0.5, 0.75)
    first, second, third = scores_from_evidence(spread)
    assert [score.mase for score in (first, second, third)] == [0.0, 40.0, 49.0]
    assert second.wmape == pytest.approx((35 + 45) / (85 + 95))
    assert first.bias == pytest.approx(10 / 50)
