"""The data and the harness of the learning benchmark, in small.

Oracles: manufactured solutions, a strain that is the same everywhere, the balance of
heat and of mass, and the solution of Poisson's equation for a source of 4.
"""

from __future__ import annotations

import importlib
import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from isofield import Mesh, from_mesh
from isofield.data import Symmetry, moved
from isofield.discretization import from_points, pack
from isofield.generation import box, square
from isofield.loss import relative_l2
from isofield.predict import predict
from isofield.surrogate import ExtrapolationWarning
from isofield.train import Schedule
from tests.benchmarks.learning import (
    heat_plates,
    heat_sink,
    planar,
    poisson_disc,
    screened_surfaces,
    storage,
    transport,
    unit_cells,
)
from tests.benchmarks.learning.cases import Case
from tests.benchmarks.learning.elements import Interpolation, as_held, basis_of
from tests.benchmarks.learning.peers import Transolver
from tests.benchmarks.learning.report import append, report
from tests.benchmarks.learning.training import Job, errors_on, result, untrained

COARSE = {
    poisson_disc: {"REFINEMENTS": 4},
    heat_plates: {"EDGE": 0.1},
    unit_cells: {"EDGE": 0.1},
    heat_sink: {"EDGE": 0.2},
    transport: {"EDGE": 0.1},
}  # truths that take no time


@pytest.fixture(autouse=True)
def _coarse(monkeypatch):
    for module, sizes in COARSE.items():
        for name, size in sizes.items():
            monkeypatch.setattr(module, name, size)
        module.truth.cache_clear()
    monkeypatch.setattr(screened_surfaces.screened(), "FINE", 12)
    screened_surfaces.truth.cache_clear()
    yield
    for module in [*COARSE, screened_surfaces]:
        module.truth.cache_clear()


@pytest.mark.parametrize("made", [square(3, jitter=0.2), box(2)])
def test_what_a_mesh_holds_is_linear_between_its_points(made):
    """Its own values at its points, and a linear field everywhere."""
    values = np.sin(9 * made.points).sum(1)
    slope = np.arange(1, made.points.shape[1] + 1)
    mesh = made.with_point_data({"any": values, "linear": made.points @ slope})
    assert np.allclose(as_held(mesh, "any")(made.points), values, atol=1e-12)
    places = np.random.default_rng(0).uniform(0.05, 0.95, (40, len(slope)))
    assert np.allclose(as_held(mesh, "linear")(places), places @ slope, atol=1e-12)


@pytest.mark.parametrize("name", storage.TASKS)
@pytest.mark.parametrize(
    ("family", "shapes"),
    [("uniform", "known"), ("cloud", "known"), ("uniform", "unseen")],
)
def test_every_task_makes_samples(name, family, shapes):
    task = storage.task(name)
    mesh = task.sample(Case(10_001, 150, family, shapes=shapes))
    assert 75 < len(mesh.points) < 300
    assert bool(mesh.cells) == (family != "cloud")
    assert not mesh.cells or mesh.validate().ok
    for field in (*task.inputs, *task.targets):
        assert np.isfinite(mesh.point_data[field]).all()
        assert np.abs(mesh.point_data[field]).max() > 0
    assert set(task.linear_in) <= set(task.inputs)


@pytest.mark.parametrize("name", storage.TASKS)
def test_every_set_has_the_same_shapes(name):
    task = storage.task(name)
    assert all(len(cases) == 256 for cases in task.train.values())
    wanted = [(case.seed, case.source) for case in next(iter(task.tests.values()))]
    trained = {case.seed for cases in task.train.values() for case in cases}
    for cases in task.tests.values():
        assert [(case.seed, case.source) for case in cases] == wanted
        assert trained.isdisjoint(case.seed for case in cases)
    assert set(task.resolutions) <= set(task.tests)


def _error(mesh: Mesh, found: np.ndarray, wanted: np.ndarray) -> float:
    weights = from_mesh(mesh).weights.numpy()
    square_error = weights @ (found - wanted) ** 2
    return float(np.sqrt(square_error / (weights @ wanted**2)))


def _rate(sizes, errors) -> float:
    return -2 * float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])


