"""Fourier modes in the measure, against sums and transforms that are known."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy.special import j1

from isofield import Discretization
from isofield.discretization import pack
from isofield.graph import radius_graph
from isofield.layers import fourier_conv
from isofield.layers.fourier_conv import FourierConv, hats, wave_numbers
from isofield.layers.local_mean import LocalMean
from isofield.layers.moments import domain_moments
from isofield.models import FourierOperator
from isofield.operators.product import sparse_product
from isofield.plan import pack_plans
from isofield.testing import body, probes, waves

SIZES = (12, 17, 24, 34)


def at(points) -> Discretization:
    """Targets, of whose weights nobody knows."""
    return Discretization(points, torch.ones(len(points), dtype=points.dtype))


def rate(sizes, errors) -> float:
    return -float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])


def conv(d: int, modes: int = 2, out: int = 2, **more) -> FourierConv:
    torch.manual_seed(1)
    return FourierConv(3, out, d, 2.6, modes=modes, **more).double()


def identity(d: int, modes: int, period: float) -> FourierConv:
    """R_k = 1: the best trigonometric polynomial where the weights are exact."""
    layer = FourierConv(1, 1, d, period, modes=modes).double()
    with torch.no_grad():
        layer.coefficients.zero_()[:, :, 0] = 1
    return layer


def torus(d: int, n: int, period: float) -> Discretization:
    """n^d points of equal weight: exact for waves shorter than n."""
    axis = period * torch.arange(n, dtype=torch.float64) / n
    points = torch.cartesian_prod(*[axis] * d).view(-1, d)
    weight = torch.full((len(points),), (period / n) ** d, dtype=torch.float64)
    return Discretization(points, weight)


@pytest.mark.parametrize("modes", [0, 1, 4])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_every_wave_number_or_its_opposite_comes_once(d, modes):
    found = (wave_numbers(d, modes, 2 * math.pi)).round().long()
    assert (found[0] == 0).all()
    both = {*map(tuple, found.tolist()), *map(tuple, (-found).tolist())}
    axis = range(-modes, modes + 1)
    wanted = {n for n in product(axis, repeat=d) if sum(x * x for x in n) <= modes**2}
    assert both == wanted
    assert len(wanted) == 2 * len(found) - 1


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_complex_sum_that_defines_it(d):
    source, target = body(d, 6 if d < 3 else 3, 2.0), at(probes(d, 12))
    layer, u = conv(d), waves(3)(source.points)
    found = layer(u, layer.prepare(source, target)).detach().numpy()
    x, y, w = target.points.numpy(), source.points.numpy(), source.weights.numpy()
    matrices = layer.coefficients.detach().numpy()
    expected = np.zeros((12, 2), dtype=complex)
    for k, matrix in zip(layer.numbers.numpy(), matrices, strict=True):
        filtered = matrix[:, :2] + 1j * matrix[:, 2:]
        for sign in (1, -1) if k.any() else (1,):
            c = (w * np.exp(-1j * sign * (y @ k))) @ u.numpy() / 2.6**d
            turned = filtered if sign == 1 else filtered.conj()
            expected += np.exp(1j * sign * (x @ k))[:, None] * (c @ turned)
    # R_0 has an imaginary part that a real field cannot show
    expected = np.real(expected)
    assert np.abs(found - expected).max() <= 1e-13 * np.abs(expected).max()
    assert np.ptp(expected, axis=0).min() > 1e-3


@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_wave_within_the_modes_is_kept_and_one_past_them_is_not(d):
    """On weights that integrate all products of the waves exactly."""
    period, modes = 2.6, 3
    source, target = torus(d, 2 * modes + 2, period), at(probes(d, 12))
    layer = identity(d, modes, period)
    for n in (0, 1, modes, modes + 1):

        def wave(points, n=n):
            return (2 * math.pi * n / period * points[:, -1:] + 0.3).cos()

        found = layer(wave(source.points), layer.prepare(source, target)).detach()
        expected = wave(target.points) if n <= modes else 0 * found
        assert (found - expected).abs().max() < 1e-13
    # one point less along a side: the shortest wave is mistaken for another
    source = torus(d, 2 * modes, period)
    shortest = (2 * math.pi * modes / period * source.points[:, -1:] + 0.3).cos()
    found = layer(shortest, layer.prepare(source, source)).detach()
    assert (found - shortest).abs().max() > 0.1


def test_constants_give_the_transform_of_the_domain():
    """c_k of the unit disk is `2 pi J_1(|k|)/|k| / P^2`, here at rate 2."""
    layer, target = identity(2, 4, 2.6), at(probes(2, 20))
    length = layer.numbers.norm(dim=1).numpy()
    transform = np.full(len(length), math.pi)
    transform[1:] = 2 * math.pi * j1(length[1:]) / length[1:]
    phase = target.points.numpy() @ layer.numbers.numpy().T
    twice = np.where(length > 0, 2.0, 1.0)
    expected = (np.cos(phase) * twice * transform).sum(1) / 2.6**2
    errors = []
    for n in SIZES:
        source = body(2, n, 3.0)
        one = torch.ones(len(source), 1, dtype=torch.float64)
        found = layer(one, layer.prepare(source, target)).detach().numpy()[:, 0]
        errors.append(np.abs(found - expected).max())
    assert errors[-1] < 0.01 * np.abs(expected).max()
    assert 1.75 < rate(SIZES, errors) < 3


def test_gradients_in_field_coefficients_and_points():
    layer, source = conv(2, modes=1), body(2, 2)
    points = source.points.clone().requires_grad_()
    u = waves(3)(source.points).requires_grad_()

    def applied(u, points, coefficients):
        plan = layer.prepare(Discretization(points, source.weights), at(probes(2, 3)))
        return torch.func.functional_call(
            layer, {"coefficients": coefficients}, (u, plan)
        )

    assert torch.autograd.gradcheck(applied, (u, points, layer.coefficients))


def test_the_output_begins_as_large_as_the_input():
    """A field of the modes, of mean square 1, comes out of mean square 1 or so."""
    torch.manual_seed(0)
    layer, source = FourierConv(64, 64, 2, 2.6, modes=4).double(), torus(2, 12, 2.6)
    plan = layer.prepare(source, source)
    u = plan.source.values @ torch.randn(plan.source.values.shape[1], 64).double()
    u = u / u.square().mean().sqrt()
    assert 0.8 < float(layer(u, plan).detach().square().mean()) < 1.2


def test_nothing_of_a_mesh_is_kept_and_halves_stay_whole_under_autocast():
    layer, source = conv(2).float(), body(2, 6, dtype=torch.float32)
    assert list(layer.state_dict()) == ["coefficients"]
    u, plan = waves(3)(source.points), layer.prepare(source, source)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(u, plan), layer(u, plan).float())
    assert torch.equal(layer(u, plan), layer(u.double(), plan))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"period": 0.0}, "period: expected a positive length, got 0.0"),
        ({"period": 1.0, "modes": -1}, "modes: expected 0 or more waves, got -1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        FourierConv(1, 1, 2, **arguments)
    with pytest.raises(ValueError, match="radius: expected a positive length"):
        LocalMean(0.0)


# --- the local mean -----------------------------------------------------------------


def test_mean_of_constants_is_the_zeroth_moment():
    source, target = body(2, 8, 2.0), at(probes(2))
    layer = LocalMean(0.6)
    one = torch.ones(len(source), 1, dtype=torch.float64)
    found = layer(one, layer.prepare(source, target))
    assert torch.allclose(found, domain_moments(source, target, 0.6)[:, :1])
    assert found.min() < 0.6 < found.max()


def test_linear_fields_keep_their_value_inside():
    """The window has no first moment: rate 2, from lumped weights on graded meshes."""
    layer, target = LocalMean(0.5), at(probes(2, 20) * 0.4)  # type: ignore[operator]
    errors = []
    for n in SIZES:
        source = body(2, n, 3.0)
        found = layer(2 + source.points, layer.prepare(source, target))
        errors.append(float((found - 2 - target.points).abs().max()))
    assert errors[-1] < 0.02
    assert rate(SIZES, errors) > 1.75


def test_sparse_products_are_differentiable_in_values_as_in_fields():
    source, target = body(2, 2), at(probes(2, 3))
    graph = radius_graph(source, target, 0.6)
    u = waves(2)(source.points).requires_grad_()
    values = torch.rand(graph.n_edges, dtype=torch.float64, requires_grad=True)

    def applied(u, values):
        return sparse_product(u, values, graph)

    assert torch.autograd.gradcheck(applied, (u, values))
    assert torch.autograd.gradgradcheck(applied, (u, values))


# --- the model ----------------------------------------------------------------------


def operator(**more) -> FourierOperator:
    torch.manual_seed(2)
    size = {"radius": 1.2, "period": 2.6, "width": 12, "blocks": 2, **more}
    return FourierOperator(3, 2, 2, **size).double()


def test_waves_that_the_base_does_not_resolve_are_left_out():
    """Radius 1.2 is a base of spacing 0.4: along 2.6 three waves of 0.8 or longer."""
    three = operator(modes=3).last.numbers
    assert torch.equal(operator(modes=9).last.numbers, three)
    assert len(operator(modes=2).last.numbers) < len(three)


@pytest.mark.parametrize(("given", "channels"), [({}, 24), ({"hidden": 7}, 7)])
def test_hidden_channels_are_twice_the_width_or_as_given(given, channels):
    source, model = body(2, 8), operator(**given)
    assert model.ends.project[0].out_features == channels
    found = model(waves(3)(source.points), model.prepare(source, source))
    assert found.shape == (len(source), 2)


def test_samples_do_not_see_each_other():
    one, other = body(2, 8), body(2, 6, 2.0)
    model, both = operator(), pack([one, other])
    u = waves(3)(both.points)
    v = model(u, model.prepare(both, both))
    alone = model(u[: len(one)], model.prepare(one, one))
    assert torch.allclose(v[: len(one)], alone, rtol=1e-10, atol=1e-12)


def test_samples_side_by_side_are_samples_one_after_the_other(monkeypatch):
    """As on a GPU: outputs and gradients of a batch of three domains."""
    domains = [body(2, n) for n in (5, 8, 6)]
    conv = FourierConv(3, 2, 2, 2.6, modes=4).double()
    plan = pack_plans([conv.prepare(domain, domain) for domain in domains])
    u = waves(3)(pack(domains).points).requires_grad_()
    found = []
    for together in (False, True):
        monkeypatch.setattr(fourier_conv, "_side_by_side", lambda *_, t=together: t)
        v = conv(u, plan)
        slopes = torch.autograd.grad(v.sin().sum(), [u, conv.coefficients])
        found.append([v.detach(), *slopes])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one, rtol=0, atol=1e-12 * float(one.norm()))


# --- isotropic kernels --------------------------------------------------------------


@pytest.mark.parametrize("out", [2, 64])
def test_isotropic_kernels_are_full_ones_with_the_same_matrix_on_every_circle(out):
    """Two channels are filtered first, of 64 the factors are summed first."""
    layer = conv(2, modes=5, out=out, kernel="isotropic")
    full = conv(2, modes=5, out=out)
    along = hats(full.numbers, len(layer.coefficients))
    assert torch.allclose(along.sum(1), torch.ones(len(along), dtype=along.dtype))
    with torch.no_grad():
        full.coefficients[:, :, out:] = 0
        for k, row in enumerate(along):
            matrix = sum(h * w for h, w in zip(row, layer.coefficients, strict=True))
            full.coefficients[k, :, :out] = matrix
    source, target = body(2, 6, 2.0), at(probes(2, 12))
    u = waves(3)(source.points)
    found = layer(u, layer.prepare(source, target))
    expected = full(u, full.prepare(source, target))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def test_isotropic_kernels_turn_with_the_points_by_right_angles():
    """The lattice of waves has this symmetry; others hold up to its cut."""
    layer = conv(2, modes=4, kernel="isotropic")
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    source, target = body(2, 6, 2.0), at(probes(2, 12))
    u = waves(3)(source.points)
    found = layer(u, layer.prepare(source, target))
    turned = Discretization(source.points @ turn, source.weights)
    there = layer(u, layer.prepare(turned, at(target.points @ turn)))
    torch.testing.assert_close(there, found, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("out", [2, 96])
def test_directional_kernels_are_isotropic_ones_and_derivatives_of_such(out):
    """`i k_a / |k| B` is the derivative along a of the kernel B / |k|; 2 channels are
    filtered first, of 96 the factors are summed first."""
    layer, even, odd = (
        conv(2, modes=5, out=out, kernel=kernel)
        for kernel in ("directional", "isotropic", "isotropic")
    )
    size = even.coefficients.shape[2]
    length = torch.linalg.vector_norm(odd.numbers, dim=1).clamp(min=1e-300)
    with torch.no_grad():
        layer.coefficients[:, :, 2 * size :] = 0
        even.coefficients[:] = layer.coefficients[:, :, :size]
        odd.coefficients[:] = layer.coefficients[:, :, size : 2 * size]
        odd.along.div_(length[:, None])  # of k = 0 the derivative is 0 all the same
    source, target = body(2, 6, 2.0), at(probes(2, 12))
    u = waves(3)(source.points)
    found = layer(u, layer.prepare(source, target))
    points = target.points.requires_grad_()
    smooth = odd(u, odd.prepare(source, at(points)))
    slopes = [
        torch.autograd.grad(column.sum(), points, retain_graph=True)[0][:, 0]
        for column in smooth.unbind(1)
    ]
    expected = even(u, even.prepare(source, target)) + torch.stack(slopes, 1)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_kernels_that_do_not_exist():
    with pytest.raises(ValueError, match=r"kernel: expected one of .*, got 'round'"):
        FourierConv(1, 1, 2, 1.3, kernel="round")  # type: ignore[arg-type]
