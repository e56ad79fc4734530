"""A screened Poisson equation on random closed surfaces, solved on fine meshes.

`-div grad u + k² u = f` on a surface without boundary, by linear elements on triangles:
div and grad within the surface, f a few bumps of random places, widths and heights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix, diags
from scipy.sparse.linalg import splu

from isofield import Mesh, from_mesh
from isofield.generation import random_surface
from isofield.operators import gradient, linear

SCREENING = 2.0  # k, 1/length; the surfaces have a mean radius of about 1
FINE = 48  # of the meshes on which is solved: 10 n² + 2 points


@dataclass(frozen=True)
class Case:
    """One surface with several sources.

    seed : of the surface and the sources. n : of its mesh, 10 n² + 2 points.
    n_sources : how many right-hand sides. grading, jitter : as in `random_surface`.
    """

    seed: int
    n: int
    n_sources: int = 1
    grading: float = 1.0
    jitter: float = 0.2


def solved(case: Case) -> Iterator[Mesh]:
    """The case's mesh with `source` f and `potential` u, for each of its sources.

    u is the solution on the fine mesh of the same surface, at the points of this one:
    the same function, whatever the mesh.
    """
    fine = random_surface(case.seed, FINE)
    mesh = random_surface(case.seed, case.n, grading=case.grading, jitter=case.jitter)
    solve = solver(fine, SCREENING)
    carry = linear(fine, mesh, max_distance=0.05)
    for number in range(case.n_sources):
        rng = np.random.default_rng([case.seed, number])
        source = bumps(rng, fine.points)
        potential = carry(solve(source(fine.points)))
        fields = {"source": source(mesh.points), "potential": potential}
        yield mesh.with_point_data(fields)


def solver(mesh: Mesh, screening: float):
    """f (N,) at the points -> u (N,): `(K + k² M) u = M f` with the lumped mass M.

    O(h²) in the mean square; the largest error, at points with five neighbours among
    points with six, falls a little slower.
    """
    slope = gradient(mesh)
    node, site = slope.graph.edge_index.numpy()
    d = slope.values.shape[1]
    rows = (site[:, None] * d + np.arange(d)).ravel()
    entries = slope.values.numpy().ravel()
    shape = (len(slope.sites) * d, len(mesh.points))
    derivative = csr_matrix((entries, (rows, np.repeat(node, d))), shape)
    stiffness = derivative.T @ diags(slope.sites.weights.repeat_interleave(d).numpy())
    mass = from_mesh(mesh).weights.numpy()
    system = stiffness @ derivative + diags(screening**2 * mass)
    factors = splu(csc_matrix(system))
    return lambda source: factors.solve(mass * source)


def bumps(rng: np.random.Generator, points: np.ndarray):
    """A sum of 2 to 6 Gaussian functions around points of a surface (N, 3)."""
    count = rng.integers(2, 7)
    centre = points[rng.integers(len(points), size=count)]
    width = rng.uniform(0.25, 0.6, count)
    height = rng.standard_normal(count)

    def source(x: np.ndarray) -> np.ndarray:
        square = ((x[:, None] - centre) ** 2).sum(2)
        return np.exp(-square / (2 * width**2)) @ height

    return source
