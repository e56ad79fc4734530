"""A square plate with elliptic holes: geometry, load and material."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

SIDE = 100.0  # mm
GAP = 6.0  # mm
TRIES = 1000


@dataclass(frozen=True)
class Hole:
    """An ellipse.

    centre : (x, y), mm.
    semi_axes : (a, b) with a >= b > 0, mm.
    angle : from the x axis to the axis of length a, radian.

    Raises `ValueError` where the semi-axes are not a >= b > 0.
    """

    centre: tuple[float, float]
    semi_axes: tuple[float, float]
    angle: float = 0.0

    def __post_init__(self) -> None:
        a, b = self.semi_axes
        if not a >= b > 0:
            raise ValueError(f"semi_axes: expected (a, b) with a >= b > 0, got {a, b}")

    @classmethod
    def random(cls, rng: np.random.Generator) -> Hole:
        """Semi-axes of 5 to 18 mm, at most 2 to 1, anywhere on the plate."""
        a = rng.uniform(5, 18)
        b = rng.uniform(max(a / 2, 5), a)
        x, y = rng.uniform(GAP, SIDE - GAP, 2)
        angle = rng.uniform(0, np.pi)
        return cls((float(x), float(y)), (float(a), float(b)), float(angle))

    @property
    def axes(self) -> np.ndarray:
        """(2, 2), the unit vectors along a and along b in its rows."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        return np.array([[c, s], [-s, c]])

    @property
    def perimeter(self) -> float:
        """mm, by Ramanujan's second formula: exact to 1e-8 up to 2 to 1."""
        a, b = self.semi_axes
        q = 3 * ((a - b) / (a + b)) ** 2
        return float(np.pi * (a + b) * (1 + q / (10 + np.sqrt(4 - q))))

    def outline(self, n_points: int = 96) -> np.ndarray:
        """(n_points, 2) points on the ellipse, mm."""
        t = np.linspace(0, 2 * np.pi, n_points, endpoint=False)
        circle = np.stack([np.cos(t), np.sin(t)], axis=1)
        return circle * self.semi_axes @ self.axes + self.centre

    def level(self, points: np.ndarray) -> np.ndarray:
        """(N,) `(x/a)² + (y/b)²` of points (N, 2) in the axes of the ellipse.

        Below 1 inside, 1 on the ellipse, above 1 outside.
        """
        return (((points - self.centre) @ self.axes.T / self.semi_axes) ** 2).sum(1)


@dataclass(frozen=True)
class Plate:
    """[0, 100] x [0, 100] mm with holes, in plane stress.

    The left edge is held in x and its lower corner in y, the load pulls the right edge
    in x. All else is free. The corner carries no force, because nothing else pulls in
    y: it stops the rigid motion and adds no singular point to the solution.

    holes : apart from each other and from the edges.
    load : tension on the right edge, MPa.
    young_modulus : MPa. poisson_ratio : between 0 and 0.5.

    Raises `ValueError` where a hole touches an edge or another hole, or where a number
    is out of its range.
    """

    holes: tuple[Hole, ...]
    load: float
    young_modulus: float
    poisson_ratio: float

    def __post_init__(self) -> None:
        for number, hole in enumerate(self.holes):
            if clearance(hole, self.holes[:number]) <= 0:
                raise ValueError(
                    f"holes[{number}] touches an edge or another hole; keep holes "
                    f"apart and within 0 to {SIDE:g} mm, got {hole}"
                )
        if not (self.young_modulus > 0 and 0 <= self.poisson_ratio < 0.5):
            raise ValueError(
                "expected young_modulus > 0 and poisson_ratio in [0, 0.5), got "
                f"{self.young_modulus:g} and {self.poisson_ratio:g}"
            )

    @classmethod
    def random(cls, rng: np.random.Generator) -> Plate:
        """1 to 4 random holes at least 6 mm apart; random load and material.

        Load 50 to 150 MPa, Young's modulus 70,000 to 210,000 MPa, Poisson's ratio 0.2
        to 0.4, each uniform. The number of holes is uniform too: a layout that leaves
        no room for the next hole is drawn again as a whole.
        """
        wanted = int(rng.integers(1, 5))
        holes: tuple[Hole, ...] = ()
        while len(holes) < wanted:
            holes = _random_layout(wanted, rng)
        return cls(
            holes,
            load=float(rng.uniform(50, 150)),
            young_modulus=float(rng.uniform(70e3, 210e3)),
            poisson_ratio=float(rng.uniform(0.2, 0.4)),
        )

    @property
    def area(self) -> float:
        """mm²."""
        return float(SIDE**2 - sum(np.pi * np.prod(h.semi_axes) for h in self.holes))

    def contains(self, points: np.ndarray) -> np.ndarray:
        """(N,) bool, which of points (N, 2) lie inside, off edges and ellipses."""
        inside: np.ndarray = np.all((points > 0) & (points < SIDE), axis=1)
        for hole in self.holes:
            inside = inside & (hole.level(points) > 1)
        return inside


def clearance(hole: Hole, others: tuple[Hole, ...]) -> float:
    """The distance from a hole to the nearest edge or other hole, mm; 0 on contact.

    Measured between outlines of 96 points, so too large by at most 0.2 mm at a distance
    of 6 mm.
    """
    outline = hole.outline()
    nearest = min(outline.min(), SIDE - outline.max())
    for other in others:
        gap = KDTree(other.outline()).query(outline)[0].min()
        overlap = (other.level(outline) <= 1).any() or (
            hole.level(other.outline()) <= 1
        ).any()
        nearest = min(nearest, 0.0 if overlap else gap)
    return max(float(nearest), 0.0)


def _random_layout(wanted: int, rng: np.random.Generator) -> tuple[Hole, ...]:
    """At most `wanted` holes with the gap between them, fewer where room ran out."""
    holes: tuple[Hole, ...] = ()
    for _ in range(TRIES):
        hole = Hole.random(rng)
        if clearance(hole, holes) >= GAP:
            holes = (*holes, hole)
        if len(holes) == wanted:
            break
    return holes
