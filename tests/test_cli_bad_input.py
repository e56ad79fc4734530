"""Bad input on the command line: one clear line, an exit code, nothing left behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isofield import Mesh
from isofield.cli import main
from isofield.generation import box, square
from isofield.io import write
from isofield.model_file import save_model
from isofield.surrogate import Surrogate

NETWORK = {"width": 6, "blocks": 1, "levels": 2, "rank": 2, "hidden": 4}
NOISE = np.random.default_rng(0).bytes(2000)


def case(n: int) -> Mesh:
    mesh = square(n)
    x, y = mesh.points.T
    fields = {"u": np.stack([x * y, x], 1), "p": x, "load": np.full(len(x), 2.0)}
    return replace(mesh, point_data=fields, field_data={"unit:u": "mm"})


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good mesh, another and a model, which tests only read."""
    folder = tmp_path_factory.mktemp("good")
    write(folder / "a.vtu", case(3))
    write(folder / "b.vtu", case(4))
    model = Surrogate.for_cases([case(3)], ["load"], ["u"], **NETWORK)
    save_model(folder / "model.safetensors", model)
    return folder


@pytest.fixture
def fails(tmp_path: Path, capfd: pytest.CaptureFixture) -> Callable[..., str]:
    """Run a command that must fail with this code and one line; returns the line.

    warned : how many lines with a warning may stand before it.
    """

    def run(code: int, *words: object, warned: int = 0) -> str:
        before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
        folders = {p for p in tmp_path.rglob("*") if p.is_dir()}
        capfd.readouterr()
        assert main([str(word) for word in words]) == code
        *warnings, line = capfd.readouterr().err.splitlines()
        assert len(warnings) == warned, warnings
        assert all(text.startswith("Warning: ") for text in warnings)
        assert line.startswith("Error: ")
        assert "Traceback" not in line
        assert before == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
        assert folders == {p for p in tmp_path.rglob("*") if p.is_dir()}
        return line

    return run


def text_vtu(path: Path, points: str, nodes: str) -> None:
    """One triangle with the fields u and load, written as text."""

    def array(name: str, text: str, kind: str = "Float64", width: int = 1) -> str:
        return (
            f'<DataArray type="{kind}" Name="{name}" NumberOfComponents="{width}" '
            f'format="ascii">{text}</DataArray>'
        )

    path.write_text(
        '<VTKFile type="UnstructuredGrid" version="1.0" byte_order="LittleEndian">'
        '<UnstructuredGrid><Piece NumberOfPoints="3" NumberOfCells="1">'
        f"<PointData>{array('u', '0 0 1 0 0 1', width=2)}{array('load', '2 2 2')}"
        f"</PointData><Points>{array('Points', points, width=3)}</Points><Cells>"
        f"{array('connectivity', nodes, 'Int64')}{array('offsets', '3', 'Int64')}"
        f"{array('types', '5', 'UInt8')}</Cells></Piece></UnstructuredGrid></VTKFile>"
    )


def missing(path: Path) -> str:
    return "no such file"


def empty(path: Path) -> str:
    path.write_bytes(b"")
    return "empty"


def truncated(path: Path) -> str:
    write(path, case(3))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return "not a readable"


def noise(path: Path) -> str:
    path.write_bytes(NOISE)
    return "not a readable"


def plain_text(path: Path) -> str:
    path.write_text("dear reader,\nthis is no mesh\n")
    return "not a readable"


def nan_points(path: Path) -> str:
    text_vtu(path, "0 0 0 nan 0 0 0 1 0", "0 1 2")
    return "1 of 3 points are not finite"


def wrong_index(path: Path) -> str:
    text_vtu(path, "0 0 0 1 0 0 0 1 0", "0 1 7")
    return "0 to 7"


