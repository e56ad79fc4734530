"""Convolutions of fields with directions: against integrals, in any frames."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from isofield import Discretization, from_mesh, from_points
from isofield.charts import frames
from isofield.generation import disk, icosphere, random_surface
from isofield.layers import NormActivation, SteerableConv
from isofield.layers.field_types import tangent_fields, tangent_vectors
from isofield.layers.steerable_conv import Path
from isofield.testing import body
from isofield.testing.comparing import fitted_rate, generator, root_mean_square

RADIUS = 0.7


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def turned(basis: Tensor, angle: Tensor) -> Tensor:
    """Frames after a turn by an angle (N,) about their normals."""
    c, s = angle.cos(), angle.sin()
    return basis @ torch.stack([c, -s, s, c], 1).view(-1, 2, 2)


def in_random_frames(domain: Discretization, seed: int = 0) -> Tensor:
    assert domain.normals is not None
    return turned(frames(domain.normals), 6 * random(len(domain), seed=seed))


def built(*arguments, **options) -> SteerableConv:
    torch.manual_seed(0)
    return SteerableConv(*arguments, **options).double()


# ------------------------------------------- the integral on the sphere, by quadrature


def smooth_fields(points: Tensor) -> tuple[Tensor, Tensor]:
    """A scalar (N,) and vectors (N, 3), whatever the surface."""
    x, y, z = points.unbind(1)
    vectors = [torch.cos(2 * y) + z, torch.sin(x + 2 * z), x * y - z * z]
    return torch.sin(2 * x - y + 3 * z), torch.stack(vectors, 1)


def as_field(m: int, points: Tensor, basis: Tensor) -> Tensor:
    """(N,) complex, of type m: the scalar, or the m-th power of the tangent vector."""
    scalar, vectors = smooth_fields(points)
    if m == 0:
        return scalar + 0j
    parts = torch.einsum("nd,ndk->nk", vectors, basis)
    return torch.view_as_complex(parts) ** m


def integral(conv: SteerableConv, path: Path, w: Tensor, at: Discretization) -> Tensor:
    """(M,) complex, of one path alone on the unit sphere, in the frames of `frames`.

    In polar coordinates around each target, Gauss points in the distance t and equal
    angles a, with measure sin t dt da. The great circle that starts in the direction T
    arrives at y in the direction -x sin t + T cos t, carried along without a turn.
    """
    gauss, weights = np.polynomial.legendre.leggauss(40)
    t = torch.tensor((gauss + 1) / 2 * RADIUS)[:, None]
    a = torch.arange(64, dtype=torch.float64) * 2 * math.pi / 64
    area = torch.tensor(weights / 2 * RADIUS)[:, None] * t.sin() * 2 * math.pi / 64
    x, basis = at.points[:, None, None], frames(at.points)
    direction = torch.stack([a.cos(), a.sin()], 1)
    ahead = torch.einsum("ndk,ak->nad", basis, direction)[:, None]
    left = torch.linalg.cross(x.expand_as(ahead), ahead)
    y = x * t.cos()[..., None] + ahead * t.sin()[..., None]
    carried = ahead * t.cos()[..., None] - x * t.sin()[..., None]
    axes = torch.stack([carried, left.expand_as(carried)], -1)
    field = as_field(path.m, y.reshape(-1, 3), axes.reshape(-1, 3, 2)).view(y.shape[:3])
    # in the frame of x the direction T has the angle a
    field = field * torch.exp(1j * path.m * a)
    field = field if path.sign > 0 else field.conj()
    turns = path.m_out - path.sign * path.m
    along = conv.basis(torch.cat([t / RADIUS, 0 * t], 1))[:, path.cosines]
    radial = (along + 0j) @ w
    kernel = radial[:, None] * torch.exp(1j * turns * a)
    return (field * kernel * area).sum((1, 2)) / (math.pi * RADIUS**2)


SPHERE_PATHS = [
    pytest.param(m, p, sign, id=f"{m} to {p}{'' if sign > 0 else ', conjugate'}")
    for m in range(3)
    for p in range(3)
    for sign in ((1, -1) if m and p else (1,))
]


@pytest.mark.parametrize(("m", "p", "sign"), SPHERE_PATHS)
def test_every_path_converges_to_its_integral(m: int, p: int, sign: int) -> None:
    """O(h²) on the sphere, sources in random frames; nothing but the layer is used."""
    fields = [tuple(int(k == n) for k in range(n + 1)) for n in (m, p)]
    conv = built(*fields, RADIUS, order=4)
    path = next(path for path in conv.paths if path.sign == sign)
    assert (path.m, path.m_out) == (m, p)
    with torch.no_grad():
        for other, matrices in zip(conv.paths, conv.matrices, strict=True):
            matrices.mul_(float(other is path))
    weights = conv.matrices[conv.paths.index(path)].detach()[..., 0, 0]
    w = torch.complex(weights[:, 0], weights[:, -1] * (weights.shape[1] - 1))
    targets = torch.nn.functional.normalize(random(25, 3), dim=1)
    at = from_points(targets, torch.ones(25), normals=targets)
    expected = integral(conv, path, w, at)
    expected = expected if p else expected.real + 0j
    sizes, errors = (8, 16, 32), []
    for n in sizes:
        sphere = from_mesh(icosphere(n))
        basis = in_random_frames(sphere)
        field = as_field(m, sphere.points, basis)
        parts = [field.real, field.imag] if m else [field.real]
        plan = conv.prepare(sphere, at, source_frames=basis)
        found = conv(torch.stack(parts, 1), plan).detach()
        found = torch.complex(found[:, 0], found[:, 1] if p else 0 * found[:, 0])
        errors.append(root_mean_square(torch.view_as_real(found - expected)))
        errors[-1] /= root_mean_square(torch.view_as_real(expected))
    assert errors[-1] < 2e-2
    assert fitted_rate([1 / n for n in sizes], errors) > 1.8


# ------------------------------------------------------------------- any frames


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_network_from_scalars_to_scalars_does_not_see_the_frames(dtype) -> None:
    """1e-5 in float32: three layers, with fields of type 0, 1 and 2 between them."""
    domain = from_mesh(random_surface(1, 7)).to(dtype)
    types = [(3,), (4, 3, 2), (4, 2, 1), (2,)]
    torch.manual_seed(0)
    convs = [SteerableConv(a, b, 0.6).to(dtype) for a, b in pairwise(types)]
    norms = [NormActivation(t).to(dtype) for t in types[1:-1]]
    u = torch.sin(3 * domain.points)

    def output(basis: Tensor) -> Tensor:
        options = {"source_frames": basis, "target_frames": basis}
        plans = [conv.prepare(domain, domain, **options) for conv in convs]
        v = convs[0](u, plans[0])
        for conv, norm, plan in zip(convs[1:], norms, plans[1:], strict=True):
            v = conv(norm(v), plan)
        return v.detach()

    expected = output(frames(domain.normals))  # type: ignore[arg-type]
    size = root_mean_square(expected - expected.mean(0))
    assert size > 0.05
    for seed in range(2):
        found = output(in_random_frames(domain, seed))
        bound = 1e-5 if dtype == torch.float32 else 1e-13
        assert float((found - expected).abs().max()) < bound * size
    # they matter within: a layer that takes others for the same changes everything
    other = convs[1].prepare(domain, domain, source_frames=in_random_frames(domain))
    plan = convs[0].prepare(domain, domain)
    first = norms[0](convs[0](u, plan))
    straight = convs[1](first, convs[1].prepare(domain, domain))
    assert root_mean_square((convs[1](first, other) - straight).detach()) > size


def test_output_with_a_type_turns_with_the_frames_of_the_targets() -> None:
    domain = body("surface", 8)
    conv = built((2,), (0, 1, 2), 0.6)
    u, angle = torch.sin(3 * domain.points[:, :2]), 6 * random(len(domain))
    straight = frames(domain.normals)  # type: ignore[arg-type]
    before, after = (
        conv(u, conv.prepare(domain, domain, target_frames=basis)).detach()
        for basis in (straight, turned(straight, angle))
    )
    vector = torch.complex(before[:, 0], before[:, 1])
    expected = vector * torch.exp(-1j * angle)
    torch.testing.assert_close(torch.complex(after[:, 0], after[:, 1]), expected)
    twofold = torch.complex(before[:, 2:4], before[:, 4:])
    expected = twofold * torch.exp(-2j * angle)[:, None]
    torch.testing.assert_close(torch.complex(after[:, 2:4], after[:, 4:]), expected)


def test_a_turned_plane_turns_vectors_and_leaves_scalars() -> None:
    domain, angle = from_mesh(disk(8)), torch.tensor(0.7, dtype=torch.float64)
    c, s = angle.cos(), angle.sin()
    turn = torch.stack([c, -s, s, c]).view(2, 2)
    moved = from_points(domain.points @ turn.T, domain.weights)
    conv = built((1, 1), (2, 2), 0.4)
    scalar, vectors = torch.sin(3 * domain.points).split(1, 1)[0], domain.points**2
    before = conv(torch.cat([scalar, vectors], 1), conv.prepare(domain, domain))
    turned_input = torch.cat([scalar, vectors @ turn.T], 1)
    after = conv(turned_input, conv.prepare(moved, moved))
    torch.testing.assert_close(after[:, :2], before[:, :2])
    expected = torch.einsum("kl,nlc->nkc", turn, before[:, 2:].unflatten(1, (2, 2)))
    torch.testing.assert_close(after[:, 2:].unflatten(1, (2, 2)), expected)


def test_the_negative_adjoint_turns_vectors_into_scalars() -> None:
    """As the divergence is that of the gradient: <K u, v> = -<u, K' v>, to rounding.

    K' has the matrices of K; on a sphere chart and transport are exact, so that the
    direction from y to x is the direction from x to y, carried along and reversed.
    """
    points = torch.nn.functional.normalize(random(400, 3), dim=1)
    domain = from_points(points, random(400).abs() + 0.1, normals=points)
    there, back = built((1,), (0, 1), 0.8), built((0, 1), (1,), 0.8)
    with torch.no_grad():
        for matrices, other in zip(back.matrices, there.matrices, strict=True):
            matrices.copy_(other)
            matrices[:, 1].neg_()
    u, v = random(400, 1), random(400, 2, seed=1)
    left = domain.inner(there(u, there.prepare(domain, domain)), v)
    right = domain.inner(u, back(v, back.prepare(domain, domain)))
    torch.testing.assert_close(left, -right)
    assert float(left.detach().abs()) > 1e-3


# --------------------------------------------------------------- what it is made of


def test_every_type_meets_every_other_and_its_conjugate() -> None:
    conv = SteerableConv((1, 1, 1), (1, 1, 1), 0.5, order=4)
    met = {(path.m, path.m_out, path.sign) for path in conv.paths}
    assert met == {(m, p, s) for m in range(3) for p in range(3) for s in (1, -1)} - {
        (m, p, -1) for m in range(3) for p in range(3) if m * p == 0
    }
    columns = [column for path in conv.paths for column in path.columns]
    assert columns == list(range(len(columns)))
    slow = SteerableConv((1, 1, 1), (1, 1, 1), 0.5, order=2)
    assert met - {(p.m, p.m_out, p.sign) for p in slow.paths} == {
        (1, 2, -1),
        (2, 1, -1),
        (2, 2, -1),
    }


def test_vectors_in_space_and_in_frames() -> None:
    domain = body("sphere", 6)
    assert domain.normals is not None
    basis = in_random_frames(domain)
    vectors = random(len(domain), 4, 3)
    normal = domain.normals[:, None]
    tangent = vectors - normal * (vectors * normal).sum(2, keepdim=True)
    fields = tangent_fields(vectors, basis)
    assert fields.shape == (len(domain), 8)
    torch.testing.assert_close(tangent_vectors(fields, basis), tangent)
    torch.testing.assert_close(fields[:, :4], tangent_fields(tangent, basis)[:, :4])


def test_the_nonlinearity_turns_with_the_frames() -> None:
    """It scales every complex number by what depends on its size alone."""
    norm = NormActivation((2, 3)).double()
    torch.nn.init.normal_(norm.slopes), torch.nn.init.normal_(norm.shifts)
    u, angle = random(50, 8), 6 * random(50, 1)
    z = torch.complex(u[:, 2:5], u[:, 5:])
    moved = z * torch.exp(-1j * angle)
    after = norm(torch.cat([u[:, :2], moved.real, moved.imag], 1))
    before = norm(u)
    torch.testing.assert_close(after[:, :2], torch.nn.functional.gelu(u[:, :2]))
    expected = torch.complex(before[:, 2:5], before[:, 5:]) * torch.exp(-1j * angle)
    torch.testing.assert_close(torch.complex(after[:, 2:5], after[:, 5:]), expected)
    zero = torch.zeros(1, 8, dtype=torch.float64, requires_grad=True)
    norm(zero).sum().backward()
    assert bool(torch.isfinite(zero.grad).all())  # type: ignore[arg-type]


def test_gradients_in_fields_matrices_and_points() -> None:
    mesh = icosphere(2)
    conv = built((1, 1), (1, 1), 1.2, order=2)
    u, field = random(42, 3).requires_grad_(), from_mesh(mesh)
    plan = conv.prepare(field, field)
    torch.autograd.gradcheck(lambda u: conv(u, plan), u, fast_mode=True)
    conv(u, plan).square().sum().backward()
    assert all(m.grad is not None and bool(m.grad.any()) for m in conv.matrices)

    def of_points(points: Tensor) -> Tensor:
        domain = from_mesh(mesh, points=points)
        return conv(u.detach(), conv.prepare(domain, domain))

    # turned, so that no normal lies where the frames spin
    turn, _ = torch.linalg.qr(random(3, 3))
    points = (field.points @ turn).requires_grad_()
    torch.autograd.gradcheck(of_points, points, fast_mode=True)


def test_the_output_has_about_the_size_of_the_input() -> None:
    """Smooth random fields of type 0 and 1, correlated over about the radius."""
    domain = from_mesh(icosphere(12))
    k, phase = 2 * random(3, 64), 6 * random(64)
    waves = torch.cos(domain.points @ k + phase) * 2**0.5
    vectors = waves[:, :48].view(-1, 16, 3) * 1.5**0.5
    fields = tangent_fields(vectors, in_random_frames(domain))
    u = torch.cat([waves[:, 48:], fields], 1)
    conv = built((16, 16), (16, 16, 16), 0.5)
    v = conv(u, conv.prepare(domain, domain, source_frames=in_random_frames(domain)))
    for part in v.detach().split([16, 32, 32], 1):
        assert 0.4 < root_mean_square(part) < 2


@pytest.mark.parametrize("types", [(), (0, 0), (-1, 2)])
def test_what_is_no_number_of_fields_is_refused(types) -> None:
    with pytest.raises(ValueError, match="in_channels: expected how many fields"):
        SteerableConv(types, (1,), 0.5)
    with pytest.raises(ValueError, match="channels: expected how many fields"):
        NormActivation(types)


def test_volumes_and_surfaces_without_normals_are_refused() -> None:
    conv = SteerableConv((1,), (1,), 0.5)
    bare = from_points(icosphere_points(), torch.ones(42))
    with pytest.raises(ValueError, match="in 3-D, without normals"):
        conv.prepare(bare, bare)


def icosphere_points() -> Tensor:
    return torch.tensor(icosphere(2).points)
