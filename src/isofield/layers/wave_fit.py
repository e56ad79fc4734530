"""Amplitudes of waves that fit a field between its points, not only sum over them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from isofield.discretization import Discretization
from isofield.layers.fourier_conv import AT_ONCE, amplitudes, wave_values

# the spectrum before any field was seen: half its height at a quarter of the waves
DECAY = 0.25
# what a field may have in waves that no observed field had, as a share of the largest
UNSEEN = 1e-4


class WaveFit(nn.Module):
    """Amplitudes c of waves `Phi` in a domain, by least squares with a prior.

        c = argmin_c 1/P^m int |u - Phi c|^2 dmu + noise c.C^{-1} c
          = C^{1/2} (noise + C^{1/2} G C^{1/2})^{-1} C^{1/2} 1/P^m int Phi^T u dmu,
        G = 1/P^m int Phi^T Phi dmu,

    all integrals sums over the same points. Where u is a sum of the waves, c is exact
    up to the noise, whatever the weights are: their errors in G and in the right side
    cancel. What points cannot tell apart goes to the waves that C holds for likely, so
    coarse meshes give their long waves undisturbed by the short ones. C is the
    covariance of the amplitudes, of trace 1: before `observe` that of a smooth random
    field, afterwards that of the fields that were seen.

    numbers : (K, d) of the waves, see `wave_numbers`. volume : P^m. noise : the mean
    square of what is no sum of waves, for fields of mean square 1.

    Cost of `dual` 2 N (2 K)^2 + (2 K)^3, memory N 2 K. Node splitting changes nothing.
    Errors of u, rounding too, are magnified by at most (max C / noise)^{1/2} / 2.
    Sources: Wiener filter; for covariances of samples Everson and Sirovich, 1995,
    doi:10.1364/JOSAA.12.001657; for their shrinkage Ledoit and Wolf, 2004,
    doi:10.1016/S0047-259X(03)00096-4.
    """

    factor: Tensor

    def __init__(self, numbers: Tensor, volume: float, noise: float = 1e-6) -> None:
        super().__init__()
        if not noise > 0:
            raise ValueError(f"noise: expected more than 0, got {noise}")
        self.numbers = numbers
        self.volume = volume
        self.noise = noise
        length = torch.linalg.vector_norm(numbers, dim=1)
        half = DECAY * length.max().clamp(min=1e-12)
        likely = 1 / (1 + (length / half).square())
        self._remember(torch.diag(torch.cat([likely, likely])))

    def _remember(self, covariance: Tensor) -> None:
        """Keep C^{1/2}, whose weights no step of a training changes."""
        values, vectors = torch.linalg.eigh(covariance / covariance.trace())
        root = (vectors * values.clamp(min=0).sqrt()) @ vectors.t()
        self.register_buffer("factor", root.float())

    def dual(self, domain: Discretization, dtype: torch.dtype | None = None) -> Tensor:
        """(N, 2 K) whose sum with a field over the points gives its amplitudes.

        Computed in float64, some points at a time; returned in `dtype`, that of the
        points where it is not given.
        """
        dtype, domain = dtype or domain.points.dtype, domain.to(torch.float64)
        root = self.factor.to(domain.points)
        eye = torch.eye(len(root), dtype=root.dtype, device=root.device)
        sizes = domain.ptr.diff().tolist()
        weights = (domain.weights / self.volume)[:, None]
        duals = []
        for points, share in zip(
            domain.points.split(sizes), weights.split(sizes), strict=True
        ):
            gram = torch.zeros_like(root)
            for x, w in zip(points.split(AT_ONCE), share.split(AT_ONCE), strict=True):
                waves = wave_values(x, self.numbers)
                gram = gram + waves.t() @ (w * waves)
            inner = root @ gram @ root + self.noise * eye
            solved = root @ torch.cholesky_solve(root, torch.linalg.cholesky(inner))
            for x, w in zip(points.split(AT_ONCE), share.split(AT_ONCE), strict=True):
                duals.append((w * wave_values(x, self.numbers) @ solved).to(dtype))
        return torch.cat(duals)

    @torch.no_grad()
    def observe(
        self, domains: Sequence[Discretization], fields: Sequence[Tensor]
    ) -> None:
        """Take C from fields, each (N, C) on its domain, all channels alike.

        `C = (1 - s) S + s diag(S) + UNSEEN max(diag(S))`, S the mean of `c c^T`,
        symmetric under shifts of the phase where it is cut to its diagonal, s the share
        that Ledoit and Wolf expect to be best. Only the finer half of the domains
        counts, by number of points, because coarse ones mistake waves for others.
        Fields that are zero tell nothing, and C stays.
        """
        sizes = torch.tensor([len(domain) for domain in domains])
        fine = (sizes >= sizes.median()).nonzero()[:, 0].tolist()
        c = torch.cat([self._fitted(domains[i], fields[i]) for i in fine], 1)
        mean = c @ c.t() / c.shape[1]
        if not mean.any():
            return
        shift = mean.diagonal().view(2, -1).mean(0).repeat(2)
        target = torch.diag(shift)
        spread = (c.square().sum(0).square().mean() - mean.square().sum()) / c.shape[1]
        distance = (mean - target).square().sum()
        share = (spread / distance.clamp(min=1e-300)).clamp(0, 1)
        unseen = UNSEEN * shift.max() * torch.eye(len(c), dtype=c.dtype)
        self._remember((1 - share) * mean + share * target + unseen)

    def _fitted(self, domain: Discretization, field: Tensor) -> Tensor:
        """(2 K, C) amplitudes in float64."""
        domain = domain.to(torch.float64)
        return amplitudes(field.double(), self.dual(domain), domain)[:, 0]
