"""Steady conduction of heat in plates with holes and a strongly varying conductivity.

    -div(k grad T) = q,   T = 0 on the outer sides,   no flux through the holes,

log k a sum of waves, scaled so that the largest k is 100 times the smallest; q a few
bumps. The truth: quadratic elements. Known shapes: the unit square with 1 to 4 round
holes. Unseen: an L with elliptical holes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from isofield import Mesh
from isofield.data import Symmetry
from tests.benchmarks.learning.cases import RESOLUTIONS, Case, Sizes, Task, renumbered
from tests.benchmarks.learning.elements import (
    Interpolation,
    as_held,
    basis_of,
    factorized,
    with_cells,
)
from tests.benchmarks.learning.functions import Function, at, bumps, waves
from tests.benchmarks.learning.planar import (
    Domain,
    fine,
    meshed,
    outer_nodes,
    perforated,
)

CONTRAST = 100.0  # largest over smallest conductivity
EDGE = 1 / 44  # of the truth's triangles, whose functions are quadratic
BULGE = 0.3  # of the truth's cells, between a hole and its 48 chords

INPUTS = ("log10_conductivity", "source")
TARGETS, LINEAR_IN = ("temperature",), ("source",)


def plate(seed: int, shapes: str = "known") -> Domain:
    """A random plate; shapes : "known" or "unseen"."""
    random = np.random.default_rng([seed, 0])
    if shapes == "unseen":
        corners = [(0, 0), (1, 0), (1, 0.5), (0.5, 0.5), (0.5, 1), (0, 1)]
        return perforated(random, corners, 1 + seed % 4, flattest=0.4)
    return perforated(random, [(0, 0), (1, 0), (1, 1), (0, 1)], 1 + seed % 4)


def inputs(seed: int, source: int, places: np.ndarray) -> tuple[Function, Function]:
    """log10 k and q as functions of the place; places : of the domain, (N, 2)."""
    random = np.random.default_rng([seed, source, 1])
    wave = waves(random, 2.0)
    low, high = wave(places).min(), wave(places).max()
    scale = np.log10(CONTRAST) / (high - low)
    return lambda x: scale * (wave(x) - (low + high) / 2), bumps(random, places)


def solution(basis: Any, log_conductivity: Function, q: Function, held: Any) -> Any:
    """The temperature's values at the nodes of a basis, 0 at those held."""
    import skfem
    from skfem.helpers import dot, grad

    @skfem.BilinearForm
    def stiffness(u: Any, v: Any, w: Any) -> Any:
        return 10 ** at(log_conductivity, w.x) * dot(grad(u), grad(v))

    @skfem.LinearForm
    def load(v: Any, w: Any) -> Any:
        return at(q, w.x) * v

    free = np.setdiff1d(np.arange(basis.N), held)
    values = np.zeros(basis.N)
    matrix = stiffness.assemble(basis)[free][:, free]
    values[free] = factorized(matrix)(load.assemble(basis)[free])
    return values


@lru_cache(1)
def truth(
    seed: int, source: int, shapes: str
) -> tuple[Domain, Function, Function, Any]:
    """The plate, log10 k, q, and the temperature at any points."""
    domain = plate(seed, shapes)
    mesh = fine(domain, EDGE)
    g, q = inputs(seed, source, domain.spread(seed))
    basis = basis_of(mesh, 2)
    values = solution(basis, g, q, outer_nodes(domain, basis))
    interpolation = Interpolation.of(basis)
    return domain, g, q, lambda x: interpolation(x, BULGE) @ values


def sample(case: Case) -> Mesh:
    """A plate's mesh with conductivity, source, temperature and temperature_p1."""
    domain, g, q, temperature = truth(case.seed, case.source, case.shapes)
    mesh = meshed(domain, case.n_points, case.family, case.seed)
    fields = {
        "log10_conductivity": g(mesh.points),
        "source": q(mesh.points),
        "temperature": temperature(mesh.points),
    }
    made = mesh.with_point_data(fields)
    own = with_cells(made)
    basis = basis_of(own, 1)
    held = outer_nodes(domain, basis)
    known = as_held(own, "log10_conductivity"), as_held(own, "source")
    made = made.with_point_data({"temperature_p1": solution(basis, *known, held)})
    return renumbered(made, case.seed) if case.permuted else made


def region(case: Case) -> Mesh:
    """The case's domain alone."""
    return meshed(plate(case.seed, case.shapes), SIZES.most, "uniform", case.seed)


SIZES = Sizes(200, 1600)

TASK = Task(
    "heat_plates",
    "Heat conduction in plates with holes, conductivities 1 to 100",
    INPUTS,
    TARGETS,
    LINEAR_IN,
    sample,
    {"mixed": SIZES.train()},
    SIZES.tests(),
    RESOLUTIONS,
    symmetry=Symmetry(right_angles=True),
    domain=region,
)
