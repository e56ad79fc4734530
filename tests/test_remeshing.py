"""The shape, its named regions and its sharp features in other resolutions."""

from __future__ import annotations

import itertools
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isofield.cells import CELL_TYPES
from isofield.cli import main
from isofield.generation import (
    ball,
    box,
    disk,
    icosphere,
    l_shape,
    plate_with_holes,
    square,
    torus,
)
from isofield.io import read, write
from isofield.mesh import Mesh, MeshError
from isofield.remeshing import coarsen, mmg, remesh
from isofield.remeshing.features import sharp_points
from isofield.remeshing.labels import labelled
from isofield.topology import boundary_facets, first_numbers

DATA = Path(__file__).parents[2] / "shared" / "data"


def measures(points: np.ndarray, simplices: np.ndarray) -> np.ndarray:
    """(T,) length, area or volume: sqrt(det(E E^T)) / d! of the edges E from a corner.

    Signed where there are as many edges as coordinates.
    """
    edges = points[simplices[:, 1:]] - points[simplices[:, :1]]
    k = edges.shape[1]
    factorial = (1, 1, 2, 6)[k]
    if k == points.shape[1]:
        return np.linalg.det(edges) / factorial
    gram = edges @ edges.transpose(0, 2, 1)
    return np.sqrt(np.linalg.det(gram)) / factorial


def cell_set_measures(mesh: Mesh, kind: str) -> dict[str, float]:
    """The measure of each cell set, of its cells of one type."""
    start, each = (
        first_numbers(mesh.cells)[kind],
        measures(mesh.points, mesh.cells[kind]),
    )
    found = {}
    for name, members in mesh.cell_sets.items():
        local = members - start
        found[name] = each[local[(local >= 0) & (local < len(each))]].sum()
    return found


def facet_nodes(mesh: Mesh, name: str) -> np.ndarray:
    """(F, n) the points of the facets of a facet set, all of one cell type."""
    kind = "tetra" if mesh.dimension == 3 else "triangle"
    cells, places = mesh.facet_sets[name].T
    locals_ = np.array([list(local) for _, local in CELL_TYPES[kind].facets])
    nodes = mesh.cells[kind][cells - first_numbers(mesh.cells)[kind]]
    return np.take_along_axis(nodes, locals_[places], axis=1)


def facet_set_measures(mesh: Mesh) -> dict[str, float]:
    return {
        name: np.abs(measures(mesh.points, facet_nodes(mesh, name))).sum()
        for name in mesh.facet_sets
    }


def edges(mesh: Mesh) -> np.ndarray:
    """(E, 2) the edges of the triangles or tetrahedra, each once."""
    nodes = mesh.cells["tetra" if mesh.dimension == 3 else "triangle"]
    pairs = itertools.combinations(range(nodes.shape[1]), 2)
    every = np.concatenate([nodes[:, list(pair)] for pair in pairs])
    return np.unique(np.sort(every, axis=1), axis=0)


def lengths(mesh: Mesh) -> np.ndarray:
    a, b = edges(mesh).T
    return np.linalg.norm(mesh.points[a] - mesh.points[b], axis=1)


def quality(mesh: Mesh) -> np.ndarray:
    """(T,) d (d! V)^(2/d) over the mean square of the edges, scaled: 1 if regular."""
    kind = "tetra" if mesh.dimension == 3 else "triangle"
    nodes, d = mesh.cells[kind], mesh.dimension
    pairs = list(itertools.combinations(range(d + 1), 2))
    square_sum = sum(
        ((mesh.points[nodes[:, a]] - mesh.points[nodes[:, b]]) ** 2).sum(1)
        for a, b in pairs
    )
    regular = {2: 3**0.5 / 4, 3: 1 / (6 * 2**0.5)}[d]
    volume = np.abs(measures(mesh.points, nodes))
    return len(pairs) * (volume / regular) ** (2 / d) / square_sum


def on_grid(axes: tuple[int, ...], at: Callable, wrap: tuple[bool, bool]) -> Mesh:
    """A surface or plane region of two parameters in [0, 1], by a grid of triangles."""
    counts = [n + (not w) for n, w in zip(axes, wrap, strict=True)]
    i, j = (k.ravel() for k in np.indices(counts))
    points = np.stack(at(i / axes[0], j / axes[1]), axis=1)
    i, j = (k.ravel() for k in np.indices(axes))
    a, b, c, d = (
        (i + s) % counts[0] * counts[1] + (j + t) % counts[1]
        for s, t in ((0, 0), (1, 0), (1, 1), (0, 1))
    )
    first, second = np.stack([a, b, c], 1), np.stack([a, c, d], 1)
    return Mesh(points, {"triangle": np.concatenate([first, second])})


def with_halves(mesh: Mesh, axis: int, at: float) -> Mesh:
    """Two materials, by the side of the plane `x_axis = at` on which a cell lies."""
    centres = np.concatenate(
        [mesh.points[nodes].mean(1)[:, axis] for nodes in mesh.cells.values()]
    )
    low, high = np.flatnonzero(centres < at), np.flatnonzero(centres >= at)
    return replace(mesh, cell_sets={"low": low, "high": high})


def with_sides(mesh: Mesh) -> Mesh:
    """The sides of the unit square or cube as facet sets and as point sets."""
    (facets,) = boundary_facets(mesh.cells, mesh.dimension)
    pairs = np.stack([facets.cells, facets.places], axis=1)
    sides, points = {}, {}
    for axis, value in itertools.product(range(mesh.points.shape[1]), (0, 1)):
        there = mesh.points[:, axis] == value
        sides[f"{axis} {value}"] = pairs[there[facets.nodes].all(1)]
        points[f"{axis} {value}"] = np.flatnonzero(there)
    return replace(mesh, facet_sets=sides, point_sets=points)


