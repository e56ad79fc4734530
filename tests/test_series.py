"""Series of meshes: written step by step, read bit by bit, carried and not kept."""

from __future__ import annotations

import gc
import tracemalloc
import warnings
import weakref
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import pyvista

from isofield.generation import box, square
from isofield.io import FormatError, MeshWarning, read_series, write_series
from isofield.mesh import Mesh
from isofield.operators import TransferError, TransferWarning
from isofield.resampling import resample, resample_series, resampler
from isofield.series import MeshSeries

SUFFIXES = [".pvd", ".xdmf"]
PARTS = ("cells", "point_data", "cell_data", "point_sets", "cell_sets", "facet_sets")
TIMES = np.array([-1 / 3, 0.0, 1e-300, 0.1 + 0.2, 1e22])


def of(mesh: Mesh, number: int) -> Mesh:
    """Fields of many types that are others at each step."""
    random = np.random.default_rng(number)
    n, t = len(mesh.points), sum(map(len, mesh.cells.values()))
    u = random.random(n)
    u[0] = np.nan
    return replace(
        mesh,
        point_data={"u <°C>": u, "v": random.random((n, 3)).astype(np.float32)},
        cell_data={
            "stress": random.random((t, 2, 2)),
            "part": random.integers(0, 250, t).astype(np.uint8),
            "on": random.random(t) > 0.5,
        },
        field_data={"unit:v": "m/s", "step": np.array([number]), "zero": -0.0},
        point_sets={"left": np.arange(number + 1)},
        cell_sets={"some": np.array([0, 2])},
        facet_sets={"edge": np.array([[0, 1], [1, 2]])},
    )


def of_all_kinds() -> MeshSeries:
    """The third step has another mesh, and the fourth the first one's again."""
    meshes = [square(4), square(4), square(5, jitter=0.2), square(4), square(4)]
    return MeshSeries(TIMES, lambda number: of(meshes[number], number))


def same_bits(a: Any, b: Any) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


def assert_same(mesh: Mesh, other: Mesh) -> None:
    assert same_bits(mesh.points, other.points)
    for part in PARTS:
        first, second = (getattr(x, part) for x in (mesh, other))
        assert list(first) == list(second), part
        assert all(same_bits(first[name], second[name]) for name in first), part
    assert_same_values(mesh.field_data, other.field_data)


def assert_same_values(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    assert set(first) == set(second)
    for name, value in first.items():
        assert same_bits(value, second[name]), name


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_steps_come_back_bit_by_bit(tmp_path: Path, suffix: str):
    series = of_all_kinds()
    write_series(tmp_path / f"a b{suffix}", series)
    back = read_series(tmp_path / f"a b{suffix}")
    assert same_bits(back.times, series.times)
    for number in (4, 2, 0, 3, 1):
        assert_same(back[number], series[number])
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_vtk_reads_the_same_times_and_values(tmp_path: Path, suffix: str):
    mesh = box(2)
    values = np.random.default_rng(0).random((3, len(mesh.points)))
    times = np.array([0.5, 0.75, 2.0])
    series = MeshSeries(times, lambda i: mesh.with_point_data({"u": values[i]}))
    write_series(tmp_path / f"a{suffix}", series)
    reader: Any = pyvista.get_reader(str(tmp_path / f"a{suffix}"))
    assert reader.time_values == times.tolist()
    for number, time in enumerate(times):
        reader.set_active_time_value(time)
        found = reader.read()
        grid = found[0] if suffix == ".pvd" else found
        np.testing.assert_array_equal(grid.points, mesh.points)
        np.testing.assert_array_equal(grid["u"], values[number])


def test_a_mesh_that_stays_is_written_once(tmp_path: Path):
    path = tmp_path / "a.xdmf"
    write_series(path, of_all_kinds())
    with h5py.File(path.with_suffix(".h5")) as file:
        with_points = [step for step in file if "points" in file[step]]
        assert with_points == ["0", "2", "3"]
        assert all("node" in file[step] for step in file)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_step_that_fails_leaves_what_was_there(tmp_path: Path, suffix: str):
    path, good = tmp_path / f"a{suffix}", of_all_kinds()
    write_series(path, good)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def step(number: int) -> Mesh:
        if number == 3:
            raise ZeroDivisionError("a step of the user's own")
        return good[number]

    with pytest.raises(ZeroDivisionError, match="the user's own"):
        write_series(path, MeshSeries(TIMES, step))
    assert before == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}


def test_a_collection_that_is_replaced_takes_its_steps_along(tmp_path: Path):
    path, first = tmp_path / "a.pvd", tmp_path / "a.steps"
    write_series(path, of_all_kinds())
    (first / "mine.txt").touch()
    shorter = MeshSeries(TIMES[:2], lambda number: of(square(3), number))
    write_series(path, shorter)
    # a file that the collection does not list is not its own
    assert [p.name for p in first.iterdir()] == ["mine.txt"]
    assert len(list((tmp_path / "a.steps-2").iterdir())) == 2
    (first / "mine.txt").unlink()
    first.rmdir()
    write_series(path, shorter)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pvd", "a.steps"]
    assert_same(read_series(path)[1], of(square(3), 1))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("times", [[], [0.0, np.nan], [1.0, 2.0, 1.0], [np.inf]])
def test_times_that_no_reader_could_tell_apart(tmp_path, suffix, times):
    series = MeshSeries(np.array(times), lambda number: square(2))
    with pytest.raises(FormatError, match=r"times that are finite, each once, got"):
        write_series(tmp_path / f"a{suffix}", series)
    assert not list(tmp_path.iterdir())


