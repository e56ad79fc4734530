"""A geometry-informed neural operator: Fourier blocks on a latent grid."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from isofield.discretization import Discretization
from isofield.layers.block import Block
from isofield.layers.ends import Ends, EndsPlan
from isofield.layers.kernel_integral import KernelIntegral, KernelPlan
from isofield.layers.latent_grid import LatentGrid, latent_grid, resolved
from isofield.layers.norm import MeasureNorm
from isofield.layers.operator import Operator
from isofield.layers.spectral_conv import SpectralConv
from isofield.plan import Plan


@dataclass(frozen=True, eq=False)
class GINOPlan(Plan):
    """ends : of the source and the target. grid : the latent grid. encode : from the
    fine points to it. decode : from it to the target."""

    ends: EndsPlan
    grid: LatentGrid
    encode: KernelPlan
    decode: KernelPlan


class GINO(Operator):
    """Kernel integral to a regular grid, Fourier blocks there, kernel integral back.

        v_0 = E R L u + S,   v_(k+1) = v_k + P_k(N v_k, F_k N v_k),
        output = P(A R L u, D N v_n, S)

    E and D are kernel integrals (`KernelIntegral`) over balls of radius 2 H and 3 H,
    F_k convolutions by Fourier modes (`SpectralConv`), N the norm; L, R, A, S and P are
    those of `Ends`. The grid is a quadrature of the domain blurred over 2 H
    (`latent_grid`): its nodes carry weights, so its resolution is a property of the
    plan. Set `latent` to another number of nodes, after training too, and the output
    moves by what the rule on the grid errs.

    in_channels, out_channels : of the fields. dimension : d. measure_dimension : 2 for
    surfaces in space, d where it is not given. radius : 3 H, in the scaled coordinates,
    at least three spacings of the coarsest mesh. period : P of the grid, at least the
    extent of the domain and 4 H; 1 + 3 r where it is not given. latent : nodes along
    the period; as many as are 0.9 H apart, on lines 0.45 H, where it is not given.
    modes : waves along the period, fewer where the shortest would be less than 2 H.
    width : channels inside. blocks : their number. rank, hidden : of kernels.

    Output at any target points; nothing of the size of a mesh or grid is learned.
    Source: Li et al., Geometry-informed neural operator, arXiv:2309.00583, here in the
    measure, on the grid too.
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
        rank: int = 8,
        hidden: int = 16,
    ) -> None:
        super().__init__()
        m, self.reach = measure_dimension, 2 / 3 * radius
        self.period = 1 + 3 * radius if period is None else period
        modes = min(modes, int(self.period / self.reach))

        def kernel(reach: float) -> KernelIntegral:
            size = {"rank": rank, "hidden": hidden, "measure_dimension": m}
            return KernelIntegral(width, width, dimension, reach, **size)

        def conv() -> SpectralConv:
            waves = {"modes": modes, "measure_dimension": m}
            return SpectralConv(width, width, dimension, self.period, **waves)

        self.ends = Ends(in_channels, out_channels, dimension, radius, width, width, m)
        self.encode, self.decode = kernel(self.reach), kernel(radius)
        self.blocks = nn.ModuleList(Block(width, conv()) for _ in range(blocks))
        self.latent = resolved(latent, self.period, radius, dimension)
        self.norm = MeasureNorm(width)

    def prepare(self, source: Discretization, target: Discretization) -> GINOPlan:
        """The grid and all neighbours of a geometry, in the precision of the points."""
        fine = self.ends.gather(source)
        grid = latent_grid(fine.coarse, self.latent, self.period, self.reach)
        return GINOPlan(
            self.ends.prepare(fine, grid.domain, target),
            grid,
            self.encode.prepare(fine.coarse, grid.domain),
            self.decode.prepare(grid.domain, target),
        )

    def forward(self, u: Tensor, plan: GINOPlan) -> Tensor:
        """(N, C_in) at the source points -> (M, C_out) at the target points."""
        w = self.ends.lift(u, plan.ends)
        v = self.encode(w, plan.encode) + self.ends.shape(plan.ends)
        for block in self.blocks:
            v = block(v, plan.grid.domain, plan.grid)
        v = self.norm(v, plan.grid.domain)
        return self.ends.output(w, [self.decode(v, plan.decode)], plan.ends)
