"""What is to be seen of a data set before anything is learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from isofield.data import Field, check_same_fields, stacked
from isofield.data.fields import Site
from isofield.data.frame import Frame
from isofield.data.measuring import discretized, mean_spacing, measure_dimension
from isofield.discretization import Discretization
from isofield.mesh import Mesh
from isofield.recommend.waves import Detail, detail


@dataclass(frozen=True)
class Survey:
    """Facts of a data set; lengths in units of the largest extent of the cases.

    sizes : points (or cells) of every case. dimension, measure_dimension : of space and
    of cells. spacing : of the finest and the coarsest case. closed : cases without a
    boundary. sided : whether all points have normals. inputs, targets : the fields.
    details : of the fields that vary within a case, by name. sizes_of : name -> root
    mean square in every case. regions : named in all cases -> the farthest that their
    middles lie from the mean of these. same_domain : whether all cases fill the same.
    """

    sizes: tuple[int, ...]
    dimension: int
    measure_dimension: int
    spacing: tuple[float, float]
    closed: int
    sided: bool
    inputs: tuple[Field, ...]
    targets: tuple[Field, ...]
    details: Mapping[str, Detail]
    sizes_of: Mapping[str, np.ndarray]
    regions: Mapping[str, float]
    same_domain: bool

    @property
    def fills(self) -> bool:
        """Whether the domains fill the space, as surfaces and curves do not."""
        return self.measure_dimension == self.dimension

    @property
    def constant(self) -> list[str]:
        """Inputs that vary from case to case at most."""
        return [field.name for field in self.inputs if field.name not in self.details]


def surveyed(
    cases: Sequence[Mesh],
    inputs: Sequence[str],
    targets: Sequence[str],
    at: Site,
    names: Sequence[str],
    cloud_on_boundary: bool,
) -> Survey:
    """Raises `FieldError` and `MeshError` as `Surrogate.for_cases` does."""
    given, wanted = check_same_fields(cases, [inputs, targets], at, names)
    m = measure_dimension(cases, names)
    physical = [
        discretized(case, at, name, m, cloud_on_boundary)
        for case, name in zip(cases, names, strict=True)
    ]
    frame = Frame.around(physical, m)
    domains = [frame.scaled(domain) for domain in physical]
    spacing = [mean_spacing(domain, m) for domain in domains]
    details, sizes_of = {}, {}
    for field in (*given, *wanted):
        values = [stacked(case, [field], at) for case in cases]
        sizes_of[field.name] = _sizes(domains, values)
        found = detail(domains, values, m)
        if found is not None:
            details[field.name] = found
    return Survey(
        tuple(map(len, domains)),
        domains[0].dimension,
        m,
        (min(spacing), max(spacing)),
        sum(m < case.points.shape[1] and _is_closed(case) for case in cases),
        all(domain.normals is not None for domain in domains),
        tuple(given),
        tuple(wanted),
        details,
        sizes_of,
        _regions(cases, frame.length),
        _same_domain(domains, max(spacing)),
    )


def _sizes(domains: Sequence[Discretization], values: list[np.ndarray]) -> np.ndarray:
    """(cases,) root mean squares in the measure."""
    squares = [
        domain.mean(torch.from_numpy(u).square()).sum()
        for domain, u in zip(domains, values, strict=True)
    ]
    return torch.stack(squares).sqrt().numpy()


def _is_closed(case: Mesh) -> bool:
    return case.dimension > 0 and len(case.boundary_points()) == 0


def _same_domain(domains: Sequence[Discretization], spacing: float) -> bool:
    """Boxes, measures, means and second moments differ by O(spacing²) at most."""
    facts = torch.stack([_facts(domain) for domain in domains])
    apart = float((facts.amax(0) - facts.amin(0)).max())
    return apart < 2 * spacing**2


def _facts(domain: Discretization) -> Tensor:
    x = domain.points
    mean = domain.mean(x)[0]
    second = domain.mean(((x - mean)[:, :, None] * (x - mean)[:, None]).flatten(1))[0]
    return torch.cat([x.amin(0), x.amax(0), domain.measure(), mean, second])


def _regions(cases: Sequence[Mesh], length: float) -> dict[str, float]:
    """Names of all cases, and the largest distance of a middle from their mean."""
    places = [_places(case) for case in cases]
    common = [name for name in places[0] if all(name in found for found in places)]
    apart = {}
    for name in common:
        middles = np.stack([found[name] for found in places])
        away = np.linalg.norm(middles - middles.mean(0), axis=1)
        apart[name] = float(away.max()) / length
    return apart


def _places(case: Mesh) -> dict[str, np.ndarray]:
    """The middles of the sets that are not empty; of facets by their cells. Of sets of
    one name the facets count, then the cells, as in `isofield.features`."""
    centres = [case.points[nodes].mean(1) for nodes in case.cells.values()]
    centres = np.concatenate([case.points[:0], *centres])
    found = {
        name: case.points[members].mean(0)
        for name, members in case.point_sets.items()
        if len(members)
    }
    for name, members in (*case.cell_sets.items(), *case.facet_sets.items()):
        if len(members):
            numbers = members.reshape(len(members), -1)[:, 0]
            found[name] = centres[numbers].mean(0)
    return found
