"""The way of a user: train, predict, look, convert; interrupted and gone on."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isofield import Mesh
from isofield.cli import main
from isofield.cli.cases import Cases
from isofield.cli.files import found
from isofield.cli.train import train
from isofield.data import Symmetry
from isofield.data.measuring import discretized
from isofield.generation import random_blob, square
from isofield.io import read, write
from isofield.model_file import load_model
from isofield.predict import predict, predict_at
from isofield.recommend import recommended
from isofield.surrogate import ExtrapolationWarning
from isofield.train import CHECKPOINT, Schedule
from isofield.train.run import Run

SMALL = ["--width", 6, "--blocks", 1, "--epochs", 2, "--nodes", 150]


def case(seed: int, n: int) -> Mesh:
    """A blob under a load of its own: u = load (xy, sin x), s = u_x²."""
    mesh = random_blob(seed, n, jitter=0.1)
    load = 1.0 + seed % 3
    x, y = mesh.points.T
    u = load * np.stack([x * y, np.sin(x)], 1)
    fields = {"u": u, "s": u[:, 0] ** 2, "load": np.full(len(x), load)}
    return mesh.with_point_data(fields)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six cases of mixed size in three formats, a model trained on them, meshes."""
    folder = tmp_path_factory.mktemp("workshop")
    (folder / "cases").mkdir()
    for seed in range(6):
        suffix = (".vtu", ".msh", ".xdmf")[seed % 3]
        write(folder / "cases" / f"blob{seed}{suffix}", case(seed, 3 + seed % 3))
    write(folder / "fine.vtu", case(9, 10))
    write(folder / "bare.inp", random_blob(9, 7))
    words = ["train", folder / "cases", "-i", "load", "--targets", "u,s"]
    words += ["--unit", "u=mm", "-o", folder / "model.safetensors", *SMALL]
    assert main([str(word) for word in words]) == 0
    return folder


@pytest.fixture
def run(capfd: pytest.CaptureFixture) -> Callable[..., tuple[str, list[str]]]:
    """Run a command that must succeed; returns stdout and the lines of stderr."""

    def command(*words: object) -> tuple[str, list[str]]:
        capfd.readouterr()
        code = main([str(word) for word in words])
        out, err = capfd.readouterr()
        assert code == 0, err
        return out, err.splitlines()

    return command


def test_training_leaves_a_model_and_its_log(workshop):
    model = load_model(workshop / "model.safetensors")
    assert [f.name for f in model.inputs] == ["load"]
    assert [(f.name, f.unit) for f in model.targets] == [("u", "mm"), ("s", "")]
    assert model.arguments["width"] == 6
    assert sorted(path.name for path in workshop.iterdir()) == [
        *("bare.inp", "cases", "fine.vtu"),
        *("model.safetensors", "model.safetensors.training"),
    ]
    log = workshop / "model.safetensors.training"
    assert [path.name for path in log.iterdir()] == ["log.csv"]
    assert len((log / "log.csv").read_text().splitlines()) == 1 + 2


def test_prediction_on_a_finer_mesh_keeps_it_and_shows_the_error(
    workshop, run, tmp_path
):
    out, _ = run(
        *("predict", workshop / "model.safetensors", workshop / "fine.vtu"),
        *("-o", tmp_path / "out.vtu"),
    )
    before, after = read(workshop / "fine.vtu"), read(tmp_path / "out.vtu")
    assert np.array_equal(after.points, before.points)
    assert np.array_equal(after.cells["triangle"], before.cells["triangle"])
    u, truth = after.point_data["u_predicted"], before.point_data["u"]
    assert np.array_equal(after.point_data["u_error"], u - truth)
    assert after.field_data["unit:u_predicted"] == "mm"
    weights = area_shares(before)
    share = np.sqrt((weights @ (u - truth) ** 2).sum() / (weights @ truth**2).sum())
    assert f"{100 * share:.3g} %" in out


@pytest.mark.filterwarnings("ignore::isofield.surrogate.ExtrapolationWarning")
def test_a_prediction_that_is_a_mean_over_copies_of_the_mesh(workshop, run, tmp_path):
    model = workshop / "model.safetensors"
    out = tmp_path / "out.vtu"
    mesh = read(workshop / "fine.vtu")
    for words, symmetry in (
        ([], Symmetry(2)),
        (["--right-angles"], Symmetry(2, right_angles=True)),
    ):
        copies = ["--copies", "2", *words]
        run("predict", model, workshop / "fine.vtu", "-o", out, *copies)
        wanted = predict(model, mesh, symmetry=symmetry).point_data["u_predicted"]
        assert np.allclose(read(out).point_data["u_predicted"], wanted, rtol=1e-9)
    single = predict(model, mesh).point_data["u_predicted"]
    assert not np.allclose(wanted, single, rtol=1e-3)


