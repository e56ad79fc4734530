"""Domains of the plane with holes, meshed in many ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from isofield import Mesh
from tests.benchmarks.learning.gmsh_meshes import of_loops
from tests.benchmarks.learning.meshers import Spacing, filled, triangulated

GAP = 0.07  # least distance between holes and from the sides
GRADING = 4.0  # largest over smallest spacing
DEPTH = 0.25  # of the box, over which the spacing grows away from the boundary
TRIES = 20  # seeds, until the sides of the domain are edges of the mesh
DENSE = 96  # points along an arc

Arc = np.ndarray  # (K, 2) points along a smooth piece of a boundary, ends included


@dataclass(frozen=True, eq=False)
class Domain:
    """What lies inside the first loop and outside of the others.

    loops : closed curves, each of arcs that follow one another; their ends are corners.
    """

    loops: tuple[tuple[Arc, ...], ...]

    @cached_property
    def polygons(self) -> list[np.ndarray]:
        """Each loop as one polygon (K, 2)."""
        return [np.concatenate([arc[:-1] for arc in loop]) for loop in self.loops]

    @cached_property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corner."""
        return self.polygons[0].min(0), self.polygons[0].max(0)

    @cached_property
    def _tree(self) -> KDTree:
        return KDTree(np.concatenate(self.polygons))

    def inside(self, points: np.ndarray) -> np.ndarray:
        """(N,) whether points are in the domain."""
        from matplotlib.path import Path

        inside = Path(self.polygons[0]).contains_points(points)
        for hole in self.polygons[1:]:
            near = np.flatnonzero(((points - hole.mean(0)) ** 2).sum(1) < _reach(hole))
            inside[near] &= ~Path(hole).contains_points(points[near])
        return inside

    def distance(self, points: np.ndarray) -> np.ndarray:
        """(N,) the distance to the boundary."""
        near, edges = [], [(p, np.roll(p, -1, axis=0)) for p in self.polygons]
        for a, b in edges:
            along = b - a
            away = points[:, None] - a
            share = (away * along).sum(2) / (along**2).sum(1)
            away = away - np.clip(share, 0, 1)[..., None] * along
            near.append(np.linalg.norm(away, axis=2).min(1))
        return np.min(near, axis=0)

    def draw(self, random: np.random.Generator, count: int) -> np.ndarray:
        """Random points of the domain, of even density; about `count` of them."""
        lower, upper = self.box
        places = lower + random.random((count, 2)) * (upper - lower)
        return places[self.inside(places)]

    def spread(self, seed: int) -> np.ndarray:
        """Some thousands of random points of the domain, the same for every mesh."""
        return self.draw(np.random.default_rng([seed, 9]), 10_000)

    def spacing(self, family: str) -> Spacing:
        """The relative spacing: "uniform", or finest at the "boundary" or "centre"."""
        lower, upper = self.box
        extent, middle = (upper - lower).max(), (lower + upper) / 2
        if family == "uniform":
            return lambda x: np.ones(len(x))
        if family == "boundary":
            return lambda x: _grown(self._tree.query(x)[0] / (DEPTH * extent))
        if family == "centre":
            return lambda x: _grown(np.linalg.norm(x - middle, axis=1) / (extent / 2))
        raise ValueError(f"family: {family!r} is not known")


def _reach(polygon: np.ndarray) -> float:
    """The square of the largest distance of a corner from the middle."""
    return float(((polygon - polygon.mean(0)) ** 2).sum(1).max())


def _grown(share: np.ndarray) -> np.ndarray:
    """From the smallest spacing at 0 to 1 at a share of 1 and beyond."""
    return 1 / GRADING + (1 - 1 / GRADING) * np.minimum(share, 1)


def circle(
    x: float, y: float, radius: float, ratio: float = 1.0, turn: float = 0.0
) -> tuple[Arc, ...]:
    """A loop: an ellipse with the axes `radius` and `radius ratio`, turned."""
    angle = np.linspace(0, 2 * np.pi, DENSE + 1)
    flat = radius * np.column_stack([np.cos(angle), ratio * np.sin(angle)])
    turned = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return (flat @ turned + (x, y),)


def perforated(
    random: np.random.Generator,
    corners: Sequence[tuple[float, float]],
    count: int,
    flattest: float = 1.0,
) -> Domain:
    """A polygon with random round holes, or ellipses up to as flat as this ratio."""
    outer = Domain((polygon(np.array(corners, float)),))
    holes: list[tuple[float, float, float]] = []
    loops = [*outer.loops]
    while len(holes) < count:
        x, y, radius = *random.random(2), random.uniform(0.05, 0.14)
        ratio, turn = random.uniform(flattest, 1), random.uniform(0, np.pi)
        apart = [np.hypot(x - a, y - b) - radius - r for a, b, r in holes]
        clear = outer.distance(np.array([[x, y]]))[0] - radius
        if outer.inside(np.array([[x, y]]))[0] and min([clear, *apart]) > GAP:
            holes.append((x, y, radius))
            loops.append(circle(x, y, radius, ratio, turn))
    return Domain(tuple(loops))


