"""The shape functions of cells and their slopes, on any device."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from isofield.cells import CELL_TYPES


class Shapes:
    """`CellType.shape` and `CellType.gradient` of one cell type as torch functions.

    The derivative of a monomial is a monomial: the functions and their slopes are one
    row of monomials times a constant matrix.
    """

    def __init__(self, kind: str, device: torch.device | str = "cpu") -> None:
        self.dimension = CELL_TYPES[kind].dimension
        exponents, matrix = _in_monomials(kind)
        self.exponents = torch.tensor(exponents, device=device)
        self.most = exponents.max(0).tolist()
        self.matrix = torch.tensor(matrix, device=device)

    def __call__(self, xi: Tensor) -> Tensor:
        """(K, n) the functions at points (K, m), float64."""
        n = self.matrix.shape[1] // (1 + self.dimension)
        return self._monomials(xi) @ self.matrix[:, :n]

    def with_slopes(self, xi: Tensor) -> tuple[Tensor, Tensor]:
        """(K, n) the functions and (K, n, m) their slopes."""
        found = self._monomials(xi) @ self.matrix
        found = found.unflatten(1, (1 + self.dimension, -1))
        return found[:, 0], found[:, 1:].mT

    def _monomials(self, xi: Tensor) -> Tensor:
        """(K, e) x^a y^b z^c (1 - z)^-k; where z = 1 those of k > 0 count as 0."""
        factors = [*xi.unbind(1)]
        if self.dimension == 3:
            rest = 1 - xi[:, 2]
            apex = rest == 0
            inverse = 1 / torch.where(apex, 1.0, rest)
            factors.append(torch.where(apex, 0.0, inverse))
        result = xi.new_ones(1, 1)
        for axis, factor in enumerate(factors):
            powers = [torch.ones_like(factor)]
            for _ in range(self.most[axis]):
                powers.append(powers[-1] * factor)
            result = result * torch.stack(powers, 1)[:, self.exponents[:, axis]]
        return result


@lru_cache
def _in_monomials(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Exponents (e, 4) and the coefficients (e, (1 + m) n) of the n shape functions,
    then of their derivatives along each axis."""
    cell = CELL_TYPES[kind]
    exponents, coefficients = cell.monomials
    unit = np.eye(4, dtype=int)
    # which function, its exponents and its coefficients: d z^c (1 - z)^-k has two terms
    terms = [(0, exponents, coefficients)]
    for axis in range(cell.dimension):
        lower, factor = exponents - unit[axis], exponents[:, [axis]]
        terms.append((1 + axis, lower, factor * coefficients))
    if cell.dimension == 3:
        terms.append((3, exponents + unit[3], exponents[:, [3]] * coefficients))
    stacked = np.concatenate([rows[matrix.any(1)] for _, rows, matrix in terms])
    found = np.unique(stacked, axis=0)
    result = np.zeros((len(found), 1 + cell.dimension, cell.nodes))
    for part, rows, matrix in terms:
        for row, coefficient in zip(rows, matrix, strict=True):
            result[(found == row).all(1), part] += coefficient
    return found, result.reshape(len(found), -1)
