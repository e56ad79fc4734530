"""Neighbour searches: against brute force, against each other, pair for pair."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from isofield.discretization import Discretization
from isofield.graph import Graph, knn_graph, mesh_graph, pack, radius_graph, unpack
from isofield.mesh import Mesh, MeshError

METHODS = ["tree", "cell_list"]
DTYPES = [torch.float32, torch.float64]


def distances(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """(M, N) distances in the points' precision, axis after axis."""
    squared = sum(
        (target[:, None, axis] - source[None, :, axis]) ** 2
        for axis in range(source.shape[1])
    )
    assert isinstance(squared, torch.Tensor)
    return squared.sqrt()


def brute_radius(source, target, radius) -> torch.Tensor:
    near = distances(source, target) <= torch.tensor(radius, dtype=source.dtype)
    return near.nonzero().T.flip(0)


def brute_nearest(source, target, k) -> torch.Tensor:
    order = distances(source, target).sort(dim=1, stable=True).indices[:, :k]
    own = torch.arange(len(target)).repeat_interleave(k)
    return torch.stack([order.sort(dim=1).values.flatten(), own])


def clouds(dimension: int, dtype: torch.dtype) -> dict:
    """Pairs (source, target) with the traps of a search, by name."""
    seed = torch.Generator().manual_seed(dimension)

    def lattice(n):
        return torch.randint(-4, 5, (n, dimension), generator=seed).to(dtype)

    free = 3 * torch.randn(150, dimension, generator=seed, dtype=dtype)
    grid, other = lattice(150), lattice(120)
    far = torch.cat([other, torch.full((1, dimension), 1e9, dtype=dtype)])
    return {
        "one cloud": (free, free),
        "two clouds": (free, grid),
        "lattice with duplicates": (grid, grid),
        "two lattices": (grid, other),
        "far-away source": (far, grid),
        "far-away target": (grid, far),
        "offset": (grid / 1024 + 1e3, other / 1024 + 1e3),
        "one point": (grid[:1], grid[:1]),
        "no source": (grid[:0], other),
        "no target": (grid, other[:0]),
        "all at one place": (grid * 0 - 7, other * 0 - 7),
    }


CASES = list(clouds(1, torch.float32))
RADII = [1e-6, 1 / 1024, 1.0, math.sqrt(2), math.sqrt(3), 2.5, 100.0, 1e10]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES)
def test_radius_graph_is_brute_force_pair_for_pair(case, method, dimension, dtype):
    """Lattice points lie at exactly 1, sqrt 2 and sqrt 3: the boundary counts."""
    source, target = clouds(dimension, dtype)[case]
    for radius in RADII:
        graph = radius_graph(source, target, radius, method)
        assert torch.equal(graph.edge_index, brute_radius(source, target, radius))
        assert graph.edge_index.dtype == graph.ptr.dtype == torch.int64
        assert (graph.n_sources, graph.n_targets) == (len(source), len(target))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", [name for name in CASES if name != "no source"])
