"""Quadrature on reference cells, and the measures of cells that follow from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from isofield.cells import CELL_TYPES, CellType


@dataclass(frozen=True, eq=False)
class Quadrature:
    """Points and positive weights on a reference cell.

    points : (Q, dimension), inside the reference cell.
    weights : (Q,) positive; `sum_q weights_q f(points_q)` approximates the integral.
    exact_to : the degree up to which it is exact: the total degree, and on the square,
        the cube and the pyramid also the degree in each (collapsed) direction alone.
    """

    points: np.ndarray
    weights: np.ndarray
    exact_to: int


@lru_cache
def quadrature(cell_name: str, degree: int) -> Quadrature:
    """A rule on the reference cell of this type, exact for polynomials up to `degree`.

    Gauss-Legendre on the line; products of it on squares, cubes and wedges; on the
    shapes with a tip (triangle, tetrahedron, pyramid) a box collapsed onto the tip,
    with the Gauss-Jacobi points for the factor (1 - t)^k of the collapse.

    Raises `ValueError` for an unknown cell type or a negative degree.
    """
    if cell_name not in CELL_TYPES or degree < 0:
        raise ValueError(
            f"expected a cell type of {list(CELL_TYPES)} and a degree of at least 0, "
            f"got {cell_name!r} and {degree}"
        )
    n = degree // 2 + 1
    points, weights = _RULES[CELL_TYPES[cell_name].linear.name](n)
    points.flags.writeable = weights.flags.writeable = False
    return Quadrature(points, weights, 2 * n - 1)


def _gauss_jacobi(n: int, power: int) -> tuple[np.ndarray, np.ndarray]:
    """n Gauss points on [0, 1] for the weight (1 - t)^power (Golub and Welsch 1969).

    The points are the eigenvalues of the Jacobi matrix, the weights the squared first
    components of its eigenvectors times the integral of the weight function.
    """
    if power == 0:
        x, w = np.polynomial.legendre.leggauss(n)
        return (x + 1) / 2, w / 2
    k = np.arange(n)
    total = 2 * k + power
    diagonal = -(power**2) / (total * (total + 2))
    k, total = k[1:], total[1:]
    squared = 4 * k**2 * (k + power) ** 2 / (total**2 * (total**2 - 1))
    side = np.sqrt(squared)
    x, vectors = np.linalg.eigh(
        np.diag(diagonal) + np.diag(side, 1) + np.diag(side, -1)
    )
    return (x + 1) / 2, vectors[0] ** 2 / (power + 1)


def _box(*rules: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The product of rules: points (Q, number of coordinates) and weights (Q,)."""
    rules = tuple((x.reshape(len(w), -1), w) for x, w in rules)
    index = np.indices([len(w) for _, w in rules]).reshape(len(rules), -1)
    points = [x[i] for (x, _), i in zip(rules, index, strict=True)]
    weights = [w[i] for (_, w), i in zip(rules, index, strict=True)]
    return np.concatenate(points, axis=1), np.prod(weights, axis=0)


def _triangle(n: int) -> tuple[np.ndarray, np.ndarray]:
    points, weights = _box(_gauss_jacobi(n, 1), _gauss_jacobi(n, 0))
    x, t = points.T
    return np.stack([x, (1 - x) * t], axis=1), weights


def _tetra(n: int) -> tuple[np.ndarray, np.ndarray]:
    points, weights = _box(*(_gauss_jacobi(n, power) for power in (2, 1, 0)))
    x, s, t = points.T
    return np.stack([x, (1 - x) * s, (1 - x) * (1 - s) * t], axis=1), weights


def _pyramid(n: int) -> tuple[np.ndarray, np.ndarray]:
    x, w = _gauss_jacobi(n, 0)
    points, weights = _box((2 * x - 1, 2 * w), (2 * x - 1, 2 * w), _gauss_jacobi(n, 2))
    rest = 1 - points[:, 2]
    return points * np.stack([rest, rest, np.ones_like(rest)], axis=1), weights


_RULES: dict[str, Callable[[int], tuple[np.ndarray, np.ndarray]]] = {
    "vertex": lambda n: (np.zeros((1, 0)), np.ones(1)),
    "line": lambda n: _box(_gauss_jacobi(n, 0)),
    "triangle": _triangle,
    "quad": lambda n: _box(*[_gauss_jacobi(n, 0)] * 2),
    "tetra": _tetra,
    "hexahedron": lambda n: _box(*[_gauss_jacobi(n, 0)] * 3),
    "wedge": lambda n: _box(_triangle(n), _gauss_jacobi(n, 0)),
    "pyramid": _pyramid,
}


