"""Whole data sets: the same for any number of workers, resumed, failures apart."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from isofield.datasets import Outcome, carrier, resample_dataset, workers
from isofield.datasets.receipts import NAME
from isofield.generation import box, square
from isofield.io import FormatError, read, read_series, write, write_series
from isofield.mesh import Mesh
from isofield.operators import TransferWarning
from isofield.resampling import resample
from isofield.series import MeshSeries

pytestmark = pytest.mark.filterwarnings(
    r"ignore:\d+ of \d+ files were not:isofield.operators.TransferWarning"
)


def case(number: int) -> Mesh:
    """Every other case has the same mesh."""
    mesh = square(5 + number % 2, jitter=0.2, seed=number % 2)
    random = np.random.default_rng(number)
    part = random.integers(0, 3, len(mesh.cells["triangle"]))
    u = random.random(len(mesh.points))
    return mesh.with_point_data({"u": u}).with_cell_data({"part": part})


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    """Four cases, one that is no file of meshes, and a target beside the folder."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(4):
        write(folder / f"c{number}.vtu", case(number))
    (folder / "c8.vtu").write_text("no mesh")
    write(tmp_path / "t.vtu", square(4))
    return sorted(folder.iterdir())


def run(sources: Iterable[Path], folder: Path, *words: Any, **options: Any):
    target = folder.parent / "t.vtu"
    return resample_dataset(sources, target, folder, *words, **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def kept(outcomes: list[Outcome]) -> list[bool]:
    return [outcome.kept for outcome in outcomes]


def test_any_number_of_workers_gives_the_same_files(sources, tmp_path, monkeypatch):
    """A worker that is ended, as by the system that is out of memory, fails its file;
    the next run carries that file alone."""

    class Ended(workers._Worker):
        def give(self, task):
            if task.source.stem == "c2":
                self.process.kill()
                self.process.join()
            super().give(task)

    alone = run(sources, tmp_path / "one", "conservative")
    with monkeypatch.context() as patch:
        patch.setattr(workers, "_Worker", Ended)
        found = run(sources, tmp_path / "two", "conservative", workers=2)
    assert [outcome.source for outcome in found] == sources
    assert [bool(outcome.error) for outcome in found] == [0, 0, 1, 0, 1]
    assert "c2.vtu: its process ended with signal 9" in found[2].error
    for outcome in (alone[4], found[4]):
        assert outcome.error.startswith(f"{sources[4]}: not a readable VTK XML file")
    again = run(sources, tmp_path / "two", "conservative", workers=1)
    assert kept(again) == [True, True, False, True, False]
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    for source, outcome in zip(sources[:4], again, strict=False):
        mesh, report = resample(read(source), square(4), "conservative")
        done = read(outcome.output)
        np.testing.assert_array_equal(done.point_data["u"], mesh.point_data["u"])
        np.testing.assert_array_equal(done.cell_data["part"], mesh.cell_data["part"])
        u = outcome.found["u", "points"]
        np.testing.assert_array_equal(u.integral, report[0].integral)
        assert (u.range, u.changed) == (report[0].range, source.name)
        assert outcome.found["part", "cells"].method == "majority"


def test_a_run_into_a_finished_folder_changes_nothing(sources, tmp_path):
    folder = tmp_path / "out"
    first = run(sources[:4], folder)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = run(sources[:4], folder)
    assert kept(first) == [False] * 4
    assert kept(again) == [True] * 4
    after = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    before.pop(folder / NAME), after.pop(folder / NAME)
    assert before == after
    for one, other in zip(first, again, strict=True):
        u, v = (x.found["u", "points"] for x in (one, other))
        np.testing.assert_array_equal(u.integral, v.integral)
        assert (u.range, u.outside, u.furthest) == (v.range, v.outside, v.furthest)


CHANGES = {
    "source": lambda d: write(d / "in" / "c1.vtu", case(7)),
    "output": lambda d: write(d / "out" / "c1.vtu", case(7)),
    "output cut off": lambda d: (d / "out" / "c1.vtu").write_text("<VTKFile"),
    "output gone": lambda d: (d / "out" / "c1.vtu").unlink(),
    "line cut off": lambda d: (d / "out" / NAME).write_text(
        "\n".join(
            line[:80] if "c1.vtu" in line[:30] else line
            for line in (d / "out" / NAME).read_text().splitlines()
        )
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changed_is_carried_again(sources, tmp_path, name):
    run(sources[:3], tmp_path / "out")
    CHANGES[name](tmp_path)
    assert kept(run(sources[:3], tmp_path / "out")) == [True, False, True]
    expected, _ = resample(read(sources[1]), square(4))
    done = read(tmp_path / "out" / "c1.vtu")
    np.testing.assert_array_equal(done.point_data["u"], expected.point_data["u"])
    assert kept(run(sources[:3], tmp_path / "out")) == [True] * 3


def test_options_and_the_target_count(sources, tmp_path):
    folder = tmp_path / "out"
    run(sources[:2], folder)
    assert kept(run(sources[:2], folder, outside="error", fields=())) == [True] * 2
    assert kept(run(sources[:2], folder, "conservative")) == [False] * 2
    assert kept(run(sources[:2], folder, "conservative", fields=["u"])) == [False] * 2
    write(tmp_path / "t.vtu", square(3))
    outcomes = run(sources[:2], folder, "conservative", fields=["u"])
    assert kept(outcomes) == [False] * 2
    assert len(read(outcomes[0].output).points) == 16


def test_files_that_a_source_names_count_as_well(tmp_path):
    """The arrays of an XDMF file stand in the .h5 file, its text stays the same."""
    (tmp_path / "in").mkdir()
    source = tmp_path / "in" / "a.xdmf"
    write(tmp_path / "t.vtu", square(4))
    write(source, case(0))
    text = source.read_text()
    run([source], tmp_path / "out")
    assert kept(run([source], tmp_path / "out")) == [True]
    write(source, case(2))
    assert source.read_text() == text
    assert kept(run([source], tmp_path / "out")) == [False]


def test_an_interrupted_run_goes_on(sources, tmp_path):
    folder = tmp_path / "out"

    def interrupt(outcome: Outcome) -> None:
        if outcome.source.stem == "c1":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(sources[:4], folder, report=interrupt)
    assert sorted(contents(folder)) == ["c0.vtu", "c1.vtu", NAME]
    # what a killed process leaves: a file half-written, in a folder with this name
    (folder / ".c2.vtu.x1y2").mkdir()
    (folder / ".c2.vtu.x1y2" / "c2.vtu").write_text("<VTKFile")
    assert kept(run(sources[:4], folder)) == [True, True, False, False]
    names = [f"c{number}.vtu" for number in range(4)]
    assert sorted(contents(folder)) == [*names, NAME]


def test_a_file_that_cannot_be_written_whole_is_not_there(
    sources, tmp_path, monkeypatch
):
    """The disk is full in the middle of the second file."""
    count = []

    def limited(path: Path, mesh: Mesh, **options: Any) -> None:
        count.append(path)
        if len(count) == 2:
            mesh = mesh.with_point_data({"u": mesh.points * 1j})  # half-way, an error
        write(path, mesh, **options)

    monkeypatch.setattr(carrier, "write", limited)
    outcomes = run(sources[:3], tmp_path / "out")
    assert [bool(outcome.error) for outcome in outcomes] == [False, True, False]
    assert sorted(contents(tmp_path / "out")) == ["c0.vtu", "c2.vtu", NAME]


def test_a_file_of_an_earlier_run_is_not_taken_for_a_new_one(sources, tmp_path):
    folder = tmp_path / "out"
    run(sources[:2], folder)
    before = contents(folder)
    outcomes = run(sources[:2], folder, fields=["w"])
    for outcome in outcomes:
        assert "no field 'w'" in outcome.error
        assert outcome.error.endswith(f"; {outcome.output} is from an earlier run")
    assert contents(folder) == before


@pytest.mark.parametrize("suffix", [".pvd", ".xdmf"])
def test_series_keep_all_steps(tmp_path, suffix):
    write(tmp_path / "t.vtu", square(4))
    paths = [tmp_path / f"s{number}.pvd" for number in range(2)]
    for number, path in enumerate(paths):
        write_series(
            path, MeshSeries(np.arange(3.0), lambda i, n=number: case(2 * i + n))
        )
    options: dict[str, Any] = {"series": True, "suffix": suffix}
    outcomes = run(paths, tmp_path / "out", "nearest", outside="nan", **options)
    assert kept(run(paths, tmp_path / "out", "nearest", outside="nan", **options)) == [
        True,
        True,
    ]
    for number, outcome in enumerate(outcomes):
        steps = read_series(outcome.output)
        assert len(steps) == 3
        expected, _ = resample(case(4 + number), square(4), "nearest")
        np.testing.assert_array_equal(
            steps[2].point_data["u"], expected.point_data["u"]
        )
        u = outcome.found["u", "points"]
        assert u.count == 3
        assert u.changed.startswith("step ")
        assert u.changed.endswith(f" of s{number}.pvd")


def test_one_target_for_each_source(sources, tmp_path):
    targets = [tmp_path / f"t{n}.vtu" for n in (2, 3)]
    for n, target in zip((2, 3), targets, strict=True):
        write(target, square(n))
    outcomes = resample_dataset(sources[:2], targets, tmp_path / "out")
    assert [len(read(outcome.output).points) for outcome in outcomes] == [9, 16]
    with pytest.raises(FormatError, match="one for each of 3 sources, got 2"):
        resample_dataset(sources[:3], targets, tmp_path / "out")


def test_failures_and_remarks_are_said_once(sources, tmp_path):
    write(sources[3], box(2).with_point_data({"u": np.zeros(27)}))
    smaller = Mesh(square(4).points / 2, square(4).cells)
    write(tmp_path / "t.vtu", smaller)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", TransferWarning)
        outcomes = run(sources, tmp_path / "out", "conservative")
    failures, remarks = (str(warning.message) for warning in said)
    assert failures.startswith(
        f"2 of 5 files were not carried; {sources[3]}: the source"
    )
    assert "on 3 of 5 files (in resampled.jsonl)" in remarks
    assert "75 % of the source's measure lies outside" in remarks
    assert "lies in 3-D and the target in 2-D" in outcomes[3].error
    lines = (tmp_path / "out" / NAME).read_text().splitlines()
    assert [json.loads(line)["output"] for line in lines] == [
        "c0.vtu",
        "c1.vtu",
        "c2.vtu",
    ]


def test_bad_requests_are_refused_before_any_work(sources, tmp_path):
    folder = tmp_path / "out"
    write(tmp_path / "c0.vtu", case(0))
    for words, options, message in (
        ([], {}, r"at least one source"),
        ([*sources[:1], tmp_path / "c0.vtu"], {}, r"both become .*out/c0\.vtu"),
        (sources, {"suffix": ".bdf"}, r"can be read but not written"),
        (sources, {"suffix": ".vtu", "series": True}, r"are not written as series"),
        (sources, {"suffix": ".pvd"}, r"not written, but by write_series"),
        (sources, {"workers": 0}, r"workers: expected at least 1, got 0"),
        (sources, {"method": "cubic"}, r"method: expected one of"),
        (sources, {"outside": "zero"}, r"outside: expected one of"),
    ):
        with pytest.raises(ValueError, match=message):
            run(words, folder, **options)
    with pytest.raises(FormatError, match=r"in/c0\.vtu: would be written over an inp"):
        resample_dataset(sources, tmp_path / "t.vtu", tmp_path / "in")
    with pytest.raises(FormatError, match=r"none\.vtu: no such file"):
        resample_dataset(sources, tmp_path / "none.vtu", folder)
    with pytest.raises(FormatError, match=r"is no folder and cannot be made"):
        resample_dataset(sources, tmp_path / "t.vtu", tmp_path / "a" / "b")
    assert sorted(path.name for path in sources[0].parent.iterdir()) == [
        path.name for path in sources
    ]


def test_threads_are_as_they_were(sources, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        carrier,
        "write",
        lambda path, mesh, **k: (
            seen.append(torch.get_num_threads()) or write(path, mesh, **k)
        ),
    )
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        run(sources[:1], tmp_path / "out")
        assert (seen, torch.get_num_threads()) == ([1], 3)
    finally:
        torch.set_num_threads(before)
