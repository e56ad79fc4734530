"""Convolution by the eigenfunctions of the Laplacian of the domain itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from isofield.discretization import Discretization, unpack
from isofield.layers.operator import Operator
from isofield.operators import linear
from isofield.operators.cloud_cells import CloudCells, cloud_cells
from isofield.operators.laplacian import Eigenpairs, eigenpairs_below
from isofield.plan import Plan, pack_plans


@dataclass(frozen=True, eq=False)
class Spectrum(Plan):
    """The eigenfunctions below a wave number, at the points of source and target.

    source, target : the points. modes : a point (1,) for each, `lambda / kappa²`, from
    0 to 1, with the window there as its weight. at_source, at_target : (N K,) and (M
    K,), the values of the K functions at a point one after the other.
    """

    source: Discretization
    target: Discretization
    modes: Discretization
    at_source: Tensor
    at_target: Tensor


class LaplacianSpectralConv(Operator):
    """`v(x) = sum_k chi(lambda_k) f_k(x) R(lambda_k) int f_k u dmu`, k over the modes.

        -Delta f_k = lambda_k f_k without flux through the boundary,
        R(lambda) = sum_b T_b(2 s - 1) R_b,   chi = (1 - s)²,   s = lambda / kappa² < 1

    with T_b Chebyshev's polynomials: the learned R_b (C_in, C_out) are a smooth matrix
    function of the eigenvalue, so that signs of eigenfunctions, their rotations within
    multiple eigenvalues and their number do not matter, and the same weights act on
    every domain. The window lets modes enter with weight 0. It sees the whole domain at
    once, along the domain: what lies across a gap is far.

    in_channels, out_channels : of the fields. wave_number : kappa, 1/length; the
    shortest waves, `2 pi / kappa`, need about 8 spacings of the coarsest source, for
    the error of their eigenvalues is about (kappa h)²/12. functions : how many R_b.

    The cells are the Delaunay simplices of the source, since a discretization has none
    (`isofield.operators.cloud_cells`): on a surface it needs normals. Between them the
    functions are linear, and outside as at the nearest point: O(h²). Commutes with
    rigid motions. Prepared by one sparse factorization and K eigenpairs, K about
    `|Omega| kappa² / (4 pi)` in two dimensions; applied at a cost of 2 (N + M) K C.

    Raises `ValueError` in `prepare` where a source has too few points for the wave
    number.

    Source: Chen, Liu, Li, Meng and Chen, arXiv:2302.08166, with a matrix for each mode
    number; smooth functions of the spectrum instead as in Henaff, Bruna and LeCun,
    arXiv:1506.05163.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        wave_number: float,
        *,
        functions: int = 4,
    ) -> None:
        super().__init__()
        if not 0 < wave_number < math.inf:
            raise ValueError(f"wave_number: expected above 0, got {wave_number}")
        if functions < 1:
            raise ValueError(f"functions: expected at least 1, got {functions}")
        self.wave_number = wave_number
        scale = (functions * in_channels) ** -0.5
        self.matrices = nn.Parameter(
            scale * torch.randn(functions, in_channels, out_channels)
        )

    def prepare(self, source: Discretization, target: Discretization) -> Spectrum:
        """The modes of all samples, one after the other, in the points' precision."""
        plans = [
            self._prepared(a, a if target is source else b)
            for a, b in zip(unpack(source), unpack(target), strict=True)
        ]
        return pack_plans(plans).to(source.points.dtype)

    def _prepared(self, source: Discretization, target: Discretization) -> Spectrum:
        cells = cloud_cells(source)
        limit = self.wave_number**2
        pairs = eigenpairs_below(cells, limit)
        s = pairs.values / limit
        modes = Discretization(s[:, None], (1 - s).square())
        at_source = pairs.functions[cells.place]
        at_target = at_source
        if target is not source:
            at_target = _interpolated(cells, pairs, target)
        device = source.points.device
        return Spectrum(
            source,
            target,
            modes.to(device),
            at_source.flatten().to(device),
            at_target.flatten().to(device),
        )

    def forward(self, u: Tensor, plan: Spectrum) -> Tensor:
        """(N, C_in) at the source points -> (M, C_out) at the target points.

        In the precision of the modes, under autocast too, as all sums over points.
        """
        with torch.autocast(u.device.type, enabled=False):
            weights = plan.source.weights[:, None].to(plan.at_source)
            weighted = u.to(plan.at_source) * weights
            factors = self._factors(plan.modes)
            n = plan.source.ptr.diff().tolist()
            m = plan.target.ptr.diff().tolist()
            k = plan.modes.ptr.diff().tolist()
            sources = plan.at_source.split([a * b for a, b in zip(n, k, strict=True)])
            targets = plan.at_target.split([a * b for a, b in zip(m, k, strict=True)])
            parts = []
            for f, g, part, factor in zip(
                sources, targets, weighted.split(n), factors.split(k), strict=True
            ):
                c = f.view(len(part), -1).t() @ part
                spread = (factor[:, :, None] * c[:, None]).flatten(1)
                filtered = spread @ self.matrices.flatten(0, 1).to(c)
                parts.append(g.view(-1, len(c)) @ filtered)
            return torch.cat(parts)

    def _factors(self, modes: Discretization) -> Tensor:
        """(K, B) window times polynomials."""
        x = 2 * modes.points[:, 0] - 1
        values = [torch.ones_like(x), x]
        while len(values) < len(self.matrices):
            values.append(2 * x * values[-1] - values[-2])
        chosen = torch.stack(values[: len(self.matrices)], 1)
        return modes.weights[:, None] * chosen


def _interpolated(
    cells: CloudCells, pairs: Eigenpairs, target: Discretization
) -> Tensor:
    """(M, K) the functions at other points, linear in the cells."""
    points = target.points.detach().double().cpu()
    operator = linear(cells.mesh(), points, outside="nearest")
    return operator.apply(pairs.functions)
