"""Jets of fields and the smooth fields that they span, against closed forms."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from isofield import Discretization, from_mesh
from isofield.generation import ball, disk, icosphere
from isofield.operators.jets import derivative, jets, multi_indices, order_of
from isofield.operators.sparse import TransferError
from isofield.operators.taylor import Taylor, taylor
from isofield.plan import pack_plans
from isofield.testing import body, probes

SIZES = {1: (12, 18, 27, 40), 2: (6, 8, 11, 15), 3: (5, 6, 8, 10)}
# radius of fits, in spacings: some 10, 40 and 80 neighbours, at boundaries 5, 20, 30
FIT = {1: 6.0, 2: 3.5, 3: 2.8}
# a wave along each dimension, of a length that all meshes resolve
WAVE = {
    1: torch.tensor([1.9]).double(),
    2: torch.tensor([1.5, -1.1]).double(),
    3: torch.tensor([0.9, -0.7, 0.8]).double(),
}


def domain(dimension: int, n: int) -> Discretization:
    """[-1, 1], the unit disk or ball in cells of no particular order."""
    if dimension == 1:
        return body(1, n, grading=2.0)
    mesh = disk(n, jitter=0.15) if dimension == 2 else ball(n, jitter=0.15)
    return from_mesh(mesh)


def wave_jets(x: Tensor, order: int) -> Tensor:
    """(N, J, 1) of `sin(k.x + 0.4)`, by its closed form."""
    k = WAVE[x.shape[1]]
    phase = x @ k + 0.4
    columns = []
    for a in multi_indices(x.shape[1], order):
        factor = float((k**a).prod())
        columns.append(factor * torch.sin(phase + int(a.sum()) * math.pi / 2))
    return torch.stack(columns, 1)[:, :, None]


def polynomial_jets(x: Tensor, degree: int, order: int) -> Tensor:
    """(N, J, 1) of a polynomial that has all monomials up to its degree."""
    d = x.shape[1]
    powers = multi_indices(d, degree)
    coefficients = torch.cos(torch.arange(len(powers)).double() * 1.7 + 0.3)
    columns = []
    for a in multi_indices(d, order):
        total = torch.zeros_like(x[:, 0])
        for p, c in zip(powers, coefficients, strict=True):
            if bool((p >= a).all()):
                ways = math.prod(
                    math.perm(int(i), int(j)) for i, j in zip(p, a, strict=True)
                )
                total = total + c * ways * (x ** (p - a)).prod(1)
        columns.append(total)
    return torch.stack(columns, 1)[:, :, None]


def rate(sizes, errors) -> float:
    return -float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])


def largest(x: Tensor) -> float:
    return float(x.detach().abs().max())


def split(domain: Discretization, rows: Tensor) -> Discretization:
    """Some nodes replaced by two with half the weight each, the second ones last."""
    weights = domain.weights.clone()
    weights[rows] /= 2
    return Discretization(
        torch.cat([domain.points, domain.points[rows]]),
        torch.cat([weights, weights[rows]]),
    )


# --- the order of derivatives -------------------------------------------------------


def test_multi_indices_and_derivatives():
    assert multi_indices(2, 2).tolist() == [
        [0, 0],
        [1, 0],
        [0, 1],
        [2, 0],
        [1, 1],
        [0, 2],
    ]
    assert multi_indices(3, 0).tolist() == [[0, 0, 0]]
    for d, order in product((1, 2, 3), range(5)):
        rows = multi_indices(d, order)
        assert (
            len({tuple(a) for a in rows.tolist()})
            == math.comb(order + d, d)
            == len(rows)
        )
        assert order_of(len(rows), d) == order
    with pytest.raises(ValueError, match="got J = 5"):
        order_of(5, 2)
    jet = torch.arange(12.0).view(2, 6)
    assert derivative(jet, 2, 0).tolist() == [0, 6]
    assert derivative(jet, 2, 1).tolist() == [[1, 2], [7, 8]]
    assert derivative(jet, 2, 2)[0].tolist() == [[3, 4], [4, 5]]
    channels = torch.rand(2, 10, 4, 5)
    assert derivative(channels, 3, 2).shape == (2, 4, 5, 3, 3)
    assert torch.equal(derivative(channels, 3, 1)[..., 2], channels[:, 3])
    with pytest.raises(ValueError, match="no derivatives of order 3"):
        derivative(jet, 2, 3)


# --- jets ---------------------------------------------------------------------------


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize(("order", "degree"), [(0, 0), (1, 1), (1, 2), (2, 2), (3, 3)])
def test_jets_of_polynomials_are_exact(dimension: int, order: int, degree: int):
    """Up to the boundary, in units of the radius to the power of the derivative."""
    source = domain(dimension, SIZES[dimension][1])
    radius = FIT[dimension] / SIZES[dimension][1]
    operator = jets(source, source, radius, order, degree=degree)
    assert operator.facts["functions"].min() == math.comb(degree + dimension, dimension)
    v = polynomial_jets(source.points, degree, order)
    units = radius ** multi_indices(dimension, order).sum(1)[:, None]
    assert largest((operator.apply(v[:, 0]) - v) * units) < 2e-12
    beyond = polynomial_jets(source.points, degree + 1, order)
    assert largest((operator.apply(beyond[:, 0]) - beyond) * units) > 1e-5


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize(("order", "degree"), [(1, 1), (2, 2), (2, 3)])
def test_jets_converge(dimension: int, order: int, degree: int):
    """The derivative a has the rate degree + 1 - |a|, at the boundary too."""
    sizes, errors = SIZES[dimension], []
    at = Discretization(probes(dimension), torch.ones(40).double())
    exact = wave_jets(at.points, order)
    for n in sizes:
        source = domain(dimension, n)
        operator = jets(source, at, FIT[dimension] / n, order, degree=degree)
        wrong = operator.apply(wave_jets(source.points, 0)[:, 0]) - exact
        errors.append(wrong[:, :, 0].square().mean(0).sqrt())
    rows = multi_indices(dimension, order).sum(1)
    for p in range(order + 1):
        found = rate(sizes, [float(e[rows == p].square().sum().sqrt()) for e in errors])
        assert found > degree + 1 - p - 0.35, (p, found)


def test_jets_do_not_see_split_nodes():
    source, at = domain(2, 8), Discretization(probes(2), torch.ones(40).double())
    rows = torch.arange(0, len(source), 3)
    v = wave_jets(source.points, 0)[:, 0]
    whole = jets(source, at, 0.4, 2).apply(v)
    parts = jets(split(source, rows), at, 0.4, 2).apply(torch.cat([v, v[rows]]))
    assert largest(whole - parts) < 1e-11
    halves = replace(source, weights=source.weights.clone())
    halves.weights[rows] /= 2
    assert largest(whole - jets(halves, at, 0.4, 2).apply(v)) > 1e-4


def test_jets_in_float32_and_of_many_channels():
    source = domain(2, 10)
    v = torch.cat(
        [wave_jets(source.points, 0), polynomial_jets(source.points, 3, 0)], 2
    )
    v = v[:, 0, :, None].expand(-1, -1, 3)
    exact = jets(source, source, 0.35, 2).apply(v)
    assert exact.shape == (len(source), 6, 2, 3)
    small = source.to(torch.float32)
    found = jets(small, small, 0.35, 2).apply(v.float())
    assert found.dtype == torch.float32
    units = 0.35 ** multi_indices(2, 2).sum(1)[:, None, None]
    assert 0 < largest((found.double() - exact) * units) < 2e-5


@pytest.mark.parametrize(("order", "degree"), [(-1, None), (2, 1)])
def test_jets_refuse_a_degree_below_the_order(order, degree):
    with pytest.raises(ValueError, match="degree >= order"):
        jets(domain(2, 4), domain(2, 4), 0.8, order, degree=degree)


# --- fields -------------------------------------------------------------------------


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_the_field_is_its_formula(dimension: int):
    """Written out by two loops; jets of order 2, three channels."""
    nodes, x = domain(dimension, SIZES[dimension][0]), probes(dimension, 12)
    random = np.random.default_rng(2)
    rows = multi_indices(dimension, 2)
    jet = torch.tensor(random.standard_normal((len(nodes), len(rows), 3)))
    found = taylor(nodes, x, 0.6)(jet)
    for i, at in enumerate(x):
        total, mass = torch.zeros(3).double(), 0.0
        for j, node in enumerate(nodes.points):
            offset = at - node
            s = float(offset.norm()) / 0.6
            if s >= 1:
                continue
            w = float(nodes.weights[j]) * (1 - s**2) ** 3
            mass += w
            for k, a in enumerate(rows):
                factorial = math.prod(math.factorial(int(p)) for p in a)
                total += w * (offset**a).prod() / factorial * jet[j, k]
        torch.testing.assert_close(found[i], total / mass, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_polynomials_are_reproduced_with_their_derivatives(dimension: int, order: int):
    nodes, x = domain(dimension, SIZES[dimension][1]), probes(dimension)
    radius = 2.5 / SIZES[dimension][1]
    operator = taylor(nodes, x, radius, derivatives=2)
    units = radius ** multi_indices(dimension, 2).sum(1)[:, None]
    found = operator.derivatives(polynomial_jets(nodes.points, order, order))
    exact = polynomial_jets(x, order, 2)
    assert largest((found - exact) * units) < 1e-13 * max(1.0, largest(exact))
    found = operator.derivatives(polynomial_jets(nodes.points, order + 1, order))
    exact = polynomial_jets(x, order + 1, 2)
    assert largest((found - exact) * units) > 1e-4


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("fitted", [False, True])
def test_fields_converge(dimension: int, order: int, fitted: bool):
    """Rate order + 1, from exact jets and from jets that are fitted to values."""
    sizes, errors = SIZES[dimension], []
    x = probes(dimension, 80)
    exact = wave_jets(x, 2)
    for n in sizes:
        nodes = domain(dimension, n)
        jet = wave_jets(nodes.points, order)
        if fitted:
            fit = jets(nodes, nodes, FIT[dimension] / n, order)
            jet = fit.apply(jet[:, 0])
        found = taylor(nodes, x, 2.5 / n, derivatives=2).derivatives(jet)
        errors.append((found - exact)[:, :, 0].square().mean(0).sqrt())
    rows = multi_indices(dimension, 2).sum(1)
    for p in range(min(order, 2) + 1):
        found = rate(sizes, [float(e[rows == p].square().sum().sqrt()) for e in errors])
        assert found > order + 1 - p - 0.35, (p, found)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_derivatives_are_those_of_autograd(dimension: int):
    nodes = domain(dimension, SIZES[dimension][0])
    x = torch.cat([probes(dimension, 8), nodes.points[3:5]]).requires_grad_()
    jet = torch.tensor(
        np.random.default_rng(3).standard_normal((len(nodes), 1 + dimension, 1))
    )
    operator = taylor(nodes, x, 0.7, derivatives=2)
    jet_at = operator.derivatives(jet)
    (first,) = torch.autograd.grad(operator(jet).sum(), x, create_graph=True)
    torch.testing.assert_close(derivative(jet_at, dimension, 1)[:, 0], first)
    for i in range(dimension):
        (second,) = torch.autograd.grad(first[:, i].sum(), x, retain_graph=True)
        torch.testing.assert_close(derivative(jet_at, dimension, 2)[:, 0, i], second)


def test_everything_can_be_differentiated_twice():
    nodes = domain(2, 4)
    x = probes(2, 3).requires_grad_()
    jet = wave_jets(nodes.points, 1).requires_grad_()
    points = nodes.points.clone().requires_grad_()
    weights = nodes.weights.clone().requires_grad_()

    def field(x: Tensor, jet: Tensor, points: Tensor, weights: Tensor) -> Tensor:
        operator = taylor(Discretization(points, weights), x, 0.7, derivatives=1)
        return operator.derivatives(jet)

    inputs = (x, jet, points, weights)
    assert torch.autograd.gradcheck(field, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(field, inputs, fast_mode=True)


@pytest.mark.parametrize("smoothness", [0, 1, 2, 3])
def test_fields_are_as_smooth_as_promised_across_supports(smoothness: int):
    """One-sided differences at the edge of a support, which no other node's is near.

    The derivative smoothness + 1 jumps there by `omega`'s own jump, all lower ones
    meet to the order of the step.
    """
    nodes = Discretization(
        torch.tensor([[0.0], [0.37], [0.81]]).double(), torch.ones(3).double()
    )
    jet = torch.tensor([[1.0, 2], [-1, 0.5], [3, -1]]).double()[:, :, None]
    step = 0.01
    t = step * torch.arange(smoothness + 4).double()
    right = taylor(nodes, (0.6 + t)[:, None], 0.6, smoothness=smoothness)(jet)[:, 0]
    left = taylor(nodes, (0.6 - t)[:, None], 0.6, smoothness=smoothness)(jet)[:, 0]

    def slope(values: Tensor, p: int, sign: int) -> float:
        """The derivative p at the edge of the polynomial through the values."""
        fit = np.polynomial.Polynomial.fit(sign * t.numpy(), values.numpy(), len(t) - 1)
        return float(fit.deriv(p)(0.0))

    jumps = [
        abs(slope(right, p, 1) - slope(left, p, -1)) for p in range(1, smoothness + 2)
    ]
    sizes = [abs(slope(right, p, 1)) for p in range(1, smoothness + 2)]
    assert all(
        jump < 0.02 * max(1, size)
        for jump, size in zip(jumps[:-1], sizes, strict=False)
    )
    assert jumps[-1] > 0.5 * math.factorial(smoothness + 1)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_split_nodes_change_nothing(dimension: int):
    nodes, x = domain(dimension, SIZES[dimension][1]), probes(dimension)
    rows = torch.arange(0, len(nodes), 3)
    jet = wave_jets(nodes.points, 1)
    more = torch.cat([jet, jet[rows]])
    whole = taylor(nodes, x, 0.5, derivatives=2).derivatives(jet)
    parts = taylor(split(nodes, rows), x, 0.5, derivatives=2).derivatives(more)
    assert largest(whole - parts) < 1e-12 * largest(whole)
    alike = split(nodes, rows)
    alike = replace(alike, weights=torch.ones_like(alike.weights))
    same = replace(nodes, weights=torch.ones_like(nodes.weights))
    other = taylor(alike, x, 0.5)(more) - taylor(same, x, 0.5)(jet)
    assert largest(other) > 1e-6


def test_the_order_of_nodes_and_points_does_not_matter():
    nodes, x = domain(2, 8), probes(2)
    jet = wave_jets(nodes.points, 2)
    order, places = torch.randperm(len(nodes)), torch.randperm(len(x))
    turned = Discretization(nodes.points[order], nodes.weights[order])
    found = taylor(turned, x[places], 0.4, derivatives=1).derivatives(jet[order])
    whole = taylor(nodes, x, 0.4, derivatives=1).derivatives(jet)
    assert largest(found - whole[places]) < 1e-12


def test_points_out_of_reach_are_named_with_the_radius_that_reaches_them():
    nodes = domain(2, 8)
    x = torch.cat([probes(2), torch.tensor([[1.5, 0], [0, -2.25]]).double()])
    with pytest.raises(
        TransferError, match=r"2 of 42 points .* radius 0.4, .* 1.25 from"
    ):
        taylor(nodes, x, 0.4)
    assert bool(
        torch.isfinite(taylor(nodes, x, 1.25 + 1e-9)(wave_jets(nodes.points, 1))).all()
    )
    with pytest.raises(TransferError, match="1 of 42"):
        taylor(nodes, x, 1.25 - 1e-9)
    operator = taylor(nodes, x, 0.4, derivatives=1, outside="nan")
    for found in (
        operator(wave_jets(nodes.points, 1)),
        operator.derivatives(wave_jets(nodes.points, 1)),
    ):
        assert bool(torch.isfinite(found[:40]).all())
        assert bool(torch.isnan(found[40:]).all())
    # a node exactly at the radius has the weight 0
    one = Discretization(torch.zeros(1, 1), torch.ones(1))
    with pytest.raises(TransferError, match="1 of 1 points"):
        taylor(one, torch.ones(1, 1), 1.0)


def test_float32_and_packing():
    parts, queries = [domain(2, 6), domain(2, 9)], [probes(2, 10), probes(2, 20)]
    plans = [
        taylor(d, x, 0.5, derivatives=1) for d, x in zip(parts, queries, strict=True)
    ]
    packed = pack_plans(plans)
    jet = [wave_jets(d.points, 2) for d in parts]
    together = packed.derivatives(torch.cat(jet))
    each = torch.cat([p.derivatives(j) for p, j in zip(plans, jet, strict=True)])
    assert torch.equal(together, each)
    small = taylor(parts[0].to(torch.float32), queries[0], 0.5, derivatives=1)
    assert small.partition.dtype == torch.float32
    found = small.derivatives(jet[0].float())
    assert 0 < largest(found.double() - each[:10]) < 2e-5
    moved = plans[0].to(torch.float32)
    assert isinstance(moved, Taylor)
    assert moved.missing.dtype == torch.bool


def sphere(n: int) -> Discretization:
    """With the exact normals."""
    found = from_mesh(icosphere(n))
    points = found.points / found.points.norm(dim=1, keepdim=True)
    return Discretization(points, found.weights, normals=points)


def test_fields_on_a_sphere_converge():
    """Jets in tangent frames, decoded in the charts of the nodes."""
    random = np.random.default_rng(5).standard_normal((60, 3))
    x = torch.tensor(random / np.linalg.norm(random, axis=1, keepdims=True))
    at = Discretization(x, torch.ones(60).double(), normals=x)

    def field(x: Tensor) -> Tensor:
        return (x[:, 0] * x[:, 1] + x[:, 2])[:, None]

    sizes, errors = [], []
    for n in (4, 6, 9, 13):
        nodes = sphere(n)
        h = math.sqrt(4 * math.pi / len(nodes))
        jet = jets(nodes, nodes, 3 * h, 1).apply(field(nodes.points))
        found = taylor(nodes, at, 2 * h)(jet)
        sizes.append(1 / h)
        errors.append(float((found - field(x)).square().mean().sqrt()))
    assert rate(sizes, errors) > 1.7


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"derivatives": 3, "smoothness": 5}, "expected 0 to 2 .* got 3"),
        ({"derivatives": 2, "smoothness": 1}, "expected 0 to 1 .* got 2"),
        ({"smoothness": -1}, "smoothness -1"),
        ({"outside": "nearest"}, "expected 'error' or 'nan', got 'nearest'"),
    ],
)
def test_what_the_field_does_not_have(more, message):
    with pytest.raises(ValueError, match=message):
        taylor(domain(2, 4), probes(2), 0.8, **more)


def test_wrong_jets_are_named():
    operator = taylor(domain(2, 4), probes(2), 0.8)
    n = operator.graph.n_sources
    for shape, message in [((n,), "N, J"), ((n + 1, 3), f"N = {n}"), ((n, 4), "J = 4")]:
        with pytest.raises(ValueError, match=message):
            operator(torch.zeros(shape))
    surface = sphere(1)
    with pytest.raises(ValueError, match="on a surface"):
        taylor(surface, surface, 1.0, derivatives=1)
