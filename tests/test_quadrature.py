"""Quadrature rules and the measures of cells."""

from __future__ import annotations

from itertools import product
from math import factorial, pi

import numpy as np
import pytest
import torch

from isofield.cells import CELL_TYPES
from isofield.quadrature import (
    cell_centroids,
    cell_measures,
    density_degree,
    lumped_weights,
    quadrature,
)

SHAPES = ["line", "triangle", "quad", "tetra", "hexahedron", "wedge", "pyramid"]
MEASURED = [kind for kind, cell in CELL_TYPES.items() if cell.dimension > 0]
DIMENSIONAL = [kind for kind, cell in CELL_TYPES.items() if cell.dimension > 1]


def monomial_integral(shape: str, powers: tuple[int, ...]) -> float:
    """The integral of x^a y^b z^c over a reference shape, from its closed form."""
    if shape in ("line", "quad", "hexahedron"):
        return float(np.prod([1 / (p + 1) for p in powers]))
    if shape in ("triangle", "tetra"):
        top = np.prod([factorial(p) for p in powers])
        return float(top / factorial(sum(powers) + len(powers)))
    if shape == "wedge":
        return monomial_integral("triangle", powers[:2]) / (powers[2] + 1)
    a, b, c = powers
    if a % 2 or b % 2:
        return 0.0
    side = 4 / ((a + 1) * (b + 1))
    return side * factorial(c) * factorial(a + b + 2) / factorial(a + b + c + 3)


@pytest.mark.parametrize("degree", range(8))
@pytest.mark.parametrize("shape", SHAPES)
def test_rules_are_exact_up_to_their_degree_and_fail_just_past_it(
    shape: str, degree: int
) -> None:
    rule = quadrature(shape, degree)
    assert rule.exact_to >= degree
    assert (rule.weights > 0).all()
    errors = np.zeros(rule.exact_to + 2)
    dimension = CELL_TYPES[shape].dimension
    for powers in product(range(rule.exact_to + 2), repeat=dimension):
        if sum(powers) > rule.exact_to + 1:
            continue
        value = rule.weights @ np.prod(rule.points**powers, axis=1)
        error = abs(value - monomial_integral(shape, powers))
        errors[sum(powers)] = max(errors[sum(powers)], error)
    assert errors[:-1].max() < 1e-14
    assert errors[-1] > 1e-11


@pytest.mark.parametrize("shape", SHAPES)
def test_points_lie_inside_the_reference_cell(shape: str) -> None:
    """The shape functions of the corners are positive there and nowhere outside."""
    values = CELL_TYPES[shape].shape(quadrature(shape, 9).points)
    assert values.min() > 0


def test_unknown_cells_and_negative_degrees_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a cell type of"):
        quadrature("heptagon", 2)
    with pytest.raises(ValueError, match="at least 0"):
        quadrature("triangle", -1)


def curved(kind: str, seed: int = 0) -> torch.Tensor:
    """The nodes of a reference cell, moved at random: det J stays positive."""
    points = CELL_TYPES[kind].reference_points
    noise = np.random.default_rng(seed).uniform(-1, 1, points.shape)
    return torch.tensor(points + 0.04 * noise)


def whole(kind: str) -> torch.Tensor:
    return torch.arange(CELL_TYPES[kind].nodes)[None]


def flux_through_facets(kind: str, points: np.ndarray) -> float:
    """The measure by the divergence theorem, `1/d ∫ x . n` over the curved facets."""
    total, d = 0.0, CELL_TYPES[kind].dimension
    for facet_kind, nodes in CELL_TYPES[kind].facets:
        facet, rule = CELL_TYPES[facet_kind], quadrature(facet_kind, 12)
        corners = points[list(nodes)]
        x = facet.shape(rule.points) @ corners
        tangents = np.einsum("nd,qnk->qkd", corners, facet.gradient(rule.points))
        if d == 2:
            normal = tangents[:, 0] @ np.array([[0.0, -1.0], [1.0, 0.0]])
        else:
            normal = np.cross(tangents[:, 0], tangents[:, 1])
        total += rule.weights @ (x * normal).sum(axis=1) / d
    return float(total)


