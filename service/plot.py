"""Pictures of what `service.client` returns; needs matplotlib, which the extra `notebooks` brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

BANDS = (("q0.025", "q0.975", "95 %", 0.15), ("q0.1", "q0.9", "80 %", 0.3))
"""Lower and upper column, label and opacity, the widest first."""
BLUE, ORANGE, GREY = "#3b6ea8", "#d98c3f", "#888888"


def fan(frame: pd.DataFrame, *, actual: pd.Series[float] | None = None, ax: Axes | None = None) -> Axes:
    """Mean with its 80 % and 95 % intervals; steps past the reliable ones are dotted.

    Parameters
    ----------
    frame
        Rows of one segment and stage, as `Client.forecast` returns them.
    actual
        Counts by day, drawn beside it: the past, or what came.

    Raises
    ------
    ValueError
        When the frame does not hold exactly one series.
    """
    series = frame[["segment", "stage"]].drop_duplicates().to_numpy().tolist()
    if len(series) != 1:
        raise ValueError(f"a fan shows one segment and stage, and the frame has {len(series)}: select one")
    ax = _axes(ax)
    days, mean = frame["ds"].to_numpy(), frame["mean"].to_numpy()
    for lower, upper, label, alpha in BANDS:
        ax.fill_between(days, frame[lower], frame[upper], color=BLUE, alpha=alpha, linewidth=0, label=label)
    reliable = int(frame["reliable"].sum())
    ax.plot(days[:reliable], mean[:reliable], color=BLUE, label="mean")
    if reliable < len(days):
        since = max(reliable - 1, 0)
        ax.plot(days[since:], mean[since:], color=BLUE, linestyle=":", label="mean, not reliable")
    if actual is not None:
        ax.plot(actual.index.to_numpy(), actual.to_numpy(), color="black", linewidth=0.8, label="actual")
    segment, stage = series[0]
    return _finish(ax, title=f"{stage} ({segment})")


def funnel(frame: pd.DataFrame, *, segment: str = "total", ax: Axes | None = None) -> Axes:
    """What the stages of one segment add up to over the horizon: already in flight, and still to enter.

    `frame` is what `Client.forecast` returns. A stage whose forecast does not tell the two apart is grey.
    Raises ValueError for a segment that the frame does not have.
    """
    rows = frame[frame["segment"] == segment]
    if rows.empty:
        raise ValueError(f"the frame has no segment {segment!r}; there are {sorted(set(frame['segment']))}")
    sums = rows.groupby("stage", sort=False)[["mean", "in_flight", "new"]].sum(min_count=1).iloc[::-1]
    apart = sums["in_flight"].notna()
    ax = _axes(ax)
    ax.barh(sums.index, sums["in_flight"].fillna(0.0), color=BLUE, label="in flight")
    ax.barh(sums.index, sums["new"].fillna(0.0), left=sums["in_flight"].fillna(0.0), color=ORANGE, label="new")
    if not apart.all():
        ax.barh(sums.index, sums["mean"].where(~apart, 0.0), color=GREY, label="not told apart")
    ax.margins(x=0.12)
    for place, mean in enumerate(sums["mean"]):
        ax.annotate(f" {mean:,.0f}", (mean, place), va="center")
    return _finish(ax, title=f"next {rows['step'].max()} steps ({segment})", dates=False)


def response(steps: pd.DataFrame, *, segment: str = "total", ax: Axes | None = None) -> Axes:
    """Change at each stage by day: `Scenario.steps`. Raises ValueError for a segment that is not there."""
    rows = steps[steps["segment"] == segment]
    if rows.empty:
        raise ValueError(f"the scenario has no segment {segment!r}; there are {sorted(set(steps['segment']))}")
    ax = _axes(ax)
    for stage, part in rows.groupby("stage", sort=False):
        ax.plot(part["ds"].to_numpy(), part["change"].to_numpy(), label=str(stage))
    ax.axhline(0.0, color=GREY, linewidth=0.8)
    return _finish(ax, title=f"change by day ({segment})")


def _axes(ax: Axes | None) -> Axes:
    """The given axes, or new ones."""
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt  # noqa: PLC0415 - only who draws needs it

    return plt.subplots(figsize=(8, 3.2))[1]


def _finish(ax: Axes, *, title: str, dates: bool = True) -> Axes:
    """Title, legend and readable days."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415

    if dates:
        locator = AutoDateLocator()  # type: ignore[no-untyped-call]
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    ax.set_title(title)
    ax.legend(frameon=False, fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)
    return ax
