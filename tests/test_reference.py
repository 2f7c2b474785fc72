"""docs/api.md and docs/cli.md are what the code says, and nothing that a user can meet is undocumented."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.main import get_command

import models
import service
from models.errors import NearcastError
from service.app import make_app
from service.cli import COMMANDS, make_cli
from service.observability import Metrics
from service.problems import TITLES
from service.serving import Serving
from service.settings import Settings

ROOT = Path(__file__).parent.parent
API = (ROOT / "docs" / "api.md").read_text()
CLI = (ROOT / "docs" / "cli.md").read_text()
TOOLS = (ROOT / "docs" / "tools.md").read_text()


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """docs/reference.py, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["reference"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["api.md", "cli.md"])
def test_a_reference_is_what_the_code_says(reference, name):
    made = reference.pages()[name].splitlines()
    differing = [line for line in made if line not in (ROOT / "docs" / name).read_text().splitlines()]
    assert (ROOT / "docs" / name).read_text().splitlines() == made, f"run `make docs`; for one: {differing[:3]}"


def test_every_route_has_a_section():
    routes = make_app(Settings()).openapi()["paths"]
    headings = {f"## {method.upper()} {path}" for path, methods in routes.items() for method in methods}
    assert len(headings) > 15
    assert headings - set(API.splitlines()) == set()


def test_every_command_has_a_section_and_every_option_a_meaning():
    assert re.findall(r"^## nearcast (\w+)$", CLI, re.MULTILINE) == list(COMMANDS)
    group: Any = get_command(make_cli())
    each = [(name, command) for name, command in group.commands.items() if not hasattr(command, "commands")]
    under = [(f"{name} {own}", made) for name in ("keys",) for own, made in group.commands[name].commands.items()]
    assert len(each) + 1 == len(COMMANDS)
    assert [name for name, _ in under if f"Usage: nearcast {name} " not in CLI] == []
    silent = [
        f"{name} {parameter.name}"
        for name, command in [*each, *under]
        for parameter in command.params
        if not parameter.hidden and len(parameter.help or "") < 8
    ]
    assert silent == []


def test_every_kind_of_error_has_a_title_and_stands_in_the_reference():
    for package in (models, service):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if (
                not module.name.endswith(("__main__", "env", "parquet_child"))
                and ".migrations.versions" not in module.name
            ):
                importlib.import_module(module.name)
    kinds, slugs = [NearcastError], set()
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        slugs.add(kind.slug)
    written = [path.read_text() for path in (ROOT / "service").rglob("*.py")]
    slugs |= {slug for text in written for slug in re.findall(r'ProblemError\(\s*\d{3}, "([a-z-]+)"', text)}
    assert len(slugs) > 20
    assert slugs - set(TITLES) == set()
    assert {slug for slug in TITLES if f"`{slug}`" not in API} == set()


def test_every_metric_is_told(tmp_path):
    from service.store.database import Database

    with Database(f"sqlite:///{tmp_path / 'store.db'}") as database:
        database.migrate()
        metrics = Metrics()
        metrics.watch(Serving(database), database)
        names = {family.name + ("_total" if family.type == "counter" else "") for family in metrics.registry.collect()}
    assert len(names) > 10
    assert {name for name in names if f"`{name}`" not in TOOLS} == set()
