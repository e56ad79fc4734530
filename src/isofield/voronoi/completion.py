"""The cells of a cloud whose points all lie strictly inside its domain."""

from __future__ import annotations

import numpy as np

from isofield.voronoi.angles import angle_share, corner_numbers

# variance of the measure of a cell of independent points over its squared mean: E. N.
# Gilbert 1962, doi:10.1214/aoms/1177704464
VARIANCE = {1: 0.5, 2: 0.280, 3: 0.179}


def completed(
    points: np.ndarray, simplices: np.ndarray, measure: np.ndarray
) -> np.ndarray:
    """(N,) the measure of cells of which the simplices leave out a part.

    The cell of an outer point is estimated twice: `a`, its clipped part divided by the
    share of the full angle that the simplices span there, as if the missing part were
    like the part that is there; and `min(a, m)`, m the mean of the inner cells within
    two edges. The second is right where cells are alike, as in blue noise; where they
    vary as those of independent points do, the least of two numbers is too small. So

        w = max(clipped, λ a + (1 - λ) min(a, m)),   λ = min(1, V / V_independent),

    V the relative variance of the inner cells around. Cells of inner points stay.

    points, simplices : as for `angle_share`. measure : (N,) of the clipped cells.
    """
    share = angle_share(points, simplices)
    inner = share > 1 - 1e-6
    spanned = share > 0
    a = np.divide(measure, share, out=measure.copy(), where=spanned & ~inner)
    near = _within_two_edges(points, simplices)
    count = near @ inner.astype(float)
    known = count > 0
    mean, square = (
        np.divide(near @ (inner * x), count, out=np.zeros_like(count), where=known)
        for x in (measure, measure**2)
    )
    variance = np.divide(square, mean**2, out=np.ones_like(mean), where=known) - 1
    share_of_a = np.clip(variance / VARIANCE[points.shape[1]], 0, 1)
    blend = share_of_a * a + (1 - share_of_a) * np.minimum(a, mean)
    return np.maximum(measure, np.where(known & ~inner, blend, a))


def _within_two_edges(points: np.ndarray, simplices: np.ndarray):
    """(N, N) sparse, 1 from each point to those within two edges of the simplices."""
    from scipy.sparse import csr_matrix

    nodes = corner_numbers(points, simplices)
    n = nodes.shape[1]
    pairs = nodes.repeat(n, axis=1).ravel(), np.tile(nodes, (1, n)).ravel()
    edge = csr_matrix((np.ones(len(pairs[0])), pairs), shape=(len(points),) * 2)
    return (edge @ edge > 0).astype(float)
