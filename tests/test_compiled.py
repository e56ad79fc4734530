"""Compiled loops and the plain way side by side: the same numbers, on every facet."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.spatial import Delaunay
from torch import Tensor

from isofield import Mesh
from isofield.generation import box, plate_with_holes, square
from isofield.operators import compiled, conservative, linear
from isofield.operators.location import locate
from isofield.operators.supermesh import overlaps, split
from isofield.operators.supermesh.boxes import Boxes, morton, overlapping
from isofield.operators.walking import neighbours

pytest.importorskip("numba", reason="the extra `fast` is not installed")


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Callable:
    """`both(call)`: what a call returns with compiled loops, and without."""

    def twice(call: Callable) -> tuple:
        monkeypatch.setattr(compiled, "worth", lambda count: True)
        fast = call()
        monkeypatch.setattr(compiled, "worth", lambda count: False)
        return fast, call()

    return twice


def cloud(count: int, d: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, d, generator=generator, dtype=torch.float64)


def delaunay(count: int, d: int, seed: int = 0) -> Mesh:
    """Random points and the corners of the unit square or cube."""
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * d)
    points = torch.cat([corners, cloud(count, d, seed)]).numpy()
    found = Delaunay(points).simplices.astype(np.int64)
    return Mesh(points, {"triangle" if d == 2 else "tetra": found})


def spoilt(mesh: Mesh) -> Mesh:
    """Every other cell inside out, and cells without measure before and after."""
    ((kind, nodes),) = mesh.cells.items()
    nodes = nodes.copy()
    nodes[::2, :2] = nodes[::2, 1::-1]
    point, edge = nodes[:3].copy(), nodes[3:6].copy()
    point[:], edge[:, 2:] = point[:, :1], edge[:, :1]
    return Mesh(mesh.points, {kind: np.concatenate([point, nodes, edge])})


MESHES = {
    "lattice": square(6),
    "random triangles": delaunay(60, 2),
    "holes": plate_with_holes(12),
    "graded": square(8, grading=1000.0),
    "cube": box(3),
    "random tetrahedra": delaunay(40, 3),
    "spoilt triangles": spoilt(square(6, jitter=0.2)),
    "spoilt tetrahedra": spoilt(box(3, jitter=0.2)),
}


def on_faces(mesh: Mesh) -> Tensor:
    """Nodes, middles of edges and of faces, and random points of both, all exact."""
    ((_, nodes),) = mesh.cells.items()
    corners = torch.tensor(mesh.points[nodes])
    found = [torch.tensor(mesh.points)]
    for count in range(2, corners.shape[1]):
        found.append(corners[:, :count].mean(1))
        share = cloud(len(corners), count)
        share = share / share.sum(1, keepdim=True)
        found.append(torch.einsum("tc,tcd->td", share, corners[:, :count]))
    return torch.cat(found)


def about(mesh: Mesh, count: int = 2000) -> Tensor:
    """Points within a box that is larger than the mesh."""
    low, high = (torch.tensor(x) for x in (mesh.points.min(0), mesh.points.max(0)))
    return low + (high - low) * (1.2 * cloud(count, len(low)) - 0.1)


@pytest.mark.parametrize("name", MESHES)
def test_points_are_found_in_the_same_cells(name, both):
    """Within, outside, in holes, on faces, edges and nodes: the same cell, and the same
    place in it to the last bit."""
    mesh = MESHES[name]
    at = torch.cat([about(mesh), on_faces(mesh)])
    fast, slow = both(lambda: locate(mesh, at))
    assert "isofield.operators.compiled.walking" in sys.modules
    for a, b in zip(fast[1:], slow[1:], strict=True):
        assert torch.equal(a, b)
    assert (fast.block[len(at) - len(on_faces(mesh)) :] == 0).all()


@pytest.mark.parametrize("name", MESHES)
def test_operators_have_the_same_entries(name, both):
    mesh = MESHES[name]
    at = torch.cat([about(mesh), on_faces(mesh)])
    fast, slow = both(lambda: linear(mesh, at, outside="nan"))
    assert torch.equal(fast.graph.edge_index, slow.graph.edge_index)
    assert torch.equal(fast.graph.ptr, slow.graph.ptr)
    assert torch.equal(fast.values, slow.values)
    assert torch.equal(fast.missing, slow.missing)


@pytest.mark.parametrize("name", MESHES)
def test_points_outside_are_outside_of_every_cell(name, both):
    """Each cell tried in turn, by scipy's way of solving."""
    mesh = MESHES[name]
    at = about(mesh, 500)
    ((_, nodes),) = mesh.cells.items()
    corners = mesh.points[nodes]
    edges = np.swapaxes(corners[:, 1:] - corners[:, :1], 1, 2)
    solid = np.abs(np.linalg.det(edges)) > 1e-14
    inside = np.zeros(len(at), dtype=bool)
    for first, edge in zip(corners[solid, 0], edges[solid], strict=True):
        xi = np.linalg.solve(edge, (at.numpy() - first).T)
        inside |= (xi.min(0) >= -1e-10) & (xi.sum(0) <= 1 + 1e-10)
    for found in both(lambda: locate(mesh, at)):
        np.testing.assert_array_equal(found.block.numpy() == 0, inside)


