"""Points with a measure, and the measure that a mesh gives to its points and cells."""

from __future__ import annotations

from dataclasses import replace
from math import pi

import numpy as np
import pytest
import torch

from isofield import Discretization, Mesh, MeshError, from_mesh
from isofield.cells import CELL_TYPES
from isofield.discretization import pack, unpack
from isofield.generation import disk, icosphere, square
from isofield.testing import body

KINDS = [kind for kind, cell in CELL_TYPES.items() if cell.dimension > 0]
PLANES = {
    "triangle": "MeshTri",
    "quad": "MeshQuad",
    "tetra": "MeshTet",
    "hexahedron": "MeshHex",
}


def within_the_box(points: np.ndarray, size: float) -> np.ndarray:
    """A map of the unit box onto itself; every inner edge becomes curved."""
    d = points.shape[1]
    bump = np.prod(np.sin(pi * points), axis=1, keepdims=True)
    graded = points + 0.25 * points * (1 - points)
    return graded + size * bump * np.arange(1, d + 1) / d


def fitted_rate(errors: list[float]) -> float:
    levels = np.arange(len(errors))
    return float(-np.polyfit(levels, np.log2(errors), 1)[0])


# -------------------------------------------------------- points with a measure


def sample(n: int, seed: int = 0) -> Discretization:
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(n, 2, generator=generator, dtype=torch.float64)
    return Discretization(points, 0.1 + points[:, 0])


def test_integrals_means_and_norms_are_sums_with_weights() -> None:
    packed = pack([sample(5), sample(7, 1)])
    u = torch.rand(12, 3, dtype=torch.float64)
    w = packed.weights[:, None]
    by_hand = torch.stack([(w * u)[:5].sum(0), (w * u)[5:].sum(0)])
    torch.testing.assert_close(packed.integrate(u), by_hand)
    torch.testing.assert_close(packed.mean(u), by_hand / packed.measure()[:, None])
    torch.testing.assert_close(packed.norm(u) ** 2, packed.inner(u, u))
    torch.testing.assert_close(packed.inner(u, u).sum(), (w * u * u).sum())


def test_unpack_is_the_inverse_of_pack() -> None:
    parts = [sample(5), sample(1, 1), sample(7, 2)]
    packed = pack([parts[0], pack(parts[1:])])
    assert packed.n_samples == 3
    assert packed.sample.tolist() == [0] * 5 + [1] + [2] * 7
    for part, back in zip(parts, unpack(packed), strict=True):
        assert torch.equal(part.points, back.points)
        assert torch.equal(part.weights, back.weights)


@pytest.mark.parametrize(
    ("weights", "ptr", "message"),
    [
        ([1.0, 1.0], None, r"points \(N, d\) and weights \(N,\)"),
        ([1.0, 0.0, 1.0], None, r"weights\[1\] = 0"),
        ([1.0, 1.0, -2.0], None, "1 of 3 are not"),
        ([1.0, float("nan"), 1.0], None, "positive and finite"),
        ([1.0, 1.0, 1.0], [0, 2], "ptr must rise from 0 to 3"),
        ([1.0, 1.0, 1.0], [0, 2, 1, 3], "ptr must rise from 0 to 3"),
    ],
)
def test_what_is_no_measure_is_refused(weights, ptr, message) -> None:
    ptr = None if ptr is None else torch.tensor(ptr)
    with pytest.raises(ValueError, match=message):
        Discretization(torch.zeros(3, 2), torch.tensor(weights), ptr)


def test_casting_keeps_the_samples_apart() -> None:
    packed = pack([sample(5), sample(7, 1)]).to(torch.float32)
    assert packed.points.dtype == packed.weights.dtype == torch.float32
    assert packed.ptr.tolist() == [0, 5, 12]


# ------------------------------------------------------------ the measure of a mesh