def area_shares(mesh: Mesh) -> np.ndarray:
    """(N,) a third of the area of the triangles around each point."""
    nodes = mesh.cells["triangle"]
    a, b, c = mesh.points[nodes].transpose(1, 2, 0)
    (x, y), (z, w) = b - a, c - a
    shares = np.zeros(len(mesh.points))
    np.add.at(shares, nodes, np.abs(x * w - y * z)[:, None] / 6)
    return shares


def test_prediction_on_a_bare_mesh_takes_numbers(workshop, run, tmp_path):
    def predicted(load: float) -> tuple[np.ndarray, list[str]]:
        _, lines = run(
            *("predict", workshop / "model.safetensors", workshop / "bare.inp"),
            *("-o", tmp_path / "out.vtu", "--set", f"load={load}"),
        )
        return read(tmp_path / "out.vtu").point_data["u_predicted"], lines

    inside, _ = predicted(2.0)
    assert len(inside) == len(read(workshop / "bare.inp").points)
    outside, lines = predicted(100.0)
    assert not np.allclose(inside, outside)
    assert all(line.startswith("Warning: ") for line in lines)
    assert any("load is 100, training saw 1 to 3" in line for line in lines)


def test_a_cloud_inside_has_other_weights_and_a_mesh_has_not(workshop, run, tmp_path):
    """The command says what the library says, with and without the word."""
    cells = read(workshop / "fine.vtu")
    inner = np.setdiff1d(
        np.arange(len(cells.points)), cells.boundary().cells["line"].ravel()
    )
    cloud = Mesh(cells.points[inner]).with_point_data(
        {name: values[inner] for name, values in cells.point_data.items()}
    )
    write(tmp_path / "cloud.vtu", cloud)
    model = load_model(workshop / "model.safetensors")
    site = cloud.points[:3]
    found, at = {}, {}
    for word, touching in (((), True), (("--cloud-inside",), False)):
        out, _ = run(
            *("predict", workshop / "model.safetensors", tmp_path / "cloud.vtu"),
            *("-o", tmp_path / "out.vtu", *word),
        )
        result = predict(model, cloud, cloud_on_boundary=touching)
        found[touching] = read(tmp_path / "out.vtu").point_data["u_predicted"]
        assert np.allclose(found[touching], result.point_data["u_predicted"], rtol=1e-6)
        weights = discretized(cloud, on_boundary=touching).weights.numpy()
        error, truth = result.point_data["u_error"], cloud.point_data["u"]
        share = (weights @ error**2).sum() / (weights @ truth**2).sum()
        assert f"{100 * np.sqrt(share):.3g} %" in out
        at[touching] = predict_at(model, cloud, site, cloud_on_boundary=touching)["u"]
        assert np.allclose(at[touching], found[touching][:3], rtol=1e-5, atol=1e-7)
        sample = model.sample(cells, cloud_on_boundary=touching)
        assert np.array_equal(sample.weights, model.sample(cells).weights)
    assert not np.allclose(found[True], found[False], rtol=1e-4)


def test_a_cloud_in_a_known_domain(workshop, run, tmp_path):
    cells = read(workshop / "fine.vtu")
    some = np.random.default_rng(0).choice(len(cells.points), 60, replace=False)
    fields = {name: values[some] for name, values in cells.point_data.items()}
    cloud = Mesh(cells.points[some], {}, fields, field_data=cells.field_data)
    write(tmp_path / "cloud.vtu", cloud)
    model = workshop / "model.safetensors"
    run(
        *("predict", model, tmp_path / "cloud.vtu", "-o", tmp_path / "out.vtu"),
        *("--domain", workshop / "fine.vtu"),
    )
    with pytest.warns(ExtrapolationWarning, match="the mesh spans"):
        wanted = predict(model, cloud, domain=cells).point_data["u_predicted"]
    found = read(tmp_path / "out.vtu").point_data["u_predicted"]
    assert np.allclose(found, wanted, rtol=1e-6)