def test_poisson_on_the_disc():
    """`-Δ(1 - r²) = 4`, by linear elements as O(h²) = O(1 / N), on two families."""
    for family in ("uniform", "rim"):
        sizes, errors = (200, 600, 1800), []
        for n in sizes:
            mesh = poisson_disc.mesh(3, n, family)
            assert len(mesh.points) == n
            solve = poisson_disc.solver(mesh.points, mesh.cells["triangle"])
            square = ((mesh.points - poisson_disc.CENTRE) ** 2).sum(1)
            errors.append(_error(mesh, solve(np.full(n, 4.0)), 1 - square))
        assert 1.7 < _rate(sizes, errors) < 2.4
    points, solve, interpolation = poisson_disc.truth()
    found = interpolation(mesh.points, 0.5) @ solve(np.full(len(points), 4.0))
    assert _error(mesh, found, 1 - square) < 3 * (1 / 16) ** 2


def test_poisson_on_an_ellipse():
    """`-Δ(1 - |B y|²) = 2 |B|²`, B from the ellipse to the disc, y from its middle."""
    mesh = poisson_disc.sample(5, 600, ellipse=5)
    back = np.linalg.inv(poisson_disc.flattening(5))
    wanted = 1 - (((mesh.points - poisson_disc.CENTRE) @ back.T) ** 2).sum(1)
    assert wanted.min() == pytest.approx(0, abs=1e-12)
    assert 0.6 < np.linalg.det(poisson_disc.flattening(5)) < 0.9
    points, solve, interpolation = poisson_disc.truth(5)
    found = interpolation(mesh.points, 0.5) @ solve(
        np.full(len(points), 2 * (back**2).sum())
    )
    assert _error(mesh, found, wanted) < 3 * (1 / 16) ** 2


def test_heat_with_a_varying_conductivity():
    """T = sin πx sin πy for k = 10^x, by quadratic and by linear elements."""
    domain = planar.Domain(
        (planar.polygon(np.array([(0, 0), (1, 0), (1, 1), (0, 1)])),)
    )

    def wanted(x):
        return np.sin(np.pi * x[:, 0]) * np.sin(np.pi * x[:, 1])

    def source(x):
        slope = np.pi * np.cos(np.pi * x[:, 0]) * np.sin(np.pi * x[:, 1])
        return 10 ** x[:, 0] * (2 * np.pi**2 * wanted(x) - np.log(10) * slope)

    for degree, rate in ((1, 2), (2, 3)):
        sizes, errors = (6, 10, 16), []
        for n in sizes:
            basis = basis_of(square(n, jitter=0.15), degree)
            held = planar.outer_nodes(domain, basis)
            found = heat_plates.solution(basis, lambda x: x[:, 0], source, held)
            probe = square(23)
            values = Interpolation.of(basis)(probe.points) @ found
            errors.append(_error(probe, values, wanted(probe.points)))
        fitted = -float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])
        assert rate - 0.3 < fitted < rate + 0.6


def test_a_strain_that_is_the_same_everywhere():
    """One modulus and no holes: u = ε̄ (x - c), plane stress, to rounding."""
    mesh = square(4, jitter=0.2)
    domain = planar.Domain(
        (planar.polygon(np.array([(0, 0), (1, 0), (1, 1), (0, 1)])),)
    )
    strain, young = np.array([[0.3, 0.25], [0.25, -0.1]]), 7.0
    for degree in (1, 2):
        basis = basis_of(mesh, degree)
        held = planar.outer_nodes(domain, basis)
        u, stress = unit_cells.solution(
            basis, lambda x: np.full(len(x), young), strain, held
        )
        wanted = (basis.doflocs.T - 0.5) @ strain
        np.testing.assert_allclose(u, wanted, atol=1e-12)
        xx, yy = young / 0.91 * np.array([0.3 - 0.3 * 0.1, -0.1 + 0.3 * 0.3])
        wanted = np.tile([xx, yy, young / 2.6 * 0.5], (len(stress), 1))
        np.testing.assert_allclose(stress, wanted, atol=1e-10)


def test_heat_in_is_heat_out():
    """The heat through the bottom is Bi times the integral of u on the other sides."""
    mesh = heat_sink.sample(Case(5, 2400))
    q, cooling = heat_sink.inputs(5, 0)
    skin = mesh.boundary()
    triangles = skin.cells["triangle"]
    below = (skin.points[triangles, 2] < 1e-9).all(1)
    cooled = from_mesh(Mesh(skin.points, {"triangle": triangles[~below]}).mended()[0])
    kept = np.unique(triangles[~below])
    u = torch.from_numpy(skin.point_data["temperature_p1"][kept])
    x, y = np.meshgrid((np.arange(400) + 0.5) / 400, 0.6 * (np.arange(240) + 0.5) / 240)
    heat = 0.6 * q(np.column_stack([x.ravel(), y.ravel(), 0 * x.ravel()])).mean()
    assert float(cooled.integrate(u)) * cooling == pytest.approx(heat, rel=5e-3)


