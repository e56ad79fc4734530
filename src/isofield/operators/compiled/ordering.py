"""The places of points along a Morton curve."""

from __future__ import annotations

import numpy as np

from isofield.operators.compiled.kernel import kernel


@kernel
def places(points: np.ndarray, low: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(M,) int64: the bits of `(points - low) * scale` (M, d) in turn, d = 1, 2 or 3.

    scale : (d,), so that 31 bits, or 20 in space, hold the products.
    """
    count, d = points.shape
    result = np.empty(count, dtype=np.int64)
    for i in range(count):
        key = 0
        for c in range(d):
            bits = int((points[i, c] - low[c]) * scale[c])
            if d == 2:
                bits = (bits | bits << 16) & 0x0000FFFF0000FFFF
                bits = (bits | bits << 8) & 0x00FF00FF00FF00FF
                bits = (bits | bits << 4) & 0x0F0F0F0F0F0F0F0F
                bits = (bits | bits << 2) & 0x3333333333333333
                bits = (bits | bits << 1) & 0x5555555555555555
            elif d == 3:
                bits = (bits | bits << 32) & 0x1F00000000FFFF
                bits = (bits | bits << 16) & 0x1F0000FF0000FF
                bits = (bits | bits << 8) & 0x100F00F00F00F00F
                bits = (bits | bits << 4) & 0x10C30C30C30C30C3
                bits = (bits | bits << 2) & 0x1249249249249249
            key |= bits << c
        result[i] = key
    return result
