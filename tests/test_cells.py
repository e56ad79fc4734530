"""Reference cells: nodal bases, facets, children and VTK's numbering."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from isofield.cells import CELL_TYPES
from isofield.quadrature import quadrature

ALL = list(CELL_TYPES)
MEASURED = [kind for kind in ALL if CELL_TYPES[kind].dimension > 0]


def inner_points(kind: str) -> np.ndarray:
    return quadrature(kind, 6).points


def determinants(kind: str, points: np.ndarray, at: np.ndarray) -> np.ndarray:
    gradient = CELL_TYPES[kind].gradient(at)
    return np.linalg.det(np.einsum("nd,qnk->qdk", points, gradient))


@pytest.mark.parametrize("kind", ALL)
def test_shape_functions_are_a_nodal_basis(kind: str) -> None:
    cell = CELL_TYPES[kind]
    assert cell.reference_points.shape == (cell.nodes, cell.dimension)
    np.testing.assert_allclose(
        cell.shape(cell.reference_points), np.eye(cell.nodes), atol=1e-13
    )


@pytest.mark.parametrize("kind", MEASURED)
def test_shape_functions_reproduce_polynomials_up_to_their_order_alone(
    kind: str,
) -> None:
    """Degree `order` exactly, gradients too; x^(order + 1) is not in the space."""
    cell, at = CELL_TYPES[kind], inner_points(kind)
    shape, gradient = cell.shape(at), cell.gradient(at)
    for powers in product(range(cell.order + 1), repeat=cell.dimension):
        if sum(powers) > cell.order:
            continue
        values = np.prod(cell.reference_points**powers, axis=1)
        np.testing.assert_allclose(
            shape @ values, np.prod(at**powers, axis=1), atol=1e-13
        )
        for axis in range(cell.dimension):
            lower = np.array(powers) - np.eye(cell.dimension, dtype=int)[axis]
            exact = powers[axis] * np.prod(at ** np.maximum(lower, 0), axis=1)
            np.testing.assert_allclose(gradient[:, :, axis] @ values, exact, atol=1e-12)
    beyond = cell.reference_points[:, 0] ** (cell.order + 1)
    assert np.abs(shape @ beyond - at[:, 0] ** (cell.order + 1)).max() > 1e-3


@pytest.mark.parametrize("kind", MEASURED)
def test_gradients_are_derivatives_of_the_shape_functions(kind: str) -> None:
    """Central differences, error O(step^2) = 1e-10 beside rounding of 1e-16 / step."""
    cell, at, step = CELL_TYPES[kind], inner_points(kind), 1e-5
    gradient = cell.gradient(at)
    for axis in range(cell.dimension):
        shift = step * np.eye(cell.dimension)[axis]
        difference = (cell.shape(at + shift) - cell.shape(at - shift)) / (2 * step)
        # Beside the apex of a pyramid third derivatives grow like (1 - z)^-2.
        np.testing.assert_allclose(gradient[:, :, axis], difference, atol=1e-6)


@pytest.mark.parametrize("kind", ["pyramid", "pyramid13", "pyramid14"])
def test_pyramids_are_finite_and_partition_unity_at_their_apex(kind: str) -> None:
    apex = np.array([[0.0, 0.0, 1.0]])
    cell = CELL_TYPES[kind]
    np.testing.assert_allclose(cell.shape(apex).sum(), 1.0, atol=1e-14)
    np.testing.assert_allclose(cell.gradient(apex).sum(axis=1), 0.0, atol=1e-13)


@pytest.mark.parametrize("kind", MEASURED)
def test_facets_close_the_cell_and_point_outward(kind: str) -> None:
    """The divergence theorem: `∫ n = 0` and `∫ x . n = d |T|` over all facets."""
    cell = CELL_TYPES[kind]
    d = cell.dimension
    rule = quadrature(kind, 0)
    flux, through = np.zeros(d), 0.0
    for facet_kind, nodes in cell.facets:
        facet = CELL_TYPES[facet_kind]
        assert len(nodes) == facet.nodes
        side = quadrature(facet_kind, 4)
        points = cell.reference_points[list(nodes)]
        x = facet.shape(side.points) @ points
        tangents = np.einsum("nd,qnk->qkd", points, facet.gradient(side.points))
        if d == 1:
            normal = np.sign(points - cell.reference_points[:2].mean(axis=0))
        elif d == 2:
            normal = tangents[:, 0] @ np.array([[0.0, -1.0], [1.0, 0.0]])
        else:
            normal = np.cross(tangents[:, 0], tangents[:, 1])
        flux += side.weights @ normal
        through += side.weights @ (x * normal).sum(axis=1)
    np.testing.assert_allclose(flux, 0.0, atol=1e-13)
    np.testing.assert_allclose(through, d * rule.weights.sum(), rtol=1e-13)


@pytest.mark.parametrize("kind", MEASURED)
def test_facet_types_interpolate_as_the_cell_does_on_the_facet(kind: str) -> None:
    """The trace of the space: what makes neighbours of different types fit."""
    cell = CELL_TYPES[kind]
    for facet_kind, nodes in cell.facets:
        facet = CELL_TYPES[facet_kind]
        local = quadrature(facet_kind, 4).points
        on_facet = facet.shape(local) @ cell.reference_points[list(nodes)]
        shape = cell.shape(on_facet)
        np.testing.assert_allclose(shape[:, nodes], facet.shape(local), atol=1e-12)
        others = np.delete(shape, list(nodes), axis=1)
        np.testing.assert_allclose(others, 0.0, atol=1e-12)


def test_facets_are_numbered_as_in_exodus() -> None:
    corners = {
        kind: [sorted(nodes) for _, nodes in CELL_TYPES[kind].facets]
        for kind in ("tetra", "hexahedron", "wedge", "pyramid")
    }
    one = {kind: [[i + 1 for i in side] for side in s] for kind, s in corners.items()}
    assert one["tetra"] == [[1, 2, 4], [2, 3, 4], [1, 3, 4], [1, 2, 3]]
    assert one["hexahedron"][:3] == [[1, 2, 5, 6], [2, 3, 6, 7], [3, 4, 7, 8]]
    assert one["hexahedron"][3:] == [[1, 4, 5, 8], [1, 2, 3, 4], [5, 6, 7, 8]]
    assert one["wedge"][:3] == [[1, 2, 4, 5], [2, 3, 5, 6], [1, 3, 4, 6]]
    assert one["wedge"][3:] == [[1, 2, 3], [4, 5, 6]]
    assert one["pyramid"][:3] == [[1, 2, 5], [2, 3, 5], [3, 4, 5]]
    assert one["pyramid"][3:] == [[1, 4, 5], [1, 2, 3, 4]]


@pytest.mark.parametrize("kind", MEASURED)
def test_children_and_simplices_tile_the_cell(kind: str) -> None:
    cell = CELL_TYPES[kind]
    whole = quadrature(kind, 0).weights.sum()
    total = 0.0
    for name, corners in cell.children:
        rule = quadrature(name, 2)
        points = cell.lattice.reference_points[list(corners)]
        jacobian = determinants(name, points, rule.points)
        assert jacobian.min() > 0
        total += rule.weights @ jacobian
    assert total == pytest.approx(whole, rel=1e-13)
    simplices = cell.reference_points[cell.simplices]
    volumes = np.linalg.det(simplices[:, 1:] - simplices[:, :1])
    assert volumes.min() > 0
    factorial = [1, 1, 2, 6][cell.dimension]
    assert volumes.sum() / factorial == pytest.approx(whole, rel=1e-13)


def test_repeated_refinement_of_a_tetrahedron_makes_three_shapes_at_most() -> None:
    """Bey's numbering: shapes up to scale, told apart by their sorted edge lengths."""
    cell, lattice = CELL_TYPES["tetra"], CELL_TYPES["tetra10"]
    start = np.array([[0, 0, 0], [1.0, 0.1, 0], [0.3, 0.9, 0.2], [0.2, 0.4, 1.1]])
    generation, shapes = [start], set()
    for level in range(1, 4):
        generation = [
            np.array([tetra[list(mean)].mean(axis=0) for mean in lattice.means])[
                list(c)
            ]
            for tetra in generation
            for _, c in cell.children
        ]
        for tetra in generation:
            edges = np.linalg.norm(tetra[:, None] - tetra, axis=-1)[
                np.triu_indices(4, 1)
            ]
            shapes.add(tuple(np.sort(edges * 2**level).round(9)))
    assert len(generation) == 512
    assert 2 <= len(shapes) <= 3


