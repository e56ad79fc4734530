"""The best approximation of other meshes: order, optimality, an oracle, bounds."""

from __future__ import annotations

import numpy as np
import pytest
import skfem
import torch
from scipy.optimize import LinearConstraint, minimize

from isofield.cells import CELL_TYPES
from isofield.generation import box, square
from isofield.mesh import Mesh
from isofield.operators import TransferError, bounded, conservative, l2_projection
from isofield.operators.supermesh import pieces, split
from isofield.quadrature import quadrature
from isofield.topology import number_rows


def quadratic(mesh: Mesh) -> Mesh:
    """The same straight cells with a node in the middle of each edge."""
    ((kind, nodes),) = mesh.cells.items()
    cell = CELL_TYPES[{"triangle": "triangle6", "tetra": "tetra10"}[kind]]
    edges = [list(mean) for mean in cell.means[cell.linear.nodes :]]
    pairs = np.sort(np.stack([nodes[:, edge] for edge in edges], 1).reshape(-1, 2), 1)
    first, number = number_rows(pairs)
    middles = mesh.points[pairs[first]].mean(1)
    added = len(mesh.points) + number.reshape(len(nodes), -1)
    points = np.concatenate([mesh.points, middles])
    return Mesh(points, {cell.name: np.concatenate([nodes, added], 1)})


def smooth(x: np.ndarray) -> np.ndarray:
    return np.sin(3 * x[:, 0] + 1) * np.exp(x[:, 1]) + x[:, -1] ** 3


def norm(mesh: Mesh, values: np.ndarray, exact, degree: int) -> float:
    """The L2 norm of the difference of a field at the points from a function."""
    ((kind, nodes),) = mesh.cells.items()
    rule = quadrature(CELL_TYPES[kind].linear.name, degree)
    cell = CELL_TYPES[kind]
    corners = mesh.points[nodes]
    shape = cell.shape(rule.points)
    at = np.einsum("qn,tnd->tqd", shape, corners)
    edges = corners[:, 1 : cell.dimension + 1] - corners[:, :1]
    size = np.abs(np.linalg.det(edges))
    u = np.einsum("qn,tn->tq", shape, values[nodes])
    off = u - exact(at.reshape(-1, at.shape[2])).reshape(u.shape)
    return float(np.sqrt(np.einsum("t,q,tq->", size, rule.weights, off**2)))


@pytest.mark.parametrize("spacing", ["uniform", "graded", "random"])
@pytest.mark.parametrize("degree", [1, 2])
def test_order_is_one_above_the_degree(degree: int, spacing: str):
    """Source h/1.7 and target h together: error O(h^(p + 1))."""
    sizes, errors = [(8, 14, 24, 40), (6, 9, 14, 21)][degree - 1], []
    for n in sizes:
        source, target = (
            square(
                count,
                grading=3.0 if spacing == "graded" else 1.0,
                jitter=0.2 if spacing == "random" else 0.0,
                seed=count,
            )
            for count in (int(1.7 * n), n)
        )
        if degree == 2:
            source, target = quadratic(source), quadratic(target)
        carried = l2_projection(source, target)(smooth(source.points))
        errors.append(norm(target, carried, smooth, 6))
    rate = -np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert rate == pytest.approx(degree + 1, abs=0.2)


@pytest.mark.parametrize("shape", ["triangle", "tetra"])
def test_quadratics_and_linears_are_reproduced(shape):
    build, n = (square, 4) if shape == "triangle" else (box, 3)
    source = quadratic(build(n, shape, jitter=0.1, seed=1))
    target = quadratic(build(n - 1, shape, jitter=0.1, seed=2))
    for given, power in ((source, 2), (build(n, shape, jitter=0.1, seed=1), 1)):
        operator = l2_projection(given, target)

        def field(x, p=power):
            return 1 + x[:, 0] ** p - 2 * x[:, 1] * x[:, -1] ** (p - 1)

        found = operator(field(given.points))
        np.testing.assert_allclose(found, field(target.points), rtol=0, atol=1e-12)


@pytest.mark.parametrize("degree", [1, 2])
def test_the_difference_is_orthogonal_to_the_space_of_the_target(degree):
    """`int (v - u) phi = 0`, so no field of the space is nearer."""
    source, target = square(7, jitter=0.2, seed=1), square(4, jitter=0.2, seed=2)
    if degree == 2:
        source, target = quadratic(source), quadratic(target)
    operator = l2_projection(source, target)
    u = np.random.default_rng(0).normal(size=len(source.points))
    v = operator(u)
    best = _distance(source, u, target, v)
    for seed in range(5):
        other = np.random.default_rng(seed).normal(size=len(v))
        for size in (1e-3, -1e-3):
            assert _distance(source, u, target, v + size * other) > best


def _distance(source: Mesh, u: np.ndarray, target: Mesh, v: np.ndarray) -> float:
    """`||v - u||` by a rule of degree 4 on the pieces of the corner triangles."""
    rule = quadrature("triangle", 4)
    inner = torch.tensor(rule.points)
    at = torch.cat([1 - inner.sum(1, keepdim=True), inner], 1)
    total = 0.0
    a, b = split(_straight(source)), split(_straight(target))
    for part in pieces(a, b):
        values = []
        for mesh, sheet, number, where, field in (
            (source, a, part.source, part.in_source, u),
            (target, b, part.target, part.in_target, v),
        ):
            ((kind, nodes),) = mesh.cells.items()
            cell = CELL_TYPES[kind]
            # points in the plane, then back by the inverse of the cell's own map
            x = (at @ where) @ sheet.corners[number]
            cells = torch.tensor(nodes)[sheet.cell[number]]
            corners = torch.tensor(mesh.points)[cells[:, :3]]
            edges = (corners[:, 1:] - corners[:, :1]).mT
            xi = torch.linalg.solve(edges[:, None], (x - corners[:, :1])[..., None])
            shape = cell.shape(xi.reshape(-1, 2).numpy()).reshape(*x.shape[:2], -1)
            values.append(np.einsum("kqn,kn->kq", shape, field[cells.numpy()]))
        off = (values[0] - values[1]) ** 2
        share = rule.weights / rule.weights.sum()
        total += np.einsum("k,q,kq->", part.measure.numpy(), share, off)
    return total