@pytest.mark.parametrize("at", ["points", "cells"])
@pytest.mark.parametrize("kind", KINDS)
def test_constants_and_linear_functions_are_integrated_exactly(
    kind: str, at: str, mesh_of
) -> None:
    """On a sheared box: measure |det A|, centroid in its middle."""
    mesh = mesh_of(kind)
    shear = np.array([[1.2, 0.1, 0.2], [0.3, 0.9, 0], [0.1, 0.2, 1.1]])
    d = mesh.points.shape[1]
    mesh = replace(mesh, points=mesh.points @ shear[:d, :d] + 2.0)
    sites = from_mesh(mesh, at)
    whole = np.linalg.det(shear[:d, :d])
    middle = np.full(d, 0.5) @ shear[:d, :d] + 2.0
    if mesh.dimension == 1:
        whole = float(np.linalg.norm(shear[0, :2]))
        middle = np.array([0.5, 0]) @ shear[:2, :2] + 2.0
    assert float(sites.measure()) == pytest.approx(whole, rel=1e-13)
    np.testing.assert_allclose(sites.mean(sites.points)[0], middle, rtol=1e-13)
    assert len(sites) == len(mesh.points if at == "points" else mesh.top_cells)


@pytest.mark.parametrize("at", ["points", "cells"])
@pytest.mark.parametrize("kind", KINDS)
def test_smooth_functions_converge_with_order_two(kind: str, at: str, mesh_of) -> None:
    """Graded meshes of curved cells; the domain is the unit box at every level."""
    mesh = mesh_of(kind, 2 if CELL_TYPES[kind].dimension < 3 else 1)
    errors = []
    for _ in range(4):
        size = 0.04 if mesh.dimension > 1 else 0.0
        sites = from_mesh(replace(mesh, points=within_the_box(mesh.points, size)), at)
        assert sites.weights.min() > 0
        coordinates = sites.points[:, : mesh.dimension]
        value = sites.integrate(torch.exp(coordinates.sum(1)))
        errors.append(abs(float(value) - (np.e - 1) ** mesh.dimension))
        mesh = mesh.refined()
    assert 1.9 < fitted_rate(errors[1:]) < 2.3


@pytest.mark.parametrize("grading", [1.0, 4.0])
@pytest.mark.parametrize("cell", ["triangle", "quad"])
def test_jittered_meshes_converge_with_order_two(cell: str, grading: float) -> None:
    """Without any symmetry between neighbours that could cancel errors."""
    errors = []
    for n in (8, 16, 32, 64):
        mesh = square(n, cell, grading=grading, jitter=0.2, seed=n)
        sites = from_mesh(mesh)
        value = sites.integrate(torch.sin(3 * sites.points).prod(1))
        errors.append(abs(float(value) - ((1 - np.cos(3)) / 3) ** 2))
    assert 1.6 < fitted_rate(errors) < 2.4


def test_curved_triangles_measure_the_disk_with_order_four() -> None:
    """Middle nodes on the circle: the area is off by O(h^4); straight edges: O(h^2)."""
    straight, curved = [], []
    for n in (2, 4, 8):
        mesh = disk(n)
        straight.append(pi - float(from_mesh(mesh).measure()))
        fine = mesh.refined()
        rim = fine.boundary_points()
        points = fine.points.copy()
        points[rim] /= np.linalg.norm(points[rim], axis=1, keepdims=True)
        children = fine.cells["triangle"].reshape(-1, 4, 3)
        corners = mesh.cells["triangle"]
        middles = children[:, 3][:, [0, 1, 2]]
        assert (children[:, :3] == corners[:, None]).any(axis=-1).all()
        six = Mesh(points, {"triangle6": np.concatenate([corners, middles], axis=1)})
        sites = from_mesh(six)
        curved.append(abs(pi - float(sites.measure())))
    assert 1.9 < fitted_rate(straight) < 2.1
    assert 3.8 < fitted_rate(curved) < 4.2


def test_weights_on_a_sphere_converge_to_its_area() -> None:
    errors = []
    for n in (2, 4, 8):
        sites = from_mesh(icosphere(n))
        assert sites.dimension == 3
        errors.append(4 * pi - float(sites.measure()))
    assert 1.8 < fitted_rate(errors) < 2.2


