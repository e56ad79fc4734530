"""Conservative transfer between cells against MEDCoupling."""

from collections.abc import Iterator
from typing import Any

import medcoupling
import numpy as np
from rich.table import Table

from isofield import Mesh
from isofield.generation import box, square
from isofield.operators import conservative
from tests.benchmarks.linear_transfer import without_numba
from tests.benchmarks.neighbours import medians

NAMES = {"triangle": medcoupling.NORM_TRI3, "tetra": medcoupling.NORM_TETRA4}


def tables() -> Iterator[Table]:
    """103,000 to 76,000 triangles, 216,000 to 48,000 tetrahedra, and smaller ones."""
    table = Table(title="Conservative transfer, cells to cells (MEDCoupling: P0P0)")
    for column in (
        "source",
        "target",
        "MEDCoupling",
        "isofield",
        "ratio",
        "torch alone",
        "difference",
    ):
        table.add_column(column, justify="right")
    pairs = [
        (square(227, jitter=0.2), square(195, jitter=0.2, seed=1), 3),
        (box(16, jitter=0.2), box(10, jitter=0.2, seed=1), 3),
        (box(33, jitter=0.2), box(20, jitter=0.2, seed=1), 1),
    ]
    for source, target, repeat in pairs:
        table.add_row(*_row(source, target, repeat))
    yield table


def _row(source: Mesh, target: Mesh, repeat: int) -> list[str]:
    ((kind, nodes),) = source.cells.items()
    made = [_translated(mesh) for mesh in (source, target)]
    # the first call of `medians` warms up, which is as long as the others here
    seconds = medians(
        {
            "MEDCoupling": lambda: _remapped(*made),
            "isofield": lambda: conservative(source, target),
            "plain": without_numba(lambda: conservative(source, target)),
        },
        repeat,
    )
    ours = conservative(source, target)
    theirs = _remapped(*made).getCrudeCSRMatrix()
    measures = ours.target.weights.numpy() if ours.target else None
    scaled = ours.matrix().multiply(np.asarray(measures)[:, None])
    difference = abs(scaled - theirs).max() / theirs.max()
    a, b, c = seconds.values()
    return [
        f"{len(nodes):,} {kind}",
        f"{len(target.cells[kind]):,}",
        f"{a:.2f}",
        f"{b:.2f}",
        f"{b / a:.2f}",
        f"{c / a:.2f}",
        f"{difference:.0e}",
    ]


def _remapped(source: Any, target: Any) -> Any:
    remapper = medcoupling.MEDCouplingRemapper()
    remapper.prepare(source, target, "P0P0")
    return remapper


def _translated(mesh: Mesh) -> Any:
    ((kind, nodes),) = mesh.cells.items()
    nodes = nodes[:, [0, 2, 1, 3]] if kind == "tetra" else nodes
    made = medcoupling.MEDCouplingUMesh("mesh", mesh.dimension)
    made.setCoords(medcoupling.DataArrayDouble(np.array(mesh.points)))
    made.allocateCells(len(nodes))
    for row in nodes.tolist():
        made.insertNextCell(NAMES[kind], row)
    made.finishInsertingCells()
    return made
