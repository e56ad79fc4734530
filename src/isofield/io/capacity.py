"""What of a mesh a format cannot hold, and the mesh without it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from isofield.io.registry import Arrays, Format, Holds
from isofield.mesh import Mesh


def fitted(mesh: Mesh, chosen: Format) -> tuple[Mesh, list[str]]:
    """`mesh` without all that the format cannot hold, and a line for each loss."""
    lost = refusals(mesh, chosen.holds)
    if lost:
        mesh = reduced(mesh, chosen.holds)
    if chosen.fitted is not None:
        mesh, more = chosen.fitted(mesh)
        lost += more
    return mesh, lost


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
    flags = [np.full(len(n), kind in holds.cells) for kind, n in mesh.cells.items()]
    mesh = kept_cells(mesh, np.concatenate([np.zeros(0, bool), *flags]))
    kinds = [kind for kind in mesh.cells if kind in holds.cells]
    mesh = replace(mesh, cells={kind: mesh.cells[kind] for kind in kinds})
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


def kept_cells(mesh: Mesh, kept: np.ndarray) -> Mesh:
    """`mesh` with the cells in the mask `kept` (T,) alone, and all of its points."""
    if kept.all():
        return mesh
    number = np.cumsum(kept) - 1
    ends = np.cumsum([len(nodes) for nodes in mesh.cells.values()])
    masks = dict(zip(mesh.cells, np.split(kept, ends[:-1]), strict=True))
    return replace(
        mesh,
        cells={kind: nodes[masks[kind]] for kind, nodes in mesh.cells.items()},
        cell_data=_taken(mesh.cell_data, kept),
        cell_sets={
            name: number[members[kept[members]]]
            for name, members in mesh.cell_sets.items()
        },
        facet_sets={
            name: np.stack([number[rest[:, 0]], rest[:, 1]], axis=1)
            for name, members in mesh.facet_sets.items()
            for rest in [members[kept[members[:, 0]]]]
        },
    )


def _taken(data: Mapping[str, np.ndarray], keep: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[keep] for name, values in data.items()}
