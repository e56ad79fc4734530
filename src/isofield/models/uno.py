"""A U-shaped network of Fourier modes over coarser and coarser point sets."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from isofield.discretization import Discretization
from isofield.layers.block import Block
from isofield.layers.ends import Ends, EndsPlan
from isofield.layers.fourier_conv import FourierConv, FourierPlan
from isofield.layers.kernel_integral import KernelPlan
from isofield.layers.local_mean import LocalMean
from isofield.layers.norm import MeasureNorm
from isofield.layers.operator import Operator
from isofield.layers.pooling import PoolingPlan, lattice_pooling, pool, unpool
from isofield.plan import Plan


@dataclass(frozen=True, eq=False)
class UNOPlan(Plan):
    """ends : of the source and the target. levels : poolings, of the fine points to the
    first level, then of each level to the next. within : waves on each level. mean,
    last : from the first level to the target."""

    ends: EndsPlan
    levels: tuple[PoolingPlan, ...]
    within: tuple[FourierPlan, ...]
    mean: KernelPlan
    last: FourierPlan


class UNO(Operator):
    """Convolutions by Fourier modes down to coarser point sets, and up again.

        d_0 = B(R_0 R L u + S),   d_(l+1) = B(R_(l+1) d_l),
        s_L = d_L,   s_l = B(M_l(d_l, R_(l+1)^* s_(l+1))),
        output = P(A R L u, A_0 N s_0, F N s_0, S)

    R_l averages over a lattice of spacing 2^l H (`lattice_pooling`), R_l^* interpolates
    back by its hats, B(v) = v + P(N v, F N v) with convolutions by Fourier modes
    (`FourierConv`), M_l are linear. The deeper, the fewer points and waves, and the
    more channels: waves of level l are no shorter than two of its spacings. A_0 is the
    mean over balls of 2 H, the last F goes to the targets; L, R, A, S and P are those
    of `Ends`.

    in_channels, out_channels : of the fields. dimension : d. measure_dimension : 2 for
    surfaces in space, d where it is not given. radius : 3 H, in the scaled coordinates,
    at least three spacings of the coarsest mesh. period : of the waves, longer than the
    domain, which is 1 in the scaled coordinates. modes : waves along a period of the
    first level, half as many on the next. levels : their number. width : channels of
    the first level, half as many more on each next one.

    Output at any target points; nothing of the size of a mesh is learned.
    Source: Rahman et al., U-shaped neural operators, arXiv:2204.11127, there on grids.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dimension: int,
        *,
        measure_dimension: int | None = None,
        radius: float = 0.18,
        period: float = 1.3,
        modes: int = 6,
        levels: int = 3,
        width: int = 48,
    ) -> None:
        super().__init__()
        if levels < 1:
            raise ValueError(f"levels: expected at least 1, got {levels}")
        m, self.spacing = measure_dimension, radius / 3
        widths = [width * (2 + level) // 2 for level in range(levels)]

        def conv(channels: int, level: int) -> FourierConv:
            resolved = int(period / (2 ** (level + 1) * self.spacing))
            waves = {"modes": min(modes // 2**level, resolved), "measure_dimension": m}
            return FourierConv(channels, channels, dimension, period, **waves)

        def blocks(count: int) -> nn.ModuleList:
            return nn.ModuleList(
                Block(channels, conv(channels, level))
                for level, channels in enumerate(widths[:count])
            )

        decoded = 2 * width
        self.ends = Ends(
            in_channels, out_channels, dimension, radius, width, decoded, m
        )
        self.falling, self.rising = blocks(levels), blocks(levels - 1)
        pairs = list(pairwise(widths))
        self.widen = nn.ModuleList(nn.Linear(a, b) for a, b in pairs)
        self.merge = nn.ModuleList(nn.Linear(a + b, a) for a, b in pairs)
        self.norm = MeasureNorm(width)
        self.mean = LocalMean(2 * self.spacing, m)
        self.last = conv(width, 0)

    def prepare(self, source: Discretization, target: Discretization) -> UNOPlan:
        """Poolings, waves and means of a geometry, in the precision of the points."""
        fine = self.ends.gather(source)
        levels, within, points = [], [], fine.coarse
        for level, block in enumerate(self.falling):
            levels.append(lattice_pooling(points, 2**level * self.spacing))
            points = levels[-1].coarse
            within.append(block.conv.prepare(points, points))  # type: ignore[union-attr, operator]
        first = levels[0].coarse
        return UNOPlan(
            self.ends.prepare(fine, first, target),
            tuple(levels),
            tuple(within),
            self.mean.prepare(first, target),
            self.last.prepare(first, target),
        )

    def forward(self, u: Tensor, plan: UNOPlan) -> Tensor:
        """(N, C_in) at the source points -> (M, C_out) at the target points."""
        w = self.ends.lift(u, plan.ends)
        points = [level.coarse for level in plan.levels]
        v = pool(w, plan.levels[0]) + self.ends.shape(plan.ends)
        passed = []
        for level, block in enumerate(self.falling):
            if level:
                passed.append(v)
                v = self.widen[level - 1](pool(v, plan.levels[level]))
            v = block(v, points[level], plan.within[level])
        for level in reversed(range(len(self.rising))):
            risen = unpool(v, plan.levels[level + 1])
            v = self.merge[level](torch.cat([passed[level], risen], 1))
            v = self.rising[level](v, points[level], plan.within[level])
        v = self.norm(v, points[0])
        decoded = [self.mean(v, plan.mean), self.last(v, plan.last)]
        return self.ends.output(w, decoded, plan.ends)
