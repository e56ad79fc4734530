"""Shapes with a known measure: exact or of second order, oriented, on the boundary."""

from functools import partial
from itertools import combinations

import numpy as np
import pytest
import torch

from isofield import Mesh, MeshError, generation
from isofield.discretization import from_mesh
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

# name -> (shape, points it has at n = 4, exact measure, is the mesh's measure exact?)
SHAPES = {
    "square of triangles": (square, 25, 1, True),
    "square of quads": (partial(square, cell="quad"), 25, 1, True),
    "L of triangles": (l_shape, 65, 3, True),
    "L of quads": (partial(l_shape, cell="quad"), 65, 3, True),
    "disk": (disk, 61, np.pi, False),
    "blob": (partial(generation.random_blob, 3), 61, np.pi, False),
    "box of tetrahedra": (box, 125, 1, True),
    "box of hexahedra": (partial(box, cell="hexahedron"), 125, 1, True),
    "box of wedges": (partial(box, cell="wedge"), 125, 1, True),
    "box of pyramids": (partial(box, cell="pyramid"), 189, 1, True),
    "icosphere": (icosphere, 162, 4 * np.pi, False),
    "ball": (ball, 309, 4 / 3 * np.pi, False),
    "torus of triangles": (torus, 40, 1.6 * np.pi**2, False),
    "torus of quads": (partial(torus, cell="quad"), 40, 1.6 * np.pi**2, False),
}
FAMILIES = {
    "uniform": {},
    "graded": {"grading": 4.0},
    "jittered": {"jitter": 0.2},
    "graded and jittered": {"grading": 3.0, "jitter": 0.2},
}
every_shape = pytest.mark.parametrize("name", SHAPES)
every_family = pytest.mark.parametrize("family", FAMILIES)

# A corner and the ends of its edges: their determinant must be positive.
CORNERS = {
    "triangle": [(0, 1, 2)],
    "quad": [(0, 1, 3), (1, 2, 0), (2, 3, 1), (3, 0, 2)],
    "tetra": [(0, 1, 2, 3)],
    "hexahedron": [
        (0, 1, 3, 4), (1, 2, 0, 5), (2, 3, 1, 6), (3, 0, 2, 7),
        (4, 7, 5, 0), (5, 4, 6, 1), (6, 5, 7, 2), (7, 6, 4, 3),
    ],
    "wedge": [
        (0, 1, 2, 3), (1, 2, 0, 4), (2, 0, 1, 5),
        (3, 5, 4, 0), (4, 3, 5, 1), (5, 4, 3, 2),
    ],
    "pyramid": [(0, 1, 3, 4), (1, 2, 0, 4), (2, 3, 1, 4), (3, 0, 2, 4)],
}  # fmt: skip


def determinants(mesh: Mesh) -> np.ndarray:
    """Of every cell's corners; on a surface against the direction that is outward."""
    values = []
    for kind, cells in mesh.cells.items():
        for first, *others in CORNERS[kind]:
            origin = mesh.points[cells[:, first]]
            edges = mesh.points[cells[:, others]] - origin[:, None]
            if edges.shape[1] < edges.shape[2]:
                normal = np.cross(edges[:, 0], edges[:, 1])
                values.append((normal * outward(mesh, origin)).sum(1))
            else:
                values.append(np.linalg.det(edges))
    return np.concatenate(values)


def outward(mesh: Mesh, points: np.ndarray) -> np.ndarray:
    if np.allclose(np.linalg.norm(mesh.points, axis=1), 1):
        return points
    flat = points * [1, 1, 0]
    return points - flat / np.linalg.norm(flat, axis=1, keepdims=True)


FACES = {
    "tetra": [(0, 2, 1), (0, 1, 3), (1, 2, 3), (2, 0, 3)],
    "hexahedron": [
        (0, 3, 2, 1), (4, 5, 6, 7), (0, 1, 5, 4),
        (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7),
    ],
    "wedge": [(0, 2, 1), (3, 4, 5), (0, 1, 4, 3), (1, 2, 5, 4), (2, 0, 3, 5)],
    "pyramid": [(0, 3, 2, 1), (0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4)],
}  # fmt: skip


