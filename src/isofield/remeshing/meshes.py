"""Meshes of the same shape in other resolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from isofield.cells import CELL_TYPES
from isofield.graph import knn_graph, mesh_graph
from isofield.mesh import Mesh, MeshError
from isofield.quadrature import cell_measures
from isofield.remeshing.features import sharp_points
from isofield.remeshing.labels import Names, labelled, named
from isofield.remeshing.mmg import Labelled, Limits, mmg_remeshed
from isofield.remeshing.order import mixed
from isofield.remeshing.search import with_count
from isofield.remeshing.taken import Size, sizes_at, taken, with_fields, with_sets

# Points on which a mesh of equal edges h of measure V has about V / (c h^d) of.
_PER_POINT = {"triangle": 3**0.5 / 2, "tetra": 0.5**0.5}

# The largest distance from curved boundaries over the mean size. An edge h leaves its
# circle of radius R by h² / 8 R; by MMG's stricter estimate edges up to R / 2 keep it.
_DEVIATION = 0.2

# MMG scales the mesh to the unit cube and back: points that stay move by this share.
_ROUNDING = 1e-12

_NONE = np.zeros(0, dtype=np.int64)


def coarsen(
    mesh: Mesh,
    n_points: int | None = None,
    h: float | None = None,
    *,
    graded: bool = False,
    angle: float = 45.0,
    deviation: float | None = None,
    regions: Sequence[str] = (),
) -> Mesh:
    """The same shape with about `n_points` points, or with edges of length `h`.

    `remesh` with one size everywhere. For a number of points the size is found by the
    secant method in log n over log h, as `n ~ c h^-d` on a shape of d dimensions
    (less near few points, where the boundary holds most of them); at most 8 passes,
    each a remeshing of the original mesh, until n is within 3 %; a warning says where
    none is. Sharp points alone may be more; and where all edges of a mesh are equal, as
    in a regular lattice, all are split or collapsed at once, so that some numbers near
    that of `mesh` are not to be had. More points than the mesh has are made as well.

    n_points : a number, at least 3 (triangles) or 4 (tetrahedra).
    h : length. Exactly one of the two.
    graded : whether sizes are to one another as the mean edges at the points of `mesh`,
        in place of equal; with `n_points` alone.
    angle, deviation, regions : as in `remesh`.

    Keeps what `remesh` keeps; raises what it raises, and `ValueError` for both or none
    of n_points and h.
    """
    options = {"angle": angle, "deviation": deviation, "regions": regions}
    if h is not None and graded:
        raise ValueError("graded: with n_points alone; h is one size everywhere")
    if h is not None and n_points is None:
        return remesh(mesh, h, **options)
    if n_points is None or h is not None:
        raise ValueError(f"expected n_points or h, got n_points={n_points}, h={h}")
    mesh, kind = taken(mesh)
    dimension = mesh.dimension
    if not n_points > dimension:
        raise ValueError(f"n_points: expected at least {dimension + 1}, got {n_points}")
    shape = _mean_edges(mesh) if graded else np.ones(len(mesh.points))
    measure = _measures(mesh.points, mesh.cells[kind], kind).sum()
    scale = measure / (_PER_POINT[kind] * n_points)
    start = float(np.log(scale) / dimension)
    if graded:
        start = float(np.log(len(mesh.points) / n_points) / dimension)

    def made(logarithm: float) -> Mesh:
        return remesh(mesh, np.exp(logarithm) * shape, **options)

    return with_count(made, start, int(n_points), dimension)


def remesh(
    mesh: Mesh,
    size: Size,
    *,
    angle: float = 45.0,
    deviation: float | None = None,
    gradation: float = 1.3,
    regions: Sequence[str] = (),
) -> Mesh:
    """The same shape in new cells whose edges have the length `size`.

    By MMG (Dapogny, Dobrzynski, Frey, J. Comput. Phys. 262, 2014,
    doi:10.1016/j.jcp.2014.01.005): edges are split, collapsed and swapped and points
    moved until their length over the size is near 1; curved boundaries are followed by
    cubic patches through their normals.

    mesh : triangles in the plane, triangles in space or tetrahedra, with lines or
        triangles among their facets as further cells.
    size : length. One for all, (N,) at the points of `mesh`, or a function from points
        (N, d) to lengths (N,); linear between the points of `mesh`, so that it cannot
        vary faster than they resolve.
    angle : degrees. Edges where normals, and lines where directions differ by more
        are sharp; sharp edges and corners stay. Flatter ones are rounded.
    deviation : length, the largest distance allowed from curved boundaries, where
        edges become shorter than `size` to keep it; what is finer may be lost. 0.2 of
        the mean size where it is not given: edges are shorter on radii below two sizes.
    gradation : the largest ratio of the lengths of neighbouring edges; sizes that grow
        faster are reduced.
    regions : names of cell fields of whole numbers, such as the number of a material,
        which are kept and carried exactly, like cell sets.

    Named regions stay: cell sets, facet sets and point sets are those of the new mesh.
    Boundaries between cells in different sets, facets in a set, and facets that are
    cells are kept as lines or surfaces. Members of a point set that make up no cell and
    no such facet stay as points, each where it is. Areas and volumes of shapes with
    straight sides are kept to rounding, curved ones to O(h²). Where three triangles or
    more of a surface meet, edges are split but not joined.

    Point and cell data are not carried: `isofield.resampling.resample` does it between
    the two meshes, by a method of your choice. `field_data`, numbers and units of the
    whole mesh, is. Cells smaller than facets (vertices, lines of volumes) are left out,
    with a warning. Cells of lower dimension may be turned round; a facet between two
    cells of the same sets is named once.

    O(N + M) for M new points in practice: about 30 µs for each of both with triangles,
    0.14 ms with tetrahedra. What is made does not depend on the numbering of `mesh`.
    MMG counts in 32 bits, and says on stderr where it fails.

    Raises `MeshError` for other cell types, faulty cells and where MMG gives up,
    `ValueError` for sizes that are not positive lengths, `ImportError` where MMG is not
    installed.
    """
    mesh, kind = taken(mesh)
    sizes = sizes_at(size, mesh.points)
    mesh, values = with_sets(mesh, regions)
    old, names = labelled(mesh, kind)
    kept = [sharp_points(old.points, old.facets, old.facet_labels, angle)]
    if kind == "triangle" and mesh.points.shape[1] == 3:
        kept.append(sharp_points(old.points, old.cells, old.cell_labels, angle))
    kept += names.lone_points.values()
    given, number = mixed(old)
    sizes = sizes[np.argsort(number)]
    limits = _limits(angle, deviation, gradation, float(sizes.mean()))
    required = np.unique(number[np.concatenate(kept)])
    new = mmg_remeshed(given, required, sizes, limits)
    _check_regions(old, new, kind, max(limits.deviation, _DEVIATION * sizes.mean()))
    made = named(new, names, kind, _found(names, mesh.points, new))
    return with_fields(replace(made, field_data=mesh.field_data), values)


def _mean_edges(mesh: Mesh) -> np.ndarray:
    """(N,) the mean length of the edges at each point of a mesh."""
    graph = mesh_graph(mesh)
    a, b = graph.edge_index.numpy()
    lengths = np.linalg.norm(mesh.points[a] - mesh.points[b], axis=1)
    n = len(mesh.points)
    total = np.bincount(b, lengths, n)
    return total / np.bincount(b, minlength=n)


def _limits(
    angle: float, deviation: float | None, gradation: float, mean: float
) -> Limits:
    deviation = _DEVIATION * mean if deviation is None else deviation
    if not 0 < angle < 180:
        raise ValueError(f"angle: expected degrees within 0 and 180, got {angle}")
    if not deviation > 0:
        raise ValueError(f"deviation: expected a positive length, got {deviation}")
    if not gradation > 1:
        raise ValueError(f"gradation: expected a ratio above 1, got {gradation}")
    return Limits(angle, deviation, gradation)


def _found(names: Names, points: np.ndarray, new: Labelled) -> dict[str, np.ndarray]:
    """The points that stayed, under their numbers in the new mesh."""
    lone = np.unique(np.concatenate([_NONE, *names.lone_points.values()]))
    if not len(lone):
        return names.lone_points
    old = torch.tensor(points[lone])
    number = knn_graph(torch.tensor(new.points), old, 1).source.numpy()
    moved = np.abs(new.points[number] - points[lone]).max()
    if moved > _ROUNDING * np.abs(points).max():
        raise MeshError(
            f"MMG moved points of point sets by {moved:.3g}, which should stay; leave "
            "out sets of points inside, or take other sizes"
        )
    return {
        name: number[np.searchsorted(lone, numbers)]
        for name, numbers in names.lone_points.items()
    }


def _check_regions(old: Labelled, new: Labelled, kind: str, deviation: float) -> None:
    """Regions that fill their space differ by no more than their borders move."""
    if old.points.shape[1] != CELL_TYPES[kind].dimension:
        return
    before, after = (
        np.bincount(mesh.cell_labels, _measures(mesh.points, mesh.cells, kind))
        for mesh in (old, new)
    )
    facet_kind = CELL_TYPES[kind].facets[0][0]
    border = _measures(old.points, old.facets, facet_kind).sum()
    if len(before) != len(after) or np.abs(after - before).max() > deviation * border:
        raise MeshError(
            "MMG made a mesh of another shape; take smaller sizes where the shape is "
            "finer than `size`"
        )


def _measures(points: np.ndarray, nodes: np.ndarray, kind: str) -> np.ndarray:
    return cell_measures(torch.tensor(points), torch.tensor(nodes), kind).abs().numpy()
