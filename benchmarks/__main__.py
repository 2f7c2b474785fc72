"""`python -m benchmarks [NAME ...] [--json FILE]`: runs all benchmarks, or the named ones."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    cases,
    changes,
    cold_start,
    conversion,
    dashboard,
    declared,
    due,
    ingest,
    kill,
    lateness,
    live,
    months,
    oracle,
    race,
    retrain,
    segments,
    shock,
    smoothing,
    value,
    weekdays,
)
from benchmarks.report import Result, as_json

BENCHMARKS: dict[str, Callable[[], Result]] = {
    "smoothing": smoothing.run,
    "conversion": conversion.run,
    "cases": cases.run,
    "cold_start": cold_start.run,
    "dashboard": dashboard.run,
    "ingest": ingest.run,
    "kill": kill.run,
    "race": race.run,
    "retrain": retrain.run,
    "oracle": oracle.run,
    "shock": shock.run,
    "live": live.run,
    "lateness": lateness.run,
    "segments": segments.run,
    "value": value.run,
    "declared": declared.run,
    "months": months.run,
    "changes": changes.run,
    "due": due.run,
    "weekdays": weekdays.run,
}


def main() -> int:
    """Run, print, and return 1 when a bar was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; none: all")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there; '-' for standard output")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(BENCHMARKS)):
        parser.error(f"no benchmark named {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    results = []
    for name in arguments.names or BENCHMARKS:
        print(f"running {name} ...", file=sys.stderr)
        result = BENCHMARKS[name]()
        results.append(result)
        result.print(file=sys.stderr if str(arguments.json) == "-" else None)
    if arguments.json is not None:
        text = as_json(results) + "\n"
        if str(arguments.json) == "-":
            sys.stdout.write(text)
        else:
            arguments.json.write_text(text, encoding="utf-8")
    return 0 if all(bar.kept for result in results for bar in result.bars) else 1


if __name__ == "__main__":
    sys.exit(main())
