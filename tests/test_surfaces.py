"""The surfaces of the example: the solver against known solutions, and the whole job.

Oracles: spherical harmonics, the cotangents of another library, and the balance of
source and solution.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from isofield.discretization import from_mesh
from isofield.generation import icosphere, random_surface
from isofield.model_file import load_model
from isofield.models import ZernikeNet
from isofield.surrogate import Surrogate
from isofield.train import Schedule

FOLDER = Path(__file__).parents[1] / "examples" / "surfaces"


@pytest.fixture(scope="module")
def example():
    """`example(name)`: a module of the example."""
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module
    sys.path.remove(str(FOLDER))


@pytest.mark.parametrize("degree", [1, 3])
def test_the_solver_on_the_sphere(example, degree):
    """`-div grad Y + k² Y = (l (l + 1) + k²) Y` for z and xyz, in L2 as O(h²)."""
    sizes, k, errors = (8, 12, 18), 2.0, []
    for n in sizes:
        mesh = icosphere(n)
        u = mesh.points[:, 2] if degree == 1 else mesh.points.prod(1)
        found = example("screened").solver(mesh, k)((degree * (degree + 1) + k**2) * u)
        mass = from_mesh(mesh).weights.numpy()
        errors.append(np.sqrt(mass @ (found - u) ** 2 / (mass @ u**2)))
    rate = -np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert 1.8 < rate < 2.3
    assert errors[-1] < 3e-3


def test_the_stiffness_is_that_of_cotangents(example):
    """A sparse matrix of another library gives the same solution to rounding."""
    cotangents = pytest.importorskip("potpourri3d").cotan_laplacian
    mesh, k = random_surface(2, 8, grading=2.0), 2.0
    stiffness = cotangents(mesh.points, mesh.cells["triangle"]).toarray()
    mass = from_mesh(mesh).weights.numpy()
    source = np.cos(3 * mesh.points[:, 0])
    expected = np.linalg.solve(stiffness + k**2 * np.diag(mass), mass * source)
    found = example("screened").solver(mesh, k)(source)
    assert np.abs(found - expected).max() < 1e-7 * np.abs(expected).max()


def test_cases_of_one_seed_are_one_function(example):
    """On meshes of all kinds; what goes in comes out, `k² int u = int f`."""
    screened = example("screened")
    integrals = []
    for n, grading in ((12, 1.0), (24, 1.0), (24, 3.0)):
        (mesh,) = screened.solved(screened.Case(5, n, grading=grading))
        domain = from_mesh(mesh)
        fields = [mesh.point_data[name] for name in ("source", "potential")]
        values = torch.from_numpy(np.stack(fields, 1).copy())
        source, potential = domain.integrate(values)[0].tolist()
        size = float(domain.integrate(values[:, :1].abs()))
        assert abs(screened.SCREENING**2 * potential - source) < 0.01 * size
        integrals.append([source, potential])
        assert np.abs(np.subtract(integrals[-1], integrals[0])).max() < 0.02 * size


def test_peers_have_as_many_parameters_and_do_not_answer_elsewhere(example):
    peers = example("peers")
    for name in peers.PEERS:
        network = peers.peer(name, 40_000, 0.2)
        assert peers.parameters(network) == pytest.approx(40_000, rel=0.1)
        one, other = from_mesh(icosphere(3)), from_mesh(icosphere(4))
        with pytest.raises(ValueError, match="own points alone"):
            network.prepare(one, other)
        plan = network.prepare(one, one).to(torch.float32)
        assert network(torch.ones(len(one), 1), plan).shape == (len(one), 1)


def test_renumbering_keeps_the_surface(example):
    mesh = random_surface(0, 4).with_point_data({"f": np.arange(162.0)})
    other = example("sets").renumbered(mesh)
    assert not np.array_equal(other.points, mesh.points)
    found = other.point_data["f"].astype(int)
    assert np.array_equal(other.points, mesh.points[found])
    corners = found[other.cells["triangle"]]
    assert {frozenset(t) for t in corners.tolist()} == {
        frozenset(t) for t in mesh.cells["triangle"].tolist()
    }


def test_passes_fill_the_time(example, monkeypatch):
    """With a clock of half a second per case and 2 per case and pass.

    So 16 cases take 8 + 32 p seconds in p passes, 200 of them in the 6 first.
    """
    fair, clock = example("fair"), [0.0]

    def fitted(model, cases, *, schedule, **options):
        clock[0] += len(cases) * (0.5 + 2 * schedule.epochs)

    monkeypatch.setattr(fair, "fit", fitted)
    monkeypatch.setattr(fair.time, "process_time", lambda: clock[0])
    mesh = random_surface(0, 3).with_point_data({"f": np.arange(92.0)})
    model = Surrogate.for_cases(
        [mesh], ["f"], ["f"], architecture="ZernikeNet", width=4
    )
    for seconds, passes in ((200.0, 6), (40.0, 1), (1.0, 1)):
        assert fair.passes_for(seconds, model, [mesh] * 16, Schedule()) == passes


@pytest.mark.filterwarnings("ignore::isofield.surrogate.ExtrapolationWarning")
def test_the_job_learns_and_leaves_its_files(example, tmp_path, monkeypatch):
    """Better than the mean of the potential on a surface that it has never seen.

    `||u - mean u|| / ||u||` is the error of the best constant, known beforehand.
    """
    monkeypatch.setattr(example("screened"), "FINE", 24)
    learn, sets = example("learn"), example("sets")
    # not as many passes as a busy machine makes in some time; few for the peers
    passes = {ZernikeNet: 20}
    monkeypatch.setattr(
        learn, "passes_for", lambda _, model, *rest: passes.get(type(model.network), 2)
    )
    errors = learn.main(tmp_path, learn.Job(3, 3, 1, 1))
    for name in ("errors.md", "surface.png", "surface.safetensors"):
        assert (tmp_path / name).stat().st_size > 0
    assert load_model(tmp_path / "surface.safetensors").targets[0].name == "potential"
    text = (tmp_path / "errors.md").read_text(encoding="utf-8")
    assert f"{100 * errors['renumbered'][0]:.2f} %" in text
    (mesh,) = sets.meshes("Again", sets.mixed(20_000, 1))
    domain = from_mesh(mesh)
    u = torch.from_numpy(mesh.point_data["potential"].copy())[:, None]
    rest = domain.mean((u - domain.mean(u)).square()) / domain.mean(u.square())
    assert errors["training resolutions"][0] < 0.8 * float(rest.sqrt())
