"""isofield: learning on fields that live on any mesh or point cloud."""

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
