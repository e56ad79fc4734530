"""OpenFOAM meshes, `constant/polyMesh`, through meshlane (the extra `formats`).

A case is named by its folder, by its polyMesh folder or by the file `case.foam` that
ParaView asks for, which may be empty. The cells become tetrahedra, pyramids, wedges
and hexahedra, the patches of the boundary facet sets. Fields of the time folders are
not read.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import logging
import re
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from isofield.io.registry import Format, FormatError, MeshWarning
from isofield.mesh import Mesh
from isofield.topology import boundary_facets, number_rows

__all__ = ["FORMAT"]

_NEEDED = ("points", "faces", "owner", "boundary")
_SOLIDS = ("tetra", "pyramid", "wedge", "hexahedron")
_HEADER = b'FoamFile\n{\nformat binary;\narch "LSB;label=64;scalar=64";\n}\n'
_LISTS = re.compile(rb"^(\d+)(?:\((.*)\)|\{(\d+)\})\s*$", re.MULTILINE)
_NO_PAIRS = np.zeros((0, 2), np.int64)


def read_openfoam(path: Path) -> Mesh:
    """The mesh of a case; raises `FormatError`.

    The law obeyed: every facet that belongs to one cell alone lies in a patch. A file
    of which the reader lost faces or cells breaks it, and is refused.
    """
    folder = _poly_mesh(path)
    if folder is None:
        raise FormatError("there is no OpenFOAM mesh, constant/polyMesh, beside it")
    patches = _patches(folder)
    other = _read_by_meshlane(folder, patches)
    count = {block.type: len(block.data) for block in other.cells}
    strange = sum(count[kind] for kind in count if kind.startswith("polyhedron"))
    if strange:
        total = strange + sum(count.get(kind, 0) for kind in _SOLIDS)
        raise FormatError(
            f"{strange} of {total} cells are polyhedra other than tetrahedra, "
            f"pyramids, wedges and hexahedra, which a mesh here does not know; split "
            f"them, or mesh without them"
        )
    cells = {b.type: np.asarray(b.data) for b in other.cells if b.type in _SOLIDS}
    tags = other.cell_data.get("cell_tags", [])
    sides = [
        (np.asarray(block.data), np.asarray(tag))
        for block, tag in zip(other.cells, tags, strict=True)
        if block.type in ("triangle", "quad")
    ]
    return Mesh(other.points, cells, facet_sets=_facet_sets(cells, sides, patches))


def _poly_mesh(path: Path) -> Path | None:
    """The folder with the mesh that `path` means; None where there is none."""
    case = path if path.is_dir() else path.parent
    places = [case / "constant" / "polyMesh", case / "polyMesh"]
    if path.is_dir():
        places.insert(0, case)
    return next((p for p in places if any(_file(p, n) for n in _NEEDED[:3])), None)


def _file(folder: Path, name: str) -> Path | None:
    places = (folder / name, folder / f"{name}.gz")
    return next((place for place in places if place.is_file()), None)


def _patches(folder: Path) -> dict[str, tuple[int, int]]:
    """Name of each patch -> its first face and its number of faces."""
    missing = [name for name in _NEEDED if _file(folder, name) is None]
    if missing:
        raise FormatError(f"OpenFOAM: {folder} lacks the files {', '.join(missing)}")
    text = _content(folder, "boundary").decode("latin-1")
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
    found = {}
    for name, body in re.findall(r'("[^"]*"|[^\s{}();"]+)\s*\{([^{}]*)\}', text):
        numbers = dict(re.findall(r"\b(nFaces|startFace)\s+(\d+)\s*;", body))
        if len(numbers) == 2:
            place = int(numbers["startFace"]), int(numbers["nFaces"])
            found[name.strip('"')] = place
    return found


def _content(folder: Path, name: str) -> bytes:
    path = _file(folder, name)
    if path is None:
        raise FormatError(f"OpenFOAM: {folder} lacks the file {name}")
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def _read_by_meshlane(folder: Path, patches: dict[str, tuple[int, int]]) -> Any:
    """meshlane's mesh of a copy of the folder, its prints, exits and log kept inside.

    The copy is unpacked, its lists are written as meshlane expects them, and its
    patches have plain names: it keeps only the last word of a name such as `inlet-1`.
    """
    try:
        import meshlane
    except ImportError as error:
        raise FormatError(
            "OpenFOAM meshes are read by meshlane, which is not installed; "
            "pip install 'isofield[formats]'"
        ) from error
    heard, remarks = io.StringIO(), io.StringIO()
    log, handler = logging.getLogger("meshlane"), logging.StreamHandler(remarks)
    handler.setLevel(logging.WARNING)
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory())
        copy = _copied(folder, patches, Path(place))
        log.addHandler(handler)
        stack.callback(log.removeHandler, handler)
        stack.enter_context(contextlib.redirect_stdout(heard))
        stack.enter_context(contextlib.redirect_stderr(heard))
        try:
            mesh = meshlane.openfoam.read(copy)
        except (meshlane.ReadError, StopIteration, SystemExit) as error:
            raise FormatError(f"meshlane: {error} {heard.getvalue()}") from error
    if said := remarks.getvalue().strip():
        raise FormatError(f"the files are cut off or damaged: {said.splitlines()[0]}")
    return mesh


def _copied(folder: Path, patches: dict[str, tuple[int, int]], place: Path) -> Path:
    copy = place / "polyMesh"
    copy.mkdir()
    for name in ("points", "faces", "owner", "neighbour"):
        if _file(folder, name) is not None:  # a single cell has no neighbours
            (copy / name).write_bytes(_plain(name, _content(folder, name)))
    rows = [
        f"patch{i} {{ startFace {start}; nFaces {count}; }}"
        for i, (start, count) in enumerate(patches.values())
    ]
    (copy / "boundary").write_text("\n".join([str(len(rows)), "(", *rows, ")"]))
    return copy


def _plain(name: str, content: bytes) -> bytes:
    """A file in the words that meshlane knows: no short, uniform or compact lists.

    A binary file need not say how wide its numbers are; where its lists end tells.
    """
    header = content[: content.find(b"}")]
    if re.search(rb"^\s*format\s+binary\s*;", header, re.MULTILINE) is None:
        content = content if name == "faces" else _LISTS.sub(_spread, content)
        if b"\n)" not in content:
            raise FormatError(f"{name}: the list does not end; the file is cut off")
        return content
    if b"MSB" in header:
        raise FormatError(f"{name}: binary files of big-endian machines are not read")
    if name == "faces" and b"faceCompactList" not in header:
        return content
    values, end = _binary(name, content, len(header))
    if name != "faces":
        count = len(values) // 3 if name == "points" else len(values)
        return _HEADER + f"{count}\n(".encode() + values.tobytes() + b")\n"
    nodes, _ = _binary(name, content, end)
    if len(values) == 0 or values[0] != 0 or values[-1] != len(nodes):
        raise FormatError("faces: the ends of the faces do not fit their nodes")
    faces = np.split(nodes, values[1:-1])
    rows = [f"\n{len(face)}(".encode() + face.tobytes() + b")" for face in faces]
    return _HEADER + f"{len(rows)}\n(".encode() + b"".join(rows) + b"\n)\n"


def _spread(found: re.Match[bytes]) -> bytes:
    """A list on one line, `2(0 1)` or `2{0}`, as a list of one line for each entry."""
    count, listed, same = found.groups()
    entries = b"\n".join([same] * int(count)) if same else listed
    return count + b"\n(\n" + re.sub(rb"\)\s*\(", b")\n(", entries) + b"\n)\n"


def _binary(name: str, content: bytes, start: int) -> tuple[np.ndarray, int]:
    """The numbers of the first list after `start`, and where it ends."""
    found = re.compile(rb"(\d+)\s*\(").search(content, start)
    if found is not None:
        count = int(found[1]) * (3 if name == "points" else 1)
        for dtype in ("<f4", "<f8") if name == "points" else ("<i4", "<i8"):
            end = found.end() + count * np.dtype(dtype).itemsize
            if content[end : end + 1] == b")":
                values = np.frombuffer(content, dtype, count, found.end())
                return values.astype(dtype[:2] + "8"), end
    raise FormatError(f"{name}: the binary list does not end where it should")


def _facet_sets(
    cells: dict[str, np.ndarray],
    sides: list[tuple[np.ndarray, np.ndarray]],
    patches: dict[str, tuple[int, int]],
) -> dict[str, np.ndarray]:
    """Name of each patch -> its faces as pairs of cell and facet.

    sides : nodes (k, 3 or 4) and tags (k,) of the faces of patches.
    """
    outer = boundary_facets(cells, 3)
    pairs = np.concatenate(
        [_NO_PAIRS, *(np.stack([one.cells, one.places], axis=1) for one in outer)]
    )
    tags = np.concatenate([np.zeros(0, np.int64), *(tags for _, tags in sides)])
    rows = [_row(one.nodes) for one in outer] + [_row(nodes) for nodes, _ in sides]
    first, group = number_rows(np.concatenate([np.zeros((0, 4), np.int64), *rows]))
    facet = first[group][len(pairs) :]
    is_outer = facet < len(pairs)
    if bare := len(pairs) - len(np.unique(facet[is_outer])):
        raise FormatError(
            f"{bare} outer faces of cells lie in no patch: the files are cut off or "
            f"damaged, or written in a way that the reader does not know"
        )
    if not is_outer.all():
        warnings.warn(
            f"{int((~is_outer).sum())} faces of patches lie between two cells, as "
            f"baffles do; they are left out of the facet sets",
            MeshWarning,
            stacklevel=3,
        )
    return {
        name: pairs[facet[is_outer & (tags == -1 - number)]]
        for number, name in enumerate(patches)
    }


def _row(nodes: np.ndarray) -> np.ndarray:
    """(k, 4) the nodes in rising order; a triangle has its last one twice."""
    nodes = np.sort(nodes, axis=1)
    return nodes if nodes.shape[1] == 4 else nodes[:, [0, 1, 2, 2]]


FORMAT = Format(
    name="OpenFOAM",
    suffixes=(".foam", ".openfoam"),
    read=read_openfoam,
    claims=lambda path: _poly_mesh(path) is not None,
    marker=True,
    apart=True,
)
