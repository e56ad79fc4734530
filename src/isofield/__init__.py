"""isofield: learning on fields that live on any mesh or point cloud."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isofield.discretization import Discretization, from_mesh, from_points
    from isofield.graph import Graph, knn_graph, radius_graph
    from isofield.mesh import Mesh, MeshError

__version__ = "0.1.0"
__all__ = [
    "Mesh",
    "MeshError",
    "Discretization",
    "from_mesh",
    "from_points",
    "Graph",
    "radius_graph",
    "knn_graph",
]
_ROOMS = {
    "mesh": ("Mesh", "MeshError"),
    "discretization": ("Discretization", "from_mesh", "from_points"),
    "graph": ("Graph", "radius_graph", "knn_graph"),
}


def __getattr__(name: str) -> Any:
    # torch takes seconds to import, for which `isofield --help` need not wait
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(import_module(f"isofield.{room}"), name)
    raise AttributeError(f"module 'isofield' has no attribute {name!r}")
