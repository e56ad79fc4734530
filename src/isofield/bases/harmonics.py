"""Harmonic polynomials on the line, in the plane and in space."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def harmonics(u: Tensor, order: int) -> Tensor:
    """(..., d) -> (..., A), the homogeneous harmonic polynomials up to this degree.

    Mean square 1 over the unit sphere, and orthogonal there. On the line 1 and u; in
    the plane 1, `√2 |u|^l cos lθ`, `√2 |u|^l sin lθ`; in space `√4π |u|^l Y_lm`, with
    Y_lm the real spherical harmonics of the polar axis z, cos mφ for m > 0, sin |m|φ
    for m < 0, and without the sign (-1)^m. Their place is `harmonic_index`.

    By recurrences in the coordinates: polynomials, smooth at 0.
    """
    if u.shape[-1] == 1:
        return torch.cat([torch.ones_like(u), u], -1)
    cosine, sine = _powers(u[..., 0], u[..., 1], order)
    if u.shape[-1] == 2:
        root = math.sqrt(2)
        return torch.cat(
            [cosine[..., :1], root * cosine[..., 1:], root * sine[..., 1:]], -1
        )
    polar = _polar(u[..., 2:], u.square().sum(-1, keepdim=True), order)
    blocks = []
    for degree in range(order + 1):
        back = list(range(degree, 0, -1))
        blocks += [polar[degree][..., back] * sine[..., back]]
        blocks += [polar[degree] * cosine[..., : degree + 1]]
    return torch.cat(blocks, -1)


def harmonic_index(dimension: int, order: int, degree: Tensor, m: Tensor) -> Tensor:
    """The place of the polynomial of a degree l and a kind m among `harmonics`."""
    if dimension == 1:
        return degree
    if dimension == 2:
        return torch.where(m < 0, order + degree, degree)
    return degree * (degree + 1) + m


def turned_harmonics(dimension: int, order: int, rotation: Tensor) -> Tensor:
    """(..., A, A) with `harmonics(R u) = turned_harmonics(R) @ harmonics(u)`.

    rotation : angles (...,) in the plane, orthogonal matrices (..., 3, 3) in space;
    there the entries are means over the sphere, by a quadrature that is exact for them.

    Raises `ValueError` for other dimensions and other matrices.
    """
    if dimension == 2:
        turn = torch.arange(order + 1).to(rotation) * rotation[..., None]
        cosine, sine = turn.cos().diag_embed(), turn.sin().diag_embed()
        top = torch.cat([cosine, -sine[..., 1:]], -1)
        bottom = torch.cat([sine[..., 1:, :], cosine[..., 1:, 1:]], -1)
        return torch.cat([top, bottom], -2)
    if dimension != 3 or rotation.shape[-2:] != (3, 3):
        raise ValueError(
            "expected angles in the plane or matrices (..., 3, 3) in space, got "
            f"{tuple(rotation.shape)} in {dimension} dimensions"
        )
    points, weights = (x.to(rotation) for x in _sphere(order))
    fixed = harmonics(points, order) * weights[:, None]
    turned = harmonics(points @ rotation.mT, order)
    return turned.mT @ fixed


def _sphere(order: int) -> tuple[Tensor, Tensor]:
    """Points (Q, 3) on the sphere and weights (Q,) of sum 1, exact to 2 * order."""
    z, w = np.polynomial.legendre.leggauss(order + 1)
    n = 2 * order + 1
    angle = 2 * np.pi * np.arange(n) / n
    side = np.sqrt(1 - z**2)[:, None]
    points = np.stack(
        np.broadcast_arrays(side * np.cos(angle), side * np.sin(angle), z[:, None]), -1
    )
    weights = np.repeat(w / (2 * n), n)
    return torch.tensor(points.reshape(-1, 3)), torch.tensor(weights)


def _powers(x: Tensor, y: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """(..., order + 1) real and imaginary parts of (x + iy)^m."""
    real, imaginary = [torch.ones_like(x)], [torch.zeros_like(x)]
    for _ in range(order):
        c, s = real[-1], imaginary[-1]
        real.append(x * c - y * s)
        imaginary.append(x * s + y * c)
    return torch.stack(real, -1), torch.stack(imaginary, -1)


def _polar(z: Tensor, square: Tensor, order: int) -> list[Tensor]:
    """For l = 0..order (..., l + 1), m = 0..l: the harmonic over its power of x + iy.

    `p_lm = a_lm (z p_(l-1)m - b_lm |u|^2 p_(l-2)m)`, the normalised recurrence of the
    associated Legendre functions with sin^m θ taken out; `square` is |u|^2.
    """
    rows, diagonal = [torch.ones_like(z)], math.sqrt(2)
    for n in range(1, order + 1):
        diagonal *= math.sqrt((2 * n + 1) / (2 * n))
        m = torch.arange(n, dtype=torch.float64)
        a = ((4 * n**2 - 1) / (n**2 - m**2)).sqrt().to(z)
        row = z * rows[-1]
        if n > 1:
            b = (((n - 1) ** 2 - m**2) / (4 * (n - 1) ** 2 - 1)).sqrt().to(z)
            before = torch.cat([rows[-2], torch.zeros_like(z)], -1)
            row = row - b * square * before
        rows.append(torch.cat([a * row, torch.full_like(z, diagonal)], -1))
    return rows
