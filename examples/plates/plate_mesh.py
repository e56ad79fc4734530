"""Meshes and point clouds of a plate."""

from __future__ import annotations

import numpy as np
from plate import SIDE, Plate
from scipy.spatial import KDTree

from isofield import Mesh

REACH = 25.0  # mm from a hole to where the mesh has its far size
LEAST_SEGMENTS = 8  # of a hole, however coarse the mesh
GMSH_TRIANGLE = {1: 2, 2: 9}  # by order


def mesh(plate: Plate, n_points: int, grading: float = 1.0) -> Mesh:
    """Linear triangles with about n_points nodes.

    The spacing grows linearly from `size / grading` at the holes to `size` at 25 mm
    from them; every hole has at least 8 segments. `size` is found by repeated meshing,
    until the number of nodes is within 3 % and 15 nodes of the wanted.

    Raises `ValueError` where no size gives that number, as with 30 points on a plate
    with four holes.
    """
    size = float(np.sqrt(2 * plate.area * grading / (np.sqrt(3) * n_points)))
    count = 0
    for _ in range(12):
        if size > SIDE:
            break
        near = [
            min(size / grading, hole.perimeter / LEAST_SEGMENTS) for hole in plate.holes
        ]
        points, nodes = triangulated(plate, size, near)
        count = len(points)
        if abs(count - n_points) <= 0.03 * n_points + 15:
            return Mesh(points, {"triangle": nodes})
        size *= float(np.sqrt(count / n_points))
    raise ValueError(
        f"n_points: no mesh of {n_points} points with {len(plate.holes)} holes of at "
        f"least {LEAST_SEGMENTS} segments; the nearest found has {count}"
    )


def triangulated(
    plate: Plate, size: float, near: list[float], order: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Triangles by gmsh, linear or quadratic (order 2) with their holes' sides curved.

    size : the spacing 25 mm and more from the holes, mm.
    near : the spacing at each hole, mm.

    Returns points (N, 2), mm, and nodes (T, 3) or (T, 6) in gmsh's order, which is
    VTK's here.
    """
    import gmsh

    if not gmsh.isInitialized():
        gmsh.initialize(readConfigFiles=False, interruptible=False)
    for option, value in _GMSH_OPTIONS.items():
        gmsh.option.setNumber(option, value)
    gmsh.model.add("plate")
    try:
        curves = _add_geometry(gmsh, plate)
        _set_sizes(gmsh, curves, near, size)
        gmsh.model.mesh.generate(2)
        gmsh.model.mesh.setOrder(order)
        tags, coordinates, _ = gmsh.model.mesh.getNodes()
        _, nodes = gmsh.model.mesh.getElementsByType(GMSH_TRIANGLE[order])
    finally:
        gmsh.model.remove()
    used, nodes = np.unique(np.asarray(nodes), return_inverse=True)
    place = np.zeros(int(max(tags)) + 1, dtype=np.int64)
    place[tags] = np.arange(len(tags))
    points = np.asarray(coordinates).reshape(-1, 3)[place[used], :2]
    return points, nodes.reshape(-1, 3 * order).astype(np.int64)


_GMSH_OPTIONS = {
    "General.Terminal": 0,
    "General.NumThreads": 1,
    "Mesh.Algorithm": 6,
    "Mesh.MeshSizeExtendFromBoundary": 0,
    "Mesh.MeshSizeFromPoints": 0,
    "Mesh.MeshSizeFromCurvature": 0,
}


def _add_geometry(gmsh, plate: Plate) -> list[int]:
    """The plate as a surface of the current model; returns the holes' curves."""
    occ = gmsh.model.occ
    square = [(0, 0), (SIDE, 0), (SIDE, SIDE), (0, SIDE)]
    corners = [occ.addPoint(x, y, 0) for x, y in square]
    edges = [occ.addLine(corners[i], corners[(i + 1) % 4]) for i in range(4)]
    curves = [
        occ.addEllipse(
            *hole.centre, 0, *hole.semi_axes, zAxis=[0, 0, 1], xAxis=[*hole.axes[0], 0]
        )
        for hole in plate.holes
    ]
    loops = [occ.addCurveLoop(edges), *(occ.addCurveLoop([c]) for c in curves)]
    occ.addPlaneSurface(loops)
    occ.synchronize()
    return curves


def _set_sizes(gmsh, curves: list[int], near: list[float], size: float) -> None:
    field = gmsh.model.mesh.field
    growths = []
    for curve, nearest in zip(curves, near, strict=True):
        distance = field.add("Distance")
        field.setNumbers(distance, "CurvesList", [curve])
        field.setNumber(distance, "Sampling", 200)
        growth = field.add("Threshold")
        settings = {"InField": distance, "SizeMin": nearest, "SizeMax": size}
        for name, value in {**settings, "DistMin": 0, "DistMax": REACH}.items():
            field.setNumber(growth, name, value)
        growths.append(growth)
    if not curves:
        constant = field.add("MathEval")
        field.setString(constant, "F", repr(size))
        growths.append(constant)
    smallest = field.add("Min")
    field.setNumbers(smallest, "FieldsList", growths)
    field.setAsBackgroundMesh(smallest)


def random_cloud(plate: Plate, n_points: int, rng: np.random.Generator) -> Mesh:
    """n_points independent, uniformly random points inside the plate, no cells."""
    points = np.zeros((0, 2))
    while len(points) < n_points:
        drawn = rng.uniform(0, SIDE, (n_points, 2))
        points = np.concatenate([points, drawn[plate.contains(drawn)]])
    return Mesh(points[:n_points])


def blue_noise_cloud(plate: Plate, n_points: int, rng: np.random.Generator) -> Mesh:
    """n_points random points inside the plate, none closer than `r`, no cells.

    Darts are thrown one after the other, and one that lands within
    `r = 0.75 sqrt(area / n_points)` of an earlier point is dropped. R. L. Cook 1986,
    doi:10.1145/7529.8927.

    Raises `ValueError` where 20 n_points darts leave room for fewer points.
    """
    radius = 0.75 * np.sqrt(plate.area / n_points)
    darts = rng.uniform(0, SIDE, (20 * n_points, 2))
    darts = darts[plate.contains(darts)]
    pairs = KDTree(darts).query_pairs(radius, output_type="ndarray")
    later, order = np.sort(pairs[:, 1]), np.argsort(pairs[:, 1], kind="stable")
    earlier, start = pairs[order, 0], np.searchsorted(later, np.arange(len(darts) + 1))
    kept = np.zeros(len(darts), dtype=bool)
    for dart in range(len(darts)):  # pairs are (earlier, later)
        kept[dart] = not kept[earlier[start[dart] : start[dart + 1]]].any()
    chosen = np.flatnonzero(kept)[:n_points]
    if len(chosen) < n_points:
        raise ValueError(f"n_points: wanted {n_points}, room for {len(chosen)}")
    return Mesh(darts[chosen])
