"""The files that commands read and write.

What may not be read is a failure. For typer it would be bad usage, so that arguments
and options are declared with `readable=False`.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isofield.cli.reporting import CommandError
from isofield.files import refusal

if TYPE_CHECKING:
    from isofield.mesh import Mesh
    from isofield.series import MeshSeries

Step = Annotated[
    int | None,
    typer.Option(
        "--step",
        help="Number of the time step to take, from 0, or from -1 backward. Without "
        "it the last one, with a warning where there are several.",
        show_default=False,
    ),
]
Lossy = Annotated[
    bool,
    typer.Option("--lossy", help="Leave out what the output's format cannot hold."),
]


def opened(path: Path, step: int | None = None, check: bool = True) -> Mesh:
    """The mesh in a file; of a series the step with this number.

    Readers that may end or hang the process run in a child with a time limit. check :
    warn of what is wrong with the mesh.
    """
    from isofield.io import read, read_series

    if step is None:
        return read(path, check=check, isolate=True)
    series = read_series(path, isolate=True)
    if not -len(series) <= step < len(series):
        raise CommandError(
            f"{path}: there is no step {step}, it has {len(series)} time steps"
        )
    return series[step]


def save(path: Path, mesh: Mesh, lossy: bool) -> None:
    """Write the whole file or nothing; refuses to lose anything unless `lossy`."""
    from isofield.io import FormatError, write

    try:
        write(path, mesh, lossy=lossy)
    except FormatError as error:
        raise CommandError(str(error).replace("lossy=True", "--lossy")) from error


def save_series(path: Path, series: MeshSeries, lossy: bool) -> None:
    """Write all steps or nothing, as `save` does."""
    from isofield.io import FormatError, write_series

    try:
        write_series(path, series, lossy=lossy)
    except FormatError as error:
        raise CommandError(str(error).replace("lossy=True", "--lossy")) from error


def check_output(path: Path, suffixes: Sequence[str]) -> None:
    """Before any work is done: one of the suffixes, where a file can be written."""
    if path.suffix.lower() not in suffixes:
        raise typer.BadParameter(
            f"{path}: expected the name of a file with the suffix {' '.join(suffixes)}"
        )
    if why := refusal(path):
        raise CommandError(f"{path}: {why}")


def check_mesh_output(path: Path) -> None:
    """As `check_output`, for meshes."""
    from isofield.io.registry import formats, known_suffixes

    written = [
        suffix
        for suffix in known_suffixes()
        if any(one.write is not None for one in formats(Path(f"mesh{suffix}")))
    ]
    check_output(path, written)


def check_series_output(path: Path) -> None:
    """Before any work is done: a name that `isofield.io.write_series` can write."""
    from isofield.io.registry import all_formats

    able = [one.suffixes for one in all_formats() if one.series_writer is not None]
    check_output(path, sorted(suffix for suffixes in able for suffix in suffixes))


def is_many(sources: Sequence[str], output: Path) -> bool:
    """Whether these are several files, for a folder, rather than one for a file.

    Raises a usage error where there are several and the output is no folder.
    """
    from isofield.io import known_suffixes
    from isofield.io.registry import formats

    one = Path(sources[0])
    folder = one.is_dir() and not any(f.claims and f.claims(one) for f in formats(one))
    pattern = not one.exists() and glob.has_magic(sources[0])
    several = len(sources) > 1 or folder or pattern
    to_folder = output.is_dir() or output.suffix.lower() not in known_suffixes()
    if several and not to_folder:
        raise typer.BadParameter(
            f"{output}: several sources need a folder, which a mesh file's name is not"
        )
    return several or output.is_dir() or not output.suffix


def found(names: Sequence[str]) -> list[Path]:
    """The mesh files behind these names, each once: files, folders and patterns.

    Of a folder, and of a pattern such as "plate*", all files of a known format, by
    name. A name of neither is taken for a file, there or not. The .h5 file beside an
    .xdmf file of the same name is part of that one and no case of its own.
    """
    paths: dict[Path, None] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            members = _known(path.iterdir(), name)
        elif not path.exists() and glob.has_magic(name):
            members = _known(map(Path, glob.glob(name)), name)
        else:
            members = [path]
        paths.update(dict.fromkeys(members))
    return [
        path
        for path in paths
        if path.suffix != ".h5" or path.with_suffix(".xdmf") not in paths
    ]


def _known(paths: Iterable[Path], where: str) -> list[Path]:
    from isofield.io import known_suffixes

    suffixes = known_suffixes()
    members = sorted(
        path for path in paths if path.suffix.lower() in suffixes and path.is_file()
    )
    if not members:
        raise CommandError(
            f"{where}: no mesh file there; known suffixes are {' '.join(suffixes)}"
        )
    return members


def described(mesh: Mesh) -> str:
    """Points, and cells by type, in one line."""
    cells = [f"{len(nodes):,} {kind}" for kind, nodes in mesh.cells.items()]
    return ", ".join([f"{len(mesh.points):,} points", *cells])
