"""The unit square with circular holes, triangulated without any structure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isofield.generation.spacing import log_ratio, steps, unit
from isofield.mesh import Mesh, MeshError

Circle = tuple[float, float, float]


def plate_with_holes(
    n: int,
    holes: Sequence[Circle] = ((0.35, 0.4, 0.15), (0.7, 0.7, 0.12)),
    *,
    grading: float = 1.0,
    seed: int = 0,
) -> Mesh:
    """[0, 1]² less round holes, spacing about 1 / n. Area 1 - π sum radius² + O(h²).

    holes : (x, y, radius) each, inside the square and apart from each other.
    grading : the spacing far from the holes over the spacing at the holes; it falls
        from 1 / n to 1 / (n grading) over the last 0.3 towards a hole.
    seed : of the points' first places; another seed is another triangulation.

    The points relax as if the edges were springs (Persson and Strang, 2004,
    doi:10.1137/S0036144503429121), those of the boundary held in place.

    Raises `ValueError` where holes overlap or leave the square, `MeshError` where the
    spacing is too coarse for the gaps between holes.
    """
    plate = _Plate(len(steps(n)) - 1, np.array(holes, float).reshape(-1, 3), grading)
    rim, segments = plate.boundary()
    random = np.random.default_rng(seed)
    points = np.concatenate([rim, plate.scattered(random, rim)])
    points = _relaxed(points, len(rim), plate)
    triangles = plate.triangulated(points)
    used, numbers = np.unique(triangles, return_inverse=True)
    _check_boundary(numbers.reshape(-1, 3), used, segments, n)
    return Mesh(points[used], {"triangle": numbers.reshape(-1, 3)})


class _Plate:
    """The domain: its boundary points, the wanted spacing, and what is inside."""

    def __init__(self, n: int, holes: np.ndarray, grading: float) -> None:
        self.n, self.centres, self.radii = n, holes[:, :2], holes[:, 2]
        self.fine = np.exp(-log_ratio(grading))
        edge = np.minimum(self.centres, 1 - self.centres).min(1, initial=np.inf)
        apart = np.linalg.norm(self.centres[:, None] - self.centres, axis=2)
        np.fill_diagonal(apart, np.inf)
        touching = apart <= self.radii[:, None] + self.radii
        if (self.radii <= 0).any() or (edge <= self.radii).any() or touching.any():
            raise ValueError(
                "holes: expected (x, y, radius) with radius > 0, inside the unit "
                f"square and apart from each other, got {holes.tolist()}"
            )

    def to_hole(self, points: np.ndarray) -> np.ndarray:
        """(N,) the distance to the nearest hole, negative inside it."""
        apart = np.linalg.norm(points[:, None] - self.centres, axis=2)
        return (apart - self.radii).min(1, initial=np.inf)

    def spacing(self, points: np.ndarray) -> np.ndarray:
        """(N,) the wanted length of edges."""
        far = np.clip(self.to_hole(points) / 0.3, 0, 1)
        return (self.fine + (1 - self.fine) * far) / self.n

    def boundary(self) -> tuple[np.ndarray, np.ndarray]:
        """Points of the square's sides and of the circles; segments between them."""
        loops = [self._sides()]
        for centre, radius in zip(self.centres, self.radii, strict=True):
            count = max(6, round(2 * np.pi * radius * self.n / self.fine))
            angle = np.arange(count) * 2 * np.pi / count
            circle = np.column_stack([np.cos(angle), np.sin(angle)])
            loops.append(centre + radius * circle)
        segments, start = [], 0
        for loop in loops:
            number = np.arange(len(loop))
            segments.append(np.column_stack([number, np.roll(number, -1)]) + start)
            start += len(loop)
        return np.concatenate(loops), np.concatenate(segments)

    def _sides(self) -> np.ndarray:
        """Around the square, as many points a side as the spacing wants there."""
        corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float)
        sides = []
        fine = np.linspace(0, 1, 40 * self.n + 1)[:, None]
        for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            density = 1 / self.spacing(a + (fine[1:] + fine[:-1]) / 2 * (b - a))
            count = np.concatenate([[0], density.cumsum() / (40 * self.n)])
            edges = max(1, round(count[-1]))
            t = np.interp(np.arange(edges) * count[-1] / edges, count, fine[:, 0])
            sides.append(a + t[:, None] * (b - a))
        return np.concatenate(sides)

    def scattered(self, random: np.random.Generator, rim: np.ndarray) -> np.ndarray:
        """First places inside: a triangular lattice thinned to the wanted density."""
        finest = min(1.0, self.fine) / self.n
        rows = np.arange(0, 1, finest * np.sqrt(3) / 2)
        x, y = np.meshgrid(np.arange(0, 1, finest), rows)
        x[1::2] += finest / 2
        lattice = np.column_stack([x.ravel(), y.ravel()])
        lattice += finest * random.uniform(-0.2, 0.2, lattice.shape)
        wanted = self.spacing(lattice)
        kept = random.random(len(lattice)) < (finest / wanted) ** 2
        return lattice[kept & self.clear(lattice, wanted)]

    def clear(self, points: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """(N,) whether points are inside, more than half an edge off the boundary."""
        to_side = np.minimum(points, 1 - points).min(1)
        return np.minimum(to_side, self.to_hole(points)) > wanted / 2

    def triangulated(self, points: np.ndarray) -> np.ndarray:
        """The Delaunay triangles outside of the holes, counter-clockwise."""
        from scipy.spatial import Delaunay

        triangles = Delaunay(points).simplices.astype(np.int64)
        a, b, c = points[triangles].transpose(1, 0, 2)
        area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
        triangles[area < 0, :2] = triangles[area < 0, 1::-1]
        # Between chord and circle there is no triangle: corners there are all on one
        # circle, and their centre is inside it.
        flat = np.abs(area) < 1e-9 / self.n**2
        return triangles[(self.to_hole((a + b + c) / 3) > 0) & ~flat]


def _relaxed(points: np.ndarray, n_rim: int, plate: _Plate) -> np.ndarray:
    """Springs that only push, at rest a little longer than the wanted spacing."""
    for _ in range(60):
        triangles = plate.triangulated(points)
        edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        edges = np.unique(edges, axis=0)
        a, b = points[edges].transpose(1, 0, 2)
        length = np.linalg.norm(b - a, axis=1)
        rest = plate.spacing((a + b) / 2)
        rest *= 1.2 * np.sqrt((length**2).sum() / (rest**2).sum())
        push = 0.2 * np.maximum(rest - length, 0)[:, None] * unit(b - a)
        step = np.zeros_like(points)
        np.add.at(step, edges[:, 1], push)
        np.subtract.at(step, edges[:, 0], push)
        step[:n_rim] = 0
        moved = points + step
        stays = ~plate.clear(moved, plate.spacing(moved))
        moved[stays] = points[stays]
        points = moved
    return points


def _check_boundary(
    triangles: np.ndarray, used: np.ndarray, segments: np.ndarray, n: int
) -> None:
    """Raise unless the triangles' boundary is exactly the given segments."""
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    edges, count = np.unique(edges, axis=0, return_counts=True)
    found = {tuple(edge) for edge in used[edges[count == 1]].tolist()}
    wanted = {tuple(sorted(edge)) for edge in segments.tolist()}
    if found != wanted:
        raise MeshError(
            f"{len(wanted - found)} of {len(wanted)} boundary segments are not edges "
            f"of the triangulation: n = {n} is too coarse for the gaps; take a larger n"
        )
