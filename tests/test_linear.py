"""Linear transfer and point location: exactness for every cell type, rates, oracles."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from scipy.spatial import Delaunay

from isofield.cells import CELL_TYPES
from isofield.generation import box, icosphere, plate_with_holes, square
from isofield.io.gmsh.elements import BY_CELL_TYPE
from isofield.mesh import Mesh
from isofield.operators import TransferError, compiled, linear
from isofield.operators.closest import closest
from isofield.operators.inverses import beyond
from isofield.operators.location import locate
from isofield.operators.supermesh import split

KINDS = [name for name, cell in CELL_TYPES.items() if cell.dimension > 1]
LINE_KINDS = ["line", "line3"]


def patch(kind: str, bend: float = 0.0, n: int = 2, seed: int = 0) -> Mesh:
    """Cells of one type that fill the unit square or cube, their nodes moved a little.

    bend : the nodes beside the corners leave the straight sides by up to this.
    """
    cell = CELL_TYPES[kind]
    shape = {"triangle": "triangle", "quad": "quad", "tetra": "tetra"}.get(
        cell.linear.name, "hexahedron"
    )
    if cell.dimension == 2:
        base = square(n, shape, jitter=0.2, seed=seed)
    else:
        base = box(n, shape, jitter=0.2 if shape == "tetra" else 0.1, seed=seed)
    ((name, nodes),) = base.cells.items()
    corners = base.points[nodes]
    if cell.linear.name == "wedge":
        corners = np.concatenate(
            [corners[:, [0, 1, 2, 4, 5, 6]], corners[:, [0, 2, 3, 4, 6, 7]]]
        )
    if cell.linear.name == "pyramid":
        middle = corners.mean(1, keepdims=True)
        faces = [list(face)[::-1] for _, face in CELL_TYPES[name].facets]
        corners = np.concatenate(
            [np.concatenate([corners[:, face], middle], 1) for face in faces]
        )
    places = np.stack([corners[:, list(mean)].mean(1) for mean in cell.means], 1)
    flat = places.reshape(-1, cell.dimension)
    _, first, number = np.unique(
        flat.round(9), axis=0, return_index=True, return_inverse=True
    )
    points = flat[first]
    if bend:
        inner = (np.abs(points - 0.5) < 0.499).all(1)
        known = np.unique(number.reshape(places.shape[:2])[:, : cell.linear.nodes])
        inner[known] = False
        moved = np.random.default_rng(1).uniform(-bend, bend, points.shape)
        points = points + inner[:, None] * moved
    return Mesh(points, {kind: number.reshape(places.shape[:2])})


def scattered(mesh: Mesh, n: int = 400) -> torch.Tensor:
    """Points inside, nodes, and means of neighbouring nodes: facets and edges too."""
    d = mesh.points.shape[1]
    inside = np.random.default_rng(2).random((n, d))
    (nodes,) = mesh.cells.values()
    middles = (mesh.points[nodes[:, 0]] + mesh.points[nodes[:, 1]]) / 2
    return torch.tensor(np.concatenate([inside, mesh.points, middles]))


@pytest.mark.parametrize("bend", [0.0, 0.02])
@pytest.mark.parametrize("kind", KINDS)
def test_constants_and_linears_are_exact(kind, bend):
    mesh = patch(kind, bend)
    at = scattered(mesh)
    transfer = linear(mesh, at)
    x = torch.tensor(mesh.points)
    torch.testing.assert_close(transfer(x), at, rtol=0, atol=1e-12)
    one = transfer(torch.ones(len(x)).double())
    torch.testing.assert_close(one, torch.ones_like(one), rtol=0, atol=1e-12)
    assert not transfer.facts["outside"].any()
    if CELL_TYPES[kind].order == 1 and CELL_TYPES[kind].linear.name in (
        "triangle",
        "tetra",
    ):
        assert float(transfer.values.min()) > -1e-9


@pytest.mark.parametrize("kind", [k for k in KINDS if CELL_TYPES[k].order == 2])
def test_quadratics_are_exact_on_straight_quadratic_cells(kind):
    """On affine cells: the reference monomials span them."""
    name = CELL_TYPES[kind].linear.name
    mesh = patch(kind) if name in ("triangle", "tetra") else _affine(kind)
    at = scattered(mesh)
    x = torch.tensor(mesh.points)
    transfer = linear(mesh, at)
    for i in range(x.shape[1]):
        for j in range(i + 1):
            u, v = x[:, i] * x[:, j], at[:, i] * at[:, j]
            torch.testing.assert_close(transfer(u), v, rtol=0, atol=1e-12)


def _affine(kind: str) -> Mesh:
    """`patch` with the nodes of its corners on a regular grid."""
    import unittest.mock

    from isofield.generation import box as true_box
    from isofield.generation import square as true_square

    def plain(build):
        return lambda n, shape, jitter, seed: build(n, shape)

    with unittest.mock.patch.dict(
        patch.__globals__, {"box": plain(true_box), "square": plain(true_square)}
    ):
        return patch(kind)


GMSH = [kind for kind in KINDS if kind in BY_CELL_TYPE]


@pytest.mark.parametrize(
    ("kind", "bend"),
    # gmsh does not invert the map of curved pyramids in a tenth of the points
    [(k, b) for k in GMSH for b in (0.0, 0.02) if b == 0 or k[:7] != "pyramid"],
)
def test_all_cells_against_gmsh(kind, bend):
    """Random values, probed by gmsh, whose node order is other."""
    gmsh = pytest.importorskip("gmsh", reason="the extra `solvers` is not installed")
    mesh = patch(kind, bend)
    element = BY_CELL_TYPE[kind]
    nodes = element.from_vtk(mesh.cells[kind])
    d = mesh.points.shape[1]
    u = np.random.default_rng(3).random(len(mesh.points))
    at = np.random.default_rng(4).random((60, 3)) * ([1, 1, 0] if d == 2 else 1)
    if not gmsh.isInitialized():
        gmsh.initialize(readConfigFiles=False, interruptible=False)
    gmsh.option.setNumber("General.Terminal", 0)
    gmsh.model.add("probe")
    try:
        gmsh.model.addDiscreteEntity(d, 1)
        tags = np.arange(1, len(u) + 1)
        space = np.zeros((len(u), 3))
        space[:, :d] = mesh.points
        gmsh.model.mesh.addNodes(d, 1, tags, space.ravel())
        gmsh.model.mesh.addElementsByType(1, element.code, [], (nodes + 1).ravel())
        view = gmsh.view.add("u")
        gmsh.view.addModelData(view, 0, "probe", "NodeData", tags, u[:, None])
        theirs = [gmsh.view.probe(view, *x)[0] for x in at]
    finally:
        gmsh.model.remove()
    ours = linear(mesh, at[:, :d].copy())(u)
    found = np.array([len(x) > 0 for x in theirs])
    assert found.mean() > 0.85
    expected = np.array([x[0] for x in theirs if len(x)])
    np.testing.assert_allclose(ours[found], expected, rtol=1e-12)


@pytest.mark.parametrize("d", [2, 3])
def test_cells_are_those_of_scipy(d):
    points = np.random.default_rng(0).random((300, d))
    found = Delaunay(points)
    mesh = Mesh(points, {"triangle" if d == 2 else "tetra": found.simplices})
    at = np.random.default_rng(1).random((2000, d))
    located = locate(mesh, torch.tensor(at))
    number = torch.where(located.block < 0, -1, located.cell).numpy()
    np.testing.assert_array_equal(number, found.find_simplex(at))


@pytest.mark.parametrize("mesh", [plate_with_holes(12), box(6, jitter=0.2)])
def test_compiled_walks_end_where_the_others_do(mesh, monkeypatch):
    """With flat cells among them, and points outside and on facets."""
    pytest.importorskip("numba", reason="the extra `fast` is not installed")
    points = mesh.points.copy()
    points[0] = points[1]
    mesh = Mesh(points, mesh.cells)
    low, high = points.min(0), points.max(0)
    at = low + (high - low) * (
        1.1 * np.random.default_rng(0).random((60_000, len(low)))
    )
    at = torch.tensor(np.concatenate([at, scattered(mesh).numpy()]))
    fast = locate(mesh, at)
    assert "isofield.operators.compiled.walking" in sys.modules
    monkeypatch.setattr(compiled, "worth", lambda count: False)
    slow = locate(mesh, at)
    assert torch.equal(fast.block, slow.block)
    assert torch.equal(fast.cell[fast.block >= 0], slow.cell[slow.block >= 0])
    torch.testing.assert_close(fast.reference, slow.reference, rtol=0, atol=1e-12)


CURVED = [k for k in KINDS if CELL_TYPES[k].linear.name not in ("triangle", "tetra")]


@pytest.mark.parametrize("kind", [*CURVED, "triangle6", "tetra10"])
def test_every_point_of_a_strongly_bent_cell_is_found(kind):
    """Nodes moved by up to a third, as long as the cell is not folded."""
    cell, rng = CELL_TYPES[kind], np.random.default_rng(0)
    nodes = cell.reference_points
    xi = rng.uniform(nodes.min(0), nodes.max(0), (400, cell.dimension))
    xi = xi[beyond(torch.tensor(xi), kind).numpy() <= 0]
    inner = 0.999 * nodes + 0.001 * nodes.mean(0)
    count = 0
    while count < 10:
        bent = nodes + rng.uniform(-0.35, 0.35, nodes.shape) * rng.random()
        slope = cell.gradient(np.concatenate([xi, inner]))
        if np.linalg.det(np.einsum("nd,knr->kdr", bent, slope)).min() <= 0.02:
            continue
        count += 1
        mesh = Mesh(bent, {kind: np.arange(len(bent))[None]})
        located = locate(mesh, torch.tensor(cell.shape(xi) @ bent))
        assert bool((located.block == 0).all())
        torch.testing.assert_close(
            located.reference, torch.tensor(xi), atol=1e-8, rtol=0
        )


def smooth(x: torch.Tensor) -> torch.Tensor:
    return torch.sin(3 * x[:, 0] + 0.5) * torch.cos(2 * x[:, 1]) + x[:, -1] ** 3


# on cells that are no parallelograms serendipity functions lack one degree: D. Arnold,
# D. Boffi, R. Falk 2002, doi:10.1090/S0025-5718-02-01439-4
SERENDIPITY = {"quad8", "hexahedron20", "wedge15", "pyramid13"}
CASES = [(kind, "uniform") for kind in KINDS]
CASES += [(k, "graded") for k in ("triangle", "quad", "quad9", "tetra", "hexahedron27")]
CASES += [(k, "random") for k in KINDS if k not in SERENDIPITY]


def fitted_rate(build, kind: str, sizes: tuple[int, ...]) -> float:
    errors = []
    for n in sizes:
        mesh = build(n)
        generator = torch.Generator().manual_seed(n)
        at = torch.rand(2000, mesh.dimension, generator=generator).double()
        v = linear(mesh, at)(smooth(torch.tensor(mesh.points)))
        errors.append(float((v - smooth(at)).square().mean().sqrt()))
    return -np.polyfit(np.log(sizes), np.log(errors), 1)[0]


@pytest.mark.parametrize(("kind", "spacing"), CASES)
def test_rates(kind, spacing, mesh_of):
    """2, and 3 on quadratic cells."""
    sizes = (4, 8, 16, 32) if CELL_TYPES[kind].dimension == 2 else (3, 4, 6, 8)
    if spacing == "graded":
        sizes = tuple(2 * n for n in sizes) if kind != "hexahedron27" else (4, 6, 8, 12)
    rate = fitted_rate(lambda n: mesh_of(kind, n, spacing), kind, sizes)
    assert rate == pytest.approx(CELL_TYPES[kind].order + 1, abs=0.2)


def test_serendipity_cells_lose_one_order_where_sides_are_not_parallel(mesh_of):
    sizes = (32, 64, 96, 128)
    rate = fitted_rate(lambda n: mesh_of("quad8", n, "random"), "quad8", sizes)
    assert rate == pytest.approx(2, abs=0.2)


def test_points_in_a_hole_are_outside_and_counted():
    mesh = plate_with_holes(24)
    at = torch.rand(4000, 2).double() * 0.9 + 0.05
    low, high = (torch.tensor(x) for x in (mesh.points.min(0), mesh.points.max(0)))
    at = low + at * (high - low)
    # every triangle, tried in turn
    corners = torch.tensor(mesh.points[mesh.cells["triangle"]])
    edges = (corners[:, 1:] - corners[:, :1]).mT
    xi = torch.linalg.solve(edges[:, None], (at - corners[:, :1])[..., None])[..., 0]
    inside = ((xi >= 0).all(2) & (xi.sum(2) <= 1)).any(0)
    count = int((~inside).sum())
    assert count > 50
    with pytest.raises(TransferError, match=rf"{count} of 4000 targets lie outside"):
        linear(mesh, at)
    transfer = linear(mesh, at, outside="nan")
    assert torch.equal(transfer.missing, ~inside)
    assert torch.equal(transfer.facts["outside"] > 0, ~inside)
    u = torch.tensor(mesh.points)
    assert torch.equal(transfer(u).isnan().all(1), ~inside)
    near = linear(mesh, at, outside="nearest")
    moved = (near(u) - at).norm(dim=1)
    torch.testing.assert_close(moved, near.facts["outside"], rtol=1e-9, atol=1e-12)
    assert torch.equal(near.facts["outside"] > 0, ~inside)


def test_the_nearest_point_of_triangles_and_lines():
    """Against many points of every triangle; from above, and by how fine they are."""
    surface = split(icosphere(1))
    at = torch.randn(200, 3).double()
    found = closest(surface, at)
    grid = (
        torch.tensor([[i, j] for i in range(41) for j in range(41 - i)]).double() / 40
    )
    share = torch.cat([1 - grid.sum(1, keepdim=True), grid], 1)
    samples = torch.einsum("qc,scd->sqd", share, surface.corners).flatten(0, 1)
    brute = torch.cdist(at, samples, compute_mode="donot_use_mm_for_euclid_dist").amin(
        1
    )
    assert (found.distance <= brute + 1e-12).all()
    assert (brute - found.distance).max() < 0.02
    place = torch.einsum("mc,mcd->md", found.share, surface.corners[found.simplex])
    torch.testing.assert_close((place - at).norm(dim=1), found.distance)
    ring = split(square(4).boundary())
    inside = torch.rand(100, 2).double()
    exact = torch.minimum(inside, 1 - inside).amin(1)
    torch.testing.assert_close(closest(ring, inside).distance, exact)


PLANAR = [*LINE_KINDS, *(k for k in KINDS if CELL_TYPES[k].dimension == 2)]


@pytest.mark.parametrize("spacing", ["uniform", "graded", "random"])
@pytest.mark.parametrize("kind", PLANAR)
def test_plane_surfaces_and_straight_curves_keep_linears(kind, spacing, mesh_of):
    """Of the foot of each point; turned askew in space, from both sides."""
    mesh = mesh_of(kind, 3, spacing)
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((3, 3)))[0][:, :2]
    surface = Mesh(mesh.points @ axes.T, mesh.cells)
    normal = np.cross(*axes.T)
    flat = rng.random((200, 2)) * ([1, 1] if mesh.dimension == 2 else [1, 0])
    flat = np.concatenate([flat, mesh.points])
    gap = rng.uniform(-0.1, 0.1, len(flat))
    foot = torch.tensor(flat @ axes.T)
    at = foot + torch.tensor(gap[:, None] * normal)
    transfer = linear(surface, at, max_distance=0.1)
    x = torch.tensor(surface.points)
    torch.testing.assert_close(transfer(x), foot, rtol=0, atol=1e-12)
    one = transfer(torch.ones_like(x))
    torch.testing.assert_close(one, torch.ones_like(one), rtol=0, atol=1e-12)
    gap = torch.tensor(gap).abs()
    torch.testing.assert_close(transfer.facts["outside"], gap, rtol=0, atol=1e-9)
    limit = float(gap.median())
    lost = linear(surface, at, max_distance=limit, outside="nan")
    assert torch.equal(lost.missing, transfer.facts["outside"] > limit)


def test_order_two_on_a_sphere():
    """Facets lie O(h^2) from it, and the field is linear on them."""
    sizes, errors = (4, 8, 16, 32), []
    at = torch.nn.functional.normalize(torch.randn(2000, 3).double())
    for n in sizes:
        sphere = icosphere(n)
        transfer = linear(sphere, at, max_distance=0.1)
        v = transfer(smooth(torch.tensor(sphere.points)))
        errors.append(float((v - smooth(at)).square().mean().sqrt()))
    rate = -np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert rate == pytest.approx(2, abs=0.2)


def test_surfaces_take_the_nearest_point_within_a_distance():
    sphere = icosphere(3)
    at = torch.nn.functional.normalize(torch.randn(300, 3).double())
    with pytest.raises(TransferError, match=r"pass max_distance"):
        linear(sphere, at)
    transfer = linear(sphere, at, max_distance=0.05)
    x = transfer(torch.tensor(sphere.points))
    gap = transfer.facts["outside"]
    torch.testing.assert_close((x - at).norm(dim=1), gap, rtol=1e-9, atol=1e-12)
    # the sagitta of the facets, which falls with the square of their size
    finer = linear(icosphere(6), at, max_distance=0.05).facts["outside"]
    assert float(gap.max() / finer.max()) == pytest.approx(4, rel=0.25)
    far = linear(sphere, 3 * at, max_distance=0.05, outside="nan")
    assert far.missing.all()
    on = linear(sphere, sphere)
    assert float((on(x.new_ones(len(sphere.points))) - 1).abs().max()) < 1e-12


def test_adjoint_of_interpolation_spreads_the_measure():
    source, target = square(6, jitter=0.2), square(9, jitter=0.2, seed=1)
    transfer = linear(source, target)
    u, v = torch.rand(49).double(), torch.rand(100).double()
    left = transfer.target.inner(transfer(u), v)
    right = transfer.source.inner(u, transfer.adjoint()(v))
    torch.testing.assert_close(left, right, rtol=1e-12, atol=0)
    back = transfer.adjoint()
    torch.testing.assert_close(
        back.target.integrate(back(v)), back.source.integrate(v), rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("kind", KINDS)
def test_flat_and_inverted_cells(kind, mesh_of):
    """Cells with all nodes at a point, on a line or in a plane hold no point; of the
    others every second is inside out."""
    mesh = mesh_of(kind, 2, "random")
    cell, nodes = CELL_TYPES[kind], mesh.cells[kind].copy()
    nodes[::2] = nodes[::2][:, cell.mirrored]
    flat = nodes[[0, 0]]
    flat[0], flat[1] = flat[0, 0], flat[1, np.arange(cell.nodes) % 2]
    points, plane = mesh.points, cell.reference_points.copy()
    plane[:, -1] = plane[:, 0]
    level = len(points) + np.arange(cell.nodes)[None]
    points = np.concatenate([points, 0.1 + 0.8 * plane])
    odd = Mesh(points, {kind: np.concatenate([flat, level, nodes])})
    at = scattered(mesh)
    assert int(locate(odd, at).cell.min()) >= 3
    torch.testing.assert_close(
        linear(odd, at)(torch.tensor(points)), at, rtol=0, atol=1e-12
    )


COLLAPSED = {
    "quads as triangles": ("triangle", "quad", [0, 1, 2, 2]),
    "hexahedra as wedges": ("wedge", "hexahedron", [0, 1, 2, 2, 3, 4, 5, 5]),
    "hexahedra as tetrahedra": ("tetra", "hexahedron", [0, 1, 2, 2, 3, 3, 3, 3]),
    "wedges as tetrahedra": ("tetra", "wedge", [0, 1, 2, 3, 3, 3]),
    "pyramids as tetrahedra": ("tetra", "pyramid", [0, 1, 2, 2, 3]),
}


@pytest.mark.parametrize("name", COLLAPSED)
def test_cells_with_repeated_nodes(name, mesh_of):
    """The map is singular at a corner or along an edge; the cell still has measure."""
    whole, kind, order = COLLAPSED[name]
    mesh = mesh_of(whole, 2, "random")
    collapsed = Mesh(mesh.points, {kind: mesh.cells[whole][:, order]})
    at = torch.cat([scattered(mesh), 1.2 * scattered(mesh)])
    transfer, expected = (linear(m, at, outside="nan") for m in (collapsed, mesh))
    assert torch.equal(transfer.missing, expected.missing)
    x, kept = torch.tensor(mesh.points), ~expected.missing
    torch.testing.assert_close(transfer(x)[kept], at[kept], rtol=0, atol=1e-12)
    if whole != "wedge":
        torch.testing.assert_close(transfer(x**2)[kept], expected(x**2)[kept])


@pytest.mark.parametrize("height", [1e-6, 1e-10, 1e-14, 1e-18])
@pytest.mark.parametrize("kind", ["triangle", "quad", "tetra", "hexahedron"])
def test_slivers(kind, height, mesh_of):
    """A layer of cells of this height: every point between its ends is found, and its
    value lies between those of the layer's nodes."""
    mesh = mesh_of(kind, 2)
    points = mesh.points.copy()
    points[:, -1] = np.where(points[:, -1] == 1, height, 2 * points[:, -1] * -1)
    thin = Mesh(points, mesh.cells)
    low, high = points.min(0), points.max(0)
    rng = np.random.default_rng(0)
    at = torch.tensor(rng.uniform(low, high, (300, len(low))))
    at[:150, -1] = torch.tensor(rng.uniform(-1e-3, height, 150))
    at[150:200, -1] = height
    transfer = linear(thin, at)
    x = torch.tensor(points)
    torch.testing.assert_close(transfer(x), at, rtol=0, atol=1e-12)
    assert float(transfer.values.min()) > -1e-9
    assert float(transfer.values.max()) < 1 + 1e-9


