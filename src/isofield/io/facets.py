"""Facet numbers of this library from the corner nodes that a file format names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from isofield.cells import CELL_TYPES


@cache
def facets_by_corners(kind: str) -> dict[frozenset[int], int]:
    """Corner nodes of each facet of a cell type -> the number of the facet."""
    corners = CELL_TYPES[kind].linear.nodes
    return {
        frozenset(node for node in facet if node < corners): number
        for number, (_, facet) in enumerate(CELL_TYPES[kind].facets)
    }


def facet_numbers(kind: str, sides: Sequence[Sequence[int]]) -> list[int]:
    """The facet number of each side of a cell type, given by its corner nodes."""
    known = facets_by_corners(kind)
    return [known[frozenset(side)] for side in sides]
