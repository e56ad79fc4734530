"""`isofield resample`: the fields of one mesh file on the mesh of another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isofield.cli import files
from isofield.cli.reporting import CommandError

if TYPE_CHECKING:
    from isofield.resampling import Carried

METHODS = ("linear", "conservative", "nearest", "mls", "l2")


def resample(
    source: Annotated[Path, typer.Argument(help="Mesh file with fields.")],
    target: Annotated[Path, typer.Argument(help="Mesh file to carry them to.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="Mesh file to write.")
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
    step: files.Step = None,
    lossy: files.Lossy = False,
) -> None:
    """Carry the fields of one mesh file to the mesh of another.

    Fields at points come to points, fields at cells to cells. Labels (integers) take
    the nearest value, or that of the largest overlap.

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
    files.check_mesh_output(output)
    from rich.console import Console

    from isofield.operators import TransferError
    from isofield.resampling import resample as carry

    given, wanted = files.opened(source, step), files.opened(target)
    try:
        with Console(stderr=True).status(f"Carrying fields to {target.name}"):
            mesh, report = carry(
                given,
                wanted,
                method,
                fields=[name for name in fields.split(",") if name],
                outside=outside,
                masked=masked,
                max_distance=max_distance,
                partial=partial,
            )
    except TransferError as error:
        raise CommandError(f"{source} to {target}: {_by_options(error)}") from error
    files.save(output, mesh, lossy)
    for carried in report:
        typer.echo(_line(carried))
    typer.echo(f"{output}: {files.described(mesh)}")


def _by_options(error: Exception) -> str:
    """The message in the words of the command line."""
    text = str(error)
    for word, option in (
        ("outside='nearest'", "--outside nearest"),
        ("outside='nan'", "--outside nan"),
        ("masked=True", "--masked"),
        ("max_distance", "--max-distance"),
    ):
        text = text.replace(word, option)
    return text


def _line(carried: Carried) -> str:
    """One field: method, integral, range, points outside."""
    (low, high), (new_low, new_high) = carried.range
    parts = [f"{carried.name} ({carried.site}, {carried.method})"]
    if carried.integral is not None:
        before, after = (_numbers(value) for value in carried.integral)
        parts.append(f"integral {before} -> {after}")
    parts.append(f"range {low:.6g} to {high:.6g} -> {new_low:.6g} to {new_high:.6g}")
    far = f", the furthest by {carried.furthest:.3g}" if carried.furthest > 0 else ""
    parts.append(f"{carried.outside} outside{far}")
    return "; ".join(parts)


def _numbers(values) -> str:
    return " ".join(f"{value:.9g}" for value in values)
