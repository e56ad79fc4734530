"""`isofield convert`: a mesh file in another format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isofield.cli import files


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="Mesh file to read.", readable=False)
    ],
    target: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="Mesh file to write.", readable=False),
    ],
    mend: Annotated[
        bool,
        typer.Option(
            "--mend",
            help="Merge points that coincide, turn inverted cells round, drop cells "
            "of zero measure and points in no cell, and say so.",
        ),
    ] = False,
    step: files.Step = None,
    lossy: files.Lossy = False,
) -> None:
    """Write a mesh file in another format, chosen by the suffix.

    What OUT's format cannot hold is an error, unless --lossy leaves it out.

    Example: isofield convert beam.msh beam.vtu
    """
    files.check_mesh_output(target)
    mesh = files.opened(source, step)
    if mend:
        mesh, done = mesh.mended()
        typer.echo(f"{source}: {'; '.join(done) or 'nothing to mend'}")
    files.save(target, mesh, lossy)
    typer.echo(f"{target}: {files.described(mesh)}")
