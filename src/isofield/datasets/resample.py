"""All fields of many mesh files on other meshes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Unpack

from isofield.datasets.receipts import NAME, note, noted
from isofield.datasets.task import Outcome, Recipe, Task
from isofield.datasets.workers import outcomes
from isofield.io import FormatError, read
from isofield.io.writing import written_by
from isofield.operators import TransferWarning
from isofield.resampling import Options
from isofield.resampling.checks import warn_of_faults
from isofield.resampling.resampler import check_options

Name = str | os.PathLike


def resample_dataset(
    sources: Iterable[Name],
    targets: Name | Sequence[Name],
    folder: Name,
    method: str = "linear",
    *,
    suffix: str | None = None,
    series: bool = False,
    step: int | None = None,
    lossy: bool = False,
    workers: int = 1,
    report: Callable[[Outcome], Any] | None = None,
    **options: Unpack[Options],
) -> list[Outcome]:
    """Carry the fields of each source file to a target, one file in `folder` for each.

    A file that cannot be carried stands in its outcome with the reason, and does not
    stop the others. Called again, files are left alone that were finished from the same
    content by the same options, method and version; `folder`/resampled.jsonl says which
    these are. Files appear when they are whole. One run at a time may use a folder.

    sources : mesh files. targets : one mesh file, or one for each source. folder : made
    where it is not there. The names are those of the sources, with `suffix`, by default
    .vtu, or .pvd for series. series : all steps of each file, else the one of the
    number `step`, else the last. workers : processes; the results do not depend on how
    many. Call from a file under `if __name__ == "__main__":` where there are several.
    report : called with each outcome as it comes. method, options : as for `resample`;
    lossy : as for `write`.

    Returns the outcomes in the order of the sources; a `TransferWarning` counts the
    failures. Raises `FormatError` where a target cannot be read, two outputs had the
    same name, or one that of an input.
    """
    outside, partial = (
        options.get("outside", "error"),
        options.get("partial", "overlap"),
    )
    check_options(method, outside, partial)
    if workers < 1:
        raise ValueError(f"workers: expected at least 1, got {workers}")
    suffix = suffix or (".pvd" if series else ".vtu")
    tasks = _tasks(list(map(Path, sources)), targets, Path(folder), suffix)
    written_by(tasks[0].output, "series_writer" if series else "write")
    alone = len({task.target for task in tasks}) == 1
    if alone:
        # what is wrong with the one target is said, or raised, once
        warn_of_faults("target", read(tasks[0].target, check=False))
    recipe = Recipe(method, options, series, step, lossy, checked=alone)
    made = {}
    for outcome in outcomes(tasks, recipe, workers):
        if outcome.receipt is not None:
            note(Path(folder), outcome.output.name, outcome.receipt)
        made[outcome.output] = outcome
        if report is not None:
            report(outcome)
    noted(Path(folder))
    found = [made[task.output] for task in tasks]
    _say(found)
    return found


def _tasks(
    sources: Sequence[Path], targets: Name | Sequence[Name], folder: Path, suffix: str
) -> list[Task]:
    """One for each source, with what is noted in the folder, which is made."""
    if not sources:
        raise FormatError("expected at least one source file, got none")
    if isinstance(targets, str | os.PathLike):
        targets = [targets] * len(sources)
    if len(targets) != len(sources):
        raise FormatError(
            f"targets: expected one file, or one for each of {len(sources)} sources, "
            f"got {len(targets)}"
        )
    names = [f"{source.stem}{suffix}" for source in sources]
    first: dict[str, Path] = {}
    for name, source in zip(names, sources, strict=True):
        if name in first:
            raise FormatError(
                f"{first[name]} and {source} would both become {folder / name}: give "
                "them different names"
            )
        first[name] = source
    inputs = {path.resolve() for path in (*sources, *map(Path, targets))}
    for name in names:
        if (folder / name).resolve() in inputs:
            raise FormatError(
                f"{folder / name}: would be written over an input; take another folder"
            )
    if not folder.is_dir():
        if folder.exists() or not folder.parent.is_dir():
            raise FormatError(f"{folder}: is no folder and cannot be made")
        folder.mkdir()
    receipts = noted(folder)
    return [
        Task(source, Path(target), folder / name, receipts.get(name))
        for source, target, name in zip(sources, targets, names, strict=True)
    ]


def _say(found: Sequence[Outcome]) -> None:
    """One warning for all failures, and one for all remarks."""
    failed = [one for one in found if one.error]
    if failed:
        warnings.warn(
            f"{len(failed)} of {len(found)} files were not carried; {failed[0].error}",
            TransferWarning,
            stacklevel=3,
        )
    remarked = [one for one in found if one.remarks]
    if remarked:
        warnings.warn(
            f"there are remarks on {len(remarked)} of {len(found)} files (in {NAME}), "
            f"the first on {remarked[0].source}: {remarked[0].remarks[0]}",
            TransferWarning,
            stacklevel=3,
        )