@pytest.mark.parametrize("kind", DIMENSIONAL)
def test_measures_of_curved_cells_are_exact(kind: str) -> None:
    """Against the divergence theorem, which knows nothing of the inside of the cell."""
    points = curved(kind)
    measure = cell_measures(points, whole(kind), kind, signed=True)
    exact = flux_through_facets(kind, points.numpy())
    assert float(measure[0]) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("kind", DIMENSIONAL)
def test_the_degree_of_the_rule_is_needed(kind: str) -> None:
    """With a rule of the next lower accuracy the measure of a curved cell is wrong."""
    degree = density_degree(kind, CELL_TYPES[kind].dimension)
    lower = quadrature(kind, max(0, degree - 2))
    if degree <= 1:
        assert lower.exact_to == quadrature(kind, degree).exact_to == 1
        return
    points = curved(kind).numpy()
    gradient = CELL_TYPES[kind].gradient(lower.points)
    jacobian = np.linalg.det(np.einsum("nd,qnk->qkd", points, gradient))
    exact = flux_through_facets(kind, points)
    assert abs(lower.weights @ jacobian - exact) > 1e-9


@pytest.mark.parametrize("kind", DIMENSIONAL)
def test_mirrored_cells_have_the_opposite_sign(kind: str) -> None:
    points, nodes = curved(kind), whole(kind)
    turned = nodes[:, CELL_TYPES[kind].mirrored.tolist()]
    signed = cell_measures(points, turned, kind, signed=True)
    torch.testing.assert_close(signed, -cell_measures(points, nodes, kind))
    torch.testing.assert_close(cell_measures(points, turned, kind), -signed)


@pytest.mark.parametrize("kind", MEASURED)
def test_flat_cells_in_space_have_the_measure_that_they_have_in_the_plane(
    kind: str,
) -> None:
    d = CELL_TYPES[kind].dimension
    flat = torch.tensor(CELL_TYPES[kind].reference_points) if d == 1 else curved(kind)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    space = flat @ torch.tensor(turn[:d])
    torch.testing.assert_close(
        cell_measures(space, whole(kind), kind),
        cell_measures(flat, whole(kind), kind),
        rtol=1e-13,
        atol=0,
    )


def test_the_area_of_a_curved_surface_converges_with_order_four() -> None:
    """A quarter of a cylinder in biquadratic cells, radius 1, height 1: area π / 2.

    Quadratic interpolation of a curve has a length that is off by O(h^4).
    """
    errors = []
    for n in (1, 2, 4):
        angle, z = np.meshgrid(np.linspace(0, pi / 2, 2 * n + 1), [0, 0.5, 1])
        points = np.stack([np.cos(angle), np.sin(angle), z], -1).reshape(-1, 3)
        number = np.arange(len(points)).reshape(angle.shape)
        places = 2 * CELL_TYPES["quad9"].reference_points.astype(float)
        cells = [[number[int(b), 2 * k + int(a)] for a, b in places] for k in range(n)]
        area = cell_measures(torch.tensor(points), torch.tensor(cells), "quad9").sum()
        errors.append(abs(float(area) - pi / 2))
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (rates > 3.7).all()
    assert (rates < 4.3).all()


