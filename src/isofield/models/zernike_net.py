"""Zernike convolutions on surfaces, in the plane and in volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from isofield.charts import normals_at
from isofield.discretization import Discretization
from isofield.layers.basis_convs import ZernikeConv
from isofield.layers.continuous_conv import Gauge
from isofield.layers.norm import MeasureNorm
from isofield.layers.operator import Operator
from isofield.layers.pointwise import pointwise
from isofield.layers.pooling import PoolingPlan, lattice_pooling, pool
from isofield.operators.basis_operator import BasisOperator
from isofield.plan import Plan


@dataclass(frozen=True, eq=False)
class ZernikeNetPlan(Plan):
    """fine : pooling of the source to half the spacing. base : pooling of that to the
    spacing. kernels : of the convolutions on the base, one for each gauge. decode :
    from the fine and the base points to the target."""

    fine: PoolingPlan
    base: PoolingPlan
    kernels: tuple[BasisOperator, ...]
    decode: tuple[BasisOperator, BasisOperator]


class ZernikeNet(Operator):
    """Lift, Zernike convolutions with pointwise networks between, projection.

        w = L u,   v_0 = R w,   v_(k+1) = v_k + P_k(N v_k, K_k N v_k),
        output = P(D_f w, D v_n)

    R averages over a lattice of spacing H (the base, see `lattice_pooling`), so that
    the cost of the convolutions does not grow with the mesh; K_k are convolutions on
    the base over balls of the radius 2 H, N the norm in the measure, D and D_f last
    convolutions to the target, from the base and from a lattice twice as fine, which
    keep constants up to the boundary. A constant channel goes in with u: what kernels
    see of it is where the domain ends.

    On a surface the kernels stand in its charts, and each K_k is a pair: one without an
    angle, linear in the field, and one of few channels that is turned all the way round
    and whose root mean square response counts. No choice of frames enters. In the plane
    and in volumes the kernels stand in the axes.

    in_channels, out_channels : of the fields. dimension : d, coordinates of a point.
    measure_dimension : 2 for surfaces in space, d where it is not given. radius : 3 H,
    at least three spacings of the coarsest mesh. width : channels inside. blocks :
    their number; a point sees 2 (blocks + 1) H far. order : of the Zernike functions.
    On surfaces alone: rings : functions of the distance in kernels without an angle.
    turned : channels of those with one, 0 for none, where directions do not matter;
    they take twice the time of the others.

    Targets on a surface without normals get those of the sources around them.
    Source: Z. Sun et al., ZerNet, arXiv:1812.01082, here in the measure, without random
    resampling, and with kernels that no gauge decides.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dimension: int,
        *,
        measure_dimension: int | None = None,
        radius: float = 0.18,
        width: int = 32,
        blocks: int = 4,
        order: int = 3,
        rings: int = 3,
        turned: int = 8,
    ) -> None:
        super().__init__()
        if blocks < 1:
            raise ValueError(f"blocks: expected at least 1, got {blocks}")
        m = _measure_dimension(dimension, measure_dimension)
        self.radius = radius
        self.surface = m < dimension
        spacing, narrow = radius / 3, width // 2
        self.lift = pointwise(in_channels + 1, width, width)
        self.narrow = nn.Linear(width, narrow)
        kernels = [_Kernels(width, order)]
        if self.surface:
            kernels = [_Kernels(width, 2 * rings - 2, "isotropic")]
            kernels += [_Kernels(turned, order, "pool")] if turned else []
        self.blocks = nn.ModuleList(
            _Block(width, m, 2 * spacing, kernels) for _ in range(blocks)
        )
        self.norm = MeasureNorm(width)
        options: dict[str, Any] = {"order": order, "mode": "shepard", "skip": False}
        options["gauge"] = "isotropic" if self.surface else None
        self.decode_fine = ZernikeConv(narrow, narrow, m, spacing, **options)
        self.decode_base = ZernikeConv(width, width, m, 2 * spacing, **options)
        features = width + narrow
        self.project = pointwise(features, 2 * width, out_channels)
        self.skip = nn.Linear(features, out_channels)

    def prepare(self, source: Discretization, target: Discretization) -> ZernikeNetPlan:
        """All neighbours and moments of a geometry, in the precision of the points.

        Raises `ValueError` on a surface whose points have no normals, because its cells
        do not agree on their sides (`isofield.normals.surface_normals` says where).
        """
        source, target = self._placed(source, target)
        fine = lattice_pooling(source, self.radius / 6, self.surface)
        base = lattice_pooling(fine.coarse, self.radius / 3, self.surface)
        points = base.coarse
        kernels = tuple(
            cast(ZernikeConv, conv).prepare(points, points)
            for conv in cast(_Block, self.blocks[0]).convolutions
        )
        decode = (
            self.decode_fine.prepare(fine.coarse, target),
            self.decode_base.prepare(points, target),
        )
        return ZernikeNetPlan(
            fine,
            base,
            cast(tuple[BasisOperator, ...], kernels),
            cast(tuple[BasisOperator, BasisOperator], decode),
        )

    def _placed(
        self, source: Discretization, target: Discretization
    ) -> tuple[Discretization, Discretization]:
        """Both sides with normals on surfaces, without elsewhere."""
        if not self.surface:
            return replace(source, normals=None), replace(target, normals=None)
        if source.normals is None:
            raise ValueError(
                "a network on surfaces asks for normals at the source points: take "
                "from_mesh with triangles that agree on their sides, or from_points "
                "with normals"
            )
        if target.normals is None:
            target = replace(target, normals=normals_at(source, target, self.radius))
        return source, target

    def forward(self, u: Tensor, plan: ZernikeNetPlan) -> Tensor:
        """(N, C_in) at the source points -> (M, C_out) at the target points."""
        lifted = self.lift(torch.cat([u.new_ones(len(u), 1), u], 1))
        fine = pool(lifted, plan.fine)
        v = pool(fine, plan.base)
        for block in self.blocks:
            v = block(v, plan.base.coarse, plan.kernels)
        v = self.norm(v, plan.base.coarse)
        to_fine, to_base = plan.decode
        features = [
            self.decode_fine(self.narrow(fine), to_fine),
            self.decode_base(v, to_base),
        ]
        features = torch.cat(features, 1)
        return self.project(features) + self.skip(features)


