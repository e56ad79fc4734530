"""The Laplacian: its matrix, eigenvalues in closed form, and what it must not see."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import skfem
import torch
from numpy.testing import assert_allclose
from scipy.special import jnp_zeros
from skfem.helpers import dot, grad

from isofield import Discretization, Mesh, from_mesh
from isofield.cells import CELL_TYPES
from isofield.generation import ball, box, disk, icosphere, square, torus
from isofield.layers import LaplacianSpectralConv
from isofield.operators import laplacian, laplacian_eigenpairs, stiffness

SOLID = [kind for kind, cell in CELL_TYPES.items() if cell.dimension > 0]
FAMILIES = [1.0, 3.0]


def rate(sizes: list[int], errors: list[float]) -> float:
    return float(-np.polyfit(np.log(sizes), np.log(errors), 1)[0])


def of_square() -> np.ndarray:
    """π² (k² + l²)."""
    k = np.arange(5)
    return np.sort((np.pi**2 * (k[:, None] ** 2 + k**2)).ravel())[:9]


def of_disk() -> np.ndarray:
    """Squares of the zeros of J_l', twice for l > 0."""
    zeros = [np.repeat(jnp_zeros(order, 2), 2) for order in range(1, 6)]
    return np.sort(np.concatenate([[0.0], *zeros, jnp_zeros(0, 2)]) ** 2)[:8]


def of_sphere() -> np.ndarray:
    """l (l + 1), 2 l + 1 times."""
    return np.repeat([0.0, 2.0, 6.0], [1, 3, 5])


def of_ball() -> np.ndarray:
    """Squares of the zeros of the derivatives of spherical Bessel functions of order 1
    and 2, which are 2.08157598 and 3.34209366."""
    return np.repeat([0.0, 2.08157598, 3.34209366], [1, 3, 5]) ** 2


# --- the matrix ---------------------------------------------------------------------


def by_skfem(mesh: skfem.Mesh, element: skfem.Element) -> np.ndarray:
    form = skfem.BilinearForm(lambda u, v, _: dot(grad(u), grad(v)))  # type: ignore
    # the rule of two Gauss points along an edge, as here
    return form.assemble(skfem.Basis(mesh, element, intorder=3)).toarray()


@pytest.mark.parametrize(
    ("mesh", "kind", "other", "element"),
    [
        (square(5, jitter=0.2), "triangle", skfem.MeshTri, skfem.ElementTriP1()),
        (square(5, "quad", jitter=0.2), "quad", skfem.MeshQuad, skfem.ElementQuad1()),
        (box(3, "tetra", jitter=0.2), "tetra", skfem.MeshTet, skfem.ElementTetP1()),
    ],
)
def test_the_stiffness_is_that_of_scikit_fem(mesh, kind, other, element) -> None:
    expected = by_skfem(other(mesh.points.T, mesh.cells[kind].T), element)
    assert_allclose(stiffness(mesh).matrix().toarray(), expected, atol=1e-12)


def test_the_stiffness_of_bricks_is_that_of_scikit_fem() -> None:
    mesh = box(3, "hexahedron", grading=2.0)
    axes = [np.unique(x) for x in mesh.points.T]
    other = skfem.MeshHex.init_tensor(*axes)
    matrix = by_skfem(other, skfem.ElementHex1())
    place = np.lexsort(mesh.points.T), np.lexsort(other.p)
    found = stiffness(mesh).matrix().toarray()
    assert_allclose(
        found[np.ix_(place[0], place[0])],
        matrix[np.ix_(place[1], place[1])],
        atol=1e-12,
    )


@pytest.mark.parametrize("spacing", ["uniform", "random"])
@pytest.mark.parametrize("kind", SOLID)
def test_linear_functions_have_their_energy_in_cells_of_every_type(
    kind: str, spacing: str, mesh_of
) -> None:
    """Constants none, a . x that of |a|² on the whole, and no force within."""
    mesh = mesh_of(kind, 3, spacing)
    operator = stiffness(mesh)
    m = CELL_TYPES[kind].dimension
    a = np.array([1.0, -2.0, 0.5])[:m]
    u = mesh.points[:, :m] @ a
    matrix = operator.matrix()
    assert abs(matrix - matrix.T).max() < 1e-13
    assert_allclose(operator(np.ones(len(u))), 0, atol=1e-12)
    assert_allclose(u @ operator(u), a @ a, rtol=1e-12)
    within = ((mesh.points[:, :m] > 0) & (mesh.points[:, :m] < 1)).all(1)
    assert within.any()
    assert_allclose(operator(u)[within], 0, atol=1e-12)


