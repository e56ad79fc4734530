"""A graph neural operator over a hierarchy of radii."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from isofield.discretization import Discretization
from isofield.layers.kernel_integral import (
    KernelBasis,
    KernelIntegral,
    KernelPlan,
    Mixing,
)
from isofield.layers.moments import n_moments, shape_features
from isofield.layers.norm import MeasureNorm
from isofield.layers.operator import Operator
from isofield.layers.pointwise import pointwise
from isofield.layers.pooling import (
    PoolingPlan,
    lattice_pooling,
    pool,
    pool_lifted,
    unpool,
)
from isofield.plan import Plan


@dataclass(frozen=True, eq=False)
class GNOPlan(Plan):
    """fine : pooling of the source to half the spacing. base : pooling of that to the
    spacing. levels : poolings of the base to 2, 4, 8... spacings. integrals : on the
    base and on each level. decode : from the fine and the base points to the target.
    base_shape, target_shape : positions and moments of the domain there."""

    fine: PoolingPlan
    base: PoolingPlan
    levels: tuple[PoolingPlan, ...]
    integrals: tuple[KernelPlan, ...]
    decode: tuple[KernelPlan, KernelPlan]
    base_shape: Tensor
    target_shape: Tensor


class GNO(Operator):
    """Lift, kernel integrals over a hierarchy of radii, projection.

    Features live on a lattice pooling of the source (the base, spacing H). Each block
    adds `sum_l R_l^* K_l R_l v`: R_l averages the base to spacing 2^l H, K_l integrates
    over a ball of twice that spacing among them, R_l^* interpolates back. Far points
    are thus seen in coarser sets that carry their summed weights: every integral has
    the same number of pairs per point, the last ball covers the domain, and cost grows
    with the number of points. No neighbour is ever cut off.

    in_channels, out_channels : of the fields. dimension : d. measure_dimension : 2 for
    surfaces in space, d where it is not given. radius : how far the first level sees, H
    of its averages and 2 H of its integral, so H = radius / 3; in the scaled
    coordinates, at least three spacings of the coarsest mesh. levels : number of radii.
    width : channels inside. blocks : their number. rank, hidden : of kernels.

    Output at any target points; nothing of the size of a mesh is learned.
    Source: multipole graph neural operator, Li et al., arXiv:2006.09535, here in the
    measure and over lattice poolings instead of random subsets.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dimension: int,
        *,
        measure_dimension: int | None = None,
        radius: float = 0.18,
        levels: int = 4,
        width: int = 48,
        blocks: int = 4,
        rank: int = 8,
        hidden: int = 16,
    ) -> None:
        super().__init__()
        self.dimension = dimension
        self.radius = radius
        self.measure_dimension = measure_dimension
        spacing = radius / 3
        shape = dimension + 2 * n_moments(dimension)
        narrow, m = width // 3, measure_dimension
        kernel = {"hidden": hidden, "measure_dimension": m}
        self.lift = pointwise(in_channels, width, width)
        self.shape_lift = pointwise(shape, width, width)
        self.kernels = nn.ModuleList(
            KernelBasis(dimension, 2 ** (level + 1) * spacing, rank, hidden, m)
            for level in range(levels)
        )
        self.blocks = nn.ModuleList(_Block(width, levels, rank) for _ in range(blocks))
        self.norm = MeasureNorm(width)
        self.narrow = nn.Linear(width, narrow)
        self.decode_fine = KernelIntegral(
            narrow, narrow, dimension, spacing, rank=rank // 2, **kernel
        )
        self.decode_base = KernelIntegral(
            width, width, dimension, 2 * spacing, rank=rank, **kernel
        )
        features = width + narrow + shape
        self.project = pointwise(features, 2 * width, out_channels)
        self.skip = nn.Linear(features, out_channels)

    def prepare(self, source: Discretization, target: Discretization) -> GNOPlan:
        """All neighbours and poolings of a geometry, in the precision of the points."""
        spacing, m = self.radius / 3, self.measure_dimension
        fine = lattice_pooling(source, spacing / 2)
        base = lattice_pooling(fine.coarse, spacing)
        levels = tuple(
            lattice_pooling(base.coarse, 2**level * spacing)
            for level in range(1, len(self.kernels))
        )
        points = [base.coarse, *(level.coarse for level in levels)]
        integrals = tuple(
            cast(KernelBasis, kernel).prepare(where, where)
            for kernel, where in zip(self.kernels, points, strict=True)
        )
        decode = (
            self.decode_fine.prepare(fine.coarse, target),
            self.decode_base.prepare(base.coarse, target),
        )
        return GNOPlan(
            fine,
            base,
            levels,
            integrals,
            decode,
            *(
                shape_features(fine.coarse, fine.coarse, at, self.radius, m)
                for at in (base.coarse, target)
            ),
        )

    def forward(self, u: Tensor, plan: GNOPlan) -> Tensor:
        """(N, C_in) at the source points -> (M, C_out) at the target points."""
        fine = pool_lifted(self.lift, u, plan.fine)
        v = pool(fine, plan.base) + self.shape_lift(plan.base_shape)
        bases = [
            kernel(part)
            for kernel, part in zip(self.kernels, plan.integrals, strict=True)
        ]
        for block in self.blocks:
            v = block(v, bases, plan)
        v = self.norm(v, plan.base.coarse)
        to_fine, to_base = plan.decode
        decoded = [
            self.decode_fine(self.narrow(fine), to_fine),
            self.decode_base(v, to_base),
            plan.target_shape,
        ]
        features = torch.cat(decoded, 1)
        return self.project(features) + self.skip(features)


class _Block(nn.Module):
    """`v + P(N v, sum_l R_l^* K_l R_l N v)`: N the norm, P a pointwise network."""

    def __init__(self, width: int, levels: int, rank: int) -> None:
        super().__init__()
        self.norm = MeasureNorm(width)
        self.mixings = nn.ModuleList(Mixing(rank, width, width) for _ in range(levels))
        self.pointwise = pointwise(2 * width, 2 * width, width)

    def forward(self, v: Tensor, bases: list[Tensor], plan: GNOPlan) -> Tensor:
        normed = self.norm(v, plan.base.coarse)
        integral = self.mixings[0](bases[0], normed, plan.integrals[0].graph)
        for mixing, phi, level, part in zip(
            self.mixings[1:], bases[1:], plan.levels, plan.integrals[1:], strict=True
        ):
            coarse = mixing(phi, pool(normed, level), part.graph)
            integral = integral + unpool(coarse, level)
        return v + self.pointwise(torch.cat([normed, integral], 1))
