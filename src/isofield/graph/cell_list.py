"""Neighbours by a cell list in plain torch: sort, search sorted, expand; any device."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from isofield.graph.clouds import Clouds, squared_distance, squared_limit

CANDIDATES_AT_ONCE = 1 << 22
TARGETS_AT_ONCE = 1 << 18


def radius_keys(clouds: Clouds, radius: float, limit: float) -> Tensor:
    """Sorted keys of all edges with distance² <= limit."""
    parts = [key for _, key in _blocks(clouds, radius, limit)]
    return torch.cat([clouds.source_ptr.new_zeros(0), *parts])


def _blocks(
    clouds: Clouds, radius: float, limit: float
) -> Iterator[tuple[tuple[int, int], Tensor]]:
    """Ranges of targets, one after the other, with their sorted keys.

    The candidates held at one time are bounded, whatever the number of pairs.
    """
    source_keys, order, target_keys, offsets = _cells(clouds, radius)
    for start in range(0, len(clouds.target), TARGETS_AT_ONCE):
        around = target_keys[start : start + TARGETS_AT_ONCE, None] + offsets
        first = torch.searchsorted(source_keys, around - 1)
        count = torch.searchsorted(source_keys, around + 1, right=True) - first
        for a, b in _ranges(count.sum(1)):
            row, place = _expanded(first[a:b].flatten(), count[a:b].flatten())
            target = row.div_(len(offsets), rounding_mode="floor").add_(start + a)
            source = order[place]
            near = (
                squared_distance(clouds.target, clouds.source, target, source) <= limit
            )
            key = (target[near] << clouds.bits) + source[near]
            yield (start + a, start + b), key.sort().values


def _cells(clouds: Clouds, radius: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sorted cell keys of the sources and their order, those of the targets, offsets.

    Cells are cubes a little wider than the radius, so that neighbours lie in adjacent
    cells although cell numbers are rounded; they are widened where the cloud is so
    spread out that keys would not fit into 64 bits. The keys of the 3^d cells around a
    cell are its own plus the offsets, each a little range: cells that are adjacent
    along the last axis have adjacent keys.
    """
    points = torch.cat([clouds.source, clouds.target]).double()
    pointers = (clouds.source_ptr, clouds.target_ptr)
    sample = torch.arange(len(clouds.source_ptr) - 1, device=points.device)
    key = torch.cat([torch.repeat_interleave(sample, p.diff()) for p in pointers])
    width = float(radius) * 1.001
    if len(points):
        points -= points.amin(0)
        width = max(width, float(points.max()) * 2.0**-38)
    numbers, sizes = _numbered(points, width)
    while len(sample) * math.prod(sizes) >= 2**62:
        width *= 2
        numbers, sizes = _numbered(points, width)
    for axis, size in enumerate(sizes):
        key = key * size + numbers[:, axis]
    source_keys, order = key[: len(clouds.source)].sort()
    strides = [math.prod(sizes[axis + 1 :]) for axis in range(len(sizes) - 1)]
    steps = itertools.product(*[(-stride, 0, stride) for stride in strides])
    offsets = torch.tensor([sum(step) for step in steps], device=key.device)
    return source_keys, order, key[len(clouds.source) :], offsets


def _numbered(points: Tensor, width: float) -> tuple[Tensor, list[int]]:
    """The cell of each point along each axis, from 1, and one more than the last.

    Where a full grid would be too large, runs of empty cells along an axis shrink to
    one: cells that were adjacent stay adjacent, others stay apart.
    """
    numbers = torch.floor(points / width).long() + 1
    if not len(points):
        return numbers, [2] * points.shape[1]
    sizes = [int(size) + 2 for size in numbers.amax(0)]
    if math.prod(sizes) < 2**40:
        return numbers, sizes
    for axis in range(len(sizes)):
        used, inverse = torch.unique(numbers[:, axis], return_inverse=True)
        steps = used.diff(prepend=used[:1] - 1).clamp(max=2)
        numbers[:, axis] = steps.cumsum(0)[inverse]
        sizes[axis] = int(steps.sum()) + 2
    return numbers, sizes


def _ranges(count: Tensor) -> Iterator[tuple[int, int]]:
    """Ranges of targets with a bounded number of candidates in all, at least one."""
    ends = count.cumsum(0)
    start, taken = 0, 0
    while start < len(count):
        room = torch.searchsorted(ends, taken + CANDIDATES_AT_ONCE, right=True)
        stop = max(int(room), start + 1)
        yield start, stop
        start, taken = stop, int(ends[stop - 1])


def _expanded(first: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """For ranges first to first + count: the number of the range, and each place."""
    ends = count.cumsum(0)
    row = torch.repeat_interleave(
        torch.arange(len(count), device=count.device), count, output_size=int(ends[-1])
    )
    place = torch.arange(len(row), device=count.device) + (first - ends + count)[row]
    return row, place


def nearest_keys(clouds: Clouds, k: int) -> Tensor:
    """Sorted keys of the k nearest sources of each target, ties to the lower number.

    All pairs within a radius hold the k nearest wherever they are at least k; the
    radius doubles for the targets that are left.
    """
    bits = clouds.bits
    rows = torch.arange(len(clouds.target), device=clouds.target.device)
    radius = _first_radius(clouds, k)
    keys = [rows.new_zeros(0)]
    while len(rows):
        some = clouds.with_targets(rows)
        left = []
        limit = squared_limit(radius, clouds.source.dtype)
        for (a, b), found in _blocks(some, radius, limit):
            best, enough = _nearest(some, found, a, b, k)
            keys.append((rows[best >> bits] << bits) + (best & (1 << bits) - 1))
            left.append(rows[a:b][~enough])
        rows, radius = torch.cat(left), 2 * radius
    return torch.cat(keys).sort().values


def _nearest(clouds: Clouds, found: Tensor, a: int, b: int, k: int):
    """Of sorted keys of targets a to b: the k nearest of each that has so many."""
    target, source = found >> clouds.bits, found & (1 << clouds.bits) - 1
    square = squared_distance(clouds.target, clouds.source, target, source)
    by_distance = square.sort(stable=True).indices
    order = by_distance[target[by_distance].sort(stable=True).indices]
    count = torch.bincount(target - a, minlength=b - a)
    first = (count.cumsum(0) - count)[target - a]
    rank = torch.arange(len(found), device=found.device) - first
    enough = count >= k
    return found[order[(rank < k) & enough[target - a]]], enough


def _first_radius(clouds: Clouds, k: int) -> float:
    """A radius at which some targets have k neighbours: the least of a few probes."""
    radius = math.inf
    for s0, s1, t0, t1 in clouds.samples():
        if t0 == t1:
            continue
        probes = clouds.target[t0 : t1 : max(1, (t1 - t0) // 16)]
        for probe in probes.double():
            far = (clouds.source[s0:s1].double() - probe).square().sum(1)
            radius = min(radius, float(far.kthvalue(k).values) ** 0.5)
    tiny = torch.finfo(clouds.source.dtype).tiny ** 0.5
    both = torch.cat([clouds.source, clouds.target]).double()
    spread = float((both.amax(0) - both.amin(0)).max()) if len(both) else 0.0
    return max(radius if math.isfinite(radius) else 1.0, spread * 2.0**-30, 8 * tiny)
