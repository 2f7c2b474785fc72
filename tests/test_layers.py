"""Import arrows run one way, and what serves forecasts does not load what fits them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("pandas", "numba", "scipy", "statsmodels", "pyarrow")
PACKAGES = ("models", "service")


def loaded_by(statement: str) -> set[str]:
    """Top-level modules in memory after `statement` ran in a new interpreter."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.splitlines()[-1].split())


def test_the_import_contracts_are_kept():
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([linter, "--no-cache"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("module", ["errors", "forecast", "funnel", "history", "levers", "state"])
def test_what_the_api_serves_from_loads_numpy_only(module):
    others = loaded_by(f"import models.{module}") - loaded_by("import numpy") - sys.stdlib_module_names
    assert {name for name in others if not name.startswith("_")} == {"models"}


def test_the_api_starts_without_the_libraries_that_fit_models():
    loaded = loaded_by("import service.app, service.server, service.serving")
    assert {"fastapi", "uvicorn", "numpy"} <= loaded
    assert loaded & set(HEAVY) == set()


def test_the_command_line_answers_help_without_the_libraries_that_fit_models():
    assert loaded_by("import service.cli") & set(HEAVY) == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_says_what_it_is_for(package):
    silent = [
        str(path.relative_to(ROOT))
        for path in (ROOT / package).rglob("*.py")
        if path.read_text().strip() and ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert silent == []
