"""Pages from templates: everything is escaped, numbers are written one way."""

from __future__ import annotations

import math
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from jinja2 import Environment

UNKNOWN = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
HERE = Path(__file__).parent
STATIC = {
    "dashboard.css": "text/css",
    "dashboard.js": "text/javascript",
    "levers.js": "text/javascript",
    "upload.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
"""Files that pages refer to, and what they are."""


@lru_cache(maxsize=1)
def templates() -> Environment:
    """Where the templates come from; each is loaded when it is first used."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - not needed to start

    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {each.__name__: each for each in (number, exact, decimals, more, percent, signed, moment)}
    environment.filters["day"] = long_day
    environment.globals["link"] = link
    return environment


def load_templates() -> None:
    """Load all templates now, so that the first page need not wait for them."""
    environment = templates()
    for name in environment.list_templates():
        environment.get_template(name)


def page(template: str, **values: Any) -> str:
    """The HTML of a page."""
    return templates().get_template(template).render(**values)


@lru_cache
def static_file(name: str) -> bytes | None:
    """A file of STATIC; None for any other name."""
    return (HERE / "static" / name).read_bytes() if name in STATIC else None


def link(path: str, **query: Any) -> str:
    """An address with a query string, without what is None."""
    return f"{path}?{urlencode({name: value for name, value in query.items() if value is not None})}"


def number(value: float | None) -> str:
    """1,234 or 12.3; a dash for what is not known."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:,.1f}"


def percent(value: float | None, digits: int = 0) -> str:
    """12 %."""
    return UNKNOWN if value is None or not math.isfinite(value) else f"{100 * value:.{digits}f} %"


def signed(value: float | None) -> str:
    """+12 %."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{round(100 * value):+d} %".replace("-", MINUS) if round(100 * value) else "0 %"


def exact(value: float | None) -> str:
    """1,234.5: one digit, whatever the size, for columns of figures that are compared."""
    return UNKNOWN if value is None or not math.isfinite(value) else f"{value:,.1f}".replace("-", MINUS)


def decimals(value: float | None) -> str:
    """0.213: a loss."""
    return UNKNOWN if value is None or not math.isfinite(value) else f"{value:.3f}"


def more(value: float | None) -> str:
    """+12.3."""
    return UNKNOWN if value is None or not math.isfinite(value) else f"{value:+,.1f}".replace("-", MINUS)


def moment(value: datetime | str | None) -> str:
    """2026-11-24 06:30 UTC."""
    if value is None:
        return UNKNOWN
    instant = datetime.fromisoformat(value) if isinstance(value, str) else value
    return f"{instant:%Y-%m-%d %H:%M} {instant:%Z}".strip()


def long_day(value: date) -> str:
    """Tue 24 Nov 2026."""
    return f"{value:%a} {value.day} {value:%b %Y}"
