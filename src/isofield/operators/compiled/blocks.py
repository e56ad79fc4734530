"""Rows of B sparse matrices of one pattern, each neighbour read once for all B."""

from __future__ import annotations

import numba
import numpy as np

# no sum is reordered except in `against`; NaN and infinity stay what they are
EXACT = {"contract", "nsz"}


@numba.njit(cache=True, nogil=True, fastmath=EXACT)
def gathered(
    ptr: np.ndarray,
    columns: np.ndarray,
    values: np.ndarray,
    u: np.ndarray,
    first: int,
    last: int,
    result: np.ndarray,
) -> None:
    """`result_ibc = sum_j values_ijb u_jc` for the rows first <= i < last.

    ptr : (K + 1,) where the entries of row i begin. columns : (E,). values : (E, B).
    u : (N, C). result : (K, B, C).
    """
    for i in range(first, last):
        row = result[i]
        row[:] = 0
        for e in range(ptr[i], ptr[i + 1]):
            source = u[columns[e]]
            for b in range(values.shape[1]):
                value = values[e, b]
                for c in range(u.shape[1]):
                    row[b, c] += value * source[c]


@numba.njit(cache=True, nogil=True, fastmath=EXACT)
def collected(
    ptr: np.ndarray,
    columns: np.ndarray,
    values: np.ndarray,
    u: np.ndarray,
    first: int,
    last: int,
    result: np.ndarray,
) -> None:
    """`result_ic += sum_jb values_ijb u_bjc`: as `gathered`, but u (B, N, C) and
    result (K, C)."""
    for i in range(first, last):
        row = result[i]
        for e in range(ptr[i], ptr[i + 1]):
            for b in range(values.shape[1]):
                value = values[e, b]
                source = u[b, columns[e]]
                for c in range(u.shape[2]):
                    row[c] += value * source[c]


@numba.njit(cache=True, nogil=True, fastmath={"contract", "nsz", "reassoc"})
def against(
    ptr: np.ndarray,
    columns: np.ndarray,
    pulled: np.ndarray,
    u: np.ndarray,
    first: int,
    last: int,
    result: np.ndarray,
) -> None:
    """`result_eb = sum_c pulled_ibc u_jc` for the entries e = (i, j) of the rows.

    pulled : (K, B, C). u : (N, C). result : (E, B).
    """
    for i in range(first, last):
        for e in range(ptr[i], ptr[i + 1]):
            source = u[columns[e]]
            for b in range(pulled.shape[1]):
                row = pulled[i, b]
                total = u.dtype.type(0)
                for c in range(u.shape[1]):
                    total += row[c] * source[c]
                result[e, b] = total
