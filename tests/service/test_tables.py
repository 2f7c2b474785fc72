"""Tables for people: no column twice, and no note without what it is about."""

import pytest

from service.cli.reading import lines_from_report
from service.cli.tables import print_forecast
from service.ingest import IngestReport


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
        "declared": [], "repairs": [], "steps": steps,
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


def test_a_note_is_told_once_with_the_series_it_is_about(capsys):
    def series(stage, segment, *repairs):
        return {
            "stage": stage, "segment": segment, "model": "m", "reliable_until": 1, "fallback_reason": None,
            "refused": None, "declared": [], "repairs": repairs, "steps": [],
        }  # fmt: skip

    made = [series(stage, segment, f"{stage} skipped", "gap") for stage in ("lead", "won") for segment in ("a", "b")]
    made.append(series("won", "c", "odd"))
    head = {"funnel": "f", "version": 1, "cutoff": "2024-03-31", "stale": False, "frequency": "day", "horizon": 1}
    print_forecast({**head, "levels": [80], "forecasts": made})
    said = capsys.readouterr().out.splitlines()[-4:]
    assert said == ["lead, 2 series: lead skipped", "4 series: gap", "won, 2 series: won skipped", "won of c: odd"]


@pytest.mark.parametrize(("rows", "said"), [(1, "1 event read"), (0, "0 events read"), (1200, "1,200 events read")])
def test_one_row_is_spoken_of_as_one(rows, said):
    report = IngestReport("f", "events", 1, rows, rows, 0, 0, 0, 1, {}, {}, {}, None, ())
    first, retracted = lines_from_report(report)
    assert first.startswith(f"f: {said}: ")
    assert retracted == "retracted: 1 event that is stored and not told any more"
