"""What two meshes cannot carry: named with counts and distances, in Python and by the
command, and nothing is written."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from isofield.cli import main
from isofield.generation import box, icosphere, square
from isofield.io import write
from isofield.mesh import Mesh
from isofield.operators import (
    TransferError,
    TransferWarning,
    conservative,
    l2_projection,
    linear,
    nearest,
)
from isofield.resampling import METHODS, resample

CELLS = ("linear", "conservative", "l2")  # methods that know the cells of both


def fielded(mesh: Mesh) -> Mesh:
    """A linear field at the points and ones at the cells."""
    count = sum(map(len, mesh.cells.values()))
    u = mesh.points @ np.arange(1.0, mesh.points.shape[1] + 1)
    return replace(mesh, point_data={"u": u}, cell_data={"p": np.ones(count)})


def moved(mesh: Mesh, by: float) -> Mesh:
    return Mesh(mesh.points + by, mesh.cells)


def part(mesh: Mesh, kept: Callable[[np.ndarray], np.ndarray]) -> Mesh:
    """The cells whose middles are kept, and the points that they use."""
    ((kind, nodes),) = mesh.cells.items()
    chosen = nodes[kept(mesh.points[nodes].mean(1))]
    return Mesh(mesh.points, {kind: chosen}).of_dimension(mesh.dimension)


def upper(n: int, height: float = 0.0) -> Mesh:
    """An open surface: the part of a sphere above a height."""
    return part(icosphere(n), lambda x: x[:, 2] > height)


def quads(n: int) -> Mesh:
    number = np.arange((n + 1) ** 2).reshape(n + 1, n + 1)
    corners = number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]
    return Mesh(square(n).points, {"quad": np.stack(corners, -1).reshape(-1, 4)})


def crossed() -> Mesh:
    """One of 16 quadrilaterals has two corners exchanged and intersects itself."""
    nodes = quads(4).cells["quad"].copy()
    nodes[5] = nodes[5][[0, 2, 1, 3]]
    return Mesh(quads(4).points, {"quad": nodes})


def tangled() -> Mesh:
    """The middle point lies beyond its neighbours: two cells are inverted and lie over
    others."""
    mesh = square(4)
    points = mesh.points.copy()
    middle = np.flatnonzero((np.abs(points - 0.5) < 1e-9).all(1))[0]
    points[middle] = [0.95, 0.55]
    return Mesh(points, mesh.cells)


def turned(mesh: Mesh) -> Mesh:
    """Every other cell the wrong way round."""
    nodes = mesh.cells["triangle"].copy()
    nodes[::2] = nodes[::2, ::-1]
    return Mesh(mesh.points, {"triangle": nodes})


class Case(NamedTuple):
    """message : a pattern of what is said in Python. method, options : as for
    `resample`."""

    source: Mesh
    target: Mesh
    method: str
    message: str
    options: dict[str, Any]


def case(source: Mesh, target: Mesh, method: str, message: str, **options: Any) -> Case:
    return Case(source, target, method, message, options)


# the last corner (6, 6) of the target from (1, 1)
APART = rf"do not meet: all 16 points .* furthest by {50**0.5:.6g};.* same units\?"
# of 4 x 4 points at 0.5 + i / 3 2 x 2 lie within; a cell at the last corner has its
# middle a third of a side and two thirds from there
POINTS = (
    rf"12 of 16 targets lie outside the source, the furthest by {0.5**0.5:.6g}: pass"
)
MIDDLE = f"{math.hypot(0.5 - 1 / 9, 0.5 - 2 / 9):.6g}"
U = fielded(square(4))
BALL = fielded(icosphere(2))
HOLED = U.with_point_data({"u": np.where(np.arange(25) == 7, np.nan, 1.0)})
LABELS = replace(U, point_data={"u": np.arange(25)}, cell_data={})

BAD = {
    **{
        f"apart, {m}": case(U, moved(square(3), 5.0), m, APART, outside=outside)
        for m, outside in zip(METHODS, ("error", "nearest", "nan") * 2, strict=False)
    },
    **{
        f"in part, {m}": case(U, moved(square(3), 0.5), m, POINTS, fields=["u"])
        for m in ("linear", "nearest", "mls")
    },
    **{
        f"in part, {m}, points": case(
            U,
            moved(square(3), 0.5),
            m,
            r"field 'u' at points: 7 of 16 targets do not meet the source, the "
            rf"furthest lies {0.5**0.5:.6g} from it",
            fields=["u"],
        )
        for m in ("conservative", "l2")
    },
    **{
        f"in part, {m}, cells": case(
            U,
            moved(square(3), 0.5),
            m,
            rf"field 'p' at cells: 10 of 18 target cells .* lies {MIDDLE} from it",
            fields=["p"],
        )
        for m in ("linear", "conservative", "l2", "mls")
    },
    **{
        f"2-D to 3-D, {m}": case(U, box(2), m, r"in 2-D and the target in 3-D: give")
        for m in METHODS
    },
    **{
        f"3-D to 2-D, {m}": case(
            fielded(box(2)), square(4), m, r"in 3-D and the target in 2-D: give"
        )
        for m in METHODS
    },
    "volume to surface": case(
        fielded(box(2)),
        Mesh(icosphere(2).points / 3 + 0.5, icosphere(2).cells),
        "conservative",
        r"dimension 3 in 3-D and of dimension 2 in 3-D: .*`linear` with max_distance",
    ),
    **{
        f"off a surface, {m}": case(
            BALL,
            icosphere(3),
            m,
            r"\d+ of 92 targets lie outside .* pass max_distance for a projection",
            fields=["u"],
        )
        for m in ("linear", "nearest", "mls")
    },
    "too far from a surface": case(
        BALL,
        icosphere(3),
        "linear",
        r"and further than 0\.001 from it.* pass a larger max_distance",
        fields=["u"],
        max_distance=1e-3,
    ),
    **{
        f"open to closed, {m}": case(
            fielded(upper(4)),
            icosphere(3),
            m,
            r"of 92 targets do not meet the source, the furthest lies 1\.",
            fields=["u"],
        )
        for m in ("conservative", "l2")
    },
    "open to closed, cells": case(
        fielded(upper(4)),
        icosphere(3),
        "conservative",
        r"of 180 target cells do not meet the source, the furthest lies 1\.",
        fields=["p"],
    ),
    **{
        f"overlapping {side}, {m}, {name}": case(
            *((fielded(tangled()), square(3)) if side == "source" else (U, tangled())),
            m,
            rf"field '{name}' .* cells are covered more than once: cells of the {side} "
            "overlap each other",
            fields=[name],
        )
        for side in ("source", "target")
        for m, name in (("conservative", "u"), ("l2", "u"), ("linear", "p"))
    },
    **{
        f"NaN, {m}": case(
            HOLED,
            square(3),
            m,
            r"field 'u' at points: 1 of 25 source values are not finite, the first is "
            r"number 7; pass masked=True",
        )
        for m in METHODS
    },
    "NaN, masked by a mass matrix": case(
        HOLED, square(3), "l2", r"field 'u' .* has no masked form: leave", masked=True
    ),
    "labels with NaN": case(
        LABELS,
        moved(square(3), 0.5),
        "linear",
        r"field 'u' at points: 12 targets lie outside .* have no NaN: .*'nearest'",
        outside="nan",
    ),
    "points without cells": case(
        U,
        Mesh(square(3).points),
        "linear",
        r"field 'p' at cells: the target has points without cells",
    ),
    "no cells at the source": case(
        Mesh(U.points, {}, {"u": U.points[:, 0]}),
        square(3),
        "conservative",
        r"field 'u' at points: the source has points without cells",
    ),
    "orphan points in the target": case(
        U,
        Mesh(np.concatenate([square(3).points, [[0.2, 0.3]]]), square(3).cells),
        "conservative",
        r"1 of 17 targets do not meet .*; 1 of these are in no cell with a measure",
        fields=["u"],
    ),
}
WORDS = {
    "outside='nearest'": "--outside nearest",
    "outside='nan'": "--outside nan",
    "masked=True": "--masked",
    "max_distance": "--max-distance",
    "mesh.validate()": "isofield info",
}


@pytest.mark.filterwarnings("ignore::isofield.operators.TransferWarning")
@pytest.mark.filterwarnings("ignore::isofield.io.MeshWarning")
@pytest.mark.parametrize("name", BAD)
def test_one_line_says_what_came_and_what_to_do(tmp_path: Path, capsys, name: str):
    source, target, method, message, options = BAD[name]
    with pytest.raises(TransferError, match=message) as raised:
        resample(source, target, method, **options)
    said = str(raised.value)
    assert "\n" not in said
    paths = [tmp_path / "a.vtu", tmp_path / "b.vtu"]
    for path, mesh in zip(paths, (source, target), strict=True):
        write(path, mesh)
    words = [str(path) for path in paths] + ["-o", str(tmp_path / "c.vtu")]
    for option, value in options.items():
        text = ",".join(value) if option == "fields" else str(value)
        flag = f"--{option.replace('_', '-')}"
        words += [flag] if value is True else [flag, text]
    assert main(["resample", *words, "--method", method]) == 1
    for word, option in WORDS.items():
        said = said.replace(word, option)
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == f"Error: {paths[0]} to {paths[1]}: {said}"
    assert sorted(tmp_path.iterdir()) == paths


@pytest.mark.parametrize("build", [linear, conservative, l2_projection, nearest])
@pytest.mark.parametrize("outside", ["nearest", "nan"])
def test_what_is_allowed_outside_is_counted(build, outside: str):
    source, target = square(4), moved(square(3), 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TransferWarning)
        transfer = build(source, target, outside=outside)
    away = transfer.facts["outside"] > 0
    count = {linear: 12, nearest: 12, conservative: 10, l2_projection: 7}[build]
    assert int(away.sum()) == count
    if outside == "nan":
        assert torch.equal(transfer.missing, away)
        return
    assert not transfer.missing.any()
    gap = (target.points - 1).clip(min=0)
    if build is conservative:
        middles = target.points[target.cells["triangle"]].mean(1)
        gap = (middles - 1).clip(min=0)
    exact = torch.from_numpy(np.linalg.norm(gap, axis=1))
    torch.testing.assert_close(transfer.facts["outside"][away], exact[away])


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize(
    ("mesh", "fault"),
    [
        (
            crossed(),
            r"of 16 cells the {} has 1 folded cells, .*\(the first is number 5",
        ),
        (tangled(), r"of 32 cells the {} has 2 inverted cells, .*\(the first is"),
        (turned(square(4)), r"of 32 cells the {} has 16 inverted cells"),
    ],
    ids=["crossed", "tangled", "turned"],
)
def test_inverted_and_crossed_cells_are_counted(side: str, mesh: Mesh, fault: str):
    source, target = (mesh, square(3)) if side == "source" else (square(4), mesh)
    source = source.with_point_data({"u": source.points[:, 0]})
    with pytest.warns(TransferWarning, match=fault.format(side)):
        resample(source, target, outside="nearest")  # a crossed cell leaves a hole


def test_cells_that_are_turned_round_carry_all_the_same():
    fields = [square(4), turned(square(4))]
    for method in METHODS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TransferWarning)
            right, wrong = (
                resample(fielded(mesh), square(3), method)[0] for mesh in fields
            )
        for name in ("u", "p"):
            first, second = (
                {**m.point_data, **m.cell_data}[name] for m in (right, wrong)
            )
            np.testing.assert_allclose(first, second, atol=1e-12)


@pytest.mark.parametrize("faulty", ["source", "target"])
@pytest.mark.parametrize("method", METHODS)
def test_points_that_are_not_finite(faulty: str, method: str):
    points = square(3).points.copy()
    points[4] = np.nan
    broken = Mesh(points, square(3).cells)
    source, target = (broken, square(4)) if faulty == "source" else (square(4), broken)
    message = f"1 of 16 points of the {faulty} are not finite, the first is number 4"
    with pytest.raises(TransferError, match=message):
        resample(fielded(source), target, method)


@pytest.mark.parametrize("sites", [("points", "points"), ("cells", "cells")])
def test_open_surfaces_keep_what_they_share(sites: tuple[str, str]):
    """A closed sphere gives an open part of it what lies there; two open parts share
    the smaller. Constants stay, and the integral in the measure of what arrives."""
    at = {"source_at": sites[0], "target_at": sites[1]}
    for source, target, lost in (
        (icosphere(5), upper(8), 0.5),
        (upper(5), upper(8, 0.4), 0.4),
    ):
        with pytest.warns(
            TransferWarning, match=r"^0 of .*(\d\d\.?\d*) % of the"
        ) as said:
            transfer = conservative(source, target, **at, outside="error")  # type: ignore[arg-type]
        share = float(
            re.findall(r"and (\S+) % of the source", str(said[-1].message))[0]
        )
        assert share == pytest.approx(100 * lost, abs=6)
        one = transfer(torch.ones(transfer.shape[1]).double())
        torch.testing.assert_close(one, torch.ones_like(one), rtol=1e-9, atol=0)
        z = transfer.source.points[:, 2]
        heights = transfer.target.points[:, 2]
        assert float((transfer(z) - heights).abs().max()) < 0.15
        area = transfer.target.measure() / float(
            conservative(target, target, **at).target.measure()  # type: ignore[arg-type]
        )
        assert float(area) == pytest.approx(1, abs=0.05)


def test_an_open_surface_fills_a_closed_one_only_where_asked():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TransferWarning)
        transfer = conservative(upper(5), icosphere(4), outside="nan")
    z = transfer.target.points[:, 2]
    assert transfer.missing[z < -0.3].all()
    assert not transfer.missing[z > 0.3].any()


def test_far_domains_do_not_need_much_memory():
    """Every facet is a candidate for points a thousand sizes away; a mistake in the
    unit of length must say so in the time of a breath."""
    sphere = Mesh(icosphere(20).points, icosphere(20).cells)
    far = Mesh(np.random.default_rng(0).random((20000, 3)) + 1000.0)
    exact = np.linalg.norm(far.points, axis=1).max() - 1
    with pytest.raises(TransferError, match=r"all 20000 points") as raised:
        resample(fielded(sphere), far, fields=["u"])
    found = float(re.findall(r"furthest by (\S+);", str(raised.value))[0])
    assert found == pytest.approx(exact, abs=0.02)
