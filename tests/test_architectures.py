"""Every architecture by its name: all kinds of fields and domains, files, bad input.

The laws are kept by `tests/test_contract.py`; here each is what a user meets.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from isofield import Mesh
from isofield.cli import main
from isofield.data import collate
from isofield.discretization import Discretization
from isofield.generation import (
    ball,
    plate_with_holes,
    random_blob,
    random_surface,
)
from isofield.io import write
from isofield.loss import relative_l2
from isofield.mesh import MeshError
from isofield.model_file import load_model, save_model
from isofield.models import ARCHITECTURES
from isofield.predict import predict, predict_at
from isofield.surrogate import ExtrapolationWarning, Surrogate
from isofield.testing import body, probes, waves
from isofield.testing.comparing import measured

BLOCK = {"width": 8, "blocks": 1}
SMALL = {
    "GNO": {**BLOCK, "levels": 2, "rank": 2},
    "FourierOperator": {**BLOCK, "modes": 2},
    "GreenOperator": {**BLOCK, "context": 8, "modes": 3, "inner": 2},
    "ZernikeNet": {**BLOCK, "order": 2},
    "SplineUNet": {"width": 8, "levels": 2},
    "SliceTransformer": {**BLOCK, "heads": 2, "slices": 4},
    "GINO": {**BLOCK, "modes": 2, "rank": 2},
    "FNO": {**BLOCK, "modes": 2},
    "UNO": {"width": 8, "levels": 2, "modes": 2},
    "RegionalOperator": {**BLOCK, "heads": 2, "rank": 2},
    "MeshGraphNet": BLOCK,
}
ALL = pytest.mark.parametrize("architecture", list(ARCHITECTURES))
GRIDS = ("GINO", "FNO")  # whose latent grid has a period


def curve(seed: int) -> Mesh:
    """An ellipse of lines in the plane."""
    n = 20 + 4 * seed
    angle, number = 2 * np.pi * np.arange(n) / n, np.arange(n)
    points = np.stack([np.cos(angle), (0.6 + 0.1 * seed) * np.sin(angle)], 1)
    return Mesh(points, {"line": np.stack([number, (number + 1) % n], 1)})


DOMAINS = {
    "curve": curve,
    "plane": lambda seed: random_blob(seed, 3 + seed),
    "volume": lambda seed: ball(2 + seed),
    "surface": lambda seed: random_surface(seed, 4 + seed),
}


def filled(mesh: Mesh, load: float = 1.0, at: str = "points") -> Mesh:
    """Inputs f, g (a vector), t (a tensor) and the number `load`; targets u, v, s."""
    x, d = mesh.points, mesh.points.shape[1]
    f = np.cos(2 * x.sum(1))
    t = f[:, None, None] * np.eye(d) + x[:, :, None] * x[:, None]
    fields = {"f": f, "g": np.cos(x + f[:, None]), "t": t}
    fields |= {"u": load * f**2, "v": load * f[:, None] * x, "s": load * t}
    numbers = {"load": load}
    if at == "points":
        return replace(mesh, point_data=fields, field_data=numbers)
    fields = {
        name: np.concatenate([u[nodes].mean(1) for nodes in mesh.cells.values()])
        for name, u in fields.items()
    }
    return replace(mesh, cell_data=fields, field_data=numbers)


def cases(domain: str, at: str = "points") -> list[Mesh]:
    return [filled(DOMAINS[domain](seed), 1.0 + seed, at) for seed in range(2)]


def surrogate(architecture, meshes, inputs, targets, **options) -> Surrogate:
    if architecture == "GreenOperator":
        options.setdefault("linear", inputs[:1])
    options = {**SMALL[architecture], **options}
    return Surrogate.for_cases(
        meshes, inputs, targets, architecture=architecture, **options
    )


def plane(architecture) -> tuple[Surrogate, Mesh]:
    """A model of one input in the plane, and a case of it."""
    meshes = cases("plane")
    return surrogate(architecture, meshes, ["f"], ["u"]), meshes[0]


def outcome(ask) -> tuple[list[str], str]:
    """What is warned of, and the error if there is one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            ask()
            error = ""
        except MeshError as raised:
            error = str(raised)
    extrapolated = [w for w in caught if w.category is ExtrapolationWarning]
    return [str(w.message) for w in extrapolated], error


# --- the networks alone -------------------------------------------------------------

PERIODS = {"FourierOperator": 2.6, "UNO": 2.6, "GreenOperator": 2.6} | dict.fromkeys(
    GRIDS, 3.7
)
FAR = ["GNO", *PERIODS, "SliceTransformer", "RegionalOperator"]


