"""Errors in the measure: closed forms, one number on any mesh, one per sample."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from isofield import Mesh, from_mesh, from_points, generation
from isofield.discretization import pack
from isofield.loss import relative_h1, relative_l2
from isofield.operators import gradient
from isofield.plan import pack_plans

SQUARES = {
    "uniform": generation.square,
    "graded": partial(generation.square, grading=4.0, jitter=0.1),
    "quads": partial(generation.square, cell="quad", grading=2.0),
}


def rate(sizes, errors) -> float:
    return -float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])


def fields(mesh: Mesh) -> tuple[torch.Tensor, torch.Tensor]:
    """u = (x^2, xy, y) and v = (1 + x, 2y, x + y), where O(h^2) is what is left out."""
    x, y = torch.tensor(mesh.points).T
    return torch.stack([x**2, x * y, y], 1), torch.stack([1 + x, 2 * y, x + y], 1)


# --- closed forms -------------------------------------------------------------------


def test_a_constant_fraction_is_that_error_on_any_mesh():
    """u = (1 + c) v gives |c|, whatever v, weights and unit."""
    domain = from_points(torch.rand(20, 3), torch.rand(20) + 0.1)
    v = torch.randn(20, 4, dtype=torch.float64)
    scale = torch.tensor([0.25, 0.25, 0.25, -2.0], dtype=torch.float64)
    errors = relative_l2(v * (1 + scale) * 1e12, v * 1e12, domain, [1, 2, 1])
    assert_allclose(errors, [[0.25, 0.25, 2.0]], rtol=1e-6)


def test_weights_written_out():
    weights = torch.tensor([1.0, 2.0, 5.0])
    domain = from_points(torch.zeros(3, 2), weights)
    u = torch.tensor([[3.0, 1.0], [2.0, 0.0], [0.0, 4.0]])
    v = torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, 2.0]])
    # one field of two components: (4 + 2 (1 + 1) + 5 (1 + 4)) / (2 + 4 + 25)
    assert_allclose(relative_l2(u, v, domain, [2]), [[(33 / 31) ** 0.5]], rtol=1e-6)
    # two fields: (4 + 2 + 5) / 8 and (0 + 2 + 20) / (1 + 2 + 20)
    expected = [[(11 / 8) ** 0.5, (22 / 23) ** 0.5]]
    assert_allclose(relative_l2(u, v, domain, [1, 1]), expected, rtol=1e-6)


@pytest.mark.parametrize("family", SQUARES)
def test_known_l2_error_at_rate_2(family):
    """||xy - 1||/||1||: int (xy - 1)^2 = 1/9 - 2/4 + 1 = 11/18."""
    sizes, errors = (8, 16, 32), []
    for n in sizes:
        mesh = SQUARES[family](n)
        x, y = torch.tensor(mesh.points).T
        u, v = (x * y)[:, None], torch.ones(len(x), 1)
        errors.append(
            abs(float(relative_l2(u, v, from_mesh(mesh), [1])) - (11 / 18) ** 0.5)
        )
    assert errors[-1] < 1e-3
    assert 1.8 < rate(sizes, errors) < 2.3


@pytest.mark.parametrize("family", SQUARES)
@pytest.mark.parametrize("length", [1.0, 3.0])
def test_known_h1_error_at_rate_2(family, length):
    """u = x^2 + y, v = x^2: ||u - v||_1^2 = 1/3 + L^2, ||v||_1^2 = 1/5 + 4/3 L^2.

    Nodal interpolation errs by O(h^2) in the energy itself.
    """
    expected = ((1 / 3 + length**2) / (1 / 5 + 4 / 3 * length**2)) ** 0.5
    sizes, errors = (8, 16, 32), []
    for n in sizes:
        mesh = SQUARES[family](n)
        x, y = torch.tensor(mesh.points).T
        u, v = (x**2 + y)[:, None], (x**2)[:, None]
        slopes = gradient(mesh)
        found = relative_h1(u, v, from_mesh(mesh), slopes, [1], length)
        errors.append(abs(float(found) - expected))
    assert errors[-1] < 2e-3
    assert rate(sizes, errors) > 1.7


def test_h1_sees_a_ripple_that_l2_does_not():
    """v = sin(pi x), u = v + a sin(8 pi x): a in L2, about 8 a in H1."""
    mesh = generation.square(48)
    x = torch.tensor(mesh.points)[:, :1]
    v = torch.sin(torch.pi * x)
    u = v + 0.01 * torch.sin(8 * torch.pi * x)
    domain, slopes = from_mesh(mesh), gradient(mesh)
    l2 = float(relative_l2(u, v, domain, [1]))
    h1 = float(relative_h1(u, v, domain, slopes, [1]))
    assert_allclose(l2, 0.01, rtol=0.01)
    exact = 0.01 * ((1 + (8 * np.pi) ** 2) / (1 + np.pi**2)) ** 0.5
    assert_allclose(h1, exact, rtol=0.06)


# --- one number on two families -----------------------------------------------------


def test_errors_on_two_families_converge_to_each_other():
    sizes, l2, h1 = (8, 16, 32), [], []
    for n in sizes:
        found = []
        for family in ("uniform", "graded"):
            mesh = SQUARES[family](n)
            u, v = fields(mesh)
            domain, slopes = from_mesh(mesh), gradient(mesh)
            found.append(
                [
                    relative_l2(u, v, domain, [1, 2]),
                    relative_h1(u, v, domain, slopes, [1, 2]),
                ]
            )
        l2.append(float((found[0][0] - found[1][0]).abs().max()))
        h1.append(float((found[0][1] - found[1][1]).abs().max()))
    assert max(l2[-1], h1[-1]) < 2e-3
    assert rate(sizes, l2) > 1.7
    assert rate(sizes, h1) > 1.0


def test_an_unweighted_mean_would_not_agree():
    """The counterexample: with equal weights two families stay apart."""
    apart = []
    for n in (16, 32):
        found = []
        for family in ("uniform", "graded"):
            mesh = SQUARES[family](n)
            u, v = fields(mesh)
            domain = from_points(torch.tensor(mesh.points), torch.ones(len(u)))
            found.append(relative_l2(u, v, domain, [1, 2]))
        apart.append(float((found[0] - found[1]).abs().max()))
    assert apart[-1] > 0.03
    assert apart[-1] > 0.7 * apart[0]


def test_node_splitting_changes_nothing():
    domain = from_mesh(generation.disk(4))
    n = len(domain)
    u, v = torch.randn(2, n, 3, dtype=torch.float64)
    some = torch.arange(0, n, 3)
    weights = domain.weights.clone()
    weights[some] /= 2
    split = from_points(
        torch.cat([domain.points, domain.points[some]]),
        torch.cat([weights, weights[some]]),
    )
    before = relative_l2(u, v, domain, [1, 2])
    again = [torch.cat([f, f[some]]) for f in (u, v)]
    assert_allclose(relative_l2(*again, split, [1, 2]), before, rtol=1e-13)


# --- batches, gradients, zero truths ------------------------------------------------


def test_a_batch_gives_each_sample_its_own_errors():
    meshes = [generation.square(4), generation.disk(5), generation.l_shape(3)]
    single_l2, single_h1, us, vs = [], [], [], []
    for mesh in meshes:
        u, v = fields(mesh)
        domain, slopes = from_mesh(mesh), gradient(mesh)
        single_l2.append(relative_l2(u, v, domain, [2, 1]))
        single_h1.append(relative_h1(u, v, domain, slopes, [2, 1], 0.5))
        us.append(u)
        vs.append(v)
    domain = pack([from_mesh(mesh) for mesh in meshes])
    slopes = pack_plans([gradient(mesh) for mesh in meshes])
    u, v = torch.cat(us), torch.cat(vs)
    l2 = relative_l2(u, v, domain, [2, 1])
    assert l2.shape == (3, 2)
    assert_allclose(l2, torch.cat(single_l2), rtol=1e-13)
    h1 = relative_h1(u, v, domain, slopes, [2, 1], 0.5)
    assert_allclose(h1, torch.cat(single_h1), rtol=1e-13)
    assert l2[0, 0] != l2[1, 0]


def test_gradients_flow():
    mesh = generation.square(2)
    domain, slopes = from_mesh(mesh), gradient(mesh)
    torch.manual_seed(0)
    v = torch.randn(9, 3, dtype=torch.float64)
    u = torch.randn(9, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: relative_l2(w, v, domain, [1, 2]), u)
    assert torch.autograd.gradcheck(
        lambda w: relative_h1(w, v, domain, slopes, [1, 2], 0.7), u
    )


def test_a_truth_that_is_zero_gives_no_number_that_looks_like_one():
    domain = from_mesh(generation.square(2))
    zero, one = torch.zeros(9, 1), torch.ones(9, 1)
    assert torch.isinf(relative_l2(one, zero, domain, [1])).all()
    assert torch.isnan(relative_l2(zero, zero, domain, [1])).all()


def test_channels_must_add_up():
    domain = from_mesh(generation.square(2))
    u = torch.ones(9, 3)
    with pytest.raises(RuntimeError, match="split"):
        relative_l2(u, u, domain, [1, 1])
