"""Reads every real mesh file in a folder and writes what came of it to formats.md.

    python docs/formats.py [FOLDER]

Each file is read in a child process with a time limit, two at a time, so that a reader
that ends its process or hangs is counted as such. A file counts as read where its
points are finite, it has cells, and the measure of its cells is positive.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / "shared" / "data"
ENDINGS = [
    "e",
    "exo",
    "vtu",
    "vtk",
    "msh",
    "inp",
    "cgns",
    "cdb",
    "xdmf",
    "su2",
    "med",
    "bdf",
    "off",
    "obj",
    "ply",
    "stl",
    "vtp",
    "pvd",
]
LIMIT = 120.0  # seconds for one file
PROCESSES = 2


def files(folder: Path) -> list[Path]:
    """The files with these endings, sorted."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower()[1:] in ENDINGS and path.is_file()
    )


def outcome(path: Path, isolate: bool) -> dict[str, Any]:
    """What reading the file gives: the counts of a mesh, or the error in one line."""
    from isofield.io import FormatError, MeshWarning, read

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MeshWarning)
        try:
            mesh = read(path, isolate=isolate)
        except FormatError as error:
            return {"error": str(error).removeprefix(f"{path}: ")}
    report = mesh.validate()
    found = {
        "reader": _reader(path),
        "points": len(mesh.points),
        "cells": report.n_cells,
        "orphan": len(report.orphan_points),
        "zero": len(report.zero_cells),
        "inverted": len(report.inverted_cells),
        "fields": len(mesh.point_data) + len(mesh.cell_data),
    }
    if len(report.nonfinite_points):
        return {"error": f"{len(report.nonfinite_points)} points are not finite"}
    if mesh.dimension > 0 and not _measure(mesh) > 0:
        return {"error": f"read, but all of its {report.n_cells} cells measure 0"}
    return found


def _reader(path: Path) -> str:
    """The name of the format that reads the file."""
    from isofield.io.registry import formats

    candidates = formats(path)
    claiming = [c for c in candidates if c.claims is not None and c.claims(path)]
    return (claiming or candidates[-1:])[0].name


def _measure(mesh: Any) -> float:
    import torch

    from isofield.cells import CELL_TYPES
    from isofield.quadrature import cell_measures

    points = torch.tensor(mesh.points)
    return sum(
        float(cell_measures(points, torch.tensor(nodes), kind).sum())
        for kind, nodes in mesh.cells.items()
        if CELL_TYPES[kind].dimension == mesh.dimension
    )


