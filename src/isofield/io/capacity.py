"""What of a mesh a format cannot hold, and the mesh without it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from isofield.io.registry import Arrays, Holds
from isofield.mesh import Mesh


def refusals(mesh: Mesh, holds: Holds) -> list[str]:
    """Each thing in `mesh` that a format with these `holds` would lose, in words."""
    lost = [holds.loses] if holds.loses else []
    lost += [
        f"{len(nodes)} {kind} cells"
        for kind, nodes in mesh.cells.items()
        if len(nodes) and kind not in holds.cells
    ]
    for attribute in ("point_data", "cell_data", "field_data"):
        for name, reason in _refused(mesh, attribute, holds).items():
            lost.append(f"{attribute}[{name!r}]{reason}")
    for attribute in ("point_sets", "cell_sets", "facet_sets"):
        pattern = getattr(holds, attribute)
        for name in getattr(mesh, attribute):
            if pattern is None:
                lost.append(f"{attribute}[{name!r}]")
            elif not re.fullmatch(pattern, name):
                lost.append(f"{attribute}[{name!r}] (name not of the form {pattern!r})")
    return lost


def reduced(mesh: Mesh, holds: Holds) -> Mesh:
    """`mesh` without all that `refusals` lists, its cells numbered anew."""
    kinds = [kind for kind, nodes in mesh.cells.items() if kind in holds.cells]
    mesh = _with_cells_of(mesh, kinds)
    kept: dict[str, Any] = {}
    for attribute in ("point_data", "cell_data", "field_data"):
        refused = _refused(mesh, attribute, holds)
        values = getattr(mesh, attribute)
        kept[attribute] = {name: values[name] for name in values if name not in refused}
    for attribute in ("point_sets", "cell_sets", "facet_sets"):
        pattern, values = getattr(holds, attribute), getattr(mesh, attribute)
        kept[attribute] = {
            name: members
            for name, members in values.items()
            if pattern is not None and re.fullmatch(pattern, name)
        }
    return replace(mesh, **kept)


def _refused(mesh: Mesh, attribute: str, holds: Holds) -> dict[str, str]:
    rule: Arrays | None = getattr(holds, attribute)
    refused = {}
    for name, values in getattr(mesh, attribute).items():
        if rule is None:
            refused[name] = ""
        elif reason := rule.refusal(name, np.asarray(values)):
            refused[name] = f" ({reason})"
    return refused


def _with_cells_of(mesh: Mesh, kinds: list[str]) -> Mesh:
    flags = [np.full(len(nodes), kind in kinds) for kind, nodes in mesh.cells.items()]
    keep = np.concatenate([np.zeros(0, bool), *flags])
    if keep.all():
        return replace(mesh, cells={kind: mesh.cells[kind] for kind in kinds})
    number = np.cumsum(keep) - 1
    return replace(
        mesh,
        cells={kind: mesh.cells[kind] for kind in kinds},
        cell_data=_taken(mesh.cell_data, keep),
        cell_sets={
            name: number[members[keep[members]]]
            for name, members in mesh.cell_sets.items()
        },
        facet_sets={
            name: np.stack([number[kept[:, 0]], kept[:, 1]], axis=1)
            for name, members in mesh.facet_sets.items()
            for kept in [members[keep[members[:, 0]]]]
        },
    )


def _taken(data: Mapping[str, np.ndarray], keep: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[keep] for name, values in data.items()}
