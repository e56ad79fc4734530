"""Weights of point clouds against the libraries that have a part of the task."""

import math
from collections.abc import Iterator

import robust_laplacian
import torch
from rich.table import Table
from scipy.spatial import Voronoi

from isofield.discretization import from_points
from isofield.generation import box, square
from tests.benchmarks.neighbours import medians


def tables() -> Iterator[Table]:
    """Seconds in the plane, in space and on a surface, and what the peers take."""
    table = Table(title="Weights of random clouds")
    for column in ("cloud", "from_points", "seconds", "peer", "seconds", "ratio"):
        right = column in ("seconds", "ratio")
        table.add_column(column, justify="right" if right else "left")
    for n, d in ((10_000, 2), (5_000, 3)):
        points = _uniform(n, d)
        mesh = square(1) if d == 2 else box(1)
        peer = "scipy Voronoi, no measures"
        for name, domain in (("alpha", "alpha"), ("mesh of the cube", mesh)):
            seconds = medians(
                {
                    "own": lambda x=points, m=domain: from_points(x, domain=m),
                    peer: lambda x=points: Voronoi(x.numpy()),
                },
                repeat=3,
            )
            table.add_row(f"{n:,} in {d}-D", name, *_cells(seconds, peer))
    sphere = _uniform(10_000, 3) * 2 - 1
    sphere = sphere[(sphere.norm(dim=1) < 1) & (sphere.norm(dim=1) > 0.1)]
    sphere = sphere / sphere.norm(dim=1, keepdim=True)
    peer = "robust_laplacian"
    seconds = medians(
        {
            "own": lambda: from_points(sphere, domain="surface"),
            peer: lambda: robust_laplacian.point_cloud_laplacian(sphere.numpy()),
        },
        repeat=3,
    )
    table.add_row(f"{len(sphere):,} on a sphere", "surface", *_cells(seconds, peer))
    yield table
    yield _accuracy(sphere)


def _uniform(n: int, d: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, d, generator=generator, dtype=torch.float64)


def _cells(seconds: dict[str, float], peer: str) -> list[str]:
    own, other = seconds["own"], seconds[peer]
    return [f"{own:.2f}", peer, f"{other:.2f}", f"{own / other:.1f}"]


def _accuracy(sphere: torch.Tensor) -> Table:
    table = Table(title=f"Error of the area, {len(sphere):,} random points on a sphere")
    for column in ("weights", "area / 4π - 1"):
        table.add_column(column, justify="left" if column == "weights" else "right")
    own = float(from_points(sphere, domain="surface").measure())
    mass = robust_laplacian.point_cloud_laplacian(sphere.numpy())[1]
    for name, area in (("from_points", own), ("robust_laplacian", mass.sum())):
        table.add_row(name, f"{area / (4 * math.pi) - 1:+.4%}")
    return table
