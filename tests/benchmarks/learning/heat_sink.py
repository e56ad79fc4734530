"""Steady heat in heat sinks with random fins, in space.

    -Δu = 0,   du/dn = q on the bottom,   du/dn + Bi u = 0 on all other sides,

q a few bumps, Bi the strength of the cooling, one number for each sink. Fields:
`heating` is q continued upward, `cooling` is Bi everywhere. The truth: quadratic
elements. Known shapes: a plate of 1 x 0.6 x 0.15 with 2 to 4 fins across it; unseen:
with 6 pins.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise, permutations
from typing import Any

import numpy as np

from isofield import Mesh
from isofield.generation.spacing import jittered
from tests.benchmarks.learning.cases import RESOLUTIONS, Case, Sizes, Task, renumbered
from tests.benchmarks.learning.elements import (
    ROUNDING,
    Interpolation,
    as_held,
    basis_of,
)
from tests.benchmarks.learning.functions import Function, at, bumps
from tests.benchmarks.learning.gmsh_meshes import of_boxes
from tests.benchmarks.learning.meshers import oriented

WIDTH, DEPTH, BASE = 1.0, 0.6, 0.15
GRADING = 4.0  # largest over smallest spacing along an axis
EDGE = 0.035  # of the truth's tetrahedra, whose functions are quadratic

INPUTS, TARGETS, LINEAR_IN = ("heating", "cooling"), ("temperature",), ("heating",)


def boxes(seed: int, shapes: str = "known") -> np.ndarray:
    """(B, 3, 2) lower and upper ends of the sink's boxes along each axis."""
    random = np.random.default_rng([seed, 0])
    found = [[(0.0, WIDTH), (0.0, DEPTH), (0.0, BASE)]]
    columns, rows = (random.integers(2, 5), 1) if shapes == "known" else (3, 2)
    pitch, across = WIDTH / columns, DEPTH / rows
    for column in range(columns):
        for row in range(rows):
            x = (column + random.uniform(0.1, 0.35)) * pitch
            width = random.uniform(0.3, 0.5) * pitch
            y, top = row * across, BASE + random.uniform(0.2, 0.6)
            deep = (y, y + across) if rows == 1 else (y + 0.25 * across, y + across / 2)
            found.append([(x, x + width), deep, (BASE, top)])
    return np.array(found)


def inputs(seed: int, source: int) -> tuple[Function, float]:
    """q as a function of the place, and Bi."""
    random = np.random.default_rng([seed, source, 1])
    bottom = random.random((20, 2)) * (WIDTH, DEPTH)
    q = bumps(random, bottom)
    return lambda x: 3 * q(x[:, :2]), float(np.exp(random.uniform(np.log(0.2), 1)))


def lattice(parts: np.ndarray, edge: float, family: str = "uniform") -> Mesh:
    """Tetrahedra of a product grid through all sides of the boxes, six to a brick.

    family : "uniform", or the lines finest at the "boundary" (the sides of each box)
    or the "centre" of the sink, 4 to 1.
    """
    axes = [_lines(parts[:, axis], edge, family) for axis in range(3)]
    middle = [(axis[1:] + axis[:-1]) / 2 for axis in axes]
    bricks = np.zeros([len(m) for m in middle], bool)
    for part in parts:
        within = [(m > a) & (m < b) for m, (a, b) in zip(middle, part, strict=True)]
        bricks |= within[0][:, None, None] & within[1][:, None] & within[2]
    shape = [len(axis) for axis in axes]
    first, unit = np.argwhere(bricks), np.eye(3, dtype=int)
    cells = []
    for order in permutations(range(3)):  # Kuhn's: the faces of neighbours match
        path = np.cumsum([0 * unit[0], *unit[list(order)]], axis=0)
        corners = first[:, None] + path
        cells.append(np.ravel_multi_index(tuple(np.moveaxis(corners, -1, 0)), shape))
    used, numbers = np.unique(np.concatenate(cells), return_inverse=True)
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)[used]
    return Mesh(points, {"tetra": oriented(points, numbers.reshape(-1, 4))})


def _lines(ends: np.ndarray, edge: float, family: str) -> np.ndarray:
    """The grid's lines along an axis: all ends, and what the spacing wants between."""
    stops = np.unique(ends.round(9))
    middle, half = (stops[0] + stops[-1]) / 2, (stops[-1] - stops[0]) / 2
    lines = []
    for a, b in pairwise(stops):
        fine = np.linspace(a, b, 201)
        x = (fine[1:] + fine[:-1]) / 2
        away = np.zeros_like(x) + 1
        if family == "boundary":
            away = np.minimum(x - a, b - x) / ((b - a) / 2)
        elif family == "centre":
            away = np.abs(x - middle) / half
        spacing = 1 / GRADING + (1 - 1 / GRADING) * away
        way = np.append(0, (np.diff(fine) / spacing).cumsum())
        count = max(1, round(way[-1] / edge))
        lines.append(np.interp(np.arange(count) * way[-1] / count, way, fine))
    return np.append(np.concatenate(lines), stops[-1])


