"""The README tells the truth: its settings exist, its links lead somewhere, its commands run."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from models.forecast import QUANTILES, Forecast
from models.simulate import demo_spec, simulate
from service.settings import Settings

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
README = (ROOT / "README.md").read_text()
SCRIPTS = Path(sys.executable).parent


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[str]:
    """Commands of a shell block: continued lines joined, comments left out."""
    lines = re.sub(r"\\\n\s*", "", block).splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def test_the_readme_can_be_read_in_one_sitting():
    assert len(README.splitlines()) < 200


def test_the_readme_opens_with_the_picture_and_the_two_commands():
    picture = README.index("docs/forecast.svg")
    assert README.index("make demo") < README.index("## ")
    assert README.index("make test") < README.index("## ")
    assert picture < README.index("## ")


@pytest.mark.parametrize("document", ["README.md", "CHANGELOG.md", *(f"docs/{page.name}" for page in PAGES)])
def test_links_to_files_lead_somewhere(document):
    path = ROOT / document
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text())
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_each_make_target_of_the_readme_exists():
    targets = set(re.findall(r"\bmake ([a-z][a-z-]*)", README)) - {"sure"}
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= targets <= known


def settings_table() -> dict[str, str]:
    """Default by variable, as the README states it."""
    return dict(re.findall(r"^\| `(NEARCAST_[A-Z_]+)` \| ([^|]+?) \|", README, re.MULTILINE))


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_each_setting_is_documented_with_its_default(name):
    stated = settings_table().get(f"NEARCAST_{name.upper()}")
    assert stated is not None, f"NEARCAST_{name.upper()} is not in the README's table"
    default = Settings.model_fields[name].default
    if default is None:
        assert "`" not in stated, f"{name} has no default"
    else:
        assert stated == (f"`{default:g}`" if isinstance(default, float) else f"`{default}`")


def test_no_setting_is_documented_that_does_not_exist():
    assert set(settings_table()) <= {f"NEARCAST_{name.upper()}" for name in Settings.model_fields}


@pytest.fixture(scope="module")
def picture() -> ModuleType:
    """docs/picture.py, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("picture", ROOT / "docs" / "picture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["picture"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_picture_draws_every_day_inside_its_panel(picture):
    ramp = np.arange(1.0, 29.0)
    quantiles = ramp[:, None] + np.linspace(0.0, 10.0, len(QUANTILES))
    forecast = Forecast("total", "won", date(2026, 1, 31), "ramp", ramp, quantiles)
    svg = picture.svg_from_panels([picture.Panel("won & lost", np.arange(40.0), forecast, 21)], title="ramp")
    paths = [element.get("d") for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}path")]
    points = [np.array(re.findall(r"[-0-9.]+ [-0-9.]+", path)) for path in paths if path and "L" in path]
    drawn = [np.array([pair.split() for pair in line], dtype=float) for line in points]
    assert sorted(len(line) for line in drawn) == [21, 40, 42, 42]
    for line in drawn:
        assert (line[:, 0] >= picture.LEFT).all()
        assert (line[:, 0] <= picture.WIDTH).all()
        assert (line[:, 1] >= picture.TOP).all()
        assert (line[:, 1] <= picture.TOP + picture.PANEL).all()
    observed = next(line for line in drawn if len(line) == 40)
    assert (np.diff(observed[:, 1]) < 0).all()


def test_the_committed_picture_is_one_that_the_script_draws():
    root = ET.fromstring((ROOT / "docs" / "forecast.svg").read_text())
    assert root.get("role") == "img"
    assert "demo" in (root.findtext("{http://www.w3.org/2000/svg}title") or "")
    paths = [element.get("d") for element in root.iter("{http://www.w3.org/2000/svg}path")]
    assert len([path for path in paths if path and "L" in path]) == 3 * 4  # two intervals, observed and median of each


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the files that the README speaks of."""
    path = tmp_path_factory.mktemp("desk")
    spec = demo_spec()
    spec = replace(spec, arrivals=replace(spec.arrivals, level=20.0))
    events = simulate(spec, days=400, seed=np.random.default_rng(7)).events
    events.to_csv(path / "events.csv", index=False)
    renamed = {"entity_id": "lead_id", "stage": "phase", "ts": "reached_at"}
    events.rename(columns=renamed).to_csv(path / "leads.csv", index=False)
    columns = {"lead": "created_at", "qualified": "qualified_on", "won": "closed_on"}
    reached = events[events["stage"].isin(columns)]
    wide = reached.pivot_table(index="entity_id", columns="stage", values="ts", aggfunc="min", observed=True)
    wide.rename(columns=columns).rename_axis("lead_id").reset_index().to_csv(path / "crm.csv", index=False)
    days = np.arange(np.datetime64("2025-01-06"), np.datetime64("2026-02-10"))
    visits = np.random.default_rng(7).poisson(400, len(days))
    rows = [f"{day},visit,{count},smb" for day, count in zip(days, visits, strict=True)]
    (path / "visits.csv").write_text("\n".join(["ds,stage,y,segment", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def environment(desk: Path) -> dict[str, str]:
    """Of somebody who has .venv/bin in the path; fits inline, because the other core is busy with other tests."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    path = f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HOME": str(desk), "NEARCAST_PORT": port, "NEARCAST_WORKERS": "inline"}