def _serve() -> None:
    """What a child does: one path a line in, one outcome a line out."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a reader prints is no outcome
    for line in sys.stdin:
        path, isolate = json.loads(line)
        out.write(json.dumps(outcome(Path(path), isolate)) + "\n")
        out.flush()


class Child:
    """A process that reads one file after another and is started anew when it dies."""

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None

    def ask(self, path: Path, isolate: bool) -> dict[str, Any] | None:
        """The outcome; None where the process died or was late and was stopped."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, __file__, "--serve"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        process = self.process
        timer = threading.Timer(LIMIT, process.kill)
        timer.start()
        try:
            process.stdin.write(json.dumps([str(path), isolate]) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if line:
            return json.loads(line)
        self.close()
        return None

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
            self.process.stdout.close()
            self.process = None


def survey(folder: Path, progress: Any = None) -> dict[str, dict[str, Any]]:
    """Relative path -> outcome, for every file.

    Readers that can die run inside the child at first, which is faster; where it dies,
    the file is read again as users do, in a process of its own.
    """
    found: dict[str, dict[str, Any]] = {}
    pending = iter(files(folder))
    lock = threading.Lock()

    def work() -> None:
        with contextlib.closing(Child()) as child:
            while True:
                with lock:
                    path = next(pending, None)
                if path is None:
                    return
                result = child.ask(path, False) or child.ask(path, True)
                died = {"died": True, "error": "the process died or hung"}
                with lock:
                    found[path.relative_to(folder).as_posix()] = result or died
                    if progress is not None:
                        progress()

    with ThreadPoolExecutor(PROCESSES) as pool:
        for task in [pool.submit(work) for _ in range(PROCESSES)]:
            task.result()
    return dict(sorted(found.items()))


def text(found: dict[str, dict[str, Any]]) -> str:
    """The page: the formats, the counts by ending, and what is not read and why."""
    return "\n".join([*_head(), *_formats(), *_counts(found), *_refused(found)]) + "\n"


def _head() -> Iterator[str]:
    yield "# Mesh files"
    yield ""
    yield "Written by `python docs/formats.py`; do not edit."
    yield ""


def _formats() -> Iterator[str]:
    from isofield.cells import CELL_TYPES
    from isofield.io.registry import all_formats

    yield "## What each format reads, writes and holds"
    yield ""
    yield (
        "What a format holds comes back bit-equal after writing and reading. What it "
        "does not hold is an error before a file is touched, unless it is written "
        "with `lossy=True`, which leaves it out and warns."
    )
    yield ""
    yield "| format | endings | read | written | series read | series written |"
    yield "|---|---|---|---|---|---|"
    for one in all_formats():
        marks = (one.read, one.write, one.series, one.series_writer)
        words = " | ".join("yes" if mark else "no" for mark in marks)
        yield f"| {one.name} | {' '.join(one.suffixes)} | {words} |"
    yield ""
    yield (
        "An OpenFOAM case is named by its folder, by its `polyMesh` folder or by the "
        "file `case.foam` that ParaView asks for, which may be empty. It is read with "
        "the extra `formats`: the cells, and the patches as facet sets; general "
        "polyhedra are refused, and the fields of the time folders are not read."
    )
    yield ""
    yield "| written | cell types | point data | cell data | field data | sets | lost |"
    yield "|---|---|---|---|---|---|---|"
    for one in all_formats():
        if one.write is None:
            continue
        holds = one.holds
        absent = [kind for kind in CELL_TYPES if kind not in holds.cells]
        few = ", ".join(kind for kind in CELL_TYPES if kind in holds.cells)
        cells = "all" if not absent else few
        if absent and len(absent) < len(holds.cells):
            cells = f"all but {', '.join(absent)}"
        sets = [
            name.removesuffix("_sets")
            for name in ("point_sets", "cell_sets", "facet_sets")
            if getattr(holds, name) is not None
        ]
        data = [_held(a) for a in (holds.point_data, holds.cell_data, holds.field_data)]
        row = [
            one.name,
            cells,
            *data,
            ", ".join(sets) or "none",
            holds.loses or "nothing",
        ]
        yield f"| {' | '.join(row)} |"
    yield ""


def _held(arrays: Any) -> str:
    """The dtypes and shapes of an array rule, in words."""
    from isofield.io.registry import FLOATS, INTEGERS

    if arrays is None:
        return "none"
    known = {"floats": FLOATS, "integers": INTEGERS}
    names = [word for word, group in known.items() if group <= arrays.dtypes]
    rest = arrays.dtypes - frozenset().union(*(known[name] for name in names))
    rows = {"scalars": (), "vectors": (3,), "tensors": (3, 3), "other rows": (5,)}
    shapes = [word for word, row in rows.items() if arrays.shapes(row)]
    rank = "any shape" if len(shapes) == len(rows) else ", ".join(shapes)
    return f"{', '.join([*names, *sorted(rest)])}; {rank}"


def _counts(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield "## Real files, read one by one"
    yield ""
    total = len(found)
    good = [one for one in found.values() if "error" not in one]
    died = sum("died" in one for one in found.values())
    yield (
        f"Of {total} files that other programs wrote, {len(good)} "
        f"({100 * len(good) / max(total, 1):.1f} %) read into a mesh with finite "
        f"points, cells and a positive measure; {total - len(good) - died} give an "
        f"error of one line; {died} end or hang the process. Orphan points, cells of "
        f"zero measure and inverted cells are counted, not refused: `mesh.validate()` "
        f"lists them, `mesh.mended()` mends them."
    )
    yield ""
    yield (
        "| ending | files | read | reader | with orphans | with zero-measure cells | "
        "with inverted cells |"
    )
    yield "|---|---|---|---|---|---|---|"
    for ending in ENDINGS:
        own = [v for k, v in found.items() if k.lower().endswith(f".{ending}")]
        read = [one for one in own if "error" not in one]
        names: dict[str, int] = {}
        for one in read:
            names[one["reader"]] = names.get(one["reader"], 0) + 1
        readers = ", ".join(f"{name} {count}" for name, count in names.items())
        flaws = [
            sum(one[f] > 0 for one in read) for f in ("orphan", "zero", "inverted")
        ]
        row = [f".{ending}", len(own), len(read), readers, *flaws]
        yield f"| {' | '.join(map(str, row))} |"
    yield ""


def _refused(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield "## Files that are not read, and why"
    yield ""
    yield "| file | reason |"
    yield "|---|---|"
    for name, one in found.items():
        if "error" in one:
            reason = one["error"].replace("|", "\\|")
            yield f"| {name} | {reason} |"


def main() -> None:
    from rich.console import Console
    from rich.progress import track

    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    if not folder.is_dir():
        sys.exit(f"there is no folder {folder}")
    steps = iter(track(files(folder), description="reading"))
    found = survey(folder, lambda: next(steps, None))
    next(steps, None)
    (HERE / "formats.md").write_text(text(found), encoding="utf-8")
    good = sum("error" not in one for one in found.values())
    Console().print(f"{good} of {len(found)} files read; see docs/formats.md")


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        _serve()
    else:
        main()
