"""Features that belong to a shape: distances, regions, normals, curvature, thickness.

What a feature says of a place converges under refinement to a quantity of the shape.
What belongs to the mesh alone, such as the number of a node's neighbours or the length
of its edges, is no feature.

| name | channels | value |
|---|---|---|
| `distance to R` | 1 | `min {|x - y|: y in R}`, to facets and cells, not to nodes |
| `vector to R` | d | `y - x` to the nearest point y of R |
| `near R`, `near R within s` | 1 | `exp(-distance / (s L))`, s = 0.1 where not given |
| `on R` | 1 | 1 on R, 0 elsewhere |
| `boundary normal` | d | the unit normal, outward, at the nearest boundary point |
| `mean curvature` | 1 | of the surface; of a body, at the nearest boundary point |
| `gaussian curvature` | 1 | the same, in space alone |
| `mean curvature within s` | 1 | the same at the scale s L: at edges bounded too |
| `thickness` | 1 | from the nearest boundary point inward to the opposite side |

R is `boundary`, the facets of one cell alone, or a named region: a set of facets, cells
or points. L is a characteristic length. Distances are straight lines, also on surfaces
and across gaps.

An indicator of a region of the boundary sees nothing of it in the limit: its integral
over the domain is O(h), so that a layer that integrates over the domain forgets `on R`
under refinement. Prefer `distance to R` or `near R`, which are continuous functions.
For a region of cells `on R` is as good as any field.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isofield.features.geometry import Geometry
from isofield.features.names import Feature, FeatureError
from isofield.features.signed import signed_distance
from isofield.mesh import Mesh

__all__ = ["Feature", "FeatureError", "check_features", "features", "signed_distance"]


def features(
    mesh: Mesh,
    names: Sequence[str],
    at: str = "points",
    *,
    length: float | None = None,
) -> np.ndarray:
    """(N, C) float64: the features of these names side by side, in units of `mesh`.

    at : "points", or "cells" for the centroids of the cells of the highest dimension.
    length : the characteristic length L, the largest extent of the mesh where it is not
    given. A cloud of points without cells has the distances to its named sets of points
    and nothing else.

    Raises `FeatureError`, with the name of the feature, where it does not exist or the
    mesh has not got it: no such region, an empty one, a cloud without a boundary.
    """
    if at not in ("points", "cells"):
        raise ValueError(f'at: expected "points" or "cells", got {at!r}')
    geometry = _geometry(mesh, at, length)
    columns = [np.empty((len(geometry.sites), 0))]
    for name in names:
        try:
            values = geometry.values(Feature.parsed(name))
        except FeatureError as error:
            raise _named(name, error) from error
        columns.append(values.reshape(len(values), -1))
    return np.concatenate(columns, axis=1)


def check_features(mesh: Mesh, names: Sequence[str], at: str = "points") -> None:
    """Raises as `features` does for names and regions, without computing a value."""
    geometry = _geometry(mesh, at, None)
    for name in names:
        try:
            geometry.check(Feature.parsed(name))
        except FeatureError as error:
            raise _named(name, error) from error


def _geometry(mesh: Mesh, at: str, length: float | None) -> Geometry:
    extent = float(np.ptp(mesh.points, axis=0).max()) if len(mesh.points) else 0.0
    return Geometry(mesh, at, extent if length is None else length)


def _named(name: str, error: FeatureError) -> FeatureError:
    text = str(error)
    if repr(name) not in text:
        text = f"feature {name!r}: {text}"
    return FeatureError(text)