@pytest.mark.parametrize(("dimension", "family"), [(2, "linear"), (3, "linear")])
def test_mixed_cells_fit_each_other(dimension, family, mixed_mesh) -> None:
    mesh = mixed_mesh(dimension, family)
    a = np.array([1.0, -2.0, 0.5])[:dimension]
    u = mesh.points @ a
    force = stiffness(mesh)(u)
    within = ((mesh.points > 0) & (mesh.points < 1)).all(1)
    assert_allclose(u @ force, a @ a, rtol=1e-12)
    assert_allclose(force[within], 0, atol=1e-12)


@pytest.mark.parametrize("domain", [square(4, jitter=0.2), from_mesh(torus(6))])
def test_the_laplacian_is_its_own_adjoint(domain) -> None:
    operator = laplacian(domain)
    turned = operator.adjoint()
    assert_allclose(operator.matrix().toarray(), turned.matrix().toarray(), atol=1e-9)
    random = np.random.default_rng(0)
    u, v = (torch.tensor(random.standard_normal(operator.shape[0])) for _ in range(2))
    measured = operator.source
    assert measured is not None
    left = float(measured.inner(operator(u), v))
    assert left == pytest.approx(float(measured.inner(u, operator(v))), rel=1e-10)
    assert float(measured.inner(operator(u), u)) < 0


@pytest.mark.parametrize("grading", FAMILIES)
def test_integrals_of_the_laplacian_converge(grading) -> None:
    """∫ v Δu = -∫ ∇u . ∇v for u = cos 2x, v = sin(x + y) on the unit square."""
    x, w = np.polynomial.legendre.leggauss(20)
    x, w = (x + 1) / 2, w / 2
    exact = float(
        np.einsum("i,j,ij", w, w, 2 * np.sin(2 * x)[:, None] * np.cos(x[:, None] + x))
    )
    sizes, errors = [6, 12, 24], []
    for n in sizes:
        mesh = square(n, grading=grading)
        a, b = torch.tensor(mesh.points).T
        operator = laplacian(mesh)
        found = float(from_mesh(mesh).inner(operator(torch.cos(2 * a)), (a + b).sin()))
        errors.append(abs(found - exact))
    assert rate(sizes, errors) > 1.8


# --- eigenvalues --------------------------------------------------------------------

SHAPES = [
    (square, of_square(), [8, 12, 18]),
    (disk, of_disk(), [6, 9, 14]),
    (icosphere, of_sphere(), [4, 6, 9]),
    (ball, of_ball(), [3, 5, 7]),
]


@pytest.mark.parametrize("grading", FAMILIES)
@pytest.mark.parametrize("as_cloud", [False, True])
@pytest.mark.parametrize(("shape", "exact", "sizes"), SHAPES)
def test_eigenvalues_converge(shape, exact, sizes, as_cloud, grading) -> None:
    """Every one of them, as often as it is there; at rate 2."""
    errors = []
    for n in sizes:
        mesh = shape(n, grading=grading)
        domain = from_mesh(mesh) if as_cloud else mesh
        values = laplacian_eigenpairs(domain, len(exact)).values.numpy()
        assert abs(values[0]) < 1e-9 * exact[-1]
        errors.append(float(np.abs(values[1:] / exact[1:] - 1).max()))
    assert 1.7 < rate(sizes, errors) < 2.5
    assert errors[-1] < 0.1


def test_eigenvalues_on_quadratic_cells(mesh_of) -> None:
    sizes, errors = [4, 6, 9], []
    for n in sizes:
        values = laplacian_eigenpairs(mesh_of("triangle6", n), 6).values.numpy()
        errors.append(float(np.abs(values - of_square()[:6]).max()))
    assert 1.7 < rate(sizes, errors) < 2.5


def test_eigenfunctions_converge() -> None:
    """cos(π x) of [0, 1] x [0, 0.5], whose first eigenvalues are single ones."""
    sizes, errors = [6, 12, 24], []
    for n in sizes:
        mesh = square(n, grading=2.0)
        points = mesh.points * [1, 0.5]
        found = laplacian_eigenpairs(Mesh(points, mesh.cells), 3)
        exact = 2 * np.cos(np.pi * points[:, 0])
        f = found.functions[:, 1].numpy()
        f = f * np.sign(f @ exact)
        errors.append(float(np.abs(f - exact).max()))
    assert rate(sizes, errors) > 1.7
    assert errors[-1] < 0.01


