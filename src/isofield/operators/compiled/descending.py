"""One level down two trees of boxes."""

from __future__ import annotations

import numpy as np

from isofield.operators.compiled.kernel import kernel


@kernel
def meeting(
    s: np.ndarray,
    t: np.ndarray,
    halved_s: bool,
    halved_t: bool,
    boxes_s: np.ndarray,
    boxes_t: np.ndarray,
    reach: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of children of pairs of nodes (P,) whose boxes meet.

    boxes : (K, 2, d) low and -high of the children's level. reach : (K,) of the
    source's, squared; empty for none.
    """
    d = boxes_s.shape[2]
    most = len(s) * (2 if halved_s else 1) * (2 if halved_t else 1)
    a, b = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64)
    count = 0
    for pair in range(len(s)):
        low_s = 2 * s[pair] if halved_s else s[pair]
        low_t = 2 * t[pair] if halved_t else t[pair]
        for i in range(low_s, low_s + 1 + halved_s):
            for j in range(low_t, low_t + 1 + halved_t):
                squared, apart = 0.0, False
                for c in range(d):
                    gap = max(
                        boxes_s[i, 0, c] + boxes_t[j, 1, c],
                        boxes_t[j, 0, c] + boxes_s[i, 1, c],
                    )
                    if gap > 0:
                        apart = True
                        squared += gap * gap
                if len(reach):
                    apart = squared > reach[i]
                if not apart:
                    a[count], b[count] = i, j
                    count += 1
    return a[:count].copy(), b[:count].copy()
