"""`isofield resample`: the fields of mesh files on the mesh of another."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isofield.cli import files
from isofield.cli.bars import bar
from isofield.cli.closing import by_options, line, show
from isofield.cli.reporting import CommandError, few_warnings

if TYPE_CHECKING:
    from isofield.datasets import Outcome
    from isofield.resampling import Carried, Options, Together

METHODS = ("linear", "conservative", "nearest", "mls", "l2")


def resample(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE... TARGET",
            help="Mesh files with fields (files, folders or patterns), and last the "
            "mesh file to carry them to.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Mesh file to write; of several sources, the folder for their files.",
            readable=False,
        ),
    ],
    method: Annotated[
        str, typer.Option("--method", help=f"One of {', '.join(METHODS)}.")
    ] = "linear",
    fields: Annotated[
        str, typer.Option("--fields", help="Names, with commas between; all if none.")
    ] = "",
    outside: Annotated[
        str, typer.Option("--outside", help="Points outside: error, nearest or nan.")
    ] = "error",
    masked: Annotated[
        bool, typer.Option("--masked", help="Leave out values that are not finite.")
    ] = False,
    max_distance: Annotated[
        float | None,
        typer.Option("--max-distance", help="How far from a surface, length."),
    ] = None,
    partial: Annotated[
        str,
        typer.Option("--partial", help="Cells covered in part: overlap or whole."),
    ] = "overlap",
    series: Annotated[
        bool,
        typer.Option(
            "--series", help="All time steps, to .pvd or .xdmf; goes without for .pvd."
        ),
    ] = False,
    step: files.Step = None,
    suffix: Annotated[
        str,
        typer.Option(
            "--suffix",
            help="Of the files in a folder; without it .vtu, or .pvd with --series.",
            show_default=False,
        ),
    ] = "",
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Processes for several sources.")
    ] = 1,
    lossy: files.Lossy = False,
) -> None:
    """Carry the fields of mesh files to the mesh of another.

    Fields at points come to points, fields at cells to cells. Labels (integers) take
    the nearest value, or the majority by overlap. What a run into a folder had finished
    when it was interrupted is kept by the next.

    Example: isofield resample fine.vtu coarse.inp -o coarse.vtu --method conservative
    """
    for name, value, known in (
        ("--method", method, METHODS),
        ("--outside", outside, ("error", "nearest", "nan")),
        ("--partial", partial, ("overlap", "whole")),
    ):
        if value not in known:
            raise typer.BadParameter(
                f"{name}: expected {', '.join(known)}, got {value}"
            )
    if len(names) < 2:
        raise typer.BadParameter("expected a SOURCE and a TARGET, got one name")
    *given, target = names
    options: Options = {
        "fields": [name for name in fields.split(",") if name],
        "outside": outside,
        "masked": masked,
        "max_distance": max_distance,
        "partial": partial,
    }
    series = series or ".pvd" in (output.suffix.lower(), suffix)
    if series and step is not None:
        raise typer.BadParameter("--step takes one time step, --series all: choose one")
    work = _Work(Path(target), output, method, options, lossy)
    if files.is_many(given, output):
        work.folder(given, suffix, series, step, workers)
        return
    if suffix or workers > 1:
        raise typer.BadParameter(
            "--suffix and --workers are for several sources and a folder OUT"
        )
    if series:
        work.series(Path(given[0]))
    else:
        work.file(Path(given[0]), step)


class _Work:
    """What all three ways share."""

    def __init__(
        self, target: Path, output: Path, method: str, options: Options, lossy: bool
    ) -> None:
        self.target, self.output = target, output
        self.method, self.options, self.lossy = method, options, lossy

    def file(self, source: Path, step: int | None) -> None:
        """One mesh."""
        files.check_mesh_output(self.output)
        from isofield.resampling import Together, resample

        given = files.opened(source, step, check=False)
        wanted = files.opened(self.target, check=False)
        title = f"Carrying fields to {self.target.name}"
        with bar(title), _in_words(f"{source} to {self.target}"):
            mesh, report = resample(given, wanted, self.method, **self.options)
        files.save(self.output, mesh, self.lossy)
        for carried in report:
            typer.echo(line(Together.of("", carried), ""))
        typer.echo(f"{self.output}: {files.described(mesh)}")

    def series(self, source: Path) -> None:
        """All steps of a file."""
        files.check_series_output(self.output)
        from isofield.io import read_series
        from isofield.resampling import Together, resample_series, together

        found: dict[Any, Together] = {}
        given, wanted = read_series(source), files.opened(self.target, check=False)

        def add(number: int, report: list[Carried]) -> None:
            new = (Together.of(f"step {number}", carried) for carried in report)
            found.update(together(*found.values(), *new))
            advance()

        with (
            _in_words(f"{source} to {self.target}"),
            few_warnings(),
            bar(f"Carrying steps to {self.target.name}", len(given)) as advance,
        ):
            carried = resample_series(
                given, wanted, self.method, report=add, **self.options
            )
            files.save_series(self.output, carried, self.lossy)
        show(found, "steps")
        typer.echo(f"{self.output}: {len(given)} steps of {files.described(wanted)}")

    def folder(
        self,
        names: list[str],
        suffix: str,
        series: bool,
        step: int | None,
        workers: int,
    ) -> None:
        """Many files."""
        whole, place = files.found(names), self.target.resolve()
        # a folder may hold the target as well
        sources = [path for path in whole if path.resolve() != place] or whole
        from isofield.datasets import resample_dataset
        from isofield.resampling import together

        with (
            _in_words(str(self.target)),
            _going_on(),
            bar(f"Carrying files to {self.target.name}", len(sources)) as advance,
            warnings.catch_warnings(),
        ):
            # each of them is said at the end
            warnings.filterwarnings("ignore", r"\d+ of \d+ files were not carried")
            outcomes = resample_dataset(
                sources,
                self.target,
                self.output,
                self.method,
                suffix=suffix or None,
                series=series,
                step=step,
                lossy=self.lossy,
                workers=workers,
                report=lambda outcome: advance(),
                **self.options,
            )
        parts = [one for outcome in outcomes for one in outcome.found.values()]
        show(together(*parts), "steps" if series else "files")
        self._close(outcomes)

    def _close(self, outcomes: list[Outcome]) -> None:
        """The count of files; raises `CommandError` where some failed, after each."""
        failed = [outcome for outcome in outcomes if outcome.error]
        kept = sum(outcome.kept for outcome in outcomes)
        before = f", {kept} of them finished before" if kept else ""
        typer.echo(f"{self.output}: {len(outcomes) - len(failed)} files{before}")
        for outcome in failed:
            typer.echo(f"Failed: {by_options(outcome.error)}", err=True)
        if failed:
            raise CommandError(
                f"{len(failed)} of {len(outcomes)} files were not carried"
            )


@contextmanager
def _going_on() -> Iterator[None]:
    """An interruption says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "the same command goes on with the files that are left"
        ) from None


@contextmanager
def _in_words(where: str) -> Iterator[None]:
    """Errors name the files, and options as the command line does."""
    from isofield.io import FormatError
    from isofield.operators import TransferError

    try:
        yield
    except TransferError as error:
        raise CommandError(f"{where}: {by_options(str(error))}") from error
    except FormatError as error:
        raise CommandError(by_options(str(error))) from error
