"""Named sets of a mesh as plain arrays, for formats that have arrays but no sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from isofield.mesh import Mesh

PREFIX = "isofield:"
NAMES = r"[^\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]+"  # what XML can hold
OTHER_NAMES = rf"(?!{PREFIX}){NAMES}"
_KINDS = ("point_set", "cell_set", "facet_set")


def as_arrays(mesh: Mesh) -> dict[str, np.ndarray]:
    """All sets, as `"isofield:point_set:<name>"`, `cell_set` and `facet_set` alike."""
    return {
        f"{PREFIX}{kind}:{name}": members
        for kind in _KINDS
        for name, members in getattr(mesh, f"{kind}s").items()
    }


def from_arrays(
    arrays: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, dict[str, np.ndarray]]]:
    """The arrays that are no sets, and the sets as keyword arguments of `Mesh`.

    The law obeyed: `from_arrays(as_arrays(mesh))` gives back the sets of `mesh`.
    """
    rest: dict[str, Any] = {}
    sets: dict[str, dict[str, np.ndarray]] = {f"{kind}s": {} for kind in _KINDS}
    for key, values in arrays.items():
        kind, _, name = key.removeprefix(PREFIX).partition(":")
        if key.startswith(PREFIX) and kind in _KINDS:
            columns = (-1, 2) if kind == "facet_set" else (-1,)
            sets[f"{kind}s"][name] = np.asarray(values, np.int64).reshape(columns)
        else:
            rest[key] = values
    return rest, sets
