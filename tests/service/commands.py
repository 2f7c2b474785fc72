"""The command line as tests run it: in a process of its own, or within theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli import main
from tests.service.processes import ROOT


def run_apart(home: Path, *arguments: str, code: int = 0, **settings: str) -> subprocess.CompletedProcess[str]:
    """`nearcast ...` in that directory, with these settings only; `code` is the exit status expected."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEARCAST_")}
    environment |= {"NEARCAST_WORKERS": "inline", "PYTHONPATH": str(ROOT)} | settings
    command = [sys.executable, "-m", "service.cli", *arguments]
    done = subprocess.run(command, check=False, cwd=home, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def run_within(
    home: Path, *arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **settings: str
) -> tuple[str | int, str, str]:
    """The same within this process, many times as fast: (exit status, standard output, standard error)."""
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "argv", ["nearcast", *arguments])
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as end:
        main()
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out, captured.err
