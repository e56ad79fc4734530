"""What is recommended for a data set, by what is in it, and why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from isofield import Mesh
from isofield.cli.train import Architecture
from isofield.data import FieldError, Symmetry
from isofield.discretization import from_mesh
from isofield.generation import ball, icosphere, random_blob, random_surface, square
from isofield.models import ARCHITECTURES
from isofield.recommend import Recommendation, recommended
from isofield.recommend.waves import PERIOD, detail
from isofield.surrogate import Surrogate
from isofield.train import Schedule, fit


def waves(points: np.ndarray, number: int, seed: int = 0) -> np.ndarray:
    """A sum of waves of this number along a period, in the directions of the axes."""
    phase = np.random.default_rng(seed).uniform(0, 6, points.shape[1])
    extent = points.max() - points.min()
    return np.sin(2 * np.pi * number / (PERIOD * extent) * points + phase).sum(1)


def sourced(mesh: Mesh, seed: int, number: int = 2) -> Mesh:
    f = waves(mesh.points, number, seed)
    return mesh.with_point_data({"f": f, "u": 2 * f, "flux": 0.1 * mesh.points})


def plane(count: int = 3, n: int = 6, number: int = 2) -> list[Mesh]:
    return [sourced(random_blob(seed, n), seed, number) for seed in range(count)]


def text(found: Recommendation, word: str) -> str:
    (line,) = [line for line in found.reasons if word in line]
    return line


# --- which network ------------------------------------------------------------------


def test_linear_inputs_ask_for_a_linear_network():
    found = recommended(plane(), ["f"], ["u"], linear=["f"])
    assert found.architecture == "GreenOperator"
    assert found.arguments["linear"] == ("f",)
    assert "declared linear in f" in text(found, "GreenOperator:")
    assert "by 8 % after 300 s" in text(found, "GreenOperator:")


def test_domains_in_the_plane():
    found = recommended(plane(), ["f"], ["u", "flux"])
    assert found.architecture == "FourierOperator"
    assert "14.5 %" in text(found, "FourierOperator:")
    described = found.reasons[0]
    assert described.startswith("3 cases on domains in the plane, of 127 to 127 nodes")
    assert "targets: u, flux a vector" in described


def test_volumes():
    cases = [sourced(ball(2), seed) for seed in range(2)]
    found = recommended(cases, ["f"], ["u"])
    assert found.architecture == "FourierOperator"
    assert "not compared" in text(found, "FourierOperator:")
    assert found.arguments["modes"] <= 6


def test_surfaces_in_space():
    cases = [sourced(icosphere(3), seed) for seed in range(2)]
    found = recommended(cases, ["f"], ["u"])
    assert found.architecture == "ZernikeNet"
    assert "7.5 %" in text(found, "ZernikeNet:")
    assert "surfaces in 3 dimensions (2 closed)" in found.reasons[0]
    linear = recommended(cases, ["f"], ["u"], linear=["f"])
    assert linear.architecture == "GreenOperator"
    assert "2.7 %" in text(linear, "GreenOperator:")
    assert linear.arguments["modes"] <= 6


@pytest.mark.parametrize(("inputs", "targets"), [([], ["u"]), (["f"], ["flux"])])
def test_surfaces_where_axes_matter(inputs, targets):
    """`ZernikeNet` has no axes: not for vectors, nor where the shape is all it sees."""
    cases = [sourced(icosphere(3), seed) for seed in range(2)]
    found = recommended(cases, inputs, targets)
    assert found.architecture == "FourierOperator"
    assert "cannot tell directions" in text(found, "FourierOperator:")


# --- how many waves -----------------------------------------------------------------


@pytest.mark.parametrize("number", [3, 5, 8])
def test_detail_finds_the_number_of_waves(number):
    """Waves of one number, on a mesh that has 5 nodes in the shortest."""
    mesh = square(32)
    found = detail([from_mesh(mesh)], [waves(mesh.points, number)[:, None]], 2)
    assert found is not None
    assert found.waves == number
    assert found.left < 1e-3


def test_detail_says_what_is_left_beyond():
    """Number 2 with 0.3 of number 8, more than is fitted with 16 spacings."""
    mesh = square(16)
    u = waves(mesh.points, 2) + 0.3 * waves(mesh.points, 8)
    found = detail([from_mesh(mesh)], [u[:, None]], 2)
    assert found is not None
    share = 0.3**2 / (1 + 0.3**2)
    assert 0.5 * share < found.left < 1.1 * share
    assert detail([from_mesh(mesh)], [np.full((289, 1), 3.7)], 2) is None


def test_detail_of_many_points_is_that_of_some(monkeypatch):
    mesh = square(40)
    u = waves(mesh.points, 4)[:, None] + 0.2 * waves(mesh.points, 9)[:, None]
    whole = detail([from_mesh(mesh)], [u], 2)
    monkeypatch.setattr("isofield.recommend.waves.POINTS", 1000)
    some = detail([from_mesh(mesh)], [u], 2)
    assert whole is not None
    assert some is not None
    assert whole.waves == some.waves


def test_detailed_inputs_ask_for_more_modes_and_coarse_meshes_for_fewer():
    smooth, fine = (recommended(plane(2, 16, n), ["f"], ["u"]) for n in (2, 8))
    assert smooth.arguments["modes"] == 6
    assert fine.arguments["modes"] == 8
    assert "waves beyond number 8 hold" in text(fine, "modes:")
    coarse = recommended([*plane(2, 16, 8), *plane(1, 3)], ["f"], ["u"])
    assert coarse.arguments["modes"] < 6
    area = float(from_mesh(plane(1, 3)[0]).measure())
    spacing = (area / 37) ** 0.5 / _extent([*plane(2, 16), *plane(1, 3)])
    assert coarse.arguments["modes"] == int(PERIOD / (2 * spacing))
    assert f"of spacing {spacing:.3g} of the extent" in text(coarse, "modes:")


def test_fields_that_no_mesh_resolves_ask_for_all_modes():
    """Of number 7 on 16 spacings, where waves up to 5 are fitted: 12, but 11 is what
    two spacings a wave allow."""
    mesh = sourced(square(16), 0, 7)
    found = recommended([mesh], ["f"], ["u"])
    assert found.arguments["modes"] == int(PERIOD / (2 * 17**-1))
    assert "beyond number 5, the last that the meshes tell, hold" in text(
        found, "modes:"
    )


def _extent(cases: list[Mesh]) -> float:
    points = np.concatenate([case.points for case in cases])
    return float((points.max(0) - points.min(0)).max())


# --- how long -----------------------------------------------------------------------


@pytest.mark.parametrize(("count", "width"), [(3, 32), (100, 48)])
def test_few_cases_are_seen_more_often_by_narrow_networks(count, width):
    cases = [sourced(random_blob(seed % 5, 2), seed) for seed in range(count)]
    found = recommended(cases, ["f"], ["u"])
    assert found.arguments["width"] == width
    assert found.schedule.nodes == max(19, count * 19 // 8)
    assert f"{found.schedule.epochs} passes" in text(found, "passes:")
    assert f"{count} cases" in text(found, f"Width {width}")
    steps = found.schedule.epochs * -(-count // (found.schedule.nodes // 19))
    assert found.schedule.epochs == 1000 or 4000 <= steps <= 7000


# --- regions ------------------------------------------------------------------------


def clamped(mesh: Mesh, corner: tuple[float, float]) -> Mesh:
    near = np.linalg.norm(mesh.points - corner, axis=1) < 0.3
    return replace(mesh, point_sets={"clamp": np.flatnonzero(near)})


def test_regions_that_move_on_one_domain_become_features():
    mesh = sourced(square(6), 0)
    moving = [clamped(mesh, corner) for corner in ((0, 0), (1, 0), (1, 1))]
    found = recommended(moving, ["f"], ["u"])
    assert found.features == ("distance to clamp",)
    assert "clamp by " in text(found, "Distances")
    still = recommended([clamped(mesh, (0, 0))] * 3, ["f"], ["u"])
    assert still.features == ()
    assert "clamp lie at the same place" in text(still, "No features")
    shapes = [clamped(case, (0, 0)) for case in plane()]
    assert "'distance to clamp'" in text(
        recommended(shapes, ["f"], ["u"]), "No features"
    )
    given = recommended(moving, ["f"], ["u"], features=["near clamp"])
    assert given.features == ("near clamp",)


# --- what is not declared -----------------------------------------------------------


def scaled(power: float) -> list[Mesh]:
    found = []
    for seed, case in enumerate(plane(8, 3)):
        load = 1.5**seed
        found.append(
            case.with_point_data(
                {
                    "load": np.full(len(case.points), load),
                    "f": load**2 * case.point_data["f"],
                    "u": load**power * case.point_data["f"],
                }
            )
        )
    return found


def test_a_reason_says_with_what_targets_grow():
    found = recommended(scaled(1.0), ["load", "f"], ["u"])
    line = text(found, "grow with load")
    assert "to the power 0.99 (correlation 1.00 over 8 cases)" in line
    assert "similarity={'u': 'load'} or linear=['load']" in line
    assert not any("grow with f" in line for line in found.reasons)
    assert found.architecture == "FourierOperator"
    assert found.arguments["linear"] == ()
    known = recommended(scaled(1.0), ["load", "f"], ["u"], similarity={"u": "load"})
    assert not any("grow with" in line for line in known.reasons)
    assert known.arguments["similarity"] == {"u": "load"}
    assert "grow with f," in str(recommended(scaled(2.0), ["load", "f"], ["u"]))
    assert "grow with" not in str(recommended(scaled(0.0), ["load", "f"], ["u"]))


# --- what is made of it -------------------------------------------------------------


def test_the_recommended_model_learns_and_is_the_same_again():
    cases = plane(4, 4)
    weights = []
    for _ in range(2):
        found = recommended(cases, ["f"], ["u"], linear=["f"])
        model = Surrogate.for_cases(cases, ["f"], ["u"], **found.arguments)
        schedule = replace(found.schedule, epochs=8)
        history = fit(model, cases, schedule=schedule, progress=False, device="cpu")
        assert history.rows[-1]["train u"] < 0.7 * history.rows[0]["train u"]
        weights.append(torch.cat([p.ravel() for p in model.network.parameters()]))
    assert torch.equal(*weights)
    again = recommended(cases, ["f"], ["u"], linear=["f"])
    assert again == found
    assert str(again).splitlines() == list(again.reasons)


def test_the_arguments_fit_every_kind(tmp_path):
    """Cells, clouds inside and features reach the model."""
    cloud = [Mesh(case.points, point_data=case.point_data) for case in plane(2)]
    found = recommended(cloud, ["f"], ["u"], cloud_on_boundary=False)
    model = Surrogate.for_cases(cloud, ["f"], ["u"], **found.arguments)
    assert model.arguments["modes"] == found.arguments["modes"]
    cells = []
    for case in plane(2, 4):
        data = {"p": case.points[case.cells["triangle"]].mean(1)[:, 0]}
        cells.append(replace(case, point_data={}, cell_data=data))
    found = recommended(cells, [], ["p"], at="cells")
    assert Surrogate.for_cases(cells, [], ["p"], **found.arguments).at == "cells"


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="at least one case to look at, got none"):
        recommended([], ["f"], ["u"])
    with pytest.raises(ValueError, match="targets: expected at least one name"):
        recommended(plane(1), ["f"], [])
    with pytest.raises(FieldError, match="linear: no input 'g'; there are f"):
        recommended(plane(1), ["f"], ["u"], linear=["g"])
    with pytest.raises(FieldError, match="case 0: no field 'g'"):
        recommended(plane(1), ["g"], ["u"])


def test_the_schedule_is_one():
    found = recommended(plane(1, 3), ["f"], ["u"])
    assert isinstance(found.schedule, Schedule)
    assert_allclose(found.schedule.rate, Schedule().rate)


def test_predictions_are_means_on_surfaces_without_a_direction():
    surfaces = [sourced(random_surface(seed, 4), seed) for seed in range(3)]
    known = Symmetry(copies=5)
    assert recommended(surfaces, ["f"], ["u"]).symmetry is None
    found = recommended(surfaces, ["f"], ["u"], symmetry=known)
    assert found.symmetry == replace(known, copies=15)
    assert "means over 15 moved copies" in text(found, "Predict by")
    for more, copies in ((Symmetry(20), 20), (Symmetry(5, right_angles=True), 47)):
        found = recommended(surfaces, ["f"], ["u"], symmetry=more)
        assert found.symmetry == replace(more, copies=copies)
    inside = recommended(plane(), ["f"], ["u"], symmetry=known)
    assert inside.symmetry is None
    assert text(inside, "Moved copies are not")


def test_networks_with_directions_learn_from_copies_and_predict_by_means():
    """Over the whole group where there is one."""
    for known, mean in ((Symmetry(5), 5), (Symmetry(3, right_angles=True), 7)):
        found = recommended(plane(), ["f"], ["flux"], linear=["f"], symmetry=known)
        assert found.augment == known
        fewer = recommended(plane(), ["f"], ["flux"], linear=["f"])
        assert fewer.augment is None
        assert found.schedule.epochs < fewer.schedule.epochs
        assert found.symmetry == replace(known, copies=mean)
        assert f"means over {mean}" in text(found, f"Learn from {known.copies}")


def test_weights_decay_where_a_linear_network_has_no_directions():
    cases = plane(3, 3)
    free = recommended(cases, ["f"], ["u"])
    turning = recommended(cases, ["f"], ["flux"], linear=["f"])
    linear = recommended(cases, ["f"], ["u"], linear=["f"])
    assert free.schedule.decay == Schedule().decay < linear.schedule.decay
    assert turning.schedule.decay == Schedule().decay
    assert f"decay by {linear.schedule.decay:g}" in text(linear, "decay")
    one = [sourced(square(6, jitter=0.2, seed=seed), seed) for seed in range(3)]
    alike = recommended(one, ["f"], ["u"], linear=["f"])
    assert alike.schedule.decay == Schedule().decay


def test_the_command_knows_every_architecture():
    assert {a.value for a in Architecture} == set(ARCHITECTURES)
