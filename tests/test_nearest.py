"""The nearest value: range, labels, ties, order, adjoint, bad input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from isofield.discretization import from_mesh
from isofield.generation import box, disk, icosphere, plate_with_holes, square
from isofield.mesh import Mesh
from isofield.operators import TransferError, linear, nearest


def cloud(count: int, d: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, d, generator=generator, dtype=torch.float64)


def bare(mesh: Mesh) -> Tensor:
    return torch.tensor(mesh.points)


FAMILIES: dict[str, Callable[[int], Tensor]] = {
    "uniform": lambda n: bare(square(n)),
    "graded": lambda n: bare(square(n, grading=4.0)),
    "random": lambda n: cloud(n * n, seed=n),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_order_one(family: str):
    """The error is |grad u| times the distance to the nearest point, O(h)."""
    at, sizes, errors = cloud(2000, seed=9), (16, 32, 64, 128), []
    for n in sizes:
        points = FAMILIES[family](n)
        v = nearest(points, at)(torch.sin(2 * points[:, 0]) + points[:, 1])
        exact = torch.sin(2 * at[:, 0]) + at[:, 1]
        errors.append(float((v - exact).square().mean().sqrt()))
    rate = -np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert rate == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("mesh", [square(5), box(3), icosphere(3)], ids=str)
@pytest.mark.parametrize("site", ["points", "cells"])
def test_values_are_those_of_the_nearest_source(mesh: Mesh, site: str):
    places = from_mesh(mesh, site).points
    at = 2 * cloud(300, mesh.points.shape[1], seed=1) - 0.5
    transfer = nearest(mesh, at, source_at=site, outside="nearest")
    number = torch.cdist(at, places, compute_mode="donot_use_mm_for_euclid_dist")
    gap, index = number.min(1)
    assert torch.equal(transfer(torch.arange(len(places))), index)
    torch.testing.assert_close(transfer.facts["distance"], gap)
    u = torch.randn(len(places), 2, 3).double()
    assert torch.equal(transfer(u), u[index])
    assert transfer(u).max() <= u.max()
    assert transfer(u).min() >= u.min()


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.bool])
def test_labels_keep_their_type(dtype: torch.dtype):
    labels = torch.randint(0, 7, (400,)).to(dtype)
    carried = nearest(cloud(400), cloud(50, seed=1))(labels)
    assert carried.dtype == dtype
    assert set(carried.tolist()) <= set(labels.tolist())


def test_of_sources_at_one_distance_the_first_counts():
    """Each middle of a square has its four corners at one distance, bit for bit."""
    corners = bare(square(4))
    middles = bare(square(3)) * 0.75 + 0.125
    for seed in range(3):
        order = torch.randperm(
            len(corners), generator=torch.Generator().manual_seed(seed)
        )
        moved = corners[order]
        gap = (middles[:, None] - moved).square().sum(2)
        first = (gap == gap.amin(1, keepdim=True)).int().argmax(1)
        assert ((gap == gap.amin(1, keepdim=True)).sum(1) == 4).all()
        assert torch.equal(nearest(moved, middles)(torch.arange(len(moved))), first)


def test_renumbered_points_give_the_same_values():
    points, at, u = cloud(300), cloud(80, seed=1), cloud(300, 1, seed=2)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(3))
    turned = torch.randperm(80, generator=torch.Generator().manual_seed(4))
    moved = nearest(points[order], at[turned])(u[order])
    assert torch.equal(moved, nearest(points, at)(u)[turned])


@pytest.mark.parametrize("sites", [("points", "points"), ("cells", "points")])
def test_adjoint_between_meshes(sites: tuple[str, str]):
    a, b = disk(6, jitter=0.2), square(7)
    transfer = nearest(a, b, source_at=sites[0], target_at=sites[1], outside="nearest")
    assert transfer.source is not None
    assert transfer.target is not None
    u, v = cloud(transfer.shape[1], 2, seed=1), cloud(transfer.shape[0], 2, seed=2)
    left = transfer.target.inner(transfer(u), v)
    right = transfer.source.inner(u, transfer.adjoint()(v))
    torch.testing.assert_close(left, right, rtol=1e-12, atol=0)


def test_only_what_is_beyond_the_distance_is_missing():
    points, at = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.5, 0], [1, 0], [1.5, 0]])
    lost = nearest(points, at, max_distance=1.0, outside="nan")
    assert lost.missing.tolist() == [False, False, True]
    assert lost(torch.ones(1)).isnan().tolist() == [False, False, True]
    with pytest.raises(TransferError, match=r"1 of 3 .* furthest is 1\.5 away"):
        nearest(points, at, max_distance=1.0)


def test_targets_outside_of_a_mesh_are_counted():
    """In a hole, too, where points are near: the cells say what is outside."""
    mesh = plate_with_holes(16)
    low, high = (torch.tensor(x) for x in (mesh.points.min(0), mesh.points.max(0)))
    at = low + cloud(3000, seed=5) * (high - low)
    known = linear(mesh, at, outside="nearest").facts["outside"]
    count, far = int((known > 0).sum()), float(known.max())
    assert count > 50
    message = rf"{count} of 3000 targets lie outside.*furthest by {far:.6g}:"
    with pytest.raises(TransferError, match=message):
        nearest(mesh, at)
    allowed = nearest(mesh, at, outside="nearest")
    torch.testing.assert_close(allowed.facts["outside"], known)
    assert not allowed.missing.any()
    assert torch.equal(nearest(mesh, at, outside="nan").missing, known > 0)
    assert not nearest(mesh, mesh).facts["outside"].any()


def test_targets_off_a_surface_ask_for_a_distance():
    sphere = icosphere(3)
    at = torch.nn.functional.normalize(cloud(200, 3, seed=2) - 0.5)
    with pytest.raises(TransferError, match=r"of 200 .*pass max_distance for a proj"):
        nearest(sphere, at)
    assert nearest(sphere, at, max_distance=0.05).facts["outside"].max() < 0.05
    with pytest.raises(TransferError, match=r"further than 0\.001 from it"):
        nearest(sphere, at, max_distance=1e-3, outside="nearest")


def test_clouds_end_where_their_own_spacing_does():
    """Of 7 points on a line with unit spacing the last is 6 from its 6-th neighbour and
    the middle one 3; in one more dimension there are no more neighbours than these."""
    source = torch.stack([torch.arange(7.0), torch.zeros(7)], 1).double()
    at = torch.tensor([[3, 2.9], [3, 3.1], [12.0, 0], [12.1, 0]]).double()
    assert nearest(source, at, outside="nan").missing.tolist() == [0, 1, 0, 1]
    message = r"2 of 4 targets have no source in reach, the furthest is 6\.1 away"
    with pytest.raises(TransferError, match=message):
        nearest(source, at)
    assert nearest(source, at, outside="nearest")(source[:, 0]).tolist() == [3, 3, 6, 6]


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_points_that_are_not_finite_are_named(side: int, value: float):
    points = [cloud(20), cloud(10, seed=1)]
    points[side][4, 1] = value
    with pytest.raises(ValueError, match="not finite, the first is number 4"):
        nearest(*points)


def test_spaces_and_empty_sources():
    with pytest.raises(TransferError, match="2-D and the target in 3-D"):
        nearest(cloud(5), cloud(5, 3))
    with pytest.raises(TransferError, match="no points"):
        nearest(cloud(0), cloud(5))
