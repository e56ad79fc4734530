"""Attention in the measure, against loops, dense sums and integrals that are known.

The six laws of all layers and of the model are kept by `tests/test_contract.py`.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from isofield.discretization import Discretization, pack
from isofield.layers.attention import AttentionPlan, IntegralAttention
from isofield.layers.operator import Operator
from isofield.layers.slice_attention import SliceAttention, slice_means
from isofield.models import SliceTransformer
from isofield.testing import assert_families_agree, body, families, probes, waves

FORMS = pytest.mark.parametrize("form", ["softmax", "linear"])
GRADINGS = pytest.mark.parametrize("grading", [1.0, 3.0])
SIZES = (7, 10, 14, 20)


def at(points) -> Discretization:
    """Targets, of whose weights nobody knows."""
    return Discretization(points, torch.ones(len(points), dtype=points.dtype))


def places(count: int = 40) -> torch.Tensor:
    """Points in the unit disk, some of them next to its boundary."""
    found = probes(2, count)
    assert isinstance(found, torch.Tensor)
    return found


def rate(errors) -> float:
    return -float(np.polyfit(np.log(SIZES), np.log(errors), 1)[0])


def polar(n: int = 24) -> Discretization:
    """Gauss in the radius and equal angles: exact to rounding for smooth functions."""
    t, w = np.polynomial.legendre.leggauss(n)
    r, angle = (t + 1) / 2, 2 * np.pi * np.arange(3 * n) / (3 * n)
    points = np.stack([np.outer(r, f(angle)).ravel() for f in (np.cos, np.sin)], 1)
    weights = np.repeat(w / 2 * r, 3 * n) * 2 * np.pi / (3 * n)
    return Discretization(torch.from_numpy(points), torch.from_numpy(weights))


def attention(dimension: int | None = 2, **more) -> IntegralAttention:
    torch.manual_seed(1)
    more = {"heads": 2, "width": 12, **more}
    return IntegralAttention(3, 2, dimension, **more).double()


def asked(layer, u, source, target, queries=None):
    """Queries (M, H, D), keys and values (N, H, D) of one layer, as arrays."""
    q = layer.query_place(target.points)
    k = layer.key(u) + layer.key_place(source.points)
    if queries is not None:
        q = q + layer.query(queries)
    parts = (q, k, layer.value(u))
    return [p.unflatten(1, (layer.heads, -1)).detach().numpy() for p in parts]


# --- the integrals ------------------------------------------------------------------


@pytest.mark.parametrize("with_queries", [False, True])
@FORMS
def test_the_ratio_of_sums_that_defines_it(form, with_queries):
    source, target = body(2, 5, 3.0), at(places(9))
    layer = attention(form=form, query_channels=4 if with_queries else 0)
    u, queries = waves(3)(source.points), waves(4)(target.points)
    queries = queries if with_queries else None
    found = layer(u, layer.prepare(source, target), queries).detach().numpy()

    q, k, v = asked(layer, u, source, target, queries)
    w, expected = source.weights.numpy(), []
    for i in range(len(target)):
        heads = []
        for h in range(2):
            numerator, denominator = np.zeros(6), 0.0
            for j in range(len(source)):
                if form == "softmax":
                    a = math.exp(q[i, h] @ k[j, h] / math.sqrt(6))
                else:
                    a = np.log1p(np.exp(q[i, h])) @ np.log1p(np.exp(k[j, h]))
                numerator += w[j] * a * v[j, h]
                denominator += w[j] * a
            heads.append(numerator / denominator)
        expected.append(np.concatenate(heads))
    weight, bias = (p.detach().numpy() for p in layer.project.parameters())
    expected = np.array(expected) @ weight.T + bias
    assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()
    assert np.ptp(expected, axis=0).min() > 1e-3


def test_equal_weights_are_the_attention_of_tokens():
    points, target = places(30), at(places(7))
    source = Discretization(points, torch.full((30,), 0.37, dtype=torch.float64))
    layer, u = attention(), waves(3)(points)
    q, k, v = (
        torch.from_numpy(part).transpose(0, 1)
        for part in asked(layer, u, source, target)
    )
    tokens = scaled_dot_product_attention(q, k, v).transpose(0, 1).flatten(1)
    found = layer(u, layer.prepare(source, target))
    assert torch.allclose(found, layer.project(tokens), rtol=1e-12, atol=1e-13)
    # and other weights are not
    source = Discretization(points, torch.linspace(0.1, 1, 30, dtype=torch.float64))
    found = layer(u, layer.prepare(source, target))
    assert (found - layer.project(tokens)).abs().max() > 1e-2


@GRADINGS
@FORMS
def test_it_converges_to_the_integral_as_fast_as_the_weights(form, grading):
    layer, target = attention(form=form), at(places(20))
    exact = polar()
    assert float(exact.measure()) == pytest.approx(math.pi, rel=1e-13)

    def output(source):
        u = waves(3)(source.points)
        return layer(u, layer.prepare(source, target)).detach()

    limit = output(exact)
    assert (output(polar(16)) - limit).abs().max() < 1e-10
    errors = [float((output(body(2, n, grading)) - limit).abs().max()) for n in SIZES]
    assert errors[-1] < 0.02 * float((limit - limit.mean(0)).abs().max())
    assert 1.75 < rate(errors) < 3


def test_constants_stay_constants():
    """The weights of a target have the sum 1, on any mesh."""
    source = body(2, 6, 3.0)
    layer = attention()
    u = torch.ones(len(source), 3, dtype=torch.float64)
    found = layer(u, layer.prepare(source, at(places(9))))
    expected = layer.project(layer.value(u[:1])).expand(9, 2)
    assert torch.allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_self_attention_of_features_alone():
    """Positions do not enter: a body that is bent has the same output."""
    source = body(2, 5, 2.0)
    layer, u = attention(None, query_channels=3), waves(3)(source.points)
    bent = Discretization(source.points.flip(1) ** 3, source.weights)
    one, other = (layer(u, layer.prepare(b, b), u).detach() for b in (source, bent))
    assert torch.equal(one, other)
    assert one.std() > 1e-2


@FORMS
def test_samples_do_not_see_each_other(form):
    one, other = body(2, 5), body(2, 4, 2.0)
    layer, both = attention(form=form), pack([one, other])
    u = waves(3)(both.points)
    plan = layer.prepare(both, both)
    changed = u.clone()
    changed[len(one) :] += 1
    before, after = layer(u, plan), layer(changed, plan)
    assert torch.equal(before[: len(one)], after[: len(one)])
    assert (before - after)[len(one) :].abs().max() > 0.1


# --- differentiation, blocks, precision ---------------------------------------------


@FORMS
def test_gradients_in_field_queries_points_and_weights(form):
    source, target = body(2, 2), at(places(3))
    layer = attention(form=form, width=4, query_channels=2)
    u, queries = waves(3)(source.points), waves(2)(target.points)

    def applied(u, queries, points, weights):
        plan = layer.prepare(Discretization(points, weights), target)
        return layer(u, plan, queries)

    inputs = (u, queries, source.points.clone(), source.weights.clone())
    assert torch.autograd.gradcheck(applied, [x.requires_grad_() for x in inputs])


def test_blocks_change_nothing():
    """17 targets of 2 heads and N points at a time, the last block shorter."""
    source, target = body(2, 5, 3.0), at(places(40))
    u = waves(3)(source.points).requires_grad_()
    results = []
    for chunk in (1 << 24, 17 * 2 * len(source)):
        layer = attention(chunk=chunk)
        v = layer(u, layer.prepare(source, target))
        gradients = torch.autograd.grad(v.square().sum(), [u, *layer.parameters()])
        results.append([v.detach(), *gradients])
    for whole, blocks in zip(*results, strict=True):
        assert (whole - blocks).abs().max() <= 1e-12 * whole.abs().max().clamp(min=1)


@FORMS
def test_memory_grows_with_points_and_not_with_pairs(form):
    """Bytes kept for the backward pass, with weights that carry gradients: for these
    torch has no kernel that would keep no pairs."""
    layer, kept = attention(form=form, chunk=1 << 17).float(), {}
    for n in (16, 32):
        mesh = body(2, n, dtype=torch.float32)
        weights = mesh.weights.clone().requires_grad_()
        source, storages = Discretization(mesh.points, weights), {}

        def keep(tensor, storages=storages):
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            v = layer(waves(3)(source.points), layer.prepare(source, source))
        assert v.requires_grad
        kept[len(source)] = sum(storage.nbytes() for storage in storages.values())
    few, many = kept
    assert kept[many] / kept[few] < 1.2 * many / few
    assert 4 * 12 * many < kept[many] < 0.1 * 4 * 2 * many**2


def test_nothing_of_a_mesh_is_kept_and_halves_or_no_targets_are_served():
    source = body(2, 6, dtype=torch.float32)
    layer, u = attention().float(), waves(3)(source.points)
    plan = layer.prepare(source, source)
    assert max(p.numel() for p in layer.state_dict().values()) <= 12 * 12
    with torch.autocast("cpu", torch.bfloat16):
        found = [layer(x, plan) for x in (u, u.bfloat16())]
    for halved in found:
        assert halved.dtype == torch.bfloat16
        assert (halved.float() - layer(u, plan)).abs().max() < 0.05
    nobody = at(u.new_zeros(0, 2))
    assert layer(u, layer.prepare(source, nobody)).shape == (0, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"form": "cosine"}, "form: expected 'softmax' or 'linear', got 'cosine'"),
        ({"heads": 5}, "heads: expected a divisor of the width 12, got 5"),
        ({"heads": 0}, "heads: expected a divisor of the width 12, got 0"),
        ({"dimension": None}, "nothing to ask with: give the dimension"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        attention(**arguments)


def test_bad_input():
    source, target = body(2, 4), at(places(5))
    layer = attention(query_channels=2)
    plan = layer.prepare(source, target)
    u = waves(3)(source.points)
    with pytest.raises(ValueError, match=r"queries: expected \(5, 2\) .* got None"):
        layer(u, plan)
    with pytest.raises(ValueError, match=r"u: expected \(\d+, 3\), got \(\d+, 1\)"):
        layer(u[:, :1], plan, u[:5, :2])
    with pytest.raises(ValueError, match=r"queries: expected None as .* = 0 says"):
        attention()(u, plan, u[:5, :2])
    with pytest.raises(ValueError, match="as many samples in both, got 1 and 2"):
        layer.prepare(source, pack([target, target]))
    empty = Discretization(
        source.points, source.weights, torch.tensor([0, 0, len(source)])
    )
    with pytest.raises(ValueError, match="sample 0 has no source point to see"):
        layer.prepare(empty, pack([target, target]))


# --- slices -------------------------------------------------------------------------


def slicing(channels: int = 8, **more) -> SliceAttention:
    torch.manual_seed(3)
    return SliceAttention(channels, **{"heads": 2, "slices": 5, **more}).double()


def test_slices_by_the_sums_that_define_them():
    domain, layer = body(2, 4, 3.0), slicing()
    u = waves(8)(domain.points)
    found = layer(u, domain).detach().numpy()

    logits = layer.assign(u).unflatten(1, (2, 5)).detach().numpy()
    s = np.exp(logits) / np.exp(logits).sum(2, keepdims=True)
    v = layer.value(u).unflatten(1, (2, 4)).detach().numpy()
    w = domain.weights.numpy()
    heads = []
    for h in range(2):
        z = np.array([(w * s[:, h, g]) @ v[:, h] / (w @ s[:, h, g]) for g in range(5)])
        q, k, value = (
            p.detach().numpy() for p in layer.exchange(torch.from_numpy(z)).chunk(3, 1)
        )
        a = np.exp(q @ k.T / 2)
        heads.append(s[:, h] @ (z + (a / a.sum(1, keepdims=True)) @ value))
    weight, bias = (p.detach().numpy() for p in layer.project.parameters())
    expected = np.concatenate(heads, 1) @ weight.T + bias
    assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()
    assert np.ptp(expected, axis=0).min() > 1e-3


@GRADINGS
def test_slices_converge_as_fast_as_the_weights(grading):
    layer, x = slicing(), places(20)

    def output(domain):
        u, here = waves(8)(domain.points), waves(8)(x)
        tokens = layer.tokens(u, layer.shares(u), domain)
        return layer.spread(layer.shares(here), tokens, at(x)).detach()

    limit = output(polar())
    errors = [float((output(body(2, n, grading)) - limit).abs().max()) for n in SIZES]
    assert errors[-1] < 0.02 * float((limit - limit.mean(0)).abs().max())
    assert 1.75 < rate(errors) < 3


class Slices(Operator):
    """From any points to any others: the features are waves of the position.

    Slice sums over bare points, as published, are the counterexample.
    """

    def __init__(self, weighted: bool) -> None:
        super().__init__()
        self.attention, self.weighted = slicing(), weighted

    def prepare(self, source, target):
        weights = source.weights if self.weighted else torch.ones_like(source.weights)
        return AttentionPlan(Discretization(source.points, weights), target)

    def forward(self, u, plan):
        at_source, at_target = (waves(8)(b.points) for b in (plan.source, plan.target))
        layer = self.attention
        tokens = layer.tokens(at_source, layer.shares(at_source), plan.source)
        return layer.spread(layer.shares(at_target), tokens, plan.target)


def test_slices_of_bare_points_keep_a_difference_between_meshes():
    """Weighted, uniform and graded meshes agree at rate 2; unweighted at a plateau."""
    meshes, x = families(2), places()
    assert_families_agree(Slices(weighted=True), meshes, waves(1), x, rate=1.75)
    bare = Slices(weighted=False)
    with pytest.raises(AssertionError, match="two families: the fitted rate is"):
        assert_families_agree(bare, meshes, waves(1), x, rate=1)

    def difference(operator, h):
        one, other = (
            operator(waves(1)(mesh.points), operator.prepare(mesh, at(x))).detach()
            for mesh in meshes[h]
        )
        return float((one - other).square().mean().sqrt() / (one - one.mean(0)).std())

    coarse, fine = (difference(bare, 1 / n) for n in (SIZES[0], SIZES[-1]))
    assert fine > 0.02
    assert fine > 0.7 * coarse
    assert difference(Slices(weighted=True), 1 / SIZES[-1]) < 0.1 * fine


def test_a_slice_of_no_measure_has_a_mean():
    """Shares of e^-1000 are 0 in any precision, and their ratio is not."""
    shares = torch.tensor([0.0, -2.0, 1.0])[:, None, None].expand(3, 1, 2) - 1000
    values, weights = torch.tensor([[[1.0]], [[3.0]], [[-2.0]]]), torch.ones(3)
    weights[1] = 2.0
    found = slice_means(shares, values, weights)
    a, b, c = 1.0, 2 * math.exp(-2), math.exp(1)
    expected = (a + 3 * b - 2 * c) / (a + b + c)
    assert found.flatten().tolist() == pytest.approx([expected] * 2, rel=1e-6)


def test_gradients_of_slices():
    domain, layer = body(2, 2), slicing(4, slices=3)
    u = waves(4)(domain.points).requires_grad_()
    weights = domain.weights.clone().requires_grad_()

    def applied(u, weights):
        return layer(u, Discretization(domain.points, weights))

    assert torch.autograd.gradcheck(applied, (u, weights))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"heads": 3}, "heads: expected a divisor of the width 8, got 3"),
        ({"slices": 0}, "slices: expected at least 1, got 0"),
    ],
)
def test_bad_arguments_of_slices(arguments, message):
    with pytest.raises(ValueError, match=message):
        SliceAttention(8, **arguments)


# --- the model ----------------------------------------------------------------------


def transformer(**more) -> SliceTransformer:
    torch.manual_seed(2)
    size = {"radius": 1.2, "width": 12, "heads": 2, "slices": 6, "blocks": 2, **more}
    return SliceTransformer(3, 2, 2, **size).double()


def test_targets_do_not_see_each_other():
    """The output is a function of the point, whatever else is asked for."""
    source, x = body(2, 8), places()
    model, u = transformer(), waves(3)(source.points)
    few, many = (model(u, model.prepare(source, at(p))) for p in (x[:3], x))
    assert torch.allclose(few, many[:3], rtol=1e-12, atol=1e-13)


def half(domain: Discretization) -> Discretization:
    """The body in the scaled coordinates, where its extent is 1."""
    return Discretization(domain.points / 2, domain.weights / 4)


def test_outputs_begin_with_size_one():
    source = half(body(2, 8, dtype=torch.float32))
    size = []
    for seed in range(4):
        torch.manual_seed(seed)
        model, u = SliceTransformer(3, 8, 2, radius=0.19), waves(3)(2 * source.points)
        with torch.no_grad():
            out = model(u, model.prepare(source, source))
        size.append(float(out.square().mean().sqrt()))
    assert 0.4 < np.mean(size) < 2


def test_it_learns_an_integral_and_keeps_it_on_other_meshes():
    """The field less its mean over the disk, from two meshes to two others."""
    torch.manual_seed(0)
    size = {"width": 32, "heads": 4, "slices": 8, "blocks": 1}
    model = SliceTransformer(1, 1, 2, radius=0.3, **size)
    random = torch.Generator().manual_seed(0)

    def on(gradings, n):
        meshes = [half(body(2, n, g, torch.float32)) for g in gradings]
        domain = pack([mesh for mesh in meshes for _ in range(4)])
        return domain, model.prepare(domain, domain)

    def error(domain, plan):
        """Of a field for each sample, of 1, xy and two waves."""
        x, y = 2 * domain.points.T
        parts = torch.stack([torch.ones_like(x), 2 * x * y, (3 * x).cos(), y.sin()], 1)
        factors = torch.randn(domain.n_samples, 4, generator=random)
        u = (factors[domain.sample] * parts).sum(1, keepdim=True)
        wanted = u - domain.mean(u)[domain.sample]
        return domain.norm(model(u, plan) - wanted).sum() / domain.norm(wanted).sum()

    known, unseen = on((1.0, 2.0), 5), on((1.0, 3.0), 8)
    with torch.no_grad():
        before = float(error(*unseen))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for step in range(180):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / 180)
        loss = error(*known)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        after = float(torch.stack([error(*unseen) for _ in range(5)]).mean())
    assert before > 0.8
    assert after < 0.25
