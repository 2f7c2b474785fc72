"""Pictures: what is drawn is what the frame says."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

mpl.use("Agg")

from matplotlib import pyplot as plt

from service import plot
from service.plot import BANDS


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def frame():
    """Two stages of five steps; the last two are not reliable, and the first stage is not told apart."""
    steps = np.arange(1, 6)
    parts = []
    for stage, mean in (("lead", 10.0), ("won", 4.0)):
        part = pd.DataFrame({"segment": "total", "stage": stage, "step": steps, "mean": mean + steps})
        part["ds"] = pd.date_range("2024-03-01", periods=5)
        for place, name in enumerate(["q0.025", "q0.1", "q0.9", "q0.975"]):
            part[name] = part["mean"] + (-3, -1, 1, 3)[place]
        part["in_flight"] = np.nan if stage == "lead" else part["mean"] / 4
        part["new"] = part["mean"] - part["in_flight"]
        part["reliable"] = part["step"] <= 3
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def test_a_fan_shows_both_intervals_the_mean_and_where_it_stops_being_reliable(frame):
    won = frame[frame["stage"] == "won"]
    actual = pd.Series([1.0, 2.0], index=pd.date_range("2024-02-28", periods=2))
    ax = plot.fan(won, actual=actual)
    lines = {line.get_label(): line.get_ydata().tolist() for line in ax.get_lines()}
    assert lines == {"mean": [5, 6, 7], "mean, not reliable": [7, 8, 9], "actual": [1, 2]}
    tops = [collection.get_paths()[0].vertices[:, 1].max() for collection in ax.collections]
    assert tops == [won[upper].max() for _, upper, _, _ in BANDS]
    assert ax.get_title() == "won (total)"


def test_a_fan_of_several_series_is_refused(frame):
    with pytest.raises(ValueError, match="the frame has 2"):
        plot.fan(frame)


def test_a_funnel_adds_up_what_is_in_flight_and_new(frame):
    ax = plot.funnel(frame)
    drawn = {group.get_label(): [bar.get_width() for bar in group] for group in ax.containers}
    assert drawn == {"in flight": [35 / 4, 0], "new": [35 * 3 / 4, 0], "not told apart": [0, 65]}
    with pytest.raises(ValueError, match="no segment 'north'"):
        plot.funnel(frame, segment="north")


def test_a_response_has_a_line_for_each_stage_on_the_axes_that_are_given(frame):
    _, ax = plt.subplots()
    steps = frame.assign(change=frame["step"] * 2.0)
    assert plot.response(steps, ax=ax) is ax
    drawn = {
        line.get_label(): list(line.get_ydata()) for line in ax.get_lines() if not line.get_label().startswith("_")
    }
    assert drawn == {"lead": [2, 4, 6, 8, 10], "won": [2, 4, 6, 8, 10]}
    with pytest.raises(ValueError, match="no segment"):
        plot.response(steps, segment="north")
