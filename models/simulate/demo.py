"""The funnel of the demo: a B2B sales pipeline."""

from __future__ import annotations

from datetime import date, timedelta

import holidays

from models.simulate.spec import (
    Arrivals,
    Campaign,
    Delay,
    Due,
    Exit,
    FunnelSpec,
    Late,
    LevelShift,
    Segment,
    Transition,
    Value,
)

DEMO_DAYS = 400
DEMO_START = date(2025, 1, 6)
OFFICE = (1.25, 1.3, 1.25, 1.2, 1.0, 0.12, 0.08, 0.05)
"""Conversion needs somebody at the desk."""


def demo_spec(*, start: date = DEMO_START) -> FunnelSpec:
    """Five stages, three segments; about 200,000 event rows in `DEMO_DAYS` days from `start`."""
    lost, cold = Delay(14, spread=0.7), Delay(9, spread=0.8)
    return FunnelSpec(
        stages=("lead", "qualified", "offer_sent", "negotiation", "won"),
        transitions=(
            Transition(0.55, Delay(2, spread=0.9), exits=(Exit("disqualified", 0.38, cold),), day_effect=OFFICE),
            Transition(0.60, Delay(5, spread=0.7), exits=(Exit("lost", 0.30, lost),), day_effect=OFFICE),
            Transition(0.62, Delay(4, spread=0.8), exits=(Exit("lost", 0.30, lost),), day_effect=OFFICE),
            Transition(
                0.52,
                Delay(12, spread=0.6),
                exits=(Exit("lost", 0.42, lost),),
                day_effect=OFFICE,
                due=Due(share=0.6, lead=Delay(15, spread=0.5, longest=90), on_time=0.4, early=4, late=10),
            ),
        ),
        segments=(
            Segment("smb", 0.62, conversion=0.95, delay=0.8),
            Segment("mid_market", 0.29, conversion=1.05),
            Segment("enterprise", 0.09, conversion=1.1, delay=1.5),
        ),
        arrivals=demo_arrivals(start),
        start=start,
        timezone="Europe/Amsterdam",
        holidays=public_holidays("NL", start=start, days=2 * DEMO_DAYS),
        value=Value("offer_sent", median=4_200.0),
        late=Late(0.02, Delay(2)),
    )


def demo_arrivals(start: date) -> Arrivals:
    """Leads a day: office weeks, two campaigns, one lasting rise and a slow wave."""
    return Arrivals(
        level=166.0,
        day_effect=(1.25, 1.3, 1.25, 1.2, 1.05, 0.5, 0.45, 0.4),
        campaigns=(
            Campaign("spring campaign", start + timedelta(95), start + timedelta(104), 1.6),
            Campaign("autumn campaign", start + timedelta(265), start + timedelta(278), 1.5),
        ),
        shifts=(LevelShift(start + timedelta(210), 1.2),),
        wave=0.12,
        wave_days=240.0,
        dispersion=0.015,
    )


def public_holidays(country: str, *, start: date, days: int) -> tuple[date, ...]:
    """Public holidays of `country` from `start` on."""
    end = start + timedelta(days=days)
    calendar = holidays.country_holidays(country, years=range(start.year, end.year + 1))
    return tuple(sorted(day for day in calendar if start <= day < end))
