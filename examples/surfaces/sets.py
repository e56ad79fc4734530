"""Which surfaces, and which meshes of them, are learned from and tested on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from rich.progress import track
from screened import Case, solved

from isofield import Mesh

SIZES = (6, 7, 9, 11, 13, 15)  # of the meshes to learn from: 362 to 2252 points


def mixed(seed: int, count: int, n_sources: int = 1) -> list[Case]:
    """Surfaces with meshes of all sizes in turn, every second one graded."""
    return [
        Case(seed + i, SIZES[i // 2 % len(SIZES)], n_sources, grading=1.0 + i % 2)
        for i in range(count)
    ]


def meshes(title: str, cases: list[Case]) -> list[Mesh]:
    """All cases, solved."""
    return [mesh for case in track(cases, title) for mesh in solved(case)]


def test_sets(count: int) -> dict[str, list[Mesh]]:
    """The same new surfaces with the same sources, meshed in other ways."""
    known = mixed(20_000, count)
    wanted = {
        "training resolutions": known,
        "4 times the finest": [
            replace(case, n=2 * SIZES[-1], grading=1.0) for case in known
        ],
        "half the coarsest": [replace(case, n=4, grading=1.0) for case in known],
        "graded 4 to 1": [replace(case, n=10, grading=4.0) for case in known],
    }
    found = {title: meshes(title, cases) for title, cases in wanted.items()}
    found["renumbered"] = [renumbered(mesh) for mesh in found["training resolutions"]]
    return found


def renumbered(mesh: Mesh) -> Mesh:
    """The same mesh with its points and triangles in another order."""
    random = np.random.default_rng(0)
    order = random.permutation(len(mesh.points))
    triangles = np.argsort(order)[mesh.cells["triangle"]]
    fields = {name: values[order] for name, values in mesh.point_data.items()}
    return Mesh(mesh.points[order], {"triangle": random.permutation(triangles)}, fields)