def measure(mesh: Mesh) -> float:
    """Areas by triangles about the mean point; volumes by the divergence theorem.

    On both sides of a face the triangles are the same, so that a volume is exact where
    the outermost faces are.
    """
    total = 0.0
    for kind, cells in mesh.cells.items():
        for face in FACES.get(kind, [range(cells.shape[1])]):
            corners = mesh.points[cells[:, face]]
            ahead, mean = np.roll(corners, -1, axis=1), corners.mean(1, keepdims=True)
            if mesh.dimension == 3:
                total += (np.cross(corners, ahead) * mean).sum() / 6
            else:
                a, b = corners - mean, ahead - mean
                gram = (a * a).sum(2) * (b * b).sum(2) - (a * b).sum(2) ** 2
                total += np.sqrt(gram).sum() / 2
    return total


def facets(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Sorted nodes of every facet (-1 where it has fewer), and its number of cells."""
    rows = []
    for kind, cells in mesh.cells.items():
        width = cells.shape[1]
        edges = [(i, (i + 1) % width) for i in range(width)]
        for face in FACES.get(kind, edges):
            nodes = np.full((len(cells), 4), -1)
            nodes[:, : len(face)] = np.sort(cells[:, face], axis=1)
            rows.append(nodes)
    return np.unique(np.concatenate(rows), axis=0, return_counts=True)


def on_boundary(mesh: Mesh) -> np.ndarray:
    nodes, count = facets(mesh)
    nodes = np.unique(nodes[count == 1])
    return nodes[nodes >= 0]


def edge_lengths(mesh: Mesh) -> np.ndarray:
    nodes = np.unique(facets(mesh)[0][:, :2], axis=0)
    return np.linalg.norm(np.subtract(*mesh.points[nodes].transpose(1, 0, 2)), axis=1)


def fitted_rate(sizes: list[int], errors: list[float]) -> float:
    return -np.polyfit(np.log(sizes), np.log(errors), 1)[0]


@every_family
@every_shape
def test_cells_are_oriented_positively(name, family):
    mesh = SHAPES[name][0](n=4, **FAMILIES[family])
    assert determinants(mesh).min() > 0
    assert mesh.validate().ok


@every_family
@every_shape
def test_the_measure_is_exact_or_of_second_order(name, family):
    shape, _, exact, without_error = SHAPES[name]
    sizes = [2, 5] if without_error else [4, 8, 16]
    options = FAMILIES[family]
    errors = [exact - measure(shape(n=n, **options)) for n in sizes]
    if without_error:
        assert np.abs(errors).max() < 1e-13
    else:
        # A chord cuts off: the mesh is smaller. The torus is not convex.
        assert min(errors) > 0 or "torus" in name or "blob" in name
        assert 1.8 < fitted_rate(sizes, np.abs(errors)) < 2.2


@every_shape
def test_uniform_and_graded_integrals_converge_to_each_other(name):
    """The integral of a smooth function in lumped weights: both are off by O(h²)."""
    sizes = [4, 8, 16] if "ball" in name or "box" in name else [6, 12, 24]

    def integral(n: int, **options) -> float:
        measured = from_mesh(SHAPES[name][0](n=n, **options))
        slope = torch.tensor([1.5, 0.5, 0.25])[: measured.dimension].double()
        return float(measured.integrate(torch.exp(measured.points @ slope)))

    apart = [abs(integral(n) - integral(n, grading=4.0)) for n in sizes]
    assert apart[0] > 1e-3
    assert 1.8 < fitted_rate(sizes, apart) < 2.1


@every_shape
def test_cells_meet_face_to_face(name):
    shape, points, *_ = SHAPES[name]
    mesh = shape(n=4)
    _, count = facets(mesh)
    closed = name.startswith(("icosphere", "torus"))
    assert set(count) == ({2} if closed else {1, 2})
    assert len(mesh.points) == points
    used = np.unique(np.concatenate([cells.ravel() for cells in mesh.cells.values()]))
    assert len(used) == points


@pytest.mark.parametrize(
    ("mesh", "characteristic"),
    [
        (square(5), 1),
        (disk(5), 1),
        (icosphere(5), 2),
        (torus(5), 0),
        (plate_with_holes(12), -1),
        (plate_with_holes(8, holes=[]), 1),
    ],
    ids=["square", "disk", "icosphere", "torus", "plate", "plate without holes"],
)
def test_points_less_edges_plus_faces_is_eulers_number(mesh, characteristic):
    edges, _ = facets(mesh)
    faces = sum(len(cells) for cells in mesh.cells.values())
    assert len(mesh.points) - len(edges) + faces == characteristic


@every_family
def test_the_outermost_points_are_on_the_true_boundary(family):
    options = FAMILIES[family]
    for shape in (disk, ball):
        mesh = shape(5, **options)
        radius = np.linalg.norm(mesh.points, axis=1)
        outermost = on_boundary(mesh)
        assert np.abs(radius[outermost] - 1).max() < 1e-14
        assert np.delete(radius, outermost).max() < 1 - 1e-3
    assert np.abs(np.linalg.norm(icosphere(5, **options).points, axis=1) - 1).max() < (
        1e-14
    )
    x, y, z = torus(5, ring=2, tube=0.5, **options).points.T
    assert np.abs(np.hypot(np.hypot(x, y) - 2, z) - 0.5).max() < 1e-14


@pytest.mark.parametrize("shape", [square, l_shape, disk, box, ball, icosphere, torus])
def test_grading_is_the_ratio_of_spacings_and_refines_along(shape):
    """Graded over uniform lengths of the same edges: their extremes' ratio is 4."""
    sizes = [4, 8, 16]
    longest = []
    for n in sizes:
        graded = shape(n, grading=4.0)
        longest.append(edge_lengths(graded).max())
        stretched = edge_lengths(graded) / edge_lengths(shape(n))
    assert 3.3 < stretched.max() / stretched.min() < 4.001
    assert 0.8 < fitted_rate(sizes, longest) < 1.1


def test_blobs_differ_and_have_one_area():
    blobs = [generation.random_blob(seed, 12) for seed in range(4)]
    areas = [measure(blob) for blob in blobs]
    assert np.ptp(areas) < 0.02
    radii = [np.linalg.norm(blob.points[on_boundary(blob)], axis=1) for blob in blobs]
    assert all(np.ptp(radius) > 0.2 for radius in radii)
    assert all(np.abs(a - b).max() > 0.1 for a, b in combinations(radii, 2))
    again = generation.random_blob(2, 12)
    np.testing.assert_array_equal(blobs[2].points, again.points)


@every_family
def test_a_random_surface_is_closed_and_outward(family):
    mesh = generation.random_surface(2, 6, **FAMILIES[family])
    edges, count = facets(mesh)
    assert set(count) == {2}
    assert len(mesh.points) - len(edges) + len(mesh.cells["triangle"]) == 2
    assert np.linalg.det(mesh.points[mesh.cells["triangle"]]).min() > 0
    assert mesh.validate().ok


def test_a_random_surface_does_not_depend_on_its_mesh():
    coarse, fine = (generation.random_surface(3, n).points for n in (4, 8))
    apart = np.linalg.norm(coarse[:, None] - fine, axis=2)
    assert apart.min(1).max() < 1e-14
    radius = np.linalg.norm(fine, axis=1)
    assert 0.48 < radius.min() < 0.85 < 1.2 < radius.max() < 2.1

    def volume(n: int, **options) -> float:
        mesh = generation.random_surface(3, n, **options)
        return float(np.linalg.det(mesh.points[mesh.cells["triangle"]]).sum() / 6)

    sizes = [6, 12, 24]
    apart = [abs(volume(n) - volume(n, grading=4.0, jitter=0.1)) for n in sizes]
    assert 1.8 < fitted_rate(sizes, apart) < 2.2
    other = generation.random_surface(4, 8).points
    assert np.abs(np.linalg.norm(other, axis=1) - radius).max() > 0.1


@pytest.mark.parametrize("shape", [square, l_shape, disk, box, ball])
def test_jitter_moves_interior_points_alone_and_no_farther(shape):
    still, moved = shape(6), shape(6, jitter=0.2, seed=1)
    step = np.linalg.norm(moved.points - still.points, axis=1)
    boundary = on_boundary(still)
    interior = np.delete(np.arange(len(step)), boundary)
    assert step[boundary].max() == 0
    assert step[interior].min() > 0
    assert 0.1 / 6 < step.max() <= 0.2 * edge_lengths(still).max()
    again, other = shape(6, jitter=0.2, seed=1), shape(6, jitter=0.2, seed=2)
    np.testing.assert_array_equal(moved.points, again.points)
    assert not np.array_equal(moved.points, other.points)


HOLES = [(0.3, 0.35, 0.15), (0.72, 0.6, 0.1), (0.35, 0.8, 0.08)]


@pytest.mark.parametrize("grading", [1.0, 3.0])
@pytest.mark.parametrize("n", [12, 24])
def test_the_plate_is_the_square_without_polygons(n, grading):
    """Each hole is a regular polygon with its corners on the circle."""
    meshes = [plate_with_holes(n, HOLES, grading=grading, seed=s) for s in (0, 1)]
    exact = 1.0
    for *_, radius in HOLES:
        corners = round(2 * np.pi * radius * n * grading)
        exact -= corners * radius**2 * np.sin(2 * np.pi / corners) / 2
    for mesh in meshes:
        assert measure(mesh) == pytest.approx(exact, abs=1e-12)
        assert determinants(mesh).min() > 0
        outermost = mesh.points[on_boundary(mesh)]
        side = np.minimum(outermost, 1 - outermost).min(1) == 0
        apart = np.linalg.norm(outermost[:, None] - np.array(HOLES)[:, :2], axis=2)
        circle = np.abs(apart - np.array(HOLES)[:, 2]).min(1) < 1e-14
        assert (side ^ circle).all()
    assert meshes[0].points.shape != meshes[1].points.shape or not np.array_equal(
        meshes[0].points, meshes[1].points
    )


@pytest.mark.parametrize("grading", [1.0, 3.0])
def test_the_plate_has_the_spacing_asked_for(grading):
    mesh = plate_with_holes(20, HOLES, grading=grading)
    nodes = np.unique(facets(mesh)[0][:, :2], axis=0)
    ends = mesh.points[nodes]
    length = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)
    middle = ends.mean(1)
    far = np.linalg.norm(middle[:, None] - np.array(HOLES)[:, :2], axis=2)
    far = (far - np.array(HOLES)[:, 2]).min(1)
    wanted = (1 / grading + (1 - 1 / grading) * np.minimum(far / 0.3, 1)) / 20
    ratio = length / wanted
    assert 0.9 < ratio.mean() < 1.2
    assert ratio.min() > 0.4
    assert ratio.max() < 2


