"""All steps of a time series on another mesh, one at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Unpack

from isofield.mesh import Mesh
from isofield.operators import TransferError, TransferWarning
from isofield.resampling.carried import Carried
from isofield.resampling.checks import warn_of_faults
from isofield.resampling.resampler import Options, Resampler, check_options
from isofield.series import MeshSeries

Report = Callable[[int, list[Carried]], Any]


def resample_series(
    series: MeshSeries,
    target: Mesh,
    method: str = "linear",
    *,
    report: Report | None = None,
    **options: Unpack[Options],
) -> MeshSeries:
    """The series of the target mesh with the fields of each step.

    A step is read and carried when it is asked for, and nothing of it is kept; the
    operators are built at the first and serve all of them. Where the points or cells of
    the source are not those of the step before, the operators are built anew, with a
    `TransferWarning` that names the step.

    method, options : as for `resample`. report : called with the number of each step
    and what became of its fields.

    Raises `TransferError` as `resample` does, when the step is asked for; its message
    begins with the number of the step.
    """
    outside, partial = (
        options.get("outside", "error"),
        options.get("partial", "overlap"),
    )
    check_options(method, outside, partial)
    return MeshSeries(series.times, _Steps(series, target, method, options, report))


class _Steps:
    """Steps by their number; holds the operators for the mesh that came last."""

    def __init__(
        self,
        series: MeshSeries,
        target: Mesh,
        method: str,
        options: Options,
        report: Report | None,
    ) -> None:
        self.series, self.target, self.report = series, target, report
        self.method, self.options = method, options
        self.resampler: Resampler | None = None

    def __call__(self, number: int) -> Mesh:
        mesh = self.series[number]
        try:
            result, carried = self._for(mesh, number)(mesh)
        except TransferError as error:
            raise TransferError(f"{self._named(number)}: {error}") from error
        if self.report is not None:
            self.report(number, carried)
        return result

    def _for(self, mesh: Mesh, number: int) -> Resampler:
        """The operators that fit this mesh."""
        if self.resampler is not None and self.resampler.fits(mesh):
            return self.resampler
        if self.resampler is None:
            warn_of_faults("target", self.target)
        else:
            warnings.warn(
                f"{self._named(number)}: the mesh is another than before "
                f"({_difference(self.resampler.source, mesh)}), its operators are "
                "built anew",
                TransferWarning,
                stacklevel=4,
            )
        self.resampler = None  # two sets of operators never stand side by side
        warn_of_faults("source", mesh)
        self.resampler = Resampler(mesh, self.target, self.method, **self.options)
        return self.resampler

    def _named(self, number: int) -> str:
        return f"step {number} (time {self.series.times[number]:g})"


def _difference(before: Mesh, after: Mesh) -> str:
    if len(before.points) != len(after.points):
        return f"{len(before.points)} points, now {len(after.points)}"
    if before.points.shape != after.points.shape:
        return f"{before.points.shape[1]}-D, now {after.points.shape[1]}-D"
    moved = int((before.points != after.points).any(1).sum())
    return (
        f"{moved} of {len(after.points)} points have moved" if moved else "other cells"
    )
