"""Convolution of fields with directions, whatever frame each point measures them in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from isofield.bases import ZernikeBasis
from isofield.charts import chart_dimension, frames, transport
from isofield.discretization import Discretization
from isofield.layers.field_types import checked_types, widths
from isofield.layers.kernel_gains import kernel_gains
from isofield.layers.operator import Operator
from isofield.operators.basis_operator import AT_ONCE, BasisOperator
from isofield.operators.basis_product import basis_product
from isofield.operators.patches import Patches, patches


class Path(NamedTuple):
    """From fields of type m, or their conjugates (sign -1), to fields of type m_out.

    cosines : which functions of the Zernike basis have the angle l = |m_out - sign m|.
    sines : those with the sine beside them, empty where l = 0. columns : of the plan,
    one or two (real and imaginary part) for each of the cosines.
    """

    m: int
    m_out: int
    sign: int
    cosines: list[int]
    sines: list[int]
    columns: list[int]

    @property
    def is_real(self) -> bool:
        """From scalars to scalars."""
        return self.m == self.m_out == 0


class SteerableConv(Operator):
    """`v^p(x) = sum_mn int k_n^(p-m)(x, y) exp(i m phi_xy) u^m(y) W_n^pm dmu(y)`.

    u^m are the fields of type m, complex numbers that become `exp(-i m t) z` where the
    frame turns by t: scalars of type 0, tangent vectors of type 1
    (`isofield.layers.field_types`). In the chart around x, y at the distance rho r in
    the direction theta,

        k_n^l = (1 - rho²)^alpha N_nl R_nl(rho) exp(i l theta) / (|B_2| r²),

    the windowed Zernike functions with the angle l; phi_xy is the angle of parallel
    transport from y to x (`isofield.charts.transport`), W_n^pm a complex matrix
    C_m x C_p. With the conjugates of u^m, fields of type -m, these are all linear maps
    of this form that do not depend on the frames: the output for turned frames is the
    output, turned. Scalars do not notice them at all.

    in_channels, out_channels : (C_0, C_1, ..., C_M), how many fields of each type; a
    tensor has C_0 + 2 C_1 + ... + 2 C_M channels. radius : length, at least three
    spacings of the coarsest source. order : the degree of the polynomials; paths that
    turn faster, |p -+ m| > order, are left out. alpha : of the window.

    On surfaces in space (points with normals) and in the plane, where nothing is
    transported; a rotation of the plane turns what has a type and leaves scalars alone.
    Converges to the integral with the order of the quadrature and of the normals.

    The matrices begin so that the output has about the variance of an input whose
    correlation length is the radius.

    Source: de Haan et al., arXiv:2003.05425, and Wiersma et al., arXiv:2006.05400, here
    in the measure, over a physical radius.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: Sequence[int],
        radius: float,
        *,
        order: int = 3,
        alpha: float = 2.0,
    ) -> None:
        super().__init__()
        self.radius = radius
        self.in_channels = checked_types("in_channels", in_channels)
        self.out_channels = checked_types("out_channels", out_channels)
        self.basis = ZernikeBasis(2, order, alpha)
        self.paths = _paths(self.in_channels, self.out_channels, self.basis.modes)
        received = [0] * len(self.out_channels)
        for path in self.paths:
            received[path.m_out] += widths(self.in_channels)[path.m]
        self.matrices = nn.ParameterList()
        for path in self.paths:
            fields = self.in_channels[path.m], self.out_channels[path.m_out]
            functions = path.cosines + path.sines
            gain = kernel_gains(self.basis, "integral", functions).float()
            gain = gain[: len(path.cosines), None, None, None]
            parts = torch.randn(len(gain), 1 if path.is_real else 2, *fields)
            self.matrices.append(gain * received[path.m_out] ** -0.5 * parts)

    def prepare(
        self,
        source: Discretization,
        target: Discretization,
        *,
        source_frames: Tensor | None = None,
        target_frames: Tensor | None = None,
    ) -> BasisOperator:
        """Charts, transport and functions, made in float64, as precise as the points.

        source_frames, target_frames : (N, 3, 2) and (M, 3, 2), in which fields with a
        type are given and wanted, `isofield.charts.frames` of the normals where None.
        On surfaces alone: in the plane the frame is that of the coordinates.

        Raises `ValueError` for points that are neither in the plane nor on a surface
        with normals.
        """
        if chart_dimension(source) != 2:
            have = "without" if source.normals is None else "with"
            raise ValueError(
                "a steerable convolution needs points in the plane, or on a surface in "
                f"space with normals; these are in {source.dimension}-D, {have} normals"
                " (isofield.normals.surface_normals says why a mesh has none)"
            )
        if source.normals is None or target.normals is None:
            found = patches(source, target, self.radius)
            phase = torch.ones_like(found.weights) + 0j
        else:
            a = frames(source.normals) if source_frames is None else source_frames
            b = frames(target.normals) if target_frames is None else target_frames
            found = patches(source, target, self.radius, frames=b)
            phase = _phase(found, a, b)
        pieces = zip(
            found.coordinates.split(AT_ONCE),
            found.weights.split(AT_ONCE),
            phase.split(AT_ONCE),
            strict=True,
        )
        values = [self._functions(*piece).to(source.points.dtype) for piece in pieces]
        return BasisOperator(found.pairs, torch.cat(values), "steerable")

    def _functions(self, u: Tensor, weights: Tensor, phase: Tensor) -> Tensor:
        """(E, columns) of some pairs."""
        values = self.basis(u) * weights[:, None]
        return torch.cat([_functions(path, values, phase) for path in self.paths], 1)

    def forward(self, u: Tensor, plan: BasisOperator) -> Tensor:
        """(N, C_in) at the source points -> (M, C_out) at the target points."""
        pairs, graph = plan.pairs, plan.pairs.graph
        fields = pairs.enter(u).split(widths(self.in_channels), 1)
        parts: list[Tensor] = [
            plan.values.new_zeros(graph.n_targets, c) for c in widths(self.out_channels)
        ]
        for path, matrices in zip(self.paths, self.matrices, strict=True):
            mixing = _mixing(path, matrices)
            parts[path.m_out] = parts[path.m_out] + basis_product(
                fields[path.m], plan.values, mixing, graph, path.columns
            )
        return pairs.leave(torch.cat(parts, 1))


