"""What each ingredient of the forecasts is worth: the loss without it over the loss with it.

    make bench-ablation ARGS='DIRECTORY'         # of case folders; or NEARCAST_CASES; without: simulated funnels only

An ingredient is taken out by a few lines that are put at the end of a module, in a copy of the package.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import numpy as np

from benchmarks.cases import case_folders
from benchmarks.losses import Loss, tasks
from benchmarks.report import Result
from models import univariate

ROOT = Path(__file__).parent.parent
WORTH = 0.003
"""What is worth less should go."""


@dataclass(frozen=True, slots=True)
class Variant:
    """The product without one ingredient: `lines` at the end of `models/<module>.py`, by module.

    What they define must be there already, so that a renamed function or constant is noticed.
    """

    without: str
    lines: dict[str, str]


def without_experts(names: tuple[str, ...]) -> dict[str, str]:
    """Lines that leave out univariate experts."""
    return {
        "univariate": f"""
            _kept = [place for place, name in enumerate(EXPERTS) if name not in {names!r}]
            _run_all, EXPERTS = run_experts, tuple(EXPERTS[place] for place in _kept)
            def run_experts(*arguments, **named):
                forecasts, *others = _run_all(*arguments, **named)
                return forecasts[_kept], *others
        """
    }


FLAT = """
    _advance_all = advance
    def advance(*arguments, **named):
        *others, day_types = arguments
        return _advance_all(*others, np.zeros_like(day_types), **named)
"""
FLAT_FORECAST = """
    _forecast_all = forecast
    def forecast(state, day_types, inflow, **named):
        return _forecast_all(state, np.zeros_like(day_types), inflow, **named)
"""
MOVES = """
    _all_moves = moves_from_days
    def moves_from_days(here, following, exits, due, **named):
        return _all_moves(here, following, {exits}, {due}, **named)
"""
FADE = 'advance.__kwdefaults__["half_life"] = 1e6'

VARIANTS: tuple[Variant, ...] = (
    Variant("the cascade", {"cascade": "LEAST_OBSERVED = 10**9"}),
    Variant("the univariate forecast below the first stage", {"transition": "RIDGE, SAME_PERIOD = 1e9, 1.0"}),
    Variant("weekdays below the first stage", {"conversion": FLAT + FLAT_FORECAST, "lag": FLAT}),
    Variant("due dates", {"spells": MOVES.format(exits="exits", due="None")}),
    Variant("which due days are sought", {"pickup": "START = 1e12"}),
    Variant("exits", {"spells": MOVES.format(exits="np.full_like(exits, NEVER)", due="due")}),
    Variant(
        "returns from exits",
        {
            "conversion": """
                _all_hazards = _hazards
                @kernel
                def _hazards(converted, exited, at_risk, exposed, came):
                    convert, leave = _all_hazards(converted, exited, at_risk, exposed, came)
                    convert[PARKED] = 0.0
                    return convert, leave
            """
        },
    ),
    Variant("interactions of waiting time and weekday", {"hazards": "CELL_WEIGHT = 1e12"}),
    Variant("forgetting of conversions", {"conversion": "HALF_LIFE = 1e6"}),
    Variant("the recent level of conversions", {"hazards": "THRESHOLD = 1e12"}),
    Variant("the level of the lag", {"lag": "LEVEL_WEIGHT = 1e12"}),
    Variant(
        "holidays",
        {
            "plan": """
                def day_types(history, *, calendar, horizon):
                    kinds = Calendar(history.frequency).day_types(history.start, history.periods + horizon)
                    return kinds.astype(np.int64), None, None
            """
        },
    ),
    Variant(
        "doubt about holidays",
        {
            "doubt": """
                def make_doubt(day_types, plain, share):
                    return None
            """
        },
    ),
    Variant("months and fortnights", {"monthly": "THRESHOLD = 1e12"}),
    Variant("lasting changes of level", {"change": "ALARM = 1e12"}),
    Variant("lasting changes of weekdays", {"weekday": "WEEKS = 10**9"}),
    Variant("departures", {"departure": "SHORTEST = 10**9"}),
    *(Variant(f"the expert {name}", without_experts((name,))) for name in univariate.EXPERTS),
    Variant("learnt weights", {"combination": "MINIMUM_ORIGINS = 10**9"}),
    Variant(
        "least squares among the weights",
        {
            "simplex": """
                @kernel
                def least_squares(gram, cross, start, ridge):
                    return start
            """
        },
    ),
    Variant("forgetting of the experts' errors", {"combination": FADE, "transition": "HALF_LIFE = 1e6"}),
    Variant("neighbouring steps", {"combination": "NEIGHBOUR = 0.0", "intervals": "NEIGHBOUR = 0.0"}),
    Variant("clipping of outliers", {"level": "CLIP = 1e9", "recursion": "CLIP = 1e9"}),
    Variant(
        "learnt variances",
        {
            "intervals": """
                @kernel
                def _solve(sums, origins):
                    return PHI, PSI
            """
        },
    ),
    Variant(
        "means of logarithms",
        {
            "univariate": """
                @kernel
                def mean_of_log(z):
                    return np.expm1(z)
            """
        },
    ),
    Variant(
        "whole numbers",
        {
            "quantiles": """
                def settled(mean, quantiles):
                    return quantiles
            """
        },
    ),
    Variant(
        "scales of the intervals",
        {
            "intervals": """
                @kernel
                def _scales(recent, below, above, windows, trust):
                    return np.ones(3)
            """
        },
    ),
)


def run(cases: Sequence[Path]) -> Result:
    """The full product, then every variant, each in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="nearcast-ablation-") as folder:
        home = Path(folder)
        (home / "tasks").write_bytes(pickle.dumps(tasks(cases)))
        full = losses_without(Variant("nothing", {}), home)
        names = list(dict.fromkeys(key.split("/")[0].split(":")[0] for key in full))
        rows = [row("nothing", full, full, names)]
        for variant in VARIANTS:
            print(f"without {variant.without} ...", file=sys.stderr, flush=True)
            rows.append(row(variant.without, losses_without(variant, home), full, names))
    return Result(
        name="ablation",
        question="WQL without an ingredient over WQL with all, geometric mean over stages; steps 1-28, totals",
        rows=tuple(rows),
        bars=(),
        notes=(
            "all: geometric mean of the columns before it; 80 %, 95 %: coverage over all",
            f"what is worth under {WORTH:.1%} over all, and nothing much anywhere, should go",
            *(() if cases else ("no cases were given: simulated funnels only (NEARCAST_CASES, or a directory)",)),
        ),
    )


