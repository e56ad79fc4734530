"""Samples as files: made once, side by side, taken up where they were interrupted."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

from rich.progress import track

from isofield import Mesh
from isofield.files import replaced
from isofield.io import read, write
from tests.benchmarks.learning.cases import Case, Task

FOLDER = Path("benchmark-data")
TASKS = (
    "poisson_disc",
    "heat_plates",
    "unit_cells",
    "heat_sink",
    "screened_surfaces",
    "transport",
)
PROCESSES = 2


def task(name: str) -> Task:
    """The task of this name."""
    if name not in TASKS:
        raise ValueError(f"task: expected one of {', '.join(TASKS)}, got {name!r}")
    return import_module(f"tests.benchmarks.learning.{name}").TASK


def samples(
    name: str, part: str, folder: Path = FOLDER, processes: int = PROCESSES
) -> list[Mesh]:
    """The samples of a form of training or of a test set, made where they are missing.

    name : of the task. part : a key of its `train` or `tests`.

    Raises `ValueError` where a file was made from another case: the task has changed.
    """
    found = task(name)
    parts = {**found.train, **found.tests}
    if part not in parts:
        raise ValueError(f"part: expected one of {', '.join(parts)}, got {part!r}")
    paths = made(name, {part: parts[part]}, folder, processes)
    return [_checked(*pair) for pair in zip(paths, parts[part], strict=True)]


def made(
    name: str,
    parts: Mapping[str, Sequence[Case]],
    folder: Path = FOLDER,
    processes: int = PROCESSES,
) -> list[Path]:
    """The files of all cases of these parts, those that are missing made now."""
    jobs = [
        (case, folder / name / part.replace(" ", "-").replace(",", "") / f"{i:03d}.vtu")
        for part, cases in parts.items()
        for i, case in enumerate(cases)
    ]
    missing = [job for job in jobs if not job[1].is_file()]
    # equal shapes one after the other: their truth is solved for once
    missing.sort(key=lambda job: (job[0].shapes, job[0].seed))
    for path in {path.parent for _, path in missing}:
        path.mkdir(parents=True, exist_ok=True)
    work = partial(_make, name)
    if min(processes, len(missing)) > 1:
        # spawned: a forked process would inherit the locks of torch's threads
        with multiprocessing.get_context("spawn").Pool(processes, _one_thread) as pool:
            done = pool.imap_unordered(work, missing, chunksize=4)
            for _ in track(done, name, total=len(missing)):
                pass
    else:
        for job in track(missing, name, disable=not missing):
            work(job)
    return [path for _, path in jobs]


def _make(name: str, job: tuple[Case, Path]) -> None:
    case, path = job
    mesh = task(name).sample(case)
    kept = Mesh(
        mesh.points, mesh.cells, mesh.point_data, field_data={"case": str(case)}
    )
    replaced(path, lambda file: write(file, kept))


def _checked(path: Path, case: Case) -> Mesh:
    mesh = read(path)
    if mesh.field_data.get("case") != str(case):
        raise ValueError(
            f"{path}: made from {mesh.field_data.get('case')}, expected {case}; delete "
            f"the folder {path.parent} to make it anew"
        )
    return mesh


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
