"""Simulated funnels whose truth is known: for the demo, the tests and the oracle benchmark.

spec     what a funnel is made of           clocks  its hazards
truth    expected counts from the hazards   draw    entities and their days
rows     instants, values, due dates        funnel  simulate, outlook
demo     a B2B sales funnel                 dirt    a realistic dirty export
"""

from models.simulate.demo import DEMO_DAYS, demo_spec
from models.simulate.dirt import Dirt, make_dirty
from models.simulate.funnel import Outlook, Simulation, outlook, simulate
from models.simulate.spec import (
    FLAT,
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

__all__ = [
    "DEMO_DAYS",
    "FLAT",
    "Arrivals",
    "Campaign",
    "Delay",
    "Dirt",
    "Due",
    "Exit",
    "FunnelSpec",
    "Late",
    "LevelShift",
    "Outlook",
    "Segment",
    "Simulation",
    "Transition",
    "Value",
    "demo_spec",
    "make_dirty",
    "outlook",
    "simulate",
]
