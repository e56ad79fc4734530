"""Prediction: the same mesh comes back with the model's fields on it."""

from __future__ import annotations

import warnings
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from isofield import Mesh, generation
from isofield.data import FieldError, Symmetry, moved
from isofield.data.clouds import random_cloud
from isofield.mesh import MeshError
from isofield.model_file import ModelFileError, save_model
from isofield.predict import predict, predict_at
from isofield.surrogate import ExtrapolationWarning
from isofield.train import Schedule, fit


@pytest.fixture(autouse=True)
def without_a_gpu(monkeypatch):
    """Predictions are the same to the last bit on a CPU alone."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture(scope="module")
def model(blobs, tiny):
    """A little trained, so that outputs are no accident of zeros."""
    model = tiny(blobs)
    schedule = Schedule(epochs=4, nodes=200, rate=1e-2)
    fit(model, blobs, schedule=schedule, progress=False, device="cpu")
    return model


def bare(mesh: Mesh, *names: str) -> Mesh:
    """The mesh with these of its point fields alone, and no numbers."""
    data = {name: mesh.point_data[name] for name in names}
    return replace(mesh, point_data=data, field_data={})


def as_cells(mesh: Mesh, *names: str) -> Mesh:
    """These fields at the cells, over all types of cells."""
    data = {
        name: np.concatenate(
            [mesh.point_data[name][nodes].mean(1) for nodes in mesh.cells.values()]
        )
        for name in names
    }
    return replace(mesh, point_data={}, cell_data=data)


def random_cloud_of(mesh: Mesh, count: int, load: float = 1.5) -> Mesh:
    """Random points of a mesh with an input that is linear in space, without truth."""
    cloud = random_cloud(Mesh(mesh.points, mesh.cells), count, seed=3)
    x, y = cloud.points.T
    return replace(cloud, point_data={"f": (x - 2 * y) / 3}, field_data={"load": load})


# --- the same mesh ------------------------------------------------------------------


def test_the_mesh_is_the_same(model, blobs):
    """Points, cells, sets and old fields, bit for bit; new fields beside them."""
    mesh = replace(
        blobs[3],
        point_sets={"left": [0, 2]},
        cell_sets={"some": [1, 5]},
        facet_sets={"rim": [[0, 1]]},
        cell_data={"rank": np.arange(len(blobs[3].cells["triangle"]), dtype=np.int8)},
    )
    before = {f.name: getattr(mesh, f.name) for f in fields(mesh)}
    found = predict(model, mesh)
    assert found.points.tobytes() == mesh.points.tobytes()
    for name in ("cells", "cell_data", "point_sets", "cell_sets", "facet_sets"):
        ours, theirs = getattr(found, name), getattr(mesh, name)
        assert list(ours) == list(theirs)
        for key in ours:
            assert ours[key].dtype == theirs[key].dtype
            assert np.array_equal(ours[key], theirs[key])
    for key, values in mesh.point_data.items():
        assert np.array_equal(found.point_data[key], values)
    assert {f.name: getattr(mesh, f.name) for f in fields(mesh)} == before
    assert set(found.point_data) - set(mesh.point_data) == {
        "u_predicted",
        "s_predicted",
        "u_error",
        "s_error",
    }


def test_predictions_are_the_outputs_in_physical_units(model, blobs):
    found = predict(model, blobs[3]).point_data
    output = model.evaluate(model.sample(blobs[3])).numpy()
    assert_allclose(found["u_predicted"], output[:, :2])
    assert_allclose(found["s_predicted"], output[:, 2])
    assert found["u_predicted"].shape == blobs[3].point_data["u"].shape
    assert found["s_predicted"].dtype == np.float64
    # trained: nearer to the truth than its mean is
    truth = blobs[3].point_data["s"]
    assert np.std(found["s_predicted"] - truth) < np.std(truth)


def test_the_error_is_prediction_minus_truth(model, blobs):
    found = predict(model, blobs[2]).point_data
    for name in ("u", "s"):
        expected = found[f"{name}_predicted"] - blobs[2].point_data[name]
        assert_allclose(found[f"{name}_error"], expected, atol=1e-15)
    partly = predict(
        model,
        replace(
            blobs[2],
            point_data={name: blobs[2].point_data[name] for name in ("f", "s")},
        ),
    )
    assert "s_error" in partly.point_data
    assert "u_error" not in partly.point_data


def test_units_go_with_the_fields(model, blobs):
    found = predict(model, blobs[0]).field_data
    assert found["unit:u_predicted"] == found["unit:u_error"] == "mm"
    assert "unit:s_predicted" not in found
    assert found["load"] == blobs[0].field_data["load"]
    without_truth = predict(model, bare(blobs[0], "f"), values={"load": 1.0}).field_data
    assert without_truth["unit:u_predicted"] == "mm"
    assert "unit:u_error" not in without_truth


def test_tensors_keep_their_rank(tiny, blobs):
    cases = [
        case.with_point_data(
            {"t": np.einsum("ni,nj->nij", *[case.point_data["u"]] * 2)}
        )
        for case in blobs[:2]
    ]
    found = predict(tiny(cases, targets=("t",)), cases[0])
    assert found.point_data["t_predicted"].shape == (37, 2, 2)
    assert found.point_data["t_error"].shape == (37, 2, 2)


def test_a_file_predicts_as_the_model(model, blobs, tmp_path):
    save_model(tmp_path / "m.safetensors", model)
    one = predict(model, blobs[1])
    for path in (tmp_path / "m.safetensors", str(tmp_path / "m.safetensors")):
        other = predict(path, blobs[1])
        assert np.array_equal(
            one.point_data["u_predicted"], other.point_data["u_predicted"]
        )
    with pytest.raises(ModelFileError, match="no such model file"):
        predict(tmp_path / "none", blobs[1])


def test_predicting_again_replaces_the_prediction(model, blobs):
    once = predict(model, blobs[1])
    twice = predict(model, once)
    assert list(twice.point_data) == list(once.point_data)
    for name, values in once.point_data.items():
        assert np.array_equal(twice.point_data[name], values)


# --- inputs -------------------------------------------------------------------------


def test_values_stand_in_for_inputs(model, blobs):
    one = predict(model, blobs[4])
    other = predict(model, bare(blobs[4], "f"), values={"load": 1.5})
    assert np.array_equal(
        one.point_data["u_predicted"], other.point_data["u_predicted"]
    )
    more = predict(model, blobs[4], values={"load": 1.0})
    assert not np.allclose(
        more.point_data["s_predicted"], one.point_data["s_predicted"]
    )


def test_a_missing_input_says_what_there_is(model, blobs):
    with pytest.raises(
        FieldError, match=r"wing\.inp: no field 'load' at points; it has f$"
    ):
        predict(model, bare(blobs[0], "f"), where="wing.inp")
    with pytest.raises(FieldError, match="no field 'f' at points; it has none"):
        predict(model, bare(blobs[0]), values={"load": 1.0})
    with pytest.raises(FieldError, match="'laod' is no input of the model"):
        predict(model, blobs[0], values={"laod": 1.0})


def test_an_input_in_another_unit_is_refused(model, blobs):
    other = replace(blobs[0], field_data={"load": 1.0, "unit:load": "N"})
    with pytest.raises(FieldError, match="'load' has the unit 'N', expected 'kN'"):
        predict(model, other)


def test_a_mesh_of_another_dimension_is_refused(model):
    with pytest.raises(FieldError, match=r"points in 3 dimensions, .* trained in 2"):
        predict(model, generation.box(1), values={"load": 1.0})


def test_a_mesh_without_measure_is_refused(model):
    flat = Mesh(
        np.array([[0, 0], [0.5, 0], [1, 0.0]]),
        {"triangle": [[0, 1, 2]]},
        {"f": np.ones(3)},
    )
    with pytest.raises(MeshError, match=r"^flat: .* no positive measure"):
        predict(model, flat, values={"load": 1.0}, where="flat")


# --- outside of what training saw ---------------------------------------------------


def warned(*arguments, **options) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        predict(*arguments, **options)
    assert {w.category for w in caught} <= {ExtrapolationWarning}
    assert {w.filename for w in caught} <= {__file__}
    return [str(w.message) for w in caught]


def test_inside_nothing_is_said(model, blobs):
    assert warned(model, blobs[5]) == []
    finer = generation.random_blob(1, 12)
    assert warned(model, finer, values={"load": 1.3, "f": 0.5}) == []


def test_warnings_tell_the_numbers(model, blobs, loaded):
    heavy = warned(model, blobs[0], values={"load": 12.5}, where="plate")
    assert heavy == ["plate: load is 12.5, training saw 1 to 1.875"]
    moved = replace(blobs[0], points=blobs[0].points + 10)
    (line,) = warned(model, moved)
    assert line.startswith("the mesh: the mesh spans [")
    assert ", training spanned [" in line
    coarse = warned(model, loaded(generation.random_blob(0, 1), 1.0))
    assert any("the mean spacing of points is" in line for line in coarse)


# --- other sites and cells ----------------------------------------------------------


def test_a_bare_cloud(model, blobs):
    """No cells: weights are estimated, and the output is nearly that of the mesh."""
    cloud = replace(blobs[4], cells={})
    found, mesh = predict(model, cloud), predict(model, blobs[4])
    assert not found.cells
    assert found.points.tobytes() == cloud.points.tobytes()
    spread = np.ptp(mesh.point_data["s_predicted"])
    apart = found.point_data["s_predicted"] - mesh.point_data["s_predicted"]
    assert np.abs(apart).max() < 0.05 * spread
    assert "s_error" in found.point_data


def test_lower_cells_carry_no_prediction(blobs, tiny):
    """Lines beside the triangles: nan there, and the rest as without them."""
    names = ("f", "u", "s")
    plain = [as_cells(case, *names) for case in blobs[:3]]
    model = tiny(plain, at="cells")
    triangles = blobs[0].cells["triangle"]
    marked = replace(blobs[0], cells={"line": triangles[:4, :2], "triangle": triangles})
    one = predict(model, plain[0]).cell_data
    other = predict(model, as_cells(marked, *names))
    assert len(other.cell_data["u_predicted"]) == 4 + len(triangles)
    for name in ("u_predicted", "s_predicted", "s_error"):
        assert np.isnan(other.cell_data[name][:4]).all()
        assert_allclose(other.cell_data[name][4:], one[name], atol=1e-6)
    assert other.cells["line"].tobytes() == marked.cells["line"].tobytes()
    assert not other.point_data


def test_lower_cells_do_not_matter_at_points(model, blobs):
    triangles = blobs[0].cells["triangle"]
    marked = replace(blobs[0], cells={"line": triangles[:4, :2], "triangle": triangles})
    one, other = predict(model, blobs[0]), predict(model, marked)
    assert np.array_equal(
        one.point_data["u_predicted"], other.point_data["u_predicted"]
    )


@pytest.mark.parametrize("at", ["points", "cells"])
def test_mixed_meshes(at, mixed_mesh, loaded, tiny):
    cases = [loaded(mixed_mesh(2).refined(), load) for load in (1.0, 2.0)]
    if at == "cells":
        cases = [as_cells(case, "f", "u", "s") for case in cases]
    found = predict(tiny(cases, at=at), cases[0])
    data = found.point_data if at == "points" else found.cell_data
    assert np.isfinite(data["u_predicted"]).all()
    assert list(found.cells) == ["quad", "triangle"]
    order = ["triangle", "quad"]
    turned = replace(cases[0], cells={kind: cases[0].cells[kind] for kind in order})
    if at == "cells":
        n = len(cases[0].cells["quad"])
        moved = {k: np.roll(v, -n, axis=0) for k, v in cases[0].cell_data.items()}
        turned = replace(turned, cell_data=moved)
    again = predict(tiny(cases, at=at), turned)
    other = again.point_data if at == "points" else again.cell_data
    expected = data["s_predicted"]
    if at == "cells":
        expected = np.roll(expected, -n, axis=0)
    assert_allclose(other["s_predicted"], expected, rtol=1e-4, atol=1e-5)


def test_fields_at_cells_of_a_cloud_are_refused(blobs, tiny):
    model = tiny([as_cells(case, "f", "u", "s") for case in blobs[:2]], at="cells")
    with pytest.raises(FieldError, match="expected a mesh with cells"):
        predict(model, Mesh(blobs[0].points), values={"load": 1.0, "f": 1.0})


# --- any points ---------------------------------------------------------------------


def test_at_mesh_points_it_is_the_prediction_of_the_mesh(model, blobs):
    mesh = predict(model, blobs[2]).point_data
    found = predict_at(model, blobs[2], blobs[2].points)
    assert list(found) == ["u", "s"]
    for name, values in found.items():
        assert values.shape == blobs[2].point_data[name].shape
        assert_allclose(values, mesh[f"{name}_predicted"], rtol=1e-5, atol=1e-5)


def test_between_mesh_points_it_is_continuous(model, blobs):
    """Halfway along a short step the output is the mean, up to its curvature."""
    start = blobs[2].points[[20, 30]]
    step = np.array([0.01, 0.005])
    points = np.concatenate([start, start + step / 2, start + step])
    values = predict_at(model, blobs[2], points)["s"]
    a, middle, b = values.reshape(3, 2)
    moved = np.abs(b - a).max()
    assert moved > 1e-6
    assert np.abs(middle - (a + b) / 2).max() < 0.2 * moved


def test_far_points_are_warned_of(model, blobs):
    points = np.array([[50.0, 50.0], blobs[0].points[3]])
    with pytest.warns(
        ExtrapolationWarning, match="1 of 2 points, the first is number 0"
    ) as caught:
        found = predict_at(model, blobs[0], points)
    assert caught[0].filename == __file__
    assert found["u"].shape == (2, 2)


def test_queries_of_another_shape_are_refused(model, blobs):
    with pytest.raises(ValueError, match=r"points: expected finite numbers \(M, 2\)"):
        predict_at(model, blobs[0], np.zeros((4, 3)))


def test_no_points_at_all(model, blobs):
    assert predict_at(model, blobs[0], np.zeros((0, 2)))["u"].shape == (0, 2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_gpu_predicts_the_same(model, blobs):
    one = predict(model, blobs[0], device="cpu").point_data["u_predicted"]
    other = predict(model, blobs[0], device="cuda").point_data["u_predicted"]
    assert_allclose(other, one, rtol=1e-3, atol=1e-4)


# --- the mean over moved copies -----------------------------------------------------


def quarter_turn(mesh: Mesh) -> Mesh:
    return moved(mesh, np.array([[0.0, -1.0], [1.0, 0.0]]))


def test_a_mean_over_all_quarter_turns_turns_with_the_mesh(model, blobs):
    """The mean over a group is equivariant, whatever the network; alone it is not."""
    group = Symmetry(3, mirrored=False, right_angles=True)
    apart = []
    for symmetry in (None, group):
        here = predict(model, quarter_turn(blobs[2]), symmetry=symmetry)
        there = quarter_turn(predict(model, blobs[2], symmetry=symmetry))
        found = [
            np.abs(here.point_data[name] - there.point_data[name]).max()
            / np.abs(here.point_data[name]).max()
            for name in ("u_predicted", "s_predicted")
        ]
        apart.append(max(found))
    assert apart[1] < 1e-5 < 1e-3 < apart[0]


def test_the_mean_is_that_of_predictions_moved_back(model, blobs):
    """At the points, and at others, which move with the mesh."""
    symmetry = Symmetry(2, seed=4)
    mesh = replace(blobs[1], point_data={"f": blobs[1].point_data["f"]})
    points = mesh.points[:5] * 0.9
    centre = (mesh.points.min(0) + mesh.points.max(0)) / 2
    all_u, all_s = [], []
    for q in (np.eye(2), symmetry.matrix(0, 0, 2), symmetry.matrix(0, 1, 2)):
        found = moved(predict(model, moved(mesh, q)), q.T)
        all_u.append(found.point_data["u_predicted"])
        at = centre + (points - centre) @ q.T
        all_s.append(predict_at(model, moved(mesh, q), at)["s"])
    found = predict(model, mesh, symmetry=symmetry).point_data["u_predicted"]
    assert_allclose(found, np.mean(all_u, 0), rtol=1e-5, atol=1e-9)
    there = predict_at(model, mesh, points, symmetry=symmetry)["s"]
    assert_allclose(there, np.mean(all_s, 0), rtol=1e-5, atol=1e-9)
    single = predict(model, mesh).point_data["u_predicted"]
    assert np.abs(found - single).max() > 1e-3 * np.abs(single).max()


def test_copies_that_leave_what_training_saw_are_named(blobs, tiny):
    long = [replace(mesh, points=mesh.points * [2.0, 0.5]) for mesh in blobs[:3]]
    model, upright = tiny(long), Symmetry(3, mirrored=False, right_angles=True)
    predict(model, long[0])
    with pytest.warns(ExtrapolationWarning, match=r"the mesh, moved copy \d"):
        predict(model, long[0], symmetry=upright)


def test_fields_that_turn_in_no_known_way_have_no_mean(blobs, tiny):
    voigt = [
        mesh.with_point_data({"stress": np.ones((len(mesh.points), 3))})
        for mesh in blobs[:3]
    ]
    model = tiny(voigt, targets=("stress",))
    with pytest.raises(FieldError, match=r"here: 'stress' has shape \(3,\) per point"):
        predict(model, voigt[0], symmetry=Symmetry(1), where="here")


def test_a_mean_reads_the_inputs_alone(model, blobs):
    """Whatever else lies on the mesh, under the same name elsewhere too."""
    many = len(blobs[0].cells["triangle"])
    data = blobs[0].point_data | {"odd": np.ones((len(blobs[0].points), 5))}
    full = replace(blobs[0], point_data=data, cell_data={"f": np.ones((many, 7))})
    plain = predict(model, blobs[0], symmetry=Symmetry(1))
    found = predict(model, full, symmetry=Symmetry(1))
    assert_allclose(found.point_data["s_predicted"], plain.point_data["s_predicted"])


# --- clouds in a known domain -------------------------------------------------------


def test_a_cloud_in_a_known_domain_is_predicted_as_the_domain_is(model, blobs):
    """A linear field is known everywhere: the cloud tells what the mesh tells."""
    cloud = random_cloud_of(blobs[3], 60)
    domain = replace(blobs[3], point_data={}, field_data={})
    found = predict(model, cloud, domain=domain)
    x, y = domain.points.T
    held = replace(domain, point_data={"f": (x - 2 * y) / 3}, field_data={"load": 1.5})
    wanted = predict_at(model, held, cloud.points)
    for name in ("u", "s"):
        assert_allclose(found.point_data[f"{name}_predicted"], wanted[name], 1e-5, 1e-6)
    assert np.array_equal(found.points, cloud.points)
    assert not found.cells
    bare_cloud = predict(model, cloud).point_data["s_predicted"]
    assert not np.allclose(bare_cloud, wanted["s"], rtol=1e-3)


def test_numbers_and_symmetry_hold_in_a_known_domain(model, blobs):
    cloud = replace(random_cloud_of(blobs[3], 60), field_data={})
    domain = replace(blobs[3], point_data={}, field_data={})
    told = {"domain": domain, "values": {"load": 1.5}}
    one = predict(model, random_cloud_of(blobs[3], 60), domain=domain)
    other = predict(model, cloud, **told)
    assert_allclose(other.point_data["s_predicted"], one.point_data["s_predicted"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExtrapolationWarning)
        mean = predict(model, cloud, symmetry=Symmetry(1, right_angles=True), **told)
    moved_too = mean.point_data["s_predicted"]
    assert not np.allclose(moved_too, one.point_data["s_predicted"], rtol=1e-4)


def test_the_error_of_a_cloud_is_that_at_its_own_points(model, blobs):
    cloud = random_cloud_of(blobs[3], 60)
    truth = cloud.points[:, 0] + 3
    found = predict(model, cloud.with_point_data({"s": truth}), domain=blobs[3])
    fields = found.point_data
    assert_allclose(fields["s_error"], fields["s_predicted"] - truth, atol=1e-12)


def test_a_mesh_is_its_own_domain(model, blobs):
    with pytest.raises(FieldError, match="the mesh: domain: expected a cloud without"):
        predict(model, blobs[3], domain=blobs[3])
    cloud = random_cloud_of(blobs[3], 60)
    with pytest.raises(FieldError, match="a mesh with cells that holds it"):
        predict(model, cloud, domain=Mesh(blobs[3].points))


def test_a_domain_beyond_the_cloud_is_an_error(model, blobs):
    """Nothing is known there; points off the domain are counted by a warning."""
    cloud = random_cloud_of(blobs[3], 60)
    away = replace(cloud, points=cloud.points + 1.5)
    with pytest.raises(FieldError, match=r"not known all over it: .* 35 of 37 targets"):
        predict(model, away, domain=blobs[3])
    far = cloud.points.copy()
    far[7] += 2.0
    with pytest.warns(
        ExtrapolationWarning, match=r"1 of 60 points, .* is number 7, lie"
    ):
        predict(model, replace(cloud, points=far), domain=blobs[3])