PAIRS = {
    "random triangles": (delaunay(60, 2), delaunay(50, 2, seed=1)),
    "random tetrahedra": (delaunay(40, 3), delaunay(30, 3, seed=1)),
    "nested": (square(8), square(4)),
    "nested tetrahedra": (box(4), box(2)),
    "itself": (box(2, jitter=0.2), box(2, jitter=0.2)),
    "spoilt": (MESHES["spoilt triangles"], square(5)),
    "spoilt tetrahedra": (MESHES["spoilt tetrahedra"], box(2)),
    "beside each other": (
        square(3),
        Mesh(square(3).points + np.eye(2)[0], square(3).cells),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_overlaps_are_the_same(name, both):
    """Every pair with its measure; of one side touching another there is none."""
    a, b = (split(mesh) for mesh in PAIRS[name])

    def matrix() -> Tensor:
        result = torch.zeros(len(a.measure), len(b.measure), dtype=torch.float64)
        for s, t, measure in overlaps(a, b):
            result.index_put_((s, t), measure, accumulate=True)
        return result

    fast, slow = both(matrix)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-16)
    shared = 0 if name == "beside each other" else float(b.measure.sum())
    assert float(fast.sum()) == pytest.approx(shared, rel=1e-13, abs=1e-16)


@pytest.mark.parametrize("name", list(PAIRS)[:4])
def test_conservative_transfers_are_the_same(name, both):
    fast, slow = both(lambda: conservative(*PAIRS[name]))
    u = cloud(fast.shape[1], 2)
    torch.testing.assert_close(fast(u), slow(u), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("reach", [None, 0.05])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_boxes_that_meet_are_the_same(d, reach, both):
    """Random boxes, boxes that share a side, and boxes without size."""
    low = torch.cat([cloud(300, d), (8 * cloud(100, d)).round() / 8])
    size = torch.cat([0.1 * cloud(300, d, seed=1), torch.full((100, d), 0.125)])
    size[::7] = 0
    far = None if reach is None else reach * cloud(400, 1)[:, 0]
    source, target = Boxes(low, low + size, far), Boxes(low.flip(0), low.flip(0) + size)
    fast, slow = both(lambda: torch.stack(overlapping(source, target)))
    assert {*map(tuple, fast.T.tolist())} == {*map(tuple, slow.T.tolist())}
    assert fast.shape == slow.shape
    gap = torch.maximum(
        source.low[:, None] - target.high[None], target.low[None] - source.high[:, None]
    ).clamp(min=0)
    limit = 0 if far is None else far[:, None] ** 2
    meets = (gap.square().sum(2) <= limit).sum()
    assert fast.shape[1] == int(meets)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_places_along_the_curve_are_the_same(d, both):
    points = torch.cat([cloud(500, d), torch.zeros(1, d), torch.ones(1, d)])
    low, size = points.amin(0), points.amax(0) - points.amin(0)
    fast, slow = both(lambda: morton(points, low, size))
    assert torch.equal(fast, slow)
    assert int(slow[-2]) == 0
    assert len(slow.unique()) == len(points)


@pytest.mark.parametrize("name", MESHES)
def test_neighbours_share_a_facet(name):
    """As many across as back; in a mesh of whole cells just those of the plain way."""
    from isofield.operators.compiled import walking

    ((_, cells),) = MESHES[name].cells.items()
    nodes = cells.copy()
    fast, slow = walking.neighbours(nodes), neighbours(torch.tensor(nodes)).numpy()
    for t, row in enumerate(fast):
        for k, other in enumerate(row):
            if other >= 0:
                facet = np.delete(nodes[t], k)
                assert {*facet} <= {*nodes[other]}
                assert t in fast[other]
    if not name.startswith("spoilt"):
        np.testing.assert_array_equal(fast, slow)


def test_small_work_is_not_compiled():
    assert not compiled.worth(compiled.WORTH - 1)
    assert compiled.worth(compiled.WORTH)


def test_without_a_place_for_the_cache_each_process_compiles(monkeypatch):
    from numba.core import caching

    from isofield.operators.compiled.kernel import kernel

    def doubled(x: int) -> int:
        return 2 * x

    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    with pytest.warns(UserWarning, match=r"doubled anew .*set NUMBA_CACHE_DIR"):
        made = kernel(doubled)
    assert made(21) == 42
