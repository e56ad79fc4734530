"""Continuous convolutions: against their definition, gauges, strides, derivatives."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from isofield import Discretization, from_mesh, generation
from isofield.bases import GaussianBasis, LearnedBasis, ZernikeBasis
from isofield.charts import frames
from isofield.layers import ContinuousConv, HermiteConv, SplineConv, ZernikeConv
from isofield.operators import NeighbourWarning, Patches
from isofield.plan import pack_plans
from isofield.testing import body, probes, waves

BALL = {1: 2.0, 2: math.pi, 3: 4 / 3 * math.pi}
RADIUS = {1: 0.7, 2: 0.7, 3: 0.9}
MODES = ("integral", "shepard", "fit")
CONVS = {"Zernike": partial(ZernikeConv, order=2), "spline": SplineConv}
CONVS["Hermite"] = partial(HermiteConv, nodes=1)


def at(points: Tensor) -> Discretization:
    """Targets, of whose weights nobody knows."""
    return Discretization(points, torch.ones(len(points), dtype=points.dtype))


def response(layer: ContinuousConv, u: Tensor, z: Tensor, weights: Tensor) -> Tensor:
    """(M, C_out) the integral of the kernel by its definition, z (M, N, d)."""
    mass = weights / BALL[z.shape[2]]
    return torch.einsum("mnb,n,nc,bcd->md", layer.basis(z), mass, u, layer.matrices)


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("name", CONVS)
def test_layers_are_their_definition(name, d):
    source, target, r = body(d, {1: 9, 2: 5, 3: 3}[d], 2.0), at(probes(d, 9)), RADIUS[d]
    u = waves(3)(source.points)
    layer = CONVS[name](3, 2, d, r, skip=False).double()
    torch.nn.init.normal_(layer.bias)
    z = (source.points - target.points[:, None]) / r
    expected = response(layer, u, z, source.weights / r**d) + layer.bias
    found = layer(u, layer.prepare(source, target))
    assert (found - expected).abs().max() < 1e-12

    layer = CONVS[name](3, 2, d, r, bias=False).double()
    z = (source.points - source.points[:, None]) / r
    expected = response(layer, u, z, source.weights / r**d) + layer.skip(u)
    found = layer(u, layer.prepare(source, source))
    assert (found - expected).abs().max() < 1e-12


def test_a_skip_needs_the_sources_as_targets():
    source = body(2, 4)
    layer = ZernikeConv(2, 2, 2, 0.6)
    layer.prepare(source, Discretization(source.points.clone(), source.weights))
    with pytest.raises(ValueError, match="pass skip=False"):
        layer.prepare(source, at(probes(2, 5)))


def test_a_coarser_target_pools_and_a_finer_one_unpools():
    """Constants go down and come back as constants; a smooth field by 8 %."""
    fine, coarse = body(2, 16, 2.0), body(2, 8)
    down = ZernikeConv(1, 1, 2, 0.3, order=1, mode="fit", skip=False, bias=False)
    up = ZernikeConv(1, 1, 2, 0.4, order=1, mode="fit", skip=False, bias=False)
    down, up = down.double(), up.double()
    with torch.no_grad():
        for layer in (down, up):
            # the value at the target of the fitted polynomial, phi(0) = (1, 0, 0)
            layer.matrices.zero_()
            layer.matrices[0] = 1
    for field, tolerance in ((torch.ones_like, 1e-12), (torch.sin, 0.08)):
        u = field(2 * fine.points[:, :1])
        there = down(u, down.prepare(fine, coarse))
        assert len(there) == len(coarse) < len(fine) / 3
        back = up(there, up.prepare(coarse, fine))
        assert (back - u).abs().max() < tolerance


# --- gauges -------------------------------------------------------------------------


def rays(layer: ContinuousConv, u: Tensor, plan, count: int) -> Tensor:
    """The mean of squared responses to the kernel turned by multiples of 2π/count."""
    total = torch.zeros(())
    for ray in range(count):
        turn = layer.basis.rotated(2 * math.pi * ray / count)
        turned = torch.einsum("bk,bcd->kcd", turn, layer.matrices)
        total = total + plan.product(u, turned).square() / count
    return total


@pytest.mark.parametrize("order", [0, 1, 4, 5])
def test_pooling_is_the_mean_over_2n_plus_1_rays(order):
    source = body(2, 8, 2.0)
    layer = ZernikeConv(
        3, 2, 2, 0.7, order=order, gauge="pool", skip=False, bias=False
    ).double()
    u, plan = waves(3)(source.points), layer.prepare(source, source)
    found = layer(u, plan)
    assert (found - rays(layer, u, plan, 2 * order + 1)).abs().max() < 1e-13
    assert (found - rays(layer, u, plan, 4 * order + 7)).abs().max() < 1e-13
    assert found.std() > 1e-3
    if order > 1:  # and 2n of them see aliases
        assert (found - rays(layer, u, plan, 2 * order)).abs().max() > 1e-6


SURFACES = {
    "sphere": lambda: from_mesh(generation.icosphere(5)),
    "torus": lambda: from_mesh(generation.torus(6)),
}


@pytest.mark.parametrize("gauge", ["pool", "isotropic"])
@pytest.mark.parametrize("surface", SURFACES)
def test_frames_do_not_matter(surface, gauge):
    domain = SURFACES[surface]()
    u = waves(3)(domain.points)
    layer = ZernikeConv(3, 2, 2, 0.8, order=3, gauge=gauge).double()
    angle = torch.linspace(0, 40, len(domain), dtype=torch.float64)
    c, s = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([c, -s], 1), torch.stack([s, c], 1)], 1)
    turned = frames(domain.normals) @ turn
    one = layer(u, layer.prepare(domain, domain))
    other = layer(u, layer.prepare(domain, domain, frames=turned))
    assert (one - other).abs().max() < 1e-12
    assert one.std() > 0.05

    # a kernel that stands in the frame turns with it, and says so
    plain = ZernikeConv(3, 2, 2, 0.8, order=3).double()
    with pytest.raises(ValueError, match="depends on the frames"):
        plain.prepare(domain, domain)
    one, other = (
        plain(u, plain.prepare(domain, domain, frames=choice))
        for choice in (frames(domain.normals), turned)
    )
    assert (one - other).abs().max() > 0.1


def test_a_turned_body_turns_its_output_along_a_surface():
    domain = from_mesh(generation.torus(6))
    layer = ZernikeConv(2, 2, 2, 0.8, order=3, gauge="pool").double()
    turn, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    turn[:, 0] *= torch.linalg.det(turn)
    turned = Discretization(
        domain.points @ turn.T, domain.weights, normals=domain.normals @ turn.T
    )
    u = waves(2)(domain.points)
    found = layer(u, layer.prepare(turned, turned))
    assert (found - layer(u, layer.prepare(domain, domain))).abs().max() < 1e-11


def test_isotropic_layers_hold_radial_functions_alone():
    for d, size in ((1, 3), (2, 3), (3, 3)):
        layer = ZernikeConv(2, 2, d, 0.5, order=4, gauge="isotropic")
        assert layer.matrices.shape == (size, 2, 2)


def test_wrong_arguments():
    basis = ZernikeBasis(2, 2)
    with pytest.raises(ValueError, match="radius: expected a positive length, got 0"):
        ContinuousConv(1, 1, basis, 0.0)
    with pytest.raises(ValueError, match=r"reach: expected at least the radius 1\.0"):
        ContinuousConv(1, 1, basis, 1.0, reach=0.5)
    with pytest.raises(ValueError, match="None, 'pool' or 'isotropic', got 'max'"):
        ContinuousConv(1, 1, basis, 1.0, gauge="max")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ZernikeBasis alone can do, got LearnedBasis"):
        ContinuousConv(1, 1, LearnedBasis(2, 3), 1.0, gauge="pool")
    with pytest.raises(ValueError, match="take gauge='isotropic'"):
        ZernikeConv(1, 1, 3, 1.0, gauge="pool")
    with pytest.raises(ValueError, match="expected 1 or 2 or 3, got 4"):
        ContinuousConv(1, 1, LearnedBasis(4, 3), 1.0)
    with pytest.raises(ValueError, match="mode: expected"):
        ContinuousConv(1, 1, basis, 1.0, mode="sum")  # type: ignore[arg-type]


# --- learned kernels ----------------------------------------------------------------


def test_a_plan_of_neighbours_gives_what_the_plan_of_moments_gives():
    """Where the radius is learned, and where the basis is."""
    source, target = body(2, 6, 2.0), at(probes(2, 9))
    u = waves(3)(source.points)
    for mode in MODES:
        one = ZernikeConv(3, 2, 2, 0.6, order=2, mode=mode, skip=False).double()
        other = ZernikeConv(3, 2, 2, 0.6, order=2, mode=mode, skip=False, reach=0.9)
        other = other.double()
        other.load_state_dict({**one.state_dict(), "log_radius": other.log_radius})
        plan = other.prepare(source, target)
        assert isinstance(plan, Patches)
        difference = other(u, plan) - one(u, one.prepare(source, target))
        assert difference.abs().max() < 1e-6  # the radius begins in float32
    learned = GaussianBasis.on_rings(2, 1, learned=True)
    known = GaussianBasis.on_rings(2, 1)
    one, other = (
        ContinuousConv(3, 2, basis, 0.6, skip=False) for basis in (known, learned)
    )
    with torch.no_grad():
        other.matrices.copy_(one.matrices)
    one, other = one.double(), other.double()
    difference = other(u, other.prepare(source, target)) - one(
        u, one.prepare(source, target)
    )
    assert difference.abs().max() < 1e-6
    assert difference.abs().max() > 0


def test_a_radius_beyond_its_reach_is_refused():
    source = body(2, 4)
    layer = ZernikeConv(1, 1, 2, 0.5, order=1, reach=0.5)
    plan = layer.prepare(source, source)
    layer(torch.ones(len(source), 1), plan)
    with torch.no_grad():
        layer.log_radius += 0.1
    with pytest.raises(
        ValueError, match=r"grown to 0\.55\d*, beyond its reach of 0\.5"
    ):
        layer(torch.ones(len(source), 1), plan)


def gradients_agree(layer: ContinuousConv, plan, u: Tensor) -> bool:
    """In the field and in all parameters, twice."""
    names = [name for name, _ in layer.named_parameters()]

    def v(u: Tensor, *parameters: Tensor) -> Tensor:
        given = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(layer, given, (u, plan))

    parameters = [p.detach().requires_grad_() for p in layer.parameters()]
    given = (u.requires_grad_(), *parameters)
    once = torch.autograd.gradcheck(v, given, fast_mode=True)
    return once and torch.autograd.gradgradcheck(v, given, fast_mode=True)


LEARNED = {
    "skip and bias": lambda: ZernikeConv(2, 3, 2, 0.75, order=1),
    "pool": lambda: ZernikeConv(2, 3, 2, 0.75, order=2, gauge="pool"),
    "fit": lambda: ZernikeConv(3, 2, 2, 1.2, order=1, mode="fit"),
    "radius": lambda: ZernikeConv(2, 3, 2, 0.7, order=1, reach=0.75),
    "radius, shepard": lambda: SplineConv(
        3, 2, 2, 0.7, n_control=3, reach=0.75, mode="shepard"
    ),
    "basis": lambda: ContinuousConv(2, 3, LearnedBasis(2, 2, 3), 0.75),
    "both": lambda: ContinuousConv(3, 2, LearnedBasis(2, 2, 3), 0.7, reach=0.75),
}


@pytest.mark.parametrize("name", LEARNED)
def test_derivatives_in_field_and_parameters(name):
    torch.manual_seed(0)
    source, layer = body(2, 2, 1.5), LEARNED[name]().double()
    plan = layer.prepare(source, source)
    u = waves(layer.matrices.shape[1])(source.points)
    assert gradients_agree(layer, plan, u)


@pytest.mark.parametrize("name", ["skip and bias", "pool", "basis", "both"])
def test_derivatives_in_points_and_weights(name):
    torch.manual_seed(0)
    source, layer = body(2, 3, 1.5), LEARNED[name]().double()
    u = waves(layer.matrices.shape[1])(source.points)

    def v(points: Tensor, weights: Tensor) -> Tensor:
        domain = Discretization(points, weights)
        return layer(u, layer.prepare(domain, domain))

    given = [x.clone().requires_grad_() for x in (source.points, source.weights)]
    assert torch.autograd.gradcheck(v, given, fast_mode=True)


def test_targets_without_neighbours_have_finite_derivatives():
    source, far = body(2, 4), at(torch.full((1, 2), 9.0, dtype=torch.float64))
    for gauge in (None, "pool"):
        layer = ZernikeConv(1, 1, 2, 0.5, order=2, gauge=gauge, skip=False).double()
        with pytest.warns(NeighbourWarning, match="1 of 1 targets"):
            plan = layer.prepare(source, far)
        v = layer(torch.ones(len(source), 1).double(), plan)
        v.sum().backward()
        assert torch.equal(v, torch.zeros_like(v))
        assert torch.equal(layer.matrices.grad, torch.zeros_like(layer.matrices))


# --- sizes and precisions -----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mode", "d"),
    [
        *((name, mode, d) for name in CONVS for mode in MODES[:2] for d in (1, 2)),
        *(("Zernike", "fit", d) for d in (1, 2)),
        ("Zernike", "integral", 3),
    ],
)
def test_the_output_begins_as_large_as_a_smooth_input(name, mode, d):
    """Fields of variance 1 whose covariance is a Gaussian as wide as the radius. The
    mean over 128 fields and 256 channels in the middle of the body: 10 % of the size,
    as much as the choice of fields and matrices changes it."""
    torch.manual_seed(0)
    r = {1: 0.3, 2: 0.5, 3: 0.7}[d]
    source, target = body(d, {1: 40, 2: 12, 3: 5}[d]), at(0.3 * probes(d, 20))
    kappa = torch.randn(d, 128, dtype=torch.float64) / r
    phase = 2 * math.pi * torch.rand(128, dtype=torch.float64)
    u = math.sqrt(2) * torch.cos(source.points @ kappa + phase)
    layer = CONVS[name](128, 256, d, r, mode=mode, skip=False).double()
    v = layer(u, layer.prepare(source, target)).detach()
    assert 0.9 < float(v.square().mean().sqrt()) < 1.1
    own = CONVS[name](128, 64, d, r, mode=mode).double()
    v = own(u, own.prepare(source, source)).detach()
    size = float(v.square().mean().sqrt())
    assert 0.6 < size < 1.2  # towards the boundary an integral sees less of the field


def test_precision_is_that_of_the_plan():
    source = body(2, 5)
    layer = ZernikeConv(2, 3, 2, 0.6, order=2)
    plan = layer.prepare(source, source).to(torch.float32)
    u = waves(2)(source.points).float()
    expected = layer(u, plan)
    assert expected.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(u, plan)
    # sums over points stay in float32; the skip alone is rounded to 8 bits
    assert 0 < (found - expected).abs().max() < 0.02 * expected.abs().max()


def test_a_batch_of_learned_plans():
    samples = [body(2, 4), body(2, 6, 2.0)]
    layer = ContinuousConv(2, 2, LearnedBasis(2, 3, 4), 0.6, reach=0.7).double()
    u = [waves(2)(sample.points) for sample in samples]
    plans = [layer.prepare(sample, sample) for sample in samples]
    alone = torch.cat([layer(x, plan) for x, plan in zip(u, plans, strict=True)])
    packed = layer(torch.cat(u), pack_plans(plans))
    assert (packed - alone).abs().max() < 1e-12
