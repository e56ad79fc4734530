"""Features of shapes as inputs of a model, and regions and fields that do not fit."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from isofield import Mesh
from isofield.cli import main
from isofield.data import FieldError
from isofield.features import features
from isofield.generation import icosphere
from isofield.io import read, write
from isofield.model_file import load_model, save_model
from isofield.predict import predict, predict_at
from isofield.surrogate import ExtrapolationWarning
from isofield.train import Schedule, TrainingError, fit

NAMES = ("distance to boundary", "near clamp", "boundary normal", "mean curvature")


def clamped(mesh: Mesh) -> Mesh:
    """The points of the boundary left of -0.2 as the region "clamp"."""
    rim = mesh.boundary_points()
    return replace(mesh, point_sets={"clamp": rim[mesh.points[rim, 0] < -0.2]})


@pytest.fixture(scope="module")
def cases(blobs) -> list[Mesh]:
    return [clamped(mesh) for mesh in blobs[:4]]


@pytest.fixture(scope="module")
def model(cases, tiny):
    return tiny(cases, features=NAMES)


# --- channels -----------------------------------------------------------------------


def test_features_are_channels_after_the_fields(model, cases, tiny) -> None:
    """Scaled by the characteristic length and brought to mean 0 and size 1."""
    assert model.features == NAMES
    assert model.arguments["in_channels"] == 2 + 5
    length = model.frame.length
    sample = model.sample(cases[1])
    physical = features(cases[1], NAMES, length=length)
    scaled = physical / [length, 1, 1, 1, 1 / length]
    back = (
        sample.x.double() * model.input_normalizer.scale + model.input_normalizer.mean
    )
    assert_allclose(back[: len(scaled), 2:], scaled, atol=1e-5)
    without = tiny(cases).sample(cases[1])
    assert_allclose(sample.x[:, :2], without.x, atol=1e-6)
    means = torch.stack(
        [s.domain.mean(s.x[: len(s.pos)])[0] for s in map(model.sample, cases)]
    )
    assert_allclose(means.mean(0), np.zeros(7), atol=2e-6)


@pytest.mark.parametrize("length", [1e-3, 1e3])
def test_units_of_length_do_not_matter(length, cases, tiny) -> None:
    larger = [replace(case, points=length * case.points) for case in cases]
    one, other = tiny(cases, features=NAMES), tiny(larger, features=NAMES)
    a, b = one.sample(cases[0]), other.sample(larger[0])
    assert_allclose(a.x, b.x, atol=1e-5)
    assert_allclose(one.input_normalizer.scale, other.input_normalizer.scale, rtol=1e-9)


def test_features_alone_and_at_cells(cases, tiny) -> None:
    model = tiny(cases, inputs=(), features=("distance to clamp",))
    assert model.sample(cases[0]).x.shape[1] == 1
    data = {
        name: values[cases[0].cells["triangle"]].mean(1)
        for name, values in cases[0].point_data.items()
    }
    mesh = replace(cases[0], point_data={}, cell_data=data)
    at_cells = tiny([mesh], at="cells", features=("distance to clamp",))
    assert at_cells.sample(mesh).x.shape == (54, 3)


def test_a_finer_mesh_has_the_same_features(loaded, cases, model) -> None:
    """The inputs of one shape on two meshes differ by O(h²) of the boundary."""
    from isofield.generation import random_blob

    gaps = []
    for n in (6, 12, 24):
        mesh = clamped(loaded(random_blob(0, n), 1.0))
        finer = clamped(loaded(random_blob(0, 2 * n), 1.0))
        nearest = ((mesh.points[:, None] - finer.points) ** 2).sum(2).argmin(1)
        a = features(mesh, ["distance to boundary"])[:, 0]
        b = features(finer, ["distance to boundary"])[nearest, 0]
        gaps.append(float(np.abs(a - b).max()))
    assert gaps[1] < gaps[0] / 3
    assert gaps[2] < gaps[1] / 3


# --- files and resumed trainings ----------------------------------------------------


def test_a_model_file_keeps_features(model, cases, tmp_path) -> None:
    save_model(tmp_path / "model.safetensors", model)
    back = load_model(tmp_path / "model.safetensors")
    assert back.features == NAMES
    a, b = back.sample(cases[2]), model.sample(cases[2])
    assert_allclose(a["x"], b["x"], rtol=0)


def test_a_model_file_of_before_has_none(cases, tiny, tmp_path) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    path = tmp_path / "model.safetensors"
    save_model(path, tiny(cases))
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["isofield"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del header["features"], header["envelope"]["extent"]
    save_file(tensors, path, {"isofield": json.dumps(header)})
    back = load_model(path)
    assert back.features == ()
    assert back.envelope.extent is None
    a, b = back.sample(cases[0]), tiny(cases).sample(cases[0])
    assert_allclose(a["x"], b["x"], rtol=0)


def test_a_training_goes_on_with_the_same_features_alone(cases, tiny, tmp_path) -> None:
    def trained(names, epochs=1):
        model = tiny(cases, inputs=("load",), features=names)
        schedule = Schedule(epochs=epochs, nodes=200)
        options = {"progress": False, "device": "cpu", "directory": tmp_path}
        return fit(model, cases, schedule=schedule, **options)

    trained(("near clamp",))
    assert trained(("near clamp",)).best == 1
    with pytest.raises(TrainingError, match="belongs to a training of another model"):
        trained(("near clamp within 0.2",))


# --- what a mesh has not got --------------------------------------------------------


def test_a_case_without_the_region_is_named(cases, blobs, tiny) -> None:
    names = ["a.vtu", "b.vtu"]
    other = replace(blobs[1], point_sets={"rim": blobs[1].boundary_points()})
    with pytest.raises(
        FieldError,
        match=r"b.vtu: feature 'near clamp': no region 'clamp'; it has 'rim'",
    ):
        tiny([cases[0], other], names=names, features=("near clamp",))
    empty = replace(other, point_sets={"clamp": []})
    with pytest.raises(FieldError, match=r"b.vtu: .*: the region 'clamp' is empty"):
        tiny([cases[0], empty], names=names, features=("near clamp",))
    tiny([cases[0], other], names=names)  # regions that nobody asks for may differ


def test_a_prediction_without_the_region_is_refused(model, blobs) -> None:
    with pytest.raises(
        FieldError, match=r"wing: feature 'near clamp': no region 'clamp'; it has none"
    ):
        predict(model, blobs[0], where="wing")


def test_a_cloud_without_a_boundary_is_refused(cases, tiny) -> None:
    cloud = replace(cases[1], cells={})
    with pytest.raises(
        FieldError, match=r"case 1: .*'distance to boundary': a cloud of points without"
    ):
        tiny([cases[0], cloud], features=("distance to boundary",))
    model = tiny(cases, features=("distance to clamp",))
    found = predict(model, cloud)
    assert np.isfinite(found.point_data["s_predicted"]).all()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("degree",), "features: 'degree' is no feature; expected one of"),
        (("thickness", "thickness"), "features: 'thickness' comes twice"),
    ],
)
def test_names_are_checked(names, message, cases, tiny) -> None:
    with pytest.raises(FieldError, match=message):
        tiny(cases, features=names)


def test_features_that_leave_what_was_seen_are_warned_of(model, cases) -> None:
    far = replace(cases[0], point_sets={"clamp": [int(cases[0].boundary_points()[0])]})
    with pytest.warns(ExtrapolationWarning, match=r"near clamp is .*, training saw "):
        model.sample(far, check=True)


def test_a_closed_surface_has_curvature(tiny) -> None:
    def sphere(n: int) -> Mesh:
        mesh = icosphere(n)
        return mesh.with_point_data({"s": mesh.points[:, 2]})

    names = ("mean curvature", "thickness")
    model = tiny([sphere(3), sphere(4)], (), ["s"], features=names)
    assert model.sample(sphere(3)).x.shape == (92, 2)


# --- other bad input ----------------------------------------------------------------


def test_a_field_that_one_case_lacks_is_named_with_the_case(cases, tiny) -> None:
    data = {k: v for k, v in cases[2].point_data.items() if k != "s"}
    without = replace(cases[2], point_data=data)
    with pytest.raises(
        FieldError, match=r"case 2: no field 's' at points; it has f, lo"
    ):
        tiny([*cases[:2], without])


def test_a_target_outside_the_support_is_warned_of_with_its_number(cases, tiny) -> None:
    model = tiny(cases)
    points = np.array([[0.0, 0.0], [50.0, 0.0]])
    with pytest.warns(
        ExtrapolationWarning, match="1 of 2 points, the first is number 1, lie farther"
    ):
        predict_at(model, cases[0], points)


@pytest.mark.parametrize("named", [(), NAMES])
def test_a_mesh_ten_times_as_large_is_warned_of(named, cases, tiny, loaded) -> None:
    model = tiny(cases, features=named)
    large = clamped(loaded(replace(cases[0], points=10 * cases[0].points), 1.0))
    large = replace(large, point_data=cases[0].point_data)
    with pytest.warns(ExtrapolationWarning) as caught:
        model.sample(large, check=True)
    said = [str(one.message) for one in caught]
    assert any(
        "the mesh spans [-" in line and "training spanned" in line for line in said
    )
    assert any("the mean spacing of points is" in line for line in said)
    if named:
        assert any("distance to boundary is 0 to" in line for line in said)


def test_a_truth_with_nan_does_not_stop_a_prediction(cases, tiny) -> None:
    model = tiny(cases)
    truth = cases[0].point_data["u"].copy()
    truth[[3, 5], 0] = [np.nan, np.inf]
    mesh = cases[0].with_point_data({"u": truth})
    with pytest.warns(UserWarning, match=r"plate: 'u' is not finite at 2 of 37 points"):
        found = predict(model, mesh, where="plate")
    assert np.isfinite(found.point_data["u_predicted"]).all()
    unknown = np.zeros((37, 2), dtype=bool)
    unknown[[3, 5], 0] = True
    assert_allclose(np.isnan(found.point_data["u_error"]), unknown)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(predict(model, cases[0]).point_data["u_error"]).all()


def test_the_command_line_trains_with_features(cases, tmp_path, capfd) -> None:
    names = [tmp_path / f"{k}.vtu" for k in range(3)]
    for name, case in zip(names, cases, strict=False):
        write(name, case)
    output = tmp_path / "model.safetensors"
    words = ["train", *names[:2], "--validation", "0", "-t", "u", "-o", output]
    words += ["--epochs", "1", "--width", "6", "--blocks", "1", "-i", "load"]
    options = ["--feature", "distance to boundary", "--feature", "near clamp"]
    assert main([str(word) for word in [*words, *options]]) == 0
    assert load_model(output).features == ("distance to boundary", "near clamp")
    assert read(names[2]).point_sets.keys() == {"clamp"}
    capfd.readouterr()
    assert main(["info", str(output)]) == 0
    assert "near clamp" in capfd.readouterr().out
    predicted = tmp_path / "predicted.vtu"
    truth = cases[2].point_data["u"].copy()
    truth[0] = np.nan
    write(names[2], cases[2].with_point_data({"u": truth}))
    words = ["predict", output, names[2], "-o", predicted]
    assert main([str(word) for word in words]) == 0
    assert "'u' is not finite at 1 of 91 points" in capfd.readouterr().err
    write(names[2], replace(cases[2], point_sets={}))
    assert main([str(word) for word in words]) == 1
    assert f"{names[2]}: feature 'near clamp'" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["node degree", "near a within 0"])
def test_the_command_line_refuses_what_is_no_feature(name, tmp_path, capfd) -> None:
    words = ["train", "none.vtu", "-t", "u", "-o", str(tmp_path / "model.safetensors")]
    assert main([*words, "--feature", name]) == 2
    assert f"--feature: features: {name!r}" in capfd.readouterr().err
