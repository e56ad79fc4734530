"""A neural operator that is linear in its sources, as Green's function is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from isofield.discretization import Discretization
from isofield.layers.block import Block
from isofield.layers.fourier_conv import (
    Filter,
    FourierConv,
    FourierPlan,
    Waves,
    amplitudes,
    waves_at,
)
from isofield.layers.kernel_integral import KernelPlan
from isofield.layers.local_mean import LocalMean
from isofield.layers.moments import n_moments, shape_features
from isofield.layers.operator import Operator
from isofield.layers.pointwise import pointwise
from isofield.layers.pooling import PoolingPlan, lattice_pooling, pool, pool_lifted
from isofield.layers.wave_fit import WaveFit
from isofield.plan import Plan

# along a period, by dimension: 25, 221 and 258 waves of the fit, 17, 99 and 129 inner
MODES = {1: 24, 2: 12, 3: 5}
INNER = {1: 16, 2: 8, 3: 4}
# components of which a magnitude is the length; a stress in space has as many
PARTS = 6


@dataclass(frozen=True, eq=False)
class GreenPlan(Plan):
    """source : N points. dual : (N, 2 K) of the fit there, direct : all its waves at
    the target. fine, base : poolings of the source to half the spacing and of that to
    the spacing. within : inner waves, from the base to itself; to_target : from there
    to the target. mean : from the fine points to the target, where inputs are not all
    linear. base_shape, target_shape : positions and moments of the domain there."""

    source: Discretization
    dual: Tensor
    direct: Waves
    fine: PoolingPlan
    base: PoolingPlan
    within: FourierPlan
    to_target: FourierPlan
    mean: KernelPlan | None
    base_shape: Tensor
    target_shape: Tensor


class GreenOperator(Operator):
    """`v(x) = int G(x, y; shape, a) f(y) dmu(y)`: linear in f, in nothing else.

        c = amplitudes of waves that fit f,   v_0 = F_0 c,
        v_(k+1) = v_k + B_k (1 + g_k) A_k (v_k, F_k v_k),
        output = B (1 + g) A (F v_n, F' c) + D (F v_n, F' c),   -2 < g < 2

    F' filters all waves of the fit (`WaveFit`), F_0 the `inner` ones, and the F_k are
    convolutions by these (`FourierConv`): what the base does not resolve passes it by.
    A, B, D are matrices without bias, and the factors g functions of the shape and of
    the other inputs a, by a network that is not linear (norms, convolutions, pointwise
    networks of positions, moments and a). Doubling f doubles the output and zero gives
    zero, for any weights. Where the equations are linear in f (sources, loads, data at
    the boundary), a few samples then tell what many must tell a network that may be
    anything. A magnitude is the length of `PARTS` such outputs, as a von Mises stress
    is of stresses: where f is c times as large, it is |c| times as large.

    in_channels, out_channels : of the fields. dimension : d. linear : channels of f
    among the inputs. magnitudes : channels of the output that are such, never negative.
    measure_dimension : 2 for surfaces in space, d where it is not given. radius : at
    least three spacings of the coarsest mesh, in the scaled coordinates; the base has
    the spacing H = radius / 2, moments of the shape are over balls of 10 / 3 and 20 / 3
    of that. period : of the waves. modes, inner : along a period, by `MODES` and
    `INNER` where not given; inner ones fewer where the shortest would be less than 2 H.
    width, context : channels of v and of the factors. blocks : their number. noise :
    see `WaveFit`; `observe` tells what sources to expect. kernel : of all convolutions,
    see `FourierConv`; isotropic ones leave all directions to the factors.

    Output at any target points; nothing of the size of a mesh is learned.
    """

    inner: Tensor
    pieces = "always"  # three times coarser meshes then err by a third of what they did

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dimension: int,
        *,
        linear: Sequence[int],
        magnitudes: Sequence[int] = (),
        measure_dimension: int | None = None,
        radius: float = 0.18,
        period: float = 1.3,
        modes: int | None = None,
        inner: int | None = None,
        width: int = 32,
        context: int = 32,
        blocks: int = 4,
        noise: float = 1e-6,
        kernel: Filter = "isotropic",
    ) -> None:
        super().__init__()
        if not linear:
            raise ValueError(
                f"linear: expected some of the {in_channels} channels, in which the "
                "output is linear, got none"
            )
        self.linear, self.other = _parted("linear", linear, in_channels)
        self.magnitudes, self.plain = _parted("magnitudes", magnitudes, out_channels)
        self.radius = radius
        self.measure_dimension = measure_dimension
        modes = MODES[dimension] if modes is None else modes
        inner = INNER[dimension] if inner is None else inner
        inner = min(inner, modes, int(period / radius))
        size: dict[str, Any] = {"measure_dimension": measure_dimension}
        size["kernel"] = kernel
        self.direct = FourierConv(
            len(self.linear), width, dimension, period, modes=modes, **size
        )
        self.fit = WaveFit(self.direct.numbers, self.direct.volume, noise)
        size["modes"] = inner
        self.first = FourierConv(len(self.linear), width, dimension, period, **size)
        chosen = _inner(self.direct.numbers, len(self.first.numbers))
        self.register_buffer("inner", chosen, persistent=False)
        shape = dimension + 2 * n_moments(dimension)
        self.lift = pointwise(len(self.other), context, context)
        self.shape = pointwise(shape, context, context)
        self.factors = Block(
            context, FourierConv(context, context, dimension, period, **size)
        )
        self.blocks = nn.ModuleList(
            _LinearBlock(FourierConv(width, width, dimension, period, **size), context)
            for _ in range(blocks)
        )
        self.last = FourierConv(width, width, dimension, period, **size)
        self.last_factors = FourierConv(context, context, dimension, period, **size)
        self.mean = LocalMean(radius / 3, measure_dimension)
        known = shape + 2 * context if self.other else shape + context
        self.at_target = pointwise(known, context, context)
        wanted = len(self.plain) + PARTS * len(self.magnitudes)
        self.project = _Gated(2 * width, 2 * width, wanted, context)
        self.skip = nn.Linear(2 * width, wanted, bias=False)

    def prepare(self, source: Discretization, target: Discretization) -> GreenPlan:
        """Fit, poolings, waves and moments, in the precision of the points."""
        return self.prepared(source, target, source.points.dtype)

    def prepared(
        self,
        source: Discretization,
        target: Discretization,
        dtype: torch.dtype,
        known: Discretization | None = None,
    ) -> GreenPlan:
        """The same in another precision; of the waves of all points no more is held."""
        fine = lattice_pooling(source, self.radius / 4)
        base = lattice_pooling(fine.coarse, self.radius / 2)
        within = waves_at(base.coarse, self.last.numbers)
        to_target = FourierPlan(within, waves_at(target, self.last.numbers, dtype))
        plan = GreenPlan(
            source,
            self._dual(source, known or source, dtype),
            waves_at(target, self.direct.numbers, dtype),
            fine,
            base,
            FourierPlan(within, within),
            to_target,
            self.mean.prepare(fine.coarse, target) if self.other else None,
            *self._shapes(base.coarse, target),
        )
        return plan.to(dtype)

    def _dual(
        self, source: Discretization, known: Discretization, dtype: torch.dtype
    ) -> Tensor:
        """Of the fit to the known points; the others, which follow, tell nothing."""
        dual = self.fit.dual(known, dtype)
        return torch.cat(
            [dual, dual.new_zeros(len(source) - len(known), dual.shape[1])]
        )

    def _shapes(self, base: Discretization, target: Discretization) -> list[Tensor]:
        """At the base and the target, over balls of more than three spacings of the
        points that are summed: those of the base, and of twice its spacing."""
        reach, m = 2.5 * self.radius, self.measure_dimension
        coarse = lattice_pooling(base, self.radius).coarse
        return [shape_features(base, coarse, at, reach, m) for at in (base, target)]

    def observe(
        self, domains: Sequence[Discretization], inputs: Iterable[Tensor]
    ) -> None:
        """What sources to expect: inputs (N, C_in) on each of several domains."""
        self.fit.observe(domains, [u[:, self.linear] for u in inputs])

    def forward(self, u: Tensor, plan: GreenPlan) -> Tensor:
        """(N, C_in) at the source points -> (M, C_out) at the target points."""
        f = u[:, self.linear].to(plan.dual)
        with torch.autocast(u.device.type, enabled=False):
            c = amplitudes(f, plan.dual, plan.source)
            v = self.first.synthesis(c[self.inner], plan.within.target)
            direct = self.direct.synthesis(c, plan.direct)
        lifted = pool_lifted(self.lift, u[:, self.other], plan.fine)
        g = self.shape(plan.base_shape) + pool(lifted, plan.base)
        g = self.factors(g, plan.base.coarse, plan.within)
        for block in self.blocks:
            v = block(v, g, plan.within)
        known = [plan.target_shape, self.last_factors(g, plan.to_target)]
        if plan.mean is not None:
            known.append(self.mean(lifted, plan.mean))
        features = torch.cat([self.last(v, plan.to_target), direct], 1)
        g = self.at_target(torch.cat(known, 1))
        return self._with_magnitudes(self.project(features, g) + self.skip(features))

    def _with_magnitudes(self, found: Tensor) -> Tensor:
        """Lengths of the last channels, each at its place among the others."""
        if not self.magnitudes:
            return found
        parts = found[:, len(self.plain) :].unflatten(1, (-1, PARTS))
        lengths = torch.linalg.vector_norm(parts, dim=2)
        both = torch.cat([found[:, : len(self.plain)], lengths], 1)
        place = torch.tensor(self.plain + self.magnitudes, device=found.device)
        return both.index_select(1, place.argsort())


def _parted(
    name: str, numbers: Sequence[int], channels: int
) -> tuple[list[int], list[int]]:
    """Those channels, and the others. Raises `ValueError` for one that is not there."""
    chosen = sorted(set(numbers))
    if chosen and (chosen[0] < 0 or chosen[-1] >= channels):
        raise ValueError(
            f"{name}: expected some of the {channels} channels, by numbers from 0, got "
            f"{list(numbers)}"
        )
    return chosen, [i for i in range(channels) if i not in chosen]


def _inner(numbers: Tensor, count: int) -> Tensor:
    """Which amplitudes are those of the `count` longest waves, in their order."""
    length = torch.linalg.vector_norm(numbers, dim=1)
    chosen = length.argsort(stable=True)[:count].sort().values
    return torch.cat([chosen, chosen + len(numbers)])


class _Gated(nn.Module):
    """`B (1 + g) A v`, linear in v, g of -2 to 2 a pointwise network of the context.

    Bounded: contexts that no training saw, as meshes too coarse for a shape give, move
    the output by no more than others do.
    """

    def __init__(
        self, in_channels: int, hidden: int, out_channels: int, context: int
    ) -> None:
        super().__init__()
        self.first = nn.Linear(in_channels, hidden, bias=False)
        self.factors = pointwise(context, context, hidden)
        self.second = nn.Linear(hidden, out_channels, bias=False)

    def forward(self, v: Tensor, context: Tensor) -> Tensor:
        hidden, share = self.first(v), torch.sigmoid(self.factors(context))
        return self.second(torch.addcmul(-hidden, hidden, share, value=4))


class _LinearBlock(nn.Module):
    """`v + B (1 + g) A (v, F v)`."""

    def __init__(self, conv: FourierConv, context: int) -> None:
        super().__init__()
        width = conv.coefficients.shape[1]  # its rows, whatever the kernel
        self.conv = conv
        self.mix = _Gated(2 * width, 2 * width, width, context)

    def forward(self, v: Tensor, context: Tensor, within: FourierPlan) -> Tensor:
        return v + self.mix(torch.cat([v, self.conv(v, within)], 1), context)
