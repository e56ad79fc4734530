"""Files give back what was written: the same bits, or an error before the write.

The expected mesh of a round trip is the mesh that was written. VTK (through PyVista)
and the files of other programs are the independent oracles.
"""

from __future__ import annotations

import base64
import lzma
import warnings
import zlib
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import pyvista

import isofield.io as io
from isofield import Mesh
from isofield.cells import CELL_TYPES
from isofield.io.registry import FLOATS, INTEGERS, Format, MeshWarning, all_formats
from isofield.io.vtk_cells import VTK_NUMBERS, cells_from_vtk

PARTS = [
    *("cells", "point_data", "cell_data", "field_data"),
    *("point_sets", "cell_sets", "facet_sets"),
]
ROWS = [(), (1,), (2,), (3,), (4,), (6,), (9,), (3, 3), (2, 2), (2, 3, 4)]
DTYPES = [*sorted(FLOATS | INTEGERS), "bool"]
WRITABLE = [one for one in all_formats() if one.write is not None]
EXACT = [one for one in WRITABLE if not one.holds.loses]


def assert_same(actual: Mesh, expected: Mesh, *, ordered: bool = True) -> None:
    """Equal in every bit: points, cells, fields with dtype and shape, sets, orders."""
    assert actual.points.dtype == np.float64
    np.testing.assert_array_equal(actual.points, expected.points, strict=True)
    for part in PARTS:
        have, want = getattr(actual, part), getattr(expected, part)
        names = list if ordered and part in ("cells", "cell_data") else sorted
        assert names(have) == names(want), part
        for name in want:
            assert isinstance(have[name], str) == isinstance(want[name], str)
            np.testing.assert_array_equal(
                np.asarray(have[name]), np.asarray(want[name]), strict=True
            )


def two_cells(kind: str, columns: int = 3) -> Mesh:
    """Two cells of one type side by side, at places without any symmetry."""
    cell = CELL_TYPES[kind]
    reference = np.zeros((cell.nodes, 3))
    reference[:, : cell.dimension] = cell.reference_points
    turn = np.array([[0.9, 0.2, 0.1], [-0.3, 1.1, 0.2], [0.15, -0.1, 1.2]])
    if columns == 2:
        turn[:, 2] = 0
    points = np.concatenate([reference, reference + [1.5, 0.1, 0.2]]) @ turn + 0.1
    nodes = np.arange(2 * cell.nodes).reshape(2, -1)
    return Mesh(points[:, :columns], {kind: nodes})


def fields(rule, count: int) -> dict[str, np.ndarray]:
    """An array of every dtype and row shape that the rule takes."""
    random = np.random.default_rng(1)
    found = {}
    for dtype in DTYPES:
        for row in ROWS:
            low = 0 if dtype.startswith("uint") else -60
            values = (random.random((count, *row)) * 180 + low).astype(dtype)
            name = f"{dtype}_{'x'.join(map(str, row))}"
            if rule is not None and rule.refusal(name, values) is None:
                found[name] = values
    return found


def full_mesh(one: Format, kinds: list[str], columns: int) -> Mesh:
    """The given cell types side by side, with all else that the format claims."""
    meshes = [two_cells(kind, columns) for kind in kinds]
    starts = np.cumsum([0, *(len(mesh.points) for mesh in meshes)])
    points = np.concatenate(
        [mesh.points + 2.5 * number for number, mesh in enumerate(meshes)]
    )
    cells = {
        kind: mesh.cells[kind] + start
        for kind, mesh, start in zip(kinds, meshes, starts, strict=False)
    }
    total, holds = 2 * len(kinds), one.holds
    texts = {"unit:u": "mm", "several": np.array(["a", "bcd"])}
    held = {
        name: text
        for name, text in texts.items()
        if holds.field_data and holds.field_data.refusal(name, np.array(text)) is None
    }
    top = max(CELL_TYPES[kind].dimension for kind in kinds)
    first = [i for i, kind in enumerate(kinds) if CELL_TYPES[kind].dimension == top][0]
    pairs = [[2 * first, 0], [2 * first + 1, 1]]
    cell_sets = {"last": [total - 1], "all": range(total)}
    return Mesh(
        points,
        cells,
        point_data=fields(holds.point_data, len(points)),
        cell_data=fields(holds.cell_data, total),
        field_data=held | fields(holds.field_data, 3),
        point_sets={"ends": [0, len(points) - 1]} if holds.point_sets else {},
        cell_sets=cell_sets if holds.cell_sets and one.name != "SU2" else {},
        facet_sets={"wall": pairs} if holds.facet_sets and top > 0 else {},
    )


def snapshot(mesh: Mesh) -> Mesh:
    """A copy that shares no memory with `mesh`."""
    copies = {
        part: {name: np.copy(value) if not isinstance(value, str) else value
               for name, value in getattr(mesh, part).items()}
        for part in PARTS
    }  # fmt: skip
    return Mesh(mesh.points.copy(), **copies)


def there_and_back(path: Path, mesh: Mesh, one: Format) -> None:
    before = snapshot(mesh)
    io.write(path, mesh)
    assert_same(mesh, before)
    dimension = None if mesh.points.shape[1] == 2 or one.holds.field_data else 3
    actual = io.read(path, isolate=False, check=False, dimension=dimension)
    assert_same(actual, mesh, ordered=one.holds.ordered)


@pytest.mark.parametrize("one", EXACT, ids=lambda one: one.name)
def test_every_claim_of_a_format_comes_back_in_every_bit(one: Format, tmp_path: Path):
    """Each cell type alone and all together, with every dtype, shape and set claimed."""
    for suffix in one.suffixes:
        kinds = sorted(one.holds.cells, key=list(CELL_TYPES).index)
        flat = [kind for kind in kinds if CELL_TYPES[kind].dimension < 3]
        if one.name == "SU2":  # lower cells are its markers, see test_io_formats.py
            kinds = [kind for kind in kinds if CELL_TYPES[kind].dimension == 3]
            flat = [kind for kind in flat if CELL_TYPES[kind].dimension == 2]
        for kind in kinds:
            there_and_back(tmp_path / f"{kind}{suffix}", two_cells(kind), one)
        there_and_back(tmp_path / f"all{suffix}", full_mesh(one, kinds, 3), one)
        there_and_back(tmp_path / f"flat{suffix}", full_mesh(one, flat, 2), one)


@pytest.mark.parametrize("one", WRITABLE, ids=lambda one: one.name)
def test_what_a_format_cannot_hold_is_refused_before_the_file_is_touched(
    one: Format, tmp_path: Path
):
    path = tmp_path / f"kept{one.suffixes[0]}"
    path.write_bytes(b"what was there before")
    kind = "triangle" if "triangle" in one.holds.cells else "tetra"
    mesh = two_cells(kind)
    count = len(mesh.points)
    refused = replace(
        mesh,
        cells=mesh.cells | dict(two_cells("pyramid14").cells) if count > 13 else mesh.cells,
        point_data={"complex": np.ones(count, complex), "ok": np.ones(count)},
        facet_sets={"wall": [[0, 0]]},
    )
    with pytest.raises(io.FormatError, match="complex.*nothing was written") as caught:
        io.write(path, refused)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"what was there before"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    with pytest.warns(MeshWarning, match="complex"):
        io.write(path, refused, lossy=True)
    back = io.read(path, isolate=False, check=False, dimension=3)
    assert "complex" not in back.point_data
    assert ("ok" in back.point_data) == (one.holds.point_data is not None)
    assert sum(map(len, back.cells.values())) >= 2
