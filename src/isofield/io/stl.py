"""STL files, ascii and binary: triangles, each with its own three points."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from isofield.io.registry import Format, FormatError, Holds
from isofield.mesh import Mesh

_ROW = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("note", "<u2")])


def read(path: Path) -> Mesh:
    """Triangles over shared points: corners that are bit-equal become one point.

    Points stand in the order of their first triangle. Normals are not kept, they follow
    from the corners; two-byte notes are the cell data "attribute" where any is not 0.
    """
    content = path.read_bytes()
    count = int.from_bytes(content[80:84], "little")
    note = np.zeros(0, np.uint16)
    if len(content) >= 84 and len(content) == 84 + count * _ROW.itemsize:
        rows = np.frombuffer(content, _ROW, count, 84)
        corners = rows["corners"].reshape(-1, 3).astype(np.float64)
        note = rows["note"].astype(np.uint16)
    elif content.lstrip()[:5].lower() == b"solid" and b"\0" not in content[:1000]:
        corners = _ascii(content)
    else:
        raise FormatError(
            f"expected 'solid' in its beginning, or {84 + count * _ROW.itemsize} bytes "
            f"for the {count} triangles it announces; it has {len(content)}"
        )
    unique, first, inverse = np.unique(
        corners, axis=0, return_index=True, return_inverse=True
    )
    order = np.argsort(first)
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    triangles = number[inverse.reshape(-1)].reshape(-1, 3)
    return Mesh(
        points=unique[order],
        cells={"triangle": triangles},
        cell_data={"attribute": note} if note.any() else {},
    )


def _ascii(content: bytes) -> np.ndarray:
    lines = [line.split() for line in content.splitlines()]
    words = [line[1:] for line in lines if line[:1] in ([b"vertex"], [b"VERTEX"])]
    heads = [line[0].lower() for line in lines if line]
    if heads.count(b"endsolid") < max(1, heads.count(b"solid")):
        raise FormatError("an 'endsolid' is missing: the file is truncated")
    if len(words) % 3 or any(len(word) != 3 for word in words):
        raise FormatError("its vertices do not come three by three")
    return np.array(words, dtype="S").astype(np.float64).reshape(-1, 3)


def write(path: Path, mesh: Mesh) -> None:
    """A binary file: the triangles' corners and normals in float32."""
    rows = np.zeros(len(mesh.cells["triangle"]), _ROW)
    corners = mesh.points[mesh.cells["triangle"]]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    rows["normal"] = np.divide(
        normals, lengths, out=np.zeros_like(normals), where=lengths > 0
    )
    rows["corners"] = corners
    head = b"binary STL".ljust(80) + len(rows).to_bytes(4, "little")
    path.write_bytes(head + rows.tobytes())


FORMAT = Format(
    name="STL",
    suffixes=(".stl",),
    read=read,
    write=write,
    holds=Holds(
        cells=frozenset({"triangle"}),
        loses="the numbers of the points and their digits beyond float32",
    ),
)