def test_transport_keeps_the_mass():
    """No flux through the boundary: the integral of c does not change in five steps."""
    domain, velocity, values, interpolation = transport.truth(10_000, "unseen")
    mesh = planar.meshed(domain, 900, "uniform", 0)
    weights = from_mesh(mesh).weights.numpy()
    mass = weights @ (interpolation(mesh.points, 0.5) @ values.T)
    assert np.abs(values[-1] - values[0]).max() > 0.1
    np.testing.assert_allclose(mass, mass[0], rtol=0.02)
    angle = np.linspace(0, 2 * np.pi, 30)
    normal = np.column_stack([np.cos(angle), np.sin(angle)])
    around = velocity(transport.CENTRE + transport.HOLE * normal)
    assert np.abs((around * normal).sum(1)).max() < 1e-6 < np.abs(around).max()


@pytest.mark.parametrize("mesh", [square(3, jitter=0.2), box(2, jitter=0.2)])
def test_interpolation_of_quadratic_functions(mesh):
    """Exact for squares and products; a point outside is refused."""
    basis, random = basis_of(mesh, 2), np.random.default_rng(0)
    points = random.random((50, mesh.points.shape[1]))

    def function(x):
        return x[:, 0] ** 2 - 3 * x[:, 0] * x[:, 1] + x[:, -1] ** 2 + 2

    interpolation = Interpolation.of(basis)
    found = interpolation(points) @ function(basis.doflocs.T)
    np.testing.assert_allclose(found, function(points), atol=1e-12)
    with pytest.raises(ValueError, match="outside of all cells"):
        interpolation(points + 1)


