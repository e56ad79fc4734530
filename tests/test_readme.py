"""The programs and commands of the README run as they stand there."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isofield import Mesh
from isofield.cli import main
from isofield.generation import random_blob, square
from isofield.io import read, read_series, write, write_series
from isofield.series import MeshSeries

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SUFFIXES = (".vtu", ".msh", ".xdmf")


def blocks(language: str) -> list[str]:
    """The pieces of the README in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def loaded(mesh: Mesh, load: float) -> Mesh:
    """The fields that the program asks for, of a linear law."""
    x, y = mesh.points.T
    constants = {"load": load, "young_modulus": 2e5, "poisson_ratio": 0.3}
    fields = {name: np.full(len(x), value) for name, value in constants.items()}
    fields["displacement"] = load / 2e5 * np.stack([x, -0.3 * y], 1)
    fields["von_mises"] = load * (1 + x * y)
    return replace(mesh, point_data=fields)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """What the programs find: cases of three formats, and meshes without fields."""
    (tmp_path / "cases").mkdir()
    for seed in range(18):
        case = loaded(random_blob(seed, 3 + seed % 2), 90.0 + seed)
        write(tmp_path / "cases" / f"case{seed:02d}{SUFFIXES[seed % 3]}", case)
    write(tmp_path / "unseen.inp", random_blob(50, 4))
    fine = square(8)
    write(
        tmp_path / "fine.vtu", fine.with_point_data({"temperature": fine.points[:, 0]})
    )
    write(tmp_path / "coarse.inp", square(3))

    def step(number: int) -> Mesh:
        return fine.with_point_data({"temperature": fine.points[:, 0] + number})

    write_series(tmp_path / "run.xdmf", MeshSeries(np.arange(3.0), step))
    (tmp_path / "runs").mkdir()
    for number in range(2):
        write(tmp_path / "runs" / f"{number}.vtu", step(number))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assert_predicted(folder: Path) -> None:
    mesh = read(folder / "prediction.vtu")
    assert mesh.point_data["displacement_predicted"].shape == (len(mesh.points), 2)
    assert np.isfinite(mesh.point_data["von_mises_predicted"]).all()
    assert (folder / "plates.safetensors").stat().st_size > 0
    assert (folder / "prediction.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.filterwarnings("ignore::isofield.surrogate.ExtrapolationWarning")
def test_the_program_has_twenty_lines_and_runs(folder):
    """As it stands, but for the number of passes."""
    program = blocks("python")[0]
    assert "In twenty lines" in README
    assert len([line for line in program.splitlines() if line]) == 20
    schedule = "schedule=found.schedule"
    assert schedule in program
    short = "schedule=replace(found.schedule, epochs=1)"
    exec(program.replace(schedule, short), {"replace": replace})
    assert_predicted(folder)


def test_the_other_programs_run(folder):
    for program in blocks("python")[1:]:
        exec(program, {})
    assert list(read(folder / "coarse.vtu").point_data) == ["temperature"]
    assert len(read_series(folder / "coarse.pvd")) == 3


def test_the_commands_run(folder, capfd):
    """The first block of commands as it stands, but for the number of passes."""
    (text,) = [block for block in blocks("sh") if "isofield train" in block]
    for line in text.replace("\\\n", " ").splitlines():
        program, *words = shlex.split(line)
        assert program == "isofield"
        words += ["--epochs", "1"] if words[0] == "train" else []
        assert main(words) == 0, capfd.readouterr().err
    assert_predicted(folder)
    (text,) = [block for block in blocks("sh") if "isofield resample" in block]
    for line in text.splitlines():
        words = shlex.split(line.replace("--workers 2", "--workers 1"))[1:]
        assert main(words) == 0, capfd.readouterr().err
    assert len(list((folder / "carried").glob("*.vtu"))) == 2
    (inline,) = re.findall(r"`isofield (resample [^`]+)`", README)
    assert main(shlex.split(inline)) == 0, capfd.readouterr().err