def outer_nodes(domain: Domain, basis: Any) -> np.ndarray:
    """The nodes of a scalar basis of scikit-fem on the outer loop."""
    nodes = basis.get_dofs().all()
    if len(domain.loops) == 1:
        return nodes
    places = basis.doflocs[:, nodes].T
    outer = Domain(domain.loops[:1]).distance(places)
    return nodes[outer < Domain(domain.loops[1:]).distance(places)]


def polygon(corners: np.ndarray) -> tuple[Arc, ...]:
    """A loop of straight sides between corners (K, 2)."""
    share = np.linspace(0, 1, DENSE // 4 + 1)[:, None]
    after = np.roll(corners, -1, axis=0)
    return tuple(a + share * (b - a) for a, b in zip(corners, after, strict=True))


def meshed(domain: Domain, n_points: int, family: str, seed: int) -> Mesh:
    """The domain with about `n_points` nodes.

    family : "uniform", "boundary" and "centre" (finest there, 4 to 1): centroidal
    points, exactly as many, and their Delaunay triangles; "gmsh": another mesher;
    "cloud": random points without cells, all inside.

    Raises `RuntimeError` where no triangulation keeps the sides of the domain.
    """
    if family == "cloud":
        random = np.random.default_rng([seed, n_points])
        places = np.concatenate([domain.draw(random, 2 * n_points) for _ in range(4)])
        return Mesh(places[:n_points])
    spacing = domain.spacing("uniform" if family == "gmsh" else family)
    least = 1.0 if family == "uniform" else 1 / GRADING
    for number in range(TRIES):
        random = np.random.default_rng([seed, n_points, number])
        edge = _edge(domain, n_points, spacing, random)
        loops = [_along(loop, edge, spacing) for loop in domain.loops]
        if family == "gmsh":
            return of_loops(loops, edge)
        held = np.concatenate(loops)
        if len(held) > 0.9 * n_points:
            raise RuntimeError(f"{len(held)} of {n_points} points are on the boundary")
        count = n_points - len(held)
        points = filled(random, held, count, domain.draw, spacing, least)
        cells = _within(domain, points, triangulated(points))
        if _keeps(cells, [len(loop) for loop in loops], n_points):
            return Mesh(points, {"triangle": cells})
    raise RuntimeError(f"no mesh of {n_points} points keeps the domain's sides")


def _edge(
    domain: Domain, n_points: int, spacing: Spacing, random: np.random.Generator
) -> float:
    """The length of edges where the relative spacing is 1.

    A triangle's height is √3/2 of its side; a node of the boundary has half a cell.
    """
    lower, upper = domain.box
    places = domain.draw(random, 20_000)
    area = (upper - lower).prod() * (1 / spacing(places) ** 2).sum() / 20_000
    arcs = [arc for loop in domain.loops for arc in loop]
    length = sum(_lengths(arc, spacing)[-1] for arc in arcs)
    return float(np.roots([n_points, -length / 2, -area * 2 / np.sqrt(3)]).max())


def _lengths(arc: Arc, spacing: Spacing) -> np.ndarray:
    """(K,) the way along an arc in units of the local spacing."""
    steps = np.linalg.norm(np.diff(arc, axis=0), axis=1)
    return np.append(0, (steps / spacing((arc[1:] + arc[:-1]) / 2)).cumsum())


def _along(loop: tuple[Arc, ...], edge: float, spacing: Spacing) -> np.ndarray:
    """Nodes along a loop: the corners, and as many between as the spacing wants."""
    nodes = []
    least = 6 if len(loop) == 1 else 1
    for arc in loop:
        way = _lengths(arc, spacing)
        count = max(least, round(way[-1] / edge))
        at = np.arange(count) * way[-1] / count
        nodes.append(np.column_stack([np.interp(at, way, x) for x in arc.T]))
    return np.concatenate(nodes)


def _within(domain: Domain, points: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """The triangles that lie in the domain and are not flat."""
    a, b, c = points[cells].transpose(1, 0, 2)
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    return cells[domain.inside((a + b + c) / 3) & (area > 1e-9)]


def _keeps(cells: np.ndarray, sizes: list[int], n_points: int) -> bool:
    """Whether the sides between the first nodes, loop by loop, bound the triangles."""
    edges = np.sort(cells[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    found, count = np.unique(edges, axis=0, return_counts=True)
    wanted, start = [], 0
    for size in sizes:
        node = np.arange(size)
        wanted.append(np.column_stack([node, np.roll(node, -1)]) + start)
        start += size
    sides = np.unique(np.sort(np.concatenate(wanted), axis=1), axis=0)
    used = len(np.unique(cells)) == n_points
    return used and np.array_equal(found[count == 1], sides) and count.max() == 2


def fine(domain: Domain, edge: float) -> Mesh:
    """The mesh of the truth: edges of one length, at most a 48th of each hole."""
    loops = [_along(domain.loops[0], edge, domain.spacing("uniform"))]
    for loop in domain.loops[1:]:
        around = _lengths(loop[0], domain.spacing("uniform"))[-1]
        loops.append(_along(loop, min(edge, around / 48), domain.spacing("uniform")))
    return of_loops(loops, edge)
