"""ZernikeNet and SplineUNet: fields, classes, volumes, queries, files, bad input.

The six laws of both are kept by `tests/test_contract.py`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from isofield import Mesh, from_mesh
from isofield.cli import main
from isofield.cli.train import Architecture
from isofield.generation import ball, icosphere, random_blob, random_surface
from isofield.io import write
from isofield.model_file import load_model, save_model
from isofield.models import ARCHITECTURES, SplineUNet, ZernikeNet
from isofield.plan import pack_plans
from isofield.predict import predict, predict_at
from isofield.surrogate import Surrogate
from isofield.train import Schedule, fit

SMALL = {
    "ZernikeNet": {"width": 8, "blocks": 1, "order": 2},
    "SplineUNet": {"width": 8, "levels": 2},
}
BOTH = pytest.mark.parametrize("architecture", list(SMALL))


def smooth(points):
    """(N, 1) a smooth field, of points as a tensor."""
    return torch.cos(2 * points[:, :1] + 0.5) + torch.sin(1.5 * points[:, 1:2])


def classified(network, domain, cases, steps=40, rate=2e-2):
    """Trains on fields and classes, all at once, by cross entropy in the measure.

    `1/|Omega| int -log p_c(x) dmu(x)`, c the class of the point.
    """
    plan = network.prepare(domain, domain).to(torch.float32)
    plan = pack_plans([plan] * len(cases))
    u, labels = (torch.cat(parts) for parts in zip(*cases, strict=True))
    weights = (domain.weights / domain.measure() / len(cases)).repeat(len(cases))
    optimizer = torch.optim.Adam(network.parameters(), rate)
    for _ in range(steps):
        scores = network(u.float(), plan)
        entropy = nn.functional.cross_entropy(scores, labels, reduction="none")
        optimizer.zero_grad()
        (weights.float() @ entropy).backward()
        optimizer.step()


def share_right(network, domain, u, labels):
    """The share of the measure where the likeliest class is the right one."""
    plan = network.prepare(domain, domain).to(torch.float32)
    with torch.no_grad():
        right = network(u.float(), plan).argmax(1) == labels
    return float(domain.mean(right.double()[:, None]))


# --- classes on surfaces and in volumes ---------------------------------------------


def field_and_classes(domain, seed):
    """`f = a . x + b xyz` on the unit sphere, and where `Δf = -2 a . x - 12 b xyz > 0`.

    Neither f nor its sign tells: both parts are as large, and they have other factors.
    """
    random = np.random.default_rng(seed)
    a, b = torch.from_numpy(random.standard_normal(3)), 4 * random.choice([-1, 1])
    x = domain.points
    first, third = (x @ a)[:, None], b * x.prod(1, keepdim=True)
    return first + third, (-2 * first - 12 * third > 0)[:, 0].long()


def test_a_surface_is_segmented():
    """By the sign of the Laplacian of the field, on a mesh of another kind."""
    torch.manual_seed(0)
    known = from_mesh(icosphere(4))
    network = ZernikeNet(
        1, 2, 3, measure_dimension=2, radius=1.2, **SMALL["ZernikeNet"]
    )
    classified(network, known, [field_and_classes(known, seed) for seed in range(6)])
    unseen = from_mesh(icosphere(8, grading=2.0, jitter=0.2))
    found, by_sign = [], []
    for seed in range(100, 104):
        u, labels = field_and_classes(unseen, seed)
        found.append(share_right(network, unseen, u, labels))
        agrees = ((u[:, 0] < 0).long() == labels).double()
        by_sign.append(float(unseen.mean(agrees[:, None])))
    assert np.mean(found) > 0.9
    assert np.mean(by_sign) < 0.8


def wave_and_classes(domain, seed):
    """A wave in space, and where it rises along z."""
    random = np.random.default_rng(seed)
    wave = torch.from_numpy(
        np.append(random.standard_normal(2), random.choice([-2, 2]))
    )
    phase = domain.points @ wave + random.uniform(0, 2 * np.pi)
    return phase.sin()[:, None], (wave[2] * phase.cos() > 0).long()


def test_a_volume_is_segmented():
    """By a direction in space, which kernels without an angle could not tell."""
    torch.manual_seed(0)
    known = from_mesh(ball(4))
    network = ZernikeNet(1, 2, 3, radius=1.2, **SMALL["ZernikeNet"])
    classified(network, known, [wave_and_classes(known, seed) for seed in range(8)])
    unseen = from_mesh(ball(5, grading=2.0))
    cases = [wave_and_classes(unseen, seed) for seed in range(100, 104)]
    found = [share_right(network, unseen, *case) for case in cases]
    assert np.mean(found) > 0.85


# --- levels and plans ---------------------------------------------------------------


def test_levels_carry_the_measure_on_fewer_and_fewer_points():
    network = SplineUNet(1, 1, 2, radius=0.3, levels=3, width=4)
    domain = from_mesh(random_blob(0, 16))
    plan = network.prepare(domain, domain)
    sizes = [len(level) for level in plan.levels]
    assert sizes[0] > 2.5 * sizes[1] > 6 * sizes[2]
    for level in plan.levels:
        assert float(level.measure()) == pytest.approx(float(domain.measure()))
    for down, (fine, coarse) in zip(plan.down, [(0, 1), (1, 2)], strict=True):
        assert down.shape[1:] == (sizes[coarse], sizes[fine])
    for up, (fine, coarse) in zip(plan.up, [(0, 1), (1, 2)], strict=True):
        assert up.shape[1:] == (sizes[fine], sizes[coarse])


def test_going_up_keeps_constants_up_to_the_boundary():
    """Splines sum to 1: so do their moments of a constant, in units of the window."""
    network = SplineUNet(1, 1, 2, radius=0.3, levels=2, width=4)
    plan = network.prepare(*2 * [from_mesh(random_blob(0, 16))])
    ones = torch.ones(len(plan.levels[1]), 1, dtype=torch.float64)
    total = plan.up[0].apply(ones).sum(1)
    window = network.up[0].basis.mean_window
    assert torch.allclose(total, torch.full_like(total, window), rtol=1e-9)


def test_one_level_is_a_network_without_pooling():
    network = SplineUNet(1, 1, 2, radius=0.5, levels=1, width=4).double()
    domain = from_mesh(random_blob(0, 8))
    plan = network.prepare(domain, domain)
    assert (len(plan.levels), plan.down, plan.up) == (1, (), ())
    output = network(smooth(domain.points), plan)
    assert output.shape == (len(domain), 1)
    output.square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in network.parameters())


def test_the_cost_of_the_convolutions_does_not_grow_with_the_mesh():
    network = ZernikeNet(
        1, 1, 3, measure_dimension=2, radius=0.9, **SMALL["ZernikeNet"]
    )
    plans = [network.prepare(*2 * [from_mesh(icosphere(n))]) for n in (6, 24)]
    few, many = (len(plan.kernels[0].pairs.graph.source) for plan in plans)
    assert many < 1.2 * few


@BOTH
def test_nothing_learned_has_the_size_of_a_mesh(architecture):
    shapes = []
    for n in (4, 9):
        mesh = field_on(icosphere(n))
        model = Surrogate.for_cases(
            [mesh], ["f"], ["g"], architecture=architecture, radius=0.5,
            **SMALL[architecture],
        )  # fmt: skip
        fit(model, [mesh], schedule=Schedule(epochs=1), progress=False)
        state = model.network.state_dict()
        shapes.append({name: tuple(value.shape) for name, value in state.items()})
    assert shapes[0] == shapes[1]


# --- points without normals ---------------------------------------------------------


def test_queries_on_a_surface_need_no_normals():
    """They get those around them, which on a sphere are nearly their own."""
    torch.manual_seed(0)
    network = ZernikeNet(1, 1, 3, measure_dimension=2, radius=0.9).double()
    source, wanted = from_mesh(icosphere(8)), from_mesh(icosphere(5))
    bare = replace(wanted, normals=None)
    u = smooth(source.points)
    expected = network(u, network.prepare(source, wanted))
    found = network(u, network.prepare(source, bare))
    assert expected.std() > 1e-2
    assert (found - expected).abs().max() < 1e-2 * expected.std()
    tilted = wanted.normals + torch.tensor([0.5, 0.0, 0.0])
    tilted = replace(wanted, normals=tilted / tilted.norm(dim=1, keepdim=True))
    wrong = network(u, network.prepare(source, tilted))
    assert (wrong - expected).abs().max() > 0.05 * expected.std()


@BOTH
def test_a_model_answers_anywhere_on_a_surface(architecture):
    """At its own points as a query of these points; elsewhere the same function."""
    mesh = field_on(random_surface(1, 8))
    model = Surrogate.for_cases(
        [mesh], ["f"], ["g"], architecture=architecture, **SMALL[architecture]
    )
    own = predict(model, mesh).point_data["g_predicted"]
    found = predict_at(model, mesh, mesh.points)["g"]
    assert np.abs(found - own).max() < 0.02 * np.ptp(own)


# --- training, files, command line --------------------------------------------------


def field_on(mesh: Mesh) -> Mesh:
    """f, and g which is a smooth function of it and of the place."""
    f = smooth(torch.tensor(mesh.points))[:, 0].numpy()
    return mesh.with_point_data({"f": f, "g": f**2 + f})


@BOTH
def test_a_step_of_training_lowers_the_loss(architecture):
    mesh = field_on(random_surface(0, 6))
    model = Surrogate.for_cases(
        [mesh], ["f"], ["g"], architecture=architecture, **SMALL[architecture]
    )
    sample, network = model.sample(mesh), model.network

    def loss():
        return (network(sample.x, sample.plan) - sample.y).square().mean()

    before = loss()
    before.backward()
    slope = sum(p.grad.square().sum() for p in network.parameters())
    with torch.no_grad():
        for p in network.parameters():
            p -= 1e-3 / slope * before * p.grad
        # the first order of the loss in the step: a thousandth of it
        fallen = float((before - loss()) / before)
    assert fallen == pytest.approx(1e-3, rel=0.1)


@BOTH
def test_a_model_comes_back_from_its_file(architecture, tmp_path):
    mesh = field_on(random_surface(0, 6))
    model = Surrogate.for_cases(
        [mesh], ["f"], ["g"], architecture=architecture, **SMALL[architecture]
    )
    save_model(tmp_path / "model.safetensors", model)
    again = load_model(tmp_path / "model.safetensors")
    assert type(again.network) is ARCHITECTURES[architecture]
    one, other = (predict(m, mesh).point_data["g_predicted"] for m in (model, again))
    assert np.ptp(one) > 0
    assert np.array_equal(one, other)


def test_the_command_line_knows_every_architecture():
    assert {name.value for name in Architecture} == set(ARCHITECTURES)


@BOTH
def test_training_from_the_command_line(architecture, tmp_path):
    for seed in range(2):
        write(tmp_path / f"{seed}.vtu", field_on(random_surface(seed, 5)))
    words = ["train", tmp_path / "*.vtu", "-i", "f", "-t", "g", "--epochs", 1]
    words += ["--architecture", architecture, "--width", 6]
    words += ["-o", tmp_path / "model.safetensors"]
    assert main([str(word) for word in words]) == 0
    model = load_model(tmp_path / "model.safetensors")
    assert model.arguments["architecture"] == architecture
    assert model.arguments["width"] == 6


def test_a_size_that_an_architecture_has_not(tmp_path, capsys):
    write(tmp_path / "case.vtu", field_on(random_surface(0, 5)))
    words = ["train", tmp_path / "case.vtu", "-i", "f", "-t", "g", "--blocks", 2]
    words += ["--architecture", "SplineUNet", "-o", tmp_path / "model.safetensors"]
    assert main([str(word) for word in words]) == 2
    assert "--blocks: SplineUNet has no blocks" in " ".join(
        capsys.readouterr().err.split()
    )
    assert not (tmp_path / "model.safetensors").exists()


# --- what is refused ----------------------------------------------------------------


@pytest.mark.parametrize(("m", "d"), [(1, 2), (1, 3), (3, 2), (4, 4)])
def test_dimensions_without_charts(m, d):
    with pytest.raises(ValueError, match=f"a surface .* got {m} in {d}"):
        ZernikeNet(1, 1, d, measure_dimension=m)


def test_a_surface_without_normals():
    domain = replace(from_mesh(icosphere(4)), normals=None)
    network = ZernikeNet(1, 1, 3, measure_dimension=2, radius=0.9)
    with pytest.raises(ValueError, match="asks for normals at the source points"):
        network.prepare(domain, domain)


def test_a_surface_whose_normals_cancel():
    """Two spheres, one just inside of the other: sheets closer than the lattice."""
    inner, outer = icosphere(4), icosphere(4)
    points = np.concatenate([0.95 * inner.points, outer.points])
    inside = inner.cells["triangle"][:, ::-1]
    triangles = np.concatenate([inside, outer.cells["triangle"] + len(inner.points)])
    domain = from_mesh(Mesh(points, {"triangle": triangles}))
    network = ZernikeNet(1, 1, 3, measure_dimension=2, radius=0.9)
    with pytest.raises(ValueError, match="sheets"):
        network.prepare(domain, domain)


@pytest.mark.parametrize("levels", [0, -1])
def test_levels_below_one(levels):
    with pytest.raises(ValueError, match=f"levels: expected at least 1, got {levels}"):
        SplineUNet(1, 1, 2, levels=levels)
