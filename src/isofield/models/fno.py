"""Fourier blocks on a latent grid, with averages to it and back."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from isofield.discretization import Discretization
from isofield.layers.block import Block
from isofield.layers.ends import Ends, EndsPlan
from isofield.layers.kernel_integral import KernelPlan
from isofield.layers.latent_grid import LatentGrid, latent_grid, resolved
from isofield.layers.local_mean import LocalAverage
from isofield.layers.norm import MeasureNorm
from isofield.layers.operator import Operator
from isofield.layers.pooling import pool
from isofield.layers.spectral_conv import SpectralConv
from isofield.plan import Plan


@dataclass(frozen=True, eq=False)
class FNOPlan(Plan):
    """ends : of the source and the target. grid : the latent grid. decode : from it to
    the target."""

    ends: EndsPlan
    grid: LatentGrid
    decode: KernelPlan


class FNO(Operator):
    """Averages on a regular grid, Fourier blocks there, averages back.

        v_0 = R_g R L u + S,   v_(k+1) = v_k + P_k(N v_k, F_k N v_k),
        output = P(A R L u, D N v_n, S)

    As `GINO`, but nothing is learned between points and grid: R_g averages in the
    measure over the hats of the grid (`latent_grid`), D is the average of the nodes
    around a target (`LocalAverage`), both over 2 H whatever the grid, so that its
    resolution stays a property of the plan. For domains like boxes, where most of the
    grid lies inside.

    in_channels, out_channels : of the fields. dimension : d. measure_dimension : 2 for
    surfaces in space, d where it is not given. radius, period, latent, modes, width,
    blocks : see `GINO`.

    Output at any target points; nothing of the size of a mesh or grid is learned.
    Source: Li et al., Fourier neural operator, arXiv:2010.08895, here on any mesh.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dimension: int,
        *,
        measure_dimension: int | None = None,
        radius: float = 0.18,
        period: float | None = None,
        latent: int | None = None,
        modes: int = 6,
        width: int = 48,
        blocks: int = 4,
    ) -> None:
        super().__init__()
        m, self.reach = measure_dimension, 2 / 3 * radius
        self.period = 1 + 3 * radius if period is None else period
        waves = {
            "modes": min(modes, int(self.period / self.reach)),
            "measure_dimension": m,
        }
        self.ends = Ends(in_channels, out_channels, dimension, radius, width, width, m)
        self.blocks = nn.ModuleList(
            Block(width, SpectralConv(width, width, dimension, self.period, **waves))
            for _ in range(blocks)
        )
        self.latent = resolved(latent, self.period, radius, dimension)
        self.norm = MeasureNorm(width)
        self.decode = LocalAverage(self.reach, m)

    def prepare(self, source: Discretization, target: Discretization) -> FNOPlan:
        """The grid and all neighbours of a geometry, in the precision of the points."""
        fine = self.ends.gather(source)
        grid = latent_grid(fine.coarse, self.latent, self.period, self.reach)
        return FNOPlan(
            self.ends.prepare(fine, grid.domain, target),
            grid,
            self.decode.prepare(grid.domain, target),
        )

    def forward(self, u: Tensor, plan: FNOPlan) -> Tensor:
        """(N, C_in) at the source points -> (M, C_out) at the target points."""
        w = self.ends.lift(u, plan.ends)
        v = pool(w, plan.grid.pooling) + self.ends.shape(plan.ends)
        for block in self.blocks:
            v = block(v, plan.grid.domain, plan.grid)
        v = self.norm(v, plan.grid.domain)
        return self.ends.output(w, [self.decode(v, plan.decode)], plan.ends)
