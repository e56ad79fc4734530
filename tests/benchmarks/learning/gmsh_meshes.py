"""Meshes by gmsh: plane domains and unions of boxes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from isofield import Mesh
from tests.benchmarks.learning.meshers import oriented

TRIANGLE, TETRAHEDRON = 2, 4  # as gmsh numbers its kinds of cells


def of_loops(loops: list[np.ndarray], edge: float) -> Mesh:
    """Triangles with edges about that long, and these nodes (K, 2) along the loops."""
    with _session() as gmsh:
        geometry, curves = gmsh.model.geo, []
        for loop in loops:
            nodes = [geometry.addPoint(x, y, 0, edge) for x, y in loop.tolist()]
            pairs = zip(nodes, [*nodes[1:], nodes[0]], strict=True)
            lines = [geometry.addLine(*pair) for pair in pairs]
            for line in lines:  # a side of a loop is one edge of the mesh
                geometry.mesh.setTransfiniteCurve(line, 2)
            curves.append(geometry.addCurveLoop(lines))
        geometry.addPlaneSurface(curves)
        geometry.synchronize()
        points, cells = _made(gmsh, TRIANGLE)
    return Mesh(points[:, :2], {"triangle": oriented(points[:, :2], cells)})


def of_boxes(boxes: np.ndarray, edge: float) -> Mesh:
    """Tetrahedra with edges about that long in the union of boxes (B, 3, 2)."""
    with _session() as gmsh:
        gmsh.option.setNumber("Mesh.MeshSizeMax", edge)
        body = [
            (3, gmsh.model.occ.addBox(*box[:, 0].tolist(), *np.ptp(box, 1).tolist()))
            for box in boxes
        ]
        gmsh.model.occ.fuse(body[:1], body[1:])
        gmsh.model.occ.synchronize()
        points, cells = _made(gmsh, TETRAHEDRON)
    return Mesh(points, {"tetra": oriented(points, cells)})


@contextmanager
def _session() -> Iterator[Any]:
    import gmsh

    gmsh.initialize(["-noenv"], interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.option.setNumber("General.NumThreads", 1)
        yield gmsh
    finally:
        gmsh.finalize()


def _made(gmsh: Any, kind: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 3) and the nodes of all cells of a kind."""
    gmsh.model.mesh.generate(2 if kind == TRIANGLE else 3)
    tags, places, _ = (np.asarray(x) for x in gmsh.model.mesh.getNodes())
    nodes = np.asarray(gmsh.model.mesh.getElementsByType(kind)[1]).astype(int)
    number = np.full(int(tags.max()) + 1, -1)
    number[tags.astype(int)] = np.arange(len(tags))
    corners = 3 if kind == TRIANGLE else 4
    return places.reshape(-1, 3), number[nodes].reshape(-1, corners)
