"""Reference cells: nodes, shape functions, facets and subdivision of every cell type.

A cell type is its nodes and a function space, nothing more. The nodes are the corners
of a reference shape and means of some of them (the middle of an edge is the mean of its
two ends); the space is spanned by products x^a y^b z^c (1 - z)^-k, where k > 0 occurs
for pyramids alone (Bedrosian 1992, doi:10.1002/nme.1620350205). The shape functions are
the basis of that space that is 1 at one node and 0 at the others: the inverse of the
Vandermonde matrix, no formula by hand.

Nodes are numbered as in VTK. Reference shapes: the unit interval, square and cube, the
unit simplices, the unit triangle times the unit interval, and the pyramid over
[-1, 1]^2 with its apex at (0, 0, 1). All have det J > 0. Facets are numbered as in
Exodus and oriented outward.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product

import numpy as np


@dataclass(frozen=True)
class CellType:
    """A reference cell: `nodes` nodes in VTK's order, polynomials of degree `order`."""

    name: str
    dimension: int
    order: int
    nodes: int

    @property
    def linear(self) -> CellType:
        """The cell type of the corners alone."""
        return CELL_TYPES[self.name.rstrip("0123456789")]

    @property
    def lattice(self) -> CellType:
        """The cell type whose nodes are the corners of the children."""
        return CELL_TYPES[_LATTICE[self.linear.name]]

    @cached_property
    def means(self) -> tuple[tuple[int, ...], ...]:
        """For each node the corners of which it is the mean."""
        corners = tuple((i,) for i in range(len(_CORNERS[self.linear.name])))
        words = _MEANS.get(self.name, "").split()
        return corners + tuple(tuple(int(digit) for digit in word) for word in words)

    @cached_property
    def reference_points(self) -> np.ndarray:
        """(n, dimension) coordinates of the nodes of the reference cell."""
        corners = np.array(_CORNERS[self.linear.name], dtype=float)
        corners = corners[:, : self.dimension]
        return _constant(np.array([corners[list(m)].mean(axis=0) for m in self.means]))

    @cached_property
    def monomials(self) -> tuple[np.ndarray, np.ndarray]:
        """Exponents (m, 4) of x^a y^b z^c (1 - z)^-k, and the coefficients (m, n) of
        the shape functions in them."""
        exponents, combination = _function_space(self)
        vandermonde = _monomials(self.reference_points, exponents) @ combination
        return exponents, combination @ np.linalg.inv(vandermonde)

    def shape(self, points: np.ndarray) -> np.ndarray:
        """(Q, n) shape functions at reference points (Q, dimension).

        They sum to 1, and function i is 1 at node i and 0 at the others.
        """
        exponents, coefficients = self.monomials
        return _monomials(points, exponents) @ coefficients

    def gradient(self, points: np.ndarray) -> np.ndarray:
        """(Q, n, dimension) gradients of the shape functions at reference points.

        At the apex of a pyramid, where they depend on the direction, these are the
        limits along its axis.
        """
        exponents, coefficients = self.monomials
        derivatives = [
            _monomials(points, exponents, axis) @ coefficients
            for axis in range(self.dimension)
        ]
        if not derivatives:
            return np.zeros((len(points), self.nodes, 0))
        return np.stack(derivatives, axis=-1)

    @cached_property
    def facets(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """(cell type, node numbers) of each facet, oriented outward."""
        words = _FACETS[self.linear.name].split()
        return tuple(self._facet(tuple(int(digit) for digit in w)) for w in words)

    def _facet(self, corners: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        known = {frozenset(mean): i for i, mean in enumerate(self.means)}
        for kind in _FACET_TYPES[len(corners)][:: -1 if self.order == 2 else 1]:
            wanted = [frozenset(corners[i] for i in m) for m in CELL_TYPES[kind].means]
            if all(mean in known for mean in wanted):
                return kind, tuple(known[mean] for mean in wanted)
        raise ValueError(f"{self.name}: no facet type fits the corners {corners}")

    @cached_property
    def children(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """(linear cell type, nodes of `lattice` at its corners) of each child.

        Of a uniform refinement: one child at each corner, then the inner ones, all with
        det J > 0. Edges are halved; a pyramid gives six pyramids and four tetrahedra; a
        tetrahedron eight (Bey 1995, doi:10.1007/BF02238487), so that repeated
        refinement makes at most three shapes of one tetrahedron.
        """
        corners = self.linear.reference_points
        lattice = self.lattice.reference_points
        middles = (corners[:, None] + corners[None]) / 2
        distance = np.abs(middles[:, :, None] - lattice).sum(axis=-1)
        children = [
            (self.linear.name, tuple(int(i) for i in nodes))
            for nodes in distance.argmin(axis=-1)
        ]
        for kind, words in _INNER_CHILDREN.get(self.linear.name, {}).items():
            children += [(kind, tuple(int(c, 36) for c in w)) for w in words.split()]
        return tuple(children)

    @cached_property
    def simplices(self) -> np.ndarray:
        """(s, dimension + 1) corners of the simplices into which the shape splits."""
        words = _SIMPLICES[self.linear.name].split()
        return _constant(np.array([[int(digit) for digit in word] for word in words]))

    @cached_property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """The two corners of each: both in two facets of a solid, in one of a face."""
        sides = [set(nodes) for _, nodes in self.linear.facets]
        return tuple(
            pair
            for pair in combinations(range(self.linear.nodes), 2)
            if sum(side.issuperset(pair) for side in sides) >= self.dimension - 1
        )

    @cached_property
    def mirrored(self) -> np.ndarray:
        """(n,) the order of the nodes that turns the cell inside out.

        `nodes[mirrored]` is the same cell with the opposite sign of det J.
        """
        swap = [1, 0, 2][: self.dimension] if self.dimension > 1 else []
        image = self.reference_points.copy()
        image = image[:, swap] if swap else 1.0 - image
        distance = np.abs(image[:, None] - self.reference_points[None]).sum(axis=-1)
        return _constant(distance.argmin(axis=1))

    @cached_property
    def mirrored_facets(self) -> np.ndarray:
        """(f,) facet f of a cell is facet `mirrored_facets[f]` once it is mirrored."""
        sets = [frozenset(nodes) for _, nodes in self.facets]
        images = [frozenset(int(self.mirrored[i]) for i in nodes) for nodes in sets]
        return _constant(np.array([images.index(nodes) for nodes in sets], dtype=int))


def _constant(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def _monomials(
    points: np.ndarray, exponents: np.ndarray, axis: int | None = None
) -> np.ndarray:
    """(Q, m) x^a y^b z^c (1 - z)^-k, or its derivative along one axis.

    Where z = 1 a factor (1 - z)^-k, k > 0, counts as 0: so do the functions of the
    pyramid there, whose numerator vanishes faster within the cell.
    """
    xyz = np.zeros((len(points), 3))
    xyz[:, : points.shape[1]] = points
    rest = 1.0 - xyz[:, 2]
    inverse = np.divide(1.0, rest, out=np.zeros_like(rest), where=rest != 0)

    def term(powers: np.ndarray) -> np.ndarray:
        """A negative power of a coordinate only ever comes with the factor 0."""
        values = inverse[:, None] ** powers[:, 3]
        for k in range(3):
            values = values * xyz[:, k, None] ** np.maximum(powers[:, k], 0)
        return values

    if axis is None:
        return term(exponents)
    step = np.zeros(4, dtype=int)
    step[axis] = -1
    derivative = exponents[:, axis] * term(exponents + step)
    if axis == 2:
        derivative += exponents[:, 3] * term(exponents + np.array([0, 0, 0, 1]))
    return derivative


def _function_space(cell: CellType) -> tuple[np.ndarray, np.ndarray]:
    """Exponents (m, 4) of monomials, and combinations (m, n) that span the space."""
    d, p, shape = cell.dimension, cell.order, cell.linear.name
    powers = [(*e, *[0] * (3 - d)) for e in product(range(p + 1), repeat=d)]
    rational = [(a, b, 0, k) for a, b, k in [(1, 1, 1), (2, 1, 1), (1, 2, 1)]]
    if shape in ("triangle", "tetra"):
        terms = [(*e, 0) for e in powers if sum(e) <= p]
    elif shape == "wedge":
        most = 3 if cell.name == "wedge15" else 4
        terms = [(*e, 0) for e in powers if e[0] + e[1] <= p and sum(e) <= most]
        if cell.name == "wedge15":
            terms = [e for e in terms if not (e[0] + e[1] == 2 and e[2] == 2)]
    elif shape == "pyramid":
        terms = [(*e, 0) for e in powers if sum(e) <= p]
        terms += rational[: 1 if p == 1 else 3]
        terms += [(2, 2, 0, 2)] if cell.name == "pyramid14" else []
    else:
        serendipity = cell.name in ("quad8", "hexahedron20")
        most = 2 if serendipity else 2 * d
        # Serendipity: at most degree 2 once the variables of degree 1 are left out.
        terms = [(*e, 0) for e in powers if sum(k for k in e if k > 1) <= most]
    combination = np.eye(len(terms))
    if cell.name == "triangle7":
        # The bubble x y (1 - x - y) up to a term that is there already.
        terms += [(2, 1, 0, 0), (1, 2, 0, 0)]
        combination = np.zeros((8, 7))
        combination[:6, :6] = np.eye(6)
        combination[6:, 6] = 1.0
    return np.array(terms, dtype=int).reshape(-1, 4), combination


CELL_TYPES: dict[str, CellType] = {
    name: CellType(name, dimension, order, nodes)
    for name, dimension, order, nodes in [
        ("vertex", 0, 1, 1),
        ("line", 1, 1, 2),
        ("line3", 1, 2, 3),
        ("triangle", 2, 1, 3),
        ("triangle6", 2, 2, 6),
        ("triangle7", 2, 2, 7),
        ("quad", 2, 1, 4),
        ("quad8", 2, 2, 8),
        ("quad9", 2, 2, 9),
        ("tetra", 3, 1, 4),
        ("tetra10", 3, 2, 10),
        ("hexahedron", 3, 1, 8),
        ("hexahedron20", 3, 2, 20),
        ("hexahedron27", 3, 2, 27),
        ("wedge", 3, 1, 6),
        ("wedge15", 3, 2, 15),
        ("wedge18", 3, 2, 18),
        ("pyramid", 3, 1, 5),
        ("pyramid13", 3, 2, 13),
        ("pyramid14", 3, 2, 14),
    ]
}

_SQUARE = [(0, 0), (1, 0), (1, 1), (0, 1)]
_TRIANGLE = [(0, 0), (1, 0), (0, 1)]
_CORNERS: dict[str, list[tuple[int, ...]]] = {
    "vertex": [(0,)],
    "line": [(0,), (1,)],
    "triangle": [(0, 0), (1, 0), (0, 1)],
    "quad": [(0, 0), (1, 0), (1, 1), (0, 1)],
    "tetra": [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)],
    "hexahedron": [(*xy, z) for z in (0, 1) for xy in _SQUARE],
    "wedge": [(*xy, z) for z in (0, 1) for xy in _TRIANGLE],
    "pyramid": [(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0), (0, 0, 1)],
}

# The nodes after the corners, each as the corners of which it is the mean.
_MEANS = {
    "line3": "01",
    "triangle6": "01 12 20",
    "quad8": "01 12 23 30",
    "tetra10": "01 12 20 03 13 23",
    "hexahedron20": "01 12 23 30 45 56 67 74 04 15 26 37",
    "wedge15": "01 12 20 34 45 53 03 14 25",
    "pyramid13": "01 12 23 30 04 14 24 34",
}
_MEANS["triangle7"] = _MEANS["triangle6"] + " 012"
_MEANS["quad9"] = _MEANS["quad8"] + " 0123"
_MEANS["hexahedron27"] = (
    _MEANS["hexahedron20"] + " 0473 1265 0154 3762 0123 4567 01234567"
)
_MEANS["wedge18"] = _MEANS["wedge15"] + " 0143 1254 2035"
_MEANS["pyramid14"] = _MEANS["pyramid13"] + " 0123"

_FACETS = {
    "vertex": "",
    "line": "0 1",
    "triangle": "01 12 20",
    "quad": "01 12 23 30",
    "tetra": "013 123 032 021",
    "hexahedron": "0154 1265 2376 0473 0321 4567",
    "wedge": "0143 1254 0352 021 345",
    "pyramid": "014 124 234 304 0321",
}
_FACET_TYPES = {
    1: ["vertex"],
    2: ["line", "line3"],
    3: ["triangle", "triangle6"],
    4: ["quad", "quad8", "quad9"],
}

_LATTICE = {
    "vertex": "vertex",
    "line": "line3",
    "triangle": "triangle6",
    "quad": "quad9",
    "tetra": "tetra10",
    "hexahedron": "hexahedron27",
    "wedge": "wedge18",
    "pyramid": "pyramid14",
}

# Beside one child at each corner: the lattice nodes of the others, one digit each
# (a is 10, b is 11, ...). The octahedron within a tetrahedron is cut from 6 to 8.
_INNER_CHILDREN = {
    "triangle": {"triangle": "345"},
    "tetra": {"tetra": "4678 5648 6789 8569"},
    "wedge": {"wedge": "678fgh fgh9ab"},
    "pyramid": {"pyramid": "9cbad", "tetra": "59ad 6abd 7bcd 8c9d"},
}
_SIMPLICES = {
    "vertex": "0",
    "line": "01",
    "triangle": "012",
    "quad": "012 023",
    "tetra": "0123",
    "hexahedron": "0126 0236 0376 0746 0456 0516",
    "wedge": "0125 0154 0345",
    "pyramid": "0124 0234",
}
