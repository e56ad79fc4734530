"""Compiling once, and keeping what is compiled."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numba


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function compiled by numba that does not hold the lock of the interpreter.

    What is compiled stays on disk, beside the source or in the user's cache; where
    neither can be written, each process compiles again, and a warning says so.
    """
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError as error:
        warnings.warn(
            f"every process compiles {function.__name__} anew ({error}): set "
            "NUMBA_CACHE_DIR to a directory that can be written",
            stacklevel=2,
        )
        return numba.njit(nogil=True)(function)
