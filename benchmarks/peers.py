"""An environment of its own for the peers, which need other versions of what we use."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

PEERS = ("statsforecast==2.1.1", "pandas<3")
HOME = Path(__file__).parent / ".venv-peers"


def peer_python() -> Path:
    """Interpreter of the peers' environment, made on first use (by uv where there is one, else pip)."""
    python, ready = HOME / "bin" / "python", HOME / "ready"
    wanted = "\n".join(PEERS)
    if ready.exists() and ready.read_text(encoding="utf-8") == wanted:
        return python
    print(f"making {HOME} with {', '.join(PEERS)} ...", file=sys.stderr)
    uv = shutil.which("uv")
    if uv and works(uv):
        make = [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(HOME)]
        install = [uv, "pip", "install", "--quiet", "--python", str(python), *PEERS]
    else:
        make = [sys.executable, "-m", "venv", "--clear", str(HOME)]
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEERS]
    subprocess.run(make, check=True)
    subprocess.run(install, check=True)
    ready.write_text(wanted, encoding="utf-8")
    return python


def works(uv: str) -> bool:
    """Whether that is a uv, and not a shim of one that is not installed."""
    return subprocess.run([uv, "--version"], check=False, capture_output=True).returncode == 0