@pytest.mark.parametrize("kind", PLANES)
def test_weights_are_the_row_sums_of_the_mass_matrix(kind: str, mesh_of) -> None:
    """Against scikit-fem, on bent meshes."""
    skfem = pytest.importorskip("skfem")
    mesh = mesh_of(kind)
    mesh = replace(mesh, points=within_the_box(mesh.points, 0.1))
    theirs = getattr(skfem, PLANES[kind])(mesh.points.T, skfem_order(mesh, kind))
    element = theirs.elem()
    basis = skfem.CellBasis(theirs, element, intorder=6)
    mass = skfem.BilinearForm(lambda u, v, w: u * v).assemble(basis)
    sums = np.asarray(mass.sum(axis=0)).ravel()[basis.nodal_dofs[0]]
    np.testing.assert_allclose(from_mesh(mesh).weights.numpy(), sums, rtol=1e-10)


def skfem_order(mesh: Mesh, kind: str) -> np.ndarray:
    nodes = mesh.cells[kind]
    if kind == "hexahedron":
        nodes = nodes[:, [0, 4, 3, 1, 7, 5, 2, 6]]
    return nodes.T


@pytest.mark.parametrize("dimension", [2, 3])
def test_cell_measures_agree_with_vtk(dimension: int, mixed_mesh) -> None:
    """Every linear type side by side, sheared: all faces are flat."""
    pyvista = pytest.importorskip("pyvista")
    mesh = mixed_mesh(dimension)
    shear = np.array([[1.2, 0.1, 0.2], [0.3, 0.9, 0], [0.1, 0.2, 1.1]])
    mesh = replace(mesh, points=mesh.points @ shear[:dimension, :dimension])
    types = {"triangle": 5, "quad": 9, "tetra": 10, "hexahedron": 12}
    types |= {"wedge": 13, "pyramid": 14}
    cells = [
        np.insert(nodes, 0, nodes.shape[1], axis=1) for nodes in mesh.cells.values()
    ]
    kinds = np.repeat(
        [types[k] for k in mesh.cells], [len(n) for n in mesh.cells.values()]
    )
    points = np.zeros((len(mesh.points), 3))
    points[:, :dimension] = mesh.points
    flat = np.concatenate([block.ravel() for block in cells])
    grid = pyvista.UnstructuredGrid(flat, kinds, points)
    name = "Area" if dimension == 2 else "Volume"
    theirs = np.abs(grid.compute_cell_sizes()[name])
    ours = from_mesh(mesh, "cells").weights.numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)


@pytest.mark.parametrize("kind", ["triangle", "tetra10", "hexahedron20", "pyramid13"])
def test_renumbering_permutes_the_weights(kind: str, mesh_of) -> None:
    mesh = mesh_of(kind)
    rng = np.random.default_rng(5)
    order = rng.permutation(len(mesh.points))
    number = np.argsort(order)
    cells = rng.permutation(number[mesh.cells[kind]])
    shuffled = from_mesh(Mesh(mesh.points[order], {kind: cells}))
    expected = from_mesh(mesh).weights[order]
    torch.testing.assert_close(shuffled.weights, expected, rtol=1e-12, atol=0)


def test_orientation_does_not_matter(mixed_mesh) -> None:
    mesh = mixed_mesh(3, "full")
    cells = {k: n[:, CELL_TYPES[k].mirrored] for k, n in mesh.cells.items()}
    turned = replace(mesh, cells=cells)
    torch.testing.assert_close(from_mesh(turned).weights, from_mesh(mesh).weights)


def test_only_cells_of_the_highest_dimension_carry_measure(mesh_of) -> None:
    mesh = mesh_of("quad")
    lines = mesh.boundary_points()[mesh.boundary().cells["line"]]
    both = Mesh(mesh.points, {"line": lines, **mesh.cells})
    assert torch.equal(from_mesh(both).weights, from_mesh(mesh).weights)
    assert len(from_mesh(both, "cells")) == len(mesh.cells["quad"])


# --------------------------------------------------------------------- gradients


