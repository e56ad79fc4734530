"""The door to MMG: triangles and tetrahedra with labels in, a new mesh of them out."""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

import numpy as np

from isofield.mesh import MeshError


class Labelled(NamedTuple):
    """Cells and those of their facets that have a label.

    points : (N, d). cells : (T, d or 3) triangles or (T, 4) tetrahedra. cell_labels :
    (T,) from 1. facets : (F, n - 1). facet_labels : (F,) from 1.
    """

    points: np.ndarray
    cells: np.ndarray
    cell_labels: np.ndarray
    facets: np.ndarray
    facet_labels: np.ndarray


class Limits(NamedTuple):
    """angle : degrees above which an edge is sharp. deviation : largest distance from
    curved boundaries, length. gradation : largest ratio of neighbouring edges."""

    angle: float
    deviation: float
    gradation: float


def mmg_remeshed(
    old: Labelled, required: np.ndarray, sizes: np.ndarray, limits: Limits
) -> Labelled:
    """The shape of `old` in cells of edge length `sizes` (N,).

    required : numbers of points that stay where they are.

    Raises `MeshError` where MMG gives up, `ImportError` where it is not installed.
    """
    if old.points.shape[1] == 2:
        # MMG's way for the plane rounds holes off and forgets lines within a region
        flat = np.pad(old.points, ((0, 0), (0, 1)))
        new = mmg_remeshed(old._replace(points=flat), required, sizes, limits)
        return new._replace(points=new.points[:, :2])
    mesh = _filled(old)
    if len(required):
        mesh.set_required_vertices(required.astype(np.int32))
    mesh["metric"] = np.ascontiguousarray(sizes[:, None], dtype=np.float64)
    options = {"ar": limits.angle, "hausd": limits.deviation}
    options["hgrad"] = limits.gradation
    if old.cells.shape[1] == 4:
        # labelled facets within one region stay as well
        _run(mesh, **options, opnbdy=1)
    elif not len(old.facets):
        _run(mesh, **options)
    else:
        # Where lines between regions cross creases, MMG may move points off the lines:
        # all points are made without moving any, then those between lines are moved.
        _run(mesh, **options, nomove=1)
        lines = np.arange(len(mesh.get_edges()), dtype=np.int32)
        mesh.set_required_edges(lines)
        _run(mesh, **options, nomove=0, noinsert=1, nosizreq=1)
    return _read(mesh, old)


def _run(mesh, **options: float) -> None:
    try:
        code = mesh.remesh(verbose=-1, **options)["return_code"]
    except RuntimeError as error:
        raise MeshError(f"MMG cannot remesh this mesh: {error}") from error
    if code:
        raise MeshError(
            f"MMG gave up (code {code}): mesh.validate() names faulty cells; larger "
            "sizes need less memory"
        )


def _filled(old: Labelled):
    """The mesh as an object of MMG, not yet remeshed."""
    if max(len(old.points), len(old.cells)) >= 2**31:
        raise MeshError("MMG counts points and cells in 32 bits; the mesh has more")
    mmgpy = _library()
    cells, facets = old.cells.astype(np.int32), old.facets.astype(np.int32)
    if old.cells.shape[1] == 4:
        mesh = mmgpy.MmgMesh3D()
        mesh.set_mesh_size(len(old.points), len(cells), triangles=len(facets))
        mesh.set_vertices(old.points)
        mesh.set_tetrahedra(cells, old.cell_labels)
        mesh.set_triangles(facets, old.facet_labels)
        return mesh
    mesh = mmgpy.MmgMeshS()
    mesh.set_mesh_size(
        vertices=len(old.points), triangles=len(cells), edges=len(facets)
    )
    mesh.set_vertices(old.points)
    mesh.set_triangles(cells, old.cell_labels)
    if len(facets):
        mesh.set_edges(facets, old.facet_labels)
    return mesh


def _read(mesh, old: Labelled) -> Labelled:
    """What MMG made, less the facets without a label."""
    volume = old.cells.shape[1] == 4
    cells = mesh.get_elements_with_refs() if volume else mesh.get_triangles_with_refs()
    facets, labels = (
        mesh.get_triangles_with_refs() if volume else mesh.get_edges_with_refs()
    )
    labels = np.asarray(labels, dtype=np.int64)
    facets = np.asarray(facets, dtype=np.int64).reshape(-1, old.facets.shape[1])
    kept = labels > 0
    return Labelled(
        np.asarray(mesh.get_vertices(), dtype=np.float64),
        np.asarray(cells[0], dtype=np.int64),
        np.asarray(cells[1], dtype=np.int64),
        facets[kept],
        labels[kept],
    )


def _library() -> ModuleType:
    try:
        import mmgpy
    except ImportError as error:
        raise ImportError(
            'remeshing needs the package mmgpy (MMG): pip install "isofield[remesh]"'
        ) from error
    return mmgpy
