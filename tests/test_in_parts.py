"""What is made of a large mesh some points at a time is what is made of all at once."""

from __future__ import annotations

import pytest
import torch

from isofield.discretization import Discretization, from_mesh, pack
from isofield.generation import square
from isofield.graph import radius_graph
from isofield.layers import fourier_conv, moments, wave_fit
from isofield.layers.fourier_conv import wave_numbers, wave_values, waves_at
from isofield.layers.moments import domain_moments
from isofield.layers.wave_fit import WaveFit
from isofield.models import GreenOperator


@pytest.fixture
def domain() -> Discretization:
    """Two samples, of 81 and 169 points."""
    meshes = [square(n, jitter=0.2) for n in (8, 12)]
    return pack([from_mesh(mesh) for mesh in meshes])


def test_moments(domain: Discretization, monkeypatch):
    """Parts within a sample, and one that ends a sample and begins the next."""
    whole = domain_moments(domain, domain, 0.4)
    monkeypatch.setattr(moments, "AT_ONCE", 50)
    assert torch.equal(domain_moments(domain, domain, 0.4), whole)


def test_waves(domain: Discretization, monkeypatch):
    numbers = wave_numbers(2, 5, 1.3)
    whole = wave_values(domain.points, numbers)
    monkeypatch.setattr(fourier_conv, "AT_ONCE", 50)
    assert (waves_at(domain, numbers).values - whole).abs().max() < 1e-13
    single = waves_at(domain, numbers, torch.float32).values
    assert torch.equal(single, waves_at(domain, numbers).values.float())


def test_fit(domain: Discretization, monkeypatch):
    fit = WaveFit(wave_numbers(2, 4, 1.3), 1.3**2)
    whole = fit.dual(domain)
    monkeypatch.setattr(wave_fit, "AT_ONCE", 50)
    parts = fit.dual(domain)
    assert whole.abs().max() > 0
    assert (parts - whole).abs().max() < 1e-9 * whole.abs().max()
    assert torch.equal(fit.dual(domain, torch.float32), parts.float())


def test_a_plan_in_another_precision(domain: Discretization):
    """Tables that are cast as they are made are those that are cast in the end."""
    operator = GreenOperator(2, 1, 2, linear=[0], radius=0.4, width=8, blocks=1)
    plan = operator.prepared(domain, domain, torch.float32)
    expected = operator.prepare(domain, domain).to(torch.float32)
    assert torch.equal(plan.dual, expected.dual)
    assert torch.equal(plan.direct.values, expected.direct.values)
    u = torch.randn(len(domain), 2)
    assert torch.equal(operator(u, plan), operator(u, expected))
    assert operator.prepare(domain, domain).dual.dtype == torch.float64


def test_a_graph_that_is_there_already(domain: Discretization):
    graph = radius_graph(domain, domain, 0.2)
    assert graph.to("cpu") is graph
    assert graph.to("meta").edge_index.device.type == "meta"
