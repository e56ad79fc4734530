"""Layers against quadrature written out, and against integrals in closed form."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from isofield import Discretization, from_mesh, generation
from isofield.discretization import pack
from isofield.layers.kernel_integral import KernelIntegral, KernelPlan, kernel_plan
from isofield.layers.moments import domain_moments, n_moments
from isofield.layers.norm import MeasureNorm
from isofield.layers.pointwise import pointwise
from isofield.layers.pooling import lattice_pooling, pool, pool_lifted, unpool
from isofield.testing import body, probes, waves

BALL = {1: 2.0, 2: math.pi, 3: 4 / 3 * math.pi}
SIZES = {1: (20, 28, 40, 56), 2: (12, 17, 24, 34), 3: (5, 7, 10, 13)}


def at(points: Tensor) -> Discretization:
    """Targets, of whose weights nobody knows."""
    return Discretization(points, torch.ones(len(points), dtype=points.dtype))


def rate(sizes, errors) -> float:
    return -float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])


def pairs(source: Discretization, target: Discretization, radius: float):
    """Every pair in the ball by two loops: i, j, xi and weight as defined."""
    x, y = source.points.numpy(), target.points.numpy()
    w, d = source.weights.numpy(), source.dimension
    constant = (d + 2) * (d + 4) / 8
    for i in range(len(y)):
        for j in range(len(x)):
            xi = (x[j] - y[i]) / radius
            if xi @ xi <= 1:
                window = constant * (1 - xi @ xi) ** 2
                yield i, j, xi, window * w[j] / (BALL[d] * radius**d)


class Known(nn.Module):
    """In the place of a network: a function of (E, d) or (E, d + C)."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


# --- the kernel integral ------------------------------------------------------------

FORMS = {
    "full": {"kernel": "full"},
    "diagonal": {"kernel": "diagonal"},
    "low_rank": {"kernel": "low_rank"},
    "nonlinear": {"nonlinear": True},
}


def integral(form: str, d: int, radius: float = 0.6, out: int = 3, **more):
    torch.manual_seed(1)
    options = {"hidden": 6, "rank": 4, **FORMS[form], **more}
    out = 3 if form == "diagonal" else out
    return KernelIntegral(3, out, d, radius, **options).double()


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("form", FORMS)
def test_the_four_forms_are_the_sums_that_define_them(form, d):
    """Two loops over points, one pair at a time, on targets that are no sources."""
    source, target = body(d, 6 if d < 3 else 3, 2.0), at(probes(d, 12))
    layer = integral(form, d, out=2)
    u = waves(3)(source.points)
    expected = np.zeros((12, layer.channels[1]))
    with torch.no_grad():
        for i, j, xi, weight in pairs(source, target, 0.6):
            if form == "nonlinear":
                value = layer.network(torch.cat([torch.from_numpy(xi), u[j]]))
            else:
                value = layer.network(torch.from_numpy(xi))
            if form == "full":
                value = value.reshape(3, 2).T @ u[j]
            elif form == "diagonal":
                value = value * u[j]
            elif form == "low_rank":
                matrices = layer.mixing.matrices
                value = sum(value[b] * (u[j] @ matrices[b]) for b in range(4))
            expected[i] += weight * value.numpy()
        found = layer(u, layer.prepare(source, target)).numpy()
    assert np.abs(found - expected).max() <= 1e-13 * np.abs(expected).max()
    assert np.ptp(expected, axis=0).min() > 1e-3


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("form", ["diagonal", "full", "low_rank"])
def test_known_kernel_on_a_linear_field(form, d):
    """kappa = xi_1 on u = 2 + y_1 gives r <xi_1^2> = r/(d + 6) inside, at rate 2."""
    radius, targets = 0.7, at(0.2 * probes(d, 20))
    layer = KernelIntegral(1, 1, d, radius, rank=1, **FORMS[form]).double()
    layer.network = Known(lambda xi: xi[:, :1])
    if form == "low_rank":
        nn.init.ones_(layer.mixing.matrices)
    errors = []
    for n in SIZES[d]:
        source = body(d, n, 3.0)
        v = layer(2 + source.points[:, :1], layer.prepare(source, targets))
        errors.append(float((v - radius / (d + 6)).detach().abs().max()))
    assert errors[-1] < 0.1 * radius / (d + 6)
    assert rate(SIZES[d], errors) > 1.75


