"""Combinations of functions that fit a field around each target, in the measure."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from isofield.bases import Basis, ZernikeBasis
from isofield.operators.moving_least_squares import DegreeWarning
from isofield.operators.patches import Patches

AT_ONCE = 1 << 20
# smallest eigenvalue of the Gram matrix, against the largest, that a fit may rest on
CONDITION = 1e-8


class _Block(NamedTuple):
    """K targets with up to n neighbours. rows : (K,). slot : (K, n) their pairs, and
    which of them are real. functions : (K, n, B), of mean square 1 over the ball.
    weight : (K, n), of sum 1."""

    rows: Tensor
    slot: Tensor
    real: Tensor
    functions: Tensor
    weight: Tensor


def fitted(patches: Patches, basis: Basis) -> tuple[Tensor, Tensor]:
    """(E, B) the entries of `G^-1 phi omega w`, and (M,) how many functions are fitted.

        min_c sum_j omega(u_ij) w_j (sum_b c_b phi_b(u_ij) - v_j)^2

    G is the Gram matrix of the functions, scaled to mean square 1 over the ball. Where
    its smallest eigenvalue is below 1e-8 of the largest (few neighbours, a thin
    corner), a Zernike basis falls to the highest degree where it is not; of other bases
    the eigenvectors with such eigenvalues are left out. A `DegreeWarning` counts these
    targets. Float64; one step of iterative refinement, so that the functions themselves
    are found to rounding times the root of the condition. Differentiable in coordinates
    and weights.

    Raises `ValueError` for a basis that is learned, and where derivatives are asked for
    and eigenvectors are left out.
    """
    if any(parameter.requires_grad for parameter in basis.parameters()):
        raise ValueError(
            "a learned basis cannot be fitted, its functions may become dependent: "
            "take mode 'integral' or 'shepard'"
        )
    graph = patches.pairs.graph
    values = patches.weights.new_zeros(graph.n_edges, basis.size, dtype=torch.float64)
    count = torch.zeros(graph.n_targets, dtype=torch.int64, device=values.device)
    scale = basis.mean_squares().to(values.device).rsqrt()
    for block in _blocks(patches, basis, scale):
        entries, count[block.rows] = _solved(block, basis)
        pairs = (block.slot[block.real],)
        values = values.index_put_(pairs, entries[block.real] * scale)
    _warn_of_lower_degrees(count, graph.degree(), basis.size)
    return values, count


def _blocks(patches: Patches, basis: Basis, scale: Tensor) -> Iterator[_Block]:
    """Targets with equally many neighbours, up to a power of two, together."""
    graph, u = patches.pairs.graph, patches.coordinates.double()
    weights = basis.window(u) * patches.weights.double()
    count = graph.degree()
    size = torch.where(count > 0, torch.log2(count.double()).ceil(), -1.0)
    for value in size[size >= 0].unique():
        rows = (size == value).nonzero()[:, 0]
        most = int(count[rows].max())
        for block in rows.split(max(1, AT_ONCE // (most * basis.size))):
            slot = graph.ptr[block][:, None] + torch.arange(most, device=u.device)
            real = slot < graph.ptr[block + 1][:, None]
            slot = torch.where(real, slot, 0)
            weight = torch.where(real, weights[slot], 0.0)
            mass = weight.sum(1, keepdim=True)
            weight = weight / torch.where(mass > 0, mass, 1.0)
            yield _Block(block, slot, real, basis.functions(u[slot]) * scale, weight)


def _solved(block: _Block, basis: Basis) -> tuple[Tensor, Tensor]:
    """(K, n, B) the entries for scaled functions, and (K,) how many are fitted."""
    moments = (block.functions * block.weight[:, :, None]).transpose(1, 2)
    gram = moments @ block.functions
    if isinstance(basis, ZernikeBasis):
        inverse, kept = _of_lower_degree(gram, basis.modes[:, 0].to(gram.device))
    else:
        inverse, kept = _of_fewer_directions(gram)
    entries = inverse @ moments
    # Newton's step for a left inverse: what is kept comes out as it went in
    entries = entries + (kept - entries @ block.functions) @ entries
    count = kept.detach().diagonal(dim1=1, dim2=2).sum(1).round().long()
    return entries.transpose(1, 2), count


def _of_lower_degree(gram: Tensor, degree: Tensor) -> tuple[Tensor, Tensor]:
    """(K, B, B) the inverse on the functions up to the highest degree where it is well
    conditioned, and the projector onto these functions."""
    kept = torch.zeros(gram.shape[:2], dtype=torch.bool, device=gram.device)
    open_ = torch.arange(len(gram), device=gram.device)
    for p in range(int(degree.max()), -1, -1):
        size = int((degree <= p).sum())  # functions are sorted by degree
        eigenvalues = torch.linalg.eigvalsh(gram.detach()[open_, :size, :size])
        good = eigenvalues[:, 0] > CONDITION * eigenvalues[:, -1]
        kept[open_[good], :size] = True
        open_ = open_[~good]
        if not len(open_):
            break
    both = kept[:, :, None] & kept[:, None, :]
    one = torch.eye(gram.shape[1]).to(gram)
    inverse = torch.linalg.inv(torch.where(both, gram, one))
    return torch.where(both, inverse, 0.0), one * both


def _of_fewer_directions(gram: Tensor) -> tuple[Tensor, Tensor]:
    """The same on the span of the eigenvectors of eigenvalues that are large enough."""
    eigenvalues, vectors = torch.linalg.eigh(gram.detach())
    good = eigenvalues > CONDITION * eigenvalues[:, -1:]
    whole = good.all(1)[:, None, None]
    if gram.requires_grad and not bool(whole.all()):
        raise ValueError(
            f"{int((~whole).sum())} targets see too few points to tell all functions "
            "apart, and a fit to fewer has no derivative in the points: take a larger "
            "radius or fewer functions"
        )
    one = torch.eye(gram.shape[1]).to(gram)
    share = torch.where(good, 1 / torch.where(good, eigenvalues, 1.0), 0.0)
    part = (vectors * share[:, None]) @ vectors.transpose(1, 2)
    inverse = torch.linalg.inv(torch.where(whole, gram, one))
    projector = (vectors * good[:, None]) @ vectors.transpose(1, 2)
    return torch.where(whole, inverse, part), torch.where(whole, one, projector)


def _warn_of_lower_degrees(count: Tensor, degree: Tensor, size: int) -> None:
    lower = count[(count < size) & (degree > 0)]
    if len(lower):
        warnings.warn(
            f"{len(lower)} of {len(count)} targets have too few neighbours, or badly "
            f"placed ones, for all {size} functions: between {int(lower.min())} and "
            f"{int(lower.max())} are fitted there (facts['functions'])",
            DegreeWarning,
            stacklevel=5,
        )
