"""All fields of one mesh on another, in Python and from the command line."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest

from isofield.cli import main
from isofield.generation import box, icosphere, square
from isofield.io import read, read_series, write, write_series
from isofield.mesh import Mesh
from isofield.operators import TransferError
from isofield.resampling import METHODS, resample
from isofield.series import MeshSeries


def fielded(n: int, seed: int = 0) -> Mesh:
    """Linear and labelled fields at points and cells."""
    mesh = square(n, jitter=0.2, seed=seed)
    x = mesh.points
    middle = x[mesh.cells["triangle"]].mean(1)
    return replace(
        mesh,
        point_data={"u": 1 + x @ [2.0, -1.0], "v": x.astype(np.float32)},
        cell_data={"p": middle[:, 0], "part": (middle[:, 0] > 0.5).astype(np.int32)},
        field_data={"unit:u": "K", "unit:other": "m"},
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_field_is_carried_and_reported(method):
    source, target = fielded(12), square(7, jitter=0.2, seed=1)
    mesh, report = resample(source, target, method)
    assert {c.name: c.site for c in report} == {
        "u": "points",
        "v": "points",
        "p": "cells",
        "part": "cells",
    }
    exact = 1 + target.points @ [2.0, -1.0]
    if method == "nearest":
        assert np.abs(mesh.point_data["u"] - exact).max() < 0.2
        assert np.isin(mesh.point_data["u"], source.point_data["u"]).all()
    else:
        np.testing.assert_allclose(mesh.point_data["u"], exact, atol=1e-11)
    assert mesh.point_data["v"].dtype == np.float32
    assert mesh.cell_data["part"].dtype == np.int32
    middle = target.points[target.cells["triangle"]].mean(1)[:, 0]
    clear = np.abs(middle - 0.5) > 0.15
    np.testing.assert_array_equal(mesh.cell_data["part"][clear], middle[clear] > 0.5)
    assert dict(mesh.field_data) == {"unit:u": "K"}
    by_name = {c.name: c for c in report}
    assert by_name["part"].integral is None
    before, after = by_name["p"].integral
    if method != "nearest":
        np.testing.assert_allclose(after, before, rtol=1e-12)
    assert by_name["u"].outside == 0


def test_names_masks_and_labels():
    source, target = fielded(6), square(4)
    mesh, report = resample(source, target, fields=["u"])
    assert set(mesh.point_data) == {"u"}
    assert len(report) == 1
    with pytest.raises(TransferError, match=r"no field 'w'; it has 'u', 'v'"):
        resample(source, target, fields=["w"])
    u = source.point_data["u"].copy()
    u[3] = np.nan
    holed = source.with_point_data({"u": u})
    with pytest.raises(TransferError, match=r"field 'u' at points: 1 of 49 .*number 3"):
        resample(holed, target, fields=["u"])
    mesh, _ = resample(holed, target, fields=["u"], masked=True)
    # what lies on the point without a value alone has none either
    assert np.isfinite(mesh.point_data["u"]).sum() >= 24
    labels = source.with_point_data({"part": np.arange(49)})
    mesh, report = resample(labels, target, fields=["part"])
    assert [carried.method for carried in report] == ["nearest", "majority"]
    assert mesh.point_data["part"].dtype.kind == "i"


def run(tmp_path, *words: str, source: Mesh, target: Mesh) -> int:
    write(tmp_path / "a.vtu", source)
    write(tmp_path / "b.vtu", target)
    names = [str(tmp_path / name) for name in ("a.vtu", "b.vtu")]
    return main(["resample", *names, "-o", str(tmp_path / "c.vtu"), *words])


def test_the_command_reports_what_it_kept(tmp_path, capsys):
    code = run(
        tmp_path, "--method", "conservative", source=fielded(9), target=square(5)
    )
    assert code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("u (points, conservative); integral 1.5 -> 1.5; range")
    assert lines[0].endswith("0 outside")
    carried = read(tmp_path / "c.vtu")
    assert set(carried.point_data) == {"u", "v"}
    assert set(carried.cell_data) == {"p", "part"}


def shifted(mesh: Mesh, by: float) -> Mesh:
    return Mesh(mesh.points + by, mesh.cells)


BAD = {
    "apart": (fielded(4), shifted(square(3), 5.0), [], r"lie outside the source"),
    "apart, conservative": (
        fielded(4),
        shifted(square(3), 5.0),
        ["--method", "conservative"],
        r"do not meet",
    ),
    "plane to space": (fielded(4), box(2), [], r"2-D and the target in 3-D"),
    "off a surface": (
        icosphere(2).with_point_data({"u": np.zeros(len(icosphere(2).points))}),
        icosphere(3),
        [],
        r"--max-distance",
    ),
    "unknown field": (fielded(4), square(3), ["--fields", "w"], r"no field 'w'"),
    "no field": (square(4), square(3), [], r"no field at all"),
    "NaN": (
        fielded(4).with_point_data({"u": np.full(25, np.nan)}),
        square(3),
        [],
        r"field 'u' at points: 25 of 25 source values are not finite.*--masked",
    ),
    "covered twice": (
        Mesh(
            square(3).points,
            {"triangle": np.tile(square(3).cells["triangle"], (2, 1))},
            cell_data={"p": np.ones(36)},
        ),
        square(2),
        ["--method", "conservative"],
        r"covered more than once",
    ),
}


@pytest.mark.parametrize("name", list(BAD))
def test_bad_input_gives_one_line_and_no_file(tmp_path, capsys, name):
    source, target, words, message = BAD[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = run(tmp_path, *words, source=source, target=target)
    error = [line for line in capsys.readouterr().err.splitlines() if "rror" in line]
    assert code == 1
    assert len(error) == 1
    assert re.search(message, error[0])
    assert not (tmp_path / "c.vtu").exists()


def test_wrong_words_are_usage_errors(tmp_path, capsys):
    for words in (["--method", "cubic"], ["--outside", "zero"], ["--partial", "half"]):
        assert run(tmp_path, *words, source=fielded(3), target=square(2)) == 2
    assert "expected linear, conservative" in capsys.readouterr().err


def steps(tmp_path, name: str = "s.pvd") -> str:
    """Four steps of a field whose integral is 1.5 + number, with labels."""
    base = fielded(6)
    x = base.points @ [2.0, -1.0]
    write_series(
        tmp_path / name,
        MeshSeries(
            np.arange(4.0) / 2, lambda n: replace(base, point_data={"u": 1 + n + x})
        ),
    )
    return str(tmp_path / name)


@pytest.mark.parametrize("words", [["c.pvd"], ["c.xdmf", "--series"]])
def test_the_command_carries_all_steps(tmp_path, capsys, words):
    source, target = steps(tmp_path), square(4, jitter=0.2)
    write(tmp_path / "b.vtu", target)
    words = [str(tmp_path / words[0]), *words[1:]]
    assert main(["resample", source, str(tmp_path / "b.vtu"), "-o", *words]) == 0
    u, p, part, last = capsys.readouterr().out.splitlines()
    assert re.match(
        r"u \(points, linear\); 4 steps; integral (\S+) -> \1 in step \d, where it "
        r"changes most; range 0 to 6 -> 0 to 6; 0 outside$",
        u,
    )
    assert p.startswith("p (cells, conservative); 4 steps; integral 0.5 -> 0.5")
    assert part == "part (cells, majority); 4 steps; range 0 to 1 -> 0 to 1; 0 outside"
    assert last.endswith(": 4 steps of 25 points, 32 triangle")
    carried = read_series(words[0])
    assert carried.times.tolist() == [0.0, 0.5, 1.0, 1.5]
    for number, mesh in enumerate(carried):
        exact = 1 + number + target.points @ [2.0, -1.0]
        np.testing.assert_allclose(mesh.point_data["u"], exact, atol=1e-12)


def test_the_closing_line_of_a_series_counts_what_is_outside(tmp_path, capsys):
    write(tmp_path / "b.vtu", shifted(square(4), 0.5))
    names = [steps(tmp_path), str(tmp_path / "b.vtu"), "-o", str(tmp_path / "c.pvd")]
    assert main(["resample", *names, "--outside", "nearest", "--fields", "u"]) == 0
    # of 5 x 5 points 3 x 3 lie within, and the last corner is sqrt(1/2) away
    line = capsys.readouterr().out.splitlines()[0]
    assert line.endswith("; 64 outside in 4 steps, the furthest by 0.707107 in step 0")


def cases(tmp_path) -> list[str]:
    """A folder of two good cases and one of NaN, and the target in it."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(2):
        write(folder / f"c{number}.vtu", fielded(5 + number))
    bad = fielded(5).with_point_data({"u": np.full(36, np.nan)})
    write(folder / "d.vtu", bad)
    write(folder / "t.vtu", square(3))
    return [str(folder), str(folder / "t.vtu")]


