"""`isofield coarsen`: the shape and the fields of a mesh file on fewer points."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isofield.cli import files
from isofield.cli.bars import bar
from isofield.cli.closing import by_options, line
from isofield.cli.options import names
from isofield.cli.reporting import CommandError
from isofield.cli.resample import METHODS

if TYPE_CHECKING:
    from isofield.mesh import Mesh


def coarsen(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="Mesh file to read.", readable=False)
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Mesh file to write.",
            readable=False,
        ),
    ],
    points: Annotated[
        int | None,
        typer.Option(
            "--points", help="About how many points.", min=3, show_default=False
        ),
    ] = None,
    size: Annotated[
        float | None,
        typer.Option("--size", help="Or the length of edges.", show_default=False),
    ] = None,
    graded: Annotated[
        bool,
        typer.Option("--graded", help="Fine where IN is fine, not of one size."),
    ] = False,
    angle: Annotated[
        float, typer.Option("--angle", help="Degrees from which an edge is sharp.")
    ] = 45.0,
    regions: Annotated[
        str,
        typer.Option(
            "--regions", help="Cell fields of whole numbers to keep as regions."
        ),
    ] = "",
    method: Annotated[
        str,
        typer.Option("--method", help=f"Of the fields: {', '.join(METHODS)}."),
    ] = "linear",
    masked: Annotated[
        bool, typer.Option("--masked", help="Leave out values that are not finite.")
    ] = False,
    step: files.Step = None,
    lossy: files.Lossy = False,
) -> None:
    """Make a coarser (or finer) mesh of the same shape, and carry the fields to it.

    Of triangles and tetrahedra; named regions, sharp edges and corners stay. New points
    that lie beside the old boundary or surface, where it is curved, take the value of
    the nearest place there.

    Example: isofield coarsen part.vtu -o coarse.vtu --points 500 --graded
    """
    if (points is None) == (size is None):
        raise typer.BadParameter("expected either --points or --size")
    if size is not None and not 0 < size < math.inf:
        raise typer.BadParameter(f"--size: expected a positive length, got {size}")
    if graded and points is None:
        raise typer.BadParameter("--graded goes with --points: a size is one for all")
    if method not in METHODS:
        raise typer.BadParameter(
            f"--method: expected {', '.join(METHODS)}, got {method}"
        )
    files.check_mesh_output(output)
    kept = names([regions], "--regions")
    mesh = files.opened(source, step, check=False)
    with bar(f"Making {output.name}"):
        new = _made(
            source,
            mesh,
            n_points=points,
            h=size,
            graded=graded,
            angle=angle,
            regions=kept,
        )
        new, lines = _with_fields(source, mesh, new, kept, method, masked)
    files.save(output, new, lossy)
    for text in lines:
        typer.echo(text)
    typer.echo(f"{source}: {files.described(mesh)}")
    typer.echo(f"{output}: {files.described(new)}")


def _made(source: Path, mesh: Mesh, **options: Any) -> Mesh:
    """The new mesh; errors name the file."""
    from isofield.remeshing import coarsen as remade

    try:
        return remade(mesh, **options)
    except (ImportError, ValueError) as error:
        raise CommandError(f"{source}: {_by_options(str(error))}") from error


def _with_fields(
    source: Path, mesh: Mesh, new: Mesh, kept: list[str], method: str, masked: bool
) -> tuple[Mesh, list[str]]:
    """The new mesh with all fields but those that were kept, and a line of each."""
    from isofield.operators import TransferError
    from isofield.resampling import Together, resample

    every = [*mesh.point_data, *mesh.cell_data]
    fields = [name for name in every if name not in kept]
    if not fields:
        return new, []
    surface = mesh.dimension < mesh.points.shape[1]
    try:
        new, report = resample(
            mesh,
            new,
            method,
            fields=fields,
            outside="nearest",
            masked=masked,
            max_distance=math.inf if surface else None,
        )
    except TransferError as error:
        raise CommandError(f"{source}: {_by_options(str(error))}") from error
    return new, [line(Together.of("", carried), "") for carried in report]


def _by_options(text: str) -> str:
    """A message in the words of the command line."""
    for word, option in (
        ("n_points:", "--points:"),
        ("angle:", "--angle:"),
        ("regions:", "--regions:"),
        ("mesh.mended()", "isofield convert --mend"),
    ):
        text = text.replace(word, option)
    return by_options(text)