@pytest.mark.parametrize("kind", MEASURED)
def test_mirrored_turns_every_cell_inside_out(kind: str) -> None:
    cell = CELL_TYPES[kind]
    np.testing.assert_array_equal(cell.mirrored[cell.mirrored], np.arange(cell.nodes))
    rng = np.random.default_rng(0)
    points = cell.reference_points + 0.02 * rng.normal(size=cell.reference_points.shape)
    rule = quadrature(kind, 6)
    before = rule.weights @ determinants(kind, points, rule.points)
    after = rule.weights @ determinants(kind, points[cell.mirrored], rule.points)
    assert before > 0
    assert after == pytest.approx(-before, rel=1e-12)
    for facet, image in enumerate(cell.mirrored_facets):
        nodes = set(cell.facets[facet][1])
        turned = {int(cell.mirrored[node]) for node in cell.facets[image][1]}
        assert turned == nodes


VTK_CELLS = {
    "line": "Line",
    "line3": "QuadraticEdge",
    "triangle": "Triangle",
    "triangle6": "QuadraticTriangle",
    "triangle7": "BiQuadraticTriangle",
    "quad": "Quad",
    "quad8": "QuadraticQuad",
    "quad9": "BiQuadraticQuad",
    "tetra": "Tetra",
    "tetra10": "QuadraticTetra",
    "hexahedron": "Hexahedron",
    "hexahedron20": "QuadraticHexahedron",
    "hexahedron27": "TriQuadraticHexahedron",
    "wedge": "Wedge",
    "wedge15": "QuadraticWedge",
    "wedge18": "BiQuadraticQuadraticWedge",
    "pyramid": "Pyramid",
    "pyramid13": "QuadraticPyramid",
}


