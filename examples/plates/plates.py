"""Plates with random elliptic holes under tension: geometry, meshes, ground truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isofield import Mesh

SIDE = 100.0  # mm
GAP = 6.0  # mm, between two holes and between a hole and an edge


@dataclass(frozen=True)
class Hole:
    """An elliptic hole.

    centre : (x, y), mm. semi_axes : (a, b), a >= b > 0, mm. angle : of a, radian.
    """

    centre: tuple[float, float]
    semi_axes: tuple[float, float]
    angle: float = 0.0

    def outline(self, n_points: int = 96) -> np.ndarray:
        """(n_points, 2) points on the ellipse, mm."""
        t = np.linspace(0, 2 * np.pi, n_points, endpoint=False)
        local = np.stack([np.cos(t), np.sin(t)], axis=1) * self.semi_axes
        c, s = np.cos(self.angle), np.sin(self.angle)
        return local @ np.array([[c, s], [-s, c]]) + self.centre

    def contains(self, points: np.ndarray) -> np.ndarray:
        """(N,) bool, whether each of points (N, 2) lies inside the ellipse."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        local = (points - self.centre) @ np.array([[c, -s], [s, c]])
        return ((local / self.semi_axes) ** 2).sum(1) < 1

    @property
    def perimeter(self) -> float:
        """mm, by the second formula of Ramanujan."""
        a, b = self.semi_axes
        q = 3 * ((a - b) / (a + b)) ** 2
        return float(np.pi * (a + b) * (1 + q / (10 + np.sqrt(4 - q))))


@dataclass(frozen=True)
class Plate:
    holes: tuple[Hole, ...]
    load: float
    young_modulus: float
    poisson_ratio: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> Plate:
        wanted = int(rng.integers(1, 5))
        holes: list[Hole] = []
        while len(holes) < wanted:
            hole = _random_hole(rng)
            if _fits(hole, holes):
                holes.append(hole)
        return cls(
            tuple(holes),
            load=float(rng.uniform(50, 150)),
            young_modulus=float(rng.uniform(70e3, 210e3)),
            poisson_ratio=float(rng.uniform(0.2, 0.4)),
        )

    def contains(self, points: np.ndarray) -> np.ndarray:
        inside = ((points > 0) & (points < SIDE)).all(axis=1)
        for hole in self.holes:
            inside &= ~hole.contains(points)
        return inside

    @property
    def area(self) -> float:
        return SIDE**2 - sum(np.pi * np.prod(h.semi_axes) for h in self.holes)


def _random_hole(rng) -> Hole:
    a = rng.uniform(5, 18)
    b = rng.uniform(max(a / 2, 5), a)
    centre = rng.uniform(GAP, SIDE - GAP, 2)
    return Hole(
        (float(centre[0]), float(centre[1])),
        (float(a), float(b)),
        float(rng.uniform(0, np.pi)),
    )


def _fits(hole: Hole, others: list[Hole]) -> bool:
    from scipy.spatial import cKDTree

    outline = hole.outline()
    if outline.min() < GAP or outline.max() > SIDE - GAP:
        return False
    for other in others:
        if other.contains(np.array([hole.centre]))[0]:
            return False
        if hole.contains(np.array([other.centre]))[0]:
            return False
        if cKDTree(other.outline()).query(outline)[0].min() < GAP:
            return False
    return True


def _gmsh():
    import gmsh

    if not gmsh.isInitialized():
        gmsh.initialize(interruptible=False)
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.option.setNumber("General.NumThreads", 1)
    return gmsh


