"""Subsets of a point cloud that are spaced evenly, however dense the cloud."""

from __future__ import annotations

import heapq

import numpy as np
import torch
from torch import Tensor

from isofield.discretization import Discretization
from isofield.graph import knn_graph, radius_graph
from isofield.topology import number_rows

# Candidates for each point that is kept: more cost time, fewer leave no choice.
_CHOICE = 6

# The finest boxes have 1/4 of the spacing: bounds the pairs of a very dense cluster.
_FINEST = 4

# Places over the extent of a cloud: sums of such numbers below 8 are exact.
_STEPS = 2.0**48


def subsample(
    points: np.ndarray | Tensor | Discretization, n: int, seed: int = 0
) -> Tensor:
    """(n,) int64 rising, numbers of points that are evenly spaced: a Poisson disk.

    Weighted sample elimination: of all candidates that is left out, one at a time,
    whose neighbours weigh most,

        w_i = sum_j (1 - |x_i - x_j| / 2r)^8   over those left with |x_i - x_j| < 2r

    until n are left. 2r is the side s of the largest cubes of a lattice of which n hold
    points, about the spacing of a densest packing of n points (1.07 s in the plane,
    1.12 s in space, 0.88 s on surfaces), whatever the dimension and the density of the
    cloud. Candidates are one point in each cube of side s/2, s/3 or s/4, so that the
    cost is that of n, not of the densest place. The smallest distance is 0.6 to 0.8 of
    the densest packing's where the cloud is dense enough.

    points : (N, d), d = 1, 2 or 3, length, dense or sparse in any way; of a
        discretization of one sample its points. Where sparse places do not have points
        enough, all of theirs stay.
    seed : the lattice's origin and the candidates in the cubes: other seeds, other
        subsets. The same points in any order give the same subset.

    O(N log N) for the cubes, O(n log n) with about 100 pairs a point for the
    elimination, which runs in Python: about 0.1 ms for each point kept.

    Raises `ValueError` for n below 1 or above the number of different places; points
    nearer than 4e-15 of the extent of the cloud are at one place.

    Source: Yuksel, Computer Graphics Forum 34(2), 2015, doi:10.1111/cgf.12538.
    """
    places = _scaled(_checked(points))
    _, rank = np.unique(places, axis=0, return_inverse=True)
    rank = rank.ravel()
    # the first number at each place, places in the order of their coordinates
    first = np.full(rank.max(initial=-1) + 1, len(places))
    np.minimum.at(first, rank, np.arange(len(places)))
    if not 1 <= n <= len(first):
        raise ValueError(
            f"n: expected 1 to {len(first)}, the number of different places, got {n}"
        )
    if n == len(first):
        return torch.from_numpy(np.sort(first))
    chosen = _thinned(places[first], n, np.random.default_rng(seed))
    return torch.from_numpy(np.sort(first[chosen]))


def subsampled(
    discretization: Discretization, n: int, seed: int = 0
) -> tuple[Discretization, Tensor]:
    """n evenly spaced points of a discretization with their measure, and their numbers.

    The points of `subsample`. Each has the sum of the weights of the points that are
    nearest to it (of equally near ones the lowest number), so the measure stays to
    rounding, and fields are integrated as by nearest transfer, O(h). Normals are those
    of the points.

    discretization : one sample. Returns weights in its type and on its device.

    Raises what `subsample` raises.
    """
    numbers = subsample(discretization, n, seed)
    points = discretization.points.detach().cpu().double()
    owner = knn_graph(points[numbers], points, 1).source
    device = discretization.points.device
    weights = discretization.weights
    total = weights.new_zeros(n, dtype=torch.float64)
    total = total.index_add(0, owner.to(device), weights.double()).to(weights.dtype)
    numbers = numbers.to(device)
    normals = discretization.normals
    kept = Discretization(
        discretization.points[numbers],
        total,
        normals=None if normals is None else normals[numbers],
    )
    return kept, numbers


def _checked(points: np.ndarray | Tensor | Discretization) -> np.ndarray:
    """(N, d) float64, finite."""
    if isinstance(points, Discretization):
        if points.n_samples != 1:
            raise ValueError(
                f"expected one sample, got {points.n_samples}; unpack() separates them"
            )
        points = points.points
    if isinstance(points, Tensor):
        points = points.detach().cpu().numpy()
    places = np.asarray(points, dtype=np.float64)
    if places.ndim != 2 or places.shape[1] not in (1, 2, 3):
        raise ValueError(f"points: expected (N, d), d = 1 to 3, got {places.shape}")
    if not np.isfinite(places).all():
        raise ValueError("points: expected finite coordinates; there are others")
    return places


def _scaled(points: np.ndarray) -> np.ndarray:
    """Coordinates within 0 and 1, as multiples of 2^-48: nearer points are one."""
    if not len(points):
        return points
    shifted = points - points.min(axis=0)
    return np.rint(shifted / max(float(shifted.max()), 1e-300) * _STEPS) / _STEPS


def _thinned(places: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers of n of the different places (P, d) of `_scaled`, in a fixed order."""
    priority = rng.permutation(len(places))
    # boxes of every size have this corner in common: halves lie within wholes
    corner = places + 1.0 + np.floor(rng.random(places.shape[1]) * _STEPS) / _STEPS
    side = _side(corner, n)
    for parts in range(2, _FINEST + 1):
        candidates = _one_each(corner, side / parts, priority)
        if len(candidates) >= _CHOICE * n:
            break
    scaled = torch.from_numpy(corner[candidates] / side)
    return candidates[_eliminated(scaled, n)]


def _boxes(corner: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
    """The first point of each box that holds points, and the box of each point."""
    return number_rows(np.floor(corner / side).astype(np.int64))


def _side(corner: np.ndarray, n: int) -> float:
    """The largest side, to 1 %, of boxes of which at least n hold points."""
    low = high = 4.0
    while len(_boxes(corner, low)[0]) < n:
        low, high = low / 2, low
    while high / low > 1.01:
        middle = (low * high) ** 0.5
        if len(_boxes(corner, middle)[0]) >= n:
            low = middle
        else:
            high = middle
    return low


def _one_each(corner: np.ndarray, side: float, priority: np.ndarray) -> np.ndarray:
    """One point of each box, that of the lowest priority."""
    first, box = _boxes(corner, side)
    least = np.full(len(first), len(priority))
    np.minimum.at(least, box, priority)
    return np.flatnonzero(priority == least[box])


def _eliminated(points: Tensor, n: int) -> np.ndarray:
    """Numbers of the n points that elimination within the distance 1 leaves."""
    graph = radius_graph(points, points, 1.0)
    a, b = graph.edge_index
    length = (points[a] - points[b]).norm(dim=1).clamp(max=1.0)
    pull = torch.where(a == b, 0.0, (1 - length) ** 8).numpy()
    source, ptr = a.numpy(), graph.ptr.tolist()
    weight = np.bincount(b.numpy(), pull, len(points))
    heap = [(-w, i) for i, w in enumerate(weight.tolist())]
    heapq.heapify(heap)
    left = np.ones(len(points), dtype=bool)
    surplus = len(points) - n
    while surplus:
        key, i = heap[0]
        now = -float(weight[i])
        if now > key:
            # neighbours have gone since it was entered: weights only fall
            heapq.heapreplace(heap, (now, i))
            continue
        heapq.heappop(heap)
        left[i] = False
        surplus -= 1
        run = slice(ptr[i], ptr[i + 1])
        weight[source[run]] -= pull[run]
    return np.flatnonzero(left)
