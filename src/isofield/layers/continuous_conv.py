"""Convolutions with kernels from a basis, on any discretization."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from isofield.bases import Basis, ZernikeBasis
from isofield.bases.basis import check_dimension
from isofield.discretization import Discretization
from isofield.graph import Graph
from isofield.layers.kernel_gains import kernel_gains
from isofield.layers.operator import Operator
from isofield.operators.basis_operator import (
    BasisOperator,
    Mode,
    basis_operator,
    check_mode,
    with_basis,
)
from isofield.operators.patches import Patches, patches

Gauge = Literal["pool", "isotropic"]
ROUNDING = 1e-6  # of a radius that begins at its reach


class ContinuousConv(Operator):
    """`v(x) = sum_b c_b(x) W_b + u(x) W + bias`, with the moments of the field

        c_b(x) = 1 / (|B_m| r^m) int_B(x, r) kernel_b(log_x(y) / r) u(y) dmu(y)

    in the windowed functions of a basis: a convolution with the kernel
    `k(z) = sum_b kernel_b(z / r) W_b`, in the plane and in space around every point, on
    a surface in its charts. The moments are prepared once per geometry
    (`isofield.operators.basis_operator`); the layer learns the matrices W_b alone, and
    converges to the integral with the order of the quadrature on any source and target.

    in_channels, out_channels : C_in, C_out. basis : of the dimension m of the charts.
    radius : r, length; at least about three spacings of the coarsest source. mode :
    "integral" as above; "shepard" keeps constants up to the boundary; "fit" takes for
    the c_b the coefficients of the combination of the functions that is nearest to the
    field around x, which has no boundary error for polynomials.

    gauge : None: the kernel stands in the frame of x, that of the axes where the points
    have no normals. "isotropic": the functions without an angle alone. "pool": the
    kernel is turned all the way round at x, and the mean of the square of its response
    `y(t) = sum_b c_b (W_b turned by t)` is what counts,

        1/2π int y(t)^2 dt = A_0^2 + 1/2 sum_m (A_m^2 + B_m^2),
        A_m = c_m W_m + c_-m W_-m,   B_m = c_-m W_m - c_m W_-m,

    with the sums over radial functions understood: 2n + 1 equally spaced rays give the
    same for a basis of order n. Both do not depend on frames, so that turning a body
    turns the output with it; both ask for a `ZernikeBasis`, "pool" in the plane. On a
    surface, without them, `prepare` asks for frames.

    skip, bias : the terms `u(x) W` and bias. A skip needs the values at the targets, so
    the sources themselves as targets; between levels of a network, where a coarser or
    finer target pools or unpools, take skip=False.

    reach : where given, the radius is learned, from `radius` on, and neighbours are
    kept up to this distance; a radius that has grown beyond it raises `ValueError`.
    With a learned radius or basis the plan holds the neighbours (`Patches`), and the
    functions are evaluated at every step, in pieces.

    The matrices begin so that the output has about the variance of an input whose
    correlation length is the radius.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        basis: Basis,
        radius: float,
        *,
        mode: Mode = "integral",
        gauge: Gauge | None = None,
        skip: bool = True,
        bias: bool = True,
        reach: float | None = None,
    ) -> None:
        super().__init__()
        check_mode(mode)
        check_dimension(basis.dimension, (1, 2, 3))
        _check_radius(radius, reach)
        _check_gauge(gauge, basis)
        self.basis = basis
        self.mode: Mode = mode
        self.gauge = gauge
        self.reach = radius if reach is None else reach
        self.log_radius = None
        if reach is not None:
            self.log_radius = nn.Parameter(torch.tensor(math.log(radius)))
        self.functions = _without_angle(basis) if gauge == "isotropic" else None
        size = basis.size if self.functions is None else len(self.functions)
        self.matrices = nn.Parameter(torch.empty(size, in_channels, out_channels))
        self.skip = nn.Linear(in_channels, out_channels, bias=False) if skip else None
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self._initialise()

    @property
    def radius(self) -> Tensor | float:
        """r, length; a tensor with a gradient where it is learned."""
        return self.reach if self.log_radius is None else self.log_radius.exp()

    @property
    def learns_its_kernels(self) -> bool:
        """Whether the functions change from step to step."""
        parameters = self.basis.parameters()
        return self.log_radius is not None or any(p.requires_grad for p in parameters)

    def prepare(
        self,
        source: Discretization,
        target: Discretization,
        *,
        frames: Tensor | None = None,
        edges: Graph | None = None,
    ) -> BasisOperator | Patches:
        """Neighbours and moments, made in float64, in the precision of the points.

        frames, edges : tangents of the targets, and which sources are joined within a
        surface; see `isofield.charts.local_coordinates`.

        Raises `ValueError` where a skip has other targets than its sources, and on a
        surface without frames where the output would depend on them.
        """
        if self.skip is not None and not _same(source, target):
            raise ValueError(
                "a skip adds the value of the field at the target, so the targets must "
                "be the sources: pass skip=False to a layer between two point sets"
            )
        if source.normals is not None and source.dimension == 3:
            self._check_frames(frames)
        options: dict[str, Any] = {"frames": frames, "edges": edges}
        if self.learns_its_kernels:
            found = patches(source, target, self.reach, **options)
            dtype = source.points.dtype
            return replace(
                found,
                coordinates=found.coordinates.to(dtype),
                weights=found.weights.to(dtype),
            )
        options["functions"] = self.functions
        return basis_operator(
            source, target, self.basis, self.reach, self.mode, **options
        )

    def forward(self, u: Tensor, plan: BasisOperator | Patches) -> Tensor:
        """(N, C_in) at the source points -> (M, C_out) at the target points."""
        if isinstance(plan, Patches):
            plan = with_basis(self._scaled(plan), self.basis, self.mode, self.functions)
        if self.gauge == "pool":
            v = self._pooled(u, plan)
        else:
            v = plan.product(u, self.matrices)
        if self.skip is not None:
            v = v + self.skip(u)
        return v if self.bias is None else v + self.bias

    def _pooled(self, u: Tensor, plan: BasisOperator) -> Tensor:
        total = u.new_zeros(())
        for plus, minus in _turning_together(self.basis):
            a, b = self.matrices[plus], self.matrices[minus]
            if plus == minus:
                total = total + plan.product(u, a, plus).square()
                continue
            mixing = torch.cat([torch.cat([a, b]), torch.cat([-b, a])], 2)
            response = plan.product(u, mixing, plus + minus)
            total = total + response.square().unflatten(1, (2, -1)).sum(1) / 2
        return total

    def _scaled(self, plan: Patches) -> Patches:
        """The neighbourhoods of the present radius."""
        if self.log_radius is None:
            return plan
        scale = self.reach / self.log_radius.to(plan.weights).exp()
        if float(scale.detach()) < 1 - ROUNDING:
            raise ValueError(
                f"the radius has grown to {self.reach / float(scale.detach()):.6g}, "
                f"beyond its reach of {self.reach:.6g}: build the layer with a larger "
                "reach and prepare again"
            )
        return replace(
            plan,
            coordinates=plan.coordinates * scale,
            weights=plan.weights * scale**self.basis.dimension,
        )

    def _check_frames(self, frames: Tensor | None) -> None:
        if self.gauge is None and frames is None:
            raise ValueError(
                "on a surface the output depends on the frames of the targets: take "
                "gauge='pool' or 'isotropic', or pass frames, for instance "
                "isofield.charts.frames(target.normals)"
            )

    @torch.no_grad()
    def _initialise(self) -> None:
        c_in = self.matrices.shape[1]
        gain = kernel_gains(self.basis, self.mode, self.functions)
        parts = 1 if self.skip is None else 2
        scale = gain.to(self.matrices)[:, None, None] / math.sqrt(c_in * parts)
        self.matrices.copy_(scale * torch.randn_like(self.matrices))
        if self.skip is not None:
            nn.init.normal_(self.skip.weight, std=1 / math.sqrt(c_in * parts))


