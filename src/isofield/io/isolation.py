"""Readers that may end the process, run in a child with a time limit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from isofield.io.registry import Format, FormatError, MeshWarning, formats
from isofield.mesh import Mesh
from isofield.series import MeshSeries

TIME_LIMIT = 300.0  # seconds for one file or step
PARTS = (
    "cells",
    "point_data",
    "cell_data",
    "field_data",
    "point_sets",
    "cell_sets",
    "facet_sets",
)


def read_in_child(chosen: Format, path: Path, limit: float = TIME_LIMIT) -> Mesh:
    """`chosen.read(path)`, run in a child process.

    Raises `FormatError` where the reader fails, ends its process or needs longer than
    `limit` seconds.
    """
    return restored(_child(chosen, path, "read", limit))


def series_in_child(
    chosen: Format, path: Path, limit: float = TIME_LIMIT
) -> MeshSeries:
    """`chosen.series(path)`, the times and each step read in child processes."""
    times = _child(chosen, path, "times", limit)["times"]

    def step(number: int) -> Mesh:
        return restored(_child(chosen, path, str(number), limit))

    return MeshSeries(times, step)


def _child(chosen: Format, path: Path, task: str, limit: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.npz"
        command = [sys.executable, "-m", __name__, chosen.name, path, task, result]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                [str(part) for part in command],
                capture_output=True,
                timeout=limit,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise FormatError(
                f"the reader did not end within {limit:g} s and was stopped; the file "
                "is damaged or very large"
            ) from error
        if not result.exists():
            raise FormatError(_last_words(done.returncode, done.stderr))
        with np.load(result, allow_pickle=False) as stored:
            content = dict(stored)
    notes = json.loads(str(content.pop("notes")))
    if "error" in notes:
        raise FormatError(notes["error"])
    for remark in notes["warnings"]:
        warnings.warn(remark, MeshWarning, stacklevel=3)
    return content


def _last_words(code: int, errors: bytes) -> str:
    if code < 0:
        return (
            f"the reader ended its process ({signal.Signals(-code).name}); the file is "
            "damaged or holds what the reader does not know"
        )
    lines = errors.decode(errors="replace").strip().splitlines() or ["no message"]
    return f"the reader ended its process with code {code}: {lines[-1]}"


def stored(mesh: Mesh) -> dict[str, np.ndarray]:
    """The mesh as plain arrays under numbered names, the true names in `"names"`."""
    arrays: dict[str, np.ndarray] = {"points": mesh.points}
    names: list[tuple[str, str]] = []
    for part in PARTS:
        values: Mapping[str, Any] = getattr(mesh, part)
        for name, value in values.items():
            arrays[f"array{len(names)}"] = np.asarray(value)
            names.append((part, name))
    return {**arrays, "names": np.array(json.dumps(names))}


def restored(arrays: Mapping[str, np.ndarray]) -> Mesh:
    parts: dict[str, dict[str, Any]] = {part: {} for part in PARTS}
    for number, (part, name) in enumerate(json.loads(str(arrays["names"]))):
        value = arrays[f"array{number}"]
        text = value.dtype.kind == "U" and value.ndim == 0
        parts[part][name] = str(value) if text else value
    return Mesh(arrays["points"], **parts)


def _serve(name: str, path: Path, task: str, result: Path) -> None:
    """What the child does: read, and leave the outcome in `result`."""
    from isofield.io.door import READER_FAILURES

    (chosen,) = [one for one in formats(path) if one.name == name]
    content: dict[str, np.ndarray] = {}
    notes: dict[str, Any] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            if task == "read" and chosen.read is not None:
                content = stored(chosen.read(path))
            elif chosen.series is not None:
                series = chosen.series(path)
                is_times = task == "times"
                content = (
                    {"times": series.times} if is_times else stored(series[int(task)])
                )
        except READER_FAILURES as error:
            notes["error"] = f"{' '.join(str(error).split()) or type(error).__name__}"
    notes["warnings"] = [
        str(one.message) for one in caught if issubclass(one.category, MeshWarning)
    ]
    unfinished = result.with_suffix(".part.npz")
    np.savez(unfinished, notes=np.array(json.dumps(notes)), **content)  # pyright: ignore[reportArgumentType]
    unfinished.rename(result)


if __name__ == "__main__":
    _serve(sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
