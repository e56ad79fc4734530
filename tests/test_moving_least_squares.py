"""Moving least squares and nearest values: what they keep, rates, few neighbours."""

from __future__ import annotations

import math
from itertools import combinations_with_replacement

import numpy as np
import pytest
import torch

from isofield.discretization import Discretization, from_mesh
from isofield.generation import box, icosphere, square
from isofield.operators import (
    DegreeWarning,
    TransferError,
    moving_least_squares,
    nearest,
)


def cloud(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, d, generator=torch.Generator().manual_seed(seed)).double()


def monomials(x: torch.Tensor, degree: int) -> torch.Tensor:
    columns = [torch.ones(len(x)).double()]
    for p in range(1, degree + 1):
        for axes in combinations_with_replacement(range(x.shape[1]), p):
            columns.append(x[:, list(axes)].prod(1))
    return torch.stack(columns, 1)


SOURCES = {
    "random": cloud(400, 2),
    "uniform": from_mesh(square(16)),
    "graded": from_mesh(square(16, grading=20.0)),
    "space": from_mesh(box(6, jitter=0.2)),
    "line": cloud(60, 1),
}


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("name", list(SOURCES))
def test_polynomials_are_kept(name, degree):
    """At random targets and at the sources themselves, corners included."""
    source = SOURCES[name]
    points = source if isinstance(source, torch.Tensor) else source.points
    inner = 0.05 + 0.9 * cloud(200, points.shape[1], seed=1)
    at = torch.cat([inner, points])
    transfer = moving_least_squares(source, at, degree=degree, outside="nearest")
    assert (transfer.facts["degree"] == degree).all()
    inside = transfer.facts["outside"] == 0
    assert float(inside.double().mean()) > 0.95
    error = (transfer(monomials(points, degree)) - monomials(at, degree))[inside]
    assert float(error.abs().max()) < 1e-12


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_entries_are_those_of_dense_least_squares(degree):
    source = from_mesh(square(10, jitter=0.2))
    at = cloud(30, 2, seed=3)
    radius = 0.35
    dense = moving_least_squares(source, at, degree=degree, radius=radius).matrix()
    for x, row in zip(at.numpy(), dense.toarray(), strict=True):
        offset = (source.points.numpy() - x) / radius
        window = np.clip(1 - (offset**2).sum(1), 0, None) ** 2
        root = np.sqrt(window * source.weights.numpy())
        basis = monomials(torch.tensor(offset), degree).numpy()
        expected = np.linalg.lstsq(basis * root[:, None], np.diag(root))[0][0]
        np.testing.assert_allclose(row, expected, atol=1e-11)


CLOUDS = {
    "random": lambda n: cloud(n * n, 2, seed=n),
    "jitter": lambda n: from_mesh(square(n, jitter=0.2)),
    "graded": lambda n: from_mesh(square(n, grading=3.0)),
}


@pytest.mark.parametrize("spacing", CLOUDS)
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_rates(degree, spacing):
    """h^(p + 1), with a radius that follows the density."""

    def smooth(x):
        return torch.sin(3 * x[:, 0] + 0.5) * torch.cos(2 * x[:, 1])

    sizes, errors = (12, 24, 48, 96), []
    at = 0.02 + 0.96 * cloud(2000, 2, seed=4)
    for n in sizes:
        source = CLOUDS[spacing](n)
        points = source if isinstance(source, torch.Tensor) else source.points
        v = moving_least_squares(source, at, degree=degree, outside="nearest")(
            smooth(points)
        )
        errors.append(float((v - smooth(at)).square().mean().sqrt()))
    rate = -np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    # for even p the error term of odd degree cancels where neighbours lie evenly, as
    # they do on a graded grid: there the rate is between p + 1 and p + 2
    more = 1.0 if degree == 2 and spacing == "graded" else 0.0
    assert degree + 0.8 < rate < degree + 1.2 + more


def test_split_points_change_nothing():
    source = from_mesh(square(8, jitter=0.2))
    twice = Discretization(
        torch.cat([source.points, source.points[:20]]),
        torch.cat(
            [source.weights[:20] / 2, source.weights[20:], source.weights[:20] / 2]
        ),
    )
    at = cloud(50, 2)
    u = torch.rand(81).double()
    alone = moving_least_squares(source, at, radius=0.4)(u)
    split = moving_least_squares(twice, at, radius=0.4)(torch.cat([u, u[:20]]))
    torch.testing.assert_close(split, alone, rtol=1e-11, atol=1e-12)


def test_a_sphere_keeps_what_is_linear_in_space():
    sphere, finer = (from_mesh(icosphere(n)) for n in (6, 9))
    transfer = moving_least_squares(sphere, finer, degree=1)
    torch.testing.assert_close(transfer(sphere.points), finer.points, rtol=0, atol=1e-9)


