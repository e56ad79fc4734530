"""A U-shaped network of spline convolutions over coarser and coarser point sets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from isofield.discretization import Discretization
from isofield.layers.basis_convs import SplineConv
from isofield.layers.block import Block
from isofield.layers.norm import MeasureNorm
from isofield.layers.operator import Operator
from isofield.layers.pointwise import pointwise
from isofield.layers.pooling import lattice_pooling
from isofield.operators.basis_operator import BasisOperator
from isofield.plan import Plan


@dataclass(frozen=True, eq=False)
class SplineUNetPlan(Plan):
    """levels : the point sets, from fine to coarse. encode : from the source to the
    first of them. within : on each. down, up : between neighbours. decode : from the
    source and from the first level to the target."""

    levels: tuple[Discretization, ...]
    encode: BasisOperator
    within: tuple[BasisOperator, ...]
    down: tuple[BasisOperator, ...]
    up: tuple[BasisOperator, ...]
    decode: tuple[BasisOperator, BasisOperator]


class SplineUNet(Operator):
    """Spline convolutions down to coarser point sets, and up again with the finer ones.

    The point sets are lattice poolings of the source (`isofield.layers.pooling`): of
    spacing H, 2 H, 4 H... with the measure of the points that they stand for, so that
    they converge with the mesh and their number does not grow with it. Level l is left
    upwards and downwards, and worked on, by convolutions with a radius of three of the
    spacings of the coarser side: pooling and unpooling are layers as all others are.

        d_0 = E u,   d_(l+1) = B(D_l d_l),   s_L = d_L,   s_l = B(d_l, U_l s_(l+1))

    B(v) = v + P(N v, K N v), with the norm N in the measure and a pointwise network P.
    The output is that of a pointwise network on s_0 and u as convolutions bring them
    to the target.

    in_channels, out_channels : of the fields. dimension : d. measure_dimension : 2 for
    surfaces in space, d where it is not given. radius : 3 H; at least three spacings of
    the coarsest mesh. levels : their number. width : channels inside.
    n_control, degree : of the splines, per axis.

    In the axes of the points, on surfaces in space too: kernels are functions of
    (y - x)/r in space, integrated over the surface. Cost O(N) and that of the levels.
    Source: M. Fey et al., SplineCNN, arXiv:1711.08920; N. Wandel et al., Spline-PINN,
    arXiv:2109.07143, there on a grid.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dimension: int,
        *,
        measure_dimension: int | None = None,
        radius: float = 0.18,
        levels: int = 3,
        width: int = 32,
        n_control: int = 3,
        degree: int = 2,
    ) -> None:
        super().__init__()
        if levels < 1:
            raise ValueError(f"levels: expected at least 1, got {levels}")
        self.spacing = radius / 3
        m = dimension if measure_dimension is None else measure_dimension
        self.thickness = radius ** (dimension - m)

        def conv(source: int, target: int, level: int, mode: str = "integral"):
            return SplineConv(
                source,
                target,
                dimension,
                radius * 2**level,
                n_control=n_control,
                degree=degree,
                mode=mode,
                skip=False,
            )

        self.lift = pointwise(in_channels + 1, width, width)
        self.encode = conv(width, width, 0)
        self.down = nn.ModuleList(conv(width, width, k + 1) for k in range(levels - 1))
        self.up = nn.ModuleList(
            conv(width, width, k + 1, "shepard") for k in range(levels - 1)
        )
        self.falling = nn.ModuleList(
            Block(width, conv(width, width, k)) for k in range(levels)
        )
        self.rising = nn.ModuleList(
            Block(width, conv(width, width, k)) for k in range(levels - 1)
        )
        self.merge = nn.ModuleList(
            nn.Linear(2 * width, width) for _ in range(levels - 1)
        )
        self.decode_source = conv(width, width, 0, "shepard")
        self.decode_level = conv(width, width, 0, "shepard")
        self.norm = MeasureNorm(width)
        self.project = pointwise(2 * width, 2 * width, out_channels)
        self.skip = nn.Linear(2 * width, out_channels)

    def prepare(self, source: Discretization, target: Discretization) -> SplineUNetPlan:
        """All point sets, neighbours and moments, in the precision of the points."""
        # a surface weighs as a layer of the thickness r, so that values stay near 1
        weights = source.weights * self.thickness
        source = replace(source, weights=weights, normals=None)
        target = replace(target, normals=None)
        points = [lattice_pooling(source, self.spacing).coarse]
        for level in range(1, len(self.falling)):
            spacing = 2**level * self.spacing
            points.append(lattice_pooling(points[-1], spacing).coarse)
        pairs = list(pairwise(points))
        down = zip(self.down, pairs, strict=True)
        up = zip(self.up, pairs, strict=True)
        within = zip(self.falling, points, strict=True)
        return SplineUNetPlan(
            tuple(points),
            self.encode.prepare(source, points[0]),  # type: ignore[arg-type]
            tuple(block.conv.prepare(p, p) for block, p in within),  # type: ignore[union-attr]
            tuple(conv.prepare(fine, coarse) for conv, (fine, coarse) in down),  # type: ignore[operator]
            tuple(conv.prepare(coarse, fine) for conv, (fine, coarse) in up),  # type: ignore[operator]
            (
                self.decode_source.prepare(source, target),  # type: ignore[arg-type]
                self.decode_level.prepare(points[0], target),
            ),
        )

    def forward(self, u: Tensor, plan: SplineUNetPlan) -> Tensor:
        """(N, C_in) at the source points -> (M, C_out) at the target points."""
        lifted = self.lift(torch.cat([u.new_ones(len(u), 1), u], 1))
        v = self.encode(lifted, plan.encode)
        passed = []
        for level, block in enumerate(self.falling):
            v = block(v, plan.levels[level], plan.within[level])
            if level < len(self.down):
                passed.append(v)
                v = self.down[level](v, plan.down[level])
        for level in reversed(range(len(self.up))):
            risen = self.up[level](v, plan.up[level])
            v = self.merge[level](torch.cat([passed[level], risen], 1))
            v = self.rising[level](v, plan.levels[level], plan.within[level])
        from_source, from_level = plan.decode
        v = self.norm(v, plan.levels[0])
        features = torch.cat(
            [
                self.decode_source(lifted, from_source),
                self.decode_level(v, from_level),
            ],
            1,
        )
        return self.project(features) + self.skip(features)
