"""The mesh: its doors, what is wrong with it, its boundary and its refinement."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from isofield import Mesh, MeshError, from_mesh
from isofield.cells import CELL_TYPES
from isofield.quadrature import cell_centroids, cell_measures, quadrature
from isofield.topology import coincident, number_rows

KINDS = [kind for kind, cell in CELL_TYPES.items() if cell.dimension > 0]
FAMILIES = [
    (2, "linear"),
    (2, "full"),
    (2, "serendipity"),
    (2, "bubble"),
    (3, "linear"),
    (3, "full"),
    (3, "serendipity"),
]
SQUARE = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
TRIANGLES = np.array([[0, 1, 2], [0, 2, 3]])


def measure(mesh: Mesh) -> float:
    points = torch.tensor(mesh.points)
    return sum(
        float(cell_measures(points, torch.tensor(nodes), kind).sum())
        for kind, nodes in mesh.cells.items()
        if CELL_TYPES[kind].dimension == mesh.dimension
    )


def centres(mesh: Mesh) -> np.ndarray:
    points = torch.tensor(mesh.points)
    return np.concatenate(
        [
            cell_centroids(points, torch.tensor(nodes), kind).numpy()
            for kind, nodes in mesh.cells.items()
        ]
    )


# ---------------------------------------------------------------- the constructor


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"points": np.zeros((3, 4))}, r"expected \(N, 2\) or \(N, 3\)"),
        ({"cells": {"heptagon": np.zeros((1, 7), int)}}, "unknown type 'heptagon'"),
        ({"cells": {"quad": TRIANGLES}}, "quad has 4 nodes"),
        ({"cells": {"triangle": [[0, 1, 4]]}}, "name points that do not exist"),
        ({"cells": {"triangle": [[0, 1, -1]]}}, "name points that do not exist"),
        ({"point_data": {"u": np.zeros(3)}}, r"point_data\['u'\]: expected 4 rows"),
        ({"cell_data": {"k": np.zeros(3)}}, r"cell_data\['k'\]: expected 2 rows"),
        ({"cell_data": {"k": 1.0}}, "expected 2 rows"),
        ({"point_sets": {"left": [0, 4]}}, "do not lie within 0 to 3"),
        ({"facet_sets": {"left": [0, 1]}}, r"expected \(k, 2\)"),
        ({"facet_sets": {"left": [[1, 3]]}}, "cell 1 has 3 facets, so no facet 3"),
        ({"facet_sets": {"left": [[1, -1]]}}, "so no facet -1"),
        ({"cells": {"triangle": [[0, 1, 1.5]]}}, r"\['triangle'\]: expected whole"),
        ({"cells": {"triangle": [[0, 1, np.inf]]}}, "expected whole numbers"),
        ({"point_sets": {"left": [0.7]}}, r"\['left'\]: expected whole numbers"),
        ({"cell_sets": {"left": [True, False]}}, "expected whole numbers, got bool"),
        ({"points": SQUARE + 1j}, "points: expected real numbers, got complex128"),
        ({"points": [["a", "b"]]}, "points: expected real numbers"),
        ({"point_data": {"u": [[1], [2, 3], [4], [5]]}}, r"\['u'\]: expected rows of"),
        ({"point_data": {"u": [None] * 4}}, "expected numbers, got objects"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(arguments, message) -> None:
    complete = {"points": SQUARE, "cells": {"triangle": TRIANGLES}, **arguments}
    with pytest.raises(MeshError, match=message):
        Mesh(**complete)


def test_meshes_are_frozen_and_leave_the_callers_arrays_alone() -> None:
    points = SQUARE.copy()
    mesh = Mesh(points, {"triangle": TRIANGLES}, {"u": np.zeros(4)})
    with pytest.raises(ValueError, match="read-only"):
        mesh.points[0] = 1.0
    with pytest.raises(TypeError):
        mesh.point_data["u"] = np.ones(4)  # type: ignore[index]
    points[0] = 0.0
    richer = mesh.with_point_data({"v": np.ones(4)}).with_cell_data({"k": np.ones(2)})
    assert list(richer.point_data) == ["u", "v"]
    assert list(mesh.point_data) == ["u"]
    assert list(richer.cell_data) == ["k"]


def test_whole_numbers_may_come_as_floats_and_fields_in_any_byte_order() -> None:
    mesh = Mesh(
        SQUARE.astype(">f4"),
        {"triangle": TRIANGLES.astype(float)},
        {"u": np.arange(4.0).astype(">f8")},
        point_sets={"none": []},
        facet_sets={"none": np.zeros((0, 2))},
    )
    np.testing.assert_array_equal(mesh.points, SQUARE, strict=True)
    np.testing.assert_array_equal(mesh.cells["triangle"], TRIANGLES, strict=True)
    assert mesh.point_data["u"].dtype == np.float64
    assert mesh.point_data["u"].dtype.isnative
    assert mesh.point_data["u"].tolist() == [0, 1, 2, 3]


def test_dimension_and_top_cells() -> None:
    lines = np.array([[0, 1], [1, 2]])
    mesh = Mesh(SQUARE, {"line": lines, "triangle": TRIANGLES})
    assert mesh.dimension == 2
    assert mesh.top_cells.tolist() == [2, 3]
    assert Mesh(SQUARE).dimension == -1
    edges = mesh.of_dimension(1)
    assert edges.cells["line"].tolist() == lines.tolist()
    assert len(edges.points) == 3


# -------------------------------------------------------------- validate and mend


def faulty() -> Mesh:
    """One fault of each kind, at known numbers."""
    points = np.array(
        [[0, 0], [1, 0], [1, 1], [0, 1], [5, 5], [1, 0], [2, 0], [2, 1], [np.nan, 0]]
    )
    quads = np.array([[0, 1, 2, 3], [1, 2, 7, 6], [1, 6, 7, 2], [1, 7, 6, 2]])
    triangles = np.array([[0, 1, 6], [0, 1, 5], [0, 1, 8]])
    values = np.arange(9.0)
    values[[2, 4]] = np.inf
    return Mesh(
        points,
        {"quad": quads, "triangle": triangles},
        point_data={"u": values},
        cell_data={"k": np.array([0, 0, 0, 0, 0, np.nan, 0])},
    )


def test_validate_finds_each_fault_at_its_place() -> None:
    report = faulty().validate()
    assert not report.ok
    assert report.orphan_points.tolist() == [4]
    assert report.duplicate_points.tolist() == [5]
    assert report.nonfinite_points.tolist() == [8]
    assert report.inverted_cells.tolist() == [1]
    assert report.folded_cells.tolist() == [3]
    # A quad crossed over has as much positive as negative area.
    assert report.zero_cells.tolist() == [3, 4, 5]
    assert report.nonfinite_cells.tolist() == [6]
    assert report.nonfinite_point_data["u"].tolist() == [2, 4]
    assert report.nonfinite_cell_data["k"].tolist() == [5]
    text = str(report)
    assert "9 points, 7 cells" in text
    assert "1 orphan points (4)" in text
    assert "2 points with a non-finite 'u' (2, 4)" in text


def test_a_sound_mesh_has_nothing_wrong(mixed_mesh, bent) -> None:
    for dimension, family in FAMILIES:
        mesh = mixed_mesh(dimension, family)
        mesh = replace(mesh, points=bent(mesh.points))
        report = mesh.validate()
        assert report.ok, str(report)
        assert str(report).endswith("nothing wrong")
        mended, done = mesh.mended()
        assert done == ()
        np.testing.assert_array_equal(mended.points, mesh.points)


def test_an_empty_mesh_has_nothing_wrong() -> None:
    empty = Mesh(np.zeros((0, 3)), point_data={"u": np.zeros((0, 3))})
    assert empty.validate().ok
    assert empty.mended()[1] == ()
    assert len(empty.refined().points) == len(empty.linearised().points) == 0


def test_a_point_cloud_has_no_orphans() -> None:
    cloud = Mesh(SQUARE)
    assert cloud.validate().ok
    assert len(cloud.mended()[0].points) == 4


@pytest.mark.parametrize("kind", [k for k in KINDS if CELL_TYPES[k].dimension > 1])
def test_every_type_is_found_inverted_and_turned_round(kind: str, mesh_of) -> None:
    """Facet sets name the same facets before and after."""
    mesh = mesh_of(kind, 1)
    nodes = mesh.cells[kind].copy()
    nodes[0] = nodes[0][CELL_TYPES[kind].mirrored]
    sides = [(0, place) for place in range(len(CELL_TYPES[kind].facets))]
    wrong = replace(mesh, cells={kind: nodes}, facet_sets={"side": np.array(sides[:1])})
    assert wrong.validate().inverted_cells.tolist() == [0]
    mended, done = wrong.mended()
    assert done == ("turned 1 inverted cells round",)
    assert mended.validate().ok
    assert measure(mended) == pytest.approx(1.0, rel=1e-13)

    def named(m: Mesh) -> list[set[int]]:
        return [
            {int(m.cells[kind][c][i]) for i in CELL_TYPES[kind].facets[place][1]}
            for c, place in m.facet_sets["side"]
        ]

    assert named(mended) == named(wrong)


def test_mended_says_what_it_did_and_carries_everything_along() -> None:
    mesh = replace(
        faulty(),
        point_sets={"right": np.array([6, 7, 4]), "pair": np.array([1, 5])},
        cell_sets={"last": np.array([2, 3])},
        facet_sets={
            "side": np.array([[1, 0], [3, 0]]),
            "nothing": np.zeros((0, 2), int),
        },
    )
    mended, done = mesh.mended()
    assert done == (
        "turned 1 inverted cells round",
        "dropped 3 cells of zero measure",
        "dropped 2 points in no cell",
    )
    # Points 1 and 5 coincide, but their fields differ, so 5 was kept apart until the
    # cell that used it was dropped.
    assert mended.point_data["u"].tolist() == [0, 1, np.inf, 3, 6, 7, 8]
    assert mended.point_sets["right"].tolist() == [4, 5]
    assert mended.point_sets["pair"].tolist() == [1]
    assert mended.cell_sets["last"].tolist() == [2]
    assert mended.facet_sets["side"].tolist() == [[1, 3]]
    assert mended.facet_sets["nothing"].shape == (0, 2)
    assert mended.validate().inverted_cells.size == 0
    assert mended.validate().nonfinite_cells.tolist() == [3]


def test_points_are_merged_up_to_the_tolerance_that_is_named() -> None:
    """A square whose two triangles have their own points along the diagonal."""
    gap = 1e-6
    points = np.array([[0, 0], [1, 0], [1, 1], [0, 0], [1, 1], [0, 1.0]])
    points[4, 1] += gap
    mesh = Mesh(points, {"triangle": np.arange(6).reshape(2, 3)})
    assert len(mesh.mended(None)[0].points) == 6
    equal, done = mesh.mended()
    assert len(equal.points) == 5
    assert done == ("merged 1 points into others",)
    near, done = mesh.mended(2 * gap)
    assert len(near.points) == 4
    assert done == ("merged 2 points into others",)
    assert len(near.boundary().points) == 4
    with pytest.raises(ValueError, match="tolerance"):
        mesh.mended(-1.0)


def test_a_field_that_jumps_keeps_its_two_values() -> None:
    points = np.array([[0.0, 0], [1, 0], [1, 0], [2, 0], [1, 0]])
    lines = {"line": np.array([[0, 1], [2, 3], [0, 4]])}
    mesh = Mesh(points, lines, point_data={"u": np.array([0.0, 1, 2, 3, 2])})
    kept = mesh.mended()[0]
    assert kept.point_data["u"].tolist() == [0, 1, 2, 3]
    assert kept.cells["line"].tolist() == [[0, 1], [2, 3], [0, 2]]


def test_coincident_agrees_with_all_distances() -> None:
    rng = np.random.default_rng(3)
    points = rng.integers(0, 4, (200, 3)) + rng.uniform(0, 0.02, (200, 3))
    points[7] = np.nan
    lowest = coincident(points, 0.05)
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    expected = [np.flatnonzero(row <= 0.05)[:1] for row in distance]
    assert lowest[7] == 7
    for point in range(200):
        if point != 7:
            assert lowest[point] == expected[point][0]
    chain = np.column_stack([np.arange(6) * 0.9, np.zeros(6)])
    assert coincident(chain, 1.0).tolist() == [0] * 6
    assert coincident(chain, 0.8).tolist() == list(range(6))


def test_number_rows_agrees_with_numpy() -> None:
    rng = np.random.default_rng(4)
    for width, top in [(1, 5), (3, 4), (4, 2**31), (2, 2**61)]:
        rows = rng.integers(0, 3, (500, width)) * (top // 4)
        first, inverse = number_rows(rows)
        np.testing.assert_array_equal(rows[first][inverse], rows)
        assert len(first) == len(np.unique(rows, axis=0))
        assert (np.diff(first) > 0).all()
        assert all(inverse[row] == k for k, row in enumerate(first))


# ---------------------------------------------------------------------- boundary


@pytest.mark.parametrize(("dimension", "family"), FAMILIES)
def test_the_boundary_is_closed_and_points_outward(
    dimension: int, family: str, mixed_mesh, bent
) -> None:
    """The divergence theorem: `1/d ∫ x . n` over the boundary is the measure."""
    mesh = mixed_mesh(dimension, family)
    box = mesh.boundary()
    assert box.dimension == dimension - 1
    assert measure(box) == pytest.approx(2 * dimension, rel=1e-13)
    assert len(box.boundary().cells) == 0
    mesh = replace(mesh, points=bent(mesh.points))
    assert outward_flux(mesh.boundary()) == pytest.approx(measure(mesh), rel=1e-12)


def outward_flux(box: Mesh) -> float:
    """`1/d ∫ x . n` over a mesh of facets."""
    total, dimension = 0.0, box.dimension + 1
    for kind, nodes in box.cells.items():
        corners, rule = box.points[nodes], quadrature(kind, 8)
        cell = CELL_TYPES[kind]
        x = np.einsum("qn,tnd->tqd", cell.shape(rule.points), corners)
        tangents = np.einsum("tnd,qnk->tqkd", corners, cell.gradient(rule.points))
        if dimension == 2:
            normal = tangents[:, :, 0] @ np.array([[0.0, -1.0], [1.0, 0.0]])
        else:
            normal = np.cross(tangents[:, :, 0], tangents[:, :, 1])
        total += float(((x * normal).sum(-1) @ rule.weights).sum()) / dimension
    return total


def test_the_boundary_carries_fields_and_facet_sets(mixed_mesh) -> None:
    mesh = mixed_mesh(3)
    numbers = mesh.boundary_points()
    sides = [(cell, place) for cell, place in np.ndindex(len(mesh.cells["pyramid"]), 5)]
    mesh = replace(
        mesh,
        point_data={"x": mesh.points.astype(np.float32)},
        cell_data={"cell": np.arange(len(centres(mesh)))},
        point_sets={"all": np.arange(len(mesh.points))},
        facet_sets={"pyramids": np.array(sides)},
    )
    box = mesh.boundary()
    np.testing.assert_array_equal(box.points, mesh.points[numbers])
    np.testing.assert_array_equal(box.point_data["x"], mesh.point_data["x"][numbers])
    assert box.point_sets["all"].tolist() == list(range(len(numbers)))
    owners = box.cell_data["cell"]
    expected = np.flatnonzero(owners < len(mesh.cells["pyramid"]))
    assert box.cell_sets["pyramids"].tolist() == expected.tolist()
    # A facet lies beside its own cell: half a cell away at most.
    offset = np.abs(centres(box) - centres(mesh)[owners]).max(axis=1)
    assert offset.max() < 0.3
    with pytest.raises(MeshError, match="no boundary"):
        Mesh(SQUARE).boundary()


def test_the_boundary_of_lines_are_their_ends(mesh_of) -> None:
    ends = mesh_of("line3", 3).boundary()
    assert ends.points.tolist() == [[0.0, 0.0], [1.0, 0.0]]
    assert ends.cells["vertex"].tolist() == [[0], [1]]


# -------------------------------------------------------------------- refinement


@pytest.mark.parametrize(("dimension", "family"), FAMILIES)
def test_refined_meshes_conform(dimension: int, family: str, mixed_mesh, bent) -> None:
    """Every boundary facet gives 2^(d-1) others, and none opens up between cells.

    A point counted twice, or missed, between two cells would add boundary there.
    """
    coarse = mixed_mesh(dimension, family)
    coarse = replace(coarse, points=bent(coarse.points))
    fine = coarse.refined()
    assert fine.validate().ok
    np.testing.assert_array_equal(fine.points[: len(coarse.points)], coarse.points)
    before, after = coarse.boundary(), fine.boundary()
    assert {k: len(n) * 2 ** (dimension - 1) for k, n in before.cells.items()} == {
        k: len(n) for k, n in after.cells.items()
    }
    assert len(after.boundary().cells) == 0
    again = replace(before, facet_sets={}).refined()
    np.testing.assert_allclose(
        np.unique(again.points.round(12), axis=0),
        np.unique(after.points.round(12), axis=0),
        atol=1e-11,
    )


@pytest.mark.parametrize(("dimension", "family"), FAMILIES)
def test_refinement_keeps_the_measure(
    dimension: int, family: str, mixed_mesh, bent
) -> None:
    """Straight or curved: children cover their parents' facets exactly, and the measure
    depends on the boundary alone."""
    mesh = mixed_mesh(dimension, family)
    for points in (mesh.points, bent(mesh.points)):
        coarse = replace(mesh, points=points)
        total = measure(coarse)
        assert (total == pytest.approx(1.0, rel=1e-12)) == (points is mesh.points)
        fine = coarse.refined()
        assert measure(fine) == pytest.approx(total, rel=1e-12)
        assert measure(fine.refined()) == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize(("dimension", "family"), FAMILIES)
def test_point_fields_are_interpolated_by_the_shape_functions(
    dimension: int, family: str, mixed_mesh
) -> None:
    """Polynomials of the order of the cells come back exactly on straight cells, and
    those of the next degree do not."""
    order = 1 if family == "linear" else 2
    mesh = mixed_mesh(dimension, family)

    def field(points: np.ndarray, degree: int) -> np.ndarray:
        sums = points @ np.arange(1.0, dimension + 1) / 3
        return np.stack([sums, sums**degree, 1 + sums**degree], axis=-1)

    for degree, exact in [(order, True), (order + 1, False)]:
        u = field(mesh.points, degree)
        fine = mesh.with_point_data({"u": u}).refined()
        error = np.abs(fine.point_data["u"] - field(fine.points, degree)).max()
        assert (error < 1e-13) == exact
        np.testing.assert_array_equal(fine.point_data["u"][: len(u)], u)


def test_fields_keep_their_type_and_integer_fields_warn(mesh_of) -> None:
    mesh = mesh_of("quad", 2)
    n = len(mesh.points)
    real = mesh.with_point_data({"u": np.ones((n, 2, 2), np.float32)}).refined()
    assert real.point_data["u"].dtype == np.float32
    assert real.point_data["u"].shape == (25, 2, 2)
    with pytest.warns(UserWarning, match="'tag' of type int64 becomes float64"):
        tagged = mesh.with_point_data({"tag": np.arange(n)}).refined()
    assert tagged.point_data["tag"].dtype == np.float64


@pytest.mark.parametrize(("dimension", "family"), FAMILIES)
def test_cell_data_and_sets_follow_refinement(
    dimension: int, family: str, mixed_mesh
) -> None:
    mesh = mixed_mesh(dimension, family)
    left = centres(mesh)[:, 0] < 0.5
    pairs = facets_on_the_left(mesh)
    mesh = replace(
        mesh,
        cell_data={"left": left.astype(float)},
        cell_sets={"left": np.flatnonzero(left)},
        point_sets={"wall": np.flatnonzero(mesh.points[:, 0] == 0)},
        facet_sets={"wall": pairs},
    )
    fine = mesh.refined()
    inside = centres(fine)[:, 0] < 0.5
    np.testing.assert_array_equal(fine.cell_data["left"], inside)
    np.testing.assert_array_equal(fine.cell_sets["left"], np.flatnonzero(inside))
    wall = np.flatnonzero(np.abs(fine.points[:, 0]) < 1e-14)
    np.testing.assert_array_equal(np.sort(fine.point_sets["wall"]), wall)
    expected = facets_on_the_left(fine)
    assert sorted(map(tuple, fine.facet_sets["wall"])) == sorted(map(tuple, expected))
    box = fine.boundary()
    area = measure(replace_cells(box, box.cell_sets["wall"]))
    assert area == pytest.approx(1.0, rel=1e-13)


def replace_cells(mesh: Mesh, numbers: np.ndarray) -> Mesh:
    cells, start = {}, 0
    for kind, nodes in mesh.cells.items():
        chosen = numbers[(numbers >= start) & (numbers < start + len(nodes))] - start
        cells[kind] = nodes[chosen]
        start += len(nodes)
    return Mesh(mesh.points, cells)


def facets_on_the_left(mesh: Mesh) -> np.ndarray:
    """(cell, facet) pairs whose nodes all have x = 0."""
    pairs, start = [], 0
    for kind, nodes in mesh.cells.items():
        for place, (_, local) in enumerate(CELL_TYPES[kind].facets):
            on = (np.abs(mesh.points[nodes[:, list(local)], 0]) < 1e-14).all(axis=1)
            pairs += [(start + int(cell), place) for cell in np.flatnonzero(on)]
        start += len(nodes)
    return np.array(pairs)


def test_a_point_set_on_the_boundary_stays_there(mesh_of) -> None:
    """One square of two triangles: their common edge joins boundary points, but its
    middle is inside."""
    mesh = replace(mesh_of("triangle", 1), point_sets={"rim": np.arange(4)})
    fine = mesh.refined()
    rim = fine.point_sets["rim"]
    assert len(rim) == 8
    assert not (fine.points[rim] == 0.5).all(axis=1).any()


def test_lines_on_the_rim_are_refined_with_the_triangles_beside_them(mesh_of) -> None:
    mesh = mesh_of("triangle6", 2)
    rim = mesh.boundary_points()[mesh.boundary().cells["line3"]]
    both = Mesh(mesh.points, {"line3": rim, **mesh.cells})
    fine = both.refined()
    assert len(fine.points) == len(mesh.refined().points)
    assert measure(fine.of_dimension(1)) == pytest.approx(4.0)
    sides = {frozenset(row[:2].tolist()) for row in fine.cells["line3"]}
    edges = fine.of_dimension(2)
    assert len(edges.boundary().cells["line3"]) == len(sides) == 16


def test_collapsed_hexahedra_are_refined_without_double_points() -> None:
    """A wedge written as a hexahedron with two equal edges."""
    points = CELL_TYPES["wedge"].reference_points
    collapsed = Mesh(points, {"hexahedron": np.array([[0, 1, 2, 2, 3, 4, 5, 5]])})
    fine = collapsed.refined()
    assert len(fine.validate().duplicate_points) == 0
    assert measure(fine) == pytest.approx(0.5, rel=1e-13)


def test_crack_faces_stay_apart() -> None:
    """Two quadratic triangles with the same corners on an edge but own middle nodes."""
    points = np.array(
        [
            *[[0, 0], [1, 0], [0.5, 1], [0.5, -1], [0.5, 0.01], [0.5, -0.01]],
            *[[0.75, 0.5], [0.25, 0.5], [0.75, -0.5], [0.25, -0.5]],
        ]
    )
    cells = np.array([[0, 1, 2, 4, 6, 7], [1, 0, 3, 5, 9, 8]])
    mesh = Mesh(points, {"triangle6": cells})
    assert len(mesh.boundary().cells["line3"]) == 6
    fine = mesh.refined()
    assert len(fine.boundary().cells["line3"]) == 12
    assert len(fine.validate().duplicate_points) == 0


# ------------------------------------------------------------------- linearised


@pytest.mark.parametrize(("dimension", "family"), FAMILIES)
def test_linearised_meshes_keep_corners_fields_and_sets(
    dimension: int, family: str, mixed_mesh
) -> None:
    linear, mesh = mixed_mesh(dimension), mixed_mesh(dimension, family)
    mesh = replace(
        mesh,
        point_data={"x": mesh.points[:, 0]},
        cell_data={"centre": centres(mesh)},
        facet_sets={"wall": facets_on_the_left(mesh)},
        point_sets={"all": np.arange(len(mesh.points))},
    )
    flat = mesh.linearised()
    assert set(flat.cells) == set(linear.cells)
    np.testing.assert_array_equal(flat.points, linear.points)
    for kind, nodes in linear.cells.items():
        np.testing.assert_array_equal(flat.cells[kind], nodes)
    np.testing.assert_array_equal(flat.point_data["x"], flat.points[:, 0])
    np.testing.assert_allclose(flat.cell_data["centre"], centres(flat), atol=1e-14)
    np.testing.assert_array_equal(flat.facet_sets["wall"], facets_on_the_left(flat))
    assert len(flat.point_sets["all"]) == len(flat.points)


def test_linearised_joins_types_of_one_shape() -> None:
    points = np.concatenate([SQUARE, [[0.5, 0.5], [1, 0.5], [0.5, 0]]])
    mesh = Mesh(
        points,
        {
            "triangle6": np.array([[0, 1, 2, 6, 5, 4]]),
            "line": np.array([[0, 1]]),
            "triangle": np.array([[0, 2, 3]]),
        },
        cell_data={"number": np.arange(3)},
        cell_sets={"upper": np.array([2])},
    )
    flat = mesh.linearised()
    assert flat.cells["triangle"].tolist() == TRIANGLES.tolist()
    assert flat.cell_data["number"].tolist() == [0, 2, 1]
    assert flat.cell_sets["upper"].tolist() == [1]
    assert float(from_mesh(flat.of_dimension(2)).measure()) == pytest.approx(1.0)