def test_equal_cases_have_equal_bytes(tmp_path):
    cases = [Case(0, 100), Case(0, 100, "cloud"), Case(0, 100, permuted=True)]
    made = [
        storage.made("poisson_disc", {"a set": cases}, tmp_path / folder, processes=1)
        for folder in "ab"
    ]
    for one, other in zip(*made, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert made[0][0].read_bytes() != made[0][2].read_bytes()
    with pytest.raises(ValueError, match="delete the folder"):
        storage._checked(made[0][0], Case(1, 100))
    made[0][1].unlink()
    before = made[0][0].stat().st_mtime_ns
    storage.made("poisson_disc", {"a set": cases}, tmp_path / "a", processes=1)
    assert made[0][1].is_file()
    assert made[0][0].stat().st_mtime_ns == before


def test_transolver_on_several_meshes():
    """A batch is each sample alone; renumbered points have renumbered values."""
    torch.manual_seed(0)
    network = Transolver(1, 2, 2, width=16, blocks=2, heads=2, slices=4).double()
    domains = [from_mesh(square(n)) for n in (3, 4)]
    values = [torch.rand(len(domain), 1).double() for domain in domains]
    single = [
        network(u, network.prepare(domain, domain))
        for u, domain in zip(values, domains, strict=True)
    ]
    both = pack(domains)
    found = network(torch.cat(values), network.prepare(both, both))
    torch.testing.assert_close(found, torch.cat(single))
    order = torch.randperm(len(domains[0]))
    turned = replace(
        domains[0], points=domains[0].points[order], weights=domains[0].weights[order]
    )
    plan = network.prepare(turned, turned)
    torch.testing.assert_close(network(values[0][order], plan), single[0][order])


def test_a_training_and_its_report(tmp_path):
    """Half a second for a small network; then tables and curves of its line."""
    task = storage.task("transport")
    sets = {
        title: [
            task.sample(replace(case, n_points=60)) for case in task.tests[title][:1]
        ]
        for title in ("in distribution", "random cloud")
    }
    cases = [task.sample(Case(i, 60)) for i in range(2)]
    job = Job("GNO", 0.5, {"width": 8, "blocks": 1}, Schedule())
    line = result(task, "mixed", job, cases, sets)
    assert line["steps"] > 1
    assert list(line["errors"]) == [*sets, "in distribution, 5 steps"]
    assert 0 < line["own"]["in distribution"]["next_concentration"] < 0.5
    append(tmp_path / "results.jsonl", line)
    job = replace(job, model="Transolver", arguments={"width": 16, "blocks": 1})
    append(tmp_path / "results.jsonl", result(task, "mixed", job, cases, sets))
    report(tmp_path / "results.jsonl", tmp_path, {})
    text = (tmp_path / "benchmark.md").read_text()
    error = line["errors"]["random cloud"]["next_concentration"]
    assert f"| random cloud | 60 | {error:.3f} |" in text
    assert "Transolver width=16 blocks=1" in text
    assert (tmp_path / "benchmark.png").stat().st_size > 10_000


def test_errors_of_means_over_moved_copies():
    """On a mesh and on a cloud, against predictions for the moved cases themselves."""
    task, symmetry = storage.task("transport"), Symmetry(copies=1, seed=3)
    cases = [task.sample(Case(i, 60)) for i in range(2)]
    cloud = task.sample(Case(5, 60, "cloud"))
    job = Job("GNO", 0.5, {"width": 8, "blocks": 1}, Schedule())
    model = untrained(replace(task, rolled=None), job, cases)
    for case in (cases[0], cloud):
        copies = [case, moved(case, symmetry.matrix(0, 0, 2))]
        samples = [model.sample(copy, cloud_on_boundary=False) for copy in copies]
        mean = (model.evaluate(samples[0]) + model.evaluate(samples[1])) / 2
        truth = torch.tensor(case.point_data["next_concentration"])[:, None]
        wanted = float(relative_l2(mean, truth, samples[0].domain, [1]))
        found = errors_on(model, replace(task, rolled=None), {"one": [case]}, symmetry)
        assert found["one"]["next_concentration"] == pytest.approx(wanted, rel=1e-5)


def test_seeds_are_one_column_and_budgets_are_several(tmp_path):
    """Medians and spreads of the last line of each seed."""
    same = {"task": "t", "form": "mixed", "model": "GNO", "arguments": {}, "own": {}}
    same |= {"parameters": 5, "preparing": 1.0, "steps": 10, "seconds per step": 0.1}
    same |= {"training error": 0.5, "points": {"new": 60.0}, "resolutions": ["new"]}
    runs = [(8, 0, 0.9), (8, 0, 0.3), (8, 1, 0.1), (8, 2, 0.25), (20, 0, 0.05)]
    for seconds, seed, error in runs:
        line = {"seconds": seconds, "seed": seed, "errors": {"new": {"u": error}}}
        append(tmp_path / "results.jsonl", same | line)
    report(tmp_path / "results.jsonl", tmp_path, {})
    text = (tmp_path / "benchmark.md").read_text()
    assert "| test set | points | GNO, 8 s | GNO, 20 s |" in text
    assert "| new | 60 | 0.250 (0.100–0.300) | 0.050 | – |" in text
    assert "| GNO, 8 s | 5 | 3 | 10 |" in text


def test_the_recommended_network_beside_the_best_other_and_on_other_meshes(tmp_path):
    same = {"task": "t", "form": "mixed", "arguments": {}, "seed": 0, "seconds": 8}
    same |= {"parameters": 5, "preparing": 1.0, "steps": 10, "seconds per step": 0.1}
    same |= {"training error": 0.5, "resolutions": ["in", "3 times coarser", "finest"]}
    same |= {"own": {"3 times coarser": {"u": 0.15}}}
    found = {"3 times coarser": 0.12, "in": 0.1, "graded to x": 0.11, "graded": 0.105}
    found |= {"finest": 0.1, "random cloud": 0.13}
    for model, factor in (("recommended", 1), ("Transolver", 5), ("GINO (n)", 4)):
        errors = {title: {"u": factor * error} for title, error in found.items()}
        line = {"model": model, "errors": errors, "points": dict.fromkeys(found, 9)}
        append(tmp_path / "results.jsonl", same | line)
        append(tmp_path / "results.jsonl", same | line | {"seconds": 4, "device": "X"})
        if model != "recommended":  # a budget of theirs alone
            append(tmp_path / "results.jsonl", same | line | {"seconds": 5})
    report(tmp_path / "results.jsonl", tmp_path, {"t": "a task"})
    text = (tmp_path / "benchmark.md").read_text()
    assert "| a task | u | 8 s | 0.100 | 0.400 | GINO (n) | 0.25 |" in text
    assert "| a task | u | 4 s on X | 0.100 | 0.400 | GINO (n) | 0.25 |" in text
    assert "| a task | u | 5 s" not in text
    for budget in ("8 s", "4 s on X"):
        row = f"| a task | u | {budget} | – | 1.10 | – | 1.20 | 0.120 | 0.150 | 1.30 |"
        assert row in text


def test_a_set_that_newer_results_know_is_told_of_these_alone(tmp_path):
    """Its ratio is to the error of the same seed, not to the median of all."""
    same = {"task": "t", "form": "mixed", "arguments": {}, "seconds": 8, "own": {}}
    same |= {"parameters": 5, "preparing": 1.0, "steps": 10, "seconds per step": 0.1}
    same |= {"training error": 0.5, "resolutions": ["in"], "model": "recommended"}
    for seed, error in enumerate((0.1, 0.2, 0.4)):
        errors = {"in": {"u": error}}
        if seed == 0:
            errors["random cloud, finest"] = {"u": 0.15}
        line = {"seed": seed, "errors": errors, "points": dict.fromkeys(errors, 9)}
        append(tmp_path / "results.jsonl", same | line)
    report(tmp_path / "results.jsonl", tmp_path, {})
    text = (tmp_path / "benchmark.md").read_text()
    assert "| in | 9 | 0.200 (0.100–0.400) | – |" in text
    assert "| random cloud, finest | 9 | 0.150 | – |" in text
    (row,) = [r for r in text.splitlines() if r.startswith("| t | u | 8 s | –")]
    assert row.endswith("| – | 1.50 |")


def on_a_cloud(name: str, **options):
    """A plate's case, its cloud, an untrained network and the errors of that."""
    case, task = Case(10_000, 150, "cloud"), storage.task("heat_plates")
    task = replace(task, tests={"random cloud": (case,)})
    job = Job(name, 0.5, {"width": 8, "blocks": 1, **options}, Schedule())
    model = untrained(task, job, [task.sample(Case(i, 150)) for i in range(2)])
    cloud = task.sample(case)
    found = errors_on(model, task, {"random cloud": [cloud]}, None)
    return case, cloud, model, found


def test_errors_of_clouds_in_known_domains():
    """Beside those of the clouds alone, of the same model."""
    case, cloud, model, found = on_a_cloud("GNO")
    domain = heat_plates.region(case)
    assert list(found) == ["random cloud", "random cloud, domain known"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExtrapolationWarning)
        told = predict(model, cloud, domain=domain, device="cpu").point_data
    error = told["temperature_predicted"] - cloud.point_data["temperature"]
    weights = from_points(torch.tensor(cloud.points), on_boundary=False).weights.numpy()
    truth = cloud.point_data["temperature"]
    wanted = np.sqrt(weights @ error**2 / (weights @ truth**2))
    known = found["random cloud, domain known"]["temperature"]
    assert known == pytest.approx(wanted, rel=1e-5)
    assert abs(known / found["random cloud"]["temperature"] - 1) > 1e-4


def test_networks_that_answer_at_their_own_points_know_no_domain():
    *_, found = on_a_cloud("Transolver", heads=2, slices=4)
    assert list(found) == ["random cloud"]


def test_a_broken_line_of_results_is_named(tmp_path):
    path = tmp_path / "results.jsonl"
    append(path, {"task": "t"})
    path.write_text("{broken\n" + path.read_text())
    with pytest.raises(ValueError, match="line 1"):
        report(path, tmp_path, {})


def test_the_program(monkeypatch, tmp_path):
    """One line for a model; a name that is none is refused."""
    program = importlib.import_module("tests.benchmarks.learning.__main__")
    task = storage.task("poisson_disc")
    small = replace(
        task,
        train={"fixed": (Case(0, 60), Case(1, 60))},
        tests={"1,000 nodes": (Case(10_000, 80),)},
        resolutions=("1,000 nodes",),
    )
    monkeypatch.setattr(storage, "task", lambda name: small)
    options = ["--task", "poisson_disc", "--folder", str(tmp_path), "--docs"]
    options += [str(tmp_path), "--processes", "1", "--seconds", "0.1"]
    arguments = ["--arguments", '{"width": 8, "blocks": 1}']
    program.main([*options, "--model", "GNO", *arguments])
    line = json.loads((tmp_path / "benchmark.jsonl").read_text())
    assert (line["model"], line["form"]) == ("GNO", "fixed")
    program.main([*options, "--report"])
    assert (tmp_path / "benchmark.png").is_file()
    with pytest.raises(ValueError, match="expected one of"):
        program.main([*options, "--model", "Nothing"])
