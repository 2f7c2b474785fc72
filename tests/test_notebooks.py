"""The notebooks run from top to bottom against a real server, and what is committed is what such a run leaves."""

import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LARGEST = 200_000
"""Bytes of a notebook with its pictures."""


@pytest.fixture(scope="module")
def execute():
    """notebooks/execute.py, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("execute", ROOT / "notebooks" / "execute.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Address of a `nearcast serve` on a store of its own, for all notebooks of this process."""
    path = tmp_path_factory.mktemp("notebooks")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = {
        "NEARCAST_DATABASE_URL": f"sqlite:///{path / 'store.db'}",
        "NEARCAST_PORT": str(port),
        "NEARCAST_WORKERS": "inline",
    }
    with (path / "serve.log").open("wb") as log:
        command = [sys.executable, "-m", "service.cli", "serve"]
        child = subprocess.Popen(command, cwd=ROOT, env=os.environ | settings, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/readyz", child)
        yield address
    finally:
        child.terminate()
        child.wait(timeout=30)


def wait_for(address, child, *, seconds=60.0):
    """Until it answers."""
    end = time.monotonic() + seconds
    while True:
        assert child.poll() is None, "the server has ended"
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            assert time.monotonic() < end, f"no answer within {seconds} s"
            time.sleep(0.2)
        else:
            return


def test_there_are_six():
    assert [path.stem[:2] for path in NOTEBOOKS] == [f"{number:02d}" for number in range(1, 7)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_cell_fails_and_none_warns(path, url, execute, monkeypatch):
    monkeypatch.setenv("NEARCAST_URL", url)
    notebook = execute.executed(path)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert outputs
    assert [output for output in outputs if output.output_type == "error"] == []
    warned = [output.text for output in outputs if output.get("name") == "stderr"]
    assert warned == []
    nbformat.validate(notebook)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_committed_reads_well_where_it_is_hosted(path, execute):
    text = path.read_text()
    assert len(text) < LARGEST
    notebook = nbformat.reads(text, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "python notebooks/execute.py"
    assert "<progress" not in text or "succeeded" in text
    assert re.search(r"/tmp/|/home/|/root/", text) is None
    settled = json.dumps(execute.settled(nbformat.reads(text, as_version=4)), sort_keys=True)
    assert settled == json.dumps(notebook, sort_keys=True)