def network(architecture: str):
    """3 inputs, 2 outputs, for a body of diameter 2, with random weights; float64."""
    torch.manual_seed(2)
    options = {**SMALL[architecture], "width": 12, "radius": 1.2}
    if architecture in PERIODS:
        options["period"] = PERIODS[architecture]
    if architecture == "GreenOperator":
        options["linear"] = [0]
    return ARCHITECTURES[architecture](3, 2, 2, **options).double()


@pytest.mark.parametrize("architecture", FAR)
def test_far_points_are_seen(architecture):
    """What changes at one end of the body changes the output at the other."""
    source, model = body(2, 8), network(architecture)
    u, plan = waves(3)(source.points), model.prepare(source, source)
    moved = u + (source.points[:, :1] > 0.8)
    change = (model(moved, plan) - model(u, plan)).detach().abs().max(1).values
    least = 1e-5 if architecture == "SliceTransformer" else 1e-4
    assert change[source.points[:, 0] < -0.8].min() > least


@pytest.mark.parametrize("architecture", FAR)
def test_shape_gradients(architecture):
    """The output is differentiable in the points, through all that is prepared."""
    source, model = body(2, 6), network(architecture)
    # off the planes of the lattice, where hats have a kink
    start = source.points + torch.tensor([0.0137, 0.0071], dtype=torch.float64)
    points = start.clone().requires_grad_()
    u, target = waves(3)(start), measured(probes(2, 5))

    def total(points):
        plan = model.prepare(Discretization(points, source.weights), target)
        return model(u, plan).square().sum()

    (slope,) = torch.autograd.grad(total(points), points)
    torch.manual_seed(0)
    way, step = torch.randn_like(source.points), 1e-6
    ahead, behind = (total(start + s * step * way) for s in (1, -1))
    expected = float((ahead - behind).detach() / (2 * step))
    assert float((slope * way).sum()) == pytest.approx(expected, rel=1e-5)
    assert abs(expected) > 1e-3


# --- what it takes ------------------------------------------------------------------


def test_every_architecture_is_met():
    assert set(SMALL) == set(ARCHITECTURES)


@pytest.mark.parametrize(
    ("domain", "at"),
    [
        ("curve", "points"),
        ("plane", "points"),
        ("plane", "cells"),
        ("volume", "cells"),
        ("surface", "points"),
    ],
)
@ALL
def test_fields_of_all_ranks_on_all_domains(architecture, domain, at):
    """Every input is seen, no weight is idle, and a batch is its samples."""
    meshes, inputs = cases(domain, at), ["f", "g", "t", "load"]
    if (architecture, domain) == ("ZernikeNet", "curve"):
        with pytest.raises(ValueError, match=r"a surface .* in space .*, got 1 in 2"):
            surrogate(architecture, meshes, inputs, ["u"])
        return
    model = surrogate(architecture, meshes, inputs, ["u", "v", "s"], at=at)
    samples, network = [model.sample(mesh) for mesh in meshes], model.network
    batch = collate(samples)
    found = network(batch.x, batch.plan)
    single = torch.cat([network(s.x, s.plan) for s in samples])
    assert bool((found - single).abs().max() < 1e-5 * single.std())
    assert bool((found.std(0) > 1e-3).all())

    relative_l2(found, batch.y, batch.domain, [found.shape[1]]).mean().backward()
    slopes = {name: p.grad for name, p in network.named_parameters()}
    idle = [name for name, slope in slopes.items() if slope is None or not slope.any()]
    assert idle == []

    first = 0
    for field in model.inputs:
        moved = batch.x.clone()
        moved[:, first : first + field.channels] += 1
        first += field.channels
        change = (network(moved, batch.plan) - found).abs().max()
        assert bool(change > 1e-4), field.name


@ALL
def test_geometry_is_enough_unless_sources_are_asked_for(architecture):
    meshes = cases("plane")
    if architecture == "GreenOperator":
        with pytest.raises(
            ValueError, match=r"at least one of the inputs \(none\).* for GreenOperator"
        ):
            surrogate(architecture, meshes, [], ["s"])
        return
    model = surrogate(architecture, meshes, [], ["s"])
    found = predict(model, meshes[0]).point_data["s_predicted"]
    assert found.shape == meshes[0].point_data["s"].shape
    assert np.ptp(found, axis=0).min() > 1e-3


