"""Which boxes of two sets overlap: two trees of boxes, descended together.

Both sets are sorted along a Morton curve and halved again and again: a node of a tree
is a run of boxes, its box their union. A pair of nodes that overlaps is replaced by the
pairs of their halves, all pairs of one level at a time, so that the work is
proportional to the pairs found, whatever the sizes of the boxes are.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from isofield.operators import compiled

AT_ONCE = 1 << 20
# the boxes of both, and the reach of the source or None, of one level
_Level = tuple[Tensor, Tensor, Tensor | None]


class Boxes(NamedTuple):
    """low, high : (S, d) of S boxes. reach : (S,) length, within which they look for
    others; 0 where it is not given."""

    low: Tensor
    high: Tensor
    reach: Tensor | None = None

    @classmethod
    def around(cls, corners: Tensor, margin: float = 0.0) -> Boxes:
        """Of simplices (S, n, d), grown by a share `margin` of their largest side."""
        low, high = corners.amin(1), corners.amax(1)
        more = margin * (high - low).amax(1, keepdim=True)
        return cls(low - more, high + more)


def overlapping(source: Boxes, target: Boxes) -> tuple[Tensor, Tensor]:
    """(P,) (P,) the numbers of all source and target boxes that share a point, or that
    lie within the reach of the source."""
    if not len(source.low) or not len(target.low):
        none = torch.zeros(0, dtype=torch.int64, device=source.low.device)
        return none, none
    low = torch.minimum(source.low.amin(0), target.low.amin(0))
    size = torch.maximum(source.high.amax(0), target.high.amax(0)) - low
    order_s, levels_s = _tree(source, low, size)
    order_t, levels_t = _tree(target, low, size)
    reaches = _reaches(source.reach, order_s, len(levels_s))
    s = t = torch.zeros(1, dtype=torch.int64, device=low.device)
    step = _step
    if low.device.type == "cpu" and compiled.worth(len(order_s) + len(order_t)):
        step = _compiled_step
    for depth in range(1, max(len(levels_s), len(levels_t))):
        # the shallower tree begins to be halved when both have equally many levels left
        at_s = depth - max(len(levels_t) - len(levels_s), 0)
        at_t = depth - max(len(levels_s) - len(levels_t), 0)
        children = (
            levels_s[max(at_s, 0)],
            levels_t[max(at_t, 0)],
            reaches[max(at_s, 0)],
        )
        s, t = step(s, t, at_s > 0, at_t > 0, children)
    return order_s[s], order_t[t]


def _tree(boxes: Boxes, low: Tensor, size: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The boxes in their order, and (2^level, 2, d) the boxes of each level."""
    order = torch.argsort(morton((boxes.low + boxes.high) / 2, low, size))
    return order, levels(Boxes(boxes.low[order], boxes.high[order]))


def levels(boxes: Boxes) -> list[Tensor]:
    """(2^level, 2, d) low and -high of the halves of a run of boxes, of their halves,
    and so on to the boxes themselves."""
    n, d = boxes.low.shape
    depth = max(n - 1, 1).bit_length() if n > 1 else 0
    leaves = boxes.low.new_empty(1 << depth, 2, d)
    leaves[:n, 0], leaves[:n, 1] = boxes.low, -boxes.high
    leaves[n:] = torch.inf  # an empty box: low is inf and high is -inf
    found = [leaves]
    while len(found[-1]) > 1:
        found.append(torch.minimum(found[-1][::2], found[-1][1::2]))
    return found[::-1]


def morton(points: Tensor, low: Tensor, size: Tensor) -> Tensor:
    """(N,) int64, the place of points (N, d) along a Morton curve through a box."""
    d = points.shape[1]
    bits = {1: 31, 2: 31, 3: 20}[d]
    scale = torch.where(size > 0, ((1 << bits) - 1) / size, 0.0)
    if points.device.type == "cpu" and compiled.worth(len(points)):
        from isofield.operators.compiled.ordering import places

        return torch.from_numpy(places(points.numpy(), low.numpy(), scale.numpy()))
    cells = ((points - low) * scale).long()
    key = torch.zeros_like(cells[:, 0])
    for axis in range(d):
        key |= _spread(cells[:, axis], d) << axis
    return key