def cylinder(n: int) -> Mesh:
    """The closed surface of a cylinder of radius 1, height 1.5, in named parts."""
    cap = disk(n)
    rim, layers = cap.boundary(), max(2, round(1.5 * n / 2))
    numbers, N = cap.boundary_points(), len(cap.points)
    points = [np.column_stack([cap.points, np.zeros(N)])]
    points += [
        np.column_stack([rim.points, np.full(len(rim.points), 1.5 * k / layers)])
        for k in range(1, layers)
    ]
    points.append(np.column_stack([cap.points, np.full(N, 1.5)]))
    first = N + len(rim.points) * np.arange(layers - 1)
    ring = [numbers, *(f + np.arange(len(numbers)) for f in first)]
    top = N + len(rim.points) * (layers - 1)
    ring.append(top + numbers)
    bottom = cap.cells["triangle"]
    side = []
    for lower, upper in itertools.pairwise(ring):
        a, b = rim.cells["line"].T
        side += [np.stack([lower[a], lower[b], upper[b]], 1)]
        side += [np.stack([lower[a], upper[b], upper[a]], 1)]
    blocks = [bottom[:, ::-1], np.concatenate(side), top + bottom]
    sizes = np.cumsum([0, *map(len, blocks)])
    names = ("bottom", "side", "top")
    sets = {name: np.arange(sizes[k], sizes[k + 1]) for k, name in enumerate(names)}
    return Mesh(
        np.concatenate(points), {"triangle": np.concatenate(blocks)}, cell_sets=sets
    )


def between(mesh: Mesh, one: str, other: str) -> np.ndarray:
    """Numbers of the points that triangles of both cell sets have."""
    nodes = mesh.cells["triangle"]
    parts = (nodes[mesh.cell_sets[name]].ravel() for name in (one, other))
    return np.intersect1d(*parts)


# plane, surface and volume with plane sides; two materials, whose border is a grid line
STRAIGHT = {
    "plane": with_sides(with_halves(square(24), 0, 0.25)),
    "surface": with_halves(box(12).boundary(), 2, 0.75),
    "volume": with_sides(with_halves(box(6), 0, 0.5)),
}
SIZES = {
    "plane": [0.02, 0.09, 0.3],
    "surface": [0.17, 0.19, 0.5],
    "volume": [0.12, 0.4],
}
CASES = [(name, h) for name, sizes in SIZES.items() for h in sizes]


@pytest.mark.parametrize(("name", "h"), CASES)
def test_straight_regions_keep_their_measure_to_rounding(name, h):
    mesh = STRAIGHT[name]
    kind = "tetra" if name == "volume" else "triangle"
    new = remesh(mesh, h)
    assert new.validate().ok
    assert set(new.cells) == {kind}
    for found, given in (
        (cell_set_measures(new, kind), cell_set_measures(mesh, kind)),
        (facet_set_measures(new), facet_set_measures(mesh)),
    ):
        assert found == pytest.approx(given, rel=1e-13)
    members = np.concatenate([new.cell_sets["low"], new.cell_sets["high"]])
    assert np.array_equal(np.sort(members), np.arange(len(new.cells[kind])))
    # on the border of the unit cube to rounding, and all of its corners are there
    outside = np.abs(new.points - 0.5).max(axis=1) - 0.5
    assert outside.max() <= 4e-15
    if name == "surface":
        assert outside.min() >= -4e-15
    for corner in itertools.product((0.0, 1.0), repeat=new.points.shape[1]):
        assert (new.points == corner).all(axis=1).sum() == 1
    assert quality(new).min() > 0.3


@pytest.mark.parametrize("name", ["plane", "volume"])
def test_point_sets_are_the_points_of_their_sides(name):
    mesh = STRAIGHT[name]
    new = remesh(mesh, 0.3)
    assert set(new.point_sets) == set(mesh.point_sets)
    for side, members in new.point_sets.items():
        axis, value = map(int, side.split())
        there = np.abs(new.points[:, axis] - value) < 1e-14
        assert np.array_equal(members, np.flatnonzero(there))
        assert np.array_equal(members, np.unique(facet_nodes(new, side)))
        assert 2 < len(members) < len(mesh.point_sets[side])


def test_lone_points_stay_where_they_are():
    mesh = STRAIGHT["plane"]
    rng = np.random.default_rng(0)
    inner = np.flatnonzero(np.abs(mesh.points - 0.5).max(1) < 0.5)
    chosen = {
        "a": rng.choice(inner, 5, replace=False),
        "b": inner[[7, 99]],
        "c": inner[:0],
    }
    new = remesh(replace(mesh, point_sets=chosen), 0.3)
    for name, numbers in chosen.items():
        old = mesh.points[numbers]
        kept = new.points[new.point_sets[name]]
        np.testing.assert_allclose(
            kept[np.lexsort(kept.T)], old[np.lexsort(old.T)], atol=1e-15
        )
    assert len(new.points) < 100


def test_sets_of_points_of_the_border_take_none_inside():
    """A cell in a corner has all of its points on the border, but is not in the set."""
    mesh = square(7)
    mesh = replace(mesh, point_sets={"skin": mesh.boundary_points()})
    assert np.isin(mesh.cells["triangle"], mesh.boundary_points()).all(1).any()
    for h in (0.05, 0.3):
        new = remesh(mesh, h)
        assert np.array_equal(new.point_sets["skin"], new.boundary_points())


def test_sets_of_points_inside_go_with_their_cells():
    """All points of some cells become all points of the new cells there."""
    mesh = square(24)
    inside = np.flatnonzero(np.abs(mesh.points - 0.5).max(1) <= 0.25)
    new = remesh(replace(mesh, point_sets={"core": inside}), 0.08)
    there = np.abs(new.points - 0.5).max(1) <= 0.25 + 1e-14
    assert np.array_equal(new.point_sets["core"], np.flatnonzero(there))
    nodes = new.cells["triangle"]
    core = there[nodes].all(axis=1)
    assert measures(new.points, nodes[core]).sum() == pytest.approx(0.25, rel=1e-13)


def with_lower_cells(mesh: Mesh, at: float) -> Mesh:
    """Lines or triangles as cells: one outer side, and a sheet within one material."""
    kind = "tetra" if mesh.dimension == 3 else "triangle"
    facet_kind = CELL_TYPES[kind].facets[0][0]
    every = np.concatenate(
        [mesh.cells[kind][:, list(local)] for _, local in CELL_TYPES[kind].facets]
    )
    every = every[np.unique(np.sort(every, 1), axis=0, return_index=True)[1]]
    on = [(mesh.points[every][:, :, 1] == value).all(1) for value in (0.0, at)]
    side, sheet = (every[mask] for mask in on)
    # lower cells first, so that all other numbers are shifted
    lower = len(side) + len(sheet)
    sets = {name: lower + members for name, members in mesh.cell_sets.items()}
    sets["side"] = np.arange(len(side))
    sets["sheet and low"] = np.append(len(side) + np.arange(len(sheet)), sets["low"])
    pairs = {name: p + np.array([lower, 0]) for name, p in mesh.facet_sets.items()}
    return replace(
        mesh,
        cells={facet_kind: np.concatenate([side, sheet]), **mesh.cells},
        cell_sets=sets,
        facet_sets=pairs,
    )