def test_holes_that_touch_or_leave_the_square_are_refused():
    for holes in ([(0.5, 0.5, 0.6)], [(0.3, 0.5, 0.2), (0.6, 0.5, 0.2)], [(0, 0, 0.1)]):
        with pytest.raises(ValueError, match="apart from each other"):
            plate_with_holes(10, holes)


def test_a_gap_finer_than_the_spacing_is_refused():
    with pytest.raises(MeshError, match="too coarse for the gaps"):
        plate_with_holes(6, [(0.3, 0.5, 0.19), (0.7, 0.5, 0.2)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n: expected a whole number"),
        ({"n": 2.5}, "n: expected a whole number"),
        ({"n": 2, "grading": -1.0}, "grading: expected a ratio > 0, got -1"),
        ({"n": 2, "jitter": 0.4}, "jitter: expected 0 to 0.25"),
        ({"n": 2, "cell": "hexagon"}, "cell: expected .* got 'hexagon'"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        square(**options)
    with pytest.raises(ValueError, match=message):
        box(**options)


def test_a_torus_needs_three_spacings_and_a_hole():
    with pytest.raises(ValueError, match="at least 3 spacings"):
        torus(2)
    with pytest.raises(ValueError, match="0 < tube < ring"):
        torus(4, ring=1, tube=1)