_STEPS = {
    1: [],
    2: [
        (16, 0x0000FFFF0000FFFF),
        (8, 0x00FF00FF00FF00FF),
        (4, 0x0F0F0F0F0F0F0F0F),
        (2, 0x3333333333333333),
        (1, 0x5555555555555555),
    ],
    3: [
        (32, 0x1F00000000FFFF),
        (16, 0x1F0000FF0000FF),
        (8, 0x100F00F00F00F00F),
        (4, 0x10C30C30C30C30C3),
        (2, 0x1249249249249249),
    ],
}


def _spread(bits: Tensor, d: int) -> Tensor:
    """The bits of numbers with d - 1 zeros between each two."""
    for shift, mask in _STEPS[d]:
        bits = (bits | (bits << shift)) & mask
    return bits


def _step(
    s: Tensor, t: Tensor, halved_s: bool, halved_t: bool, children: _Level
) -> tuple[Tensor, Tensor]:
    """The pairs of children that meet."""
    found = [
        _meeting(
            *_children(s[a : a + AT_ONCE], t[a : a + AT_ONCE], halved_s, halved_t),
            *children,
        )
        for a in range(0, max(len(s), 1), AT_ONCE)
    ]
    s, t = (torch.cat(parts) for parts in zip(*found, strict=True))
    return s, t


def _compiled_step(
    s: Tensor, t: Tensor, halved_s: bool, halved_t: bool, children: _Level
) -> tuple[Tensor, Tensor]:
    from isofield.operators.compiled.descending import meeting

    boxes_s, boxes_t, reach = children
    squared = boxes_s.new_zeros(0) if reach is None else reach
    arrays = (x.numpy() for x in (boxes_s, boxes_t, squared))
    found = meeting(s.numpy(), t.numpy(), halved_s, halved_t, *arrays)
    return torch.from_numpy(found[0]), torch.from_numpy(found[1])


def _children(
    s: Tensor, t: Tensor, halved_s: bool, halved_t: bool
) -> tuple[Tensor, Tensor]:
    """The pairs of halves of pairs of nodes; a tree that waits is not halved."""
    if halved_s:
        s = (2 * s[:, None] + torch.arange(2, device=s.device)).flatten()
        t = t.repeat_interleave(2)
    if halved_t:
        t = (2 * t[:, None] + torch.arange(2, device=t.device)).flatten()
        s = s.repeat_interleave(2)
    return s, t


def _reaches(reach: Tensor | None, order: Tensor, depth: int) -> list[Tensor | None]:
    """The largest reach in each node of each level, squared."""
    if reach is None:
        return [None] * depth
    leaves = reach.new_zeros(1 << (depth - 1))
    leaves[: len(order)] = reach[order] ** 2
    levels = [leaves]
    while len(levels[-1]) > 1:
        levels.append(levels[-1].unflatten(0, (-1, 2)).amax(1))
    return [*levels[::-1]]


def _meeting(
    s: Tensor, t: Tensor, boxes_s: Tensor, boxes_t: Tensor, reach: Tensor | None
) -> tuple[Tensor, Tensor]:
    a, b = boxes_s.index_select(0, s), boxes_t.index_select(0, t)
    # boxes hold low and -high, so low_a <= high_b is low_a + (-high_b) <= 0
    gap = torch.maximum(a[:, 0] + b[:, 1], b[:, 0] + a[:, 1])
    if reach is None:
        meets = (gap <= 0).all(1)
    else:
        meets = gap.clamp(min=0).square().sum(1) <= reach.index_select(0, s)
    rows = meets.nonzero()[:, 0]
    return s[rows], t[rows]
