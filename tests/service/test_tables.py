"""Tables for people: no column twice."""

import pytest

from service.cli.tables import print_forecast


@pytest.mark.parametrize(
    ("unit", "horizon", "columns"),
    [
        ("day", 28, ["next day", "next 7 days", "next 28 days"]),
        ("day", 7, ["next day", "next 7 days"]),
        ("day", 3, ["next day", "next 3 days"]),
        ("day", 1, ["next day"]),
        ("week", 4, ["next week", "next 4 weeks"]),
        ("week", 1, ["next week"]),
    ],
)
def test_each_sum_stands_in_one_column(capsys, unit, horizon, columns):
    steps = [{"mean": 2.0, "intervals": {"80": [1.0, 3.0]}} for _ in range(horizon)]
    series = {
        "stage": "won", "model": "cascade", "reliable_until": horizon, "fallback_reason": None, "refused": None,
        "repairs": [], "steps": steps,
    }  # fmt: skip
    document = {
        "funnel": "sales", "version": 1, "cutoff": "2024-03-31", "stale": False, "frequency": unit,
        "horizon": horizon, "levels": [80], "forecasts": [{**series, "segment": name} for name in ("total", "north")],
    }  # fmt: skip
    print_forecast(document)
    _, _, header, *rows = capsys.readouterr().out.splitlines()
    assert header.count("next ") == len(columns)
    for column in columns:
        assert header.count(column) == 1
    assert f"{2.0 * horizon:.1f}" in rows[0]
