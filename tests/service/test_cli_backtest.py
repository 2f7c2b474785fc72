"""`nearcast backtest`: what it writes, draws and scores, and what it leaves alone when it fails."""

import csv
import json

import pytest

from models.forecast import QUANTILES


@pytest.mark.one_engine
def test_backtest_writes_every_step_of_every_series_at_every_cutoff(nearcast, events, tmp_path):
    out = tmp_path / "forecasts.csv"
    done = nearcast(
        "backtest", str(events), "--stages", "lead,offer,won", "--exits", "lost", "--segment-by", "segment",
        "--start", "2024-01-01", "--cutoffs", "2024-03-10,2024-03-24", "--horizon", "14", "--out", str(out),
    )  # fmt: skip
    assert "Scorecard" in done.stdout
    rows = list(csv.DictReader(out.read_text().splitlines()))
    quantiles = [f"q{quantile:g}" for quantile in QUANTILES]
    assert list(rows[0]) == ["cutoff", "segment", "stage", "step", "mean", *quantiles, "in_flight", "new", "model"]
    assert len(rows) == 2 * 3 * 3 * 14
    assert {row["cutoff"] for row in rows} == {"2024-03-10", "2024-03-24"}
    assert {row["segment"] for row in rows} == {"total", "north", "south"}
    for row in rows:
        values = [float(row[name]) for name in quantiles]
        assert values == sorted(values)


@pytest.mark.slow
@pytest.mark.one_engine
def test_backtest_draws_how_the_error_grows_with_the_steps(nearcast, events):
    command = [
        "backtest", str(events), "--stages", "lead,offer,won", "--exits", "lost", "--segment-by", "segment",
        "--cutoffs", "2024-03-10,2024-03-24", "--horizon", "14", "--by-step",
    ]  # fmt: skip
    growth = json.loads(nearcast(*command, "--json").stdout)["error_growth"]
    assert [(row["stage"], row["steps"]) for row in growth] == [
        (stage, steps) for stage in ("lead", "offer", "won") for steps in ("1", "2-3", "4-7", "8-14")
    ]
    drawn = nearcast(*command).stdout.partition("Measured error by steps ahead")[2].splitlines()[2 : 2 + len(growth)]
    lengths = [line.rstrip().count("#") + line.count("|") for line in drawn]
    assert min(lengths) > 0
    for row, line in zip(growth, drawn, strict=True):
        assert f"{row['wql']:.3f}" in line
        assert "|" in line


@pytest.mark.slow
@pytest.mark.one_engine
def test_backtest_forecasts_the_same_whatever_rows_come_later(nearcast, sales_events, tmp_path):
    head, *rows = sales_events.splitlines()
    cut = [row for row in rows if row.split(",")[2] < "2024-03-11"]
    outputs = []
    for name, kept in (("whole", rows), ("cut", cut)):
        path, out = tmp_path / f"{name}.csv", tmp_path / f"{name}-forecasts.csv"
        path.write_text("\n".join([head, *kept]))
        nearcast(
            "backtest", str(path), "--stages", "lead,offer,won", "--exits", "lost", "--cutoffs", "2024-03-10",
            "--out", str(out),
        )  # fmt: skip
        outputs.append(out.read_bytes())
    assert outputs[0] == outputs[1]


@pytest.mark.one_engine
def test_backtest_looks_first_whether_its_output_can_be_written(told, tmp_path, monkeypatch):
    monkeypatch.setattr("service.cli.backtest.run", lambda *_, **__: pytest.fail("it was computed"))
    for out in (tmp_path / "nowhere" / "x.csv", tmp_path):
        code, _, text = told("backtest", "events.csv.gz", "--cutoffs", "2024-03-10", "--out", str(out))
        assert code == 2
        assert f"--out: {out} cannot be written" in text


@pytest.mark.one_engine
def test_a_backtest_that_fails_leaves_its_output_as_it_was(told, events, tmp_path):
    kept, absent = tmp_path / "kept.csv", tmp_path / "absent.csv"
    kept.write_text("worth keeping")
    for out in (kept, absent):
        code, _, text = told("backtest", str(events), "--cutoffs", "2031-03-01", "--out", str(out))
        assert code == 2
        assert "later than 2024-04-28, the last complete day" in text
    assert kept.read_text() == "worth keeping"
    assert not absent.exists()


@pytest.mark.one_engine
def test_backtest_reads_a_case_and_prints_scores_as_json(nearcast, events, tmp_path):
    case = {"stages": ["lead", "won"], "exits": ["lost"], "segment_by": "segment", "horizon": 7}
    (tmp_path / "case.json").write_text(json.dumps({**case, "cutoffs": ["2024-03-31"], "start": "2024-01-01"}))
    (tmp_path / "events.csv.gz").write_bytes(events.read_bytes())
    document = json.loads(nearcast("backtest", "--case", str(tmp_path), "--json").stdout)
    assert document["stages"] == ["lead", "won"]
    assert {score["stage"] for score in document["scorecard"]} == {"lead", "won"}
