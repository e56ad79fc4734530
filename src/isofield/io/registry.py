"""Which formats there are, which module reads each, and what each can hold."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.mesh import Mesh, MeshError
from isofield.series import MeshSeries


class FormatError(MeshError):
    """A file cannot be read or written as the format that its name promises."""


class MeshWarning(UserWarning):
    """A file was read or written, but something about it deserves a look."""


FLOATS = frozenset({"float32", "float64"})
INTEGERS = frozenset(
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
)


@dataclass(frozen=True)
class Arrays:
    """Which named arrays a format stores and gives back bit-equal.

    dtypes : dtype names, as in `"float64"`; text is `"str"`.
    shapes : rule for the shape of one row: () scalar, (3,) vector, (3, 3) tensor.
    names : pattern that the whole name must match.

    Texts with a NUL, or that UTF-8 cannot encode, are stored by none.
    """

    dtypes: frozenset[str] = FLOATS | INTEGERS
    shapes: Callable[[tuple[int, ...]], bool] = lambda shape: True
    names: str = r"(?s).+"

    def refusal(self, name: str, array: np.ndarray) -> str | None:
        """Why `array` cannot be stored under `name`; None where it can."""
        if not re.fullmatch(self.names, name):
            return f"the name does not match {self.names!r}"
        dtype = "str" if array.dtype.kind == "U" else array.dtype.name
        if dtype not in self.dtypes:
            return f"dtype {dtype}"
        if not self.shapes(array.shape[1:]):
            return f"rows of shape {array.shape[1:]}"
        if dtype == "str" and not all(map(_plain, array.ravel().tolist())):
            return "a text with NUL or half a character"
        return None


def _plain(text: str) -> bool:
    return "\0" not in text and not re.search("[\ud800-\udfff]", text)


@dataclass(frozen=True)
class Holds:
    """What a format stores. None: nothing of that kind.

    cells : names of the cell types, as in `isofield.cells`.
    field_data : rule for whole-mesh arrays; texts are tested as (1,) arrays of text.
    point_sets, cell_sets, facet_sets : pattern that the names of sets must match.
    loses : what is lost of every mesh, in words, so that `lossy=True` is needed.
    ordered : False where the file has its own order of cell types, so that types come
        back in another order (cell data and sets follow their cells).
    """

    cells: frozenset[str] = frozenset(CELL_TYPES)
    point_data: Arrays | None = None
    cell_data: Arrays | None = None
    field_data: Arrays | None = None
    point_sets: str | None = None
    cell_sets: str | None = None
    facet_sets: str | None = None
    loses: str = ""
    ordered: bool = True


Add = Callable[[float, Mesh], None]
SeriesWriter = Callable[[Path, Path], AbstractContextManager[Add]]


@dataclass(frozen=True)
class Format:
    """One file format.

    read : path -> Mesh, 3-D points as they stand in the file; raises `FormatError`.
    write : (path, mesh) -> None, writes exactly the file that is named; the door
        pads 2-D points, has checked `holds`, and gives a temporary neighbour's name
        with the right suffix.
    series : path -> MeshSeries where the format knows time.
    series_writer : (path, place) -> the context in which steps are written, one by one,
        by the function (time, mesh) that it gives; path as for `write`, place where the
        door will put it. beside : place -> the other files of a series that stands
        there, removed once it has been replaced.
    claims : path -> whether the first bytes look like this format; asked only where
        several formats share a suffix. A format without is tried in its turn; where
        all decline, the first is tried for its complaint. Asked of a folder too by the
        formats that are folders.
    clouds : points without any cell are a file that this format means to hold.
    marker : the file only stands for the folder that it lies in, and may be empty.
    apart : a file may stand for others as well, which it names.
    fitted : mesh -> the mesh without what it cannot hold either although `holds` has no
        word for it, and a line for each thing left out; asked after `holds`.
    risky : the reader may end or hang the process on a malformed file, so that
        `read(..., isolate=True)` runs it in a child process.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Path], Mesh] | None = None
    write: Callable[[Path, Mesh], None] | None = None
    series: Callable[[Path], MeshSeries] | None = None
    series_writer: SeriesWriter | None = None
    beside: Callable[[Path], list[Path]] | None = None
    holds: Holds = Holds()
    fitted: Callable[[Mesh], tuple[Mesh, list[str]]] | None = None
    claims: Callable[[Path], bool] | None = None
    clouds: bool = False
    marker: bool = False
    apart: bool = False
    risky: bool = False


# suffix -> "module:attribute" of each format, in the order in which they are tried
_SUFFIXES: dict[str, tuple[str, ...]] = {
    ".vtu": ("vtu:FORMAT",),
    ".vtp": ("vtu:SURFACES",),
    ".pvd": ("pvd:FORMAT",),
    ".ply": ("ply:FORMAT",),
    ".stl": ("stl:FORMAT",),
    ".off": ("off:FORMAT",),
    ".obj": ("obj:FORMAT",),
    ".vtk": ("legacy_vtk:FORMAT",),
    ".vti": ("vtk_reader:STRUCTURED",),
    ".vtr": ("vtk_reader:STRUCTURED",),
    ".vts": ("vtk_reader:STRUCTURED",),
    ".pvtu": ("vtk_reader:STRUCTURED",),
    ".pvtp": ("vtk_reader:STRUCTURED",),
    ".vtm": ("vtk_reader:STRUCTURED",),
    ".case": ("vtk_reader:ENSIGHT",),
    ".encas": ("vtk_reader:ENSIGHT",),
    ".cgns": ("cgns:FORMAT", "vtk_reader:CGNS"),
    ".cas": ("fluent:FORMAT",),
    ".xdmf": ("xdmf:FORMAT",),
    ".xmf": ("xdmf:FORMAT",),
    ".msh": ("gmsh:FORMAT", "fluent:FORMAT"),
    ".e": ("exodus:FORMAT",),
    ".ex2": ("exodus:FORMAT",),
    ".exo": ("exodus:FORMAT",),
    ".g": ("exodus:FORMAT",),
    ".inp": ("abaqus:FORMAT", "vtk_reader:AVS"),
    ".bdf": ("nastran:FORMAT",),
    ".nas": ("nastran:FORMAT",),
    ".cdb": ("ansys:FORMAT",),
    ".med": ("med:FORMAT",),
    ".su2": ("su2:FORMAT",),
    ".foam": ("openfoam:FORMAT",),
    ".openfoam": ("openfoam:FORMAT",),
}
_FOLDERS = ("openfoam:FORMAT",)


def known_suffixes() -> list[str]:
    """All suffixes that `formats` knows, sorted."""
    return sorted(_SUFFIXES)


def formats(path: Path) -> list[Format]:
    """The formats for the suffix of `path`, in the order in which they are tried.

    A folder is asked for the formats that are folders, whatever its suffix.

    Raises `FormatError` that lists the known suffixes where there is none.
    """
    places = _FOLDERS if path.is_dir() else _SUFFIXES.get(path.suffix.lower())
    if places is None:
        raise FormatError(
            f"{path}: no format has the suffix {path.suffix!r}; known are "
            f"{' '.join(known_suffixes())}"
        )
    return [_loaded(place) for place in places]


def all_formats() -> list[Format]:
    """Every format once, in the order of the suffixes."""
    places = dict.fromkeys(place for places in _SUFFIXES.values() for place in places)
    return [_loaded(place) for place in places]


def _loaded(place: str) -> Format:
    module, attribute = place.split(":")
    return getattr(importlib.import_module(f"isofield.io.{module}"), attribute)
