"""The door for files: meshes and series of meshes in many formats.

`read(path)` and `write(path, mesh)` choose the format by the suffix, `read_series` and
`write_series` that of many steps. What a format can hold comes back bit-equal; what it
cannot hold is an error before a file is touched.
"""

from isofield.io.door import read, read_series
from isofield.io.meshio_bridge import from_meshio, to_meshio
from isofield.io.pyvista_bridge import from_pyvista, to_pyvista
from isofield.io.registry import FormatError, MeshWarning, known_suffixes
from isofield.io.trimesh_bridge import from_trimesh, to_trimesh
from isofield.io.writing import write, write_series
from isofield.series import MeshSeries

__all__ = [
    "read",
    "write",
    "read_series",
    "write_series",
    "MeshSeries",
    "from_meshio",
    "to_meshio",
    "from_pyvista",
    "to_pyvista",
    "from_trimesh",
    "to_trimesh",
    "FormatError",
    "MeshWarning",
    "known_suffixes",
]
