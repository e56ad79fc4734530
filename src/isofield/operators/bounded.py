"""Projected fields brought back between bounds without a change of their integral."""

from __future__ import annotations

import torch
from torch import Tensor

from isofield.operators.sparse import SparseOperator, TransferError

Bound = float | Tensor | None

# halvings of the interval of the shift, after which it is known to rounding
HALVINGS = 100


def bounded(
    operator: SparseOperator, u: Tensor, low: Bound = None, high: Bound = None
) -> Tensor:
    """The field between bounds that is nearest to `operator(u)` and has its integral.

        min sum_i w_i (v_i - p_i)^2,   low <= v <= high,   sum w v = sum w p,   p = A u

    w the target's weights. The solution is `v = clip(p + shift, low, high)` with one
    shift for each component, so a field within its bounds stays as it is; a projection
    on a convex set, v is no further than p from any field that keeps the same bounds
    and integral. On linear simplices values between bounds at the points stay between
    them everywhere.

    u : (N, ...) floating, finite. low, high : numbers or tensors that broadcast with
    (M, ...), where not given the least and the largest value of each component of u.
    Returns (M, ...), differentiable in u; targets that miss a value stay NaN. Cost:
    that of the operator and 100 sums.

    Raises `TransferError` where the target has no positive weights (as for degree 2,
    whose values at the points do not bound the field), and where no field between the
    bounds has that integral.

    Source: P. B. Bochev, D. Ridzal, M. Shashkov, "Fast optimization-based conservative
    remap of scalar fields", 2013, doi:10.1016/j.jcp.2013.03.040.
    """
    if operator.target is None:
        raise TransferError(
            f"{operator.method}: expected a target with positive weights to keep the "
            "integral in, this one has none: take degree=1"
        )
    p = operator(u)
    given, flat = u.detach().reshape(len(u), -1), p.reshape(len(p), -1).double()
    least = _limit(low, p, flat, given.amin(0))
    most = _limit(high, p, flat, given.amax(0))
    if bool((least > most).any()):
        raise TransferError("low: expected no value above `high`, got some")
    kept = ~operator.missing
    weights = operator.target.weights.double()[kept, None]
    v = _nearest(flat[kept], weights, least[kept], most[kept])
    result = torch.full_like(flat, torch.nan).index_put((kept.nonzero()[:, 0],), v)
    return result.to(p.dtype).reshape(p.shape)


def _limit(limit: Bound, p: Tensor, flat: Tensor, own: Tensor) -> Tensor:
    """(M, C) what the user gave, or the range of the source."""
    if limit is None:
        return own.to(flat).expand_as(flat)
    given = torch.as_tensor(limit, dtype=flat.dtype, device=flat.device)
    return given.broadcast_to(p.shape).reshape(flat.shape)


def _nearest(p: Tensor, weights: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The solution for (K, C) values; its integral grows with the shift."""
    total = (weights * p).sum(0)
    outer = ((weights * low).sum(0), (weights * high).sum(0))
    rounding = 1e-12 * (weights * p.abs()).sum(0)
    bad = (total < outer[0] - rounding) | (total > outer[1] + rounding)
    if bool(bad.any()):
        k = int(bad.nonzero()[0])
        raise TransferError(
            f"no field between the bounds has the integral {float(total[k]):.6g} of "
            f"component {k}: they allow {float(outer[0][k]):.6g} to "
            f"{float(outer[1][k]):.6g}"
        )
    shift = _shift(p.detach(), weights, low, high, total.detach())
    moved = p + shift
    free = (moved > low) & (moved < high)
    v = torch.clamp(moved, low, high)
    # what the halvings leave, and the derivative of the shift
    slack = total - (weights * v).sum(0)
    size = (weights * free).sum(0)
    better = torch.clamp(v + torch.where(size > 0, slack / size, 0.0), low, high)
    return torch.where(free, better, v)


def _shift(
    p: Tensor, weights: Tensor, low: Tensor, high: Tensor, total: Tensor
) -> Tensor:
    """(C,) the shift after which the clipped values have the integral `total`."""
    inside = ((p >= low) & (p <= high)).all(0)
    a, b = (low - p).amin(0), (high - p).amax(0)
    for _ in range(HALVINGS):
        middle = (a + b) / 2
        short = (weights * torch.clamp(p + middle, low, high)).sum(0) < total
        a, b = torch.where(short, middle, a), torch.where(short, b, middle)
    return torch.where(inside, 0.0, (a + b) / 2)
