"""Poisson's equation with sine sources on a disc.

    -Δu = f in the disc around (1/2, 1/2) of radius 1,   u = 0 on its rim,
    f(x) = π / K² sum_{i, j <= K} a_ij (i² + j²)^(1/2) sin(π i x₁) sin(π j x₂),

K = 8, a_ij uniform in [-1, 1] (the sources of "Poisson-C-Sines", RIGNO, 2025,
arXiv:2501.19205, with lower waves). The truth: linear elements on 65,536 triangles.
Unseen shapes: ellipses with the radii 1 and 0.6 to 0.9, turned.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from isofield import Mesh
from isofield.data import Symmetry
from isofield.generation import disk
from tests.benchmarks.learning.cases import NEW, Case, Task, renumbered
from tests.benchmarks.learning.elements import Interpolation, factorized
from tests.benchmarks.learning.meshers import filled, triangulated

WAVES = 8  # K
CENTRE = np.array([0.5, 0.5])
REFINEMENTS = 7  # of the truth's mesh: 4 ** 8 triangles
GRADING = 4.0  # largest over smallest spacing
BULGE = 0.1  # of the truth's cells: points between the rim and its chords

FLATTEST, ROUNDEST = 0.6, 0.9  # radii of the ellipses, in the other

SIZES = (100, 250, 500, 1000, 2000, 4000, 8000, 10_000)  # of the meshes to test on

INPUTS, TARGETS, LINEAR_IN = ("source",), ("potential",), ("source",)


def source(seed: int, number: int) -> Callable[[np.ndarray], np.ndarray]:
    """f at points (N, 2)."""
    random = np.random.default_rng([seed, number, 1])
    wave = np.arange(1, WAVES + 1)
    size = np.hypot(wave[:, None], wave) * np.pi / WAVES**2
    amplitude = size * random.uniform(-1, 1, (WAVES, WAVES))

    def f(x: np.ndarray) -> np.ndarray:
        one, two = (np.sin(np.pi * x[:, k : k + 1] * wave) for k in range(2))
        return np.einsum("ni,ij,nj->n", one, amplitude, two)

    return f


def mesh(seed: int, n_points: int, family: str = "uniform") -> Mesh:
    """The disc with `n_points` nodes.

    family : "uniform", "centre" and "rim" (finest there, 4 to 1): centroidal points;
    "rings": those of `isofield.generation.disk`, jittered, about as many; "cloud":
    random points without cells, all inside.
    """
    random = np.random.default_rng([seed, n_points, 0])
    if family == "rings":
        rings = disk(round(np.sqrt((n_points - 1) / 3 + 0.25) - 0.5), jitter=0.2)
        return Mesh(rings.points + CENTRE, rings.cells)
    if family == "cloud":
        return Mesh(_drawn(random, n_points) + CENTRE)
    spacing = SPACINGS[family]
    radius = (np.arange(200) + 0.5) / 200
    along = spacing(radius[:, None] * [1.0, 0.0])
    area, rim = 2 * np.pi * (radius / along**2).mean(), 2 * np.pi / spacing(_EAST)[0]
    # a triangle's height is √3/2 of its side; a node of the rim has half a cell
    edge = np.roots([n_points, -rim / 2, -area * 2 / np.sqrt(3)]).max()
    count = round(rim / edge)
    angle = 2 * np.pi * (np.arange(count) + random.random()) / count
    held = np.column_stack([np.cos(angle), np.sin(angle)])
    points = filled(random, held, n_points - count, _drawn, spacing)
    return Mesh(points + CENTRE, {"triangle": triangulated(points)})


_EAST = np.array([[1.0, 0.0]])
SPACINGS = {
    "uniform": lambda x: np.ones(len(x)),
    "centre": lambda x: 1 / GRADING + (1 - 1 / GRADING) * np.linalg.norm(x, axis=1),
    "rim": lambda x: 1 - (1 - 1 / GRADING) * np.linalg.norm(x, axis=1),
}


def _drawn(random: np.random.Generator, count: int) -> np.ndarray:
    """Random points of the unit disc."""
    angle, radius = 2 * np.pi * random.random(count), np.sqrt(random.random(count))
    return radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])


def solver(points: np.ndarray, triangles: np.ndarray) -> Callable:
    """f (N,) at the nodes -> u (N,), 0 on the boundary, by linear elements."""
    import skfem
    from skfem.models.poisson import laplace, mass

    fine = skfem.MeshTri(points.T.copy(), triangles.T.copy())
    basis = skfem.Basis(fine, skfem.ElementTriP1())
    stiffness, load = laplace.assemble(basis), mass.assemble(basis)
    free = np.setdiff1d(np.arange(len(points)), fine.boundary_nodes())
    solve = factorized(stiffness[free][:, free])

    def solved(f: np.ndarray) -> np.ndarray:
        u = np.zeros(len(points))
        u[free] = solve((load @ f)[free])
        return u

    return solved


def flattened(points: np.ndarray, ellipse: int | None) -> np.ndarray:
    """Points of the disc in the ellipse of a seed; themselves where that is None."""
    if ellipse is None:
        return points
    return (points - CENTRE) @ flattening(ellipse) + CENTRE


@lru_cache(2)
def truth(ellipse: int | None = None) -> tuple[np.ndarray, Callable, Interpolation]:
    """Nodes of the fine mesh, its solver, and its values at other points.

    ellipse : the seed of its flattening; the disc where it is None.
    """
    import skfem

    fine = skfem.MeshTri.init_circle(REFINEMENTS)
    points, triangles = flattened(fine.p.T + CENTRE, ellipse), fine.t.T.astype(np.int64)
    return points, solver(points, triangles), Interpolation(points, triangles)


def flattening(seed: int) -> np.ndarray:
    """(2, 2) the symmetric matrix from the disc to the ellipse of a seed."""
    random = np.random.default_rng([seed, 2])
    ratio, turn = random.uniform(FLATTEST, ROUNDEST), random.uniform(0, np.pi)
    turned = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return turned.T @ np.diag([1, ratio]) @ turned


def sample(
    seed: int,
    n_points: int,
    family: str = "uniform",
    number: int = 0,
    ellipse: int | None = None,
) -> Mesh:
    """A mesh with `source` f, `potential` u and, where it has cells, `potential_p1`.

    number : which of the sources that belong to the seed. ellipse : see `truth`; its
    mesh is that of the disc, flattened.
    """
    f, disc = source(seed, number), mesh(seed, n_points, family)
    rim = np.linalg.norm(disc.points - CENTRE, axis=1) > 1 - 1e-12
    disc = Mesh(flattened(disc.points, ellipse), disc.cells)
    points, solve, interpolation = truth(ellipse)
    u = interpolation(disc.points, BULGE) @ solve(f(points))
    u[rim] = 0
    fields = {"source": f(disc.points), "potential": u}
    if disc.cells:
        own = solver(disc.points, disc.cells["triangle"])
        fields["potential_p1"] = own(fields["source"])
    return disc.with_point_data(fields)


def _sample(case: Case) -> Mesh:
    ellipse = case.seed if case.shapes == "unseen" else None
    made = sample(case.seed, case.n_points, case.family, case.source, ellipse)
    return renumbered(made, case.seed) if case.permuted else made


def _train() -> dict[str, tuple[Case, ...]]:
    """32 meshes of 1,000 nodes with 8 sources each; 256 meshes of 300 to 2,500."""
    sizes = np.geomspace(300, 2500, 256).round().astype(int).tolist()
    return {
        "fixed": tuple(Case(i // 8, 1000, source=i % 8) for i in range(256)),
        "mixed": tuple(Case(1000 + i, n) for i, n in enumerate(sizes)),
    }


def _tests() -> dict[str, tuple[Case, ...]]:
    """6 new meshes with 2 sources each, the same sources in every set."""

    def cases(n_points: int, family: str = "uniform", **other: Any):
        return tuple(
            Case(NEW + i // 2, n_points, family, i % 2, **other) for i in range(12)
        )

    found = {f"{n:,} nodes": cases(n) for n in SIZES}
    return found | {
        "graded to centre": cases(1000, "centre"),
        "graded to rim": cases(1000, "rim"),
        "rings": cases(1000, "rings"),
        "random points": cases(1000, "cloud"),
        "unseen shapes": cases(1000, shapes="unseen"),
        "permuted": cases(1000, permuted=True),
    }


TASK = Task(
    "poisson_disc",
    "Poisson with sine sources on a disc",
    INPUTS,
    TARGETS,
    LINEAR_IN,
    _sample,
    _train(),
    _tests(),
    tuple(f"{n:,} nodes" for n in SIZES),
    symmetry=Symmetry(),
)