@pytest.mark.parametrize("kind", VTK_CELLS)
def test_nodes_are_numbered_as_in_vtk(kind: str) -> None:
    """VTK's parametric coordinates. Its pyramid is a collapsed unit cube, so that the
    nodes between base and apex have other coordinates there."""
    vtk = pytest.importorskip("vtk")
    cell = CELL_TYPES[kind]
    vtk_cell = getattr(vtk, f"vtk{VTK_CELLS[kind]}")()
    assert vtk_cell.GetNumberOfPoints() == cell.nodes
    theirs = np.array(vtk_cell.GetParametricCoords()).reshape(-1, 3)
    ours = np.zeros((cell.nodes, 3))
    ours[:, : cell.dimension] = cell.reference_points
    if cell.linear.name == "pyramid":
        rest = np.where(ours[:, 2:] < 1, 1 - ours[:, 2:], 1.0)
        ours[:, :2] = (ours[:, :2] / rest + 1) / 2
        ours[4] = theirs[4] = [0, 0, 1]
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_the_18_node_wedge_has_the_volume_that_vtk_gives_it() -> None:
    pyvista = pytest.importorskip("pyvista")
    points = CELL_TYPES["wedge18"].reference_points
    cells = np.r_[18, np.arange(18)]
    grid = pyvista.UnstructuredGrid(cells, [pyvista.CellType(32)], points)
    simplices = grid.triangulate().compute_cell_sizes()["Volume"]
    assert np.abs(simplices).sum() == pytest.approx(0.5, rel=1e-6)