def density_degree(kind: str, coordinates: int) -> int:
    """The degree of det J that a rule on this cell type has to integrate.

    Exact where the cell has as many dimensions as points have `coordinates`, and on
    flat faces and straight lines elsewhere. On curved surfaces and lines in space the
    density `|x_s × x_t|` is not a polynomial; there the degree is doubled, so that its
    error falls faster under refinement than that of the surface itself.
    """
    cell = CELL_TYPES[kind]
    d, p = cell.dimension, cell.order
    if cell.linear.name in ("vertex", "line", "triangle", "tetra"):
        # One bubble enters det J linearly: degree 2 from it, 1 from the rest.
        degree = 3 if kind == "triangle7" else d * (p - 1)
    elif kind == "pyramid":
        degree = 1
    else:
        degree = d * p - 1
    return degree if d == coordinates else 2 * degree + 2 * (degree > 0)


def density(points: Tensor, nodes: Tensor, kind: str, at: np.ndarray) -> Tensor:
    """(T, Q) measure per reference measure at reference points `at` (Q, dimension).

    det J, with its sign, where cells have as many dimensions as points have
    coordinates; `sqrt(det J^T J)` on lines and surfaces in more coordinates.
    """
    jacobian = _jacobian(points, nodes, kind, at)
    dimension, coordinates = jacobian.shape[2:]
    if dimension == 0:
        return points.new_ones(len(nodes), len(at))
    columns = jacobian.unbind(2)
    if dimension == 1 and coordinates == 1:
        return columns[0][..., 0]
    if dimension == 1:
        return torch.linalg.vector_norm(columns[0], dim=-1)
    if dimension == 2 and coordinates == 2:
        (a, b), (c, d) = (column.unbind(-1) for column in columns)
        return a * d - b * c
    normal = torch.linalg.cross(columns[0], columns[1], dim=-1)
    if dimension == 2:
        return torch.linalg.vector_norm(normal, dim=-1)
    return (normal * columns[2]).sum(-1)


def _jacobian(points: Tensor, nodes: Tensor, kind: str, at: np.ndarray) -> Tensor:
    """(T, Q, dimension, d) the tangents of cells at reference points."""
    gradient = torch.tensor(
        CELL_TYPES[kind].gradient(at), dtype=points.dtype, device=points.device
    )
    return torch.einsum("tnd,qnk->tqkd", points[nodes], gradient)


def area_vectors(points: Tensor, nodes: Tensor, kind: str, at: np.ndarray) -> Tensor:
    """(T, Q, d) the normal times `density` at reference points `at` (Q, dimension).

    `x_s × x_t` on surfaces in space; on lines in the plane the tangent turned clockwise
    by a right angle, which points outward where a domain lies to the left.
    """
    columns = _jacobian(points, nodes, kind, at).unbind(2)
    if len(columns) == 1:
        along_x, along_y = columns[0].unbind(-1)
        return torch.stack([along_y, -along_x], -1)
    return torch.linalg.cross(*columns, dim=-1)


def lumped_area_vectors(points: Tensor, nodes: Tensor, kind: str) -> Tensor:
    """(T, n, d) `∫ λ_i n dA` with λ_i as in `lumped_weights`: the share of each node in
    the area vector of its cell. Exact: its integrand is a polynomial."""
    at, shares = _lumping(kind, density_degree(kind, CELL_TYPES[kind].dimension))
    shares = torch.tensor(shares, dtype=points.dtype, device=points.device)
    vectors = area_vectors(points, nodes, kind, at)
    return torch.einsum("tqd,qn->tnd", vectors, shares)


def cell_measures(
    points: Tensor, nodes: Tensor, kind: str, signed: bool = False
) -> Tensor:
    """(T,) length, area or volume of each cell: the integral of det J.

    points : (N, d), length. nodes : (T, n) of the cell type `kind`.
    signed : keep the sign of det J where cells have as many dimensions as points have
        coordinates: negative for inverted cells.

    Exact, straight or curved, where the cell has as many dimensions as points have
    coordinates, and for straight lines and flat faces in more coordinates. For curved
    lines and surfaces there the quadrature error is at least O(h^4) times the measure,
    and at most that of the quadratic geometry. A torch function of the points.
    """
    rule = quadrature(kind, density_degree(kind, points.shape[1]))
    weights = torch.tensor(rule.weights, dtype=points.dtype, device=points.device)
    measure = density(points, nodes, kind, rule.points) @ weights
    return measure if signed else measure.abs()


def cell_centroids(points: Tensor, nodes: Tensor, kind: str) -> Tensor:
    """(T, d) `∫ x det J / ∫ det J`, so that measure times f(centroid) is the integral
    of every linear f; exact where `cell_measures` is."""
    cell = CELL_TYPES[kind]
    degree = density_degree(kind, points.shape[1]) + cell.order + (kind == "triangle7")
    rule = quadrature(kind, degree)
    weights, shape = (
        torch.tensor(array, dtype=points.dtype, device=points.device)
        for array in (rule.weights, cell.shape(rule.points))
    )
    measure = density(points, nodes, kind, rule.points) * weights
    moments = torch.einsum("tq,qn,tnd->td", measure, shape, points[nodes])
    return moments / measure.sum(1, keepdim=True)


