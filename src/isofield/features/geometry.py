"""All features of one mesh; what several of them need is computed once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from isofield.discretization import from_mesh
from isofield.features import regions
from isofield.features.curvature import curvature_at_scale, curvatures
from isofield.features.names import NEAR, Feature, FeatureError
from isofield.features.nearest import nearest_in
from isofield.features.regions import BOUNDARY
from isofield.features.thickness import thickness
from isofield.mesh import Mesh, MeshError
from isofield.normals import surface_normals
from isofield.operators.closest import Closest
from isofield.operators.supermesh.splitting import Split, split

# a point nearer to the boundary than this share of the extent lies on it: rounding
ON_BOUNDARY = 1e-12


class Geometry:
    """One mesh, the sites where features are wanted, and a characteristic length."""

    def __init__(self, mesh: Mesh, at: str, length: float) -> None:
        self.mesh = mesh
        self.at = at
        self.length = length
        self._nearest: dict[str, tuple[Tensor, Tensor]] = {}

    def values(self, feature: Feature) -> np.ndarray:
        """(N,) or (N, d) of one feature."""
        return np.asarray(_VALUES[feature.kind](self, feature))

    def check(self, feature: Feature) -> None:
        """Raises `FeatureError` where the mesh has not got it, as far as one can tell
        without computing it."""
        if feature.region:
            regions.region(self.mesh, feature.region)
            return
        d, m = self.mesh.points.shape[1], self.mesh.dimension
        if m < 1:
            raise FeatureError("a cloud of points without cells has no boundary")
        if feature.kind == "boundary normal" and m < d:
            raise FeatureError("expected cells that fill the space, got a surface")
        if m < d - 1:
            raise FeatureError(f"expected a surface or a body, got lines in {d}-D")
        if feature.kind == "gaussian curvature" and d == 2:
            raise FeatureError("curves in the plane have no Gaussian curvature")

    def distance_to(self, feature: Feature) -> Tensor:
        return self._to(feature.region)[0]

    def vector_to(self, feature: Feature) -> Tensor:
        return self._to(feature.region)[1] - self.sites

    def near(self, feature: Feature) -> Tensor:
        length = (feature.within or NEAR) * self.length
        return torch.exp(-self._to(feature.region)[0] / length)

    def on(self, feature: Feature) -> np.ndarray:
        if self.mesh.dimension < 1 and self.at == "cells":
            raise FeatureError("a cloud of points has no cells")
        return regions.indicator(regions.region(self.mesh, feature.region), self.at)

    def boundary_normal(self, feature: Feature) -> Tensor:
        self.check(feature)
        distance, foot = self._to(BOUNDARY)
        on = distance <= ON_BOUNDARY * float(np.ptp(self.mesh.points, axis=0).max())
        outward = foot - self.sites
        outward[on] = self._at_foot(self.normals)[on]
        return torch.nn.functional.normalize(outward, dim=1)

    def mean_curvature(self, feature: Feature) -> Tensor:
        return self._curvature(feature, 0)

    def gaussian_curvature(self, feature: Feature) -> Tensor:
        return self._curvature(feature, 1)

    def thickness(self, feature: Feature) -> Tensor:
        self.check(feature)
        points = torch.tensor(self.hull.points)
        return self._at_foot(thickness(self.domain, points, self.normals))

    @cached_property
    def sites(self) -> Tensor:
        """(N, d) where the values are wanted."""
        if self.at == "points":
            return torch.tensor(self.mesh.points)
        return from_mesh(self.mesh, "cells").points

    @cached_property
    def hull(self) -> Mesh:
        """The surface of a body, or the surface that the mesh is."""
        if self.mesh.dimension < self.mesh.points.shape[1]:
            return self.mesh
        return self.mesh.boundary()

    @cached_property
    def normals(self) -> Tensor:
        """(K, d) of the hull, at its points."""
        try:
            return surface_normals(self.hull)
        except MeshError as error:
            raise FeatureError(str(error)) from error

    @cached_property
    def domain(self) -> Split:
        """The simplices of the hull."""
        return split(self.hull)

    @cached_property
    def found(self) -> Closest:
        """The nearest points of the hull."""
        return nearest_in(self.domain, self.sites)

    def _to(self, name: str) -> tuple[Tensor, Tensor]:
        """Distance to a region, and the nearest point of it."""
        if name == BOUNDARY and self.mesh.dimension == self.mesh.points.shape[1]:
            found, corners = self.found, self.domain.corners
            foot = torch.einsum("mc,mcd->md", found.share, corners[found.simplex])
            return found.distance, foot
        if name not in self._nearest:
            region = regions.region(self.mesh, name)
            self._nearest[name] = regions.nearest(region, self.sites)
        return self._nearest[name]

    def _at_foot(self, values: Tensor) -> Tensor:
        """(K, ...) at the points of the hull -> (N, ...) at its nearest points."""
        if self.hull is self.mesh and self.at == "points":
            return values
        nodes, part = self.found.nodes(self.domain)
        return torch.einsum("nk,nk...->n...", part, values[nodes])

    def _curvature(self, feature: Feature, which: int) -> Tensor:
        self.check(feature)
        if feature.within is None:
            return self._at_foot(curvatures(self.hull, self.normals)[which])
        radius = feature.within * self.length
        return self._at_foot(curvature_at_scale(self.hull, self.normals, radius))


_VALUES: dict[str, Callable[[Geometry, Feature], Tensor | np.ndarray]] = {
    "distance to": Geometry.distance_to,
    "vector to": Geometry.vector_to,
    "near": Geometry.near,
    "on": Geometry.on,
    "boundary normal": Geometry.boundary_normal,
    "mean curvature": Geometry.mean_curvature,
    "gaussian curvature": Geometry.gaussian_curvature,
    "thickness": Geometry.thickness,
}
