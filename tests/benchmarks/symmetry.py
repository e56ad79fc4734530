"""What moved copies of the cases are worth where the equations have no direction.

The gradient of the solution of Poisson's equation on random blobs, zero on their
boundary, from its source: a vector that turns with the domain. Equal CPU time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from rich.table import Table

from isofield import Mesh
from isofield.data import Symmetry
from isofield.data.motion import with_copies
from isofield.generation import random_blob
from isofield.surrogate import Surrogate
from isofield.train import Schedule, evaluate
from tests.benchmarks.learning.poisson_disc import solver
from tests.benchmarks.learning.training import Job, trained

CASES, TESTS = 32, 24
SECONDS = 40.0  # of CPU time for the steps of each training
FINER = 4  # than the case is the mesh on which is solved
FIELDS = ["source", "slope"]


def tables() -> Iterator[Table]:
    """Errors on new blobs, and on the same ones moved."""
    train = [case(seed, 6 + seed % 4) for seed in range(CASES)]
    tests = [case(1000 + seed, 6 + seed % 4) for seed in range(TESTS)]
    moved = copied(tests, Symmetry(copies=1, seed=9))[TESTS:]
    table = Table(
        "copies of each case",
        "steps",
        "training error",
        "test error",
        "standard error",
        "tests moved",
        title=f"Gradient of a potential, {CASES} blobs, {SECONDS:.0f} s of CPU time",
    )
    for symmetry in (None, Symmetry(copies=7)):
        model = Surrogate.for_cases(
            train,
            FIELDS[:1],
            FIELDS[1:],
            architecture="FourierOperator",
            width=32,
            augment=symmetry,
        )
        cases = train if symmetry is None else copied(train, symmetry)
        job = Job("FourierOperator", SECONDS, {}, Schedule(nodes=1500))
        done = trained(model, job, [model.sample(c) for c in cases], progress=False)
        errors = evaluate(model, [model.sample(c) for c in tests])[:, 0]
        turned = evaluate(model, [model.sample(c) for c in moved])[:, 0]
        table.add_row(
            "0" if symmetry is None else str(symmetry.copies),
            f"{done['steps']:,.0f}",
            f"{100 * done['training error']:.1f} %",
            f"{100 * float(errors.mean()):.1f} %",
            f"{100 * float(errors.std()) / TESTS**0.5:.1f} %",
            f"{100 * float(turned.mean()):.1f} %",
        )
    yield table


def copied(cases: list[Mesh], symmetry: Symmetry) -> list[Mesh]:
    """The cases and their copies."""
    names = [str(number) for number in range(len(cases))]
    return with_copies(cases, names, symmetry, FIELDS)[0]


def case(seed: int, n: int) -> Mesh:
    """A blob with its `source`, four bumps, and the `slope` of its potential, solved on
    a finer mesh of the same blob that has all points of this one."""
    fine, mesh = random_blob(seed, FINER * n), random_blob(seed, n)
    source = bumps(seed, fine.points)
    triangles = fine.cells["triangle"]
    potential = solver(fine.points, triangles)(source(fine.points))
    slope = gradient_at_points(fine.points, triangles, potential)
    square = ((mesh.points[:, None] - fine.points) ** 2).sum(2)
    if square.min(1).max() > 1e-20:
        raise ValueError("a point of the blob is none of its finer mesh")
    fields = {"source": source(mesh.points), "slope": slope[square.argmin(1)]}
    return mesh.with_point_data(fields)


def bumps(seed: int, points: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A sum of four Gaussian functions of random places, widths and heights."""
    random = np.random.default_rng(10**6 + seed)
    centres = points[random.integers(len(points), size=4)]
    widths, heights = random.uniform(0.25, 0.5, 4), random.standard_normal(4)

    def source(x: np.ndarray) -> np.ndarray:
        square = ((x[:, None] - centres) ** 2).sum(2)
        return np.exp(-square / (2 * widths**2)) @ heights

    return source


def gradient_at_points(
    points: np.ndarray, triangles: np.ndarray, u: np.ndarray
) -> np.ndarray:
    """(N, 2) means of the gradients of linear elements around each point, by area."""
    corners, values = points[triangles], u[triangles]
    edges = corners[:, 1:] - corners[:, :1]
    rises = values[:, 1:] - values[:, :1]
    slope = np.linalg.solve(edges, rises[..., None])[..., 0]
    area = np.linalg.det(edges) / 2
    found, total = np.zeros_like(points), np.zeros(len(points))
    for corner in triangles.T:
        np.add.at(found, corner, slope * area[:, None])
        np.add.at(total, corner, area)
    return found / total[:, None]
