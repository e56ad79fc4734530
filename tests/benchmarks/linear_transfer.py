"""Linear transfer to a million points against PyVista's `sample`."""

from collections.abc import Callable, Iterator
from typing import Any

import gmsh
import numpy as np
import pyvista
import torch
from rich.table import Table
from scipy.spatial import cKDTree

from isofield import Mesh
from isofield.io import to_pyvista
from isofield.operators import compiled, linear
from tests.benchmarks.neighbours import medians

QUERIES = 1_000_000


def tables() -> Iterator[Table]:
    """Building and applying, in the plane and in space; growth with the queries."""
    plate, block = plate_with_a_hole(0.0045), block_with_a_hole(0.0272)
    yield _against_sample({"triangle": plate, "tetra": block})
    yield _growth(block)


def plate_with_a_hole(size: float) -> Mesh:
    """The unit square without a disk of radius 0.2."""

    def shape(occ) -> None:
        tool = [(2, occ.addDisk(0.5, 0.5, 0, 0.2, 0.2))]
        occ.cut([(2, occ.addRectangle(0, 0, 0, 1, 1))], tool)

    points, nodes = _meshed(shape, 2, size)
    return Mesh(points[:, :2], {"triangle": nodes})


def block_with_a_hole(size: float) -> Mesh:
    """The unit cube without a ball of radius 0.3."""

    def shape(occ) -> None:
        occ.cut(
            [(3, occ.addBox(0, 0, 0, 1, 1, 1))], [(3, occ.addSphere(*[0.5] * 3, 0.3))]
        )

    points, nodes = _meshed(shape, 3, size)
    return Mesh(points, {"tetra": nodes})


def _meshed(shape, dimension: int, size: float) -> tuple[np.ndarray, np.ndarray]:
    if not gmsh.isInitialized():
        gmsh.initialize(readConfigFiles=False, interruptible=False)
    gmsh.option.setNumber("General.Terminal", 0)
    gmsh.model.add("benchmark")
    shape(gmsh.model.occ)
    gmsh.model.occ.synchronize()
    gmsh.option.setNumber("Mesh.MeshSizeMin", size)
    gmsh.option.setNumber("Mesh.MeshSizeMax", size)
    gmsh.model.mesh.generate(dimension)
    tags, coordinates, _ = gmsh.model.mesh.getNodes()
    _, nodes = gmsh.model.mesh.getElementsByType({2: 2, 3: 4}[dimension])
    gmsh.model.remove()
    used, nodes = np.unique(nodes, return_inverse=True)
    place = np.zeros(int(max(tags)) + 1, dtype=np.int64)
    place[tags] = np.arange(len(tags))
    points = np.asarray(coordinates).reshape(-1, 3)[place[used]]
    return points, nodes.reshape(-1, dimension + 1).astype(np.int64)


def _queries(mesh: Mesh, n: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, mesh.points.shape[1], generator=generator).double()


def _against_sample(meshes: dict[str, Mesh]) -> Table:
    """Points outside, by `linear`, by trial of all candidates and by PyVista; seconds;
    how many times faster building is, with torch alone too, and applying."""
    table = Table(title=f"{QUERIES:,} random points; PyVista: sample, static_cell")
    for column in (
        "cells",
        "outside",
        "by trial",
        "PyVista",
        "seconds",
        "build",
        "ratio",
        "torch alone",
        "apply",
    ):
        table.add_column(column, justify="right")
    for name, mesh in meshes.items():
        at = _queries(mesh, QUERIES)
        u = np.sin(5 * mesh.points[:, 0])
        grid = to_pyvista(mesh.with_point_data({"u": u}))
        cloud = np.zeros((QUERIES, 3))
        cloud[:, : at.shape[1]] = at.numpy()
        cloud = pyvista.PolyData(cloud)
        operator = linear(mesh, at, outside="nan")
        seconds = medians(
            {
                "sample": lambda g=grid, c=cloud: c.sample(g, locator="static_cell"),
                "build": lambda m=mesh, a=at: linear(m, a, outside="nan"),
                "plain": without_numba(
                    lambda m=mesh, a=at: linear(m, a, outside="nan")
                ),
                "apply": lambda o=operator, v=u: o(v),
            },
            repeat=3,
        )
        sampled = cloud.sample(grid, locator="static_cell")
        missed = int((sampled["vtkValidPointMask"] == 0).sum())
        sample, build, plain, apply = seconds.values()
        (nodes,) = mesh.cells.values()
        table.add_row(
            f"{len(nodes):,} {name}",
            f"{int(operator.missing.sum()):,}",
            f"{_outside_by_trial(mesh, at):,}",
            f"{missed:,}",
            f"{sample:.2f}",
            f"{build:.2f}",
            f"{sample / build:.1f}",
            f"{sample / plain:.1f}",
            f"{sample / apply:.0f}",
        )
    return table


def without_numba(call: Callable[[], Any]) -> Callable[[], Any]:
    """The same call as where the extra `fast` is not installed."""

    def run() -> Any:
        worth, compiled.worth = compiled.worth, lambda count: False
        try:
            return call()
        finally:
            compiled.worth = worth

    return run


def _outside_by_trial(mesh: Mesh, at: torch.Tensor) -> int:
    """Points in none of the simplices that are nearest to them by a k-d tree.

    Every simplex whose centroid is nearer than its own largest radius is tried, in the
    coordinates that determinants give.
    """
    (nodes,) = mesh.cells.values()
    corners = mesh.points[nodes]
    centre = corners.mean(1)
    radius = np.linalg.norm(corners - centre[:, None], axis=2).max()
    inside = np.zeros(len(at), dtype=bool)
    tree = cKDTree(centre)
    for rows in np.array_split(np.arange(len(at)), 50):
        x = at.numpy()[rows]
        near = tree.query_ball_point(x, radius, return_sorted=False)
        count = np.array([len(cells) for cells in near])
        point = np.repeat(rows, count)
        cell = np.concatenate(near).astype(int)
        edges = np.swapaxes(corners[cell, 1:] - corners[cell, :1], 1, 2)
        xi = np.linalg.solve(edges, (at.numpy()[point] - corners[cell, 0])[..., None])
        depth = np.minimum(xi[..., 0].min(1), 1 - xi[..., 0].sum(1))
        inside[point[depth >= -1e-10]] = True
    return int((~inside).sum())


def _growth(mesh: Mesh) -> Table:
    table = Table(title="Growth with the number of points, located in tetrahedra")
    for column in ("points", "seconds", "over linear"):
        table.add_column(column, justify="right")
    clouds = {n: _queries(mesh, n) for n in (10_000, 100_000, 1_000_000)}
    seconds = medians(
        {
            str(n): lambda a=at: linear(mesh, a, outside="nan")
            for n, at in clouds.items()
        },
        repeat=5,
    )
    first = next(iter(seconds.values())) / 10_000
    for n, value in zip(clouds, seconds.values(), strict=True):
        table.add_row(f"{n:,}", f"{value:.3f}", f"{value / n / first:.2f}")
    return table
