"""`isofield plot`: one field of a mesh file, or two side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isofield.cli import files
from isofield.cli.reporting import CommandError


def plot(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Mesh file with fields.", readable=False),
    ],
    field: Annotated[str, typer.Option("--field", "-f", help="Field to show.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="PNG to write; a window without it.",
            readable=False,
        ),
    ] = None,
    other: Annotated[
        str | None,
        typer.Option(
            "--compare",
            help="Second field, such as a prediction, beside the first and with their "
            "difference.",
        ),
    ] = None,
    component: Annotated[
        list[int] | None,
        typer.Option(
            "--component",
            help="Component of a vector, from 0; twice for a tensor. The magnitude "
            "without it.",
            show_default=False,
        ),
    ] = None,
    unit: Annotated[
        str | None, typer.Option("--unit", help="Unit in the colour bar's title.")
    ] = None,
    step: files.Step = None,
) -> None:
    """Show a field of a mesh file in a window, or write it to a PNG file.

    Example: isofield plot prediction.vtu --field u_predicted -o u.png
    """
    if output is not None:
        files.check_output(output, [".png"])
    mesh = files.opened(file, step)
    known = [*mesh.point_data, *mesh.cell_data]
    for name in (field, other):
        if name is not None and name not in known:
            raise CommandError(
                f"{file}: no field {name!r}; it has {', '.join(known) or 'none'}"
            )
    from isofield.mesh import MeshError
    from isofield.plot import compare, plot

    place = tuple(component) if component else None
    try:
        if other is None:
            plot(mesh, field, component=place, unit=unit, path=output)
        else:
            compare(mesh, field, other, component=place, unit=unit, path=output)
    except MeshError as error:
        raise CommandError(f"{file}: {error}") from error
    except RuntimeError as error:
        raise CommandError(str(error).replace("path=", "-o FILE.png")) from error
    if output is not None:
        typer.echo(str(output))
