"""All fields of one mesh on another, in Python and from the command line."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest

from isofield.cli import main
from isofield.generation import box, icosphere, square
from isofield.io import read, write
from isofield.mesh import Mesh
from isofield.operators import TransferError
from isofield.resampling import METHODS, resample


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
