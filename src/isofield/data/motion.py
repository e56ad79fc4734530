"""Cases moved as rigid bodies, for problems without a direction of their own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import permutations, product, zip_longest

import numpy as np

from isofield import regions
from isofield.cells import CELL_TYPES
from isofield.data.fields import FieldError
from isofield.mesh import Mesh


@dataclass(frozen=True)
class Symmetry:
    """How many moved copies of every case a training sees besides the case itself, or a
    prediction takes the mean over (`predict`).

    copies : of each case, every one by a random orthogonal matrix, evenly distributed.
    mirrored : whether every second copy is a mirror image. seed : of the matrices.
    right_angles : by matrices that exchange and reverse axes alone; 7 copies in the
    plane and 47 in space are all, 3 and 23 without mirror images. Boxes stay boxes:
    where domains fill one along the axes, copies turned otherwise would ask for a
    larger one, and so for coarser waves.

    Only where the equations have no direction of their own, or all their directions
    are among the inputs as vectors: no gravity, load or fibre along a fixed axis; and
    no fixed point, as c in a displacement E (x - c), but the middle of the box around
    each case, about which copies are turned.
    Without mirror images where a field changes its sign with the hand of the axes, as
    a rotation, a vorticity or a magnetic field does.
    """

    copies: int = 3
    mirrored: bool = True
    seed: int = 0
    right_angles: bool = False

    def __post_init__(self) -> None:
        if self.copies < 1:
            raise ValueError(f"copies: expected at least 1, got {self.copies}")

    def whole(self, dimension: int) -> Symmetry:
        """With all copies that there are; itself where they are not by right angles."""
        if not self.right_angles:
            return self
        known = 2**dimension * math.factorial(dimension) // (1 if self.mirrored else 2)
        return replace(self, copies=max(known - 1, 1))

    def matrix(self, case: int, copy: int, dimension: int) -> np.ndarray:
        """(d, d) of a copy of a case; the mirror images are copies 1, 3, 5, ...

        Source: Mezzadri, Notices of the AMS 54, 2007, arXiv:math-ph/0609050.
        """
        if self.right_angles:
            known = _right_angles(dimension, self.mirrored, (self.seed, case))
            return known[copy % len(known)]
        wanted = -1 if self.mirrored and copy % 2 else 1
        random = np.random.default_rng([self.seed, case, copy])
        q, r = np.linalg.qr(random.standard_normal((dimension, dimension)))
        q = q * np.sign(np.diag(r))
        if np.linalg.det(q) * wanted < 0:
            q[:, 0] *= -1
        return q


@lru_cache
def _right_angles(
    dimension: int, mirrored: bool, seed: tuple[int, int]
) -> list[np.ndarray]:
    """All matrices that exchange and reverse axes but for the identity, in a random
    order, turns and mirror images by turns."""
    eye = np.eye(dimension)
    found = [
        eye[list(order)] * signs
        for order in permutations(range(dimension))
        for signs in product([1.0, -1.0], repeat=dimension)
    ]
    kinds = []
    for sign in (1, -1) if mirrored else (1,):
        known = [q for q in found if round(np.linalg.det(q)) == sign]
        known = [q for q in known if not np.array_equal(q, eye)]
        order = np.random.default_rng(seed).permutation(len(known))
        kinds.append([known[i] for i in order])
    return [q for pair in zip_longest(*kinds) for q in pair if q is not None] or [eye]


def moved(
    mesh: Mesh, matrix: np.ndarray, *, centre: Sequence[float] | None = None
) -> Mesh:
    """The mesh under `x -> c + Q (x - c)`, its fields along with it.

        scalars s(x) stay,   vectors v -> Q v,   tensors T -> Q T Qᵀ

    matrix : Q (d, d), orthogonal. centre : c (d,), length; the middle of the box around
    the mesh where it is not given. A field is known by its shape at one point or cell:
    () a scalar, (d,) a vector, (d, d) a tensor. Named sets stay, and so does what
    belongs to the whole mesh. Where Q mirrors, cells that have two sides are turned
    inside out, so that they are oriented as before.

    Raises `FieldError` for a field of another shape, such as Voigt's (6,), `ValueError`
    where Q is not orthogonal. Moving by Q and then by Qᵀ around one centre is the
    identity, to rounding.
    """
    d = mesh.points.shape[1]
    q = np.array(matrix, dtype=np.float64)
    if q.shape != (d, d) or not np.allclose(q @ q.T, np.eye(d), rtol=0, atol=1e-9):
        raise ValueError(f"matrix: expected an orthogonal one ({d}, {d}), got {matrix}")
    if centre is None:
        c = middle(mesh)
    else:
        c = np.array(centre, dtype=np.float64)
        if c.shape != (d,):
            raise ValueError(f"centre: expected {d} coordinates, got {centre}")
    fields = {
        "point_data": moved_fields(mesh.point_data, q),
        "cell_data": moved_fields(mesh.cell_data, q),
    }
    placed = replace(mesh, points=c + (mesh.points - c) @ q.T, **fields)
    return placed if np.linalg.det(q) > 0 else _inside_out(placed)


def middle(mesh: Mesh) -> np.ndarray:
    """(d,) of the box around the mesh."""
    return (mesh.points.min(0) + mesh.points.max(0)) / 2


def rotated(
    mesh: Mesh,
    angle: float,
    *,
    axis: Sequence[float] | None = None,
    centre: Sequence[float] | None = None,
) -> Mesh:
    """The mesh and its fields turned by an angle in radians (see `moved`).

    In the plane counterclockwise; in space around `axis`, the direction (3,) of a line
    through the centre, counterclockwise for who looks against it (Rodrigues' formula).
    """
    if mesh.points.shape[1] == 2:
        if axis is not None:
            raise ValueError("axis: expected none in the plane, got one")
        q = np.array(
            [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        )
        return moved(mesh, q, centre=centre)
    a = np.zeros(3) if axis is None else np.array(axis, dtype=np.float64)
    if a.shape != (3,) or not np.linalg.norm(a) > 0:
        raise ValueError(f"axis: expected a direction (3,) in space, got {axis}")
    x, y, z = a / np.linalg.norm(a)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    q = np.eye(3) + math.sin(angle) * k + (1 - math.cos(angle)) * k @ k
    return moved(mesh, q, centre=centre)


def mirrored(mesh: Mesh, axis: int, *, centre: Sequence[float] | None = None) -> Mesh:
    """The mesh and its fields with the coordinate number `axis` reversed (see `moved`)
    on the other side of the centre."""
    d = mesh.points.shape[1]
    if axis not in range(d):
        raise ValueError(f"axis: expected a number from 0 to {d - 1}, got {axis}")
    q = np.diag([-1.0 if i == axis else 1.0 for i in range(d)])
    return moved(mesh, q, centre=centre)


def with_copies(
    cases: Sequence[Mesh],
    names: Sequence[str],
    symmetry: Symmetry,
    fields: Sequence[str],
) -> tuple[list[Mesh], list[str]]:
    """The cases and their moved copies, each around its own middle, with their names.

    fields : those that the cases keep; of the others no shape matters.

    Raises `FieldError`, with the name of the case, as `moved` does.
    """
    found = [_only(case, fields) for case in cases]
    all_names = list(names)
    for number, (case, name) in enumerate(zip(list(found), names, strict=True)):
        for copy in range(symmetry.copies):
            matrix = symmetry.matrix(number, copy, case.points.shape[1])
            try:
                found.append(moved(case, matrix))
            except FieldError as error:
                raise FieldError(f"{name}: {error}") from error
            all_names.append(f"{name}, moved copy {copy}")
    return found, all_names


def _only(mesh: Mesh, fields: Sequence[str]) -> Mesh:
    def kept(data: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: values for name, values in data.items() if name in fields}

    return replace(
        mesh, point_data=kept(mesh.point_data), cell_data=kept(mesh.cell_data)
    )


def moved_fields(
    fields: Mapping[str, np.ndarray], q: np.ndarray
) -> dict[str, np.ndarray]:
    """Fields as they are on the mesh that is moved by Q (see `moved`)."""
    d, found = len(q), {}
    for name, values in fields.items():
        shape = values.shape[1:]
        if not turns(shape, d):
            raise FieldError(
                f"field {name!r} has shape {shape} per point, expected (), ({d},) or "
                f"({d}, {d}): how it turns with the mesh is not known; write tensors "
                "in full, and leave other fields out"
            )
        found[name] = values @ q.T if shape else values
        if len(shape) == 2:
            found[name] = q @ found[name]
    return found


def turns(shape: tuple[int, ...], d: int) -> bool:
    """Whether a field of this shape at one point is a scalar, vector or full tensor."""
    return shape in ((), (d,), (d, d))


def _inside_out(mesh: Mesh) -> Mesh:
    """Cells of the dimensions d and d - 1 in the order of their mirror images."""
    d, cells, turned = mesh.points.shape[1], {}, []
    for kind, nodes in mesh.cells.items():
        cell = CELL_TYPES[kind]
        sided = cell.dimension in (d, d - 1)
        turned.append(np.full(len(nodes), sided))
        cells[kind] = nodes[:, cell.mirrored] if sided else nodes
    chosen = np.concatenate([np.zeros(0, dtype=bool), *turned])
    sets = regions.mirrored(mesh.facet_sets, mesh.cells, chosen)
    return replace(mesh, cells=cells, facet_sets=sets)
