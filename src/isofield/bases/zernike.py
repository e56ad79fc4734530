"""Generalised Zernike functions: orthogonal polynomials on the ball with its window."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from isofield.bases.basis import Basis, check_at_least, check_dimension
from isofield.bases.harmonics import harmonic_index, harmonics, turned_harmonics


class ZernikeBasis(Basis):
    """All polynomials up to a degree, orthogonal on the ball in the window's weight.

        phi_nlm(u) = N_nl P_k^(alpha, beta)(2 |u|^2 - 1) H_lm(u)
        k = (n - l) / 2,   beta = l + d/2 - 1,   n = 0..order,   n - l even

    H_lm are the harmonic polynomials of degree l of `harmonics`, of mean square 1 on
    the sphere: on the line 1 and u; on the disc 1, `√2 |u|^l cos lθ` (m = l) and
    `√2 |u|^l sin lθ` (m = -l); on the ball `√4π |u|^l Y_lm`. P are Jacobi polynomials.
    With alpha = 0 these are the Zernike polynomials in the norm of Noll.

    Law: `∫ (1 - |u|^2)^alpha phi_b phi_c du = delta_bc ∫ (1 - |u|^2)^alpha du`, so that
    the mean square in the window is 1, phi_0 = 1, and

        c_b = ∫ kernel_b(u) v(u) du / ∫ window(u) du

    are the coefficients of the best approximation of v in that weight; for v a
    polynomial of degree <= order, those of v itself.

    dimension : d, 1, 2 or 3. order : the degree of the polynomials, at least 0; stable
    to 50 and beyond: the Jacobi polynomials come from their forward recurrence, the
    harmonics from recurrences in the coordinates, regular at 0. alpha : of the window,
    at least 0; with 2 kernels are continuously differentiable.

    size : B = binomial(order + d, d). modes : (B, 3) int64, (n, l, m) of each function:
    by n, in the plane then by m (ANSI Z80.28), in space by l and m; m = 0 on the line.

    Source: F. Zernike 1934, doi:10.1016/S0031-8914(34)80259-5; for alpha > 0 and any d
    C. F. Dunkl and Y. Xu, doi:10.1017/CBO9781107786134, section 5.2.
    """

    def __init__(self, dimension: int, order: int, alpha: float = 2.0) -> None:
        check_dimension(dimension, (1, 2, 3))
        check_at_least("order", order, 0)
        size = math.comb(order + dimension, dimension)
        super().__init__(dimension, size, alpha, order)
        self.order = order
        self.modes = torch.tensor(_modes(dimension, order))
        n, degree, m = self.modes.unbind(1)
        self._radial = (n - degree) // 2 * (order + 1) + degree
        self._angular = harmonic_index(dimension, order, degree, m)
        # float64, out of reach of a change of the module's precision
        norms = [self._norm(*mode[:2]) for mode in self.modes.tolist()]
        self._norms = torch.tensor(norms, dtype=torch.float64)

    def functions(self, u: Tensor) -> Tensor:
        """(..., d) -> (..., B), the phi_nlm; polynomials on all of R^d."""
        radial = self._jacobi(u.square().sum(-1, keepdim=True))
        angular = harmonics(u, self.order)
        device = u.device
        return (
            radial.index_select(-1, self._radial.to(device))
            * angular.index_select(-1, self._angular.to(device))
            * self._norms.to(u)
        )

    def rotated(self, rotation: Tensor | float) -> Tensor:
        """(..., B, B) with `functions(R u) = rotated(R) @ functions(u)`.

        rotation : R; in the plane the angle (radians, (...,) or one number) from the
        first axis to the second, in space orthogonal matrices (..., 3, 3).

        Law: orthogonal, `rotated(R S) = rotated(R) @ rotated(S)`, and mixes functions
        of the same n and l alone. Coefficients c of a field v become `rotated(R) @ c`
        for the turned field `v(R^T u)`. In the precision of R, float64 for a number.

        Raises `ValueError` on the line, and in space for anything but 3 x 3 matrices.
        """
        if not isinstance(rotation, Tensor):
            rotation = torch.tensor(rotation, dtype=torch.float64)
        turned = turned_harmonics(self.dimension, self.order, rotation)
        device = rotation.device
        place, n = self._angular.to(device), self.modes[:, 0].to(device)
        return turned[..., place[:, None], place] * (n[:, None] == n)

    def _jacobi(self, s: Tensor) -> Tensor:
        """(..., 1), |u|^2 -> (..., K (order + 1)), P_k^(alpha, l + d/2 - 1)(2 s - 1)
        for k < K = order // 2 + 1 and, within, l = 0..order."""
        a = self.alpha
        b = torch.arange(self.order + 1, dtype=torch.float64) + self.dimension / 2 - 1
        last, now = (
            torch.zeros_like(s),
            torch.ones_like(s).expand(*s.shape[:-1], len(b)),
        )
        values = [now]
        for k in range(self.order // 2):
            c = 2 * k + a + b
            if k == 0:
                slope, shift, back = a + b + 2, -(b + 1), torch.zeros_like(b)
            else:
                below = 2 * (k + 1) * (k + a + b + 1) * c
                half = (c + 1) * (c + 2) * c / below
                slope = 2 * half
                shift = (c + 1) * (a**2 - b**2) / below - half
                back = 2 * (k + a) * (k + b) * (c + 2) / below
            slope, shift, back = slope.to(s), shift.to(s), back.to(s)
            last, now = now, (slope * s + shift) * now - back * last
            values.append(now)
        return torch.cat(values, -1)

    def _norm(self, n: int, degree: int) -> float:
        """N_nl: the root of `∫ window` over the integral of the squared product."""
        whole = _log_integral(0, self.alpha, self.dimension / 2 - 1)
        k, b = (n - degree) // 2, degree + self.dimension / 2 - 1
        return math.exp((whole - _log_integral(k, self.alpha, b)) / 2)


def _log_integral(k: int, a: float, b: float) -> float:
    """The logarithm of `∫_0^1 (1 - s)^a s^b P_k^(a, b)(2s - 1)^2 ds`."""
    gamma = math.lgamma(k + a + 1) + math.lgamma(k + b + 1)
    gamma -= math.lgamma(k + 1) + math.lgamma(k + a + b + 1)
    return gamma - math.log(2 * k + a + b + 1)


def _modes(dimension: int, order: int) -> list[tuple[int, int, int]]:
    """(n, l, m) of every function, in order."""
    modes = []
    for n in range(order + 1):
        degrees = range(n % 2, n + 1, 2)
        if dimension == 1:
            modes.append((n, n % 2, 0))
        elif dimension == 2:
            modes += [(n, abs(m), m) for m in range(-n, n + 1, 2)]
        else:
            modes += [(n, k, m) for k in degrees for m in range(-k, k + 1)]
    return modes
