"""`nearcast demo`: a simulated funnel is forecast and served, and found as it was by a second run."""

import os
import subprocess
import sys

import httpx
import pytest

from tests.service.processes import ROOT


@pytest.mark.one_engine
def test_the_demo_forecasts_and_a_second_run_finds_nothing_new(nearcast, home):
    arguments = ("demo", "--exit", "--days", "90", "--directory", "small-demo")
    first = nearcast(*arguments).stdout
    assert "simulated" in first
    assert "the first version" in first
    for word in (
        "lead",
        "qualified",
        "offer_sent",
        "negotiation",
        "won",
        "smb",
        "mid_market",
        "enterprise",
        "Scorecard",
    ):
        assert word in first
    second = nearcast(*arguments).stdout
    assert "simulated" not in second
    assert "nothing new" in second
    assert (home / "small-demo" / "nearcast.db").exists()
    assert not (home / "nearcast-demo").exists()


@pytest.mark.slow
@pytest.mark.one_engine
def test_the_demo_serves_what_it_trained(home, nearcast, wait, tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = os.environ | {"NEARCAST_PORT": str(port), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "service.cli", "demo", "--days", "90", "--directory", "served-demo"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}/v1/funnels/demo/forecast"

    def answer():
        try:
            return httpx.get(address, timeout=5)
        except httpx.TransportError:
            return None

    try:
        found = wait(answer, seconds=120, what="the demo to serve")
        assert found.status_code == 200
        assert len(found.json()["forecasts"]) == 5 * 5
    finally:
        process.terminate()
        assert process.wait(30) in (0, -15)