def test_fields_at_cells(run, tmp_path):
    for seed in range(3):
        mesh = random_blob(seed, 3)
        centres = mesh.points[mesh.cells["triangle"]].mean(1)
        write(tmp_path / f"{seed}.vtu", mesh.with_cell_data({"p": centres[:, 0]}))
    model = tmp_path / "model.safetensors"
    pattern = tmp_path / "?.vtu"
    run("train", pattern, "--targets", "p", "--at", "cells", "-o", model, *SMALL)
    run("predict", model, tmp_path / "0.vtu", "-o", tmp_path / "out.vtu")
    out = read(tmp_path / "out.vtu")
    assert len(out.cell_data["p_predicted"]) == len(out.cells["triangle"])


def test_a_picture_of_one_field_and_of_two(workshop, run, tmp_path):
    mesh, picture = workshop / "fine.vtu", tmp_path / "picture.png"
    for extra in ([], ["--compare", "u"], ["--component", 1]):
        out, lines = run("plot", mesh, "--field", "u", "-o", picture, *extra)
        assert out.strip() == str(picture)
        assert lines == []
        assert picture.read_bytes().startswith(b"\x89PNG")
        picture.unlink()


def test_conversions_keep_points_cells_and_fields(workshop, run, tmp_path):
    first = workshop / "fine.vtu"
    for name in ("a.msh", "b.xdmf", "c.vtu"):
        run("convert", first, tmp_path / name)
        first = tmp_path / name
    before, after = read(workshop / "fine.vtu"), read(first)
    assert np.array_equal(after.points, before.points)
    assert np.array_equal(after.cells["triangle"], before.cells["triangle"])
    for name, values in before.point_data.items():
        assert np.array_equal(after.point_data[name], values)


def test_a_lossy_conversion_says_what_it_leaves_out(workshop, run, tmp_path):
    _, (line,) = run("convert", workshop / "fine.vtu", tmp_path / "a.off", "--lossy")
    assert line.startswith("Warning: ")
    assert "point_data['u']" in line
    assert len(read(tmp_path / "a.off").points) == 1 + 3 * 10 * 11


def test_a_conversion_can_mend(run, tmp_path):
    mesh = square(2)
    lonely = Mesh(np.r_[mesh.points, [[2.0, 2.0]]], mesh.cells)
    write(tmp_path / "lonely.vtu", lonely)
    _, lines = run("convert", tmp_path / "lonely.vtu", tmp_path / "same.vtu")
    assert len(read(tmp_path / "same.vtu", check=False).points) == 10
    assert len(lines) == 1
    out, _ = run("convert", tmp_path / "lonely.vtu", tmp_path / "out.vtu", "--mend")
    assert "dropped 1 points in no cell" in out
    assert np.array_equal(read(tmp_path / "out.vtu").points, mesh.points)


def test_steps_of_a_series(run, tmp_path):
    for step in range(3):
        mesh = square(2).with_point_data({"t": np.full(9, float(step))})
        write(tmp_path / f"{step}.vtu", mesh)
    entries = "".join(
        f'<DataSet timestep="{step / 2}" part="0" file="{step}.vtu"/>'
        for step in range(3)
    )
    series = tmp_path / "all.pvd"
    series.write_text(
        f'<VTKFile type="Collection"><Collection>{entries}</Collection></VTKFile>'
    )
    for words, value, warned in (
        ([], 2.0, 1),
        (["--step", 0], 0.0, 0),
        (["--step", -2], 1.0, 0),
    ):
        _, lines = run("convert", series, tmp_path / "one.vtu", *words)
        assert len(lines) == warned
        assert all("; --step takes another" in line for line in lines)
        assert set(read(tmp_path / "one.vtu").point_data["t"]) == {value}
    assert "3, from 0 to 1" in run("info", series)[0]
    assert main(["convert", str(series), str(tmp_path / "x.vtu"), "--step", "3"]) == 1
    assert not (tmp_path / "x.vtu").exists()


def test_info_on_a_mesh(run, tmp_path):
    mesh = replace(
        square(4),
        field_data={"unit:[u]": "mm", "load": 3.5},
        point_data={"[u]": np.r_[np.nan, np.linspace(-1, 2, 24)]},
        cell_sets={"left:": np.array([0, 1])},
    )
    write(tmp_path / "mesh.vtu", mesh)
    out, lines = run("info", tmp_path / "mesh.vtu")
    assert lines == []
    rows = [line.split() for line in out.splitlines()]
    assert ["points", "25", "in", "2", "dimensions"] in rows
    assert ["triangle", "32", "cells"] in rows
    assert ["area", "1"] in rows
    assert ["bounding", "box", "[0,", "1]", "x", "[0,", "1]"] in rows
    table = {row[1]: " ".join(row[2:]) for row in rows if len(row) > 2}
    assert "float64 │ -1 to 2, 1 not finite │ mm" in table["[u]"]
    assert "3.5" in table["load"]
    assert "cells │ 2" in table["left:"]
    assert "1 points with a non-finite '[u]' (0)" in out