def test_known_nonlinear_kernel():
    """kappa = u^2 xi_1^2 on u = 3 gives 9/(d + 6) inside."""
    layer = KernelIntegral(1, 1, 2, 0.7, nonlinear=True).double()
    layer.network = Known(lambda xiu: (xiu[:, 2] * xiu[:, 0])[:, None] ** 2)
    targets, errors = at(0.2 * probes(2, 20)), []
    for n in SIZES[2]:
        source = body(2, n, 3.0)
        u = torch.full((len(source), 1), 3.0, dtype=torch.float64)
        v = layer(u, layer.prepare(source, targets))
        errors.append(float((v - 9 / 8).detach().abs().max()))
    assert errors[-1] < 0.02
    assert rate(SIZES[2], errors) > 1.75


SHAPES = {
    "graded square": (partial(generation.square, grading=3.0), 2, 0.5, 0.15, 0.35),
    "disk": (generation.disk, 2, 0.0, 0.4, 0.55),
    "graded disk": (partial(generation.disk, grading=3.0), 2, 0.0, 0.4, 0.55),
    "ball": (generation.ball, 3, 0.0, 0.2, 0.75),
    "graded ball": (partial(generation.ball, grading=2.0), 3, 0.0, 0.2, 0.75),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_window_has_unit_mass(shape):
    """g int (1 - rho^2)^2 / |B| = 1 with g = (d + 2)(d + 4)/8 for balls inside.

    Lumped weights integrate the window, twice differentiable but for its edge, with
    O(h^2): fitted over four sizes.
    """
    build, d, centre, reach, radius = SHAPES[shape]
    targets = at(centre + reach * probes(d, 30))
    errors = []
    for n in SIZES[d]:
        plan = kernel_plan(from_mesh(build(n)), targets, radius)
        mass = plan.weight.new_zeros(30).index_add(0, plan.graph.target, plan.weight)
        errors.append(float((mass - 1).square().mean().sqrt()))
    assert errors[-1] < 0.05
    assert rate(SIZES[d], errors) > 1.75


def test_the_window_has_unit_mass_on_a_sphere():
    """A cap of chord c has the area pi c^2: the weights of a plane serve the sphere."""
    targets = probes(3, 30)
    targets = at(targets / targets.norm(dim=1, keepdim=True))
    sizes, errors = (4, 6, 9, 13), []
    for n in sizes:
        source = from_mesh(generation.icosphere(n, grading=2.0))
        plan = kernel_plan(source, targets, 0.8, measure_dimension=2)
        mass = plan.weight.new_zeros(30).index_add(0, plan.graph.target, plan.weight)
        errors.append(float((mass - 1).square().mean().sqrt()))
    assert errors[-1] < 0.02
    assert 1.7 < rate(sizes, errors) < 2.6


def test_weights_of_a_plan_fall_to_zero_at_the_radius():
    """With its derivative: a point that enters the ball changes nothing at once."""
    origin = torch.zeros(1, 2, dtype=torch.float64)
    for gap in (1e-3, 1e-4):
        near = Discretization(
            torch.tensor([[1 - gap, 0]], dtype=torch.float64), torch.ones(1).double()
        )
        plan = kernel_plan(near, at(origin), 1.0)
        assert float(plan.weight[0]) == pytest.approx(
            3 / math.pi * (2 * gap) ** 2, rel=2 * gap
        )


def test_a_target_without_neighbours_gets_zero():
    source = body(2, 4)
    far = at(torch.tensor([[9.0, 9.0], [0.0, 0.0]], dtype=torch.float64))
    for form in FORMS:
        layer = integral(form, 2)
        v = layer(waves(3)(source.points), layer.prepare(source, far))
        assert torch.equal(v[0], torch.zeros_like(v[0]))
        assert v[1].abs().min() > 0


def test_bad_kernels_are_refused():
    with pytest.raises(ValueError, match="'full', 'diagonal' or 'low_rank', got 'x'"):
        KernelIntegral(2, 2, 2, 0.5, kernel="x")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="got 2 and 3"):
        KernelIntegral(2, 3, 2, 0.5, kernel="diagonal")


