"""Convolution by Fourier modes that are summed in the measure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from isofield.discretization import Discretization
from isofield.layers.operator import Operator
from isofield.plan import Plan

Filter = Literal["full", "isotropic", "directional"]

# values along the wave number of a filter that is not full, linear between them
VALUES = 8

# points whose waves are computed at one time
AT_ONCE = 1 << 14

# numbers that samples side by side may fill: a batch is then one product, where that of
# each sample alone would leave a GPU waiting for the next
SIDE_BY_SIDE = 1 << 26


@dataclass(frozen=True, eq=False)
class Waves(Plan):
    """domain : N points. values : (N, 2 K) of the waves there, K cosines, then K sines:
    1 and 0 for k = 0, `sqrt(2) cos(k.x)` and `sqrt(2) sin(k.x)` for the others."""

    domain: Discretization
    values: Tensor


@dataclass(frozen=True, eq=False)
class FourierPlan(Plan):
    """The waves at the points of the source and of the target."""

    source: Waves
    target: Waves


def wave_numbers(dimension: int, modes: int, period: float) -> Tensor:
    """(K, d) `2 pi n / P` for whole numbers |n| <= modes, one of n and -n; float64.

    The first is 0, the first number of none is negative. modes : waves along a period.
    period : P, length. Raises `ValueError` for others than P > 0 and modes >= 0.
    """
    if not period > 0:
        raise ValueError(f"period: expected a positive length, got {period}")
    if modes < 0:
        raise ValueError(f"modes: expected 0 or more waves, got {modes}")
    axis = torch.arange(-modes, modes + 1)
    n = torch.cartesian_prod(*[axis] * dimension).view(-1, dimension)
    # in this order -n comes as far before the middle, which is 0, as n comes after it
    n = n[len(n) // 2 :]
    return 2 * math.pi / period * n[n.square().sum(1) <= modes**2].double()


def waves_at(
    domain: Discretization, numbers: Tensor, dtype: torch.dtype | None = None
) -> Waves:
    """The waves of these numbers (K, d) at the points.

    Computed in the precision of the points, kept in that or in another, `dtype`.
    """
    parts = [wave_values(x, numbers).to(dtype) for x in domain.points.split(AT_ONCE)]
    return Waves(domain, torch.cat(parts))


def wave_values(points: Tensor, numbers: Tensor) -> Tensor:
    """(N, 2 K) of `Waves`, in the precision of the points."""
    phase = points @ numbers.to(points).t()
    size = torch.full_like(phase[:1], math.sqrt(2))
    size[:, (numbers == 0).all(1)] = 1
    return torch.cat([size * phase.cos(), size * phase.sin()], 1)


def wave_matrices(count: int, in_channels: int, out_channels: int) -> nn.Parameter:
    """Random R_k, (K, C_in, 2 C_out), the real part beside the imaginary part.

    Fields of these waves, of mean square 1, come out of mean square 1.
    """
    scale = (2 * in_channels) ** -0.5
    return nn.Parameter(scale * torch.randn(count, in_channels, 2 * out_channels))


def hats(numbers: Tensor, count: int) -> Tensor:
    """(K, B) values at |k| of B hats evenly over 0 to the largest |k|; they sum to 1.

    numbers : (K, d). count : B, at least 2.
    """
    length = torch.linalg.vector_norm(numbers, dim=1)
    place = length / length.max().clamp(min=1e-300) * (count - 1)
    return (1 - (place[:, None] - torch.arange(count)).abs()).clamp(min=0)


class FourierConv(Operator):
    """`v(x) = int kappa(x - y) u(y) dmu(y)`, kappa a trigonometric polynomial.

        c_k = 1/P^m sum_j w_j e^{-i k.y_j} u(y_j),   v(x) = sum_k e^{i k.x} R_k c_k

    over all `k = 2 pi n / P`, |n| <= modes, with `R_{-k} = conj(R_k)`: the kernel is
    `kappa(z) = 1/P^m sum_k e^{i k.z} R_k`, its Fourier coefficients R_k are learned.
    There is neither grid nor graph: two dense products with the waves at the points.
    It sees the whole domain at once, and what leaves the mesh out also tells the shape,
    because c_k of a constant is the transform of the domain.

    in_channels, out_channels : of the fields. dimension : d. period : P, length; the
    kernel repeats after it, so take more than the extent of the domain. modes : waves
    along a period; the shortest, P / modes, needs at least two spacings of the source.
    measure_dimension : m, 2 for surfaces in space, d where it is not given. kernel :
    "full", a complex matrix R_k for each wave; "isotropic", real matrices A(|k|),
    linear between `VALUES` of them: a kernel of the distance |x - y|, with a small part
    of the parameters, for operators without a direction; or "directional",
    `A(|k|) + i sum_a k_a / |k| B_a(|k|)`: such kernels and derivatives of such along
    the axes, for what is carried somewhere.

    Error O(h^2) from lumped weights; exact where the weights integrate all products of
    u with the waves. Commutes with translations. Cost 2 (N + M) 2 K C and memory
    (N + M) 2 K, K about half of the points |n| <= modes; on a GPU the samples of a
    batch are columns of one product, at so many times the cost (`SIDE_BY_SIDE`).

    Source: Li et al., Fourier neural operator, arXiv:2010.08895, on point clouds as in
    Zeng et al., arXiv:2501.14475, here with the quadrature weights of any mesh.
    """

    along: Tensor
    directions: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dimension: int,
        period: float,
        *,
        modes: int = 6,
        measure_dimension: int | None = None,
        kernel: Filter = "full",
    ) -> None:
        super().__init__()
        known = get_args(Filter)
        if kernel not in known:
            raise ValueError(f"kernel: expected one of {known}, got {kernel!r}")
        m = dimension if measure_dimension is None else measure_dimension
        self.numbers = wave_numbers(dimension, modes, period)
        self.volume = period**m
        self.kernel = kernel
        if kernel == "full":
            count = len(self.numbers)
            self.coefficients = wave_matrices(count, in_channels, out_channels)
            return
        axes = dimension if kernel == "directional" else 0
        size = min(VALUES, modes + 2), in_channels, (1 + axes) * out_channels
        scale = (in_channels * (2 if axes else 1)) ** -0.5
        self.coefficients = nn.Parameter(scale * torch.randn(size))
        along = hats(self.numbers, size[0]).float()
        self.register_buffer("along", along, persistent=False)
        if axes:
            unit = nn.functional.normalize(self.numbers, dim=1).float()
            self.register_buffer("directions", unit, persistent=False)

    def prepare(self, source: Discretization, target: Discretization) -> FourierPlan:
        """The waves at all points, in the precision of the points."""
        return FourierPlan(
            waves_at(source, self.numbers), waves_at(target, self.numbers)
        )

    def forward(self, u: Tensor, plan: FourierPlan) -> Tensor:
        """(N, C_in) at the source points -> (M, C_out) at the target points.

        In the precision of the waves, under autocast too, as all sums over points.
        """
        with torch.autocast(u.device.type, enabled=False):
            source = plan.source
            weights = (source.domain.weights / self.volume).to(source.values)
            weighted = u.to(source.values) * weights[:, None]
            c = amplitudes(weighted, source.values, source.domain)
            return self.synthesis(c, plan.target)

    def synthesis(self, c: Tensor, target: Waves) -> Tensor:
        """`sum_k e^{i k.x} R_k c_k`: c (2 K, B, C_in) of B samples -> (M, C_out).

        Where R_k are sums of few matrices, the waves of their factors are summed and
        the matrices come last: C_in fields a factor in place of C_out.
        """
        parts = 1 + (self.directions.shape[1] if self.kernel == "directional" else 0)
        count, in_channels, wide = self.coefficients.shape
        if self.kernel == "full" or parts * count * in_channels >= wide // parts:
            return _sums_of_waves(self._filtered(c), target)
        fields = _sums_of_waves(self._by_factor(c).flatten(2), target)
        matrices = self.coefficients.unflatten(2, (parts, -1))
        return fields @ matrices.permute(2, 0, 1, 3).flatten(0, 2).to(fields)

    def _by_factor(self, c: Tensor) -> Tensor:
        """c_k times each factor, (2 K, B, C_in) -> (2 K, B, factors, C_in): of hats
        alone, then of hats times `i k_a / |k|`, see `_filtered`."""
        along = self.along.to(c)
        parts = [torch.einsum("kb,...ksc->...ksbc", along, c.unflatten(0, (2, -1)))]
        if self.kernel == "directional":
            p, q = parts[0]
            turned = torch.stack([q, -p])
            odd = [turned * a[:, None, None, None] for a in self.directions.to(c).t()]
            parts += odd
        return torch.cat(parts, 3).flatten(0, 1)

    def _filtered(self, c: Tensor) -> Tensor:
        """`R_k c_k` of all samples, (2 K, B, C_in) -> (2 K, B, C_out).

        In real waves: cosines p and sines q, `c = p - i q`, become `Re R p + Im R q`
        and `Re R q - Im R p`.
        """
        samples = c.shape[1]
        both = torch.cat(c.chunk(2), 1)  # (K, 2 B, C_in)
        matrices = self.coefficients
        if self.kernel != "full":
            matrices = torch.tensordot(self.along, matrices, 1)
        if self.kernel == "isotropic":
            return torch.cat((both @ matrices.to(c)).split(samples, 1))
        if self.kernel == "directional":
            parts = matrices.unflatten(2, (1 + self.directions.shape[1], -1))
            odd = torch.einsum("ka,kiao->kio", self.directions, parts[:, :, 1:])
            matrices = torch.cat([parts[:, :, 0], odd], 2)
        real, imaginary = (both @ matrices.to(c)).chunk(2, 2)
        p, q = real.split(samples, 1)
        ip, iq = imaginary.split(samples, 1)
        return torch.cat([p + iq, q - ip])


def amplitudes(u: Tensor, waves: Tensor, domain: Discretization) -> Tensor:
    """`sum_j waves_j u_j` of each sample: u (N, C), waves (N, 2 K) -> (2 K, B, C)."""
    if _side_by_side(domain, u.shape[1], u.device):
        columns = u.new_zeros(len(u), domain.n_samples, u.shape[1])
        rows = torch.arange(len(u), device=u.device)
        columns = columns.index_put((rows, domain.sample), u)
        return (waves.t() @ columns.flatten(1)).unflatten(1, columns.shape[1:])
    parts = zip(_by_sample(waves, domain), _by_sample(u, domain), strict=True)
    return torch.stack([w.t() @ part for w, part in parts], 1)


def _sums_of_waves(c: Tensor, target: Waves) -> Tensor:
    """`sum_k c_k waves_k` at the points of each sample: (2 K, B, C) -> (M, C)."""
    values, domain = target.values, target.domain
    if _side_by_side(domain, c.shape[2], c.device):
        columns = (values @ c.flatten(1)).unflatten(1, c.shape[1:])
        return columns[torch.arange(len(values), device=c.device), domain.sample]
    parts = zip(_by_sample(values, domain), c.unbind(1), strict=True)
    if c.shape[2] < 16:  # the product of few columns is that of few rows in less time
        return torch.cat([(part.t() @ waves.t()).t() for waves, part in parts])
    return torch.cat([waves @ part for waves, part in parts])


def _side_by_side(domain: Discretization, channels: int, device: torch.device) -> bool:
    """Whether samples are columns of one product: B times the work, in one call."""
    size = len(domain) * domain.n_samples * channels
    return device.type == "cuda" and domain.n_samples > 1 and size <= SIDE_BY_SIDE


def _by_sample(values: Tensor, domain: Discretization) -> tuple[Tensor, ...]:
    return values.split(domain.ptr.diff().tolist())