def triangulated(plate, size, hole_sizes, reach, order=1):
    """points (N,2), nodes (T, 3 or 6)."""
    gmsh = _gmsh()
    gmsh.clear()
    occ = gmsh.model.occ
    rectangle = [occ.addPoint(x, y, 0) for x, y in [(0, 0), (SIDE, 0), (SIDE, SIDE), (0, SIDE)]]
    lines = [occ.addLine(rectangle[i], rectangle[(i + 1) % 4]) for i in range(4)]
    loops = [occ.addCurveLoop(lines)]
    curves = []
    for hole in plate.holes:
        c, s = np.cos(hole.angle), np.sin(hole.angle)
        curve = occ.addEllipse(*hole.centre, 0, *hole.semi_axes, zAxis=[0, 0, 1], xAxis=[c, s, 0])
        curves.append(curve)
        loops.append(occ.addCurveLoop([curve]))
    occ.addPlaneSurface(loops)
    occ.synchronize()
    field = gmsh.model.mesh.field
    fields = []
    for curve, near in zip(curves, hole_sizes, strict=True):
        distance = field.add("Distance")
        field.setNumbers(distance, "CurvesList", [curve])
        field.setNumber(distance, "Sampling", 200)
        threshold = field.add("Threshold")
        field.setNumber(threshold, "InField", distance)
        field.setNumber(threshold, "SizeMin", near)
        field.setNumber(threshold, "SizeMax", size)
        field.setNumber(threshold, "DistMin", 0)
        field.setNumber(threshold, "DistMax", reach)
        fields.append(threshold)
    smallest = field.add("Min")
    field.setNumbers(smallest, "FieldsList", fields)
    field.setAsBackgroundMesh(smallest)
    for name in ("MeshSizeExtendFromBoundary", "MeshSizeFromPoints", "MeshSizeFromCurvature"):
        gmsh.option.setNumber(f"Mesh.{name}", 0)
    gmsh.option.setNumber("Mesh.Algorithm", 6)
    gmsh.option.setNumber("Mesh.MinimumCircleNodes", 0)
    gmsh.model.mesh.generate(2)
    if order == 2:
        gmsh.model.mesh.setOrder(2)
    tags, coordinates, _ = gmsh.model.mesh.getNodes()
    _, nodes = gmsh.model.mesh.getElementsByType(2 if order == 1 else 9)
    nodes = nodes.reshape(-1, 3 if order == 1 else 6)
    used, nodes = np.unique(nodes, return_inverse=True)
    lookup = np.zeros(int(tags.max()) + 1, dtype=np.int64)
    lookup[tags] = np.arange(len(tags))
    points = coordinates.reshape(-1, 3)[lookup[used], :2]
    return points, nodes.reshape(-1, 3 if order == 1 else 6).astype(np.int64)


def mesh(plate: Plate, n_points: int, grading: float = 1.0) -> Mesh:
    size = np.sqrt(2 * plate.area / (np.sqrt(3) * n_points)) * grading ** 0.5
    points = nodes = None
    for _ in range(5):
        near = [min(size / grading, hole.perimeter / 8) for hole in plate.holes]
        points, nodes = triangulated(plate, size, near, reach=25.0)
        if abs(len(points) / n_points - 1) < 0.1:
            break
        size *= (len(points) / n_points) ** 0.5
    else:
        raise RuntimeError(f"no mesh of {n_points} +- 10 % points, got {len(points)}")
    return Mesh(points, {"triangle": nodes})


class Truth:
    def __init__(self, plate: Plate, size=4.0, segments=48, reach=25.0):
        from scipy.spatial import cKDTree

        self.plate = plate
        near = [hole.perimeter / segments for hole in plate.holes]
        points, nodes = triangulated(plate, size, near, reach, order=2)
        self.corners, self.displacement, self.stress = solve(plate, points, nodes)
        self.tree = cKDTree(self.corners[:, :3].mean(1))

    def __call__(self, points):
        element, reference = self._locate(np.asarray(points, dtype=float))
        shape = p2(reference)
        u = np.einsum("nk,nkd->nd", shape, self.displacement[element])
        s = np.einsum("nk,nkd->nd", shape, self.stress[element])
        xx, yy, xy = s.T
        return u, np.sqrt(xx**2 - xx * yy + yy**2 + 3 * xy**2)

    def _locate(self, points):
        near = self.tree.query(points, k=12)[1]
        affine = self._affine(points[:, None], near)
        inside = np.minimum(affine.min(-1), 1 - affine.sum(-1))
        best = inside.argmax(1)
        element = near[np.arange(len(points)), best]
        margin = inside[np.arange(len(points)), best]
        for i in np.flatnonzero(margin < -1e-9):
            every = self._affine(points[i][None], np.arange(len(self.corners)))
            m = np.minimum(every.min(-1), 1 - every.sum(-1))
            element[i], margin[i] = m.argmax(), m.max()
        if (margin < -1e-9).any():
            i = int(margin.argmin())
            raise ValueError(f"{(margin < -1e-9).sum()} points outside, first {points[i]}, margin {margin[i]}")
        corners = self.corners[element]
        reference = self._affine(points, element)
        for _ in range(5):
            residual = np.einsum("nk,nkd->nd", p2(reference), corners) - points
            jacobian = np.einsum("nkr,nkd->ndr", p2_gradient(reference), corners)
            reference = reference - np.linalg.solve(jacobian, residual[..., None])[..., 0]
        return element, reference

    def _affine(self, points, element):
        a, b, c = (self.corners[element, k] for k in range(3))
        return np.linalg.solve(
            np.stack([b - a, c - a], axis=-1), (points - a)[..., None]
        )[..., 0]


