"""The page of levers: a form whose address says all that is set, and what it changes, also alone for the script."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import HTMLResponse

from models.errors import NearcastError
from models.funnel import TOTAL
from service.dashboard.levers import (
    KINDS,
    MOST,
    LeverRow,
    amount_bounds,
    response_page,
    rows_from_lists,
    scenario_from_rows,
)
from service.dashboard.rendering import page
from service.dashboard.stage import horizons_of
from service.problems import document_from_problem, problem_from_error
from service.routes.context import Context, Resources
from service.routes.pages import HEADERS, Page, Text, chosen, show
from service.selection import SeriesNotFoundError, checked_horizon
from service.serving import Served
from service.store.versions import read_responses

Texts = Annotated[list[str] | None, Query(max_length=50)]

router = APIRouter(route_class=Page, include_in_schema=False)


@dataclass(frozen=True, slots=True)
class LeverQuery:
    """The form, as its address says it; `more` and `without` are its buttons."""

    funnel: Text = None
    segment: Text = None
    horizon: Annotated[int | None, Query()] = None
    kind: Texts = None
    stage: Texts = None
    amount: Texts = None
    start: Texts = None
    end: Texts = None
    more: Text = None
    without: Annotated[int | None, Query(ge=0, le=MOST)] = None

    def rows(self, served: Served) -> list[LeverRow]:
        """The levers, one more or fewer when a button says so; to begin with, a tenth more at the first stage."""
        rows = rows_from_lists(
            self.kind or (), self.stage or (), self.amount or (), self.start or (), self.end or ()
        ) or [LeverRow("inflow", served.funnel.stages[0], "10")]
        if self.without is not None:
            rows = rows[: self.without] + rows[self.without + 1 :]
        if (self.more and len(rows) < MOST) or not rows:
            rows.append(
                LeverRow("inflow" if len(served.funnel.stages) < 2 else "conversion", served.funnel.stages[-1], "")
            )
        return rows


Asked = Annotated[LeverQuery, Depends()]


@router.get("/levers")
def get_levers(context: Context, asked: Asked) -> HTMLResponse:
    """The levers, and what they change."""
    name, served = chosen(context, asked.funnel)
    if served is None:
        return show("empty.html", context, here="/levers", funnel=name)
    segment, rows = known_segment(served, asked.segment), asked.rows(served)
    found, status = answer(context, served, rows, asked)
    values = {
        "served": served,
        "segment": segment,
        "segments": list(dict.fromkeys(segment for segment, _ in served.forecasts)),
        "horizon": checked_horizon(served, None) if asked.horizon is None else asked.horizon,
        "horizons": horizons_of(served),
        "rows": rows,
        "kinds": KINDS,
        "most": MOST,
        "bounds": amount_bounds(served, segment),
        "unit": served.funnel.frequency,
    }
    return show("levers.html", context, here="/levers", funnel=name, status=status, **values, **found)


@router.get("/levers/answer")
def get_answer(context: Context, asked: Asked) -> Response:
    """What the levers change, without the page around it."""
    name, served = chosen(context, asked.funnel)
    if served is None:
        return Response(status_code=404)
    known_segment(served, asked.segment)
    found, _ = answer(context, served, asked.rows(served), asked)
    text = page("response.html", funnel=name, unit=served.funnel.frequency, **found)
    return HTMLResponse(text, headers=HEADERS)  # a browser reports any other status to its console


def answer(context: Resources, served: Served, rows: list[LeverRow], asked: LeverQuery) -> tuple[dict[str, Any], int]:
    """What the levers change and 200, or why they cannot be moved so, with the status that the API would give."""
    try:
        scenario = scenario_from_rows(rows, segment=asked.segment or TOTAL, horizon=asked.horizon)
        with context.database.read() as connection:
            packed = read_responses(connection, served.version_id, scenario.segments)
        found = response_page(served, packed, scenario, stale=context.serving.stale)
    except NearcastError as error:
        problem = problem_from_error(error)
        if problem.status >= 500:
            raise
        said: dict[str, Any] = {"document": None, "shown": [], "total": [], "summary": problem.detail}
        return {**said, "problem": document_from_problem(problem)}, problem.status
    return {**found, "problem": None}, 200


def known_segment(served: Served, segment: str | None) -> str:
    """The segment asked for, the total when none is. Raises SeriesNotFoundError."""
    segments = tuple(dict.fromkeys(segment for segment, _ in served.forecasts))
    if segment and segment not in segments:
        raise SeriesNotFoundError(
            f"no segment {segment!r} is forecast; there are {', '.join(segments[:20])}",
            stages=served.funnel.stages,
            segments=segments,
        )
    return segment or TOTAL
