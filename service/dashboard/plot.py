"""Charts as SVG: the marks stretch with the page, the words beside them keep their size.

Colours and line widths are those of the style sheet, by class: nothing is styled inline.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal

import numpy as np
import numpy.typing as npt

Values = Sequence[float] | npt.NDArray[np.float64]

WIDTH = 1000
"""Units across; what they measure on the screen is the page's."""
TOP, FOOT = 14, 26
"""Pixels above and below the marks; those beside them are the style sheet's."""


@dataclass(slots=True)
class Plot:
    """One chart being drawn: `length` places on the x axis, values from 0 to `top`.

    Parameters
    ----------
    title, text
        What a screen reader says: its name, and what is to be seen.
    height
        Pixels of the marks.
    form
        How the axis is written; `percent` of shares.
    bare
        Without axis and words, as small as a line of text.
    """

    title: str
    text: str
    length: int
    top: float
    height: int = 220
    form: Literal["number", "percent"] = "number"
    bare: bool = False
    marks: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.top, ticks = axis(self.top)
        for tick in () if self.bare else ticks:
            y = self.y(tick)
            self.marks.append(f'<line class="grid" x1="0" x2="{WIDTH}" y1="{y}" y2="{y}"/>')
            self.words.append(f'<text class="tick end" x="-6" y="{y + 4}">{self.written(tick)}</text>')

    def written(self, value: float) -> str:
        """A value as the axis says it."""
        return f"{100 * value:g} %" if self.form == "percent" else f"{value:,g}"

    def x(self, place: float) -> float:
        """Units from the left of the middle of a place, 0 .. length - 1."""
        return round(WIDTH * (place + 0.5) / max(self.length, 1), 1)

    def y(self, value: float) -> float:
        """Pixels from the top of a value."""
        return round(self.height * (1 - min(value, self.top) / self.top), 1)

    def line(self, values: Values, *, kind: str, start: int = 0) -> None:
        """A line from `start` on, broken where a value is not finite."""
        path, pen = [], "M"
        for place, value in enumerate(values, start=start):
            if math.isfinite(value):
                path.append(f"{pen}{self.x(place)} {self.y(value)}")
            pen = "L" if math.isfinite(value) else "M"
        self.marks.append(f'<path class="{kind}" d="{"".join(path)}"/>')

    def band(self, low: Values, high: Values, *, kind: str, start: int = 0) -> None:
        """The area between two lines."""
        over = [f"{self.x(place)} {self.y(value)}" for place, value in enumerate(high, start=start)]
        under = [f"{self.x(place)} {self.y(value)}" for place, value in enumerate(low, start=start)]
        if over:
            self.marks.append(f'<path class="{kind}" d="M{"L".join([*over, *reversed(under)])}Z"/>')

    def bars(self, values: Values, *, kind: str, share: float = 0.36, shift: float = 0.0) -> None:
        """Bars from 0, `share` of a place wide, moved by `shift` places."""
        wide = WIDTH * share / max(self.length, 1)
        for place, value in enumerate(values):
            if math.isfinite(value):
                x, y = self.x(place + shift) - wide / 2, self.y(value)
                self.marks.append(
                    f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{self.height - y:.1f}"/>'
                )

    def stretch(self, first: float, last: float, *, kind: str, text: str) -> None:
        """A shaded stretch of places, with what it is."""
        x, end = self.x(first - 0.5), self.x(last + 0.5)
        self.marks.append(
            f'<rect class="{kind}" x="{x}" y="0" width="{end - x:.1f}" height="{self.height}">'
            f"<title>{escape(text)}</title></rect>"
        )

    def across(self, value: float, *, kind: str) -> None:
        """A level line."""
        y = self.y(value)
        self.marks.append(f'<line class="{kind}" x1="0" x2="{WIDTH}" y1="{y}" y2="{y}"/>')

    def upright(self, place: float, *, kind: str, text: str = "") -> None:
        """An upright line, with a word at its top."""
        x = self.x(place)
        self.marks.append(f'<line class="{kind}" x1="{x}" x2="{x}" y1="0" y2="{self.height}"/>')
        if text:
            self.note(place, text)

    def note(self, place: float, text: str, *, y: int = 10) -> None:
        """A word near the top, beside a place."""
        x = self.x(place)
        side, gap = ("end", -5) if x > WIDTH / 2 else ("begin", 5)
        self.words.append(f'<text class="note {side}" x="{x / 10:.2f}%" dx="{gap}" y="{y}">{escape(text)}</text>')

    def labels(self, names: Iterable[tuple[float, str]]) -> None:
        """Words under the axis, by place."""
        for place, name in names:
            self.words.append(
                f'<text class="tick middle" x="{self.x(place) / 10:.2f}%" y="{self.height + 18}">{escape(name)}</text>'
            )

    def svg(self) -> str:
        """The chart."""
        if self.bare:
            box = f'viewBox="0 0 {WIDTH} {self.height}" preserveAspectRatio="none" height="{self.height}"'
            label = escape(f"{self.title}. {self.text}")
            return f'<svg class="plot spark" role="img" aria-label="{label}" {box}>{"".join(self.marks)}</svg>'
        whole = TOP + self.height + FOOT
        inner = f'class="plot" y="{TOP}" width="100%" height="{self.height}"'
        return (
            f'<svg class="chart" role="img" height="{whole}" aria-label="{escape(f"{self.title}. {self.text}")}">'
            f'<svg {inner} viewBox="0 0 {WIDTH} {self.height}" preserveAspectRatio="none">{"".join(self.marks)}</svg>'
            f'<svg {inner} overflow="visible">{"".join(self.words)}</svg></svg>'
        )


def axis(top: float) -> tuple[float, list[float]]:
    """A round upper end at or above `top`, and three to six ticks from 0 to it."""
    if not math.isfinite(top) or top <= 0:
        return 1.0, [0.0, 1.0]
    rough = top / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough * 0.999)
    count = math.ceil(top / step - 1e-9)
    return step * count, [step * tick for tick in range(count + 1)]


def funnel_shape(before: float, after: float) -> str:
    """One stage of a drawn funnel: as wide as its share of the largest at the top, as the next one below it."""
    high, low = (max(0.02, min(1.0, share)) * WIDTH for share in (before, after))
    points = [((WIDTH - high) / 2, 0), ((WIDTH + high) / 2, 0), ((WIDTH + low) / 2, 64), ((WIDTH - low) / 2, 64)]
    path = " ".join(f"{x:.0f},{y}" for x, y in points)
    return (
        f'<svg class="funnel" viewBox="0 0 {WIDTH} 64" preserveAspectRatio="none" aria-hidden="true">'
        f'<polygon points="{path}"/></svg>'
    )