@pytest.mark.parametrize("at", ["points", "cells"])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_differentiable_in_the_points(kind: str, at: str, mesh_of) -> None:
    mesh = mesh_of(kind, 1)
    size = 0.04 if mesh.dimension > 1 else 0.0
    points = torch.tensor(within_the_box(mesh.points, size), requires_grad=True)

    def sites(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        result = from_mesh(mesh, at, points)
        return result.points, result.weights

    assert torch.autograd.gradcheck(sites, (points,), fast_mode=True)


@pytest.mark.parametrize(("dimension", "family"), [(2, "bubble"), (3, "serendipity")])
def test_gradients_of_the_measure_obey_eulers_law(
    dimension: int, family: str, mixed_mesh, bent
) -> None:
    """The measure is homogeneous of degree d in the points, unmoved by translations,
    and only boundary points change it."""
    mesh = mixed_mesh(dimension, family)
    points = torch.tensor(bent(mesh.points), requires_grad=True)
    measure = from_mesh(mesh, points=points).measure()[0]
    (gradient,) = torch.autograd.grad(measure, points)
    points, measure = points.detach(), measure.detach()
    assert float((gradient * points).sum()) == pytest.approx(dimension * float(measure))
    np.testing.assert_allclose(gradient.sum(0), 0.0, atol=1e-13)
    inside = np.setdiff1d(np.arange(len(points)), mesh.boundary_points())
    np.testing.assert_allclose(gradient[inside], 0.0, atol=1e-13)


def test_points_keep_their_type(mesh_of) -> None:
    mesh = mesh_of("wedge15")
    assert from_mesh(mesh).weights.dtype == torch.float64
    single = from_mesh(mesh, points=torch.tensor(mesh.points, dtype=torch.float32))
    assert single.weights.dtype == torch.float32
    torch.testing.assert_close(
        single.weights.double(), from_mesh(mesh).weights, rtol=1e-5, atol=0
    )


# ------------------------------------------------------------------------- doors


def test_orphans_are_counted_and_the_way_out_is_named(mesh_of) -> None:
    mesh = mesh_of("triangle")
    loose = Mesh(
        np.concatenate([[[7.0, 7.0]], mesh.points, [[8.0, 8.0]]]),
        {"triangle": mesh.cells["triangle"] + 1},
    )
    with pytest.raises(MeshError, match=r"2 of 11 points.* number 0.*mended"):
        from_mesh(loose)
    assert len(from_mesh(loose.mended()[0])) == 9
    assert len(from_mesh(loose, "cells")) == 8
    lines = Mesh(loose.points, {"line": np.array([[0, 1], [1, 10]]), **loose.cells})
    with pytest.raises(MeshError, match=r"of_dimension\(2\)"):
        from_mesh(lines.mended()[0])
    assert len(from_mesh(lines.of_dimension(2))) == 9


def test_what_has_no_measure_is_refused(mesh_of) -> None:
    mesh = mesh_of("triangle")
    with pytest.raises(MeshError, match="from_points"):
        from_mesh(Mesh(mesh.points))
    with pytest.raises(MeshError, match="from_points"):
        from_mesh(Mesh(mesh.points, {"vertex": np.array([[0]])}))
    flat = replace(mesh, points=mesh.points * [1.0, 0.0])
    with pytest.raises(MeshError, match=r"9 of 9 points .*validate"):
        from_mesh(flat)
    with pytest.raises(MeshError, match=r"8 of 8 cells .*validate"):
        from_mesh(flat, "cells")
    with pytest.raises(ValueError, match='"points" or "cells", got \'nodes\''):
        from_mesh(mesh, "nodes")
    with pytest.raises(ValueError, match=r"expected \(9, 2\)"):
        from_mesh(mesh, points=torch.zeros(9, 3))


def test_integrals_without_gradients_leave_those_with_them_possible() -> None:
    """Which sample a point belongs to is found once, and saved for backward passes."""
    domain = pack([body(1, 4), body(1, 5)])
    with torch.inference_mode():
        domain.integrate(domain.points)
    values = torch.ones(len(domain), 1, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(domain.integrate(values).sum(), values)
    assert torch.equal(slope[:, 0], domain.weights)