def lumped_weights(points: Tensor, nodes: Tensor, kind: str) -> Tensor:
    """(T, n) the share of each node in the measure of its cell, all positive.

    `∫ λ_i det J` with λ_i the shape functions of a linear cell. For a quadratic cell,
    whose own shape functions have integrals that are zero or negative (the corners of
    6-node triangles and of 10-node tetrahedra), λ_i are the piecewise linear functions
    on its children: continuous, nonnegative, and exact for linear functions of the
    reference coordinates. The measure is that of the curved cell itself: the shares
    sum to `cell_measures`. Exact for linear functions on straight-sided cells.
    """
    cell, d = CELL_TYPES[kind], points.shape[1]
    at, shares = _lumping(kind, density_degree(kind, d))
    shares = torch.tensor(shares, dtype=points.dtype, device=points.device)
    step = max(1, _BLOCK // max(1, at.size))
    blocks = [
        density(points, block, kind, at) @ shares for block in torch.split(nodes, step)
    ]
    weights = torch.cat(blocks) if blocks else points.new_zeros(0, shares.shape[1])
    total = weights.sum(1, keepdim=True)
    if cell.order == 2 and (cell.dimension < d or cell.linear.name == "pyramid"):
        # The density is no polynomial on the children: their rules are not exact.
        measure = cell_measures(points, nodes, kind)[:, None]
        return weights * (measure / torch.where(total == 0, 1.0, total))
    return weights * total.detach().sign()


# Entries of the Jacobians that are held at once: about 64 MB in float64.
_BLOCK = 2**21


@lru_cache
def _lumping(kind: str, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Reference points (Q, dimension) and quadrature weight times λ_i there (Q, n)."""
    cell = CELL_TYPES[kind]
    if cell.order == 1:
        rule = quadrature(kind, degree + 1)
        return rule.points, rule.weights[:, None] * cell.shape(rule.points)
    lattice = CELL_TYPES["triangle7"] if kind == "triangle7" else cell.lattice
    spread = _spread(cell, lattice)
    points, shares = [], []
    for name, corners, fraction in _sub_cells(kind):
        child = CELL_TYPES[name]
        rule = quadrature(name, max(degree, 1) + (name == "quad"))
        position = lattice.reference_points[list(corners)]
        jacobian = np.einsum("qnk,nd->qkd", child.gradient(rule.points), position)
        weights = fraction * rule.weights * np.linalg.det(jacobian)
        shape = child.shape(rule.points)
        points.append(shape @ position)
        shares.append(weights[:, None] * shape @ spread[list(corners)])
    return np.concatenate(points), np.concatenate(shares)


def _sub_cells(kind: str) -> list[tuple[str, tuple[int, ...], float]]:
    """Linear cells that tile a quadratic one: type, lattice nodes, share.

    The octahedron inside a tetrahedron is cut along each of its three diagonals, a
    third each, so that the weights do not depend on which corner comes first.
    """
    cell = CELL_TYPES[kind]
    if kind == "triangle7":
        return [("quad", (c, 3 + c, 6, 3 + (c + 2) % 3), 1.0) for c in range(3)]
    if cell.linear.name != "tetra":
        return [(name, corners, 1.0) for name, corners in cell.children]
    known = {frozenset(mean): i for i, mean in enumerate(cell.means)}
    tiles = [(name, corners, 1.0) for name, corners in cell.children[:4]]
    for turn in ((0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 1, 2)):
        image = [known[frozenset(turn[i] for i in mean)] for mean in cell.means]
        for name, corners in cell.children[4:]:
            tiles.append((name, tuple(image[i] for i in corners), 1 / 3))
    return tiles


def child_nodes(kind: str) -> list[tuple[str, np.ndarray]]:
    """The linear children of a quadratic cell: type, and (n_child, n) their nodes as
    averages of those of the cell."""
    cell = CELL_TYPES[kind]
    if kind == "triangle7":
        tiles = [(name, corners) for name, corners, _ in _sub_cells(kind)]
        spread = _spread(cell, cell)
    else:
        tiles, spread = cell.children, _spread(cell, cell.lattice)
    return [(name, spread[list(corners)]) for name, corners in tiles]


def _spread(cell: CellType, lattice: CellType) -> np.ndarray:
    """(lattice nodes, n): each lattice node in the nodes that the cell has.

    A centre of a face or cell that has no node of its own is handed to the middles of
    the edges around it in equal parts: positive, and exact for linear functions.
    """
    known = {frozenset(mean): i for i, mean in enumerate(cell.means)}
    edges = [mean for mean in cell.means if len(mean) == 2]
    spread = np.zeros((lattice.nodes, cell.nodes))
    for row, mean in zip(spread, lattice.means, strict=True):
        if frozenset(mean) in known:
            row[known[frozenset(mean)]] = 1.0
        else:
            around = [known[frozenset(e)] for e in edges if set(e) <= set(mean)]
            row[around] = 1 / len(around)
    return spread
