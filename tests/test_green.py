"""Waves that are fitted to fields, and the network that is linear in its sources."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from isofield import Discretization
from isofield.data import FieldError
from isofield.discretization import from_mesh, from_points, pack
from isofield.generation import disk
from isofield.layers.fitted_fourier_conv import FittedFourierConv
from isofield.layers.fourier_conv import amplitudes, wave_numbers, waves_at
from isofield.layers.wave_fit import WaveFit
from isofield.model_file import load_model, save_model
from isofield.models import GreenOperator
from isofield.predict import predict
from isofield.surrogate import Surrogate
from isofield.testing import body, probes
from isofield.train import Schedule, fit

PERIOD = 2.6


def fitting(modes: int, noise: float = 1e-6) -> WaveFit:
    return WaveFit(wave_numbers(2, modes, PERIOD), PERIOD**2, noise)


def fitted(fit: WaveFit, domain: Discretization, u: torch.Tensor) -> torch.Tensor:
    """The sum of the waves at the probes, for the field u on the domain."""
    c = amplitudes(u, fit.dual(domain), domain)[:, 0]
    return waves_at(at(), fit.numbers).values @ c


def at() -> Discretization:
    points = probes(2)
    return Discretization(points, torch.ones(len(points), dtype=points.dtype))


def field(points: torch.Tensor, waves: int = 6) -> torch.Tensor:
    """Waves that do not belong to the period, one direction each."""
    turns = torch.arange(1, 6, dtype=torch.float64)
    k = waves * torch.stack([turns.cos(), turns.sin()])
    return (points @ k + turns).sin().sum(1, keepdim=True)


def random_points(n: int) -> Discretization:
    random = np.random.default_rng(0)
    angle, radius = 2 * np.pi * random.random(n), np.sqrt(random.random(n))
    points = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    return from_points(torch.from_numpy(points), on_boundary=False)


# --- the fit ------------------------------------------------------------------------


def test_amplitudes_are_those_of_ridge_regression():
    """Against the normal equations of least squares with a prior."""
    fit, domain = fitting(3, noise=1e-4), body(2, 8, 2.0)
    root = torch.diag(1 + torch.rand(len(fit.factor), dtype=torch.float64))
    fit = fit.double()
    fit.factor.copy_(root)
    phi, u = waves_at(domain, fit.numbers).values, field(domain.points)
    weighted = phi * (domain.weights / PERIOD**2)[:, None]
    prior = 1e-4 * torch.linalg.inv(root @ root)
    expected = torch.linalg.solve(phi.t() @ weighted + prior, weighted.t() @ u)
    found = amplitudes(u, fit.dual(domain), domain)[:, 0]
    assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", ["uniform", "graded", "random"])
def test_sums_of_its_waves_are_found_whatever_the_weights(shape):
    """Where sums over the points have errors of 4 to 100 %, and weights may be off."""
    domain = {
        "uniform": body(2, 8),
        "graded": body(2, 8, 4.0),
        "random": random_points(200),
    }[shape]
    wrong = torch.linspace(0.5, 2, len(domain), dtype=torch.float64)
    fit = fitting(3, noise=1e-12)
    c = torch.linspace(-1, 1, len(fit.factor), dtype=torch.float64)[:, None]
    u = waves_at(domain, fit.numbers).values @ c
    expected = waves_at(at(), fit.numbers).values @ c
    for weights in (domain.weights, wrong * domain.weights):
        found = fitted(fit, Discretization(domain.points, weights), u)
        assert_allclose(found, expected, atol=1e-3 * float(expected.abs().max()))


def test_smooth_fields_are_met_better_than_by_sums_over_the_points():
    domain, fit = random_points(300), fitting(8)
    u, truth = field(domain.points), field(at().points)
    phi = waves_at(domain, fit.numbers).values
    c = phi.t() @ (domain.weights[:, None] / PERIOD**2 * u)
    summed = waves_at(at(), fit.numbers).values @ c
    found = fitted(fit, domain, u)
    assert (found - truth).norm() < 0.05 * (summed - truth).norm()


def test_fields_that_were_seen_tell_what_a_coarse_mesh_leaves_open():
    """Fields of 12 dimensions, of which 37 points are enough and a prior knows."""
    k = wave_numbers(2, 6, PERIOD)[20:26]

    def fields(domain: Discretization, seed: int, count: int) -> torch.Tensor:
        random = torch.Generator().manual_seed(seed)
        c = torch.randn(12, count, generator=random, dtype=torch.float64)
        return waves_at(domain, k * 1.1).values @ c

    coarse, fit = body(2, 3), fitting(8)
    u, truth = fields(coarse, 1, 4), fields(at(), 1, 4)
    before = (fitted(fit, coarse, u) - truth).norm() / truth.norm()
    fine = [body(2, 14), body(2, 16), body(2, 5)]
    fit.observe(fine, [fields(domain, 2 + i, 30) for i, domain in enumerate(fine)])
    after = (fitted(fit, coarse, u) - truth).norm() / truth.norm()
    assert before > 0.2
    assert after < 0.1 * before


def test_one_field_and_a_field_of_zeros_are_enough_to_observe():
    domain = body(2, 8)
    for u in (field(domain.points), torch.zeros(len(domain), 1, dtype=torch.float64)):
        fit = fitting(3)
        fit.observe([domain], [u])
        assert torch.isfinite(fit.factor).all()
        assert torch.isfinite(fit.dual(domain)).all()


def test_noise_must_be_positive():
    with pytest.raises(ValueError, match="noise: expected more than 0, got 0"):
        FittedFourierConv(1, 1, 2, PERIOD, noise=0)


# --- the network --------------------------------------------------------------------


def green(linear=(0, 2), **more) -> GreenOperator:
    torch.manual_seed(0)
    size = {"modes": 3, "inner": 2, "width": 6, "context": 6, "blocks": 2, **more}
    return GreenOperator(
        3, 2, 2, linear=linear, radius=0.9, period=PERIOD, **size
    ).double()


def test_it_is_linear_in_its_sources_and_in_nothing_else():
    domain = pack([body(2, 6), body(2, 8, 2.0)])
    network = green()
    plan = network.prepare(domain, domain)
    random = torch.Generator().manual_seed(0)
    u = torch.randn(2, len(domain), 3, generator=random, dtype=torch.float64)
    u[1, :, 1] = u[0, :, 1]
    both = 2 * u[0] - 3 * u[1]
    both[:, 1] = u[0, :, 1]
    with torch.no_grad():
        one, other = network(u[0], plan), network(u[1], plan)
        assert_allclose(network(both, plan), 2 * one - 3 * other, atol=1e-12)
        none = u[0] * torch.tensor([0, 1, 0])
        assert (network(none, plan) == 0).all()
        moved = u[0] + torch.tensor([0, 1, 0])
        assert (network(moved, plan) - one).abs().max() > 1e-3 * one.abs().max()


def test_inner_waves_are_the_same_among_all_waves():
    network = green()
    chosen = network.inner[: len(network.inner) // 2]
    assert torch.equal(network.direct.numbers[chosen], network.first.numbers)
    assert len(network.direct.numbers) > len(network.first.numbers) > 1


@pytest.mark.parametrize("linear", [(), (3,), (-1,)])
def test_sources_must_be_channels(linear):
    with pytest.raises(ValueError, match="linear: expected some of the 3 channels"):
        green(linear)


def test_magnitudes_are_lengths_of_what_is_linear():
    """Of the second output alone: |v(c f)| = |c| |v(f)|, and never below zero."""
    domain = body(2, 6)
    network = green(magnitudes=[1])
    plan = network.prepare(domain, domain)
    random = torch.Generator().manual_seed(0)
    u = torch.randn(len(domain), 3, generator=random, dtype=torch.float64)
    with torch.no_grad():
        once = network(u, plan)
        opposite = network(u * torch.tensor([-3, 1, -3]), plan)
    assert_allclose(opposite[:, 0], -3 * once[:, 0], atol=1e-12)
    assert_allclose(opposite[:, 1], 3 * once[:, 1], atol=1e-12)
    assert (once[:, 1] > 0).all()
    assert (once[:, 0] < 0).any()


def test_magnitudes_must_be_scalars_and_of_something_linear(cases):
    made = [case.with_point_data({"v": case.points}) for case in cases]
    with pytest.raises(ValueError, match="expected scalars, got 'v' of 2 channels"):
        surrogate(made, targets=["u", "v"], magnitudes=["v"])
    with pytest.raises(FieldError, match="magnitudes: no target 'f'; there are u"):
        surrogate(cases, magnitudes=["f"])
    with pytest.raises(ValueError, match="magnitudes: u must be lengths of what is"):
        Surrogate.for_cases(cases, ["f"], ["u"], magnitudes=["u"])


def test_a_magnitude_is_kept_in_the_file(cases, tmp_path):
    model = surrogate(cases, magnitudes=["u"])
    save_model(tmp_path / "green.safetensors", model)
    model = load_model(tmp_path / "green.safetensors")
    assert (predict(model, cases[0]).point_data["u_predicted"] > 0).all()


@pytest.fixture(scope="module")
def cases():
    """Disks of several sizes with a source, a number and a solution."""
    made = []
    for i, n in enumerate((5, 6, 7, 6)):
        mesh = disk(n, jitter=0.2, seed=i)
        x, y = mesh.points.T
        f = np.sin(3 * x + i) + 0.5 * np.cos(2 * y * i) + 1
        u = {"f": f, "a": np.full(len(f), 1.0 + i), "u": f * (1 - x**2 - y**2)}
        made.append(mesh.with_point_data(u))
    return made


def surrogate(cases, targets=("u",), **more) -> Surrogate:
    size = {"modes": 4, "inner": 3, "width": 6, "context": 6, "blocks": 1}
    options = {"architecture": "GreenOperator", "linear": ["f"], **size, **more}
    return Surrogate.for_cases(cases, ["a", "f"], targets, **options)


def test_twice_the_source_is_twice_the_prediction(cases, tmp_path):
    model = surrogate(cases)
    fit(model, cases, schedule=Schedule(epochs=2), progress=False)
    save_model(tmp_path / "green.safetensors", model)
    model = load_model(tmp_path / "green.safetensors")
    once = predict(model, cases[0]).point_data["u_predicted"]
    data = cases[0].point_data
    twice = replace(cases[0], point_data={**data, "f": 2 * data["f"]})
    with pytest.warns(match="f"):
        found = predict(model, twice).point_data["u_predicted"]
    assert np.abs(once).max() > 0
    assert_allclose(found, 2 * once, rtol=1e-4, atol=1e-5 * np.abs(once).max())


def test_the_sources_of_the_cases_are_observed_and_kept(cases, tmp_path):
    model = surrogate(cases)
    unseen = WaveFit(model.network.direct.numbers, model.network.direct.volume)
    assert not torch.allclose(model.network.fit.factor, unseen.factor)
    save_model(tmp_path / "green.safetensors", model)
    kept = load_model(tmp_path / "green.safetensors").network.fit.factor
    assert torch.equal(kept, model.network.fit.factor)


def test_names_that_cannot_be_linear_are_errors(cases):
    with pytest.raises(FieldError, match="linear: no input 'g'; there are a, f"):
        surrogate(cases, linear=["g"])
    with pytest.raises(ValueError, match="GNO cannot be linear in some of its inputs"):
        Surrogate.for_cases(cases, ["f"], ["u"], linear=["f"], architecture="GNO")
    with pytest.raises(ValueError, match="linear: expected at least one of the inputs"):
        surrogate(cases, linear=[])


def test_cells_are_a_source_too(cases):
    """Fields at cells; the discretization is another, the network the same."""
    made = []
    for case in cases[:2]:
        centres = case.points[case.cells["triangle"]].mean(1)
        values = {"f": centres[:, 0], "a": centres[:, 1], "u": centres[:, 0] ** 2}
        made.append(replace(case, point_data={}).with_cell_data(values))
    model = surrogate(made, at="cells")
    assert len(model.sample(made[0]).x) == len(from_mesh(made[0], "cells"))