@pytest.mark.parametrize(("name", "h"), [("plane", 0.15), ("volume", 0.4)])
def test_facets_that_are_cells_stay_as_cells(name, h):
    mesh = with_lower_cells(STRAIGHT[name], 0.5)
    kind, lower = list(mesh.cells)[::-1]
    new = remesh(mesh, h)
    assert list(new.cells) == [lower, kind]
    for each in (kind, lower):
        given = cell_set_measures(mesh, each)
        assert cell_set_measures(new, each) == pytest.approx(given, rel=1e-13, abs=0)
    assert cell_set_measures(new, lower)["sheet and low"] == pytest.approx(1)
    assert facet_set_measures(new) == pytest.approx(facet_set_measures(mesh), rel=1e-13)
    # every lower cell is a facet of a cell
    faces = np.concatenate(
        [new.cells[kind][:, list(local)] for _, local in CELL_TYPES[kind].facets]
    )
    faces = {tuple(row) for row in np.sort(faces, axis=1).tolist()}
    assert {tuple(row) for row in np.sort(new.cells[lower], axis=1).tolist()} <= faces
    heights = new.points[new.cells[lower]][:, :, 1]
    assert np.isin(heights.round(13), [0.0, 0.5]).all()
    assert len(new.cells[lower]) < len(mesh.cells[lower])


def test_facet_sets_stay_on_their_side():
    """A facet between two materials belongs to the cell from which it was named."""
    mesh = STRAIGHT["plane"]
    nodes = mesh.cells["triangle"]
    pairs = [
        (cell, place)
        for place, (_, local) in enumerate(CELL_TYPES["triangle"].facets)
        for cell in np.flatnonzero(
            (mesh.points[nodes[:, list(local)], 0] == 0.25).all(1)
        )
    ]
    low = np.isin(np.array(pairs)[:, 0], mesh.cell_sets["low"])
    sets = {"of low": np.array(pairs)[low], "of both": np.array(pairs)}
    assert len(pairs) == 2 * low.sum() == 48
    new = remesh(replace(mesh, facet_sets=sets), 0.1)
    assert np.isin(new.facet_sets["of low"][:, 0], new.cell_sets["low"]).all()
    found = facet_set_measures(new)
    assert found == pytest.approx({"of low": 1.0, "of both": 2.0}, rel=1e-13)


def test_a_facet_between_cells_of_the_same_sets_is_named_once():
    mesh = square(8)
    nodes = mesh.cells["triangle"]
    pairs = [
        (cell, place)
        for place, (_, local) in enumerate(CELL_TYPES["triangle"].facets)
        for cell in np.flatnonzero(
            (mesh.points[nodes[:, list(local)], 0] == 0.5).all(1)
        )
    ]
    new = remesh(replace(mesh, facet_sets={"line": np.array(pairs)}), 0.2)
    assert facet_set_measures(new)["line"] == pytest.approx(1, rel=1e-13)
    assert (new.points[facet_nodes(new, "line")][:, :, 0] == 0.5).all()


def test_sharp_points_are_the_same_in_any_numbering():
    """Three faces meet where a border between materials ends: such a line is smooth."""
    for seed in range(4):
        mesh = renumbered(STRAIGHT["volume"], seed)
        old, _ = labelled(mesh, "tetra")
        sharp = sharp_points(old.points, old.facets, old.facet_labels, 45.0)
        corners = itertools.product((0.0, 0.5, 1.0), (0.0, 1.0), (0.0, 1.0))
        found = {tuple(point) for point in mesh.points[sharp]}
        assert found == set(corners)


@pytest.mark.parametrize("h", [0.06, 0.15, 0.4])
def test_parts_of_straight_sides_end_where_they_ended(h):
    """Names that change in the middle of a side, where no other line meets it."""
    mesh = square(24)
    (facets,) = boundary_facets(mesh.cells, 2)
    middle = mesh.points[facets.nodes].mean(1)
    pairs = np.stack([facets.cells, facets.places], axis=1)
    bottom = middle[:, 1] == 0
    sets = {
        "left": pairs[bottom & (middle[:, 0] < 1 / 3)],
        "right": pairs[bottom & (middle[:, 0] > 0.25)],
    }
    new = remesh(replace(mesh, facet_sets=sets), h)
    expected = {"left": 1 / 3, "right": 0.75}
    assert facet_set_measures(new) == pytest.approx(expected, rel=1e-13)


def test_parts_of_faces_keep_their_corners():
    mesh = STRAIGHT["volume"]
    (facets,) = boundary_facets(mesh.cells, 3)
    x = mesh.points[facets.nodes].mean(1)
    pairs = np.stack([facets.cells, facets.places], axis=1)
    patch = (x[:, 2] == 0) & (np.abs(x[:, :2] - 0.5) < 1 / 3).all(axis=1)
    new = remesh(replace(mesh, facet_sets={"patch": pairs[patch]}), 0.5)
    assert facet_set_measures(new) == pytest.approx({"patch": 4 / 9}, rel=1e-13)
    x, y, z = new.points[facet_nodes(new, "patch")].reshape(-1, 3).T
    assert max(np.abs(x - 0.5).max(), np.abs(y - 0.5).max()) < 1 / 3 + 1e-14
    assert not z.any()


