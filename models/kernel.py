"""Compiled kernels: one decorator, so that all are compiled, cached and typed alike.

Compiled code is kept on disk, in a folder named after the sources of this package: numba alone asks only whether
the file of a kernel has changed, not the files of the kernels it calls, and would go on running those as they were.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])

PREFIX = "kernels-"


def use_cache(sources: Path, base: Path) -> Path | None:
    """Keep compiled code below `base`, apart for each state of the sources; None where it cannot be written.

    Folders of other states are removed: nothing would read them again.
    """
    digest = hashlib.sha256()
    for file in sorted(sources.glob("*.py")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    folder = base / f"{PREFIX}{digest.hexdigest()[:16]}"
    if not folder.is_dir():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return None
        for other in base.glob(f"{PREFIX}*"):
            if other != folder:
                with suppress(OSError):
                    shutil.rmtree(other)
    if not os.access(folder, os.W_OK):
        return None
    numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
    return folder


use_cache(Path(__file__).parent, Path(os.environ.get("NUMBA_CACHE_DIR") or Path(__file__).parent / "__pycache__"))


def load_compiler() -> None:
    """Load what compiled code needs to run: half a second in a new process, which may as well pass while it waits."""
    _nothing()


def kernel(function: Function) -> Function:
    """Compile for the machine on first use, without the interpreter's lock; kept on disk between runs.

    Arithmetic follows numpy (a division by zero gives inf or NaN); nothing is reordered, so that the same input
    gives the same bytes on the same machine.
    """
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


@kernel
def _nothing() -> None:
    """The first kernel to be called makes numba load itself."""
