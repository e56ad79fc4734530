"""The rows of interpolation in simplices, one after the other."""

from __future__ import annotations

import numpy as np

from isofield.operators.compiled.kernel import kernel


@kernel
def rows(
    nodes: np.ndarray, cell: np.ndarray, reference: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, column and value (E,) of each barycentric coordinate that is not 0, sorted.

    nodes : (T, d + 1). cell : (M,) the simplex of each point, -1 for none. reference :
    (M, d).
    """
    count, d = reference.shape
    entries = 0
    for i in range(count):
        if cell[i] >= 0:
            entries += _first(reference, i) != 0
            for c in range(d):
                entries += reference[i, c] != 0
    row, column = np.empty(entries, np.int64), np.empty(entries, np.int64)
    value = np.empty(entries)
    last = 0
    for i in range(count):
        if cell[i] < 0:
            continue
        start = last
        for c in range(d + 1):
            share = reference[i, c - 1] if c else _first(reference, i)
            if share == 0:
                continue
            node, place = nodes[cell[i], c], last
            while place > start and column[place - 1] > node:
                column[place], value[place] = column[place - 1], value[place - 1]
                place -= 1
            column[place], value[place], row[last] = node, share, i
            last += 1
    return row, column, value


@kernel
def _first(reference: np.ndarray, i: int) -> float:
    """The coordinate of the first corner: 1 without the others."""
    total = reference[i, 0]
    for c in range(1, reference.shape[1]):
        total += reference[i, c]
    return 1.0 - total