@pytest.mark.parametrize("kind", ["triangle", "quad9", "tetra", "wedge", "pyramid13"])
def test_far_from_the_origin_every_point_is_found(kind, mesh_of):
    """Coordinates near 1e6 are known to 1e-10."""
    mesh = mesh_of(kind, 2, "random")
    moved = Mesh(mesh.points + 1e6, mesh.cells)
    at = scattered(mesh) + 1e6
    transfer = linear(moved, at)
    x = torch.tensor(moved.points)
    torch.testing.assert_close(transfer(x), at, rtol=1e-14, atol=0)


def test_strongly_graded_meshes():
    mesh = square(40, grading=1000.0)
    at = torch.rand(2000, 2).double() ** 3
    torch.testing.assert_close(linear(mesh, at)(torch.tensor(mesh.points)), at)
    turned = torch.randperm(len(mesh.cells["triangle"]))
    other = Mesh(mesh.points, {"triangle": mesh.cells["triangle"][turned.numpy()]})
    u = torch.rand(len(mesh.points)).double()
    torch.testing.assert_close(linear(other, at)(u), linear(mesh, at)(u))


def test_other_spaces_are_refused():
    with pytest.raises(TransferError, match=r"2-D and the target in 3-D"):
        linear(square(3), torch.rand(4, 3))
    with pytest.raises(ValueError, match=r"needs a source mesh with cells"):
        linear(Mesh(np.eye(2)), torch.rand(4, 2))
    with pytest.raises(ValueError, match=r"1 of 2 points are not finite"):
        linear(square(3), torch.tensor([[0.5, 0.5], [torch.nan, 0.0]]))
