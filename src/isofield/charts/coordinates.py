"""Coordinates of neighbours in the chart around each target."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from isofield.charts.frames import frames as default_frames
from isofield.discretization import Discretization
from isofield.graph import Graph, radius_graph

# Normals of neighbours turn by less than the angle with this cosine, 104°: around a
# right-angled edge whatever the rounding, never to the other side of a plate.
_TURN = -1 / 4
# A chord is no longer than the path. More than this factor, and by more than what a
# point off the sheet by this share of the radius adds, and it leaves the sheet.
_CHORD = 4 / 3
_OFF = 1 / 4

AT_ONCE = 1 << 16  # pairs: what belongs to them stays near the processor


class Chart(NamedTuple):
    """graph : E pairs within the radius, measured within the domain. coordinates : u,
    (E, m), of each source around its target over the radius, |u| <= 1."""

    graph: Graph
    coordinates: Tensor


def chart_dimension(domain: Discretization) -> int:
    """m: that of the points, or one less where they have normals."""
    return domain.dimension - (domain.normals is not None)


def local_coordinates(
    source: Discretization,
    target: Discretization,
    radius: float,
    *,
    frames: Tensor | None = None,
    graph: Graph | None = None,
    edges: Graph | None = None,
) -> Chart:
    """Who is near whom within the domain, and where: `u = log_x(y) / r`.

    In the plane and in space `u = (y - x)/r`. Where the points have normals, so lie on
    a surface in space or a curve in the plane, with d = y - x and beta the angle
    between the normals,

        log_x(y) = s F^T v_x,   v_x = P_x d + (beta / sin beta - 1) b (b . d),
        b sin beta = P_x n_y,   s = sqrt((|v_x|² + |v_y|²) / (2 |v_x|²)),

    P_x the projection onto the tangent plane at x and F a frame of it, v_y as v_x from
    the other side: of the chord's projection the part along b, to which the normal
    turns, is stretched from a sine to its arc. Exact on spheres, on cylinders and on
    what is flat. Elsewhere the length, which is the same from both sides, has the error
    O(t⁵) at the distance t, the direction O(t³). Where normals come from a mesh, their
    error adds to it. A sharp edge counts as an arc between its sides: at a right angle,
    both points at the distance a from it, the length is 1.57 a instead of 2 a.

    A source is a neighbour where chord and logarithm are at most r long and it lies on
    the same sheet: the normals turn by less than 104°, the chord is at most 4/3 of the
    logarithm or its square longer by at most (r/4)² (means of points on a curved sheet
    lie off it) and, where `edges` are given, a path along them joins both within these
    neighbours.
    Sheets whose normals are opposite (two sides of a plate) never see each other; those
    with like normals (a roll) do if they are closer than 2/3 r, unless `edges` are
    given.

    source, target : N and M points, both with normals or both without. radius : r,
    length. frames : (M, d, d - 1) of the targets, `isofield.charts.frames` where not
    given. graph : the pairs to choose from, `radius_graph` where not given. edges :
    pairs of sources joined within the surface, both ways, as `mesh_graph` gives them.

    Computed in float64, returned in the precision of the source; differentiable in
    points and normals.

    Raises `ValueError` where one side has normals and the other has none.
    """
    if (source.normals is None) != (target.normals is None):
        raise ValueError(
            "expected normals at sources and targets or at neither, got them at the "
            f"{'targets' if source.normals is None else 'sources'} alone; pass targets "
            "with normals, or the sources themselves"
        )
    graph = radius_graph(source, target, radius) if graph is None else graph
    if source.normals is None or target.normals is None:
        from_, to = graph.edge_index
        step = source.points.double()[from_] - target.points.double()[to]
        return Chart(graph, (step / radius).to(source.points.dtype))
    frames = default_frames(target.normals) if frames is None else frames
    sites = (
        _Sites(source.points.double(), source.normals.double()),
        _Sites(target.points.double(), target.normals.double()),
    )
    parts = [
        _measured(*sites, frames.double(), pairs)
        for pairs in graph.edge_index.split(AT_ONCE, 1)
    ]
    pairs, logarithm = (torch.cat([p[k] for p in parts], 1 - k) for k in (0, 1))
    chord = torch.cat([part[2] for part in parts])
    graph = Graph(pairs, graph.n_sources, graph.n_targets)
    length = logarithm.detach().square().sum(1)
    on_sheet = (chord <= _CHORD**2 * length) | (chord <= length + (_OFF * radius) ** 2)
    kept = (torch.maximum(chord, length) <= radius**2) & on_sheet
    if edges is not None:
        kept = _connected(graph, kept, chord, edges)
    u = (logarithm[kept] / radius).to(source.points.dtype)
    pairs = graph.edge_index[:, kept]
    return Chart(Graph(pairs, graph.n_sources, graph.n_targets), u)


class _Sites(NamedTuple):
    """Points and normals, (N, d) float64."""

    points: Tensor
    normals: Tensor


def _measured(
    source: _Sites, target: _Sites, frames: Tensor, pairs: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Those of the pairs (2, E) whose normals do not turn too far, their logarithms
    (E, m), length, and squared chords (E,)."""
    with torch.no_grad():
        alike = source.normals[pairs[0]] * target.normals[pairs[1]]
        pairs = pairs[:, alike.sum(1) > _TURN]
    from_, to = pairs
    step = source.points[from_] - target.points[to]
    n_y, n_x = source.normals[from_], target.normals[to]
    here, there = _stretched(step, n_x, n_y), _stretched(step, n_y, n_x)
    a, b = (v.square().sum(1, keepdim=True) for v in (here, there))
    apart = a > 0
    even = torch.where(apart, (a + b) / torch.where(apart, 2 * a, 1.0), 1.0).sqrt()
    logarithm = torch.einsum("ed,edk->ek", here * even, frames[to])
    return pairs, logarithm, step.detach().square().sum(1)


