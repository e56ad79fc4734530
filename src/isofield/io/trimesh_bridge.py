"""trimesh's surfaces and ours."""

from __future__ import annotations

from typing import Any

import numpy as np

from isofield.io.registry import FormatError
from isofield.mesh import Mesh


def from_trimesh(other: Any) -> Mesh:
    """The triangles of a `trimesh.Trimesh`, its vertex and face attributes as fields.

    A `trimesh.PointCloud` gives points without cells.

    Raises `FormatError` for a scene, which is many, and for what is none of these.
    """
    if not hasattr(other, "vertices"):
        hint = "; take its to_geometry()" if hasattr(other, "to_geometry") else ""
        raise FormatError(
            "expected a trimesh.Trimesh or trimesh.PointCloud, got "
            f"{type(other).__name__}{hint}"
        )
    faces = getattr(other, "faces", None)
    cells = {} if faces is None else {"triangle": np.array(faces, dtype=np.int64)}
    return Mesh(
        points=np.array(other.vertices, dtype=np.float64),
        cells=cells,
        point_data=_copies(getattr(other, "vertex_attributes", {})),
        cell_data=_copies(getattr(other, "face_attributes", {})),
    )


def to_trimesh(mesh: Mesh) -> Any:
    """The `trimesh.Trimesh` with the same points, triangles and fields, unprocessed.

    2-D points get z = 0. The law obeyed: `from_trimesh(to_trimesh(mesh))` has the
    points, triangles and fields of a mesh of triangles in 3-D, bit for bit.

    Raises `FormatError` where there are cells other than triangles.
    """
    import trimesh

    others = [kind for kind in mesh.cells if kind != "triangle"]
    if others or "triangle" not in mesh.cells:
        raise FormatError(
            f"trimesh holds triangles alone, the mesh has {list(mesh.cells)}; take "
            "mesh.boundary() of a volume, and split quads first"
        )
    points = np.zeros((len(mesh.points), 3))
    points[:, : mesh.points.shape[1]] = mesh.points
    return trimesh.Trimesh(
        vertices=points,
        faces=mesh.cells["triangle"].copy(),
        vertex_attributes=_copies(mesh.point_data),
        face_attributes=_copies(mesh.cell_data),
        process=False,
    )


def _copies(data: Any) -> dict[str, Any]:
    return {str(name): np.array(values) for name, values in data.items()}
