"""Finite element functions in XDMF files, as FEniCS writes them in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from isofield.io.xdmf.items import Element, Xdmf, values


def function_values(
    file: Xdmf, element: Element, cells: Mapping[str, np.ndarray], n_points: int
) -> tuple[str, np.ndarray | None]:
    """Center and values of a function whose degrees of freedom are nodes or cells.

    The four arrays of the attribute are the degrees of freedom of all cells, the vector
    of coefficients, where each cell starts in the first, and the number of each cell.
    CG of degree 1 gives ("Node", (N, ...)), DG of degree 0 gives ("Cell", (T, ...));
    components come one after the other within a cell. Anything else gives None.
    """
    family = (element.get("ElementFamily", ""), element.get("ElementDegree", ""))
    items = [
        values(file, item).reshape(-1) for item in element if item.tag == "DataItem"
    ]
    if len(items) != 4 or len(cells) != 1:
        return "Other", None
    dofs, vector, starts, numbers = items
    (nodes,) = cells.values()
    count = len(dofs) // len(nodes)
    if (
        len(starts) != len(nodes) + 1
        or (np.diff(starts.astype(np.int64)) != count).any()
    ):
        return "Other", None
    placed = np.empty((len(nodes), count), vector.dtype)
    placed[numbers.astype(np.int64)] = vector[dofs.astype(np.int64)].reshape(-1, count)
    if family == ("DG", "0"):
        return "Cell", placed.reshape(-1) if count == 1 else placed
    width = nodes.shape[1]
    if family != ("CG", "1") or count % width:
        return "Other", None
    at_corners = placed.reshape(len(nodes), count // width, width)
    result = np.zeros((n_points, count // width), vector.dtype)
    result[nodes.reshape(-1)] = at_corners.transpose(0, 2, 1).reshape(nodes.size, -1)
    return "Node", result.reshape(-1) if count == width else result