def _paths(
    in_channels: Sequence[int], out_channels: Sequence[int], modes: Tensor
) -> list[Path]:
    """All pairs of types that have fields; conjugates where they say something new."""
    angle = modes[:, 2]
    paths, first = [], 0
    for p, fields_out in enumerate(out_channels):
        for m, fields in enumerate(in_channels):
            for sign in (1, -1) if m and p else (1,):
                turns = abs(p - sign * m)
                cosines = (angle == turns).nonzero()[:, 0].tolist()
                sines = (angle == -turns).nonzero()[:, 0].tolist() if turns else []
                if fields * fields_out * len(cosines):
                    last = first + len(cosines) * (2 if m or p else 1)
                    columns = list(range(first, last))
                    paths.append(Path(m, p, sign, cosines, sines, columns))
                    first = last
    return paths


def _phase(found: Patches, source_frames: Tensor, target_frames: Tensor) -> Tensor:
    """(E,) `exp(i phi)` of each pair; points and frames in their own order."""
    pairs = found.pairs
    places = pairs.source_order.source, pairs.target_order.source
    normals = pairs.source.normals, pairs.target.normals
    a, b = (n[order] for n, order in zip(normals, places, strict=True))  # type: ignore[index]
    turn = transport(
        pairs.graph, a, b, source_frames[places[0]], target_frames[places[1]]
    )
    return torch.view_as_complex(turn)


def _functions(path: Path, values: Tensor, phase: Tensor) -> Tensor:
    """(E, 2 n) the real and imaginary parts of each function, (E, n) where it is real.

    values : (E, B) of the basis, which has `cos l theta` and `sin l theta`.
    """
    if path.is_real:
        return values[:, path.cosines]
    function = values[:, path.cosines] + 0j
    if path.sines:
        turned = 1j if path.m_out > path.sign * path.m else -1j
        function = function + turned * values[:, path.sines]
    if path.m:
        function = function * (phase ** (path.sign * path.m))[:, None]
    return torch.view_as_real(function).flatten(1)


def _mixing(path: Path, matrices: Tensor) -> Tensor:
    """(columns, channels of u^m, of v^p): real matrices for the complex product.

    With `W = a + ib` and `f = c + is`, `f (x + iy) W` has the parts

        c (x a - y b) - s (x b + y a),   c (x b + y a) + s (x a - y b).
    """
    if path.is_real:
        return matrices[:, 0]
    a, b = matrices.unbind(1)
    by_real, by_imaginary = torch.stack([a, b], 2), torch.stack([-b, a], 2)
    cosine = torch.stack([by_real, path.sign * by_imaginary], 1)
    sine = torch.stack([by_imaginary, -path.sign * by_real], 1)
    both = torch.stack([cosine, sine], 1)  # n, 2 columns, 2 of u, C_in, 2 of v, C_out
    both = both[:, :, : 2 if path.m else 1, :, : 2 if path.m_out else 1]
    return both.flatten(4, 5).flatten(2, 3).flatten(0, 1)
