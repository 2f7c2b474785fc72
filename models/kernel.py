"""Compiled kernels: one decorator, so that all are compiled, cached and typed alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Compile for the machine on first use, without the interpreter's lock; kept on disk between runs.

    Arithmetic follows numpy (a division by zero gives inf or NaN); nothing is reordered, so that the same input
    gives the same bytes on the same machine.
    """
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
