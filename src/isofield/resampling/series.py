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
    warn_of_faults("target", target)
    return stepped(series, Latest(target, method, options), report)


class Latest:
    """Carries meshes one after the other, with the operators of the last one where they
    fit; of all that came before nothing is kept. resampler : these operators."""

    def __init__(self, target: Mesh, method: str, options: Options) -> None:
        self.target, self.method, self.options = target, method, options
        self.resampler: Resampler | None = None

    def __call__(self, mesh: Mesh) -> tuple[Mesh, list[Carried]]:
        """The target with the fields of a mesh, and what became of each."""
        if self.resampler is None or not self.resampler.fits(mesh):
            self.resampler = None  # two sets of operators never stand side by side
            warn_of_faults("source", mesh)
            self.resampler = Resampler(mesh, self.target, self.method, **self.options)
        return self.resampler(mesh)


def stepped(
    series: MeshSeries, latest: Latest, report: Report | None = None
) -> MeshSeries:
    """`resample_series` by operators that may be there already."""
    came_before = False

    def step(number: int) -> Mesh:
        nonlocal came_before
        mesh, name = series[number], f"step {number} (time {series.times[number]:g})"
        last = latest.resampler
        if came_before and last is not None and not last.fits(mesh):
            warnings.warn(
                f"{name}: the mesh is another than before "
                f"({_difference(last.source, mesh)}), its operators are built anew",
                TransferWarning,
                stacklevel=2,
            )
        del last
        came_before = True
        try:
            result, carried = latest(mesh)
        except TransferError as error:
            raise TransferError(f"{name}: {error}") from error
        if report is not None:
            report(number, carried)
        return result

    return MeshSeries(series.times, step)


def _difference(before: Mesh, after: Mesh) -> str:
    if len(before.points) != len(after.points):
        return f"{len(before.points)} points, now {len(after.points)}"
    if before.points.shape != after.points.shape:
        return f"{before.points.shape[1]}-D, now {after.points.shape[1]}-D"
    moved = int((before.points != after.points).any(1).sum())
    return (
        f"{moved} of {len(after.points)} points have moved" if moved else "other cells"
    )
