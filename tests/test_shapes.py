"""Shape functions in torch: those of the cell types, in the cell and at its nodes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isofield.cells import CELL_TYPES
from isofield.operators.inverses import beyond
from isofield.operators.shapes import Shapes

KINDS = [name for name, cell in CELL_TYPES.items() if cell.dimension]


def inside(kind: str) -> np.ndarray:
    """Random points of the cell, its nodes and the middles between them."""
    nodes = CELL_TYPES[kind].reference_points
    low, high = nodes.min(0), nodes.max(0)
    points = np.random.default_rng(0).uniform(low, high, (300, len(low)))
    points = points[beyond(torch.tensor(points), kind).numpy() <= 0]
    return np.concatenate([points, nodes, (nodes + nodes[0]) / 2])


@pytest.mark.parametrize("kind", KINDS)
def test_functions_and_slopes_are_those_of_the_cell(kind: str):
    at = inside(kind)
    values, slopes = Shapes(kind).with_slopes(torch.tensor(at))
    cell = CELL_TYPES[kind]
    for found in (values, Shapes(kind)(torch.tensor(at))):
        np.testing.assert_allclose(found, cell.shape(at), rtol=0, atol=1e-13)
    np.testing.assert_allclose(slopes, cell.gradient(at), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["triangle6", "hexahedron", "wedge15", "pyramid13"])
def test_slopes_are_the_derivatives(kind: str):
    shapes, count = Shapes(kind), 5
    at = torch.tensor(inside(kind)[:count], requires_grad=True)
    jacobian = torch.autograd.functional.jacobian(shapes, at)
    own = torch.stack([jacobian[k, :, k] for k in range(count)])
    torch.testing.assert_close(own, shapes.with_slopes(at)[1], rtol=0, atol=1e-12)