@pytest.mark.parametrize("kind", MEASURED)
def test_centroids_make_the_measure_exact_for_linear_functions(kind: str) -> None:
    """Against a rule of a much higher degree."""
    points, nodes = curved(kind), whole(kind)
    rule = quadrature(kind, 16)
    cell = CELL_TYPES[kind]
    gradient = np.einsum("nd,qnk->qkd", points.numpy(), cell.gradient(rule.points))
    jacobian = np.abs(np.linalg.det(gradient))
    x = cell.shape(rule.points) @ points.numpy()
    exact = (rule.weights * jacobian) @ x / (rule.weights @ jacobian)
    centroid = cell_centroids(points, nodes, kind)[0].numpy()
    np.testing.assert_allclose(centroid, exact, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", MEASURED)
def test_lumped_weights_are_positive_and_sum_to_the_measure(kind: str) -> None:
    points, nodes = curved(kind), whole(kind)
    weights = lumped_weights(points, nodes, kind)
    assert weights.min() > 0
    torch.testing.assert_close(
        weights.sum(1), cell_measures(points, nodes, kind), rtol=1e-13, atol=0
    )
    turned = nodes[:, CELL_TYPES[kind].mirrored.tolist()]
    torch.testing.assert_close(
        lumped_weights(points, turned, kind),
        weights[:, CELL_TYPES[kind].mirrored.tolist()],
        # The rule on each child is exact for det J, not for det J times λ_i.
        rtol=1e-5,
        atol=0,
    )


@pytest.mark.parametrize("kind", MEASURED)
def test_lumped_weights_integrate_linear_functions_on_straight_cells(
    kind: str,
) -> None:
    d = CELL_TYPES[kind].dimension
    rng = np.random.default_rng(2)
    affine = CELL_TYPES[kind].reference_points @ rng.normal(size=(d, d)) + 3.0
    points = torch.tensor(affine)
    moment = lumped_weights(points, whole(kind), kind)[0] @ points
    measure = cell_measures(points, whole(kind), kind)
    centroid = cell_centroids(points, whole(kind), kind)[0]
    torch.testing.assert_close(moment, measure * centroid, rtol=1e-13, atol=0)


@pytest.mark.parametrize("kind", [k for k in MEASURED if CELL_TYPES[k].order == 1])
def test_lumped_weights_of_linear_cells_are_integrals_of_shape_functions(
    kind: str,
) -> None:
    points = curved(kind)
    rule = quadrature(kind, 10)
    cell = CELL_TYPES[kind]
    gradient = np.einsum("nd,qnk->qkd", points.numpy(), cell.gradient(rule.points))
    exact = (rule.weights * np.linalg.det(gradient)) @ cell.shape(rule.points)
    weights = lumped_weights(points, whole(kind), kind)[0].numpy()
    np.testing.assert_allclose(weights, exact, rtol=1e-12)


def test_known_weights_of_quadratic_cells() -> None:
    """A 6-node triangle in four triangles: corners 1/12, middles 1/4 of the area.

    A 10-node tetrahedron in eight, its octahedron cut three ways: corners 1/32, middles
    (1 - 4/32) / 6 = 7/48.
    """
    triangle = torch.tensor(CELL_TYPES["triangle6"].reference_points)
    weights = 2 * lumped_weights(triangle, whole("triangle6"), "triangle6")[0]
    expected = torch.tensor([1 / 12] * 3 + [1 / 4] * 3, dtype=torch.float64)
    torch.testing.assert_close(weights, expected, rtol=1e-14, atol=0)
    tetra = torch.tensor(CELL_TYPES["tetra10"].reference_points)
    weights = 6 * lumped_weights(tetra, whole("tetra10"), "tetra10")[0]
    expected = torch.tensor([1 / 32] * 4 + [7 / 48] * 6, dtype=torch.float64)
    torch.testing.assert_close(weights, expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("kind", [k for k in MEASURED if CELL_TYPES[k].order == 2])
def test_row_sums_of_quadratic_cells_would_not_do(kind: str) -> None:
    """Why quadratic cells are lumped on their children: `∫ λ_i` of their own shape
    functions is not positive for most types; where it is, for these alone."""
    rule = quadrature(kind, 6)
    least = (rule.weights @ CELL_TYPES[kind].shape(rule.points)).min()
    positive = {"line3", "triangle7", "quad9", "hexahedron27"}
    assert (least > 1e-14) == (kind in positive)


@pytest.mark.parametrize("kind", MEASURED)
@pytest.mark.parametrize("function", [cell_measures, cell_centroids, lumped_weights])
def test_gradients_with_respect_to_points(kind: str, function) -> None:
    points = curved(kind).requires_grad_()
    nodes = whole(kind)
    assert torch.autograd.gradcheck(
        lambda x: function(x, nodes, kind), (points,), fast_mode=True
    )


def test_vertices_are_counted() -> None:
    points = torch.zeros(3, 2, dtype=torch.float64)
    nodes = torch.tensor([[0], [2]])
    assert cell_measures(points, nodes, "vertex").tolist() == [1.0, 1.0]


def test_lumping_in_blocks_is_lumping_at_once(monkeypatch) -> None:
    points = curved("hexahedron27")
    nodes = whole("hexahedron27").repeat(5, 1)
    at_once = lumped_weights(points, nodes, "hexahedron27")
    monkeypatch.setattr("isofield.quadrature._BLOCK", 1)
    torch.testing.assert_close(
        lumped_weights(points, nodes, "hexahedron27"), at_once, rtol=1e-14, atol=0
    )
    empty = lumped_weights(points, nodes[:0], "hexahedron27")
    assert empty.shape == (0, 27)