@pytest.mark.parametrize("domain", [torus(6), from_mesh(disk(6, grading=2.0))])
def test_eigenfunctions_are_orthonormal_in_the_measure(domain) -> None:
    measured = domain if isinstance(domain, Discretization) else from_mesh(domain)
    values, functions = laplacian_eigenpairs(domain, 8)
    gram = functions.T @ (measured.weights[:, None] * functions)
    assert_allclose(gram, np.eye(8), atol=1e-10)
    energy = functions.T @ stiffness(domain)(functions)
    assert_allclose(energy, np.diag(values), atol=1e-9)
    constant = functions[:, 0] * float(measured.measure()) ** 0.5
    assert_allclose(constant.abs(), 1, atol=1e-9)


# --- what it must not see -----------------------------------------------------------


def projector(domain: Mesh | Discretization, count: int) -> torch.Tensor:
    """sum_k f_k f_kᵀ, which neither signs nor rotations change."""
    functions = laplacian_eigenpairs(domain, count).functions
    return functions @ functions.T


@pytest.mark.parametrize("shape", [disk(5), icosphere(4)])
@pytest.mark.parametrize("as_cloud", [False, True])
def test_numbers_of_points_do_not_matter(shape, as_cloud) -> None:
    """Of the eigenvalues up to l = 2, which lie apart from the next."""
    count = 9 if shape.points.shape[1] == 3 else 5
    order = np.random.default_rng(0).permutation(len(shape.points))
    place = np.argsort(order)
    other = Mesh(shape.points[order], {"triangle": place[shape.cells["triangle"]]})
    domains = [from_mesh(m) if as_cloud else m for m in (shape, other)]
    found = [projector(domain, count) for domain in domains]
    assert_allclose(found[0], found[1][place][:, place], atol=1e-9)
    again = laplacian_eigenpairs(domains[0], count)
    same = laplacian_eigenpairs(domains[0], count)
    assert torch.equal(again.functions, same.functions)


@pytest.mark.parametrize("shape", [disk(5), icosphere(4)])
def test_two_points_at_one_place_are_one(shape) -> None:
    whole = from_mesh(shape)
    n, count = len(whole), 5 if shape.points.shape[1] == 2 else 9
    chosen = torch.arange(0, n, 2)
    weights = whole.weights.clone()
    weights[chosen] /= 2
    normals = whole.normals
    split = Discretization(
        torch.cat([whole.points, whole.points[chosen]]),
        torch.cat([weights, weights[chosen]]),
        normals=None if normals is None else torch.cat([normals, normals[chosen]]),
    )
    found, expected = projector(split, count), projector(whole, count)
    assert_allclose(found[:n, :n], expected, atol=1e-9)
    assert_allclose(found[n:, :n], expected[chosen], atol=1e-9)
    u = whole.points[:, 0]
    force = stiffness(split)(torch.cat([u, u[chosen]]))
    force = force[:n].index_add(0, chosen, force[n:])
    assert_allclose(force, stiffness(whole)(u), atol=1e-10)


def test_holes_of_a_cloud_stay_open() -> None:
    """An annulus: without its hole the second eigenvalue would be that of the disk."""
    mesh = disk(14)
    kept = np.linalg.norm(mesh.points, axis=1) > 0.5
    cloud = Discretization(
        torch.tensor(mesh.points[kept]), from_mesh(mesh).weights[torch.tensor(kept)]
    )
    inner = np.linalg.norm(mesh.points[mesh.cells["triangle"]], axis=2).min(1) > 0.5
    ring = Mesh(mesh.points, {"triangle": mesh.cells["triangle"][inner]})
    with_cells = laplacian_eigenpairs(ring.of_dimension(2), 4).values
    alone = laplacian_eigenpairs(cloud, 4).values
    assert_allclose(alone[1:], with_cells[1:], rtol=0.1)
    assert float(alone[1]) < 0.8 * of_disk()[1]


@pytest.mark.parametrize("count", [0, 9])
def test_there_are_fewer_eigenpairs_than_points(count: int) -> None:
    with pytest.raises(
        ValueError, match=f"count: expected 1 to 8 of 9 points, got {count}"
    ):
        laplacian_eigenpairs(square(2), count)
    points = torch.rand(8, 2, generator=torch.Generator().manual_seed(0))
    packed = Discretization(points, points[:, 0] + 1, torch.tensor([0, 4, 8]))
    with pytest.raises(ValueError, match="expected one sample, got 2"):
        laplacian(packed)


