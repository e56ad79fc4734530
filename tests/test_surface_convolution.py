"""Convolutions on surfaces against known results: the sphere, a sheet rolled up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from isofield import Discretization, Mesh, from_mesh
from isofield.bases import ZernikeBasis
from isofield.charts import frames, local_coordinates
from isofield.generation import box, disk, icosphere
from isofield.operators.basis_operator import basis_operator
from isofield.testing.comparing import (
    fitted_rate,
    generator,
    moved,
    picked,
    root_mean_square,
)

RADIUS, DEGREE = 0.5, 4


def harmonic(points: Tensor, degree: int = DEGREE) -> tuple[Tensor, Tensor]:
    """A spherical harmonic `Y(x) = sum_k P_l(a_k . x)`, three axes: (N,), and its
    gradient (N, 3)."""
    axes = torch.randn(3, 3, generator=generator(degree), dtype=torch.float64)
    axes = torch.nn.functional.normalize(axes, dim=1)
    legendre = np.polynomial.legendre.Legendre.basis(degree)
    along = points @ axes.T
    values, slope = (
        torch.from_numpy(f(along.numpy())) for f in (legendre, legendre.deriv())
    )
    ambient = slope @ axes
    return values.sum(1), ambient - (ambient * points).sum(1, keepdim=True) * points


def funk_hecke(basis: ZernikeBasis, at: Tensor, axes: Tensor) -> tuple[list, Tensor]:
    """The functions b with |m| <= 1, and what they see of Y at points, (M, of these).

    Funk and Hecke: with t the distance from x, e = e1 for m = 1 and e2 for m = -1,

        1/pi r² int k(t/r) Y dA = Y(x) 2/r² int k(t/r) P_l(cos t) sin t dt
        1/pi r² int k(t/r) cos(angle to e) Y dA
            = e . grad Y(x) 2/(r² l (l + 1)) int k(t/r) P_l'(cos t) sin² t dt
    """
    nodes, weights = np.polynomial.legendre.leggauss(200)
    rho = torch.tensor((nodes + 1) / 2)
    t, dt = RADIUS * rho, torch.tensor(weights / 2 * RADIUS)
    kernels = basis(torch.stack([rho, torch.zeros_like(rho)], 1))
    legendre = np.polynomial.legendre.Legendre.basis(DEGREE)
    values, slope = (
        torch.from_numpy(f(t.cos().numpy())) for f in (legendre, legendre.deriv())
    )
    straight = 2 / RADIUS**2 * (dt * t.sin() * values) @ kernels
    turning = 2 / RADIUS**2 * (dt * t.sin() ** 2 * slope) @ kernels
    turning /= DEGREE * (DEGREE + 1)
    y, gradient = harmonic(at)
    slopes = torch.einsum("md,mdk->mk", gradient, axes)
    modes = [tuple(mode) for mode in basis.modes.tolist()]
    chosen = [b for b, (_, _, m) in enumerate(modes) if abs(m) <= 1]
    columns = []
    for n, _, m in (modes[b] for b in chosen):
        if m == 0:
            columns.append(straight[modes.index((n, 0, 0))] * y)
        else:  # the sine has the radial function of the cosine
            columns.append(turning[modes.index((n, 1, 1))] * slopes[:, (1 - m) // 2])
    return chosen, torch.stack(columns, 1)


def in_random_frames(domain: Discretization) -> Tensor:
    angle = 6 * torch.rand(len(domain), generator=generator(1), dtype=torch.float64)
    c, s = angle.cos(), angle.sin()
    assert domain.normals is not None
    return frames(domain.normals) @ torch.stack([c, -s, s, c], 1).view(-1, 2, 2)


def sphere_errors(mesh: Mesh, count: int, order: int = 2) -> dict[tuple, float]:
    """(n, m) -> relative error at random points of a mesh of the sphere.

    Every point has its own random frame; nothing but the mesh is used.
    """
    source = from_mesh(mesh)
    target = picked(source, torch.randperm(len(source), generator=generator(0))[:count])
    axes, basis = in_random_frames(target), ZernikeBasis(2, order)
    operator = basis_operator(source, target, basis, RADIUS, frames=axes)
    chosen, expected = funk_hecke(basis, target.points, axes)
    found = operator.apply(harmonic(source.points)[0])[:, chosen]
    size = expected.square().mean(0).sqrt()
    errors = (found - expected).square().mean(0).sqrt() / size
    modes = [tuple(basis.modes[b, [0, 2]].tolist()) for b in chosen]
    return dict(zip(modes, errors.tolist(), strict=True))


@pytest.mark.parametrize("options", [{}, {"grading": 3.0}, {"jitter": 0.2}], ids=str)
def test_on_the_sphere_convolutions_converge_to_funk_and_hecke(options) -> None:
    """O(h²) from weights and normals, for n = m = 0 and n = m = 1 in random frames."""
    sizes = (8, 16, 32)
    found = [sphere_errors(icosphere(n, **options), 500) for n in sizes]
    for mode, bound in (((0, 0), 6e-4), ((1, 1), 1e-3), ((1, -1), 1e-3)):
        errors = [errors[mode] for errors in found]
        assert errors[-1] < bound
        assert 1.8 < fitted_rate([1 / n for n in sizes], errors) < 2.6


def test_a_sheet_rolled_up_is_convolved_like_the_flat_one() -> None:
    """The same mesh in the plane and on a cylinder, with frames rolled up along; seen
    from the same 40 places, at which the cylinder's normals are known."""
    basis, differences, sizes = ZernikeBasis(2, 3), [], (10, 20, 40)
    at = torch.rand(40, 2, generator=generator(0), dtype=torch.float64) - 0.5
    places, normals, axes = rolled(at)
    ones = torch.ones(40, dtype=torch.float64)
    for n in sizes:
        flat = from_mesh(disk(n))
        mesh = Mesh(rolled(flat.points)[0].numpy(), disk(n).cells)
        values = torch.sin(3 * flat.points[:, 0] + flat.points[:, 1])
        plane = basis_operator(flat, Discretization(at, ones), basis, 0.25)
        target = Discretization(places, ones, normals=normals)
        bent = basis_operator(from_mesh(mesh), target, basis, 0.25, frames=axes)
        a, b = (operator.apply(values) for operator in (plane, bent))
        differences.append(root_mean_square(a - b) / root_mean_square(a))
    assert differences[-1] < 1e-4
    assert fitted_rate([1 / n for n in sizes], differences) > 1.8