# --- chunks, gradients, memory ------------------------------------------------------


def gradients(layer: KernelIntegral, plan: KernelPlan, u: Tensor):
    """Output and gradients in the field, the geometry and the parameters."""
    u = u.clone().requires_grad_()
    offset = plan.offset.clone().requires_grad_()
    weight = plan.weight.clone().requires_grad_()
    v = layer(u, replace(plan, offset=offset, weight=weight))
    inputs = [u, offset, weight, *layer.parameters()]
    return [v.detach(), *torch.autograd.grad(v.sin().sum(), inputs)]


@pytest.mark.parametrize("chunk", [1, 50, 500])
@pytest.mark.parametrize("form", FORMS)
def test_chunks_change_neither_output_nor_gradients(form, chunk):
    """1 is less than the neighbours of one target: chunks are whole targets."""
    source, target = body(2, 5, 2.0), at(probes(2, 40))
    layer = integral(form, 2, out=2)
    plan = layer.prepare(source, target)
    u = waves(3)(source.points)
    assert plan.graph.n_edges > 500
    whole = gradients(layer, plan, u)
    layer.chunk = chunk
    for found, expected in zip(gradients(layer, plan, u), whole, strict=True):
        assert expected.abs().max() > 0
        assert (found - expected).abs().max() <= 1e-12 * expected.abs().max()


@pytest.mark.parametrize("form", FORMS)
def test_gradients_with_respect_to_the_points(form):
    """The shape of the domain may be learned: `gradcheck` through `prepare`."""
    source, target = body(2, 2, 1.7), probes(2, 3)
    layer = integral(form, 2, out=2)
    u = waves(3)(source.points)

    def output(points: Tensor, weights: Tensor, targets: Tensor) -> Tensor:
        plan = layer.prepare(Discretization(points, weights), at(targets))
        return layer(u, plan)

    inputs = (source.points, source.weights, target)
    assert torch.autograd.gradcheck(
        output, tuple(x.clone().requires_grad_() for x in inputs)
    )


