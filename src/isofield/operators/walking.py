"""Points in meshes of linear simplices: from simplex to simplex, along a curve."""

from __future__ import annotations

import torch
from torch import Tensor

from isofield.operators.inverses import Simplices
from isofield.operators.supermesh.boxes import Boxes, levels, morton

# a point this deep in a simplex lies in no other
DEEP = 1e-8
MOST = 64  # steps


def walked(
    simplices: Simplices, nodes: Tensor, points: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The simplex (M,) and the reference coordinates (M, d) of points that lie deep in
    one, and the numbers of the others.

    Each point starts in the simplex that is next to it along a Morton curve and
    crosses, again and again, the facet beyond which it lies furthest.
    """
    cell = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    reference = torch.zeros_like(points)
    open_, at = _starts(simplices, points)
    neighbour = neighbours(nodes)
    rest = []
    for _ in range(MOST):
        xi = simplices(points.index_select(0, open_), at)
        first = 1 - xi.sum(1, keepdim=True)
        depth, side = torch.cat([first, xi], 1).min(1)
        deep = depth > DEEP
        done = deep.nonzero()[:, 0]
        numbers = open_[done]
        cell[numbers], reference[numbers] = at[done], xi[done]
        further = neighbour[at, side]
        # NaN, of a simplex without measure, compares as False
        goes = ((depth < -DEEP) & (further >= 0)).nonzero()[:, 0]
        stays = (~deep & ~((depth < -DEEP) & (further >= 0))).nonzero()[:, 0]
        rest.append(open_[stays])
        open_, at = open_[goes], further[goes]
        if not len(open_):
            break
    return cell, reference, torch.cat([*rest, open_])


def _starts(simplices: Simplices, points: Tensor) -> tuple[Tensor, Tensor]:
    """The points (M,) along the curve, and a simplex (M,) next to each."""
    low, high = points.amin(0), points.amax(0)
    key = morton(simplices.centre.clamp(low, high), low, high - low)
    own = morton(points, low, high - low)
    key, order = torch.sort(key)
    own, sorted_points = torch.sort(own)
    start = torch.searchsorted(key, own)
    return sorted_points, order[start.clamp(max=len(order) - 1)]


def neighbours(nodes: Tensor) -> Tensor:
    """(T, m + 1) the simplex across the facet opposite to each corner, -1 for none."""
    count, n = nodes.shape
    others = [torch.cat([nodes[:, :k], nodes[:, k + 1 :]], 1) for k in range(n)]
    facets = torch.stack(others, 1).view(count * n, n - 1).sort(1).values
    number = facets[:, 0]
    for column in facets.unbind(1)[1:]:
        _, number = torch.unique(
            number * (nodes.max() + 1) + column, return_inverse=True
        )
    order = torch.argsort(number, stable=True)
    same = number[order][1:] == number[order][:-1]
    a, b = order[:-1][same], order[1:][same]
    result = torch.full_like(number, -1)
    result[a], result[b] = b // n, a // n
    return result.view(count, n)


def located(
    places: Tensor, nodes: Tensor, boxes: Boxes, points: Tensor
) -> tuple[Tensor, Tensor]:
    """The simplex (M,), -1 for none, and the reference coordinates (M, d) of all points
    on the CPU, compiled; those that do not lie deep are looked up in a tree.

    places : (N, d), nodes : (T, d + 1), boxes : of the simplices.
    """
    from isofield.operators.compiled import walking

    low, size = places.amin(0), places.amax(0) - places.amin(0)
    order = torch.argsort(morton((boxes.low + boxes.high) / 2, low, size))
    nodes = nodes[order]
    simplices = Simplices(places[nodes])
    across = torch.from_numpy(walking.neighbours(nodes.numpy()))
    table = torch.cat([simplices.origin, simplices.inverse.flatten(1), across], 1)
    tree = torch.cat(levels(Boxes(boxes.low[order], boxes.high[order])))
    low, size = points.amin(0), points.amax(0) - points.amin(0)
    reference = torch.zeros_like(points)
    cell = walking.located(
        points.numpy(),
        torch.argsort(morton(points, low, size)).numpy(),
        table.numpy(),
        simplices.tolerance.numpy(),
        order.numpy(),
        tree.numpy(),
        tuple(range(points.shape[1])),
        DEEP,
        reference.numpy(),
    )
    return torch.from_numpy(cell), reference