def test_info_on_a_mesh_without_measure(run, tmp_path):
    points = np.array([[0, 0], [1, 0], [2, 0.0]])
    write(tmp_path / "flat.vtu", Mesh(points, {"triangle": np.array([[0, 1, 2]])}))
    out, _ = run("info", tmp_path / "flat.vtu")
    assert "no positive measure" in out
    assert "1 cells of zero measure" in out


def test_info_on_a_model(workshop, run):
    out, _ = run("info", workshop / "model.safetensors")
    model = load_model(workshop / "model.safetensors")
    parameters = sum(weight.numel() for weight in model.network.parameters())
    assert "FourierOperator" in out
    assert f"{parameters:,}" in out
    assert "1 to 3" in out
    assert "mm" in out


def test_an_interrupted_training_goes_on_by_the_same_command(
    workshop, run, tmp_path, monkeypatch, capfd
):
    model = tmp_path / "model.safetensors"
    words = ["train", workshop / "cases", "-i", "load", "-t", "u,s", "--unit", "u=mm"]
    words = [str(word) for word in (*words, "-o", model, *SMALL)]
    whole = Run.train_epoch

    def interrupted(self, *arguments):
        if self.epoch == 1:
            raise KeyboardInterrupt
        return whole(self, *arguments)

    monkeypatch.setattr(Run, "train_epoch", interrupted)
    assert main(words) == 130
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("Error: interrupted; the same command goes on")
    assert not model.exists()
    assert (tmp_path / "model.safetensors.training" / CHECKPOINT).exists()
    monkeypatch.undo()

    other = [word for word in words if word != "-t"] + ["--seed", "1"]
    other.insert(4, "-t")
    assert main(other) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert "another model, schedule or cases" in line
    assert "--restart" in line
    assert main(words) == 0
    assert model.read_bytes() == (workshop / "model.safetensors").read_bytes()
    assert not (tmp_path / "model.safetensors.training" / CHECKPOINT).exists()


def test_an_interruption_before_the_first_epoch_leaves_nothing(
    workshop, tmp_path, monkeypatch, capfd
):
    def interrupted(self, *arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "train_epoch", interrupted)
    words = ["train", workshop / "cases", "-t", "u", *SMALL]
    assert main([*map(str, words), "-o", str(tmp_path / "model.safetensors")]) == 130
    assert capfd.readouterr().err.splitlines() == ["Error: interrupted"]
    assert list(tmp_path.iterdir()) == []


def test_restart_forgets_an_interrupted_training(workshop, tmp_path):
    folder, model = tmp_path / "kept", tmp_path / "model.safetensors"
    folder.mkdir()
    (folder / CHECKPOINT).write_bytes(b"of another time")
    words = ["train", workshop / "cases", "-t", "u", *SMALL, "--directory", folder]
    words = [*map(str, words), "-o", str(model)]
    assert main(words) == 1
    assert not model.exists()
    assert main([*words, "--restart"]) == 0
    assert model.exists()