# --- the convolution ----------------------------------------------------------------


def multiplier(layer: LaplacianSpectralConv, value: float) -> np.ndarray:
    """(C_in, C_out) window times R at an eigenvalue, by Chebyshev's definition."""
    s = value / layer.wave_number**2
    x = np.arccos(2 * s - 1)
    matrices = layer.matrices.detach().numpy()
    polynomials = np.cos(np.arange(len(matrices)) * x)
    return (1 - s) ** 2 * np.einsum("b,bio->io", polynomials, matrices)


def applied(
    layer: LaplacianSpectralConv, source: Discretization, u: torch.Tensor
) -> torch.Tensor:
    with torch.no_grad():
        return layer(u, layer.prepare(source, source))


@pytest.fixture
def layer() -> LaplacianSpectralConv:
    torch.manual_seed(0)
    return LaplacianSpectralConv(1, 2, 12.0, functions=5).double()


@pytest.mark.parametrize("grading", FAMILIES)
def test_it_multiplies_eigenfunctions(grading, layer) -> None:
    """cos(π x) cos(2 π y) of the square, with the eigenvalue 5 π²."""
    sizes, errors = [8, 12, 18], []
    for n in sizes:
        domain = from_mesh(square(n, grading=grading))
        x, y = domain.points.T
        u = (torch.cos(torch.pi * x) * torch.cos(2 * torch.pi * y))[:, None]
        exact = u.numpy() * multiplier(layer, 5 * np.pi**2)
        errors.append(float(np.abs(applied(layer, domain, u).numpy() - exact).max()))
    assert rate(sizes, errors) > 1.7
    assert errors[-1] < 0.05


@pytest.mark.parametrize("shape", [square(8), icosphere(4)])
def test_signs_and_rotations_of_eigenfunctions_do_not_matter(
    shape, layer, monkeypatch
) -> None:
    """Both have multiple eigenvalues; another start of the iteration turns the
    functions, not the output."""
    layer.wave_number = 6.0
    domain = from_mesh(shape)
    u = torch.sin(3 * domain.points[:, :1] + domain.points[:, 1:2])
    expected = applied(layer, domain, u)
    first = laplacian_eigenpairs(domain, 4).functions
    other = np.random.default_rng(5).uniform(0, 1, len(domain))
    room = sys.modules["isofield.operators.laplacian"]
    monkeypatch.setattr(room, "_rough", lambda points: other[: len(points)])
    second = laplacian_eigenpairs(domain, 4).functions
    assert float((first - second).abs().max()) > 0.1
    assert_allclose(applied(layer, domain, u), expected, atol=1e-9)


def test_a_mode_enters_softly(layer) -> None:
    """Moving the cut across an eigenvalue changes the output by little."""
    domain = from_mesh(square(10))
    u = torch.exp(-4 * domain.points[:, :1] + domain.points[:, 1:])
    value = float(laplacian_eigenpairs(domain, 6).values[3])
    outputs = []
    for share in (1 - 1e-6, 1 + 1e-6):
        layer.wave_number = (share * value) ** 0.5
        outputs.append(applied(layer, domain, u))
    assert float((outputs[0] - outputs[1]).abs().max()) < 1e-4


def test_parts_of_a_domain_do_not_hear_of_each_other(layer) -> None:
    left, right = square(8).points, square(8).points + np.array([1.6, 0.0])
    weights = from_mesh(square(8)).weights
    domain = Discretization(
        torch.tensor(np.concatenate([left, right])), torch.cat([weights, weights])
    )
    u = torch.zeros(len(domain), 1).double()
    u[: len(left)] = torch.exp(domain.points[: len(left), :1])
    v = applied(layer, domain, u)
    alone = applied(layer, from_mesh(square(8)), u[: len(left)])
    assert_allclose(v[: len(left)], alone, atol=1e-9)
    assert_allclose(v[len(left) :], 0, atol=1e-9)


def test_a_wave_number_that_points_do_not_resolve_is_refused(layer) -> None:
    coarse = from_mesh(square(2))
    layer.wave_number = 40.0
    with pytest.raises(
        ValueError, match=r"all eigenvalues of 9 places are below 1600, the largest is"
    ):
        layer.prepare(coarse, coarse)
    with pytest.raises(ValueError, match="wave_number: expected above 0, got 0"):
        LaplacianSpectralConv(1, 1, 0.0)
    with pytest.raises(ValueError, match="functions: expected at least 1, got 0"):
        LaplacianSpectralConv(1, 1, 1.0, functions=0)