def run(command: str, *, desk: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-c", command], cwd=desk, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_the_command_lines_of_the_readme_run_in_their_order(desk, environment):
    ran = [line for block in blocks("sh") for line in commands(block) if line.startswith("nearcast ")]
    assert len(ran) > 8
    said = {line: run(line, desk=desk, environment=environment) for line in ran}
    assert all(text.strip() for line, text in said.items() if ">" not in line)
    document = json.loads((desk / "forecast.json").read_text())
    assert {series["stage"] for series in document["forecasts"]} >= {"lead", "won"}
    assert (desk / "backtest.csv").read_text().startswith("cutoff,segment,stage,step,mean,q0.025")


@pytest.fixture
def server(desk: Path, environment: dict[str, str]) -> Iterator[str]:
    """Address of a `nearcast serve` on the desk's store."""
    address = f"http://127.0.0.1:{environment['NEARCAST_PORT']}"
    store = {**environment, "NEARCAST_DATABASE_URL": "sqlite:///http.db"}
    with (desk / "serve.log").open("wb") as log:
        child = subprocess.Popen([SCRIPTS / "nearcast", "serve"], cwd=desk, env=store, stderr=log)
    try:
        wait_for(lambda: urllib.request.urlopen(f"{address}/readyz", timeout=60).status == 200)
        yield address
    finally:
        child.terminate()
        child.wait(timeout=30)


def wait_for(true: Callable[[], bool], *, seconds: float = 300.0) -> None:
    """Until `true()`, however often it fails to connect before."""
    end = time.monotonic() + seconds
    while True:
        try:
            if true():
                return
        except (OSError, KeyError):
            pass
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.2)


@pytest.mark.slow
def test_the_http_examples_of_the_readme_run_in_their_order(desk, environment, server):
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    ran = [line for block in blocks("sh") for line in commands(block) if line.startswith("curl ")]
    assert len(ran) > 4
    for line in ran:
        command = line.replace("http://127.0.0.1:8000", server).replace("curl ", "curl --fail-with-body ", 1)
        if "/forecast" in line:
            wait_for(lambda: run_of(server)["status"] not in ("queued", "running"))
            assert run_of(server)["status"] == "succeeded", run_of(server)
            wait_for(lambda: urllib.request.urlopen(f"{server}/v1/funnels/web/forecast", timeout=60).status == 200)
        assert run(command, desk=desk, environment=environment).strip()
    with urllib.request.urlopen(f"{server}/v1/funnels/web/forecast?stage=won&horizon=14", timeout=60) as answer:
        (total, *_) = json.load(answer)["forecasts"]
    assert total["segment"] == "total"
    assert len(total["steps"]) == 14


@pytest.mark.slow
def test_the_python_of_the_readme_runs(desk, environment, server):
    (code,) = blocks("python")
    program = code.replace("http://127.0.0.1:8000", server) + "\nprint(frame.to_csv(index=False).strip())"
    (desk / "readme.py").write_text(program)
    said = run(f"{sys.executable} readme.py", desk=desk, environment=environment).splitlines()
    assert said[0].startswith("segment,stage,ds,step,mean,q0.025")
    assert {line.split(",")[1] for line in said[1:]} == {"won"}


def run_of(server: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{server}/v1/runs", timeout=60) as answer:
        newest: dict[str, Any] = json.load(answer)["runs"][0]
        return newest
