"""Closest points: each simplex by scipy's bounded minimum, spheres, bad shapes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from torch import Tensor

from isofield.generation import icosphere, square
from isofield.mesh import Mesh
from isofield.operators.closest import closest
from isofield.operators.outside import distance_outside
from isofield.operators.supermesh.splitting import Split, split


def around(count: int, d: int = 3, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, d, generator=generator, dtype=torch.float64)


def brute(corners: Tensor, points: Tensor) -> np.ndarray:
    """(M,) min over all simplices of |sum_c a_c x_c - p|, a >= 0 with sum 1.

    Nonnegative least squares, the sum held by a row whose weight is 1e6 times the size:
    that is within 1e-6 of the constrained minimum, relative.
    """
    best = np.full(len(points), np.inf)
    for k, point in enumerate(points.numpy()):
        for simplex in corners.numpy():
            moved = simplex - point
            weight = 1e6 * np.abs(moved).max()
            system = np.vstack([moved.T, np.full(len(moved), weight)])
            right = np.zeros(len(system))
            right[-1] = weight
            share, _ = nnls(system, right)
            at = moved.T @ (share / share.sum())
            best[k] = min(best[k], np.linalg.norm(at))
    return best


def check_place(domain: Split, points: Tensor, rounding: float = 1e-13) -> Tensor:
    """The place named is in its simplex and at the distance named."""
    found = closest(domain, points)
    assert (found.share >= 0).all()
    torch.testing.assert_close(
        found.share.sum(1), torch.ones_like(found.distance), rtol=0, atol=1e-12
    )
    at = torch.einsum("mc,mcd->md", found.share, domain.corners[found.simplex])
    gap = (at - points).norm(dim=1)
    torch.testing.assert_close(gap, found.distance, rtol=rounding, atol=rounding)
    return found.distance


MESHES = {
    "triangles in space": (icosphere(1, jitter=0.2), 3),
    "graded 1:1000": (icosphere(2, grading=1000.0), 3),
    "lines in the plane": (square(3, jitter=0.2).boundary(), 2),
    "lines in space": (
        Mesh(
            np.c_[np.cos(np.arange(9.0)), np.sin(np.arange(9.0)), np.arange(9) / 4],
            {"line": np.c_[np.arange(8), np.arange(1, 9)]},
        ),
        3,
    ),
}


@pytest.mark.parametrize("name", MESHES)
def test_distances_are_the_least_over_all_simplices(name: str):
    mesh, d = MESHES[name]
    domain, points = split(mesh), around(40, d)
    distance = check_place(domain, points)
    np.testing.assert_allclose(distance, brute(domain.corners, points), rtol=1e-5)


def test_distances_to_a_sphere_converge_at_order_two():
    """Chords of length h lie h^2 / 8 below the sphere: the largest error is O(h^2)."""
    sizes, errors = (4, 8, 16, 32), []
    points = 1.3 * torch.nn.functional.normalize(around(2000))
    for n in sizes:
        errors.append((check_place(split(icosphere(n)), points) - 0.3).abs().max())
    rate = -np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert rate == pytest.approx(2, abs=0.2)


def test_points_of_the_surface_are_at_no_distance():
    domain = split(icosphere(4, jitter=0.2))
    share = torch.rand(500, 3, generator=torch.Generator().manual_seed(1)).double()
    share = share / share.sum(1, keepdim=True)
    number = torch.arange(500) % len(domain.corners)
    points = torch.einsum("mc,mcd->md", share, domain.corners[number])
    found = closest(domain, points)
    assert found.distance.max() < 1e-14
    torch.testing.assert_close(found.simplex, number)


@pytest.mark.parametrize("grading", [1.0, 1000.0])
def test_far_from_the_origin_distances_keep_the_rounding_of_the_points(grading: float):
    """A coordinate near 1e6 is known to 1.2e-10; a distance to a few of these."""
    mesh, points = icosphere(4, grading=grading), around(300)
    here = check_place(split(mesh), points)
    moved = split(Mesh(mesh.points + 1e6, mesh.cells))
    there = check_place(moved, points + 1e6, 1e-9)
    assert (here - there).abs().max() < 2e-9


def test_triangles_without_area_take_no_part():
    """Their points are those of their neighbours, or they stand alone and count not."""
    points = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 1, 0], [5, 5, 5]], float)
    whole = Mesh(points, {"triangle": np.array([[0, 1, 2], [0, 1, 3], [4, 4, 4]])})
    good = Mesh(points, {"triangle": np.array([[0, 1, 3]])})
    at = 3 * around(200)
    torch.testing.assert_close(
        check_place(split(whole), at), closest(split(good), at).distance
    )


@pytest.mark.parametrize("height", [1e-3, 1e-9, 1e-12])
def test_slivers(height: float):
    """A triangle of height h is a line up to h."""
    points = np.array([[0, 0, 0], [1, 0, 0], [0.5, height, 0]])
    domain = split(Mesh(points, {"triangle": np.array([[0, 1, 2]])}))
    at = 2 * around(300, seed=3)
    line = split(Mesh(points[:2], {"line": np.array([[0, 1]])}))
    gap = closest(line, at).distance - check_place(domain, at)
    assert gap.min() > -1e-14
    assert gap.max() <= height + 1e-14


def test_of_simplices_at_one_distance_the_first_counts():
    """Above a corner, and above the middle of an edge: several hold the point."""
    mesh = square(2)
    nodes = mesh.cells["triangle"]
    points = np.c_[mesh.points, np.zeros(len(mesh.points))]
    domain = split(Mesh(points, {"triangle": nodes}))
    at = torch.tensor(points) + torch.tensor([0.0, 0.0, 0.5]).double()
    first = [int((nodes == k).any(1).nonzero()[0][0]) for k in range(len(points))]
    assert closest(domain, at).simplex.tolist() == first


def test_cells_and_their_points():
    """Of quads: the cell holds the point; its nodes and parts give the place."""
    mesh = square(3, cell="quad")
    points = np.c_[mesh.points, np.zeros(len(mesh.points))]
    domain = split(Mesh(points, mesh.cells))
    middles = points[mesh.cells["quad"]].mean(1) + np.array([0.02, 0.01, 0.3])
    found = closest(domain, torch.tensor(middles))
    assert domain.cell[found.simplex].tolist() == list(range(len(middles)))
    nodes, part = found.nodes(domain)
    at = torch.einsum("mk,mkd->md", part, torch.tensor(points)[nodes])
    np.testing.assert_allclose(at, middles - [0, 0, 0.3], atol=1e-14)


@pytest.mark.parametrize("kind", ["triangle", "quad", "tetra", "hexahedron"])
def test_distances_from_a_body_are_0_within(kind: str, mesh_of):
    """Of the unit box: the norm of what coordinates leave [0, 1] by."""
    mesh = mesh_of(kind, 3)
    points = 0.5 + around(40, mesh.points.shape[1])
    beyond = (points - points.clamp(0, 1)).norm(dim=1)
    found = distance_outside(mesh, points)
    assert 0 < int((beyond == 0).sum()) < 40
    torch.testing.assert_close(found, beyond, rtol=0, atol=1e-13)


def test_distances_from_a_surface_count_on_both_sides():
    mesh = icosphere(24)
    points = around(40)
    found = distance_outside(mesh, points)
    expected = (points.norm(dim=1) - 1).abs()
    torch.testing.assert_close(found, expected, rtol=0, atol=1.5e-3)
