"""Attention among slices: soft parts of the domain, averaged in the measure."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from isofield.discretization import Discretization
from isofield.layers.attention import check_heads


class SliceAttention(nn.Module):
    """Points to slices, attention among the slices, and back to the points.

        s_g(x) = softmax_g(A u(x)),   z_g = int s_g V u dmu / int s_g dmu,
        z' = z + attention of z to z,   v(x) = O sum_g s_g(x) z'_g

    in every head on its own; g = 1..G are slices, a partition of unity that follows the
    features. Slice means carry the weights of the points: summed over bare points they
    would depend on where a mesh is fine, by a share that does not fall under
    refinement. What a slice holds does not depend on its size, and one of next to no
    measure still has its mean: sums are taken of `s_g` over its largest value.

    The same slices are known wherever features are: `shares`, `tokens` and `spread` are
    the steps, so that a field on one point set is seen from another.

    channels : C. heads : H, a divisor of C. slices : G.

    Error O(h^2) from lumped weights; no position enters, so motions of the body change
    nothing. Cost N C (2 C + (H + 2) G), memory N H G; attention itself costs C G^2.
    Raises `ValueError` for heads that do not divide C, and for less than one slice.
    Source: Wu et al., Transolver, arXiv:2402.02366, there without weights.
    """

    def __init__(self, channels: int, *, heads: int = 4, slices: int = 32) -> None:
        super().__init__()
        check_heads(heads, channels)
        if slices < 1:
            raise ValueError(f"slices: expected at least 1, got {slices}")
        self.heads = heads
        self.assign = nn.Linear(channels, heads * slices)
        self.value = nn.Linear(channels, channels)
        self.exchange = nn.Linear(channels // heads, 3 * (channels // heads))
        self.project = nn.Linear(channels, channels)
        with torch.no_grad():
            # features of size 1 make exponents of size 2, slices that differ, and
            # values and updates of size 1
            self.assign.weight.normal_(0, 2 * channels**-0.5)
            self.value.weight.normal_(0, channels**-0.5)
            self.project.weight.normal_(0, channels**-0.5)

    def forward(self, u: Tensor, domain: Discretization) -> Tensor:
        """(N, C) on the points of `domain` -> (N, C)."""
        shares = self.shares(u)
        return self.spread(shares, self.tokens(u, shares, domain), domain)

    def shares(self, u: Tensor) -> Tensor:
        """`log s_g`, (N, H, G), of features (N, C) at any points."""
        logits = self.assign(u).unflatten(1, (self.heads, -1))
        return logits.log_softmax(2)

    def tokens(self, u: Tensor, shares: Tensor, domain: Discretization) -> Tensor:
        """`z'`, (B, H, G, C / H): means of the slices after attention among them.

        Means are in the precision of the weights, under autocast too.
        """
        values = self.value(u).unflatten(1, (self.heads, -1))
        with torch.autocast(u.device.type, enabled=False):
            weights = domain.weights
            counts = domain.ptr.diff().tolist()
            parts = (t.to(weights).split(counts) for t in (shares, values, weights))
            means = torch.stack(
                [slice_means(*sample) for sample in zip(*parts, strict=True)]
            )
        means = means.to(u.dtype)
        q, k, v = self.exchange(means).chunk(3, 3)
        return means + scaled_dot_product_attention(q, k, v)

    def spread(self, shares: Tensor, tokens: Tensor, at: Discretization) -> Tensor:
        """`O sum_g s_g z'_g`, (M, C), at points with these shares (M, H, G)."""
        spread = [
            part.exp().transpose(0, 1) @ z
            for part, z in zip(
                shares.split(at.ptr.diff().tolist()), tokens.to(shares), strict=True
            )
        ]
        return self.project(torch.cat(spread, 1).transpose(0, 1).flatten(1))


def slice_means(shares: Tensor, values: Tensor, weights: Tensor) -> Tensor:
    """`sum_i w_i s_g(x_i) v_i / sum_i w_i s_g(x_i)` of one sample, by heads.

    shares : log s_g, (N, H, G). values : (N, H, D). weights : (N,). Returns (H, G, D).
    """
    largest = shares.detach().amax(0)
    s = (shares - largest).exp() * weights[:, None, None]
    return s.permute(1, 2, 0) @ values.transpose(0, 1) / s.sum(0)[:, :, None]
