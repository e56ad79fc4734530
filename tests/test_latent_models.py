"""Latent grids and coarser point sets, against sums and laws that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.fft
import torch

from isofield import Discretization
from isofield.discretization import pack
from isofield.graph import radius_graph
from isofield.layers.fourier_conv import FourierConv
from isofield.layers.kernel_integral import window
from isofield.layers.latent_grid import LatentGrid, latent_grid
from isofield.layers.local_mean import LocalAverage
from isofield.layers.nearest import nearest
from isofield.layers.pooling import (
    PoolingPlan,
    lattice_pooling,
    pool,
    pooling_by,
    unpool,
)
from isofield.layers.spectral_conv import SpectralConv
from isofield.layers.subsampling import point_pooling
from isofield.models import FNO, GINO, UNO, MeshGraphNet, RegionalOperator
from isofield.plan import pack_plans
from isofield.remeshing import subsample
from isofield.testing import body, probes, waves
from isofield.testing.comparing import apply, joined, measured, picked

PERIOD, REACH = 4.0, 0.8


def both(d) -> Discretization:
    """Two different meshes of one shape, as one batch."""
    fine = {1: (8, 6), 2: (8, 6), 3: (4, 3), "sphere": (7, 5)}[d]
    return pack([body(d, n, grading) for n, grading in zip(fine, (2, 1), strict=True)])


def convs(d: int, modes: int = 4) -> tuple[SpectralConv, FourierConv]:
    """The same kernel by transforms of the grid and by sums over points."""
    torch.manual_seed(1)
    spectral = SpectralConv(3, 2, d, PERIOD, modes=modes).double()
    dense = FourierConv(3, 2, d, PERIOD, modes=modes).double()
    dense.load_state_dict(spectral.state_dict())
    return spectral, dense


def unit(d: int, n: int) -> Discretization:
    """The body scaled to the extent 1, as models get it."""
    domain = body(d, n, 2.0)
    return Discretization((domain.points + 1) / 2, domain.weights / 2**d)


def variation(v) -> float:
    return float((v - v.mean(0)).square().mean().sqrt())


def apart(a, b) -> float:
    """Root mean square of a difference over the variation of b."""
    return float((a - b).square().mean().sqrt()) / variation(b)


# --- the grid -----------------------------------------------------------------------


@pytest.mark.parametrize("nodes", [12, 17, 30])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_grid_keeps_the_measure_of_every_sample(d, nodes):
    domain = both(d)
    grid = latent_grid(domain, nodes, PERIOD, REACH)
    assert torch.allclose(grid.domain.measure(), domain.measure(), rtol=1e-13)
    keys = grid.domain.sample * nodes**d + grid.place
    assert len(keys.unique()) == len(keys)
    number = (grid.domain.points * nodes / PERIOD).round().long() % nodes
    scale = nodes ** torch.arange(d - 1, -1, -1)
    assert torch.equal((number * scale).sum(1), grid.place)


def test_the_density_is_one_inside_nothing_outside_and_that_of_the_domain():
    """Where the reach lies inside, the sum over points is the integral of a window."""
    domain, n = body(2, 24), 40
    grid = latent_grid(domain, n, PERIOD, 0.4).domain
    density = grid.weights / (PERIOD / n) ** 2
    length = grid.points.norm(dim=1)
    assert float((density[length < 0.6] - 1).abs().max()) < 0.02
    assert float(length.max()) < 1.4
    assert float(density[length > 1.35].max()) < 1e-3
    # on the boundary about half of the window is inside, less as it is convex
    edge = density[(length - 1).abs() < 0.03]
    assert 0.3 < float(edge.min()) < float(edge.max()) < 0.55


def test_the_density_does_not_depend_on_the_grid():
    domain, found = body(2, 8, 2.0), []
    for n in (20, 40, 80):
        grid = latent_grid(domain, n, PERIOD, REACH)
        density = torch.zeros(n, n, dtype=torch.float64).flatten()
        density[grid.place] = grid.domain.weights * (n / PERIOD) ** 2
        found.append(density.view(n, n)[:: n // 20, :: n // 20])
    errors = [float((a - found[-1]).abs().max()) for a in found[:2]]
    assert errors[1] < errors[0] < 2e-4


@pytest.mark.parametrize("d", [1, 2, 3])
def test_constants_survive_the_grid_and_the_way_back(d):
    domain = both(d)
    grid = latent_grid(domain, 14, PERIOD, REACH)
    one = torch.ones(len(domain), 1, dtype=torch.float64)
    on_grid = pool(one, grid.pooling)
    back = LocalAverage(REACH)
    found = back(on_grid, back.prepare(grid.domain, domain))
    for values in (on_grid, found, unpool(on_grid, grid.pooling)):
        assert float((values - 1).abs().max()) < 1e-13


def test_bad_grids():
    domain = body(2, 6)
    with pytest.raises(ValueError, match="at least 8 nodes"):
        latent_grid(domain, 7, PERIOD, REACH)
    latent_grid(domain, 8, PERIOD, REACH)
    with pytest.raises(
        ValueError, match=r"span 3\.6, expected at most the period 3\.5"
    ):
        latent_grid(domain, 20, 3.5, REACH)
    with pytest.raises(ValueError, match="targets have no source within the radius"):
        LocalAverage(0.1).prepare(
            domain, Discretization(domain.points + 3, domain.weights)
        )
    few = picked(domain, torch.tensor([0]))
    graph = radius_graph(few, few.points + 2, 0.5)
    nothing = torch.zeros(0, dtype=torch.float64)
    with pytest.raises(ValueError, match="1 of 1 points have no coarse point"):
        pooling_by(few, few.points + 2, few.ptr, graph, nothing)


# --- the convolution on it ----------------------------------------------------------


@pytest.mark.parametrize("nodes", [13, 14])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_transforms_equal_sums_over_points(d, nodes):
    """`FourierConv` with the same coefficients, on the nodes as on any points."""
    spectral, dense = convs(d)
    grid = latent_grid(both(d), nodes, PERIOD, REACH)
    u = torch.randn(len(grid.domain), 3, dtype=torch.float64)
    expected = dense(u, dense.prepare(grid.domain, grid.domain)).detach()
    found = spectral(u, grid).detach()
    assert float((found - expected).abs().max()) < 1e-10 * float(expected.std())


@pytest.mark.parametrize("d", [1, 2, 3])
def test_transforms_equal_those_of_scipy(d):
    """All waves of the grid one by one, of an array that holds 0 beyond the domain."""
    n, (spectral, _) = 11, convs(d, 3)
    grid = latent_grid(body(d, 4, 2.0), n, PERIOD, REACH)
    u = torch.randn(len(grid.domain), 3, dtype=torch.float64)
    array = np.zeros((n**d, 3))
    array[grid.place.numpy()] = (grid.domain.weights[:, None] * u).numpy()
    axes = tuple(range(d))
    c = scipy.fft.fftn(array.reshape(*[n] * d, 3), axes=axes) / PERIOD**d
    filtered = np.zeros((*[n] * d, 2), dtype=complex)
    matrices = spectral.coefficients.detach().numpy()
    for k, matrix in zip(spectral.numbers.numpy(), matrices, strict=True):
        r = matrix[:, :2] + 1j * matrix[:, 2:]
        filtered[tuple(-k % n)] = c[tuple(-k % n)] @ r.conj()
        filtered[tuple(k % n)] = c[tuple(k % n)] @ (r if k.any() else r.real)
    v = scipy.fft.ifftn(filtered, axes=axes, norm="forward")
    assert np.abs(v.imag).max() < 1e-13 * np.abs(v.real).max()
    expected = v.real.reshape(-1, 2)[grid.place.numpy()]
    found = spectral(u, grid).detach().numpy()
    assert np.abs(found - expected).max() < 1e-12 * np.abs(expected).max()


def test_shifts_by_whole_spacings_change_nothing():
    """The grid is a torus: it has neither a beginning nor an end."""
    domain, (spectral, _) = body(2, 6, 2.0), convs(2)
    found = []
    for steps in (0, 5):
        points = domain.points + steps * PERIOD / 16
        grid = latent_grid(Discretization(points, domain.weights), 16, PERIOD, REACH)
        u = waves(3)(grid.domain.points - steps * PERIOD / 16)
        found.append(spectral(u, grid).detach())
    assert torch.allclose(*found, rtol=0, atol=1e-12)


def test_a_finer_grid_is_the_same_integral():
    """And is not without its weights: sums grow fourfold."""
    domain, (_, dense) = body(2, 8, 2.0), convs(2)
    target = measured(probes(2))
    found: list = [[], []]
    for n in (12, 18, 24, 48):
        grid = latent_grid(domain, n, PERIOD, REACH)
        for values, weights in zip(
            found,
            (grid.domain.weights, torch.ones_like(grid.domain.weights)),
            strict=True,
        ):
            nodes = replace(grid.domain, weights=weights)
            v = dense(waves(3)(nodes.points), dense.prepare(nodes, target)).detach()
            values.append(v)
    drift = [apart(v, found[0][-1]) for v in found[0][:-1]]
    assert drift[0] < 0.01
    assert drift[2] < drift[0] / 3
    assert apart(found[1][1], found[1][0]) > 1


def test_gradients_of_the_convolution():
    spectral, _ = convs(2, 1)
    grid = latent_grid(body(2, 2), 8, PERIOD, REACH)
    u = torch.randn(len(grid.domain), 3, dtype=torch.float64, requires_grad=True)

    def applied(u, coefficients):
        parameters = {"coefficients": coefficients}
        return torch.func.functional_call(spectral, parameters, (u, grid))

    start = spectral.coefficients.detach().requires_grad_()
    assert torch.autograd.gradcheck(applied, (u, start), fast_mode=True)


def test_the_convolution_knows_no_grid_and_names_one_that_is_too_coarse():
    spectral, _ = convs(2)
    assert list(spectral.state_dict()) == ["coefficients"]
    grid = latent_grid(body(2, 6), 8, PERIOD, REACH)
    u = torch.randn(len(grid.domain), 3, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"nodes along a side, at least 9, got \[8\]"):
        spectral(u, grid)
    with torch.autocast("cpu", torch.bfloat16):
        fine = latent_grid(body(2, 6), 10, PERIOD, REACH)
        assert spectral(fine.domain.points[:, [0, 1, 1]], fine).dtype == torch.float64


# --- coarser point sets -------------------------------------------------------------


def gathered(name: str, domain: Discretization) -> PoolingPlan:
    if name == "points":
        return point_pooling(domain, 0.4)
    return latent_grid(domain, 14, PERIOD, REACH).pooling


@pytest.mark.parametrize("name", ["points", "grid"])
@pytest.mark.parametrize("d", [1, 2, 3, "sphere"])
def test_integrals_are_kept_and_the_way_back_is_the_adjoint(name, d):
    domain = both(d)
    plan = gathered(name, domain)
    u = torch.randn(len(domain), 3, dtype=torch.float64)
    v = torch.randn(len(plan.coarse), 3, dtype=torch.float64)
    tight = {"rtol": 1e-12, "atol": 1e-12}
    assert torch.allclose(plan.coarse.measure(), domain.measure(), **tight)
    kept = plan.coarse.integrate(pool(u, plan))
    assert torch.allclose(kept, domain.integrate(u), **tight)
    one, other = plan.coarse.inner(pool(u, plan), v), domain.inner(u, unpool(v, plan))
    assert torch.allclose(one, other, **tight)
    assert float(one.abs().min()) > 1e-3


def test_coarse_points_are_points_of_the_source_with_their_normals():
    domain = both("sphere")
    coarse = point_pooling(domain, 0.5).coarse
    assert coarse.ptr.diff().min() > 20
    assert len(coarse) < len(domain) / 3
    for sample in range(2):
        a, b = coarse.ptr[sample : sample + 2]
        same = (coarse.points[a:b, None] == domain.points).all(2)
        found, number = (same & (domain.sample == sample)).nonzero().T
        assert found.tolist() == list(range(int(b - a)))
        assert len(number.unique()) == len(number)
        assert domain.normals is not None
        assert coarse.normals is not None
        assert torch.equal(coarse.normals[a:b], domain.normals[number])


def test_the_choice_depends_on_neither_numbers_nor_copies():
    """On a symmetric mesh, many of whose points are equally near."""
    domain = body(2, 8)
    plan = point_pooling(domain, 0.4)
    torch.manual_seed(0)
    order = torch.randperm(len(domain))
    renumbered = point_pooling(picked(domain, order), 0.4)
    some = order[:50]
    weights = domain.weights.clone()
    weights[some] /= 2
    split = joined(domain, picked(domain, some), torch.cat([weights, weights[some]]))
    for other in (renumbered, point_pooling(split, 0.4)):
        assert torch.equal(other.coarse.points, plan.coarse.points)
        assert torch.allclose(other.coarse.weights, plan.coarse.weights, rtol=1e-12)


def test_the_choice_converges():
    """To the means of the lattice, as fast as points come to lie near them."""
    sizes, distances = (8, 16, 32, 64), []
    for n in sizes:
        domain = body(2, n, 2.0)
        means = lattice_pooling(domain, 0.4).coarse.points
        chosen = point_pooling(domain, 0.4).coarse.points
        distances.append(float(torch.cdist(means, chosen).min(1).values.mean()))
    rate = -np.polyfit(np.log(sizes), np.log(distances), 1)[0]
    assert 0.8 < rate < 1.3


def _poisson(domain: Discretization) -> PoolingPlan:
    """Evenly spaced points, drawn one by one, as the coarse ones."""
    points = domain.points[subsample(domain, 40)]
    coarse = measured(points)
    graph = radius_graph(domain, coarse, 0.8)
    offset = (domain.points[graph.source] - points[graph.target]) / 0.8
    return pooling_by(domain, points, coarse.ptr, graph, window(offset))


def test_subsets_that_are_drawn_one_by_one_do_not_converge():
    """Why coarse points are chosen by the lattice: two meshes, two Poisson disks."""
    differences = {}
    for name, gather in (
        ("chosen", lambda domain: point_pooling(domain, 0.4)),
        ("drawn", _poisson),
    ):
        differences[name] = []
        for n in (8, 32):
            seen = []
            for grading in (1.0, 3.0):
                domain = body(2, n, grading)
                at = measured(probes(2))
                weights = torch.cat([domain.weights, 1e-13 * at.weights])
                both = joined(domain, at, weights)
                plan = gather(both)
                seen.append(
                    unpool(pool(waves(3)(both.points), plan), plan)[len(domain) :]
                )
            differences[name].append(apart(*seen))
    first, last = differences["chosen"]
    assert last < first / 4
    assert last < 0.005
    first, last = differences["drawn"]
    assert last > max(first / 4, 0.03)


def test_neighbours_do_not_depend_on_numbers():
    """In the middle of a square all four corners are equally near."""
    corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    middle = measured(torch.tensor([[0.5, 0.5]]))
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]):
        source = measured(corners[order])
        found = nearest(source, middle, 2)
        assert sorted(source.points[found.source].tolist()) == [[0, 0], [0, 1]]


# --- the models ---------------------------------------------------------------------

LATENT = {"GINO": GINO, "FNO": FNO}


@pytest.mark.parametrize(
    ("d", "n", "radius", "seed"),
    [
        *((1, 12, 0.2, seed) for seed in range(3)),
        *((2, 8, 0.36, seed) for seed in range(4)),
        (3, 3, 0.7, 0),
    ],
)
@pytest.mark.parametrize("name", LATENT)
def test_the_latent_grid_can_be_refined_after_training(name, d, n, radius, seed):
    """By 1.5 and 2: the output moves by less than 1 % of its variation, but moves."""
    torch.manual_seed(seed)
    size = {"width": 24, "blocks": 3} if d < 3 else {"width": 12, "blocks": 2}
    model = LATENT[name](3, 2, d, radius=radius, **size).double()
    source, first = unit(d, n), model.latent
    u, found = waves(3)(3 * source.points), []
    held = {name: tuple(p.shape) for name, p in model.state_dict().items()}
    for factor in (1, 1.5, 2):
        model.latent = round(factor * first)
        found.append(apply(model, source, u, None))
    assert {name: tuple(p.shape) for name, p in model.state_dict().items()} == held
    drift = [apart(v, found[0]) for v in found[1:]]
    assert max(drift) < 0.01
    assert min(drift) > 1e-6


def built(kind, **size):
    torch.manual_seed(2)
    latent = {"period": 3.7} if kind in LATENT.values() else {}
    extent = {"period": 2.6} if kind is UNO else {}
    return kind(3, 2, 2, radius=1.2, width=12, **latent, **extent, **size).double()


MODELS = [GINO, FNO, UNO, RegionalOperator]


@pytest.mark.parametrize("kind", [MeshGraphNet, *MODELS])
def test_the_baseline_drifts_and_the_operators_do_not(kind):
    """From 7 to 14 spacings a unit, on the disk."""
    model, seen = built(kind), []
    for n in (7, 14):
        source = body(2, n)
        seen.append(apply(model, source, waves(3)(source.points), probes(2)))
    drift = apart(seen[1], seen[0])
    assert (drift > 0.2) if kind is MeshGraphNet else (1e-6 < drift < 0.05)


@pytest.mark.parametrize("aggregation", ["sum", "mean"])
def test_the_baseline_answers_anywhere_and_at_its_own_points_as_itself(aggregation):
    source = body(2, 6)
    model = built(MeshGraphNet, aggregation=aggregation)
    u = waves(3)(source.points)
    own = apply(model, source, u, None)
    some = torch.tensor([3, 40, 77])
    found = apply(model, source, u, picked(source, some))
    assert torch.allclose(found, own[some], rtol=1e-12)
    assert torch.isfinite(apply(model, source, u, probes(2))).all()


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (UNO, {"levels": 0}, "levels: expected at least 1, got 0"),
        (RegionalOperator, {"scales": 0}, "scales: expected at least 1 radius, got 0"),
        (RegionalOperator, {"heads": 5}, "heads: expected a divisor of the width 12"),
        (MeshGraphNet, {"neighbours": 0}, "neighbours: expected at least 1, got 0"),
        (MeshGraphNet, {"aggregation": "max"}, "expected 'sum' or 'mean', got 'max'"),
        (GINO, {"modes": -1}, "modes: expected 0 or more waves, got -1"),
        (FNO, {"period": -1.0}, "period: expected a positive length"),
    ],
)
def test_bad_arguments(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind(3, 2, 2, **{"width": 12, **arguments})


def test_a_domain_that_outgrows_the_grid_is_named():
    model = GINO(3, 2, 2, radius=0.3, width=12, blocks=1).double()
    source = body(2, 8)
    with pytest.raises(ValueError, match="scale the domain to the extent"):
        model.prepare(source, source)


def test_samples_on_different_grids_are_no_batch():
    spectral, _ = convs(2)
    grids = [latent_grid(body(2, 6), n, PERIOD, REACH) for n in (12, 14)]
    packed: LatentGrid = pack_plans(grids)
    u = torch.randn(len(packed.domain), 3, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"expected one number of nodes .* \[12, 14\]"):
        spectral(u, packed)
