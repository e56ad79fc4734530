"""Walks and clipping, compiled by numba where the extra `fast` is installed.

The steps are those of `location` and of `supermesh`, point after point and pair after
pair, without the arrays in between. Compiling takes seconds, once: the result is kept
on disk. Importing numba takes half a second, which is why small meshes do without it,
and why the modules in here are imported where they are called.
"""

from __future__ import annotations

from importlib.util import find_spec

# points or pairs below which importing numba costs more than it saves
WORTH = 50_000


def worth(count: int) -> bool:
    """Whether numba is there, and the work large enough for it."""
    return count >= WORTH and find_spec("numba") is not None
