"""Bases of kernels against other codes, closed forms and exact quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from scipy import special
from torch import Tensor

from isofield.bases import (
    Basis,
    BSplineBasis,
    GaussHermiteBasis,
    GaussianBasis,
    HermiteBasis,
    LearnedBasis,
    ZernikeBasis,
)
from isofield.bases.harmonics import harmonics

EPS = 2.0**-52


def inside(n: int, dimension: int, seed: int = 0) -> Tensor:
    """Points uniform in the unit ball, in float64."""
    random = np.random.default_rng(seed)
    u = random.standard_normal((n, dimension))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    return torch.tensor(u * random.random((n, 1)) ** (1 / dimension))


def ball(dimension: int, degree: int, alpha: float = 0.0) -> tuple[Tensor, Tensor]:
    """Points and weights, exact to `degree` in the weight (1 - |u|^2)^alpha."""
    x, w = special.roots_jacobi(degree // 4 + 1, alpha, dimension / 2 - 1)
    radius = np.sqrt((1 + x) / 2)
    w = w / 2 ** (alpha + dimension / 2 + 1)
    n = degree + 1
    angle = 2 * np.pi * np.arange(n) / n
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    if dimension == 1:
        sphere, share = np.array([[-1.0], [1.0]]), np.ones(2)
    elif dimension == 2:
        sphere, share = circle, np.full(n, 2 * np.pi / n)
    else:
        z, v = np.polynomial.legendre.leggauss(degree // 2 + 1)
        side = np.sqrt(1 - z**2)
        flat = (side[:, None, None] * circle).reshape(-1, 2)
        sphere = np.column_stack([flat, np.repeat(z, n)])
        share = np.repeat(v, n) * 2 * np.pi / n
    points = (radius[:, None, None] * sphere).reshape(-1, dimension)
    return torch.tensor(points), torch.tensor(np.outer(w, share).ravel())


def polar(u: Tensor) -> tuple[np.ndarray, np.ndarray]:
    x, y = u.numpy().T
    return np.hypot(x, y), np.arctan2(y, x) % (2 * np.pi)


def learned(dimension: int, alpha: float = 2.0) -> Basis:
    torch.manual_seed(0)
    return LearnedBasis(dimension, 4, hidden=8, alpha=alpha)


MAKERS: dict[str, Callable[..., Basis]] = {
    "zernike": lambda d, **more: ZernikeBasis(d, 5 - d, **more),
    "spline": lambda d, **more: BSplineBasis(d, 6 - d, degree=4 - d, **more),
    "circle": lambda d, **more: BSplineBasis(
        d, 3, degree=2, periodic=[i == 1 for i in range(d)], **more
    ),
    "hermite": lambda d, **more: HermiteBasis(d, order=3 - d, **more),
    "one node": lambda d, **more: HermiteBasis(d, order=1, nodes=1, **more),
    "gauss_hermite": lambda d, **more: GaussHermiteBasis(d, 4 - d, width=0.4, **more),
    "gaussian": lambda d, **more: GaussianBasis.on_rings(d, 1, **more),
    "mixture": lambda d, **more: GaussianBasis(
        inside(3, d), 0.3 + inside(3, d) ** 2, learned=True, **more
    ),
    "learned": learned,
}
every = pytest.mark.parametrize("kind", MAKERS)


# --- what holds for every basis -----------------------------------------------------


@every
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_shapes_precision_and_nothing_outside(kind: str, dimension: int):
    basis = MAKERS[kind](dimension)
    assert basis.dimension == dimension
    for precision in (torch.float64, torch.float32):
        u = inside(6, dimension).to(precision).reshape(2, 3, dimension)
        values, gradients = basis(u), basis.gradients(u)
        assert values.shape == (2, 3, basis.size)
        assert gradients.shape == (2, 3, basis.size, dimension)
        assert basis.functions(u).dtype == values.dtype == gradients.dtype == precision
        if kind == "circle":  # the ball of the other axes
            u = u * torch.tensor([1.0, 0, 1])[:dimension].to(u) + 0.0
        norm = u.norm(dim=-1, keepdim=True)
        for far in (u / norm * 1.01, u / norm * 1e18):
            assert not bool(basis(far).any())
            assert not bool(basis.gradients(far).any())
            assert not bool(basis.window(far).any())
            assert not bool(basis.window_gradient(far).any())


@every
def test_values_are_window_times_functions(kind: str):
    basis, u = MAKERS[kind](2, alpha=1.5), inside(20, 2)
    seen = u * torch.tensor([1.0, 0.0]) if kind == "circle" else u
    window = (1 - seen.square().sum(1)) ** 1.5
    torch.testing.assert_close(basis.window(u), window, rtol=1e-14, atol=0)
    expected = window[:, None] * basis.functions(u)
    torch.testing.assert_close(basis(u), expected, rtol=1e-14, atol=0)


@every
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_gradients_are_those_of_autograd_and_of_differences(kind: str, dimension: int):
    basis = MAKERS[kind](dimension).double()
    u = inside(3, dimension, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(basis, u, fast_mode=True)
    assert torch.autograd.gradcheck(basis.functions, u, fast_mode=True)
    whole = torch.autograd.functional.jacobian

    def check(gradient: Tensor, jacobian: Tensor) -> None:
        exact = jacobian.transpose(0, 1)
        torch.testing.assert_close(gradient, exact, rtol=1e-12, atol=1e-12)

    check(basis.gradients(u), whole(lambda u: basis(u).sum(0), u))
    check(basis.function_gradients(u), whole(lambda u: basis.functions(u).sum(0), u))
    slope = whole(lambda u: basis.window(u).sum(), u)
    torch.testing.assert_close(basis.window_gradient(u), slope, rtol=1e-13, atol=0)


@every
def test_gradients_can_be_differentiated_twice(kind: str):
    basis = MAKERS[kind](2).double()
    u = inside(3, 2, seed=2).requires_grad_()
    assert torch.autograd.gradgradcheck(basis, u, fast_mode=True)
    assert torch.autograd.gradcheck(basis.gradients, u, fast_mode=True)
    assert torch.autograd.gradgradcheck(basis.gradients, u, fast_mode=True)


@every
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 2.0, 3.0])
def test_no_nan_at_the_centre_and_the_edge(kind: str, alpha: float):
    basis = MAKERS[kind](2, alpha=alpha).double()
    special_ = [[0, 0], [1, 0], [0, -1], [0.6, 0.8], [1, 1], [-1, 0], [0.5, 0]]
    u = torch.tensor(special_, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(basis(u).sum(), u, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), u)
    (mixed,) = torch.autograd.grad(basis.gradients(u).square().sum(), u)
    for values in (basis(u), basis.gradients(u), first, second, mixed):
        assert bool(torch.isfinite(values).all())


@every
def test_the_precision_of_the_module_does_not_touch_that_of_values(kind: str):
    u = inside(10, 2)
    basis = MAKERS[kind](2)
    before = basis.functions(u)
    after = basis.to(torch.bfloat16).functions(u)
    learns = any(True for _ in basis.parameters())
    assert torch.equal(before, after) != learns


@every
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_float32(kind: str, dimension: int):
    basis = MAKERS[kind](dimension)
    u = inside(200, dimension).float()
    exact = basis.functions(u.double())
    error = (basis.functions(u) - exact).abs().max() / exact.abs().max()
    assert 0 < error < 2e-6


@pytest.mark.parametrize("kind", [kind for kind in MAKERS if kind != "circle"])
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_mean_window_and_mean_squares(kind: str, dimension: int):
    """Not on a circle, whose window is not that of the ball."""
    basis = MAKERS[kind](dimension)
    u, w = ball(dimension, 40)
    window = w @ basis.window(u)
    measure = math.pi ** (dimension / 2) / math.gamma(dimension / 2 + 1)
    assert float(w.sum()) == pytest.approx(measure, rel=1e-13)
    assert float(window / measure) == pytest.approx(basis.mean_window, rel=1e-13)
    u, w = ball(dimension, 60, basis.alpha)
    exact = w @ basis.functions(u).detach().square() / w.sum()
    assert (basis.mean_squares() / exact - 1).abs().max() < 0.02


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 3.0])
def test_the_edge_is_as_smooth_as_promised(alpha: float):
    """Near the edge values fall like the distance to the power alpha."""
    basis = ZernikeBasis(2, 3, alpha)
    gaps = 2.0 ** -np.arange(10, 14)
    u = torch.tensor([0.6, 0.8], dtype=torch.float64) * torch.tensor(1 - gaps)[:, None]
    sizes = basis(u).abs().max(1).values.numpy()
    assert np.polyfit(np.log(gaps), np.log(sizes), 1)[0] == pytest.approx(
        alpha, abs=0.01
    )


def monomials(u: Tensor, degree: int) -> Tensor:
    d = u.shape[1]
    powers = [a for a in product(range(degree + 1), repeat=d) if sum(a) == degree]
    return torch.stack([(u ** torch.tensor(a)).prod(1) for a in powers], 1)


def misfit(basis: Basis, degree: int) -> float:
    """Of the monomials of one degree, relative."""
    u = inside(20 * basis.size, basis.dimension, seed=3)
    phi, p = basis.functions(u), monomials(u, degree)
    fit = torch.linalg.lstsq(phi, p).solution
    return float((phi @ fit - p).norm() / p.norm())


SPANS = {
    "zernike": [ZernikeBasis(d, n, a) for d, n, a in [(1, 6, 2), (2, 5, 0), (3, 4, 2)]],
    "spline": [
        BSplineBasis(d, k, p)
        for d, k, p in [(1, 5, 0), (1, 6, 4), (2, 4, 1), (2, 5, 3), (3, 4, 2)]
    ],
    "hermite": [
        HermiteBasis(d, n, k)
        for d, n, k in [
            (1, 0, 3),
            (1, 3, 2),
            (2, 1, 2),
            (2, 2, 2),
            (3, 0, 3),
            (3, 1, 2),
        ]
    ],
    "circle": [BSplineBasis(2, (4, 5), 2, (False, True))],
}


@pytest.mark.parametrize("kind", SPANS)
def test_polynomials_up_to_the_degree_are_spanned_and_none_beyond(kind: str):
    for basis in SPANS[kind]:
        assert basis.degree is not None
        for degree in range(basis.degree + 1):
            assert misfit(basis, degree) < 1e-12, (basis, degree)
        assert misfit(basis, basis.degree + 1) > 1e-4, basis


# --- Zernike ------------------------------------------------------------------------


def test_modes_and_sizes():
    plane, space = ZernikeBasis(2, 9), ZernikeBasis(3, 5)
    n, degree, m = plane.modes.unbind(1)
    assert torch.equal((n * (n + 2) + m) // 2, torch.arange(plane.size))
    assert torch.equal(degree, m.abs())
    assert [ZernikeBasis(3, n).size for n in range(1, 5)] == [4, 10, 20, 35]
    n, degree, m = space.modes.unbind(1)
    assert bool(((n - degree) % 2 == 0).all() & (m.abs() <= degree).all())
    assert len({tuple(mode) for mode in space.modes.tolist()}) == space.size
    assert ZernikeBasis(1, 3).modes.tolist() == [
        [0, 0, 0],
        [1, 1, 0],
        [2, 0, 0],
        [3, 1, 0],
    ]


def test_zernike_against_rzern():
    from zernike import RZern

    basis, u = ZernikeBasis(2, 8, alpha=0), inside(50, 2)
    oracle, (radius, angle) = RZern(8), polar(u)
    values = basis.functions(u).numpy()
    for column, (n, _, m) in enumerate(basis.modes.tolist()):
        expected = oracle.Zk(oracle.nm2noll(n, m) - 1, radius, angle)
        np.testing.assert_allclose(values[:, column], expected, rtol=0, atol=1e-12)


def test_zernike_and_its_gradients_against_zernpy():
    from zernpy import ZernPol

    basis, u = ZernikeBasis(2, 7, alpha=0), inside(50, 2)
    radius, angle = polar(u)
    values, gradients = basis.functions(u).numpy(), basis.function_gradients(u).numpy()
    radial = np.stack([np.cos(angle), np.sin(angle)], 1)
    for column, (n, _, m) in enumerate(basis.modes.tolist()):
        oracle = ZernPol(n=n, m=m)
        expected = oracle.polynomial_value(radius, angle)
        np.testing.assert_allclose(values[:, column], expected, rtol=0, atol=1e-12)
        # the derivative along the radius: its normalised radial part times the angle's
        slope = oracle.radial_dr(radius) * oracle.triangular(angle)
        slope *= oracle.normf()
        along = (gradients[:, column] * radial).sum(1)
        np.testing.assert_allclose(along, slope, rtol=0, atol=1e-11)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 2.0])
def test_zernike_against_jacobi_polynomials_of_scipy(alpha: float):
    basis, u = ZernikeBasis(2, 40, alpha), inside(50, 2)
    radius, angle = polar(u)
    window = basis.window(u).numpy() ** 0.5
    values = basis.functions(u).numpy()
    for column, (n, degree, m) in enumerate(basis.modes.tolist()):
        k = (n - degree) // 2
        jacobi = special.eval_jacobi(k, alpha, degree, 2 * radius**2 - 1)
        expected = (
            radius**degree
            * jacobi
            * (np.sin(-m * angle) if m < 0 else np.cos(m * angle))
        )
        # of mean square 1 in the window: the norm is checked by quadrature below
        ratio = values[:, column] @ expected / (expected @ expected)
        difference = (values[:, column] - ratio * expected) * window
        assert np.abs(difference).max() < 1e-12, (n, m)


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("alpha", [0, 2])
def test_order_50_against_80_digits(dimension: int, alpha: int):
    import mpmath

    basis, u = ZernikeBasis(dimension, 50, alpha), inside(12, dimension, seed=4)
    u = torch.cat([u, torch.zeros_like(u[:1]), u[:1] / u[:1].norm()])
    angular = harmonics(u, 50)
    values, d = basis.functions(u), mpmath.mpf(dimension)
    with mpmath.workdps(80):
        square = [sum(mpmath.mpf(x) ** 2 for x in row) for row in u.tolist()]
        for n, degree in [(50, 0), (50, 24), (50, 50), (49, 1), (49, 25), (47, 47)]:
            k, b = (n - degree) // 2, degree + d / 2 - 1
            if dimension == 1 and degree > 1:
                continue
            size = _squared_norm(mpmath, k, alpha, b) * d / 2
            size /= mpmath.beta(d / 2, alpha + 1) * d / 2
            radial = [
                mpmath.jacobi(k, alpha, b, 2 * s - 1) / mpmath.sqrt(size)
                for s in square
            ]
            radial = torch.tensor([float(x) for x in radial], dtype=torch.float64)
            rows = (basis.modes[:, 0] == n) & (basis.modes[:, 1] == degree)
            expected = radial[:, None] * angular[:, basis._angular[rows]]
            scale = expected.abs().max().clamp(min=1)
            assert (values[:, rows] - expected).abs().max() < 1e-13 * scale


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_float32_is_as_good_as_its_coordinates(dimension: int, alpha: float):
    """At order 50, too, the error is that of a few roundings of u, of size eps."""
    basis, u = ZernikeBasis(dimension, 50, alpha), inside(40, dimension).float()
    exact = basis.functions(u.double())
    slope = basis.function_gradients(u.double()).norm(dim=2)
    error = (basis.functions(u) - exact).abs() / (1 + exact.abs() + slope)
    assert 0.1 * 2**-23 < error.max() < 16 * 2**-23
    kernel = (basis(u) - basis(u.double())).abs().max()
    assert kernel < (1e-3 if alpha == 0 else 4e-5)


def _squared_norm(mpmath, k: int, a: float, b):
    """`2 ∫_0^1 P_k^(a,b)(2s - 1)^2 (1 - s)^a s^b ds / 2`, by the Gamma function."""
    gamma = mpmath.gamma
    top = gamma(k + a + 1) * gamma(k + b + 1)
    return top / ((2 * k + a + b + 1) * gamma(k + 1) * gamma(k + a + b + 1))


def test_spherical_harmonics_against_scipy_and_e3nn():
    from e3nn import o3

    u, order = inside(40, 3), 12
    unit = u / u.norm(dim=1, keepdim=True)
    ours = harmonics(unit, order)
    # their polar axis is y
    theirs = o3.spherical_harmonics(
        list(range(12)), unit[:, [1, 2, 0]], normalize=False, normalization="component"
    )
    torch.testing.assert_close(ours[:, : 12**2], theirs, rtol=0, atol=1e-12)
    x, y, z = unit.numpy().T
    for degree, m in [(n, m) for n in range(order + 1) for m in range(-n, n + 1)]:
        whole = special.sph_harm_y(degree, abs(m), np.arccos(z), np.arctan2(y, x))
        part = whole.real if m >= 0 else whole.imag
        part = part * (-1) ** m * math.sqrt(4 * math.pi * (2 if m else 1))
        column = degree * (degree + 1) + m
        np.testing.assert_allclose(ours[:, column], part, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dimension", [2, 3])
def test_harmonics_are_harmonic_and_homogeneous(dimension: int):
    u = inside(3, dimension).requires_grad_()
    for column in range(harmonics(u, 4).shape[1]):
        values = harmonics(u, 4)[:, column].sum()
        (first,) = torch.autograd.grad(values, u, create_graph=True)
        second = [
            torch.autograd.grad(
                first[:, i].sum(), u, retain_graph=True, allow_unused=True
            )[0]
            for i in range(dimension)
            if first.requires_grad
        ]
        laplacian = sum(s[:, i] for i, s in enumerate(second) if s is not None)
        assert torch.as_tensor(laplacian).abs().max() < 1e-12


@pytest.mark.parametrize(("dimension", "order"), [(1, 50), (2, 40), (3, 12)])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 2.0, 5.0])
def test_orthonormal_in_the_window(dimension: int, order: int, alpha: float):
    basis = ZernikeBasis(dimension, order, alpha)
    u, w = ball(dimension, 2 * order, alpha)
    phi = basis.functions(u)
    gram = phi.T @ (phi * w[:, None]) / w.sum()
    assert (gram - torch.eye(basis.size)).abs().max() < 2e-12
    assert bool((phi[:, 0] == 1).all())


def test_the_quadrature_of_these_tests_is_exact_and_no_more():
    for dimension in (1, 2, 3):
        u, w = ball(dimension, 8, 2.0)
        exact = math.pi ** (dimension / 2) * 2 / math.gamma(dimension / 2 + 3)
        exact *= 3 / ((dimension + 6) * (dimension + 8))
        assert float(w @ u[:, 0] ** 4) == pytest.approx(exact, rel=1e-13)
        phi = ZernikeBasis(dimension, 8, 2.0).functions(u)
        gram = phi.T @ (phi * w[:, None]) / w.sum()
        assert (gram - torch.eye(phi.shape[1])).abs().max() > 0.1


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_coefficients_of_a_polynomial_come_back(dimension: int):
    basis = ZernikeBasis(dimension, 5, 2.0)
    torch.manual_seed(5)
    c = torch.randn(basis.size, dtype=torch.float64)
    u, w = ball(dimension, 14)
    v = basis.functions(u) @ c
    back = (w * v) @ basis(u) / (w @ basis.window(u))
    torch.testing.assert_close(back, c, rtol=0, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.0, 2.5])
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_fourier_transform(dimension: int, alpha: float):
    """`∫ kernel_b(u) e^(i q.u) du` in closed form, by the Bessel function J:

    N i^l (-1)^k |S| H_lm(q/|q|) 2^(α + d/2 - 1) Γ(d/2) Γ(α+k+1)/k! J_(n+α+d/2)(|q|)
    / |q|^(α + d/2), |S| the measure of the sphere.
    """
    basis = ZernikeBasis(dimension, 6, alpha)
    u, w = ball(dimension, 60, alpha)
    q = torch.tensor([2.7, -3.9, 5.1][:dimension], dtype=torch.float64)
    found = (torch.exp(1j * (u @ q)) * w) @ basis.functions(u).to(torch.complex128)
    size, half = float(q.norm()), dimension / 2
    angular = harmonics(q[None] / size, 6)[0]
    sphere = 2 * math.pi**half / math.gamma(half)
    for b, (n, degree, _) in enumerate(basis.modes.tolist()):
        k = (n - degree) // 2
        bessel = special.jv(n + alpha + half, size) / size ** (alpha + half)
        factor = 2 ** (alpha + half - 1) * math.gamma(half)
        factor *= math.gamma(alpha + k + 1) / math.factorial(k)
        harmonic = float(angular[basis._angular[b]] * basis._norms[b])
        exact = sphere * 1j**degree * (-1) ** k * factor * bessel * harmonic
        assert abs(complex(found[b]) - exact) < 1e-13 * float(w.sum()) * 10


def rotations(n: int) -> Tensor:
    random = np.random.default_rng(7)
    q = np.linalg.qr(random.standard_normal((n, 3, 3)))[0]
    return torch.tensor(q)  # some of them mirror


def test_rotations_of_the_plane():
    basis, u = ZernikeBasis(2, 12), inside(20, 2)
    angles = torch.tensor([0.0, 0.3, -2.1, math.pi / 2], dtype=torch.float64)
    turned = basis.rotated(angles)
    for angle, matrix in zip(angles.tolist(), turned, strict=True):
        c, s = math.cos(angle), math.sin(angle)
        R = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
        torch.testing.assert_close(
            basis.functions(u @ R.T), basis.functions(u) @ matrix.T, rtol=0, atol=1e-12
        )
        torch.testing.assert_close(basis.rotated(angle), matrix)
    both = basis.rotated(angles[1] + angles[2])
    torch.testing.assert_close(turned[1] @ turned[2], both, rtol=0, atol=1e-14)
    mixed = basis.modes[:, None, :2] != basis.modes[None, :, :2]
    assert not bool(turned[:, mixed.any(2)].any())


def test_rotations_of_space():
    basis, u = ZernikeBasis(3, 6), inside(20, 3)
    R = rotations(3)
    turned = basis.rotated(R)
    for rotation, matrix in zip(R, turned, strict=True):
        torch.testing.assert_close(
            basis.functions(u @ rotation.T),
            basis.functions(u) @ matrix.T,
            rtol=0,
            atol=1e-12,
        )
    same = torch.eye(basis.size, dtype=torch.float64)
    torch.testing.assert_close(turned @ turned.mT, same.expand(3, -1, -1))
    torch.testing.assert_close(basis.rotated(R[0] @ R[1]), turned[0] @ turned[1])
    mixed = (basis.modes[:, None, :2] != basis.modes[None, :, :2]).any(2)
    assert turned[:, mixed].abs().max() < 1e-13


# --- splines ------------------------------------------------------------------------


@pytest.mark.parametrize("degree", range(8))
def test_splines_against_scipy(degree: int):
    from scipy.interpolate import BSpline

    count = degree + 4
    x = torch.linspace(-1, 1, 101, dtype=torch.float64)[:, None]
    x = x[:-1] + 0.01 if degree == 0 else x  # jumps at knots are either way
    knots = -1 + 0.5 * (np.arange(count + degree + 1) - degree)
    expected = BSpline.design_matrix(x[:, 0].numpy(), knots, degree).toarray()
    values = BSplineBasis(1, count, degree).functions(x)
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-14)
    circle = BSplineBasis(1, 5, degree, periodic=True)
    knots = -1 + 0.4 * (np.arange(5 + 3 * degree + 1) - degree)
    wide = BSpline.design_matrix(x[:, 0].numpy(), knots, degree).toarray()
    wrapped = np.zeros((len(x), 5))
    for column in range(wide.shape[1]):
        wrapped[:, column % 5] += wide[:, column]
    values = circle.functions(x)
    np.testing.assert_allclose(values[:-1], wrapped[:-1], rtol=0, atol=1e-14)
    torch.testing.assert_close(circle.functions(x + 2), values, rtol=0, atol=1e-14)
    torch.testing.assert_close(circle.functions(x - 6), values, rtol=0, atol=1e-14)


@pytest.mark.parametrize("periodic", [False, True, (False, True, False)])
@pytest.mark.parametrize("degree", [0, 1, 2, 3, 5])
def test_splines_sum_to_one(periodic, degree: int):
    basis = BSplineBasis(3, (6, 7, 8), degree, periodic)
    u = 2 * torch.rand(200, 3, dtype=torch.float64) - 1
    values = basis.functions(u)
    assert values.shape == (200, 336)
    assert (values.sum(1) - 1).abs().max() < 10 * EPS
    assert values.min() >= 0


def test_the_last_axis_of_splines_runs_fastest():
    basis, u = BSplineBasis(2, (3, 5), 1), inside(9, 2)
    a = BSplineBasis(1, 3, 1).functions(u[:, :1])
    b = BSplineBasis(1, 5, 1).functions(u[:, 1:])
    expected = (a[:, :, None] * b[:, None, :]).reshape(9, 15)
    torch.testing.assert_close(basis.functions(u), expected)


# --- Hermite ------------------------------------------------------------------------


@pytest.mark.parametrize("order", range(6))
def test_hermite_functions_against_scipy(order: int):
    from scipy.interpolate import BPoly

    basis = HermiteBasis(1, order, nodes=4)
    x = torch.linspace(-1, 1, 61, dtype=torch.float64)[:, None]
    values, nodes = basis.functions(x).numpy(), np.linspace(-1, 1, 4)
    for column in range(basis.size):
        jets = np.zeros((4, order + 1))
        a = int(basis.derivative[column])
        jets[int(basis.node[column]), a] = basis.spacing**-a
        expected = BPoly.from_derivatives(nodes, jets)(x[:, 0].numpy())
        np.testing.assert_allclose(values[:, column], expected, rtol=0, atol=2e-14)


def test_hermite_functions_interpolate_values_and_derivatives():
    """A product of polynomials from its derivatives at the nodes, by their law."""
    basis, u = HermiteBasis(2, order=2, nodes=3), inside(50, 2)
    p, q = (
        np.polynomial.Polynomial([1, -2, 0.5, 3, 1, -1]),
        np.polynomial.Polynomial([2, 1, 0, -4]),
    )
    c = [
        basis.spacing ** int(a + b)
        * p.deriv(int(a))(i - 1.0)
        * q.deriv(int(b))(j - 1.0)
        for (i, j), (a, b) in zip(
            basis.node.tolist(), basis.derivative.tolist(), strict=True
        )
    ]
    found = basis.functions(u) @ torch.tensor(c, dtype=torch.float64)
    x, y = u.numpy().T
    np.testing.assert_allclose(found, p(x) * q(y), rtol=0, atol=1e-12)


def test_four_hermite_nodes_are_the_element_of_bogner_fox_and_schmit():
    from skfem import Basis as Oracle
    from skfem import ElementQuadBFS, MeshQuad

    corners = np.array([[-1.0, 1, 1, -1], [-1, -1, 1, 1]])
    mesh = MeshQuad(corners, np.arange(4)[:, None])
    at = (inside(30, 2).numpy().T + 1) / 2
    oracle = Oracle(mesh, ElementQuadBFS(), quadrature=(at, np.ones(30)))
    u = torch.tensor(np.array(oracle.global_coordinates())[:, 0].T.copy())
    basis = HermiteBasis(2, order=1, nodes=2)
    values = basis.functions(u)
    derivatives = {"u": [0, 0], "u_x": [1, 0], "u_y": [0, 1], "u_xy": [1, 1]}
    for i, dof in enumerate(oracle.element_dofs[:, 0]):
        a = derivatives[oracle.elem.dofnames[i % 4]]
        node = torch.tensor((oracle.doflocs[:, dof] + 1) / 2).long()
        ours = (basis.node == node).all(1) & (basis.derivative == torch.tensor(a)).all(
            1
        )
        scaled = values[:, ours][:, 0] * basis.spacing ** sum(a)
        expected = np.array(oracle.basis[i][0])[0]
        np.testing.assert_allclose(scaled, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_a_single_hermite_node(order: int):
    basis = HermiteBasis(2, order, nodes=1)
    assert basis.size == (order + 1) ** 2
    assert basis.degree is None
    u = torch.zeros(1, 2, dtype=torch.float64)
    assert torch.equal(basis.functions(u)[0], (basis.derivative == 0).all(1).double())
    edge = torch.tensor([[1, 0.3], [-1, 0.2], [0.1, 1]], dtype=torch.float64)
    assert not bool(basis.functions(edge).any())
    jets = basis.function_gradients(u)[0]
    for axis in (0, 1):
        along = (basis.derivative == torch.eye(2).long()[axis]).all(1)
        assert torch.equal(jets[:, axis], along.double()) or order == 0


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_gauss_hermite_against_scipy(dimension: int):
    basis, u = GaussHermiteBasis(dimension, 5, width=0.3), inside(30, dimension)
    assert basis.size == math.comb(5 + dimension, dimension)
    x = u.numpy() / 0.3
    for column, powers in enumerate(basis.derivative.tolist()):
        expected = np.exp(-(x**2).sum(1) / 2)
        for axis, a in enumerate(powers):
            expected *= special.eval_hermitenorm(a, x[:, axis]) / math.sqrt(
                math.factorial(a)
            )
        found = basis.functions(u)[:, column]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


def test_gauss_hermite_functions_are_derivatives_of_the_smoothed_field():
    """v = exp(k.u), its derivatives smoothed by the Gaussian in closed form."""
    basis = GaussHermiteBasis(2, 4, width=0.1, alpha=0)
    k = torch.tensor([1.3, -0.7], dtype=torch.float64)
    axis = torch.linspace(-1, 1, 401, dtype=torch.float64)
    u = torch.cartesian_prod(axis, axis)
    found = torch.exp(u @ k) @ basis(u) * (axis[1] - axis[0]) ** 2
    smooth = 2 * math.pi * 0.1**2 * math.exp(float(k @ k) * 0.1**2 / 2)
    for column, powers in enumerate(basis.derivative.tolist()):
        factorial = math.prod(math.factorial(a) for a in powers)
        factor = 0.1 ** sum(powers) / math.sqrt(factorial)
        exact = smooth * factor * float((k ** torch.tensor(powers)).prod())
        assert float(found[column]) == pytest.approx(exact, abs=1e-12)


# --- Gaussians and networks ---------------------------------------------------------


def test_gaussians_against_their_formula():
    centres, widths = inside(4, 3), 0.2 + inside(4, 3, seed=9).abs()
    u = inside(10, 3, seed=1)
    offset = (u[:, None] - centres) / widths
    expected = torch.exp(-offset.square().sum(2) / 2)
    basis = GaussianBasis(centres, widths)
    torch.testing.assert_close(basis.functions(u), expected, rtol=1e-14, atol=0)
    same = GaussianBasis(centres, 0.3).functions(u)
    each = GaussianBasis(
        centres, torch.tensor([0.3] * 4, dtype=torch.float64)
    ).functions(u)
    torch.testing.assert_close(same, each, rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    ("dimension", "sizes"), [(1, [1, 3, 5]), (2, [1, 7, 19]), (3, [1, 13, 61])]
)
def test_rings_are_evenly_spaced(dimension: int, sizes: list[int]):
    for rings, size in enumerate(sizes):
        basis = GaussianBasis.on_rings(dimension, rings)
        assert basis.size == size
        distance = torch.cdist(basis.centres, basis.centres)
        distance += 9 * torch.eye(size)
        gap = 2 / (2 * rings + 1)
        nearest = distance.min(1).values
        if rings:
            assert 0.8 * gap < nearest.min() <= nearest.max() < 1.2 * gap
        assert float(basis.centres.norm(dim=1).max()) == pytest.approx(1 - gap / 2)


@pytest.mark.parametrize("kind", ["mixture", "learned"])
def test_parameters_learn(kind: str):
    basis = MAKERS[kind](2).double()
    u = inside(10, 2)
    for p in basis.parameters():
        assert p.dtype == torch.float64
    names = [name for name, _ in basis.named_parameters()]

    def values(*parameters: Tensor) -> Tensor:
        given = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(basis, given, (u,))

    if kind == "mixture":
        assert torch.autograd.gradcheck(values, tuple(basis.parameters()))
    basis(u).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in basis.parameters())
    assert not list(MAKERS["gaussian"](2).parameters())


def test_a_learned_basis_starts_with_functions_of_size_one():
    torch.manual_seed(3)
    for dimension in (1, 2, 3):
        basis = LearnedBasis(dimension, 6, alpha=0)
        u, w = ball(dimension, 40)
        phi = basis.functions(u).detach()
        squares = w @ phi.square() / w.sum()
        assert bool((squares > 0.8).all() & (squares < 1.25).all())
        # and varied: none is a multiple of another
        unit = phi * (w[:, None] / w.sum()).sqrt()
        unit = unit / unit.norm(dim=0)
        overlap = (unit.T @ unit - torch.eye(6)).abs().max()
        assert overlap < 0.999


# --- bad input ----------------------------------------------------------------------

WRONG = {
    "dimension: expected 1 or 2 or 3, got 4": lambda: ZernikeBasis(4, 2),
    "order: expected an integer >= 0, got -1": lambda: ZernikeBasis(2, -1),
    "order: expected an integer >= 0, got 2.0": lambda: ZernikeBasis(2, 2.0),  # type: ignore
    "alpha: expected a finite number >= 0, got -1": lambda: ZernikeBasis(2, 2, -1),
    "got nan": lambda: ZernikeBasis(2, 2, math.nan),
    "space, got .* in 1 dimensions": lambda: ZernikeBasis(1, 2).rotated(0.1),
    r"matrices \(..., 3, 3\)": lambda: ZernikeBasis(3, 2).rotated(0.1),
    "degree: expected an integer >= 0": lambda: BSplineBasis(2, 3, -1),
    "n_control: expected an integer >= 4, got 3": lambda: BSplineBasis(2, (4, 3), 3),
    "n_control: expected one or 2": lambda: BSplineBasis(2, (4, 3, 4), 2),
    "periodic: expected one or 2": lambda: BSplineBasis(2, 4, 2, (True,)),
    "nodes: expected an integer >= 1": lambda: HermiteBasis(2, 1, 0),
    "order: expected an integer >= 0, got -2": lambda: HermiteBasis(2, -2),
    "dimension: expected an integer >= 1": lambda: HermiteBasis(0, 1),
    "width: expected a positive": lambda: GaussHermiteBasis(2, 2, width=0.0),
    r"centres: expected \(B, d\)": lambda: GaussianBasis(torch.zeros(3), 0.1),
    "widths: expected positive": lambda: GaussianBasis(torch.zeros(3, 2), -0.1),
    r"or \(3,\)": lambda: GaussianBasis(torch.zeros(3, 2), torch.ones(2)),
    "rings: expected an integer >= 0": lambda: GaussianBasis.on_rings(2, -1),
    "size: expected an integer >= 1": lambda: LearnedBasis(2, 0),
}


@pytest.mark.parametrize("message", WRONG)
def test_bad_input_is_named(message: str):
    with pytest.raises(ValueError, match=message):
        WRONG[message]()