def annulus(n: int) -> Mesh:
    """Radii 1 to 3, two materials that meet at 2, both rims as facet sets."""

    def at(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (1 + 2 * v) * np.sin(2 * np.pi * u), (1 + 2 * v) * np.cos(2 * np.pi * u)

    mesh = on_grid((n, n // 2), at, (True, False))
    radius = np.hypot(*mesh.points[mesh.cells["triangle"]].mean(1).T)
    (rims,) = boundary_facets(mesh.cells, 2)
    inner = np.hypot(*mesh.points[rims.nodes[:, 0]].T) < 2
    pairs = np.stack([rims.cells, rims.places], axis=1)
    return replace(
        mesh,
        cell_sets={"in": np.flatnonzero(radius < 2), "out": np.flatnonzero(radius > 2)},
        facet_sets={"hole": pairs[inner], "rim": pairs[~inner]},
    )


def slope(sizes: list[float], errors: list[float]) -> float:
    return float(np.polyfit(np.log(sizes), np.log(np.abs(errors)), 1)[0])


def test_curved_lines_keep_their_length_to_second_order():
    """A polygon of edges h in a circle is short by h² / 24 R² of its length."""
    mesh, sizes = annulus(160), [0.15, 0.22, 0.32, 0.47]
    radii = {"hole": 1.0, "rim": 3.0}
    errors = {name: [] for name in radii}
    for h in sizes:
        new = remesh(mesh, h)
        for name, found in facet_set_measures(new).items():
            errors[name].append(1 - found / (2 * np.pi * radii[name]))
            rim = new.points[np.unique(facet_nodes(new, name))]
            assert np.abs(np.hypot(*rim.T) - radii[name]).max() < 0.1 * h**2
        border = between(new, "in", "out")
        assert np.abs(np.hypot(*new.points[border].T) - 2).max() < 0.1 * h**2
        # what a polygon lacks of a disk does not depend on its radius: nothing is left
        areas = cell_set_measures(new, "triangle")
        assert areas["in"] == pytest.approx(3 * np.pi, abs=0.3 * h**2)
        assert areas["out"] == pytest.approx(5 * np.pi, abs=0.3 * h**2)
    for name, each in errors.items():
        assert 1.7 < slope(sizes, each) < 2.5
        exact = np.array(sizes) ** 2 / 24 / radii[name] ** 2
        assert np.allclose(each, exact, rtol=0.45)


def test_curved_surfaces_keep_regions_to_second_order():
    """Upper and lower half of a torus, each 2 π² R r; their borders stay plane."""
    mesh, sizes = torus(40), [0.1, 0.14, 0.2]
    height = mesh.points[mesh.cells["triangle"]].mean(1)[:, 2]
    halves = {"up": np.flatnonzero(height > 0), "down": np.flatnonzero(height < 0)}
    mesh = replace(mesh, cell_sets=halves)
    errors = {name: [] for name in halves}
    for h in sizes:
        new = remesh(mesh, h)
        for name, found in cell_set_measures(new, "triangle").items():
            errors[name].append(1 - found / (2 * np.pi**2 * 0.4))
        border = new.points[between(new, "up", "down")]
        assert np.abs(border[:, 2]).max() < 1e-14
        radius = np.hypot(border[:, 0], border[:, 1])
        off = np.minimum(np.abs(radius - 1.4), np.abs(radius - 0.6))
        assert off.max() < 0.1 * h**2
        # an edge h leaves the tube by h² / 8 r = 0.31 h²
        x, y, z = new.points.T
        off = np.abs(np.hypot(np.hypot(x, y) - 1, z) - 0.4)
        assert off.max() < 0.8 * h**2
        assert off.mean() < 0.1 * h**2
    for each in errors.values():
        assert 1.7 < slope(sizes, each) < 2.6
        ratio = np.array(each) / np.array(sizes) ** 2
        assert ((ratio > 0.15) & (ratio < 0.5)).all()


def test_curved_volumes_keep_their_measure_to_second_order():
    mesh, sizes = ball(7), [0.28, 0.37, 0.5]
    errors = []
    for h in sizes:
        new = remesh(mesh, h)
        errors.append(1 - measures(new.points, new.cells["tetra"]).sum() * 0.75 / np.pi)
        radius = np.linalg.norm(new.boundary().points, axis=1)
        assert np.abs(radius - 1).max() < 0.2 * h**2
    assert 1.7 < slope(sizes, errors) < 2.6
    ratio = np.array(errors) / np.array(sizes) ** 2
    assert ((ratio > 0.15) & (ratio < 0.5)).all()


@pytest.mark.parametrize("h", [0.17, 0.35])
def test_sharp_rims_and_named_parts_of_a_cylinder(h):
    mesh = cylinder(14)
    new = remesh(mesh, h)
    exact = {"bottom": np.pi, "top": np.pi, "side": 3 * np.pi}
    for name, area in cell_set_measures(new, "triangle").items():
        # a polygon of edges h lacks 2 π h² / 12 = 0.52 h² of a disk
        assert 0.2 * h**2 < exact[name] - area < 0.9 * h**2
    nodes = new.cells["triangle"]
    for name, height in (("bottom", 0.0), ("top", 1.5)):
        flat = new.points[nodes[new.cell_sets[name]]]
        assert np.abs(flat[..., 2] - height).max() < 1e-14
        rim = new.points[between(new, name, "side")]
        assert np.abs(np.hypot(rim[:, 0], rim[:, 1]) - 1).max() < 0.1 * h**2
        # a closed line: as many points as edges of the expected length
        assert 0.7 < len(rim) * h / (2 * np.pi) < 1.4
    assert quality(new).min() > 0.3


def test_all_edges_of_a_cube_stay_without_any_names():
    mesh = box(12).boundary()
    for h in np.geomspace(0.07, 0.45, 6):
        new = remesh(mesh, h)
        sides = np.abs(np.abs(new.points - 0.5) - 0.5) < 1e-14
        assert sides.any(axis=1).all()
        assert (sides.sum(axis=1) == 3).sum() == 8
        pairs = edges(new)
        creases = (sides[pairs[:, 0]] & sides[pairs[:, 1]]).sum(axis=1) == 2
        assert lengths(new)[creases].sum() == pytest.approx(12, rel=1e-13)
        assert measures(new.points, new.cells["triangle"]).sum() == pytest.approx(6)


def test_edges_flatter_than_the_angle_are_rounded():
    """The counterexample: with an angle above 90° the edges of a cube are not sharp."""
    mesh = box(12).boundary()
    new = remesh(mesh, 0.3, angle=100)
    sides = np.abs(np.abs(new.points - 0.5) - 0.5) < 1e-9
    assert (sides.sum(axis=1) == 3).sum() < 8
    assert not sides.any(axis=1).all()


def test_holes_and_re_entrant_corners_stay():
    for h in (0.08, 0.15, 0.3):
        new = remesh(l_shape(16), h)
        area = measures(new.points, new.cells["triangle"]).sum()
        assert area == pytest.approx(3, rel=1e-13)
        assert (new.points == 0).all(axis=1).sum() == 1
    mesh = plate_with_holes(32)
    for h in (0.04, 0.06, 0.1):
        new = remesh(mesh, h)
        (rims,) = boundary_facets(new.cells, 2)
        # V - E + F = 1 - holes
        count = len(new.points) - len(edges(new)) + len(new.cells["triangle"])
        assert count == 1 - 2
        rim = new.points[np.unique(rims.nodes)]
        for x, y, radius in ((0.35, 0.4, 0.15), (0.7, 0.7, 0.12)):
            off = np.abs(np.hypot(*(rim - [x, y]).T) - radius)
            off = off[off < 0.3 * radius]
            assert 0.7 < len(off) * h / (2 * np.pi * radius) < 1.5
            assert off.max() < 0.1 * h**2


def test_no_hole_closes():
    """Of this mesh MMG's way for the plane, which is not taken, closes the hole."""
    mesh = annulus(40)
    for h in np.geomspace(0.15, 0.6, 6):
        new = remesh(mesh, h)
        assert len(new.points) + len(new.cells["triangle"]) == len(edges(new))
        assert np.hypot(*new.points.T).min() > 0.9


def test_a_mesh_of_another_shape_is_an_error(monkeypatch):
    def closed(old, required, sizes, limits):
        """The border of the hole drawn together."""
        radius = np.hypot(*old.points.T)[:, None]
        return old._replace(points=old.points * np.where(radius < 1.01, 0.1, 1.0))

    monkeypatch.setattr("isofield.remeshing.meshes.mmg_remeshed", closed)
    with pytest.raises(MeshError, match="another shape; take smaller sizes"):
        remesh(annulus(40), 0.2)


def test_surfaces_that_are_open_turned_or_branched():
    def tube(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, ...]:
        return np.cos(2 * np.pi * u), np.sin(2 * np.pi * u), 2 * v

    new = remesh(on_grid((48, 16), tube, (True, False)), 0.4)
    rim = new.points[new.boundary_points()]
    assert np.isin(rim[:, 2], [0.0, 2.0]).all()
    assert np.abs(np.hypot(rim[:, 0], rim[:, 1]) - 1).max() < 0.1 * 0.4**2

    ball_ = icosphere(10)
    nodes = ball_.cells["triangle"].copy()
    upper = ball_.points[nodes].mean(1)[:, 2] > 0.2
    nodes[upper] = nodes[upper][:, ::-1]
    new = remesh(Mesh(ball_.points, {"triangle": nodes}), 0.3)
    assert np.abs(np.linalg.norm(new.points, axis=1) - 1).max() < 0.1 * 0.3**2
    count = len(new.points) - len(edges(new)) + len(new.cells["triangle"])
    assert count == 2

    sheet = square(10)
    three = []
    for angle in 2 * np.pi * np.arange(3) / 3:
        x, y = sheet.points.T
        three.append(np.stack([x * np.cos(angle), x * np.sin(angle), y], 1))
    nodes = sheet.cells["triangle"]
    book = Mesh(
        np.concatenate(three),
        {"triangle": np.concatenate([nodes + k * len(x) for k in range(3)])},
    )
    new = remesh(book.mended(1e-9)[0], 0.25)
    assert measures(new.points, new.cells["triangle"]).sum() == pytest.approx(3)
    assert (np.hypot(*new.points[:, :2].T) < 1e-14).sum() == 11


COUNTS = [
    (square(40, jitter=0.2), 300, False),
    (plate_with_holes(40), 500, False),
    (square(40, grading=10), 300, True),
    (square(16, jitter=0.2), 1000, False),
    (icosphere(16), 400, False),
    (cylinder(14), 250, False),
    (torus(20, grading=5), 400, True),
    (box(7, jitter=0.2), 200, False),
]


@pytest.mark.parametrize(("mesh", "n", "graded"), COUNTS)
def test_number_of_points_within_three_per_cent(mesh, n, graded):
    # any warning is an error here
    new = coarsen(mesh, n, graded=graded)
    assert abs(len(new.points) - n) <= 0.03 * n
    assert new.validate().ok
    assert quality(new).min() > 0.2


def test_numbers_that_cannot_be_had_give_a_warning():
    with pytest.warns(UserWarning, match=r"^4 points were not reached: .* Sharp"):
        assert 8 <= len(coarsen(box(4).boundary(), 4).points) < 20
    # all edges of this mesh are equal, and are split or collapsed at once
    with pytest.warns(UserWarning, match="number jumps"):
        coarsen(square(12), 130)


def test_edges_have_the_size_asked_for():
    """Of the lengths over the size MMG aims at 1 and admits 0.7 to 1.4."""
    cases = [
        (square(24, jitter=0.2), 0.11),
        (icosphere(12), 0.25),
        (cylinder(14), 0.2),
        (box(6, jitter=0.2), 0.4),
    ]
    for mesh, h in cases:
        ratio = lengths(coarsen(mesh, h=h)) / h
        low, middle, high = np.quantile(ratio, [0.05, 0.5, 0.95])
        assert 0.85 < middle < 1.1
        assert low > 0.6
        assert high < 1.45


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_size_field_is_obeyed_from_place_to_place(dimension):
    mesh = square(50, jitter=0.2) if dimension == 2 else box(8, jitter=0.2)

    def size(points: np.ndarray) -> np.ndarray:
        fine, growth = (0.02, 0.15) if dimension == 2 else (0.1, 0.2)
        return fine + growth * points[:, 0]

    new = remesh(mesh, size)
    a, b = edges(new).T
    middle = (new.points[a] + new.points[b]) / 2
    ratio = lengths(new) / size(middle)
    assert 0.85 < np.median(ratio) < 1.1
    for low, high in itertools.pairwise(np.linspace(0, 1, 4)):
        strip = (middle[:, 0] >= low) & (middle[:, 0] < high)
        assert 0.8 < np.median(ratio[strip]) < 1.15
    assert np.quantile(ratio, 0.05) > 0.55
    assert np.quantile(ratio, 0.95) < 1.5
    if dimension == 2:
        # the values at the points are the same field
        same = remesh(mesh, size(mesh.points))
        assert np.array_equal(same.points, new.points)


def test_graded_coarsening_keeps_the_grading():
    """Lengths along an edge of the square: of the coarse over the fine mesh, alike."""
    mesh = square(60, grading=8)
    new = coarsen(mesh, 500, graded=True)
    # spacings of the fine mesh over that of the coarse mesh, near and far from 0
    fine = np.diff(np.unique(mesh.points[:, 0]))
    a, b = edges(new).T
    length, x, y = lengths(new), *((new.points[a] + new.points[b]) / 2).T
    near, far = (x < 0.2) & (y < 0.2), (x > 0.8) & (y > 0.8)
    asked = fine[-6:].mean() / fine[:20].mean()
    made = np.median(length[far]) / np.median(length[near])
    assert 0.7 < made / asked < 1.3
    even = coarsen(mesh, 500)
    a, b = edges(even).T
    x, y = ((even.points[a] + even.points[b]) / 2).T
    near, far = (x < 0.2) & (y < 0.2), (x > 0.8) & (y > 0.8)
    made = np.median(lengths(even)[far]) / np.median(lengths(even)[near])
    assert 0.8 < made < 1.25


def test_gradation_and_deviation_bound_what_is_made():
    mesh = square(50, jitter=0.2)

    def step(points: np.ndarray) -> np.ndarray:
        return np.where(points[:, 0] < 0.05, 0.01, 0.3)

    slow, fast = (remesh(mesh, step, gradation=g) for g in (1.15, 2.5))
    assert len(slow.points) > 1.2 * len(fast.points)
    ball_ = icosphere(16)
    coarse, near = (remesh(ball_, 0.6, deviation=d) for d in (0.3, 0.01))
    off = [
        1 - np.linalg.norm(m.points[m.cells["triangle"]].mean(1), axis=1).min()
        for m in (coarse, near)
    ]
    assert off[1] < 0.02 < off[0]
    assert len(near.points) > 3 * len(coarse.points)


def renumbered(mesh: Mesh, seed: int) -> Mesh:
    """The same mesh with points and cells in another order."""
    rng = np.random.default_rng(seed)
    ((kind, nodes),) = mesh.cells.items()
    p, q = rng.permutation(len(mesh.points)), rng.permutation(len(nodes))
    point, cell = np.argsort(p), np.argsort(q)
    pairs = mesh.facet_sets.items()
    return Mesh(
        mesh.points[p],
        {kind: point[nodes][q]},
        point_sets={name: point[s] for name, s in mesh.point_sets.items()},
        cell_sets={name: cell[s] for name, s in mesh.cell_sets.items()},
        facet_sets={k: np.stack([cell[s[:, 0]], s[:, 1]], 1) for k, s in pairs},
    )


def assert_equal(one: Mesh, other: Mesh) -> None:
    assert np.array_equal(one.points, other.points)
    for attribute in ("cells", "point_sets", "cell_sets", "facet_sets"):
        left, right = getattr(one, attribute), getattr(other, attribute)
        assert list(left) == list(right)
        assert all(np.array_equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("name", list(STRAIGHT))
def test_the_same_mesh_from_any_numbering_and_again(name):
    mesh, h = STRAIGHT[name], 0.3
    new = remesh(mesh, h)
    if mesh.dimension == 2:
        assert_equal(remesh(mesh, h), new)
    other = renumbered(mesh, 1)
    assert not np.array_equal(other.points, mesh.points)
    assert_equal(remesh(other, h), new)


def test_length_units_and_origin_do_not_matter():
    mesh = STRAIGHT["plane"]
    new = remesh(mesh, 0.1)
    for scale, shift in ((1e-6, 0.0), (1e6, 0.0), (1e-3, 5.0)):
        moved = replace(mesh, points=mesh.points * scale + shift)
        other = remesh(moved, 0.1 * scale)
        assert len(other.points) == pytest.approx(len(new.points), rel=0.1)
        found = cell_set_measures(other, "triangle")
        assert found == pytest.approx(cell_set_measures(moved, "triangle"), rel=1e-11)


def test_inputs_are_unchanged_and_data_of_the_whole_mesh_stay():
    mesh = with_lower_cells(STRAIGHT["plane"], 0.5)
    values = {"u": np.arange(len(mesh.points), dtype=float)}
    mesh = replace(mesh, point_data=values, field_data={"load": 3.0, "unit:u": "K"})
    attributes = ("cells", "point_data", "point_sets", "cell_sets", "facet_sets")
    before = {
        name: {key: v.copy() for key, v in getattr(mesh, name).items()}
        for name in attributes
    }
    points, sizes = mesh.points.copy(), np.full(len(mesh.points), 0.2)
    new = remesh(mesh, sizes)
    coarsen(mesh, 100)
    assert np.array_equal(mesh.points, points)
    assert (sizes == 0.2).all()
    for name in attributes:
        for key, given in before[name].items():
            assert np.array_equal(getattr(mesh, name)[key], given)
    assert dict(new.field_data) == {"load": 3.0, "unit:u": "K"}
    assert not new.point_data
    # blocks without cells are no hindrance
    bare = Mesh(points, {**mesh.cells, "quad": np.zeros((0, 4), dtype=int)})
    assert set(remesh(bare, 0.2).cells) == {"line", "triangle"}


def test_other_cells_and_faulty_cells_are_errors(mesh_of, mixed_mesh):
    taken = r"takes triangles .* got {}\. mesh\.linearised\(\)"
    for kind in ("quad", "hexahedron", "line", "triangle6", "tetra10", "wedge"):
        with pytest.raises(MeshError, match=taken.format(kind)):
            remesh(mesh_of(kind), 0.3)
    with pytest.raises(MeshError, match=taken.format("quad")):
        coarsen(mixed_mesh(2), 10)
    with pytest.raises(MeshError, match=taken.format("no cells")):
        coarsen(Mesh(np.zeros((3, 2))), 10)
    assert len(remesh(mesh_of("triangle6", 8).linearised(), 0.5).points) < 81

    mesh = square(4)
    nodes = mesh.cells["triangle"].copy()
    nodes[[3, 7]] = nodes[[3, 7]][:, ::-1]
    flat = np.array([[0, 1, 2]])
    orphan = np.concatenate([mesh.points, [[9.0, 9.0]]])
    lost = mesh.points.copy()
    lost[5] = np.nan
    faults = {
        "2 inverted cells": Mesh(mesh.points, {"triangle": nodes}),
        "1 cells of zero measure": Mesh(
            np.array([[0, 0], [1, 0], [2, 0], [0, 1.0]]),
            {"triangle": np.concatenate([flat, [[0, 1, 3], [1, 2, 3]]])},
        ),
        "1 points in no cell": Mesh(orphan, mesh.cells),
        "1 non-finite points": Mesh(lost, mesh.cells),
    }
    for message, faulty in faults.items():
        with pytest.raises(MeshError, match=rf"{message}.*mesh\.mended\(\)"):
            remesh(faulty, 0.3)

    apart = {"line": np.array([[0, 24]]), **mesh.cells}
    with pytest.raises(MeshError, match="1 of 1 line cells are no facets"):
        remesh(Mesh(mesh.points, apart), 0.3)
    lines = {"line": np.array([[0, 1]]), **mesh.cells}
    of_lines = Mesh(mesh.points, lines, facet_sets={"end": np.array([[0, 0]])})
    with pytest.raises(MeshError, match="'end': 1 of its facets are not of triangle"):
        remesh(of_lines, 0.3)


def test_wrong_sizes_and_numbers_are_errors():
    mesh = square(4)
    wrong = {
        "expected one length or \\(25,\\), got \\(3,\\)": np.ones(3),
        "expected positive lengths, got 1 others, the first is -1": -1.0,
        "expected positive lengths, got 25 others, the first is 0": lambda x: (
            0 * x[:, 0]
        ),
        "the first is nan": np.full(25, np.nan),
    }
    for message, size in wrong.items():
        with pytest.raises(ValueError, match=message):
            remesh(mesh, size)
    for option in (
        {"angle": 0.0},
        {"angle": 180.0},
        {"deviation": 0.0},
        {"gradation": 1.0},
    ):
        (name,) = option
        with pytest.raises(ValueError, match=f"{name}: expected"):
            remesh(mesh, 0.3, **option)
    for numbers in ({}, {"n_points": 9, "h": 0.3}):
        with pytest.raises(ValueError, match="expected n_points or h"):
            coarsen(mesh, **numbers)
    with pytest.raises(ValueError, match="expected at least 3, got 2"):
        coarsen(mesh, 2)
    with pytest.raises(ValueError, match="graded: with n_points alone"):
        coarsen(mesh, h=0.3, graded=True)


def test_without_the_library_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "mmgpy", None)
    with pytest.raises(ImportError, match=r'pip install "isofield\[remesh\]"'):
        coarsen(square(4), 9)


def test_where_mmg_gives_up_it_is_an_error(monkeypatch):
    class Broken:
        def remesh(self, **options):
            raise RuntimeError("not enough memory")

    class Failed:
        def remesh(self, **options):
            return {"return_code": 1}

    for made, message in (
        (Broken, "not enough memory"),
        (Failed, r"gave up \(code 1\)"),
    ):
        monkeypatch.setattr(mmg, "_filled", lambda old, made=made: _with_items(made()))
        with pytest.raises(MeshError, match=message):
            remesh(disk(4), 0.5)


def _with_items(made):
    type(made).__setitem__ = lambda self, name, value: None
    return made


def with_fields(mesh: Mesh) -> Mesh:
    """A linear and an integer field at points, a number of the material at cells."""
    centres = [mesh.points[nodes].mean(1)[:, 0] for nodes in mesh.cells.values()]
    x = np.concatenate(centres)
    return replace(
        mesh,
        point_data={"u": 1 + 2 * mesh.points[:, 0], "id": np.arange(len(mesh.points))},
        cell_data={"material": 7 * (x > 0.5) + 2, "p": x},
        field_data={"unit:u": "K", "load": 2.5},
    )


def test_numbers_of_materials_are_regions_on_request():
    mesh = with_fields(square(20))
    new = coarsen(mesh, h=0.15, regions=["material"])
    assert set(new.cell_data) == {"material"}
    assert not new.cell_sets
    assert new.cell_data["material"].dtype == mesh.cell_data["material"].dtype
    each = measures(new.points, new.cells["triangle"])
    for value in (2, 9):
        area = each[new.cell_data["material"] == value].sum()
        assert area == pytest.approx(0.5, rel=1e-13)
    for name in ("p", "u", "nothing"):
        with pytest.raises(MeshError, match=f"got '{name}'; of such type are 'mat"):
            remesh(mesh, 0.3, regions=[name])


def test_cells_smaller_than_facets_are_left_out_with_a_warning():
    mesh = with_lower_cells(STRAIGHT["plane"], 0.5)
    corner = {"vertex": np.array([[0]]), **mesh.cells}
    sets = {name: members + 1 for name, members in mesh.cell_sets.items()}
    pairs = {name: s + np.array([1, 0]) for name, s in mesh.facet_sets.items()}
    sets["corner"] = np.array([0])
    both = replace(mesh, cells=corner, cell_sets=sets, facet_sets=pairs)
    with pytest.warns(UserWarning, match="1 vertex cells are left out") as caught:
        new = remesh(both, 0.3)
    assert caught[0].filename == __file__
    assert not len(new.cell_sets["corner"])
    for name in mesh.cell_sets:
        for kind in mesh.cells:
            given = cell_set_measures(mesh, kind)[name]
            assert cell_set_measures(new, kind)[name] == pytest.approx(given, rel=1e-13)


def command(capfd: pytest.CaptureFixture, *words: object) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of `isofield coarsen`."""
    capfd.readouterr()
    code = main(["coarsen", *map(str, words)])
    out, err = capfd.readouterr()
    return code, out, err


def test_the_command_carries_fields_and_names(tmp_path, capfd):
    mesh = replace(
        with_fields(square(20, jitter=0.2)), cell_sets={"all": np.arange(800)}
    )
    write(tmp_path / "fine.vtu", mesh)
    out = tmp_path / "coarse.vtu"
    code, said, _ = command(
        capfd, tmp_path / "fine.vtu", "-o", out, "--points", 120, "--graded"
    )
    assert code == 0
    lines = said.splitlines()
    assert lines[0].startswith("u (points, linear); integral 2 -> 2; range 1 to 3")
    assert lines[-2].endswith("441 points, 800 triangle")
    new = read(out)
    assert lines[-1].startswith(f"{out}: {len(new.points)} points")
    assert abs(len(new.points) - 120) <= 0.03 * 120
    exact = 1 + 2 * new.points[:, 0]
    np.testing.assert_allclose(new.point_data["u"], exact, atol=1e-12)
    assert np.isin(new.point_data["id"], mesh.point_data["id"]).all()
    assert set(new.cell_data) == {"material", "p"}
    assert new.field_data["unit:u"] == "K"
    assert len(new.cell_sets["all"]) == len(new.cells["triangle"])

    words = ("-o", out, "--size", 0.2, "--regions", "material")
    code, said, _ = command(capfd, tmp_path / "fine.vtu", *words, "--method", "nearest")
    assert code == 0
    assert "material (" not in said
    assert "u (points, nearest)" in said
    new = read(out)
    each = measures(new.points[:, :2], new.cells["triangle"])
    jagged = measures(mesh.points, mesh.cells["triangle"])
    for value in (2, 9):
        area = each[new.cell_data["material"] == value].sum()
        given = jagged[mesh.cell_data["material"] == value].sum()
        assert area == pytest.approx(given, abs=0.02)


def test_the_command_on_a_curved_surface_says_how_far_points_are(tmp_path, capfd):
    ball_ = icosphere(8)
    write(tmp_path / "a.vtu", ball_.with_point_data({"u": ball_.points[:, 2]}))
    out = tmp_path / "b.vtu"
    code, said, _ = command(capfd, tmp_path / "a.vtu", "-o", out, "--size", 0.5)
    assert code == 0
    far = float(said.splitlines()[0].split("the furthest by ")[1])
    assert 0 < far < 0.02
    new = read(out)
    assert np.abs(new.point_data["u"] - new.points[:, 2]).max() < 0.05
    write(tmp_path / "bare.vtu", ball_)
    code, said, _ = command(capfd, tmp_path / "bare.vtu", "-o", out, "--size", 0.5)
    assert code == 0
    assert len(said.splitlines()) == 2


WRONG = {
    "neither": ([], 2, "expected either --points or --size"),
    "both": (["--points", 9, "--size", 1], 2, "expected either --points or --size"),
    "size": (["--size", -1], 2, "--size: expected a positive length, got -1"),
    "graded": (["--size", 1, "--graded"], 2, "--graded goes with --points"),
    "few": (["--points", 2], 2, "--points"),
    "method": (["--size", 1, "--method", "cubic"], 2, "--method: expected linear, con"),
    "angle": (["--size", 1, "--angle", 200], 1, "--angle: expected degrees within"),
    "regions": (["--size", 1, "--regions", "u"], 1, "--regions: .* are 'material'"),
    "quads": (["--size", 1], 1, "quads.vtu: remeshing takes triangles .* got quad"),
    "flaw": (["--size", 1], 1, "1 points in no cell; isofield convert --mend removes"),
    "NaN": (["--size", 0.3], 1, "field 'u' at points: .*not finite.*--masked"),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_bad_words_and_files_give_one_line_and_no_file(tmp_path, capfd, name):
    words, expected, message = WRONG[name]
    mesh = with_fields(square(4, "quad" if name == "quads" else "triangle"))
    if name == "flaw":
        points = np.concatenate([mesh.points, [[2.0, 2.0]]])
        mesh = Mesh(points, mesh.cells)
    if name == "NaN":
        mesh = mesh.with_point_data({"u": np.full(25, np.nan)})
    source, out = tmp_path / f"{name}.vtu", tmp_path / "out.vtu"
    write(source, mesh)
    code, _, err = command(capfd, source, "-o", out, *words)
    lines = [line for line in err.splitlines() if line.startswith("Error")]
    assert code == expected
    assert len(lines) == 1
    assert re.search(message, lines[0])
    assert not out.exists()


def test_without_the_library_the_command_names_the_extra(tmp_path, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "mmgpy", None)
    write(tmp_path / "a.vtu", square(4))
    code, _, err = command(
        capfd, tmp_path / "a.vtu", "-o", tmp_path / "b.vtu", "--size", 0.5
    )
    assert code == 1
    assert (
        'a.vtu: remeshing needs the package mmgpy (MMG): pip install "isofield' in err
    )


REAL = {
    # named lines and materials of a plane mesh by gmsh, with vertices as cells
    "oriented_squares": "skfem/docs/examples/meshes/oriented_squares.msh",
    # a box with named sides
    "box": "skfem/docs/examples/meshes/box.msh",
    # two materials as a cell field
    "plate": "sfepy/meshes/3d/multi_material_cylinder_plate.vtk",
    # a part with sharp edges, of 5750 triangles
    "fandisk": "trimesh_models/models/fandisk.obj",
}


@pytest.mark.parametrize("name", list(REAL))
def test_real_meshes(name):
    path = DATA / "formats" / REAL[name]
    if not path.exists():
        pytest.skip(f"{path} is not there: the survey of real files is not at hand")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of flaws of the file and of vertices
        mesh, _ = read(path).mended()
        regions = ["mat_id"] if "mat_id" in mesh.cell_data else []
        if mesh.dimension == 2:
            new = coarsen(mesh, len(mesh.points) // 3, regions=regions)
        else:
            new = remesh(mesh, 2 * np.median(lengths(mesh)), regions=regions)
    assert len(new.points) < 0.5 * len(mesh.points)
    assert not len(new.validate().inverted_cells)
    kind = "tetra" if mesh.dimension == 3 else "triangle"
    whole, made = (np.abs(measures(m.points, m.cells[kind])).sum() for m in (mesh, new))
    straight = name != "fandisk"
    assert made == pytest.approx(whole, rel=1e-12 if straight else 2e-3)
    assert set(new.cell_sets) == set(mesh.cell_sets)
    for each in {kind, *new.cells} if straight else ():
        given = cell_set_measures(mesh, each)
        assert cell_set_measures(new, each) == pytest.approx(given, rel=1e-12)
    for field in regions:
        for value in np.unique(mesh.cell_data[field]):
            before, after = (
                np.abs(measures(m.points, m.cells[kind]))[m.cell_data[field] == value]
                for m in (mesh, new)
            )
            assert after.sum() == pytest.approx(before.sum(), rel=0.02)
