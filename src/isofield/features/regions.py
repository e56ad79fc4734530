"""Named regions of a mesh as the sets of points that they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from isofield.cells import CELL_TYPES
from isofield.discretization import from_mesh
from isofield.features.names import FeatureError
from isofield.features.nearest import nearest_in
from isofield.graph import knn_graph
from isofield.mesh import Mesh
from isofield.operators.closest import boundary
from isofield.operators.location import locate
from isofield.operators.supermesh.splitting import split
from isofield.topology import boundary_facets, first_numbers, joined, number_rows

BOUNDARY = "boundary"


@dataclass(frozen=True, eq=False)
class Region:
    """A closed set: cells and facets of a mesh, and points that stand alone.

    cells : type -> (T_k, n_k) the cells and facets, by the mesh's own point numbers.
    points : (k,) numbers of points in none of these. nodes : (n,) numbers of all.
    """

    mesh: Mesh
    cells: Mapping[str, np.ndarray]
    points: np.ndarray
    nodes: np.ndarray

    @cached_property
    def parts(self) -> tuple[Mesh, ...]:
        """The cells of each dimension as a mesh."""
        whole = Mesh(self.mesh.points, self.cells)
        dimensions = sorted({CELL_TYPES[kind].dimension for kind in self.cells})
        return tuple(whole.of_dimension(m) for m in dimensions)


def region(mesh: Mesh, name: str) -> Region:
    """The region of this name: that of all facets of the boundary for "boundary".

    A set of facets is their union, a set of cells the union of the cells. A set of
    points is the union of the facets of the boundary all of whose points are members;
    where members lie within, that of all such cells and facets; and of the members in
    none of these. Of sets of the same name that of facets counts, then that of cells.

    Raises `FeatureError` where there is none, or where it is empty, and says which
    there are.
    """
    if name == BOUNDARY and mesh.dimension > 0:
        return _of_boundary(mesh)
    for sets, made in (
        (mesh.facet_sets, _of_facets),
        (mesh.cell_sets, _of_cells),
        (mesh.point_sets, _of_points),
    ):
        if name in sets:
            if not len(sets[name]):
                raise FeatureError(f"the region {name!r} is empty")
            return made(mesh, sets[name])
    raise FeatureError(_missing(mesh, name))


def nearest(region: Region, points: Tensor) -> tuple[Tensor, Tensor]:
    """(M,) the distance of points (M, d) to a region, and (M, d) the nearest point of
    it: exact for straight cells and facets, O(h²) for curved ones."""
    distance = torch.full_like(points[:, 0], torch.inf)
    foot = torch.full_like(points, torch.nan)

    def keep(found: Tensor, at: Tensor) -> None:
        nearer = found < distance
        distance[nearer], foot[nearer] = found[nearer], at[nearer]

    for part in region.parts:
        solid = part.dimension == points.shape[1]
        domain = boundary(part) if solid else split(part)
        found = nearest_in(domain, points)
        at = torch.einsum("mc,mcd->md", found.share, domain.corners[found.simplex])
        keep(found.distance, at)
        if solid:
            inside = locate(part, points).block >= 0
            keep(torch.where(inside, 0.0, distance), points)
    if len(region.points):
        alone = torch.tensor(region.mesh.points[region.points])
        at = alone[knn_graph(alone, points, 1).source]
        keep((at - points).norm(dim=1), at)
    return distance, foot


def indicator(region: Region, at: str) -> np.ndarray:
    """(N,) at points or (T,) at cells, what of a place belongs to a region.

    Of cells of the highest dimension 1 at each of them, and at a point the share of its
    weight that lies in them. Of facets 1 at their points and at the cells that have
    one. Raises `FeatureError` at cells for a region of points and edges alone.
    """
    return _share_of_points(region) if at == "points" else _share_of_cells(region)


def _share_of_points(region: Region) -> np.ndarray:
    mesh, m = region.mesh, region.mesh.dimension
    result = np.zeros(len(mesh.points))
    blocks = [n for k, n in region.cells.items() if CELL_TYPES[k].dimension == m]
    if not blocks:
        result[region.nodes] = 1
        return result
    used = np.unique(np.concatenate([nodes.ravel() for nodes in blocks]))
    result[used] = from_mesh(region.parts[-1]).weights
    return result / from_mesh(mesh).weights.numpy()


def _share_of_cells(region: Region) -> np.ndarray:
    mesh, starts = region.mesh, first_numbers(region.mesh.cells)
    dimensions = {CELL_TYPES[kind].dimension for kind in region.cells}
    if mesh.dimension in dimensions:
        blocks = [
            (kind, nodes, starts[kind] + np.arange(len(nodes)))
            for kind, nodes in mesh.cells.items()
        ]
    elif mesh.dimension - 1 in dimensions:
        blocks = [(kind, nodes, code // 8) for kind, nodes, code in _facets(mesh)]
    else:
        raise FeatureError(
            "a region of points and edges alone belongs to no cell: take a distance"
        )
    result = np.zeros(sum(len(nodes) for nodes in mesh.cells.values()))
    for kind, nodes, number in blocks:
        if kind in region.cells:
            both = np.sort(np.concatenate([region.cells[kind], nodes]), axis=1)
            members, asked = np.split(number_rows(both)[1], [len(region.cells[kind])])
            result[number[np.isin(asked, members)]] = 1
    return result[mesh.top_cells]


def _of_boundary(mesh: Mesh) -> Region:
    rim = _rim(mesh)
    if not rim:
        raise FeatureError("the mesh is closed: it has no boundary")
    return _region(mesh, rim)


def _of_facets(mesh: Mesh, pairs: np.ndarray) -> Region:
    facets = _facets(mesh)
    wanted = np.unique(8 * pairs[:, 0] + pairs[:, 1])
    return _region(mesh, [(kind, n[np.isin(code, wanted)]) for kind, n, code in facets])


def _of_cells(mesh: Mesh, numbers: np.ndarray) -> Region:
    starts = first_numbers(mesh.cells)
    blocks = [
        (kind, n[np.isin(starts[kind] + np.arange(len(n)), numbers)])
        for kind, n in mesh.cells.items()
    ]
    return _region(mesh, blocks)


def _of_points(mesh: Mesh, numbers: np.ndarray) -> Region:
    member = np.zeros(len(mesh.points), dtype=bool)
    member[numbers] = True
    if mesh.dimension < 1:
        return Region(mesh, {}, np.flatnonzero(member), np.flatnonzero(member))
    blocks = _rim(mesh)
    if not np.isin(numbers, mesh.boundary_points()).all():
        blocks = [(kind, nodes) for kind, nodes, _ in _facets(mesh)]
        blocks += list(mesh.cells.items())
    found = _region(mesh, [(k, n[member[n].all(axis=1)]) for k, n in blocks])
    alone = member.copy()
    alone[found.nodes] = False
    return Region(mesh, found.cells, np.flatnonzero(alone), np.flatnonzero(member))


_NONE = np.zeros(0, dtype=np.int64)


def _rim(mesh: Mesh) -> list[tuple[str, np.ndarray]]:
    """(type, nodes) of the facets of the boundary."""
    found = boundary_facets(mesh.cells, mesh.dimension)
    return [(facets.kind, facets.nodes) for facets in found]


def _facets(mesh: Mesh) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(type, nodes, 8 cell + place) of all facets of the cells, once for each cell."""
    found = []
    starts = first_numbers(mesh.cells)
    for kind, nodes in mesh.cells.items():
        if CELL_TYPES[kind].dimension < 1:
            continue
        numbers = starts[kind] + np.arange(len(nodes))
        for place, (facet, local) in enumerate(CELL_TYPES[kind].facets):
            found.append((facet, nodes[:, list(local)], 8 * numbers + place))
    return found


def _region(mesh: Mesh, blocks: Sequence[tuple[str, np.ndarray]]) -> Region:
    """Of these cells; vertices count as points that stand alone."""
    cells = joined([(kind, nodes) for kind, nodes in blocks if len(nodes)])[0]
    used = np.concatenate([_NONE, *(nodes.ravel() for nodes in cells.values())])
    alone = cells.pop("vertex", _NONE).ravel()
    return Region(mesh, cells, np.unique(alone), np.unique(used))


def _missing(mesh: Mesh, name: str) -> str:
    known = sorted({*mesh.point_sets, *mesh.cell_sets, *mesh.facet_sets})
    has = f"it has {', '.join(map(repr, known)) or 'none'}"
    if name == BOUNDARY:
        return (
            "a cloud of points without cells has no boundary; give it cells, or a set "
            f"of points with the name 'boundary' ({has})"
        )
    return f"no region {name!r}; {has}"