KINDS = (missing, empty, truncated, noise, plain_text, nan_points, wrong_index)
COMMANDS = {
    "info": ["info", "BAD"],
    "convert": ["convert", "BAD", "out.vtu"],
    "train": ["train", "A", "BAD", "-i", "load", "-t", "u", "-o", "out.safetensors"],
    "validation": [
        *["train", "A", "--validation", "BAD", "-i", "load", "-t", "u"],
        *["-o", "out.safetensors"],
    ],
    "predict": ["predict", "MODEL", "BAD", "-o", "out.vtu"],
    "plot": ["plot", "BAD", "--field", "u", "-o", "out.png"],
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_bad_mesh_file(command, kind, good, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bad = tmp_path / f"{kind.__name__}.vtu"
    said = kind(bad)
    places = {"BAD": bad, "A": good / "a.vtu", "MODEL": good / "model.safetensors"}
    line = fails(1, *(places.get(word, word) for word in COMMANDS[command]))
    assert bad.name in line
    assert said in line


def test_the_text_file_is_good_where_nothing_is_wrong(tmp_path, capfd):
    """Else the two tests on it would pass for any file."""
    text_vtu(tmp_path / "mesh.vtu", "0 0 0 1 0 0 0 1 0", "0 1 2")
    assert main(["info", str(tmp_path / "mesh.vtu")]) == 0
    assert "0.5" in capfd.readouterr().out


@pytest.mark.parametrize("suffix", [".msh", ".xdmf", ".off", ".e", ".med"])
@pytest.mark.parametrize("kind", [empty, noise, plain_text], ids=lambda k: k.__name__)
def test_a_bad_file_of_another_format(kind, suffix, fails, tmp_path):
    bad = tmp_path / f"mesh{suffix}"
    kind(bad)
    assert bad.name in fails(1, "convert", bad, tmp_path / "out.vtu")


def test_a_bad_file_for_vtk_is_read_in_a_child(fails, tmp_path):
    bad = tmp_path / "mesh.vtk"
    bad.write_bytes(b"# vtk DataFile Version 3.0\nx\nBINARY\n" + NOISE)
    assert bad.name in fails(1, "info", bad)


@pytest.mark.parametrize("kind", [missing, empty, truncated, noise, plain_text])
@pytest.mark.parametrize("command", ["info", "predict"])
def test_a_bad_model_file(command, kind, good, fails, tmp_path):
    bad = tmp_path / "bad.safetensors"
    if kind is truncated:
        bad.write_bytes((good / "model.safetensors").read_bytes()[:-40])
    else:
        kind(bad)
    rest = [good / "a.vtu", "-o", tmp_path / "out.vtu"] if command == "predict" else []
    assert bad.name in fails(1, command, bad, *rest)


def test_safetensors_of_others_are_no_model(fails, tmp_path):
    import torch
    from safetensors.torch import save_file

    save_file({"weight": torch.ones(2)}, tmp_path / "other.safetensors")
    assert "other.safetensors" in fails(1, "info", tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["train", "A", "-i", "lod", "-t", "u", "-o", "OUT.safetensors"], "lod"),
        (["train", "A", "B", "-t", "stress", "-o", "OUT.safetensors"], "stress"),
        (["plot", "A", "--field", "stress", "-o", "OUT.png"], "stress"),
        (["plot", "A", "--field", "u", "--compare", "w", "-o", "OUT.png"], "w"),
        (["plot", "A", "--field", "u", "--compare", "p", "-o", "OUT.png"], "p"),
        (["plot", "A", "-f", "u", "--component", "5", "-o", "OUT.png"], "u"),
        (["predict", "MODEL", "A", "--set", "lod=1", "-o", "OUT.vtu"], "lod"),
        (["predict", "MODEL", "BARE", "-o", "OUT.vtu"], "load"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_an_unknown_field(words, name, good, fails, tmp_path):
    write(tmp_path / "bare.inp", square(4))
    places = {
        "A": good / "a.vtu",
        "B": good / "b.vtu",
        "MODEL": good / "model.safetensors",
        "BARE": tmp_path / "bare.inp",
    }
    words = [word.replace("OUT", str(tmp_path / "out")) for word in words]
    assert repr(name) in fails(1, *(places.get(word, word) for word in words))


def without_field(mesh: Mesh) -> Mesh:
    return replace(mesh, point_data={"load": mesh.point_data["load"]})


def other_shape(mesh: Mesh) -> Mesh:
    return mesh.with_point_data({"u": mesh.point_data["u"][:, 0]})


def other_unit(mesh: Mesh) -> Mesh:
    return replace(mesh, field_data={"unit:u": "m"})


def at_cells(mesh: Mesh) -> Mesh:
    cells = np.ones((len(mesh.cells["triangle"]), 2))
    return without_field(mesh).with_cell_data({"u": cells})


def in_space(mesh: Mesh) -> Mesh:
    solid = box(3)
    fields = {"u": solid.points[:, :2], "load": solid.points[:, 0]}
    return solid.with_point_data(fields)


@pytest.mark.parametrize(
    "change", [without_field, other_shape, other_unit, at_cells, in_space]
)
@pytest.mark.parametrize("role", ["case", "validation"])
def test_two_cases_with_different_fields(change, role, good, fails, tmp_path):
    other = tmp_path / "other.vtu"
    write(other, change(case(4)))
    sources = [good / "a.vtu", other]
    if role == "validation":
        sources.insert(1, "--validation")
    line = fails(
        *(1, "train", *sources, "-i", "load", "-t", "u"),
        *("-o", tmp_path / "model.safetensors"),
    )
    assert "other.vtu" in line


def test_a_value_that_is_not_finite(good, fails, tmp_path):
    values = case(4).point_data["u"].copy()
    values[3] = np.nan
    write(tmp_path / "hole.vtu", case(4).with_point_data({"u": values}))
    sources = [good / "a.vtu", tmp_path / "hole.vtu"]
    output = tmp_path / "model.safetensors"
    line = fails(1, "train", *sources, "-t", "u", "-o", output, warned=1)
    assert "hole.vtu" in line
    assert "'u'" in line


@pytest.mark.parametrize("command", ["convert", "train", "predict", "plot"])
@pytest.mark.parametrize(
    ("place", "code", "said"),
    [("nowhere/out", 1, "does not exist"), ("folder", 1, "is a folder")],
)
def test_an_output_that_cannot_be_written(
    command, place, code, said, good, fails, tmp_path
):
    words = {
        "convert": [good / "a.vtu"],
        "train": [good / "a.vtu", "-t", "u", "-o"],
        "predict": [good / "model.safetensors", good / "a.vtu", "-o"],
        "plot": [good / "a.vtu", "--field", "u", "-o"],
    }[command]
    suffix = {"train": ".safetensors", "plot": ".png"}.get(command, ".vtu")
    output = tmp_path / f"{place}{suffix}"
    if place == "folder":
        output.mkdir()
    assert said in fails(code, command, *words, output)


@pytest.mark.parametrize("command", ["convert", "train", "predict", "plot"])
@pytest.mark.parametrize("closed", ["folder", "file"])
def test_an_output_that_must_not_be_written_is_refused_before_any_work(
    command, closed, good, fails, tmp_path, monkeypatch
):
    """`access` is asked, since tests may run as a user whom no right stops."""
    words = {
        "convert": [good / "a.vtu"],
        "train": [good / "a.vtu", "-t", "u", "-o"],
        "predict": [good / "model.safetensors", good / "a.vtu", "-o"],
        "plot": [good / "a.vtu", "--field", "u", "-o"],
    }[command]
    suffix = {"train": ".safetensors", "plot": ".png"}.get(command, ".vtu")
    output = tmp_path / f"out{suffix}"
    if closed == "file":
        output.write_text("older")
    at = tmp_path if closed == "folder" else output
    monkeypatch.setattr("os.access", lambda path, _: Path(path) != at)
    monkeypatch.setattr("isofield.cli.files.opened", None)
    line = fails(1, command, *words, output)
    assert f"{output}: " in line
    assert "no permission to write" in line


@pytest.mark.parametrize("command", COMMANDS)
def test_a_mesh_file_that_must_not_be_read(command, good, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bad = tmp_path / "closed.vtu"
    write(bad, case(3))
    monkeypatch.setattr("os.access", lambda path, _: Path(path) != bad)
    places = {"BAD": bad, "A": good / "a.vtu", "MODEL": good / "model.safetensors"}
    line = fails(1, *(places.get(word, word) for word in COMMANDS[command]))
    assert f"{bad}: no permission to read it" in line


def test_what_a_format_cannot_hold_is_refused(good, fails, tmp_path):
    for name in ("old.off", "new.off"):
        if name == "old.off":
            (tmp_path / name).write_text("something older")
        line = fails(1, "convert", good / "a.vtu", tmp_path / name)
        assert name in line
        assert "--lossy" in line
        line = fails(
            *(1, "predict", good / "model.safetensors", good / "a.vtu"),
            *("-o", tmp_path / name),
        )
        assert "--lossy" in line


def test_a_folder_or_pattern_without_meshes(good, fails, tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    output = tmp_path / "model.safetensors"
    for place in (tmp_path, tmp_path / "*.vtu"):
        assert str(place) in fails(1, "train", place, "-t", "u", "-o", output)


def test_no_case_left_to_train_on(good, fails, tmp_path):
    a, output = good / "a.vtu", tmp_path / "model.safetensors"
    line = fails(1, "train", a, "--validation", a, "-t", "u", "-o", output)
    assert "--validation" in line


def test_cases_without_measure_are_named(good, fails, tmp_path):
    mesh = case(3)
    fields = {name: np.r_[v, v[:1]] for name, v in mesh.point_data.items()}
    lonely = Mesh(np.r_[mesh.points, [[2.0, 2.0]]], mesh.cells, fields)
    write(tmp_path / "lonely.vtu", lonely)
    output = tmp_path / "model.safetensors"
    line = fails(1, "train", tmp_path, "-t", "u", "-o", output, warned=1)
    assert "lonely.vtu" in line
    assert "no cell" in line
    assert "isofield convert --mend drops points in no cell" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["inform"], "inform"),
        (["info"], "FILE"),
        (["info", "A", "--no-such-option"], "--no-such-option"),
        (["info", "A", "--step", "last"], "--step"),
        (["convert", "A"], "OUT"),
        (["convert", "A", "out.xyz"], ".xyz"),
        (["convert", "A", "out"], "suffix"),
        (["train", "A", "-o", "m.safetensors"], "--targets"),
        (["train", "A", "-t", "u"], "--output"),
        (["train", "A", "-t", ",", "-o", "m.safetensors"], "--targets"),
        (["train", "A", "-t", "u,u", "-o", "m.safetensors"], "'u'"),
        (["train", "A", "-i", "u", "-t", "u", "-o", "m.safetensors"], "'u'"),
        (["train", "A", "-t", "u", "-o", "m.pt"], ".safetensors"),
        (["train", "A", "-t", "u", "-o", "m.safetensors", "--at", "nodes"], "nodes"),
        (["train", "A", "-t", "u", "-o", "m.safetensors", "--epochs", "0"], "--epochs"),
        (["train", "A", "-t", "u", "-o", "m.safetensors", "--rate", "-1"], "--rate"),
        (["train", "A", "-t", "u", "-o", "m.safetensors", "--rate", "inf"], "--rate"),
        (["train", "A", "-t", "u", "-o", "m.safetensors", "--radius", "0"], "--radius"),
        (["train", "A", "-t", "u", "-o", "m.safetensors", "--radius", "inf"], "inf"),
        (["train", "A", "-t", "u", "-o", "m.safetensors", "--linear", "f"], "'f'"),
        (
            [
                *["train", "A", "-i", "load", "-t", "u", "-o", "m.safetensors"],
                *["--linear", "load", "--architecture", "GNO"],
            ],
            "GNO has no linear",
        ),
        (
            [
                *["train", "A", "-i", "load", "-t", "u", "-o", "m.safetensors"],
                *["--architecture", "GreenOperator"],
            ],
            "--linear",
        ),
        (["train", "A", "-t", "u", "-o", "m.safetensors", "--unit", "u"], "--unit"),
        (["train", "A", "-t", "u", "-o", "m.safetensors", "--unit", "v=m"], "'v'"),
        (
            ["train", "A", "-t", "u", "-o", "m.safetensors", "--validation", "1.5"],
            "--validation",
        ),
        (
            ["train", "A", "-t", "u", "-o", "m.safetensors", "--device", "abacus"],
            "abacus",
        ),
        (
            ["train", "A", "-t", "u", "-o", "m.safetensors", "--right-angles"],
            "--copies",
        ),
        (["predict", "MODEL", "A", "-o", "out.vtu", "--right-angles"], "--copies"),
        (["predict", "MODEL", "A"], "--output"),
        (["predict", "MODEL", "A", "-o", "out.vtu", "--set", "load"], "--set"),
        (["predict", "MODEL", "A", "-o", "out.vtu", "--set", "load=much"], "much"),
        (["predict", "MODEL", "A", "-o", "out.vtu", "--set", "load=nan"], "nan"),
        (["plot", "A"], "--field"),
        (["plot", "A", "--field", "u", "-o", "u.jpg"], ".png"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage_errors(words, said, good, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = {"A": good / "a.vtu", "MODEL": good / "model.safetensors"}
    line = fails(2, *(places.get(word, word) for word in words))
    assert said in line
    assert "--help'" in line


def test_debug_shows_the_traceback_at_any_place(tmp_path, capfd):
    for words in (["--debug", "info", "a.vtu"], ["info", "a.vtu", "--debug"]):
        assert main(words) == 1
        error = capfd.readouterr().err
        assert error.startswith("Traceback")
        assert error.splitlines()[-1] == "Error: a.vtu: no such file"


def test_nothing_is_said_where_nobody_reads_on(good):
    """`isofield info a.vtu | true`"""
    words = [sys.executable, "-m", "isofield", "info", str(good / "a.vtu")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1


def test_an_error_of_our_own_is_one_line_too(good, fails, monkeypatch):
    def broken(*arguments, **options):
        raise KeyError("corner")

    monkeypatch.setattr("isofield.cli.files.opened", broken)
    line = fails(1, "info", good / "a.vtu")
    assert "KeyError" in line
    assert "--debug" in line


def test_a_process_of_its_own(tmp_path):
    """The command as installed: nothing beside it writes to stderr."""
    bad = tmp_path / "mesh.vtu"
    bad.write_bytes(NOISE)
    words = [sys.executable, "-m", "isofield", "info", str(bad)]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: {bad}: ")
