"""Carries one file after the other, in one process."""

from __future__ import annotations

import glob
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from isofield.datasets.fingerprint import fingerprint, joined
from isofield.datasets.task import Outcome, Receipt, Recipe, Task
from isofield.io import read, read_series, write, write_series
from isofield.io.door import READER_FAILURES
from isofield.mesh import Mesh
from isofield.resampling import Carried, Found, Latest, Together, stepped, together
from isofield.resampling.checks import warn_of_faults


class Carrier:
    """Makes the outcome of each task. Holds the last target and its operators, which
    serve the next file where it has the same mesh."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.target: Path | None = None
        self.target_key = ""
        self.latest: Latest | None = None

    def __call__(self, task: Task) -> Outcome:
        """The outcome of one file; what goes wrong with it stands in there."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", UserWarning)
            try:
                outcome = self._done(task)
            except READER_FAILURES as error:
                reason = _line(error, task.source)
                if task.output.exists():
                    reason += f"; {task.output} is from an earlier run"
                return Outcome(task.source, task.output, error=reason)
        remarks = tuple(dict.fromkeys(str(warning.message) for warning in caught))
        if outcome.receipt is None or outcome.kept:
            return outcome
        receipt = Receipt(
            outcome.receipt.key, outcome.receipt.made, outcome.found, remarks
        )
        return Outcome(
            task.source, task.output, False, outcome.found, remarks, "", receipt
        )

    def _done(self, task: Task) -> Outcome:
        latest = self._latest(task.target)
        series = self.recipe.series or self.recipe.step is not None
        source = fingerprint(task.source, series)
        key = joined(source, self.target_key, self.recipe.text)
        if self._finished(task, key) and task.receipt is not None:
            found, remarks = task.receipt.found, task.receipt.remarks
            return Outcome(task.source, task.output, True, found, remarks)
        swept(task.output)
        found = self._carried(task, latest)
        made = fingerprint(task.output, self.recipe.series)
        receipt = Receipt(key, made, found)
        return Outcome(task.source, task.output, found=found, receipt=receipt)

    def _latest(self, target: Path) -> Latest:
        if self.latest is None or target != self.target:
            self.latest, self.target = None, target
            self.target_key = fingerprint(target)
            mesh = read(target, check=False)
            if not self.recipe.checked:
                warn_of_faults("target", mesh)
            self.latest = Latest(mesh, self.recipe.method, self.recipe.options)
        return self.latest

    def _finished(self, task: Task, key: str) -> bool:
        """Whether the output is there, whole, and of the same content and options."""
        if task.receipt is None or task.receipt.key != key:
            return False
        try:
            return fingerprint(task.output, self.recipe.series) == task.receipt.made
        except READER_FAILURES:
            return False

    def _carried(self, task: Task, latest: Latest) -> Found:
        """Write the output; what became of the fields."""
        name = task.source.name
        if not self.recipe.series:
            mesh, report = latest(self._read(task.source))
            write(task.output, mesh, lossy=self.recipe.lossy)
            return together(*(Together.of(name, one) for one in report))
        found: Found = {}

        def add(number: int, report: list[Carried]) -> None:
            nonlocal found
            new = (Together.of(f"step {number} of {name}", one) for one in report)
            found = together(*found.values(), *new)

        series = stepped(read_series(task.source), latest, add)
        write_series(task.output, series, lossy=self.recipe.lossy)
        return found

    def _read(self, path: Path) -> Mesh:
        if self.recipe.step is None:
            return read(path, check=False)
        return read_series(path)[self.recipe.step]


def swept(output: Path) -> None:
    """Remove what a process that was ended left beside an output."""
    for folder in output.parent.glob(f".{glob.escape(output.name)}.*"):
        if folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums of floating point numbers depend on the number of threads that add them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _line(error: BaseException, source: Path) -> str:
    """The message as one line, with its kind where it was not written for users."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.filename and error.strerror:
        text = f"{error.filename}: {error.strerror}"
    elif not type(error).__module__.startswith("isofield."):
        text = f"{type(error).__name__}: {text}"
    return text if text.startswith(str(source)) else f"{source}: {text}"
