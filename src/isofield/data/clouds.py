"""Bare clouds drawn from meshes, for models that are to know clouds as well."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.data.fields import FieldError
from isofield.mesh import Mesh


@dataclass(frozen=True)
class RandomClouds:
    """How many clouds of random points a training sees besides its cases.

    share : clouds for each case that has cells, above 0. seed : of cases and points.

    A cloud is drawn from a case of the finer half, because its fields are interpolated;
    it has between as many points as the coarsest case and as the case itself, evenly in
    the logarithm. All its points lie strictly inside; its weights are those that any
    cloud gets (`from_points`), so that a training sees how far these, and the shape
    that they tell, are from those of a mesh.
    """

    share: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share < math.inf:
            raise ValueError(f"share: expected more than 0, got {self.share}")


def random_cloud(mesh: Mesh, count: int, seed: int = 0) -> Mesh:
    """Random points of a mesh, independent and even in the measure, with its fields.

    Cells are cut into simplices between their corners, and point fields interpolated
    linearly there: O(h^2) in the mesh's spacing. Fields at cells and sets are left.

    count : of the points. Raises `FieldError` for a mesh without cells.
    """
    if mesh.dimension <= 0:
        raise FieldError("expected a mesh with cells to draw a cloud from, got a cloud")
    random = np.random.default_rng(seed)
    corners = np.concatenate(
        [
            nodes[:, CELL_TYPES[kind].simplices].reshape(-1, mesh.dimension + 1)
            for kind, nodes in mesh.cells.items()
            if CELL_TYPES[kind].dimension == mesh.dimension
        ]
    )
    places = mesh.points[corners]
    edges = places[:, 1:] - places[:, :1]
    size = np.sqrt(np.linalg.det(edges @ edges.transpose(0, 2, 1)).clip(min=0))
    chosen = corners[random.choice(len(corners), count, p=size / size.sum())]
    share = random.dirichlet(np.ones(corners.shape[1]), count)

    def drawn(values: np.ndarray) -> np.ndarray:
        return np.einsum("nk,nk...->n...", share, values[chosen])

    fields = {name: drawn(values) for name, values in mesh.point_data.items()}
    return Mesh(drawn(mesh.points), {}, fields, field_data=mesh.field_data)


def clouds_of(
    cases: Sequence[Mesh], names: Sequence[str], clouds: RandomClouds
) -> tuple[list[Mesh], list[str]]:
    """The clouds that are drawn from these cases, with their names.

    Raises `FieldError` where no case has cells.
    """
    sizes = np.array([len(case.points) for case in cases])
    meshes = np.array([i for i, case in enumerate(cases) if case.dimension > 0], int)
    if not len(meshes):
        raise FieldError("no case has cells from which clouds could be drawn")
    finer = meshes[sizes[meshes] >= np.median(sizes[meshes])]
    random = np.random.default_rng(clouds.seed)
    found, found_names = [], []
    for number in range(max(1, round(clouds.share * len(meshes)))):
        i = int(random.choice(finer))
        least, most = np.log([sizes.min(), sizes[i]])
        count = round(math.exp(random.uniform(least, most)))
        found.append(random_cloud(cases[i], count, int(random.integers(2**32))))
        found_names.append(f"{names[i]}, random cloud {number}")
    return found, found_names