def _measure_dimension(dimension: int, measure_dimension: int | None) -> int:
    m = dimension if measure_dimension is None else measure_dimension
    if (m, dimension) not in ((1, 1), (2, 2), (3, 3), (2, 3)):
        raise ValueError(
            "expected points and measure of 1, 2 or 3 dimensions, or a surface "
            f"(2) in space (3), got {m} in {dimension}"
        )
    return m


class _Kernels(NamedTuple):
    """Channels of the output, order and gauge of one convolution of a block."""

    channels: int
    order: int
    gauge: Gauge | None = None


class _Block(nn.Module):
    """`v + P(N v, K N v)`, K one convolution or two."""

    def __init__(
        self, width: int, dimension: int, radius: float, kernels: Sequence[_Kernels]
    ) -> None:
        super().__init__()
        self.norm = MeasureNorm(width)
        options = {"skip": False, "bias": False}
        self.convolutions = nn.ModuleList(
            ZernikeConv(
                width,
                k.channels,
                dimension,
                radius,
                order=k.order,
                gauge=k.gauge,
                **options,
            )
            for k in kernels
        )
        features = width + sum(k.channels for k in kernels)
        self.pointwise = pointwise(features, 2 * width, width)

    def forward(
        self, v: Tensor, points: Discretization, kernels: Sequence[BasisOperator]
    ) -> Tensor:
        normed = self.norm(v, points)
        found = [normed]
        for conv, moments in zip(self.convolutions, kernels, strict=True):
            response = conv(normed, moments)
            if cast(ZernikeConv, conv).gauge == "pool":
                # a mean of squares; its root grows as the field does
                response = (response + 1e-4).sqrt()
            found.append(response)
        return v + self.pointwise(torch.cat(found, 1))