def test_a_training_that_diverges_leaves_nothing(workshop, tmp_path, capfd):
    words = ["train", workshop / "cases", "-t", "u", *SMALL, "--rate", "1e30"]
    assert main([*map(str, words), "-o", str(tmp_path / "model.safetensors")]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert "learning rate" in line
    assert list(tmp_path.iterdir()) == []


def test_files_folders_and_patterns(tmp_path):
    for name in ("b.vtu", "a.msh", "a.h5", "notes.txt", "c.vtu"):
        (tmp_path / name).touch()
    (tmp_path / "d.vtu").mkdir()
    a, b, c = (tmp_path / name for name in ("a.msh", "b.vtu", "c.vtu"))
    assert found([str(tmp_path)]) == [a, b, c]
    assert found([str(tmp_path / "*.vtu")]) == [b, c]
    assert found([str(c), str(tmp_path)]) == [c, a, b]
    (tmp_path / "a.xdmf").touch()
    expanded = [str(tmp_path / name) for name in ("a.h5", "a.xdmf", "b.vtu")]
    assert found(expanded) == [tmp_path / "a.xdmf", b]
    assert found(expanded[:1]) == [tmp_path / "a.h5"]
    assert found([str(tmp_path / "absent.vtu")]) == [tmp_path / "absent.vtu"]


@pytest.mark.parametrize(
    ("count", "share", "kept"),
    [(10, 0.1, 1), (10, 0.5, 5), (3, 0.1, 1), (2, 0.9, 1), (1, 0.5, 0), (10, 0.0, 0)],
)
def test_a_share_for_validation(count, share, kept):
    meshes = tuple(square(2) for _ in range(count))
    cases = Cases(meshes, tuple(map(str, range(count))))
    learned, checked = cases.split(share, 0)
    assert len(checked.names) == kept
    assert sorted(learned.names + checked.names, key=int) == list(cases.names)
    assert cases.split(share, 0)[1].names == checked.names


def test_validation_files_are_not_trained_on(workshop, run, tmp_path):
    folder = workshop / "cases"
    run(
        *("train", folder, "--validation", folder / "blob4.msh", "-t", "u", *SMALL),
        *("-o", tmp_path / "model.safetensors"),
    )
    model = load_model(tmp_path / "model.safetensors")
    assert model.envelope.points == (37, 91)
    log = (tmp_path / "model.safetensors.training" / "log.csv").read_text()
    assert "validation u" in log


def test_the_defaults_are_those_of_the_library(workshop, run, tmp_path, monkeypatch):
    """Of a named architecture; without one those that are recommended."""
    assert inspect.signature(train).parameters["seed"].default == Schedule().seed
    seen = []

    def only_seen(self, *arguments):
        seen.append((self.model.arguments["architecture"], self.schedule))
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "train_epoch", only_seen)
    words = ["train", workshop / "cases", "-t", "u", "-o", tmp_path / "m.safetensors"]
    words = [str(word) for word in (*words, "--validation", "0")]
    for more in (["--architecture", "GNO"], [], ["--epochs", "3", "--rate", "0.01"]):
        assert main([*words, *more]) == 130
    cases = [read(path) for path in found([str(workshop / "cases")])]
    schedule = recommended(cases, [], ["u"]).schedule
    assert seen == [
        ("GNO", Schedule()),
        ("FourierOperator", schedule),
        ("FourierOperator", replace(schedule, epochs=3, rate=0.01)),
    ]


def test_reasons_are_printed_and_a_linear_input_is_heard(workshop, run, tmp_path):
    model = tmp_path / "model.safetensors"
    words = ["train", workshop / "cases", "-i", "load", "-t", "u", "-o", model, *SMALL]
    out, _ = run(*words, "--linear", "load")
    assert "GreenOperator: the targets are declared linear in load" in out
    assert "\n5 cases on domains in the plane" in out
    arguments = load_model(model).arguments
    assert (arguments["architecture"], arguments["linear"]) == ("GreenOperator", [0])
    assert arguments["width"] == 6
    run(*words, "--linear", "load", "--magnitude", "s", "-t", "s", "--restart")
    assert load_model(model).arguments["magnitudes"] == [2]
    run(*words, "--copies", "1", "--clouds", "0.5", "--restart")
    turned = load_model(model).envelope
    run(*words, "--copies", "1", "--right-angles", "--restart")
    assert load_model(model).envelope.lower != turned.lower
    run(*words, "--restart")
    assert turned.lower != load_model(model).envelope.lower
    out, _ = run(*words, "--architecture", "GNO")
    assert "cases on" not in out
    assert load_model(model).arguments["architecture"] == "GNO"


@pytest.mark.parametrize(
    "command", ["info", "convert", "coarsen", "resample", "train", "predict", "plot"]
)
def test_help_has_an_example(command, run):
    out, _ = run(command, "--help")
    assert f"Example: isofield {command} " in out
    assert "--help" in out


def test_help_of_all(run, capfd):
    out, _ = run("--help")
    assert all(name in out for name in ("info", "convert", "train", "predict", "plot"))
    assert main([]) == 2
    assert "convert" in capfd.readouterr().out
    assert run("--version")[0].startswith("isofield ")


def test_a_process_of_its_own(workshop, tmp_path):
    words = [sys.executable, "-m", "isofield", "convert", workshop / "fine.vtu"]
    done = subprocess.run(
        [*words, tmp_path / "out.msh"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out.msh").exists()


def test_help_does_not_wait_for_torch():
    code = (
        "import sys; from isofield.cli import main; main(['train', '--help']); "
        "sys.exit('torch' in sys.modules)"
    )
    words = [sys.executable, "-c", code]
    assert subprocess.run(words, capture_output=True, check=False).returncode == 0
