"""Plates with random holes under tension: samples and files of them.

Plane stress, linear elasticity, solved with scikit-fem on gmsh meshes. Inputs are the
geometry, the load and the material; targets are the displacement and the von Mises
stress. The targets come from one fine solution of each plate, so they are the same
functions on every mesh of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from plate import SIDE, Hole, Plate
from plate_mesh import blue_noise_cloud, mesh, random_cloud
from truth import Truth

from isofield import Mesh

__all__ = [
    "Case",
    "FAMILIES",
    "Hole",
    "INPUTS",
    "Plate",
    "SIMILARITY",
    "TARGETS",
    "Truth",
    "UNITS",
    "cases",
    "generate",
    "mesh",
    "mirrored",
    "sample",
]

INPUTS = ("load", "young_modulus", "poisson_ratio")
TARGETS = ("displacement", "von_mises")
# the equations are linear: displacements go with load / modulus, stresses with the load
SIMILARITY = {"displacement": "load / young_modulus", "von_mises": "load"}
UNITS = {
    "unit:displacement": "mm",
    "unit:von_mises": "MPa",
    "unit:load": "MPa",
    "unit:young_modulus": "MPa",
    "unit:poisson_ratio": "1",
}
FORMATS = (".vtu", ".msh", ".xdmf")
HOLD_UNITS = (".vtu",)


def _graded(
    plate: Plate, n_points: int, _: np.random.Generator, grading: float
) -> Mesh:
    return mesh(plate, n_points, grading)


FAMILIES: dict[str, Callable[[Plate, int, np.random.Generator], Mesh]] = {
    "uniform": partial(_graded, grading=1.0),
    "graded": partial(_graded, grading=4.0),
    "strongly_graded": partial(_graded, grading=8.0),
    "random_cloud": random_cloud,
    "blue_noise_cloud": blue_noise_cloud,
}


@dataclass(frozen=True)
class Case:
    """One sample to make: the seed fixes the plate, the rest how it is sampled."""

    seed: int
    n_points: int
    family: str = "uniform"


def cases(
    first_seed: int,
    count: int,
    n_points: tuple[int, int] = (300, 2500),
    families: Sequence[str] = ("uniform", "graded"),
) -> list[Case]:
    """Cases with seeds counted from first_seed and families in turn.

    The node counts are the count evenly log-spaced numbers from n_points[0] to
    n_points[1], in random order, so that small sets reach both ends too.
    """
    numbers = np.geomspace(*n_points, count).round().astype(int)
    numbers = np.random.default_rng(first_seed).permutation(numbers)
    return [
        Case(first_seed + i, int(number), families[i % len(families)])
        for i, number in enumerate(numbers)
    ]


def sample(seed: int, n_points: int, family: str = "uniform") -> Mesh:
    """The plate of this seed, sampled: triangles, or a bare cloud, with its fields.

    point_data: the targets `displacement` (N, 2), mm, and `von_mises` (N,), MPa, and
    the inputs `load`, `young_modulus` (MPa) and `poisson_ratio`, each (N,) and
    constant, because few formats hold a number of the whole mesh. field_data: units.

    Raises `ValueError` where the family is unknown or the number of points cannot be
    had.
    """
    if family not in FAMILIES:
        raise ValueError(f"family: expected one of {list(FAMILIES)}, got {family!r}")
    if n_points < 1:
        raise ValueError(f"n_points: expected at least 1, got {n_points}")
    rng = np.random.default_rng(seed)
    plate = Plate.random(rng)
    bare = FAMILIES[family](plate, n_points, rng)
    displacement, von_mises = Truth(plate)(bare.points)
    constants = {
        name: np.full(len(bare.points), getattr(plate, name)) for name in INPUTS
    }
    fields = {"displacement": displacement, "von_mises": von_mises, **constants}
    return replace(bare, point_data=fields, field_data=UNITS)


def mirrored(case: Mesh) -> Mesh:
    """The sample of the plate that is this one upside down: y becomes 100 mm - y.

    Load and supports are the same on both but for the corner that is held in y, so the
    displacement is the mirrored one less a translation. An equation's symmetry gives
    half of the training cases without a solver.

    case : triangles with `displacement`, its corner (0, 100) a node.
    """
    points = case.points * [1, -1] + [0, SIDE]
    displacement = case.point_data["displacement"] * [1, -1]
    held = np.flatnonzero((case.points == [0, SIDE]).all(1)).item()
    return replace(
        case,
        points=points,
        cells={kind: nodes[:, ::-1] for kind, nodes in case.cells.items()},
        point_data={
            **case.point_data,
            "displacement": displacement - [0, displacement[held, 1]],
        },
    )


def generate(
    folder: str | Path,
    wanted: Sequence[Case],
    formats: Sequence[str] = FORMATS,
    processes: int = 2,
) -> list[Path]:
    """Write `plate_<seed><suffix>` for every case, the formats in turn, as solvers do.

    The paths come back in the order of the cases. A file depends on its case and its
    format alone. The units go only into formats that hold them (.vtu).

    The processes are spawned, so a script calls this under `if __name__ ==
    "__main__":`. Raises `RuntimeError` that names the seed where a case fails.
    """
    from rich.progress import track

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [
        folder / f"plate_{case.seed:05d}{formats[i % len(formats)]}"
        for i, case in enumerate(wanted)
    ]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        jobs = [pool.submit(_written, *job) for job in zip(paths, wanted, strict=True)]
        try:
            for job in track(jobs, description=f"Solving plates: {folder.name}"):
                job.result()
        finally:
            pool.shutdown(cancel_futures=True)
    return paths


def _written(path: Path, case: Case) -> None:
    from isofield import io

    try:
        made = sample(case.seed, case.n_points, case.family)
        if path.suffix not in HOLD_UNITS:
            made = replace(made, field_data={})
        io.write(path, made)
    except Exception as error:
        raise RuntimeError(
            f"plate of seed {case.seed}: {path.name}: {error}"
        ) from error
