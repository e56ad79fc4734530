"""A neural operator that is linear in its sources, as Green's function is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from isofield.discretization import Discretization
from isofield.layers.block import Block
from isofield.layers.fitted_fourier_conv import FittedFourierConv, FittedPlan
from isofield.layers.fourier_conv import (
    FourierConv,
    FourierPlan,
    Waves,
    amplitudes,
    waves_at,
)
from isofield.layers.kernel_integral import KernelPlan
from isofield.layers.local_mean import LocalMean
from isofield.layers.moments import domain_moments, n_moments
from isofield.layers.operator import Operator
from isofield.layers.pointwise import pointwise
from isofield.layers.pooling import PoolingPlan, lattice_pooling, pool
from isofield.plan import Plan


@dataclass(frozen=True, eq=False)
class GreenPlan(Plan):
    """fine : pooling of the source to half the spacing, for what is not linear. base :
    of that to the spacing. fitted : from the source to the base, source_at_target : its
    waves at the target. within : from the base to itself, at_target : its waves at the
    target. mean : from the fine points to the target. base_shape, target_shape :
    positions and moments of the domain there."""

    fine: PoolingPlan
    base: PoolingPlan
    fitted: FittedPlan
    source_at_target: Waves
    within: FourierPlan
    at_target: Waves
    mean: KernelPlan
    base_shape: Tensor
    target_shape: Tensor


class GreenOperator(Operator):
    """`v(x) = int G(x, y; shape, a) f(y) dmu(y)`: linear in f, in nothing else.

        c = amplitudes of waves that fit f,   v_0 = F_0 c,
        v_(k+1) = v_k + B_k (1 + g_k) A_k (v_k, F_k v_k),
        output = B (1 + g) A (F v_n, F' c) + D (F v_n, F' c)

    F are convolutions by Fourier modes, those of c with all `modes`, those between with
    `inner` ones; A, B, D are matrices without bias, and the factors g functions of the
    shape and of the other inputs a, by a network that is not linear (`FourierConv`,
    norms, pointwise networks of positions, moments and a). Doubling f doubles the
    output and zero gives zero, for any weights. Where the equations are linear in f
    (sources, loads, data at the boundary), a few samples then tell what many must tell
    a network that may be anything.

    in_channels, out_channels : of the fields. dimension : d. linear : channels of f
    among the inputs. measure_dimension : 2 for surfaces in space, d where it is not
    given. radius : of the moments of the shape, at least three spacings of the coarsest
    mesh, in the scaled coordinates; the base has the spacing H = radius / 3. period :
    of the waves. modes, inner : along a period; inner ones fewer where the shortest
    would be less than 2 H. width, context : channels of v and of the factors. blocks :
    their number. noise : see `WaveFit`; `observe` tells what sources to expect.

    Output at any target points; nothing of the size of a mesh is learned.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dimension: int,
        *,
        linear: Sequence[int],
        measure_dimension: int | None = None,
        radius: float = 0.18,
        period: float = 1.3,
        modes: int = 12,
        inner: int = 8,
        width: int = 32,
        context: int = 32,
        blocks: int = 4,
        noise: float = 1e-6,
    ) -> None:
        super().__init__()
        self.linear, self.other = _parted(linear, in_channels)
        self.radius = radius
        self.measure_dimension = measure_dimension
        inner = min(inner, int(period * 3 / (2 * radius)))
        shape = dimension + 2 * n_moments(dimension)
        size = {"measure_dimension": measure_dimension}
        full = (len(self.linear), width, dimension, period)
        within = {**size, "modes": inner}
        self.first = FittedFourierConv(*full, modes=modes, noise=noise, **size)
        self.direct = FourierConv(*full, modes=modes, **size)
        self.lift = pointwise(len(self.other), context, context)
        self.shape = pointwise(shape, context, context)
        self.factors = Block(
            context, FourierConv(context, context, dimension, period, **within)
        )
        self.blocks = nn.ModuleList(
            _LinearBlock(width, context, dimension, period, **within)
            for _ in range(blocks)
        )
        self.last = FourierConv(width, width, dimension, period, **within)
        self.last_factors = FourierConv(context, context, dimension, period, **within)
        self.mean = LocalMean(radius / 3, measure_dimension)
        known = shape + 2 * context if self.other else shape + context
        self.at_target = pointwise(known, context, context)
        self.project = _Gated(2 * width, 2 * width, out_channels, context)
        self.skip = nn.Linear(2 * width, out_channels, bias=False)

    def prepare(self, source: Discretization, target: Discretization) -> GreenPlan:
        """Fit, poolings, waves and moments, in the precision of the points."""
        fine = lattice_pooling(source, self.radius / 6)
        base = lattice_pooling(fine.coarse, self.radius / 3)
        inner = self.last.prepare(base.coarse, target)
        return GreenPlan(
            fine,
            base,
            self.first.prepare(source, base.coarse),
            waves_at(target, self.direct.numbers),
            FourierPlan(inner.source, inner.source),
            inner.target,
            self.mean.prepare(fine.coarse, target),
            self._moments(fine.coarse, base.coarse, base.coarse),
            self._moments(fine.coarse, base.coarse, target),
        )

    def _moments(
        self, fine: Discretization, base: Discretization, at: Discretization
    ) -> Tensor:
        """Positions, and moments over balls of six spacings of the lattices."""
        m = self.measure_dimension
        near = domain_moments(fine, at, self.radius, m)
        far = domain_moments(base, at, 2 * self.radius, m)
        return torch.cat([at.points, near, far], 1)

    def observe(
        self, domains: Sequence[Discretization], inputs: Iterable[Tensor]
    ) -> None:
        """What sources to expect: inputs (N, C_in) on each of several domains."""
        self.first.fit.observe(domains, [u[:, self.linear] for u in inputs])

    def forward(self, u: Tensor, plan: GreenPlan) -> Tensor:
        """(N, C_in) at the source points -> (M, C_out) at the target points."""
        base, at_base = plan.within.source.domain, plan.within.source
        f = u[:, self.linear].to(plan.fitted.dual)
        with torch.autocast(u.device.type, enabled=False):
            c = amplitudes(f, plan.fitted.dual, plan.fitted.source)
        lifted = pool(self.lift(u[:, self.other]), plan.fine)
        g = self.shape(plan.base_shape) + pool(lifted, plan.base)
        g = self.factors(g, base, plan.within)
        v = self.first.synthesis(c, plan.fitted.target)
        for block in self.blocks:
            v = block(v, g, plan.within)
        to_target = FourierPlan(at_base, plan.at_target)
        known = [plan.target_shape, self.last_factors(g, to_target)]
        if self.other:
            known.append(self.mean(lifted, plan.mean))
        decoded = [
            self.last(v, to_target),
            self.direct.synthesis(c, plan.source_at_target),
        ]
        features = torch.cat(decoded, 1)
        g = self.at_target(torch.cat(known, 1))
        return self.project(features, g) + self.skip(features)