def test_sharp_edges_do_not_stop_convergence() -> None:
    """The surface of a box, uniform and graded, seen from places near its edges.

    Points at an edge have the mean normal of the sides, O(h) of all with an error O(1).
    """
    basis, differences, sizes = ZernikeBasis(2, 2), [], (8, 16, 32)
    around = from_mesh(box(16).boundary())
    across = (around.points - 0.5).abs().sort(1).values[:, 1]
    near = ((across > 0.3) & (across < 0.49)).nonzero()[:, 0]
    target = picked(
        around, near[torch.randperm(len(near), generator=generator(0))[:60]]
    )
    for n in sizes:
        found = []
        for options in ({}, {"grading": 3.0}):
            domain = from_mesh(box(n, **options).boundary())
            values = torch.sin(domain.points @ torch.tensor([3.0, 2, -1]).double())
            operator = basis_operator(domain, target, basis, 0.3, functions=[0, 4])
            found.append(operator.apply(values))
        difference = root_mean_square(found[0] - found[1])
        differences.append(difference / root_mean_square(found[0]))
    assert differences[-1] < 0.01
    assert fitted_rate([1 / n for n in sizes], differences) > 1.3


def test_right_angles_are_seen_the_same_from_every_side() -> None:
    """Whatever rounding makes of the normals of a turned box."""
    domain = from_mesh(box(6).boundary())
    straight = local_coordinates(domain, domain, 0.41)
    assert domain.normals is not None
    across = (
        domain.normals[straight.graph.source] * domain.normals[straight.graph.target]
    )
    assert int((across.sum(1).abs() < 1e-9).sum()) > 300
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator(2)).double())
    elsewhere = moved(domain, turn, torch.zeros(3, dtype=torch.float64))
    after = local_coordinates(elsewhere, elsewhere, 0.41)
    assert torch.equal(after.graph.edge_index, straight.graph.edge_index)
    lengths = (chart.coordinates.norm(dim=1) for chart in (straight, after))
    torch.testing.assert_close(*lengths, rtol=0, atol=1e-12)


def rolled(flat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Points, normals and frames on a cylinder of radius 1 for points of the plane."""
    x, y = flat.unbind(1)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    normals = torch.stack([x.sin(), zero, x.cos()], 1)
    along = torch.stack([x.cos(), zero, -x.sin()], 1)
    axis = torch.stack([zero, one, zero], 1)
    return normals + y[:, None] * axis, normals, torch.stack([along, axis], 2)