def saved_bytes(layer: KernelIntegral, plan: KernelPlan, channels: int) -> int:
    """Bytes kept for the backward pass in tensors with a row per edge."""
    kept = {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.numel() >= plan.graph.n_edges:
            kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    u = torch.randn(plan.graph.n_sources, channels, dtype=torch.float64)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(u.requires_grad_(), plan)
    return sum(kept.values())


def test_low_rank_memory_per_edge_does_not_grow_with_width():
    source, target = body(2, 8), at(probes(2, 40))
    kept = {}
    for channels in (2, 8):
        layer = KernelIntegral(channels, channels, 2, 0.8, hidden=8, rank=4).double()
        plan = layer.prepare(source, target)
        assert plan.graph.n_edges > 8 * len(source)
        kept[channels] = saved_bytes(layer, plan, channels)
    assert kept[2] == kept[8] > 0


def test_chunks_keep_no_values_of_the_network():
    """Whole, a full kernel keeps E C^2 numbers; in chunks, what the plan has anyway."""
    source, target = body(2, 8), at(probes(2, 40))
    layer = KernelIntegral(8, 8, 2, 0.8, kernel="full", hidden=8).double()
    plan = layer.prepare(source, target)
    edges = plan.graph.n_edges
    assert saved_bytes(layer, plan, 8) > 8 * edges * 8 * 8
    layer.chunk = 500
    assert saved_bytes(layer, plan, 8) <= 8 * edges * (2 + 1)


# --- lattice pooling ----------------------------------------------------------------


def pooled_by_hand(source: Discretization, spacing: float) -> dict:
    """Lattice node -> measure and first moment under its hat, point by point."""
    found: dict = {}
    for x, w in zip(source.points.numpy(), source.weights.numpy(), strict=True):
        lower = np.floor(x / spacing).astype(int)
        for corner in np.ndindex(*(2,) * len(x)):
            node = lower + corner
            hat = np.prod(1 - np.abs(x / spacing - node))
            if hat > 0:
                mass, moment = found.get(tuple(node), (0.0, 0.0))
                found[tuple(node)] = (mass + w * hat, moment + w * hat * x)
    return dict(sorted(found.items()))


@pytest.mark.parametrize("d", [1, 2, 3])
def test_pooling_is_the_sum_under_each_hat(d):
    """The lattice crosses the origin: coordinates of both signs."""
    source = body(d, 4, 2.0)
    expected = pooled_by_hand(source, 0.45)
    coarse = lattice_pooling(source, 0.45).coarse
    mass = np.array([m for m, _ in expected.values()])
    centre = np.array([moment / m for m, moment in expected.values()])
    assert np.allclose(coarse.weights.numpy(), mass, rtol=1e-12, atol=0)
    assert np.allclose(coarse.points.numpy(), centre, rtol=0, atol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_pooling_keeps_measure_and_first_moments(d):
    source = body(d, 5, 2.0)
    plan = lattice_pooling(source, 0.37)
    coarse = plan.coarse
    assert len(coarse) < len(source)
    assert float(coarse.measure()) == pytest.approx(float(source.measure()), rel=1e-13)
    first = coarse.integrate(coarse.points) - source.integrate(source.points)
    assert first.abs().max() < 1e-13
    to_coarse = torch.zeros(len(coarse)).double()
    sums = to_coarse.index_add(0, plan.graph.target, plan.share)
    assert (sums - 1).abs().max() < 1e-13
    sums = torch.zeros(len(source)).double().index_add(0, plan.graph.source, plan.hat)
    assert (sums - 1).abs().max() < 1e-13
    assert plan.hat.min() > 0


@pytest.mark.parametrize("d", [1, 2, 3])
def test_pooling_is_exact_for_linear_fields(d):
    """The mean of a linear field under a hat is its value at the hat's centroid."""
    source = body(d, 5, 2.0)
    plan = lattice_pooling(source, 0.37)
    slope = torch.arange(1.0, d + 1).double()[:, None]
    found = pool(2 + source.points @ slope, plan)
    assert (found - 2 - plan.coarse.points @ slope).abs().max() < 1e-13
    ones = torch.ones(len(plan.coarse), 1).double()
    assert (unpool(ones, plan) - 1).abs().max() < 1e-13


@pytest.mark.parametrize("d", [1, 2, 3])
def test_pool_and_unpool_are_adjoint_in_the_measure(d):
    source = body(d, 5, 2.0)
    plan = lattice_pooling(source, 0.37)
    random = torch.Generator().manual_seed(0)
    u = torch.randn(len(source), 4, generator=random, dtype=torch.float64)
    v = torch.randn(len(plan.coarse), 4, generator=random, dtype=torch.float64)
    one = float(plan.coarse.inner(pool(u, plan), v))
    other = float(source.inner(u, unpool(v, plan)))
    assert one == pytest.approx(other, rel=1e-12)
    assert abs(one) > 1e-6


def test_split_points_give_the_same_coarse_points():
    source = body(2, 5, 2.0)
    weights = torch.cat([source.weights, source.weights[:20] / 4])
    weights[:20] *= 0.75
    split = Discretization(torch.cat([source.points, source.points[:20]]), weights)
    one, other = lattice_pooling(source, 0.4), lattice_pooling(split, 0.4)
    assert (one.coarse.points - other.coarse.points).abs().max() < 1e-13
    assert (one.coarse.weights - other.coarse.weights).abs().max() < 1e-13


def test_coarse_points_converge_under_refinement():
    """W_c and x_c of two families of meshes, at rate 2."""
    sizes, errors = (10, 14, 20, 28), []
    for n in sizes:
        one, other = (
            lattice_pooling(body(2, n, grading), 0.6).coarse for grading in (1.0, 2.0)
        )
        assert len(one) == len(other)
        errors.append(float((one.weights - other.weights).abs().max()))
    assert errors[-1] < 2e-3
    assert rate(sizes, errors) > 1.5


def test_a_plane_of_the_lattice_is_nothing_special():
    """Points that rounding puts beside it leave no coarse points of no weight there."""
    source = from_mesh(generation.square(8))
    random = torch.Generator().manual_seed(0)
    noise = torch.randn(source.points.shape, generator=random, dtype=torch.float64)
    moved = Discretization(source.points + 1e-15 * noise, source.weights)
    one, other = lattice_pooling(source, 0.25), lattice_pooling(moved, 0.25)
    assert len(other.coarse) == len(one.coarse)
    assert (other.coarse.points - one.coarse.points).abs().max() < 1e-13
    u = waves(2)(source.points)
    difference = unpool(pool(u, one), one) - unpool(pool(u, other), other)
    assert difference.abs().max() < 1e-13


@pytest.mark.parametrize(("spacing", "fewer"), [(0.5, True), (0.06, False)])
def test_averages_of_a_lift_come_before_or_after_its_last_map(spacing, fewer):
    source = body(2, 12)
    plan, lift = lattice_pooling(source, spacing), pointwise(3, 7, 5).double()
    u, rows = waves(3)(source.points), []
    lift[-1].register_forward_hook(lambda module, given, out: rows.append(len(out)))
    found = pool_lifted(lift, u, plan)
    assert rows == [min(len(source), len(plan.coarse))]
    assert (len(plan.coarse) < len(source)) == fewer
    torch.testing.assert_close(found, pool(lift(u), plan), rtol=0, atol=1e-13)


def test_samples_of_a_batch_are_pooled_apart():
    """They lie in the same place and share every lattice node."""
    samples = [body(2, 4), body(2, 5, 2.0)]
    packed = lattice_pooling(pack(samples), 0.4)
    alone = [lattice_pooling(sample, 0.4) for sample in samples]
    expected = pack([plan.coarse for plan in alone])
    assert torch.equal(packed.coarse.ptr, expected.ptr)
    assert (packed.coarse.points - expected.points).abs().max() < 1e-14
    assert (packed.coarse.weights - expected.weights).abs().max() < 1e-14


def test_points_on_planes_of_the_lattice_leave_no_dust():
    """Off by rounding, they belong to one plane: no coarse point weighs almost nothing.

    Dust of 1e-16 per level and axis would end below the least number of float32.
    """
    source = body(2, 8)
    random = torch.Generator().manual_seed(0)
    dust = 1e-16 * torch.rand(source.points.shape, generator=random).double()
    points = (source.points / 0.25).round() * 0.25 + dust
    domain = Discretization(points, source.weights)
    for spacing in (0.25, 0.5, 1.0):
        domain = lattice_pooling(domain, spacing).coarse
        assert domain.weights.min() > 1e-3 * domain.weights.max()
    assert float(domain.measure()) == pytest.approx(float(source.measure()), rel=1e-12)


def test_pooling_is_differentiable_in_the_points():
    source = body(2, 2, 1.7)

    def coarse(points: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        plan = lattice_pooling(Discretization(points, weights), 0.6)
        return plan.coarse.points, plan.coarse.weights, plan.hat, plan.share

    # away from the planes of the lattice, where hats have their kinks
    inputs = (source.points + 0.013, source.weights)
    assert torch.autograd.gradcheck(
        coarse, tuple(x.clone().requires_grad_() for x in inputs)
    )


@pytest.mark.parametrize("spacing", [0.0, -1.0, math.nan])
def test_bad_spacings_are_refused(spacing):
    with pytest.raises(ValueError, match="spacing: expected a positive length"):
        lattice_pooling(body(2, 3), spacing)


# --- moments of the domain ----------------------------------------------------------


def window_mean(power: int, d: int) -> float:
    """<rho^p> under the window: a quotient of int rho^(p + d - 1) (1 - rho^2)^2."""

    def beta(k: float) -> float:
        return math.gamma(k / 2) * math.gamma(3) / math.gamma(k / 2 + 3)

    return beta(power + d) / beta(d)


def mean_cosine(d: int) -> float:
    """<|cos|> between a direction and an axis: 1, 2/pi, 1/2."""
    return math.gamma(d / 2) / (math.sqrt(math.pi) * math.gamma((d + 1) / 2))


def graded_box(d: int, n: int) -> Discretization:
    build = {2: generation.square, 3: generation.box}[d]
    return from_mesh(build(n, grading=2.0))


def moment_errors(d: int, point: list[float], radius: float, expected: list[float]):
    target = at(torch.tensor([point], dtype=torch.float64))
    sizes = {2: (16, 23, 32, 45), 3: (7, 10, 14, 18)}[d]
    errors = []
    for n in sizes:
        found = domain_moments(graded_box(d, n), target, radius)[0]
        assert len(found) == n_moments(d)
        errors.append(float((found - torch.tensor(expected).double()).abs().max()))
    return sizes, errors


@pytest.mark.parametrize("d", [2, 3])
def test_moments_inside_are_one_and_zeros(d):
    expected = [1.0] + [0.0] * (n_moments(d) - 1)
    sizes, errors = moment_errors(d, [0.5, 0.45, 0.52][:d], 0.44, expected)
    assert errors[-1] < 0.06
    assert rate(sizes, errors) > 1.6


@pytest.mark.parametrize("d", [2, 3])
def test_moments_on_a_straight_side(d):
    """Half the mass; the first moment <|xi_1|>/2 points inwards; the rest vanish.

    `<|xi_1|> = <rho> <|cos|>`, over its size `(d + 6)^(-1/2)`. Second moments of a half
    ball are half of those of the ball, as are those of their means: no difference.
    """
    first = window_mean(1, d) * mean_cosine(d) * math.sqrt(d + 6) / 2
    expected = [0.5, first] + [0.0] * (n_moments(d) - 2)
    sizes, errors = moment_errors(d, [0.0, 0.5, 0.5][:d], 0.45, expected)
    assert errors[-1] < 0.05
    assert rate(sizes, errors) > 1.6


@pytest.mark.parametrize("d", [2, 3])
def test_moments_near_a_straight_side(d):
    """All of them, by integrating over the distance s from the plane through the point.

    A slice of the ball at s holds `(1 - s^2)^((d + 3)/2)` of the window, and in it
    `<xi_2^2> = (1 - s^2)/(d + 5)`: it is a ball of one dimension less.
    """
    distance, radius = 0.16, 0.4
    node, weight = np.polynomial.legendre.leggauss(200)
    density = weight * (1 - node**2) ** ((d + 3) / 2)
    s = (1 + distance / radius) / 2 * (node + 1) - distance / radius
    part = weight * (1 - s**2) ** ((d + 3) / 2) / density.sum()
    part *= (1 + distance / radius) / 2
    second, mixed = 1 / (d + 6), 1 / ((d + 6) * (d + 8))
    size = math.sqrt(3 * mixed - second**2)
    along = part @ (s**2 - second) / size
    across = part @ ((1 - s**2) / (d + 5) - second) / size
    first = part @ s / math.sqrt(second)
    expected = {
        2: [part.sum(), first, 0, along, 0, across],
        3: [part.sum(), first, 0, 0, along, 0, 0, across, 0, across],
    }[d]
    assert min(abs(along), abs(across)) > 0.02
    sizes, errors = moment_errors(d, [distance, 0.5, 0.5][:d], radius, expected)
    assert errors[-1] < 0.005
    assert rate(sizes, errors) > 1.3


def test_moments_in_a_corner():
    """A quarter of the mass; `<|xi_1 xi_2|>/4 = <rho^2>/(4 pi)` for the mixed one."""
    first = window_mean(1, 2) * mean_cosine(2) * math.sqrt(8) / 4
    mixed = window_mean(2, 2) / math.pi * math.sqrt(8 * 10) / 4
    sizes, errors = moment_errors(
        2, [0.0, 0.0], 0.6, [0.25, first, first, 0.0, mixed, 0.0]
    )
    assert errors[-1] < 0.01
    assert rate(sizes, errors) > 1.6


def test_moments_are_those_of_the_window_itself():
    """Far finer than the ball, the polynomials have mean 0 and size 1 under it."""
    source = from_mesh(generation.square(60))
    plan = kernel_plan(source, at(torch.tensor([[0.5, 0.5]]).double()), 0.45)
    xi, w = plan.offset.numpy(), plan.weight.numpy()
    second, mixed = 1 / 8, 1 / 80
    assert w @ xi[:, 0] ** 2 == pytest.approx(second, rel=1e-3)
    assert w @ (xi[:, 0] * xi[:, 1]) ** 2 == pytest.approx(mixed, rel=1e-3)
    assert w @ xi[:, 0] ** 4 == pytest.approx(3 * mixed, rel=1e-3)


# --- the norm in the measure --------------------------------------------------------


def test_normed_fields_have_mean_square_one():
    """Over channels and domain, for each sample of a batch on its own."""
    domain = pack([body(2, 5), body(2, 7, 3.0)])
    scale = torch.tensor([1e-3, 50.0]).double()[domain.sample]
    u = scale[:, None] * waves(3)(domain.points)
    norm = MeasureNorm(3, eps=0.0).double()
    v = norm(u, domain)
    assert (domain.mean(v.square().mean(1)) - 1).abs().max() < 1e-12
    # one number divides all: ratios of channels stay
    assert (v[:, 0] * u[:, 1] - v[:, 1] * u[:, 0]).abs().max() < 1e-12 * u.abs().max()


def test_gain_and_eps_are_where_the_formula_has_them():
    domain = body(2, 4)
    u = torch.full((len(domain), 2), 3.0).double()
    norm = MeasureNorm(2, eps=16.0).double()
    with torch.no_grad():
        norm.gain.copy_(torch.tensor([1.0, 10.0]))
    expected = torch.tensor([3 / 5, 30 / 5], dtype=torch.float64)
    assert (norm(u, domain) - expected).abs().max() < 1e-14


def test_a_zero_field_stays_zero():
    domain = body(2, 4)
    v = MeasureNorm(2).double()(torch.zeros(len(domain), 2).double(), domain)
    assert torch.equal(v, torch.zeros_like(v))


def test_split_points_leave_the_norm_alone():
    domain = body(2, 5, 2.0)
    weights = torch.cat([domain.weights, domain.weights[:30] / 2])
    weights[:30] /= 2
    split = Discretization(torch.cat([domain.points, domain.points[:30]]), weights)
    norm, field = MeasureNorm(2).double(), waves(2)
    one = norm(field(domain.points), domain)
    other = norm(field(split.points), split)[: len(domain)]
    assert (one - other).abs().max() < 1e-13


@pytest.mark.parametrize("grading", [1.0, 3.0])
def test_the_norm_converges_to_that_of_the_field(grading):
    """The mean of x^2 over the unit disk is 1/4, so x becomes 2 x: error O(h^2)."""
    sizes, errors = (8, 11, 16, 23), []
    norm = MeasureNorm(1, eps=0.0).double()
    for n in sizes:
        domain = body(2, n, grading)
        x = domain.points[:, :1]
        errors.append(float((norm(x, domain) - 2 * x).detach().abs().max()))
    assert errors[-1] < 0.01
    assert 1.8 < rate(sizes, errors) < 2.3