def row(without: str, losses: Loss, full: Loss, names: list[str]) -> dict[str, str | float]:
    """One line of the table."""
    logs = {name: [] for name in names}  # type: dict[str, list[float]]
    for key, (loss, *_) in losses.items():
        logs[key.split("/")[0].split(":")[0]].append(float(np.log(loss / full[key][0])))
    means = {name: float(np.mean(values)) for name, values in logs.items()}
    sums = np.sum(list(losses.values()), axis=0)
    return {
        "without": without,
        **{name: f"{np.exp(mean):.3f}" for name, mean in means.items()},
        "all": f"{np.exp(np.mean(list(means.values()))):.4f}",
        "80 %": f"{sums[1] / sums[3]:.3f}",
        "95 %": f"{sums[2] / sums[3]:.3f}",
    }


def losses_without(variant: Variant, home: Path) -> Loss:
    """Losses of a copy of the packages, in `home`, that lacks the ingredient.

    What the full product compiled is used again, but for the modules that the change can reach.
    """
    for package in ("models", "benchmarks"):
        shutil.rmtree(home / package, ignore_errors=True)
        shutil.copytree(ROOT / package, home / package, ignore=shutil.ignore_patterns("__pycache__", ".venv*"))
    with (home / "models" / "kernel.py").open("a") as file:
        file.write("\n\nnumba.config.CACHE_DIR = os.environ['ABLATION_KERNELS']\n")
    for module, lines in variant.lines.items():
        take_out(home / "models" / f"{module}.py", dedent(lines))
    for module in reached(home / "models", set(variant.lines)):
        with (home / "models" / f"{module}.py").open("a") as file:
            file.write(f"\n# without {variant.without}\n")
    kernels = home / ("kernels" if variant.lines else "all_kernels")
    shutil.rmtree(kernels, ignore_errors=True)
    if variant.lines:
        shutil.copytree(home / "all_kernels", kernels)
    environment = {**os.environ, "PYTHONPATH": str(home), "ABLATION_KERNELS": str(kernels)}
    command = [sys.executable, "-m", "benchmarks.losses", "tasks"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=home, env=environment)
    losses: Loss = json.loads(done.stdout)
    return losses


def reached(package: Path, changed: set[str]) -> set[str]:
    """Modules that import one of the changed, by whatever way, and those themselves."""
    imports = {file.stem: imported(file.read_text(encoding="utf-8")) for file in package.glob("*.py")}
    while more := {module for module, others in imports.items() if others & changed} - changed:
        changed = changed | more
    return changed


def imported(source: str) -> set[str]:
    """Modules of `models` that a module imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            package, _, module = node.module.partition(".")
            if package == "models":
                names |= {module} if module else {alias.name for alias in node.names}
    return names


def take_out(module: Path, lines: str) -> None:
    """Put lines at the end of a module; raises ValueError for a public name or constant that it does not have."""
    source = module.read_text(encoding="utf-8")
    had = names_of(source)
    helpers = {"_kept", "_run_all", "_advance_all", "_forecast_all", "_all_moves", "_all_hazards"}
    if missing := sorted(names_of(lines) - had - helpers):
        raise ValueError(f"{module.name} no longer has {', '.join(missing)}")
    module.write_text(f"{source}\n\n{lines}", encoding="utf-8")


def names_of(source: str) -> set[str]:
    """Names that a module's own lines define."""
    names: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    return names


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, help="of case folders; left out: NEARCAST_CASES")
    given = parser.parse_args().directory
    run(sorted(file.parent for file in given.glob("*/case.json")) if given else case_folders()).print()


if __name__ == "__main__":
    main()
