"""The screened Poisson equation on random closed surfaces, as in `examples/surfaces`.

    -div grad u + k² u = f,

f a few bumps; the truth: linear elements on 23,042 points of the same surface. Known
shapes: spheres with random waves; unseen: tori.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import ConvexHull

from isofield import Mesh
from isofield.data import Symmetry
from isofield.generation import icosphere, random_surface, torus
from isofield.operators import linear
from tests.benchmarks.learning.cases import RESOLUTIONS, Case, Sizes, Task, renumbered

EXAMPLE = Path(__file__).parents[3] / "examples" / "surfaces" / "screened.py"
RING = (1.0, 0.4)  # radii of a torus's centre line and of its tube
FINE_TUBE = 96  # spacings around the tube of the truth's torus
OFF = 0.1  # how far coarse meshes may lie from the truth's triangles
GRADINGS = {"four": 4.0, "nine": 9.0}  # largest over smallest spacing

INPUTS, TARGETS, LINEAR_IN = ("source",), ("potential",), ("source",)


@lru_cache(1)
def screened() -> Any:
    """The example's module."""
    spec = importlib.util.spec_from_file_location("screened_example", EXAMPLE)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by its name
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def surface(case: Case) -> Mesh:
    """The case's surface with about `n_points` nodes.

    family : "uniform" and GRADINGS: the triangles of an icosphere, jittered; "hull":
    those of the convex hull of as many points spread over the sphere at random and
    evened out, brought to the truth's triangles; "cloud": random points there without
    cells, as dense per solid angle everywhere.
    """
    if case.shapes == "unseen":
        ring, tube = RING
        n = max(3, round((case.n_points * tube / ring) ** 0.5))
        return _scaled(torus(n, ring=ring, tube=tube, jitter=0.2, seed=case.seed), case)
    if case.family in ("hull", "cloud"):
        random = np.random.default_rng([case.seed, case.n_points])
        return _through(case, _directions(random, case.n_points, case.family))
    grading = GRADINGS.get(case.family, 1.0)
    n = max(1, round(((case.n_points - 2) / 10) ** 0.5))
    return random_surface(case.seed, n, grading=grading, jitter=0.2)


def _scaled(mesh: Mesh, case: Case) -> Mesh:
    """An unseen shape, stretched at random along its axes."""
    stretch = np.random.default_rng(case.seed).uniform(0.8, 1.25, 3)
    return Mesh(mesh.points * stretch, mesh.cells)


def _directions(random: np.random.Generator, count: int, family: str) -> np.ndarray:
    """Points of the unit sphere, at random or evened out (Lloyd's iteration)."""
    from tests.benchmarks.learning.meshers import CANDIDATES, centroidal

    points = _unit(random.standard_normal((count, 3)))
    if family == "hull":
        places = _unit(random.standard_normal((CANDIDATES * count, 3)))
        points = _unit(
            centroidal(places, np.ones(len(places)), np.empty((0, 3)), points)
        )
    return points


def _through(case: Case, directions: np.ndarray) -> Mesh:
    """The truth's surface in these directions from the origin, and their hull."""
    n = screened().FINE
    carry = linear(icosphere(n), Mesh(directions), max_distance=OFF)
    points = carry(random_surface(case.seed, n).points)
    if case.family == "cloud":
        return Mesh(points)
    triangles = ConvexHull(directions).simplices.astype(np.int64)
    inward = np.linalg.det(directions[triangles]) < 0
    triangles[inward, :2] = triangles[inward, 1::-1]
    return Mesh(points, {"triangle": triangles})


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@lru_cache(1)
def truth(seed: int, shapes: str) -> tuple[Mesh, Any]:
    """The fine mesh and its solver."""
    fine = random_surface(seed, screened().FINE)
    if shapes == "unseen":
        ring, tube = RING
        case = Case(seed, 0, shapes=shapes)
        fine = _scaled(torus(FINE_TUBE, ring=ring, tube=tube), case)
    return fine, screened().solver(fine, screened().SCREENING)


def sample(case: Case) -> Mesh:
    """A surface's mesh with source, potential and potential_p1."""
    fine, solve = truth(case.seed, case.shapes)
    random = np.random.default_rng([case.seed, case.source])
    source = screened().bumps(random, fine.points)
    mesh = surface(case)
    carry = linear(fine, mesh, max_distance=OFF)
    fields = {
        "source": source(mesh.points),
        "potential": carry(solve(source(fine.points))),
    }
    if mesh.cells:
        own = screened().solver(mesh, screened().SCREENING)
        fields["potential_p1"] = own(fields["source"])
    made = mesh.with_point_data(fields)
    return renumbered(made, case.seed) if case.permuted else made


SIZES = Sizes(250, 2000, boundary="four", centre="nine", mesher="hull")
NAMES = {
    "graded to the boundary": "graded 4 to 1",
    "graded to the centre": "graded 9 to 1",
}  # a closed surface has neither

TASK = Task(
    "screened_surfaces",
    "Screened Poisson equation on closed surfaces",
    INPUTS,
    TARGETS,
    LINEAR_IN,
    sample,
    {"mixed": SIZES.train()},
    {NAMES.get(title, title): cases for title, cases in SIZES.tests().items()},
    RESOLUTIONS,
    symmetry=Symmetry(),
)