def _straight(mesh: Mesh) -> Mesh:
    ((_, nodes),) = mesh.cells.items()
    return Mesh(mesh.points, {"triangle": nodes[:, :3]})


def test_agrees_with_scikit_fem_on_nested_meshes():
    """The coarse space lies in the fine one: M_c = I' M I and B = I' M."""
    coarse = square(3, jitter=0.2, seed=3)
    target = quadratic(coarse)
    source = quadratic(coarse.refined())
    bases = []
    for mesh in (source, target):
        ((_, nodes),) = mesh.cells.items()
        fem = skfem.MeshTri(*_of_corners(mesh.points, nodes[:, :3]))
        bases.append(skfem.Basis(fem, skfem.ElementTriP2(), intorder=4))
    fine, wide = bases
    mass = skfem.BilinearForm(lambda u, v, w: u * v).assemble(fine)
    into = wide.probes(fine.doflocs)
    u = np.random.default_rng(1).normal(size=len(source.points))
    own = _same(source.points, fine.doflocs.T)
    expected = np.linalg.solve(
        (into.T @ mass @ into).toarray(), into.T @ (mass @ u[own])
    )
    found = l2_projection(source, target)(u)[_same(target.points, wide.doflocs.T)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)


def _of_corners(points: np.ndarray, nodes: np.ndarray) -> tuple:
    used, number = np.unique(nodes, return_inverse=True)
    return points[used].T.copy(), number.reshape(nodes.shape).T.copy()


def _same(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """For each of the others the number of the same point."""
    apart = np.abs(points[None] - others[:, None]).max(2)
    assert apart.min(1).max() < 1e-12
    return apart.argmin(1)


def test_degree_two_asks_for_straight_quadratic_simplices():
    with pytest.raises(TransferError, match="degree=1"):
        l2_projection(quadratic(square(3)), square(2), degree=2)
    mesh = quadratic(square(3))
    bent = mesh.points.copy()
    bent[-1] += 0.02
    with pytest.raises(TransferError, match="1 of 18 cells of the target are curved"):
        l2_projection(mesh, Mesh(bent, mesh.cells))
    with pytest.raises(ValueError, match="degree: expected 1 or 2, got 3"):
        l2_projection(mesh, mesh, degree=3)


def step(mesh: Mesh) -> torch.Tensor:
    return torch.tensor(mesh.points[:, 0] > 0.47).double()


def test_bounds_hold_and_the_integral_stays():
    source, target = square(14, jitter=0.2, seed=1), square(5, jitter=0.2, seed=2)
    operator = l2_projection(source, target)
    u = torch.stack([step(source), 3 - step(source)], 1)
    free, v = operator(u), bounded(operator, u)
    assert float(free[:, 0].min()) < -0.01  # there is something to bound
    assert float(v[:, 0].min()) >= 0
    assert float(v[:, 0].max()) <= 1
    assert float(v[:, 1].min()) >= 2
    weights = operator.target.weights
    torch.testing.assert_close(weights @ v, weights @ free, rtol=1e-13, atol=0)


def test_bounds_move_the_field_as_little_as_they_can():
    """scipy's solution of the same quadratic programme."""
    source, target = square(9, jitter=0.2, seed=1), square(4, jitter=0.2, seed=2)
    operator = l2_projection(source, target)
    u = step(source)
    p, w = operator(u).numpy(), operator.target.weights.numpy()
    low, high = np.full_like(p, 0.1), np.full_like(p, 0.9)
    found = minimize(
        lambda v: (w * (v - p) ** 2).sum(),
        np.full_like(p, w @ p / w.sum()),
        jac=lambda v: 2 * w * (v - p),
        bounds=list(zip(low, high, strict=True)),
        constraints=LinearConstraint(w[None], w @ p, w @ p),
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 500},
    )
    v = bounded(operator, u, torch.tensor(low), 0.9).numpy()
    np.testing.assert_allclose(v, found.x, rtol=0, atol=1e-6)


def test_fields_within_their_bounds_stay_and_gradients_pass():
    operator = l2_projection(square(6, jitter=0.2, seed=1), square(3))
    u = torch.tensor(smooth(square(6, jitter=0.2, seed=1).points))
    assert torch.equal(bounded(operator, u, -10.0, 10.0), operator(u))
    jump = step(square(6, jitter=0.2, seed=1)) + 0.01 * u
    jump.requires_grad_()
    assert torch.autograd.gradcheck(lambda v: bounded(operator, v, 0.05, 0.9), jump)


def test_bounds_that_cannot_hold_are_said():
    source, target = square(5), square(3)
    u = torch.ones(len(source.points)).double()
    operator = conservative(source, target, source_at="points", target_at="points")
    with pytest.raises(TransferError, match="no field between the bounds"):
        bounded(operator, u, 0.0, 0.5)
    with pytest.raises(TransferError, match="no value above `high`"):
        bounded(operator, u, 1.0, 0.5)
    second = l2_projection(quadratic(source), quadratic(target))
    with pytest.raises(TransferError, match="degree=1"):
        bounded(second, torch.ones(second.shape[1]).double())
