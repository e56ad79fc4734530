"""Convolution on a latent grid by the fast Fourier transform."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from isofield.layers.fourier_conv import wave_matrices, wave_numbers
from isofield.layers.latent_grid import LatentGrid, row_major


class SpectralConv(nn.Module):
    """`v(x) = int kappa(x - y) u(y) dmu(y)` between the nodes of a latent grid.

        c_k = 1/P^m sum_c W_c e^{-i k.x_c} u(x_c),   v(x) = sum_k e^{i k.x} R_k c_k

    for the wave numbers k of `FourierConv`, with its parameters: both are the same map,
    equal to rounding, here by two fast transforms of the grid instead of dense products
    with the waves. Nodes carry the weights of the grid (`latent_grid`), so the number
    of nodes is no matter of the parameters: a finer grid is the same integral by a
    finer rule. Nodes beyond the reach of the domain are zeros; a period as long as
    `latent_grid` demands keeps nodes apart, but kernels repeat after P: waves come
    round at the distance P less the extent of the domain.

    in_channels, out_channels : of the fields. dimension : d. period : P, length, that
    of the grid. modes : waves along a period, less than half of the nodes along a side.
    measure_dimension : m, 2 for surfaces in space, d where it is not given.

    Cost 2 C n^d log(n^d) for the transforms and 2 K C^2 for the matrices, memory n^d C.
    Commutes with shifts by whole spacings of the grid.

    Source: Li et al., Fourier neural operator, arXiv:2010.08895.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dimension: int,
        period: float,
        *,
        modes: int = 6,
        measure_dimension: int | None = None,
    ) -> None:
        super().__init__()
        m = dimension if measure_dimension is None else measure_dimension
        numbers = wave_numbers(dimension, modes, period) * (period / (2 * math.pi))
        self.numbers = numbers.round().long()
        self.modes = modes
        self.volume = period**m
        self.coefficients = wave_matrices(len(self.numbers), in_channels, out_channels)

    def forward(self, u: Tensor, grid: LatentGrid) -> Tensor:
        """(M, C_in) at the nodes of the grid -> (M, C_out) there.

        In the precision of the grid, under autocast too, as all sums over points.
        Raises `ValueError` where the grid has too few nodes for the waves.
        """
        with torch.autocast(u.device.type, enabled=False):
            n = grid.nodes_along(2 * self.modes + 1)
            domain, d = grid.domain, grid.domain.dimension
            place = domain.sample * n**d + grid.place
            weights = (domain.weights / self.volume)[:, None]
            field = weights.new_zeros(domain.n_samples * n**d, u.shape[1])
            field = field.index_copy(0, place, weights * u.to(weights))
            # the first axis is halved: none of the wave numbers is negative there
            axes = [*range(2, d + 1), 1]
            field = field.view(domain.n_samples, *[n] * d, -1)
            spectrum = torch.fft.rfftn(field, dim=axes)
            filtered = self._filtered(spectrum.flatten(1, d), n)
            filtered = filtered.view(*spectrum.shape[:-1], -1)
            v = torch.fft.irfftn(filtered, s=[n] * d, dim=axes, norm="forward")
            return v.reshape(-1, v.shape[-1]).index_select(0, place)

    def _filtered(self, spectrum: Tensor, n: int) -> Tensor:
        """`R_k c_k` at its place, 0 elsewhere: (B, n_k, C_in) -> (B, n_k, C_out).

        Where the first number is 0 the array holds k and -k, which are conjugates.
        """
        numbers = self.numbers.to(spectrum.device)
        place = row_major(numbers % n, n)
        matrices = self.coefficients.to(spectrum.real).chunk(2, 2)
        c = spectrum.index_select(1, place)
        v = torch.einsum("bki,kio->bko", c, torch.complex(*matrices))
        filtered = v.new_zeros(*spectrum.shape[:2], v.shape[2])
        filtered = filtered.index_copy(1, place, v)
        both = (numbers[:, 0] == 0).nonzero().flatten()
        opposite = row_major(-numbers[both] % n, n)
        pair = v[:, both].conj()
        # 0 is its own opposite: its imaginary part belongs to no real field
        pair = torch.cat([pair[:, :1].real.to(pair.dtype), pair[:, 1:]], 1)
        return filtered.index_copy(1, opposite, pair)