def test_few_neighbours_lower_the_degree_and_say_so():
    pair = torch.tensor([[0.0, 0.0], [1.0, 0.0]]).double()
    at = torch.tensor([[0.25, 0.0]]).double()
    with pytest.warns(DegreeWarning, match=r"1 of 1 targets have too few"):
        transfer = moving_least_squares(pair, at, degree=2, radius=3.0)
    assert transfer.facts["degree"].tolist() == [0]
    torch.testing.assert_close(transfer(torch.ones(2).double()), torch.ones(1).double())


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_the_degree_is_what_the_neighbours_bear(degree):
    """Fewer neighbours than coefficients, or all of them on a line: polynomials up to
    the degree that is reported are kept, and it is the highest that can be."""
    ring = torch.stack([torch.linspace(2, 3, 8), torch.full((8,), 2.0)], 1).double()
    source, at = torch.cat([cloud(60, 2), ring]), 0.1 + 0.8 * cloud(300, 2, seed=1)
    at = torch.cat([at, ring + 0.01])
    with pytest.warns(DegreeWarning, match="have too few neighbours"):
        transfer = moving_least_squares(
            source, at, degree=degree, radius=0.16, outside="nan"
        )
    used, count = transfer.facts["degree"], transfer.graph.degree()
    reached = ~transfer.missing
    assert len(used[reached].unique()) == degree + 1
    for p in range(degree + 1):
        rows = reached & (used == p)
        found = transfer(monomials(source, p))[rows]
        torch.testing.assert_close(found, monomials(at, p)[rows], rtol=0, atol=1e-12)
        assert (count[rows] >= math.comb(p + 2, 2)).all()
    few = reached & (count < math.comb(degree + 2, 2))
    assert (used[few] < degree).all()
    line = torch.arange(len(at)) >= 300
    assert (used[line] <= 1).all()


def test_far_targets_are_outside():
    source = cloud(200, 2)
    at = torch.tensor([[0.5, 0.5], [2.0, 0.5]]).double()
    for radius in (None, 0.3):
        with pytest.raises(TransferError, match=r"1 of 2 targets have no source"):
            moving_least_squares(source, at, radius=radius)
        lost = moving_least_squares(source, at, radius=radius, outside="nan")
        assert lost.missing.tolist() == [False, True]
        near = moving_least_squares(source, at, radius=radius, outside="nearest")
        u = torch.rand(200).double()
        far = nearest(source, at, outside="nearest")
        assert float(near(u)[1]) == float(far(u)[1])
    assert float(near.facts["outside"][1]) > 1


def test_far_from_the_origin_nothing_is_lost():
    source, at = cloud(300, 2), 0.1 + 0.8 * cloud(50, 2, seed=5)
    u = torch.rand(300).double()
    moved = moving_least_squares(source + 1e6, at + 1e6, degree=2)(u)
    torch.testing.assert_close(
        moved, moving_least_squares(source, at, degree=2)(u), rtol=0, atol=1e-6
    )


def test_adjoint():
    source, target = from_mesh(square(9, jitter=0.2)), from_mesh(square(7))
    for transfer in (moving_least_squares(source, target), nearest(source, target)):
        u, v = torch.rand(len(source)).double(), torch.rand(len(target)).double()
        left = transfer.target.inner(transfer(u), v)
        right = transfer.source.inner(u, transfer.adjoint()(v))
        torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-14)


def test_nearest_values_and_labels():
    source, at = cloud(500, 3), cloud(200, 3, seed=1)
    transfer = nearest(source, at)
    number = torch.cdist(at, source).argmin(1)
    assert torch.equal(transfer(torch.arange(500)), number)
    assert transfer.picks
    gap = (source[number] - at).norm(dim=1)
    torch.testing.assert_close(transfer.facts["distance"], gap)
    limit = float(gap.median())
    with pytest.raises(TransferError, match=r"100 of 200 targets have no source"):
        nearest(source, at, max_distance=limit)
    lost = nearest(source, at, max_distance=limit, outside="nan")
    assert torch.equal(lost.missing, gap > limit)
    errors = []
    for n in (500, 2000, 8000, 32000):
        points = cloud(n, 2, seed=n)
        v = nearest(points, at[:, :2])(points[:, 0])
        errors.append(float((v - at[:, 0]).square().mean().sqrt()))
    slope = np.polyfit(np.log([500, 2000, 8000, 32000]), np.log(errors), 1)[0]
    assert -2 * slope == pytest.approx(1, abs=0.2)
    assert math.isfinite(slope)