def test_formats_of_one_mesh_and_places_that_are_none(tmp_path: Path):
    series = of_all_kinds()
    with pytest.raises(FormatError, match=r"\.vtu files are not written.*\.pvd \.xdmf"):
        write_series(tmp_path / "a.vtu", series)
    with pytest.raises(FormatError, match=r"folder .* does not exist"):
        write_series(tmp_path / "none" / "a.pvd", series)
    with pytest.raises(FormatError, match=r"is a folder"):
        write_series(tmp_path, series)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_a_format_cannot_hold_is_said_once(tmp_path: Path, suffix: str):
    def step(number: int) -> Mesh:
        mesh, name = square(2), "late" if number > 2 else "early"
        return mesh.with_point_data({"u": mesh.points[:, 0], name: mesh.points * 1j})

    series = MeshSeries(np.arange(5.0), step)
    with pytest.raises(FormatError, match=r"'early'.*complex128"):
        write_series(tmp_path / f"a{suffix}", series)
    assert not list(tmp_path.iterdir())
    with pytest.warns(MeshWarning) as said:
        write_series(tmp_path / f"a{suffix}", series, lossy=True)
    early, late = (str(warning.message) for warning in said)
    assert "'early'" in early
    assert "'late'" in late
    assert all(
        list(m.point_data) == ["u"] for m in read_series(tmp_path / f"a{suffix}")
    )


def waves(mesh: Mesh, steps: int, rows: int = 1) -> MeshSeries:
    def step(number: int) -> Mesh:
        x = mesh.points[:, :1] + np.arange(rows)
        return mesh.with_point_data({"u": np.sin(3 * x + number)})

    return MeshSeries(np.arange(float(steps)), step)


def test_one_operator_carries_all_steps(monkeypatch: pytest.MonkeyPatch):
    built = []
    linear = resampler.linear
    monkeypatch.setattr(
        resampler, "linear", lambda *a, **k: built.append(1) or linear(*a, **k)
    )
    series, target = waves(square(7), 6), square(5, jitter=0.2)
    reports = []
    carried = resample_series(
        series, target, report=lambda n, r: reports.append((n, r))
    )
    assert built == []
    found = list(carried)
    assert built == [1]
    assert [number for number, _ in reports] == list(range(6))
    assert same_bits(carried.times, series.times)
    for number, mesh in enumerate(found):
        alone, report = resample(series[number], target)
        assert_same(mesh, alone)
        after = reports[number][1][0].integral[1]
        np.testing.assert_array_equal(after, report[0].integral[1])


def test_a_mesh_that_changes_gets_its_own_operators():
    meshes = [square(4), square(4), square(5), square(4)]
    moved = square(4).points.copy()
    moved[12] += 0.01
    meshes.append(Mesh(moved, square(4).cells))

    def step(number: int) -> Mesh:
        return meshes[number].with_point_data({"u": meshes[number].points @ [1.0, 2.0]})

    target = square(3)
    carried = resample_series(MeshSeries(np.arange(5.0), step), target)
    exact = target.points @ [1.0, 2.0]
    with pytest.warns(TransferWarning) as said:
        found = list(carried)
    for mesh in found:
        np.testing.assert_allclose(mesh.point_data["u"], exact, atol=1e-12)
    finer, coarser, bent = (str(warning.message) for warning in said)
    assert (
        "step 2 (time 2): the mesh is another than before (25 points, now 36)" in finer
    )
    assert "step 3 (time 3)" in coarser
    assert "1 of 25 points have moved" in bent
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert carried[4].point_data["u"] == pytest.approx(exact)


def test_the_step_that_cannot_be_carried_is_named():
    def step(number: int) -> Mesh:
        u = square(4).points[:, 0].copy()
        u[7] = np.nan if number == 2 else 0.0
        return square(4).with_point_data({"u": u} if number < 4 else {"w": u})

    series, target = MeshSeries(np.arange(5.0) / 10, step), square(3)
    carried = resample_series(series, target, fields=["u"])
    with pytest.raises(
        TransferError, match=r"step 2 \(time 0\.2\): field 'u' .*1 of 25"
    ):
        list(carried)
    assert np.isfinite(carried[3].point_data["u"]).all()
    with pytest.raises(TransferError, match=r"step 4 .*no field 'u'; it has 'w'"):
        carried[4]
    masked = resample_series(series, target, masked=True)
    assert np.isfinite(masked[2].point_data["u"]).all()
    with pytest.raises(ValueError, match="method: expected one of"):
        resample_series(series, target, "cubic")
    apart = Mesh(target.points + 3.0, target.cells)
    with pytest.raises(TransferError, match=r"step 0 .*do not meet"):
        resample_series(series, apart)[0]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_more_than_a_step_is_alive(tmp_path: Path, suffix: str):
    """Meshes of the source and of the target, without waiting for the collector."""
    alive, most = weakref.WeakSet(), []
    given = waves(square(5), 30)

    def step(number: int) -> Mesh:
        alive.add(mesh := given[number])
        return mesh

    series = MeshSeries(given.times, step)
    carried = resample_series(
        series, square(4), report=lambda *_: most.append(len(alive))
    )
    gc.disable()
    try:
        write_series(tmp_path / f"a{suffix}", carried)
        assert max(most) == 1
        kept = list(series)
        assert len(alive) == len(kept) == 30
    finally:
        gc.enable()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_memory_does_not_grow_with_the_steps(tmp_path: Path, suffix: str):
    """A step has 1 MB of values here; ten times as many steps need no more memory."""

    def peak(steps: int) -> float:
        series = waves(square(18), steps, rows=350)
        carried = resample_series(series, square(17))
        tracemalloc.start()
        write_series(tmp_path / f"{steps}{suffix}", carried)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found / 1e6

    peak(2)  # what is imported and cached on the way
    few, many = peak(3), peak(30)
    assert few > 1
    assert many < few + 1