def p2(r):
    x, y = r[..., 0], r[..., 1]
    z = 1 - x - y
    return np.stack([z * (2 * z - 1), x * (2 * x - 1), y * (2 * y - 1), 4 * z * x, 4 * x * y, 4 * y * z], -1)


def p2_gradient(r):
    x, y = r[..., 0], r[..., 1]
    z = 1 - x - y
    o = 0 * x
    dx = np.stack([1 - 4 * z, 4 * x - 1, o, 4 * (z - x), 4 * y, -4 * y], -1)
    dy = np.stack([1 - 4 * z, o, 4 * y - 1, -4 * x, 4 * x, 4 * (z - y)], -1)
    return np.stack([dx, dy], -1)


NODES = np.array([[0, 0], [1, 0], [0, 1], [0.5, 0], [0.5, 0.5], [0, 0.5]])
GAUSS = np.array([[1 / 6, 1 / 6], [2 / 3, 1 / 6], [1 / 6, 2 / 3]])


def solve(plate, points, nodes, recovery="gauss"):
    import skfem
    from scipy.sparse.linalg import splu
    from skfem.models.elasticity import linear_elasticity

    fem = skfem.MeshTri2(points.T.copy(), nodes.T.copy())
    element = skfem.ElementVector(skfem.ElementTriP2())
    basis = skfem.Basis(fem, element, intorder=3)
    young, poisson = plate.young_modulus, plate.poisson_ratio
    lam = young * poisson / (1 - poisson**2)
    mu = young / (2 * (1 + poisson))
    stiffness = linear_elasticity(lam, mu).assemble(basis)
    right = skfem.FacetBasis(fem, element, facets=fem.facets_satisfying(lambda x: np.isclose(x[0], SIDE)))
    force = skfem.LinearForm(lambda v, w: plate.load * v[0]).assemble(right)
    left = basis.get_dofs(lambda x: np.isclose(x[0], 0)).all("u^1")
    corner = basis.get_dofs(nodes=lambda x: np.isclose(x[0], 0) & np.isclose(x[1], 0)).all("u^2")
    held = np.union1d(left, corner)
    free = np.setdiff1d(np.arange(basis.N), held)
    u = np.zeros(basis.N)
    lu = splu(stiffness[free][:, free].tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    u[free] = lu.solve(force[free])

    dofs = basis.element_dofs.reshape(6, 2, -1).transpose(2, 0, 1)  # (T, 6, 2)
    where = basis.doflocs[:, dofs[..., 0]].transpose(1, 2, 0)  # (T, 6, 2)
    local = u[dofs]
    at = GAUSS if recovery == "gauss" else NODES
    gradient = p2_gradient(at)  # (Q, 6, 2)
    jacobian = np.einsum("qkr,tkd->tqdr", gradient, where)
    physical = np.einsum("qkr,tqrd->tqkd", gradient, np.linalg.inv(jacobian))
    du = np.einsum("tqkd,tkc->tqcd", physical, local)
    exx, eyy, gxy = du[..., 0, 0], du[..., 1, 1], du[..., 0, 1] + du[..., 1, 0]
    k = young / (1 - poisson**2)
    stress = np.stack([k * (exx + poisson * eyy), k * (eyy + poisson * exx), mu * gxy], -1)
    if recovery == "gauss":
        fit = np.linalg.inv(np.c_[np.ones(3), GAUSS])
        stress = np.einsum("kq,tqc->tkc", np.c_[np.ones(6), NODES] @ fit, stress)
    number = dofs[..., 0] // 2
    number = np.unique(number, return_inverse=True)[1].reshape(number.shape)
    measure = np.abs(np.linalg.det(jacobian)).mean(1)
    count = np.bincount(number.ravel(), np.repeat(measure, 6))
    average = np.stack(
        [np.bincount(number.ravel(), (measure[:, None] * stress[..., c]).ravel()) / count for c in range(3)], -1
    )
    return where, local, average[number]
