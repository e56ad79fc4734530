"""Continuous convolutions by the name of their basis."""

from __future__ import annotations

from typing import Any

from isofield.bases import BSplineBasis, HermiteBasis, ZernikeBasis
from isofield.layers.continuous_conv import ContinuousConv


class ZernikeConv(ContinuousConv):
    """`ContinuousConv` with all polynomials up to a degree, `ZernikeBasis`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dimension: int,
        radius: float,
        *,
        order: int = 4,
        alpha: float = 2.0,
        **options: Any,
    ) -> None:
        basis = ZernikeBasis(dimension, order, alpha)
        super().__init__(in_channels, out_channels, basis, radius, **options)


class SplineConv(ContinuousConv):
    """`ContinuousConv` with products of B-splines, `BSplineBasis`.

    n_control : functions per axis. degree : of the splines.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dimension: int,
        radius: float,
        *,
        n_control: int = 4,
        degree: int = 2,
        alpha: float = 2.0,
        **options: Any,
    ) -> None:
        basis = BSplineBasis(dimension, n_control, degree, alpha=alpha)
        super().__init__(in_channels, out_channels, basis, radius, **options)


class HermiteConv(ContinuousConv):
    """`ContinuousConv` with Hermite splines on a grid of nodes, `HermiteBasis`.

    order : of the highest derivative at a node. nodes : per axis.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dimension: int,
        radius: float,
        *,
        order: int = 1,
        nodes: int = 2,
        alpha: float = 2.0,
        **options: Any,
    ) -> None:
        basis = HermiteBasis(dimension, order, nodes, alpha)
        super().__init__(in_channels, out_channels, basis, radius, **options)
