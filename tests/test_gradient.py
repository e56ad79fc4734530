"""The gradient on cells: polynomials that it must hit, rates, and scikit-fem."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from isofield import Mesh, from_mesh, generation
from isofield.cells import CELL_TYPES
from isofield.mesh import MeshError
from isofield.operators import gradient
from isofield.plan import pack_plans

KINDS = [kind for kind, cell in CELL_TYPES.items() if cell.dimension > 0]
QUADRATIC = [kind for kind in KINDS if CELL_TYPES[kind].order == 2]
A = {2: np.array([0.7, -1.3]), 3: np.array([0.7, -1.3, 0.4])}
SQUARE = {
    2: np.array([[0.8, 0.5], [-0.3, 1.1]]),
    3: np.array([[0.8, 0.5, 0.2], [-0.3, 1.1, -0.6], [0.4, 0.1, -0.9]]),
}


def values(u: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(u.reshape(len(u), -1).copy())


def sheared(mesh: Mesh) -> Mesh:
    """An affine image: no edge along an axis."""
    d = mesh.points.shape[1]
    return replace(mesh, points=mesh.points @ (np.eye(d) + 0.3 * SQUARE[d]) - 0.2)


def rate(sizes, errors) -> float:
    return -float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])


# --- polynomials --------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_linear_fields_are_exact_on_curved_cells_too(kind, mesh_of, bent):
    """u = a.x + 1 is in the span of the shape functions that map the cell."""
    mesh = mesh_of(kind)
    mesh = replace(mesh, points=bent(sheared(mesh).points))
    d = mesh.points.shape[1]
    operator = gradient(mesh)
    found = operator(values(mesh.points @ A[d] + 1))[:, 0].numpy()
    if CELL_TYPES[kind].dimension == d:
        assert_allclose(found, np.broadcast_to(A[d], found.shape), atol=2e-13)
        return
    # on a curve: the part of a along it
    slopes = operator(values(mesh.points))
    tangent = slopes.numpy()  # (Q, d, d), the projection on the tangent
    assert_allclose(found, tangent @ A[d], atol=1e-12)
    assert_allclose(tangent @ tangent, tangent, atol=1e-12)
    assert_allclose(np.trace(tangent, axis1=1, axis2=2), 1.0, atol=1e-12)


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("family", ["linear", "full", "serendipity"])
def test_mixed_meshes(dimension, family, mixed_mesh):
    mesh = sheared(mixed_mesh(dimension, family))
    found = gradient(mesh)(values(mesh.points @ A[dimension]))[:, 0].numpy()
    assert_allclose(found, np.broadcast_to(A[dimension], found.shape), atol=1e-12)


def quadratic_error(mesh: Mesh) -> float:
    """Largest error of grad(x.Sx) = (S + S^T)x over all sites."""
    square = SQUARE[mesh.points.shape[1]]
    operator = gradient(mesh)
    found = operator(values(((mesh.points @ square) * mesh.points).sum(1)))[:, 0]
    expected = operator.sites.points.numpy() @ (square + square.T)
    if mesh.dimension < mesh.points.shape[1]:
        tangent = operator(values(mesh.points)).numpy()
        expected = (tangent @ expected[..., None])[..., 0]
    return float(np.abs(found.numpy() - expected).max())


@pytest.mark.parametrize("kind", QUADRATIC)
def test_quadratic_fields_are_exact_on_straight_quadratic_cells(kind, mesh_of):
    assert quadratic_error(sheared(mesh_of(kind))) < 2e-12


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in QUADRATIC])
def test_quadratic_fields_are_not_exact_on_linear_cells(kind, mesh_of):
    """But in the middle of a line, where a chord is parallel to its parabola."""
    if kind == "line":
        assert quadratic_error(sheared(mesh_of(kind))) < 1e-14
        return
    assert quadratic_error(sheared(mesh_of(kind))) > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_the_sites_carry_the_measure(kind, mesh_of):
    mesh = sheared(mesh_of(kind))
    assert_allclose(
        gradient(mesh).sites.weights.sum(), from_mesh(mesh).measure()[0], rtol=1e-13
    )


# --- smooth fields ------------------------------------------------------------------


def smooth_error(mesh: Mesh) -> float:
    """L2 norm of the error for sin(2x) cos(y) + z^3."""
    x, y, *z = mesh.points.T
    operator = gradient(mesh)
    found = operator(values(np.sin(2 * x) * np.cos(y) + sum(c**3 for c in z)))[:, 0]
    x, y, *z = operator.sites.points.T
    slopes = [2 * torch.cos(2 * x) * torch.cos(y), -torch.sin(2 * x) * torch.sin(y)]
    slopes += [3 * c**2 for c in z]
    return float(operator.sites.norm(found - torch.stack(slopes, 1)))


@pytest.mark.parametrize(
    ("build", "sizes"),
    [
        (partial(generation.square, jitter=0.2), (8, 16, 32)),
        (partial(generation.square, cell="quad", grading=3.0), (8, 16, 32)),
        (partial(generation.disk, grading=2.0), (6, 12, 24)),
        (partial(generation.box, cell="tetra"), (3, 6, 12)),
        (partial(generation.box, cell="wedge"), (3, 6, 12)),
        (partial(generation.box, cell="hexahedron", jitter=0.1), (3, 6, 12)),
        (partial(generation.box, cell="pyramid"), (3, 5, 8)),
    ],
)
def test_first_order_on_linear_cells(build, sizes):
    errors = [smooth_error(build(n)) for n in sizes]
    assert 0.85 < rate(sizes, errors) < 1.3


@pytest.mark.parametrize("kind", ["triangle6", "quad8", "tetra10", "hexahedron20"])
def test_second_order_on_quadratic_cells(kind, mesh_of):
    sizes = (4, 6, 9) if CELL_TYPES[kind].dimension == 2 else (2, 3, 4)
    errors = [smooth_error(mesh_of(kind, n)) for n in sizes]
    assert 1.75 < rate(sizes, errors) < 2.4


# --- surfaces -----------------------------------------------------------------------


def test_on_a_facet_the_gradient_is_the_tangential_part():
    mesh = generation.icosphere(3, grading=2.0)
    corners = mesh.points[mesh.cells["triangle"]]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    found = gradient(mesh)(values(mesh.points @ A[3]))[:, 0].numpy()
    assert len(found) == len(normal)
    assert_allclose(found, A[3] - (normal @ A[3])[:, None] * normal, atol=1e-12)


def test_dirichlet_energy_of_a_height_on_the_sphere():
    """grad_S z = e_z - z x, so int |grad_S z|^2 = int 1 - z^2 = 8 pi / 3, at rate 2."""
    sizes, errors = (4, 8, 16), []
    for n in sizes:
        mesh = generation.icosphere(n)
        operator = gradient(mesh)
        slope = operator(values(mesh.points[:, 2]))[:, 0]
        energy = float(operator.sites.inner(slope, slope))
        errors.append(abs(energy - 8 * np.pi / 3))
    assert errors[-1] < 0.05
    assert 1.8 < rate(sizes, errors) < 2.2


# --- another library ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "mesh_class", "element", "degree"),
    [
        ("triangle", "MeshTri", "ElementTriP1", 1),
        ("quad", "MeshQuad", "ElementQuad1", 2),
        ("tetra", "MeshTet", "ElementTetP1", 1),
        ("triangle6", "MeshTri", "ElementTriP2", 2),
        ("tetra10", "MeshTet", "ElementTetP2", 2),
    ],
)
def test_energies_are_those_of_scikit_fem(kind, mesh_class, element, degree, mesh_of):
    """sum_q w_q |grad u_q|^2 = u.Ku for random nodal values u."""
    skfem = pytest.importorskip("skfem", reason="the extra `solvers` is missing")
    from scipy.spatial import KDTree
    from skfem.models.poisson import laplace

    linear = CELL_TYPES[kind].linear.name
    mesh = mesh_of(kind)
    mesh = replace(mesh, points=mesh.points + 0.1 * mesh.points**2 * (degree == 1))
    mesh = sheared(mesh)
    corners = mesh.cells[kind][:, : CELL_TYPES[linear].nodes]
    used, numbers = np.unique(corners, return_inverse=True)
    cells = numbers.reshape(corners.shape)
    theirs = getattr(skfem, mesh_class)(mesh.points[used].T.copy(), cells.T.copy())
    basis = skfem.Basis(theirs, getattr(skfem, element)(), intorder=2 * degree)
    stiffness = laplace.assemble(basis)
    distance, place = KDTree(mesh.points).query(basis.doflocs.T)
    assert distance.max() < 1e-12
    assert len(np.unique(place)) == len(mesh.points)
    operator = gradient(mesh)
    for seed in range(3):
        u = np.random.default_rng(seed).standard_normal(len(mesh.points))
        slope = operator(values(u))[:, 0]
        expected = u[place] @ (stiffness @ u[place])
        assert_allclose(operator.sites.inner(slope, slope)[0], expected, rtol=1e-12)


# --- packing, cells of lower dimension, errors --------------------------------------


def test_packed_operators_act_sample_by_sample():
    meshes = [generation.square(3), generation.disk(2), generation.l_shape(2)]
    operators = [gradient(mesh) for mesh in meshes]
    packed = pack_plans(operators)
    fields = [torch.from_numpy(np.sin(3 * mesh.points)) for mesh in meshes]
    parts = [operator(u) for operator, u in zip(operators, fields, strict=True)]
    together = packed(torch.cat(fields))
    assert torch.equal(together, torch.cat(parts))
    energies = [
        float(operator.sites.integrate(part.square()).sum())
        for operator, part in zip(operators, parts, strict=True)
    ]
    found = packed.sites.integrate(together.square()).sum((1, 2))
    assert_allclose(found, energies, rtol=1e-13)


def test_renumbered_nodes_give_the_same_gradients():
    mesh = generation.disk(4)
    order = np.random.default_rng(0).permutation(len(mesh.points))
    place = np.argsort(order)
    renumbered = Mesh(mesh.points[order], {"triangle": place[mesh.cells["triangle"]]})
    u = np.cos(3 * mesh.points)
    assert_allclose(
        gradient(mesh)(values(u)), gradient(renumbered)(values(u[order])), atol=1e-13
    )


def test_cells_of_lower_dimension_do_not_count():
    mesh = generation.square(3)
    rim = np.array([[0, 1], [1, 2]])
    marked = Mesh(mesh.points, {"line": rim, **mesh.cells})
    u = values(mesh.points[:, 0] ** 2)
    assert torch.equal(gradient(mesh)(u), gradient(marked)(u))


def test_inverted_cells_have_a_gradient_and_a_positive_measure():
    mesh = generation.square(2)
    turned = Mesh(mesh.points, {"triangle": mesh.cells["triangle"][:, ::-1]})
    operator = gradient(turned)
    assert float(operator.sites.weights.min()) > 0
    found = operator(values(mesh.points @ A[2]))[:, 0].numpy()
    assert_allclose(found, np.broadcast_to(A[2], found.shape), atol=1e-13)


def test_a_cloud_has_no_gradient():
    with pytest.raises(MeshError, match="needs cells"):
        gradient(Mesh(np.eye(3)))


def test_a_cell_without_volume_is_named():
    points = np.array([[0, 0], [1, 0], [0, 1], [0.5, 0], [2, 0]], dtype=float)
    mesh = Mesh(points, {"triangle": [[0, 1, 2], [1, 3, 4]]})
    with pytest.raises(MeshError, match=r"a triangle has no volume.*validate"):
        gradient(mesh)


def test_casting_keeps_the_numbers_of_points():
    operator = gradient(generation.square(2)).to(torch.float32)
    assert operator.values.dtype == operator.sites.points.dtype == torch.float32
    assert operator.graph.edge_index.dtype == torch.int64