def _check_radius(radius: float, reach: float | None) -> None:
    if not 0 < radius < math.inf:
        raise ValueError(f"radius: expected a positive length, got {radius}")
    if reach is not None and not radius <= reach < math.inf:
        raise ValueError(f"reach: expected at least the radius {radius}, got {reach}")


def _check_gauge(gauge: str | None, basis: Basis) -> None:
    if gauge not in (None, "pool", "isotropic"):
        raise ValueError(f"gauge: expected None, 'pool' or 'isotropic', got {gauge!r}")
    if gauge is not None and not isinstance(basis, ZernikeBasis):
        raise ValueError(
            f"gauge={gauge!r} turns its kernels, which a ZernikeBasis alone can do, "
            f"got {type(basis).__name__}"
        )
    if gauge == "pool" and basis.dimension != 2:
        raise ValueError(
            "gauge='pool' is that of surfaces and of the plane, the basis has "
            f"dimension {basis.dimension}: take gauge='isotropic'"
        )


def _modes(basis: Basis) -> Tensor:
    """(B, 3), n, l and m of each function."""
    return cast(ZernikeBasis, basis).modes


def _without_angle(basis: Basis) -> list[int]:
    """The functions of |u| alone."""
    degree = _modes(basis)[:, 1]
    return (degree == 0).nonzero()[:, 0].tolist()


def _turning_together(basis: Basis) -> list[tuple[list[int], list[int]]]:
    """For m = 0, 1, ... the functions with m and those with -m, both by n."""
    m = _modes(basis)[:, 2]
    return [
        ((m == k).nonzero()[:, 0].tolist(), (m == -k).nonzero()[:, 0].tolist())
        for k in range(int(m.max()) + 1)
    ]


def _same(source: Discretization, target: Discretization) -> bool:
    return source is target or torch.equal(source.points, target.points)