@ALL
def test_numbers_and_features_are_inputs_and_a_file_keeps_all(architecture, tmp_path):
    meshes = cases("plane")
    features = ["distance to boundary", "boundary normal"]
    model = surrogate(architecture, meshes, ["load"], ["v"], features=features)
    save_model(tmp_path / "model.safetensors", model)
    again = load_model(tmp_path / "model.safetensors")
    assert type(again.network) is ARCHITECTURES[architecture]
    assert (again.features, again.envelope) == (model.features, model.envelope)
    one, other, changed = (
        predict(m, meshes[0], values={"load": load}).point_data["v_predicted"]
        for m, load in ((model, 1.2), (again, 1.2), (again, 1.8))
    )
    assert one.shape == meshes[0].point_data["v"].shape
    assert np.array_equal(one, other)
    assert np.abs(changed - one).max() > 1e-4


@ALL
def test_half_precision_is_near(architecture):
    """Sums over points are in single precision, the networks at points are not."""
    model, case = plane(architecture)
    sample = model.sample(case)
    exact = model.network(sample.x, sample.plan)
    with torch.autocast("cpu", torch.bfloat16):
        found = model.network(sample.x, sample.plan)
    apart = float((found.float() - exact).detach().abs().max() / exact.std().detach())
    assert 1e-6 < apart < 0.15


@ALL
def test_training_from_the_command_line(architecture, tmp_path):
    for seed, mesh in enumerate(cases("plane")):
        write(tmp_path / f"{seed}.vtu", mesh)
    known = {"--width": 8} | (
        {"--blocks": 1} if "blocks" in SMALL[architecture] else {}
    )
    words = ["train", tmp_path / "*.vtu", "-i", "f,load", "-t", "u,v", "--epochs", 1]
    words += ["--architecture", architecture, "-o", tmp_path / "model.safetensors"]
    words += [word for pair in known.items() for word in pair]
    words += ["--linear", "f"] if architecture == "GreenOperator" else []
    assert main([str(word) for word in words]) == 0
    model = load_model(tmp_path / "model.safetensors")
    assert model.arguments["architecture"] == architecture
    assert all(p.isfinite().all() for p in model.network.parameters())


# --- what is out of its reach -------------------------------------------------------


@ALL
def test_points_off_the_mesh_are_counted(architecture):
    """Beside it, farther than means over balls reach, and far away."""
    model, case = plane(architecture)
    radius = model.arguments["radius"] * model.frame.length
    right = case.points[case.points[:, 0].argmax()]
    for away in (0.5 * radius, 0.75 * radius, 5 * model.frame.length):
        points = np.stack([case.points[0], right, right + 0.1])
        points[1:, 0] += away
        said, error = outcome(lambda points=points: predict_at(model, case, points))
        assert len(said) == 1
        assert "2 of 3 points, the first is number 1, lie farther than" in said[0]
        assert float(said[0].split("up to ")[1].split(":")[0]) >= away
        if architecture == "FNO" and away > radius:
            assert "the mesh: 2 of 3 targets have no source within the radius" in error
        else:
            assert error == ""


def test_points_in_a_hole_are_off_the_mesh():
    """However near its rim is; at the rim, within a spacing, nothing is said."""
    mesh = filled(plate_with_holes(24, [(0.4, 0.6, 0.25)]))
    model = surrogate("GNO", [mesh], ["f"], ["u"], radius=0.4)
    points = np.array([[0.4, 0.6], [0.1, 0.1], [0.64, 0.6]])
    said, error = outcome(lambda: predict_at(model, mesh, points))
    assert error == ""
    assert len(said) == 1
    assert "1 of 3 points, the first is number 0" in said[0]
    assert float(said[0].split("up to ")[1].split(":")[0]) == pytest.approx(0.25, 0.05)


@ALL
def test_a_mesh_ten_times_as_large_is_warned_of(architecture):
    model, case = plane(architecture)
    large = replace(case, points=10 * case.points)
    said, error = outcome(lambda: predict(model, large, where="large"))
    assert [line[:30] for line in said] == [
        "large: the mesh spans [-11.13,",
        "large: the mean spacing of poi",
    ]
    if architecture in GRIDS:
        assert "large: the domain and its reach" in error
        assert "expected at most the period" in error
    else:
        assert error == ""


def test_an_extent_that_was_not_trained_is_warned_of_within_the_box_of_all():
    """Meshes at several places: their box is larger than each of them."""
    meshes = cases("plane")
    meshes[1] = replace(meshes[1], points=meshes[1].points + 20)
    model = surrogate("GNO", meshes, ["f"], ["u"], radius=0.2)
    large = replace(meshes[0], points=8 * meshes[0].points + 10)
    assert outcome(lambda: predict(model, meshes[0])) == ([], "")
    said, error = outcome(lambda: predict(model, large))
    assert "the mesh has the extent 17." in said[0]
    assert "the largest in training had 2." in said[0]
    assert error == ""