def test_the_command_carries_folders_and_names_what_failed(tmp_path, capsys):
    names, output = cases(tmp_path), str(tmp_path / "out")
    assert main(["resample", *names, "-o", output, "--method", "conservative"]) == 1
    said = capsys.readouterr()
    u, *_, last = said.out.splitlines()
    assert re.match(
        r"u \(points, conservative\); 2 files; integral 1\.5 -> 1\.5 in c\d\.vtu, "
        r"where it changes most; range 0 to 3 -> .*; 0 outside$",
        u,
    )
    assert last == f"{output}: 2 files"
    failed, error = said.err.splitlines()
    assert re.match(
        r"Failed: .*in/d\.vtu: field 'u' at points: 36 of 36 .*--mas", failed
    )
    assert error == "Error: 1 of 3 files were not carried"
    assert main(["resample", *names, "-o", output, "--method", "conservative"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        u,
        *said.out.splitlines()[1:-1],
        f"{last}, 2 of them finished before",
    ]
    words = [*names, "-o", output, "--suffix", ".xdmf", "--fields", "part"]
    assert main(["resample", *words]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "c0.h5",
        "c0.vtu",
        "c0.xdmf",
        "c1.h5",
        "c1.vtu",
        "c1.xdmf",
        "d.h5",
        "d.xdmf",
        "resampled.jsonl",
    ]


def test_what_does_not_go_together_is_a_usage_error(tmp_path, capsys):
    folder, target = cases(tmp_path)
    one, two = (str(tmp_path / "in" / f"c{n}.vtu") for n in range(2))
    out = str(tmp_path / "c.vtu")
    for words, message in (
        ([one, "-o", out], "expected a SOURCE and a TARGET"),
        ([one, two, target, "-o", out], "several sources need a folder"),
        ([folder, target, "-o", out], "several sources need a folder"),
        ([one, target, "-o", out, "--workers", "2"], "for several sources"),
        ([one, target, "-o", out, "--suffix", ".vtk"], "for several sources"),
        ([one, target, "-o", out, "--series"], r"the suffix .pvd .xdmf"),
        ([one, target, "-o", f"{out}.pvd", "--step", "0"], "choose one"),
        ([one, two, target, "-o", str(tmp_path / "o"), "--workers", "0"], "--workers"),
    ):
        assert main(["resample", *words]) == 2, words
        assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("way", ["one", "series", "folder"])
def test_a_terminal_sees_a_bar(tmp_path, capsys, monkeypatch, way):
    monkeypatch.setenv("FORCE_COLOR", "1")
    folder, target = cases(tmp_path)
    words = {
        "one": [str(tmp_path / "in" / "c0.vtu"), target, "-o", str(tmp_path / "c.vtu")],
        "series": [steps(tmp_path), target, "-o", str(tmp_path / "c.pvd")],
        "folder": [folder, target, "-o", str(tmp_path / "out"), "--fields", "p"],
    }[way]
    assert main(["resample", *words]) == 0
    said = capsys.readouterr()
    title, count = {
        "one": ("Carrying fields to t.vtu", ""),
        "series": ("Carrying steps to t.vtu", "4/4"),
        "folder": ("Carrying files to t.vtu", "3/3"),
    }[way]
    assert title in said.err
    assert count in said.err
    assert "Carrying" not in said.out


def test_labels_are_never_averaged_and_the_line_says_so(tmp_path, capsys):
    x = square(6).points
    labels = {
        "small": (x[:, 0] > 0.5).astype(np.uint8),
        "large": (x[:, 1] * 4).astype(np.uint64) + 2**63,
        "signed": (x[:, 0] * 9).astype(np.int16) - 5,
        "on": x[:, 0] > 0.3,
    }
    source = square(6).with_point_data(labels)
    assert run(tmp_path, "--method", "l2", source=source, target=square(4)) == 0
    lines = capsys.readouterr().out.splitlines()
    for line, name in zip(lines, labels, strict=False):
        assert line.startswith(f"{name} (points, nearest); range")
    carried = read(tmp_path / "c.vtu")
    for name, values in labels.items():
        assert carried.point_data[name].dtype == values.dtype
        assert np.isin(carried.point_data[name], values).all()


@pytest.mark.parametrize("dtype", [">f8", ">i4", "float16", "uint16", "uint32"])
def test_numbers_of_other_types_are_carried_as_they_are(dtype):
    values = np.rint(square(6).points[:, 0] * 6).astype(dtype)
    mesh, _ = resample(square(6).with_point_data({"u": values}), square(3))
    np.testing.assert_allclose(
        mesh.point_data["u"].astype(float), square(3).points[:, 0] * 6, atol=0.01
    )
    assert mesh.point_data["u"].dtype == values.dtype.newbyteorder("=")


@pytest.mark.parametrize("values", [np.ones(49) * 1j, np.array(["a"] * 49)])
def test_what_is_no_number_is_refused(values):
    with pytest.raises(TransferError, match=r"field 'u' at points: expected floating"):
        resample(square(6).with_point_data({"u": values}), square(3))


def test_a_mesh_that_moves_is_said_for_a_few_steps(tmp_path, capsys):
    def step(number: int) -> Mesh:
        mesh = shifted(square(4), 0.01 * number)
        return mesh.with_point_data({"u": mesh.points[:, 0]})

    write_series(tmp_path / "s.pvd", MeshSeries(np.arange(9.0), step))
    write(tmp_path / "b.vtu", Mesh(square(3).points / 2 + 0.25, square(3).cells))
    names = [str(tmp_path / name) for name in ("s.pvd", "b.vtu")]
    assert main(["resample", *names, "-o", str(tmp_path / "c.pvd")]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6
    assert "step 1 (time 1): the mesh is another than before (25 of 25" in lines[0]
    assert "step 5 (time 5)" in lines[4]
    assert lines[5] == "Warning: 3 more of the kind"


def test_an_interruption_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    def interrupt(*_: object, **options: object) -> None:
        raise KeyboardInterrupt

    names, output = cases(tmp_path), str(tmp_path / "out")
    words = ["resample", *names, "-o", output, "--fields", "p"]
    with monkeypatch.context() as patch:
        patch.setattr("isofield.datasets.carrier.write", interrupt)
        assert main(words) == 130
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == (
        "Error: interrupted; the same command goes on with the files that are left"
    )
    assert main(words) == 0
