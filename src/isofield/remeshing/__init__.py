"""Coarser and finer discretizations of the shape of one solver mesh or point cloud.

Meshes of triangles and tetrahedra are made anew with MMG, which the extra "remesh"
installs; point clouds are thinned without it.
"""

from isofield.remeshing.cloud import subsample, subsampled
from isofield.remeshing.meshes import coarsen, remesh

__all__ = ["coarsen", "remesh", "subsample", "subsampled"]
