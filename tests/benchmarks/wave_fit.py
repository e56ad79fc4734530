"""Sine sources on a disc, from few points: sums of waves against fits of waves.

Errors in the measure of a fine mesh, of the source that was found and of the solution
of Poisson's equation with it; a prior of smooth fields, and one that saw 256 others.
"""

from collections.abc import Iterator

import numpy as np
import torch
from rich.progress import track
from rich.table import Table
from torch import Tensor

from isofield.discretization import Discretization, from_mesh, from_points
from isofield.generation import disk
from isofield.layers.fourier_conv import amplitudes, wave_numbers, waves_at
from isofield.layers.wave_fit import WaveFit
from tests.benchmarks.learning.poisson_disc import CENTRE, mesh, solver, source

WAVES, PERIOD, FINE, TESTS = 15, 2.6, 70, 6
SETS = {
    "271 points": (271, "uniform"),
    "547 points": (547, "uniform"),
    "1,027 points": (1027, "uniform"),
    "graded 4 : 1": (1027, "centre"),
    "random points": (1000, "cloud"),
}


def tables() -> Iterator[Table]:
    """One row for each set of points, the means of several meshes and sources."""
    numbers = wave_numbers(2, WAVES, PERIOD)
    smooth, seen = WaveFit(numbers, PERIOD**2), WaveFit(numbers, PERIOD**2)
    learned = [_domain(1027, "uniform", seed) for seed in range(32)]
    seen.observe(learned, [_sources(domain, 8, i) for i, domain in enumerate(learned)])
    fine = disk(FINE)
    dense = from_mesh(fine)
    solve = solver(fine.points, fine.cells["triangle"])
    there = waves_at(dense, numbers).values

    def errors(domain: Discretization, seed: int) -> list[float]:
        f, truth = _sources(domain, 1, seed), _sources(dense, 1, seed)
        waves = waves_at(domain, numbers).values / PERIOD**2
        u, row = solve(truth[:, 0].numpy()), []
        for dual in (
            waves * domain.weights[:, None],
            smooth.dual(domain),
            seen.dual(domain),
        ):
            found = (there @ amplitudes(f, dual, domain)[:, 0])[:, 0]
            row.append(_apart(found, truth[:, 0], dense))
            row.append(_apart(torch.from_numpy(solve(found.numpy())), u, dense))
        return row

    table = Table(title=f"Errors of source and solution, {len(numbers)} waves")
    for heading in ("points", "sum", "fit, smooth prior", "fit, observed prior"):
        table.add_column(heading, justify="left" if heading == "points" else "right")
    for name, kind in track(SETS.items(), "Fitting"):
        found = [errors(_domain(*kind, 100 + i), 100 + i) for i in range(TESTS)]
        mean = 100 * np.mean(found, 0)
        pairs = [f"{f:.1f} %, {u:.1f} %" for f, u in mean.reshape(-1, 2)]
        table.add_row(name, *pairs)
    yield table


def _domain(n_points: int, family: str, seed: int) -> Discretization:
    """The disc around the origin."""
    made = mesh(seed, n_points, family)
    if made.cells:
        domain = from_mesh(made)
    else:
        domain = from_points(torch.from_numpy(made.points.copy()), on_boundary=False)
    return Discretization(domain.points - torch.from_numpy(CENTRE), domain.weights)


def _sources(domain: Discretization, count: int, seed: int) -> Tensor:
    at = domain.points.numpy() + CENTRE
    return torch.from_numpy(
        np.stack([source(seed, number)(at) for number in range(count)], 1)
    )


def _apart(found: Tensor, truth: Tensor, dense: Discretization) -> float:
    truth = torch.as_tensor(truth)
    return float(dense.norm(found - truth) / dense.norm(truth))