def _stretched(step: Tensor, normal: Tensor, other: Tensor) -> Tensor:
    """v: the projection of the chord onto a tangent plane, with sines made arcs."""
    turn = _projected(other, normal)
    cosine = (normal * other).sum(1, keepdim=True)
    stretch = _arc(turn.square().sum(1, keepdim=True), cosine)
    return _projected(step, normal) + stretch * turn * (turn * step).sum(
        1, keepdim=True
    )


def _projected(vectors: Tensor, normal: Tensor) -> Tensor:
    return vectors - normal * (vectors * normal).sum(1, keepdim=True)


def _arc(square: Tensor, cosine: Tensor) -> Tensor:
    """`(beta / sin beta - 1) / sin² beta` for sin² beta and cos beta of an angle below
    180°; by its series near 0, where digits would cancel."""
    small = (square < 1e-3) & (cosine > 0)
    series = 1 / 6 + square * (3 / 40 + square * (5 / 112 + square * 35 / 1152))
    sine = torch.where(small, 1.0, square).sqrt()
    angle = torch.atan2(sine, torch.where(small, 0.0, cosine))
    return torch.where(small, series, (angle / sine - 1) / (sine * sine))


def _connected(graph: Graph, kept: Tensor, chord: Tensor, edges: Graph) -> Tensor:
    """(E,) the kept pairs that edges join to the nearest kept source of their target.

    From pair to pair along all edges at once, as often as the longest path has edges.
    """
    number = kept.nonzero()[:, 0]
    from_, to = graph.edge_index[:, number]
    key = to * graph.n_sources + from_
    nearest = torch.full((graph.n_targets,), torch.inf, dtype=chord.dtype)
    nearest = nearest.to(chord.device).scatter_reduce(0, to, chord[number], "amin")
    reached = chord[number] == nearest[to]
    degree = edges.degree()
    front = reached.nonzero()[:, 0]
    while len(front):
        count = degree[from_[front]]
        start = edges.ptr[from_[front]] - (count.cumsum(0) - count)
        along = torch.arange(int(count.sum()), device=front.device)
        along = edges.source[along + start.repeat_interleave(count)]
        wanted = to[front].repeat_interleave(count) * graph.n_sources + along
        place = torch.searchsorted(key, wanted).clamp(max=len(key) - 1)
        front = place[(key[place] == wanted) & ~reached[place]].unique()
        reached[front] = True
    joined = torch.zeros_like(kept)
    joined[number[reached]] = True
    return joined