def _parted(linear: Sequence[int], in_channels: int) -> tuple[list[int], list[int]]:
    chosen = sorted(set(linear))
    if not chosen or chosen[0] < 0 or chosen[-1] >= in_channels:
        raise ValueError(
            f"linear: expected at least one of the channels 0 to {in_channels - 1} in "
            f"which the output is linear, got {list(linear)}"
        )
    return chosen, [i for i in range(in_channels) if i not in chosen]


class _Gated(nn.Module):
    """`B (1 + g) A v`, linear in v, g a pointwise network of the context."""

    def __init__(
        self, in_channels: int, hidden: int, out_channels: int, context: int
    ) -> None:
        super().__init__()
        self.first = nn.Linear(in_channels, hidden, bias=False)
        self.factors = pointwise(context, context, hidden)
        self.second = nn.Linear(hidden, out_channels, bias=False)

    def forward(self, v: Tensor, context: Tensor) -> Tensor:
        return self.second(self.first(v) * (1 + self.factors(context)))


class _LinearBlock(nn.Module):
    """`v + B (1 + g) A (v, F v)`."""

    def __init__(self, width: int, context: int, *waves: float, **options: int) -> None:
        super().__init__()
        self.conv = FourierConv(width, width, *waves, **options)  # type: ignore[arg-type]
        self.mix = _Gated(2 * width, 2 * width, width, context)

    def forward(self, v: Tensor, context: Tensor, within: FourierPlan) -> Tensor:
        return v + self.mix(torch.cat([v, self.conv(v, within)], 1), context)