def meshed(case: Case) -> Mesh:
    """The case's sink with about `n_points` nodes, at least as its boxes need.

    family : those of `lattice`, inner points jittered; "gmsh"; "cloud": random points
    inside, without cells.
    """
    parts = boxes(case.seed, case.shapes)
    if case.family == "cloud":
        random = np.random.default_rng([case.seed, case.n_points])
        lower, upper = parts.min((0, 2)), parts.max((0, 2))
        places = lower + random.random((20 * case.n_points, 3)) * (upper - lower)
        inside = (places[:, None] > parts[..., 0]) & (places[:, None] < parts[..., 1])
        return Mesh(places[inside.all(2).any(1)][: case.n_points])
    if case.family == "gmsh":
        volume = (parts[..., 1] - parts[..., 0]).prod(1).sum()
        return of_boxes(parts, 1.2 * (volume / case.n_points) ** (1 / 3))
    low, high = 0.004, 2.0  # of the edge; halved until the counts meet
    for _ in range(24):
        edge = (low * high) ** 0.5
        lines = [_lines(parts[:, k], edge, case.family) for k in range(3)]
        many = _count(parts, lines) > case.n_points
        low, high = (edge, high) if many else (low, edge)
    mesh = lattice(parts, high, case.family)
    fixed = np.isin(np.arange(len(mesh.points)), mesh.boundary_points())
    return jittered(mesh.points, dict(mesh.cells), 0.15, case.seed, fixed)


def _count(parts: np.ndarray, lines: list[np.ndarray]) -> int:
    """How many points of a product grid lie in the boxes or on their sides."""
    points = np.zeros([len(line) for line in lines], bool)
    for part in parts:
        on = [
            (line > a - 1e-8) & (line < b + 1e-8)
            for line, (a, b) in zip(lines, part, strict=True)
        ]
        points |= on[0][:, None, None] & on[1][:, None] & on[2]
    return int(points.sum())


def solution(basis: Any, q: Function, cooling: float) -> np.ndarray:
    """The temperature's values at the nodes of a basis, by conjugate gradients."""
    import skfem
    from scipy.sparse import diags
    from scipy.sparse.linalg import cg
    from skfem.models.poisson import laplace, mass

    bottom = basis.mesh.facets_satisfying(lambda x: x[2] < 1e-9, boundaries_only=True)
    others = np.setdiff1d(basis.mesh.boundary_facets(), bottom)
    heated, cooled = (
        skfem.FacetBasis(basis.mesh, basis.elem, facets=facets, intorder=4)
        for facets in (bottom, others)
    )
    matrix = laplace.assemble(basis) + cooling * mass.assemble(cooled)
    load = skfem.LinearForm(lambda v, w: at(q, w.x) * v).assemble(heated)
    scale = diags(1 / matrix.diagonal())
    values, failed = cg(matrix, load, rtol=1e-8, maxiter=5000, M=scale)
    if failed:
        raise RuntimeError("conjugate gradients did not converge in 5000 steps")
    return values


@lru_cache(1)
def truth(seed: int, source: int, shapes: str) -> tuple[Interpolation, np.ndarray]:
    """The temperature's values and their interpolation."""
    basis = basis_of(lattice(boxes(seed, shapes), EDGE), 2)
    return Interpolation.of(basis), solution(basis, *inputs(seed, source))


def sample(case: Case) -> Mesh:
    """A sink's mesh with heating, cooling, temperature and temperature_p1."""
    interpolation, values = truth(case.seed, case.source, case.shapes)
    q, cooling = inputs(case.seed, case.source)
    mesh = meshed(case)
    fields = {
        "heating": q(mesh.points),
        "cooling": np.full(len(mesh.points), cooling),
        "temperature": interpolation(mesh.points, ROUNDING) @ values,
    }
    made = mesh.with_point_data(fields)
    if mesh.cells:  # no simplex of a cloud has a side on the bottom, where q enters
        own = solution(basis_of(mesh, 1), as_held(made, "heating"), cooling)
        made = made.with_point_data({"temperature_p1": own})
    return renumbered(made, case.seed) if case.permuted else made


def region(case: Case) -> Mesh:
    """The case's sink alone."""
    return meshed(replace(case, family="uniform", n_points=SIZES.most))


SIZES = Sizes(300, 2400)

TASK = Task(
    "heat_sink",
    "Heat sinks with random fins, in space",
    INPUTS,
    TARGETS,
    LINEAR_IN,
    sample,
    {"mixed": SIZES.train()},
    SIZES.tests(),
    RESOLUTIONS,
    domain=region,
)