def test_knn_graph_is_brute_force_with_ties_by_number(case, method, dimension, dtype):
    source, target = clouds(dimension, dtype)[case]
    for k in {1, min(3, len(source)), len(source) // 2 or 1, len(source)}:
        graph = knn_graph(source, target, k, method)
        assert torch.equal(graph.edge_index, brute_nearest(source, target, k))


@pytest.mark.parametrize("method", METHODS)
def test_the_boundary_is_decided_in_the_points_own_precision(method):
    """The floats next to 1 lie one on each side of the radius, for both precisions."""
    for dtype in DTYPES:
        one = torch.ones((), dtype=dtype)
        below = torch.nextafter(one, one * 0)
        above = torch.nextafter(one, one * 2)
        source = torch.stack([below, one, above]).view(3, 1)
        graph = radius_graph(source, torch.zeros(1, 1, dtype=dtype), 1.0, method)
        assert graph.source.tolist() == [0, 1]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_methods_agree_where_rounding_decides(dtype):
    """On a lattice of spacing 0.1 the distances scatter around 0.1 by rounding."""
    axis = torch.arange(18, dtype=dtype) * torch.tensor(0.1, dtype=dtype)
    points = torch.cartesian_prod(axis, axis, axis) + 3
    tree = radius_graph(points, points, 0.1, "tree")
    cells = radius_graph(points, points, 0.1, "cell_list")
    everything = len(points) * 7 - 6 * 18**2
    assert len(points) < tree.n_edges < everything
    assert torch.equal(tree.edge_index, cells.edge_index)
    assert torch.equal(tree.edge_index, tree.reversed().edge_index)


@pytest.mark.parametrize("method", METHODS)
def test_cells_are_compressed_where_the_cloud_is_spread_out(method):
    """Clusters 1e12 radii apart in space: far more cells than 64 bits can number."""
    seed = torch.Generator().manual_seed(0)
    places = torch.rand(40, 3, generator=seed, dtype=torch.float64) * 1e6
    points = (places[:, None] + 1e-6 * torch.rand(40, 5, 3, generator=seed)).view(-1, 3)
    graph = radius_graph(points, points, 1e-6, method)
    assert torch.equal(graph.edge_index, brute_radius(points, points, 1e-6))
    assert graph.n_edges > len(points)


@pytest.mark.parametrize("method", METHODS)
def test_work_in_small_pieces_gives_the_same_graph(method, monkeypatch):
    points = torch.rand(500, 2, generator=torch.Generator().manual_seed(1))
    whole = radius_graph(points, points, 0.2), knn_graph(points, points, 9)
    for name in ("CANDIDATES_AT_ONCE", "TARGETS_AT_ONCE"):
        monkeypatch.setattr(f"isofield.graph.cell_list.{name}", 70)
    monkeypatch.setattr("isofield.graph.tree.PAIRS_AT_ONCE", 70)
    monkeypatch.setattr("isofield.graph.tree.CANDIDATES_AT_ONCE", 70)
    pieces = (
        radius_graph(points, points, 0.2, method),
        knn_graph(points, points, 9, method),
    )
    for a, b in zip(whole, pieces, strict=True):
        assert torch.equal(a.edge_index, b.edge_index)


def samples() -> list[tuple[Discretization, Discretization]]:
    """Samples with different numbers of points, in the same place, one empty."""
    seed = torch.Generator().manual_seed(2)

    def cloud(n):
        return Discretization(torch.rand(n, 2, generator=seed), torch.ones(n))

    return [(cloud(n), cloud(m)) for n, m in [(30, 20), (12, 0), (9, 40), (50, 7)]]


def packed(parts: list[Discretization]) -> Discretization:
    counts = torch.tensor([0] + [len(part) for part in parts])
    return Discretization(
        torch.cat([part.points for part in parts]),
        torch.cat([part.weights for part in parts]),
        counts.cumsum(0),
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "search",
    [lambda *a: radius_graph(*a[:2], 0.3, a[2]), lambda *a: knn_graph(*a[:2], 5, a[2])],
)
def test_the_graph_of_packed_samples_is_the_packed_graph(search, method):
    """Batch, then unbatch, is the identity; no edge joins two samples."""
    pairs = samples()
    source, target = packed([s for s, _ in pairs]), packed([t for _, t in pairs])
    singles = [search(s, t, method) for s, t in pairs]
    graph = search(source, target, method)
    assert torch.equal(graph.edge_index, pack(singles).edge_index)
    assert torch.equal(source.sample[graph.source], target.sample[graph.target])
    for single, part in zip(
        singles, unpack(graph, source.ptr, target.ptr), strict=True
    ):
        assert torch.equal(single.edge_index, part.edge_index)
        assert torch.equal(single.ptr, part.ptr)
        assert (single.n_sources, single.n_targets) == (part.n_sources, part.n_targets)
    same = search(source, source, method)
    copy = search(source, packed([s for s, _ in pairs]), method)
    assert torch.equal(same.edge_index, copy.edge_index)


def test_unpacking_a_graph_that_joins_samples_is_an_error():
    whole = radius_graph(torch.zeros(4, 1), torch.zeros(4, 1), 1.0)
    halves = torch.tensor([0, 2, 4])
    with pytest.raises(ValueError, match="sources 0 to 3 of 2"):
        unpack(whole, halves, halves)


def test_permuting_the_points_permutes_the_edges():
    seed = torch.Generator().manual_seed(3)
    points = torch.rand(200, 3, generator=seed)
    order = torch.randperm(200, generator=seed)
    for search in (
        lambda x: radius_graph(x, x, 0.3),
        lambda x: knn_graph(x, x, 6, "cell_list"),
    ):
        renumbered = order[search(points[order]).edge_index]
        keys = renumbered[1] * 200 + renumbered[0]
        assert torch.equal(renumbered[:, keys.argsort()], search(points).edge_index)


def test_pointers_degrees_and_reversal():
    seed = torch.Generator().manual_seed(4)
    source, target = (
        torch.rand(40, 2, generator=seed),
        torch.rand(60, 2, generator=seed),
    )
    graph = radius_graph(source, target, 0.1)
    assert graph.degree().min() == 0
    assert torch.equal(graph.degree(), torch.bincount(graph.target, minlength=60))
    assert torch.equal(Graph(graph.edge_index, 40, 60).ptr, graph.ptr)
    turned = graph.reversed()
    assert torch.equal(turned.edge_index, radius_graph(target, source, 0.1).edge_index)
    assert torch.equal(turned.reversed().edge_index, graph.edge_index)
    order = graph.by_source.order
    assert torch.equal(graph.edge_index[:, order].flip(0), turned.edge_index)
    assert torch.equal(graph.to("cpu").ptr, graph.ptr)


def test_points_with_gradients_give_the_same_graph_without():
    points = torch.rand(20, 2, requires_grad=True)
    graph = radius_graph(points, points, 0.5)
    assert torch.equal(graph.edge_index, brute_radius(points, points, 0.5))


@pytest.mark.parametrize(
    ("edges", "words"),
    [
        (torch.tensor([[0, 1], [1, 0]]), "edge 1 is out of order"),
        (torch.tensor([[1, 0], [0, 0]]), "edge 1 is out of order"),
        (torch.tensor([[0, 0], [0, 0]]), "edge 1 is out of order"),
        (torch.tensor([[0, 3], [0, 0]]), "sources 0 to 3 of 3"),
        (torch.tensor([[0, -1], [0, 1]]), "sources -1 to 0"),
        (torch.tensor([[0], [4]]), "targets 4 to 4 of 4"),
        (torch.tensor([[0.0], [0.0]]), "int64"),
        (torch.tensor([0, 1]), r"\(2, E\)"),
    ],
)
def test_a_graph_refuses_edges_that_do_not_fit(edges, words):
    with pytest.raises(ValueError, match=words):
        Graph(edges, 3, 4)


@pytest.mark.parametrize("radius", [0.0, -1.0, math.nan, math.inf, "1", None, 1e-30])
def test_a_radius_is_a_positive_number(radius):
    with pytest.raises(ValueError, match="radius"):
        radius_graph(torch.zeros(2, 2), torch.zeros(2, 2), radius)


def test_bad_clouds_are_errors_that_say_what_came():
    points = torch.zeros(4, 2)
    for bad, words in [
        (torch.zeros(4, 4), "d = 1, 2 or 3"),
        (torch.zeros(4, 3), "2-D and"),
        (points.double(), "precision"),
        (points.half(), "float32 or float64"),
        (torch.tensor([[0.0, 0.0], [0.0, math.nan]]), "1 of 2 points are not finite"),
        (torch.tensor([[0.0, 3e38], [0.0, -3e38]]), "overflow"),
        (
            Discretization(points, torch.ones(4), torch.tensor([0, 2, 4])),
            "target has 2",
        ),
    ]:
        with pytest.raises(ValueError, match=words):
            radius_graph(points, bad, 1.0)
    with pytest.raises(ValueError, match="'tree', 'cell_list'"):
        radius_graph(points, points, 1.0, "grid")
    with pytest.raises(ValueError, match="k = 5, but sample 0 has only 4 sources"):
        knn_graph(points, points, 5)
    with pytest.raises(ValueError, match="at least 1"):
        knn_graph(points, points, 0)


def test_mesh_graph_holds_every_edge_of_the_cells_once_in_each_direction():
    """Euler's formula counts the edges of a triangulated square and of one cube."""
    square = Mesh(
        np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0.5]], dtype=float),
        {"triangle": np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])},
    )
    graph = mesh_graph(square)
    assert graph.n_edges == 2 * 8
    assert torch.equal(graph.reversed().edge_index, graph.edge_index)
    assert graph.degree().tolist() == [3, 3, 3, 3, 4]
    cube = Mesh(
        np.array(
            [[x, y, z] for z in (0, 1) for x, y in [(0, 0), (1, 0), (1, 1), (0, 1)]],
            dtype=float,
        ),
        {"hexahedron": np.arange(8)[None]},
    )
    graph = mesh_graph(cube)
    assert graph.n_edges == 2 * 12
    length = np.linalg.norm(np.diff(cube.points[graph.edge_index], axis=0), axis=-1)
    np.testing.assert_array_equal(length, 1.0)


def test_mesh_graph_joins_middle_nodes_to_the_ends_of_their_edge():
    middle = [[0.5, 0], [0.5, 0.5], [0, 0.5]]
    mesh = Mesh(
        np.array([[0, 0], [1, 0], [0, 1], *middle], dtype=float),
        {"triangle6": np.arange(6)[None], "line": np.array([[0, 1]])},
    )
    graph = mesh_graph(mesh)
    undirected = {tuple(sorted(edge)) for edge in graph.edge_index.T.tolist()}
    sides = {(0, 3), (1, 3), (1, 4), (2, 4), (2, 5), (0, 5)}
    assert undirected == sides | {(0, 1)}


def test_a_mesh_without_edges_has_no_graph():
    with pytest.raises(MeshError, match="no cell with an edge"):
        mesh_graph(Mesh(np.zeros((1, 2)), {"vertex": np.array([[0]])}))
