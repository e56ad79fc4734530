"""Files give back what was written: the same bits, or an error before the write.

The expected mesh of a round trip is the mesh that was written. VTK (through PyVista)
and the files of other programs are the independent oracles.
"""

from __future__ import annotations

import importlib.util
import re
import warnings
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
from isofield.series import MeshSeries

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
    points = (
        np.concatenate([reference, reference + np.array([1.5, 0.1, 0.2])]) @ turn + 0.1
    )
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
    texts = {
        "unit:u": "mm",
        "several": np.array(["a", "bcd"]),
        "table": np.array([["a", "µ"], ["<&>", ""], ["\n", " b "]]),
        "none": np.zeros((0, 2), "U1"),
    }
    held = {
        name: text
        for name, text in texts.items()
        if holds.field_data and holds.field_data.refusal(name, np.array(text)) is None
    }
    top = max(CELL_TYPES[kind].dimension for kind in kinds)
    first = [CELL_TYPES[kind].dimension for kind in kinds].index(top)
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
    """Each cell type alone and all together, with every dtype, shape and set."""
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
        cells=mesh.cells | dict(two_cells("pyramid14").cells)
        if count > 13
        else mesh.cells,
        point_data={"complex": np.ones(count, complex), "ok": np.ones(count)},
        facet_sets={"wall": [[0, 0]]},
    )
    with pytest.raises(io.FormatError, match=r"complex.*nothing was written") as caught:
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


@pytest.mark.parametrize("one", WRITABLE, ids=lambda one: one.name)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("isofield:dimension", np.array([3])),  # the mark of the library itself
        ("nul", "a\0b"),
        ("half", np.array(["whole", "\ud800"])),
        ("nothing", None),
        ("words", {"a": 1}),
    ],
    ids=["mark", "nul", "half", "None", "dict"],
)
def test_whole_mesh_data_that_would_not_come_back_are_refused(
    one: Format, name: str, value, tmp_path: Path
):
    kind = "triangle" if "triangle" in one.holds.cells else "tetra"
    mesh = replace(two_cells(kind), field_data={name: value})
    path = tmp_path / f"a{one.suffixes[0]}"
    with pytest.raises(io.FormatError, match=rf"field_data\['{name}'\].*nothing was"):
        io.write(path, mesh)
    assert not list(tmp_path.iterdir())
    with pytest.warns(MeshWarning, match=name):
        io.write(path, mesh, lossy=True)
    back = io.read(path, isolate=False, check=False, dimension=3)
    assert back.field_data == {}


@pytest.mark.parametrize("suffix", [".vtu", ".xdmf"])
def test_vtk_reads_what_is_written_as_the_same_points_cells_and_fields(
    suffix: str, tmp_path: Path
):
    one = next(one for one in EXACT if suffix in one.suffixes)
    mesh = full_mesh(one, sorted(one.holds.cells), 3)
    if suffix == ".xdmf":  # VTK makes vectors of pairs, and tensors of six numbers
        vectors = {
            n: v for n, v in mesh.point_data.items() if v.shape[1:] in ((), (3,))
        }
        mesh = replace(mesh, point_data=vectors, cell_data={})
    io.write(tmp_path / f"all{suffix}", mesh)
    grid = pyvista.read(tmp_path / f"all{suffix}")
    np.testing.assert_array_equal(grid.points, mesh.points)
    at = 0
    for kind, nodes in mesh.cells.items():
        for row in nodes:
            cell = grid.GetCell(at)
            ids = [cell.GetPointId(i) for i in range(cell.GetNumberOfPoints())]
            number = VTK_NUMBERS[kind]
            if suffix == ".xdmf" and kind in ("vertex", "line"):
                number += 1  # a polyvertex of one, a polyline of two
            assert (cell.GetCellType(), ids) == (number, row.tolist())
            at += 1
    assert at == grid.n_cells
    for data, stored in ((mesh.point_data, grid.point_data),
                         (mesh.cell_data, grid.cell_data)):  # fmt: skip
        for name, values in data.items():
            flat = values.reshape(len(values), -1).squeeze()
            np.testing.assert_array_equal(np.asarray(stored[name]), flat)


@pytest.mark.parametrize("dimension", [None, 3])
def test_a_planar_mesh_of_the_plane_and_one_of_space_each_return_as_they_were(
    dimension: int | None, tmp_path: Path
):
    plane = two_cells("triangle6", 2)
    zeros = np.zeros((len(plane.points), 1))
    space = replace(plane, points=np.concatenate([plane.points, zeros], axis=1))
    for suffix in (".vtu", ".xdmf", ".vtk", ".msh"):
        for mesh in (plane, space):
            io.write(tmp_path / f"a{suffix}", mesh)
            back = io.read(tmp_path / f"a{suffix}", dimension=dimension, isolate=False)
            columns = dimension or mesh.points.shape[1]
            np.testing.assert_array_equal(back.points, space.points[:, :columns])
            assert back.field_data == {}
    solid = two_cells("tetra")
    io.write(tmp_path / "solid.vtu", solid)
    with pytest.raises(io.FormatError, match="other than 0"):
        io.read(tmp_path / "solid.vtu", dimension=2)


@pytest.mark.parametrize("compressor", ["none", "zlib", "lz4", "lzma"])
@pytest.mark.parametrize("mode", ["ascii", "binary", "appended", "appended base64"])
@pytest.mark.parametrize("order", ["little", "big"])
def test_all_encodings_that_vtk_writes_are_read(
    compressor: str, mode: str, order: str, tmp_path: Path
):
    """VTK's own writer is the oracle; two header sizes, blocks smaller than arrays."""
    from vtkmodules.vtkIOXML import vtkXMLUnstructuredGridWriter

    one = next(one for one in EXACT if ".vtu" in one.suffixes)
    mesh = full_mesh(one, ["tetra", "quad", "hexahedron20"], 3)
    numbers = {n: v for n, v in mesh.point_data.items() if v.dtype != bool}
    mesh = replace(mesh, point_data=numbers, cell_data={}, field_data={"unit:u": "µm"})
    compressible = np.repeat(np.arange(len(mesh.points) / 4), 4)
    mesh = mesh.with_point_data({"repeated": compressible})
    grid = io.to_pyvista(mesh)
    for header in (32, 64):
        writer = vtkXMLUnstructuredGridWriter()
        writer.SetFileName(str(tmp_path / "vtk.vtu"))
        writer.SetInputData(grid)
        getattr(writer, f"SetHeaderTypeToUInt{header}")()
        getattr(writer, f"SetByteOrderTo{order.title()}Endian")()
        getattr(writer, f"SetDataModeTo{mode.split()[0].title()}")()
        names = {"none": "None", "zlib": "ZLib", "lz4": "LZ4", "lzma": "LZMA"}
        getattr(writer, f"SetCompressorTypeTo{names[compressor]}")()
        writer.SetEncodeAppendedData("base64" in mode)
        writer.SetBlockSize(256)
        writer.Write()
        back = io.read(tmp_path / "vtk.vtu", check=False)
        want = io.from_pyvista(grid)
        if mode == "ascii":  # VTK prints 11 significant digits
            np.testing.assert_allclose(back.points, want.points, rtol=1e-10)
            continue
        assert_same(back, want)


def vtu_text(
    points: np.ndarray, types: list[int], rows: list[list[int]], **root
) -> str:
    """A small ascii file, one piece, with the number of each cell as cell data."""
    ends = np.cumsum([len(row) for row in rows])
    flat = [node for row in rows for node in row]
    attributes = {"version": "2.2", "byte_order": "LittleEndian"} | root

    def array(kind: str, name: str, values, components: int = 1) -> str:
        numbers = " ".join(map(str, values))
        return (
            f'<DataArray type="{kind}" Name="{name}" format="ascii" '
            f'NumberOfComponents="{components}">{numbers}</DataArray>'
        )

    listed = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    return (
        f'<VTKFile type="UnstructuredGrid" {listed}><UnstructuredGrid>'
        f'<Piece NumberOfPoints="{len(points)}" NumberOfCells="{len(types)}">'
        f"<CellData>{array('Int32', 'number', range(len(types)))}</CellData>"
        f"<Points>{array('Float64', 'Points', points.reshape(-1).tolist(), 3)}</Points>"
        f"<Cells>{array('Int32', 'connectivity', flat)}"
        f"{array('Int32', 'offsets', ends)}{array('UInt8', 'types', types)}"
        f"</Cells></Piece></UnstructuredGrid></VTKFile>"
    )


def test_interleaved_types_are_gathered_and_keep_their_data(tmp_path: Path):
    points = np.random.default_rng(2).random((8, 3))
    rows = [[0, 1, 2], [3, 4], [1, 2, 3], [0, 1, 2, 3], [5, 6], [4, 5, 6]]
    types = [5, 3, 5, 9, 3, 5]
    (tmp_path / "mixed.vtu").write_text(vtu_text(points, types, rows))
    mesh = io.read(tmp_path / "mixed.vtu", check=False)
    assert list(mesh.cells) == ["triangle", "line", "quad"]
    assert mesh.cells["triangle"].tolist() == [[0, 1, 2], [1, 2, 3], [4, 5, 6]]
    assert mesh.cell_data["number"].tolist() == [0, 2, 5, 1, 4, 3]


def test_voxels_strips_and_lines_of_many_points_do_not_vanish(tmp_path: Path):
    """The unit cube as a voxel and as 12 triangles in strips, volumes and areas as one.

    A reader that drops these types returns no cells at all.
    """
    grid = np.array([[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)], float)
    rows = [list(range(8)), [0, 1, 2, 3], [4, 5, 7, 6], [0, 1, 2, 3], [0, 1, 3], [5, 6]]
    types = [11, 8, 9, 6, 4, 2]
    (tmp_path / "a.vtu").write_text(vtu_text(grid, types, rows))
    mesh = io.read(tmp_path / "a.vtu", check=False)
    assert mesh.cells["hexahedron"].tolist() == [[0, 1, 3, 2, 4, 5, 7, 6]]
    assert mesh.cells["quad"].tolist() == [[0, 1, 3, 2], [4, 5, 7, 6]]
    assert mesh.cells["line"].tolist() == [[0, 1], [1, 3]]
    assert mesh.cells["vertex"].tolist() == [[5], [6]]
    assert mesh.cell_data["number"].tolist() == [0, 1, 2, 3, 3, 4, 4, 5, 5]
    corners = mesh.points[mesh.cells["triangle"]]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    np.testing.assert_array_equal(normals, [[0, 0, 1], [0, 0, 1]])  # all one side


@pytest.mark.parametrize("version", ["1.0", "2.2"])
@pytest.mark.parametrize(
    ("number", "kind"),
    [(68, "line3"), (69, "triangle6"), (70, "quad9"), (71, "tetra10"),
     (72, "hexahedron27"), (73, "wedge18"), (74, "pyramid13"), (74, "pyramid14")],
)  # fmt: skip
def test_lagrange_cells_of_order_two_have_the_nodes_of_vtk(
    number: int, kind: str, version: str, tmp_path: Path
):
    """VTK's reader is the oracle, which reorders hexahedra of files before 2.1."""
    mesh = two_cells(kind)
    path = tmp_path / "lagrange.vtu"
    rows = mesh.cells[kind].tolist()
    path.write_text(vtu_text(mesh.points, [number] * 2, rows, version=version))
    back = io.read(path, check=False, dimension=3)
    np.testing.assert_array_equal(back.points, mesh.points)
    if number == 74:  # VTK has no class for these cells
        assert back.cells[kind].tolist() == rows
        return
    grid = pyvista.read(path)
    np.testing.assert_array_equal(back.cells[kind].reshape(-1), grid.cell_connectivity)


def test_pieces_are_joined_and_a_field_that_one_lacks_is_an_error(tmp_path: Path):
    first = vtu_text(np.eye(3), [5], [[0, 1, 2]])
    begin = first.index("<Piece")
    piece = first[begin : first.index("</UnstructuredGrid>")]
    twice = first[:begin] + piece + piece + first[begin + len(piece) :]
    (tmp_path / "two.vtu").write_text(twice)
    mesh = io.read(tmp_path / "two.vtu", check=False)
    assert mesh.cells["triangle"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert mesh.cell_data["number"].tolist() == [0, 0]
    lacking = first[:begin] + piece + piece.replace('"number"', '"other"', 1)
    (tmp_path / "bad.vtu").write_text(lacking + first[begin + len(piece) :])
    with pytest.raises(io.FormatError, match="'number' is missing in 1 of 2 pieces"):
        io.read(tmp_path / "bad.vtu")


def test_polygons_are_cut_and_polyhedra_refused_aloud(tmp_path: Path):
    angles = np.arange(6) * np.pi / 3
    points = np.column_stack([np.cos(angles), np.sin(angles), np.ones(6)])
    path = tmp_path / "hexagon.vtu"
    path.write_text(vtu_text(points, [7], [list(range(6))]))
    with pytest.warns(MeshWarning, match="1 polygons of five corners or more"):
        mesh = io.read(path)
    corners = mesh.points[mesh.cells["triangle"]]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert cross[:, 2].sum() / 2 == pytest.approx(1.5 * np.sqrt(3), rel=1e-14)
    path.write_text(vtu_text(points, [42], [list(range(6))]))
    with pytest.raises(io.FormatError, match="1 cells are of the type polyhedron"):
        io.read(path)


def test_one_warning_counts_all_that_is_odd_about_a_mesh(tmp_path: Path):
    """A mirrored tetrahedron is read, with its sign, and said; not refused."""
    points = np.concatenate([np.eye(3), np.zeros((1, 3)), [[5.0, 5, 5]]])
    mesh = Mesh(points, {"tetra": [[0, 1, 2, 3]]}, {"u": [0, 0, 0, 0, np.nan]})
    io.write(tmp_path / "odd.vtu", mesh)
    with pytest.warns(MeshWarning) as caught:
        back = io.read(tmp_path / "odd.vtu")
    assert_same(back, mesh)
    (only,) = caught
    message = str(only.message)
    assert "\n" not in message
    for finding in ("orphan", "inverted", "non-finite"):
        assert finding in message
    assert only.filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        io.read(tmp_path / "odd.vtu", check=False)


def test_clouds_of_points_are_written_and_read_where_the_format_knows_them(
    tmp_path: Path,
):
    points = np.random.default_rng(3).random((7, 3))
    cloud = Mesh(points, point_data={"weight": np.linspace(0.1, 1, 7)})
    for suffix in (".vtu", ".xdmf", ".ply", ".vtk"):
        io.write(tmp_path / f"cloud{suffix}", cloud)
        assert_same(io.read(tmp_path / f"cloud{suffix}", isolate=False), cloud)
        assert pyvista.read(tmp_path / f"cloud{suffix}").n_points == 7
    with pytest.raises(io.FormatError, match="cannot hold points without cells"):
        io.write(tmp_path / "cloud.inp", Mesh(points))
    assert not (tmp_path / "cloud.inp").exists()


def test_bridges_give_back_the_mesh():
    one = next(one for one in EXACT if ".vtu" in one.suffixes)
    lacking = {"triangle7", "wedge15", "pyramid13"}  # in meshio
    kinds = sorted(set(VTK_NUMBERS) - lacking)
    mesh = full_mesh(one, kinds, 3)
    before = snapshot(mesh)
    assert_same(io.from_meshio(io.to_meshio(mesh)), mesh)
    flat = {n: v for n, v in mesh.point_data.items() if v.ndim < 3 and "_1" not in n}
    cells = {n: v for n, v in mesh.cell_data.items() if v.ndim < 3 and "_1" not in n}
    plain = replace(
        mesh,
        point_data=flat,
        cell_data=cells,
        field_data={"unit:u": "µm", "a": np.eye(2)},
    )
    assert_same(io.from_pyvista(io.to_pyvista(plain)), plain)
    assert_same(mesh, before)
    surface = two_cells("triangle")
    surface = surface.with_point_data({"u": np.arange(6.0)})
    surface = surface.with_cell_data({"n": np.array([4, 5])})
    assert_same(io.from_trimesh(io.to_trimesh(surface)), surface)
    with pytest.raises(io.FormatError, match="triangles alone"):
        io.to_trimesh(two_cells("quad"))


def test_meshio_reads_what_is_written_as_the_same_mesh(tmp_path: Path):
    import meshio

    mesh = replace(two_cells("hexahedron"), point_data={"u": np.eye(16)[:, :3]})
    mesh = mesh.with_cell_data({"n": np.array([3, 4])})
    io.write(tmp_path / "a.vtu", mesh)
    assert_same(io.from_meshio(meshio.read(tmp_path / "a.vtu")), mesh)


def test_a_composite_is_one_mesh_with_its_blocks_as_cell_sets():
    first = io.to_pyvista(two_cells("tetra").with_cell_data({"n": np.array([1, 2])}))
    second = io.to_pyvista(two_cells("wedge").with_cell_data({"n": np.array([3, 4])}))
    third = io.to_pyvista(two_cells("tetra").with_cell_data({"n": np.array([5, 6])}))
    second.point_data["t"] = np.arange(12.0)
    inner = pyvista.MultiBlock({"second": second, "third": third})
    with pytest.warns(
        MeshWarning, match="'t' is missing in some parts: 16 rows are NaN"
    ):
        mesh = io.from_pyvista(pyvista.MultiBlock({"first": first, "inner": inner}))
    assert {k: len(v) for k, v in mesh.cells.items()} == {"tetra": 4, "wedge": 2}
    assert mesh.cell_data["n"].tolist() == [1, 2, 5, 6, 3, 4]
    assert {k: v.tolist() for k, v in mesh.cell_sets.items()} == {
        "first": [0, 1], "inner/second": [4, 5], "inner/third": [2, 3]
    }  # fmt: skip
    np.testing.assert_array_equal(
        mesh.points[mesh.cells["wedge"]], two_cells("wedge").points.reshape(2, 6, 3)
    )


def test_steps_of_a_collection_are_read_one_by_one(tmp_path: Path):
    entries = ""
    for step, time in enumerate((0.0, 0.25, 2.0)):
        for part in range(2):
            mesh = two_cells("quad").with_point_data(
                {"u": np.full(8, step + 10 * part)}
            )
            name = f"step{step}_{part}.vtu"
            io.write(tmp_path / name, mesh)
            entries += f'<DataSet timestep="{time}" part="{part}" file="{name}"/>'
    path = tmp_path / "all.pvd"
    path.write_text(
        f'<VTKFile type="Collection"><Collection>{entries}</Collection></VTKFile>'
    )
    series = io.read_series(path)
    assert series.times.tolist() == [0.0, 0.25, 2.0]
    assert [mesh.point_data["u"][[0, -1]].tolist() for mesh in series] == [
        [0, 10], [1, 11], [2, 12]
    ]  # fmt: skip
    assert_same(series[-1], series[2])
    with pytest.raises(IndexError, match="3 steps"):
        series[3]
    with pytest.warns(MeshWarning, match="3 time steps; the last"):
        assert_same(io.read(path), series[2])
    (tmp_path / "step1_0.vtu").unlink()
    with pytest.raises(io.FormatError, match=r"'step1_0\.vtu' does not exist"):
        io.read_series(path)
    single = io.read_series(tmp_path / "step0_0.vtu")
    assert (len(single), single.times.tolist()) == (1, [0.0])


@pytest.mark.parametrize("suffix", [".pvd", ".xdmf"])
def test_a_step_is_read_when_it_is_asked_for_and_not_before(
    suffix: str, tmp_path: Path
):
    """A step that is damaged after the series was opened harms no other."""
    path = tmp_path / f"a{suffix}"
    meshes = [two_cells("quad").with_point_data({"u": np.full(8, s)}) for s in range(3)]
    io.write_series(path, MeshSeries(np.arange(3.0), meshes.__getitem__))
    series = io.read_series(path)
    if suffix == ".pvd":
        (tmp_path / "a.steps" / "000001.vtu").write_text("damaged")
    else:
        with h5py.File(tmp_path / "a.h5", "r+") as heavy:
            del heavy["1/node/0"]
    for number in (2, 0, -1):
        assert_same(series[number], meshes[number])
    with pytest.raises(io.FormatError, match=re.escape(str(path))):
        series[1]


def xdmf_series(path: Path, attributes: str) -> None:
    """Two steps that share one mesh by an include, as dolfinx and meshio write them."""
    mesh = '<include xmlns="http://www.w3.org/2001/XInclude" xpointer="xpointer({})"/>'
    paths = [
        "/Xdmf/Domain/Grid[@GridType='Uniform'][1]/*[self::Topology or self::Geometry]",
        "//Grid[@Name=&quot;mesh&quot;]/*[self::Topology or self::Geometry]",
    ]
    steps = "".join(
        f"<Grid>{mesh.format(paths[i])}<Time Value='{i / 2}'/>"
        f"{attributes.format(i)}</Grid>"
        for i in range(2)
    )
    path.write_text(
        f"""<?xml version="1.0"?><!DOCTYPE Xdmf SYSTEM "Xdmf.dtd" []>
        <Xdmf Version="3.0"><Domain><Grid Name="mesh" GridType="Uniform">
        <Topology TopologyType="Triangle" NumberOfElements="2"><DataItem Format="XML"
        NumberType="Int" Dimensions="2 3">0 1 2  1 3 2</DataItem></Topology>
        <Geometry GeometryType="XY"><DataItem Format="XML" Precision="8"
        Dimensions="4 2">0 0 1 0 0 1 1 1</DataItem></Geometry></Grid>
        <Grid GridType="Collection" CollectionType="Temporal">{steps}</Grid>
        </Domain></Xdmf>"""
    )


def test_xdmf_series_with_includes_and_a_checkpoint_function(tmp_path: Path):
    """Four corners in another order of the degrees of freedom: 10, 20, 30, 40."""
    with h5py.File(tmp_path / "data.h5", "w") as heavy:
        for step in range(2):
            heavy[f"{step}/cell_dofs"] = np.array([3, 2, 1, 2, 0, 1])
            heavy[f"{step}/vector"] = np.array([40.0, 30, 20, 10])[:, None] + step
            heavy[f"{step}/x"] = np.array([0, 3, 6])
            heavy[f"{step}/cells"] = np.array([0, 1])
    items = "".join(
        f"<DataItem Format='HDF'>data.h5:/{{0}}/{name}</DataItem>"
        for name in ("cell_dofs", "vector", "x", "cells")
    )
    xdmf_series(
        tmp_path / "a.xdmf",
        "<Attribute Name='f' ItemType='FiniteElementFunction' ElementFamily='CG' "
        f"ElementDegree='1' Center='Other'>{items}</Attribute>",
    )
    series = io.read_series(tmp_path / "a.xdmf")
    assert series.times.tolist() == [0.0, 0.5]
    assert series[0].points.tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]
    assert series[0].point_data["f"].tolist() == [10, 20, 30, 40]
    assert series[1].point_data["f"].tolist() == [11, 21, 31, 41]


def test_xdmf_slabs_binary_files_and_unplaced_values(tmp_path: Path):
    values = np.arange(24.0).reshape(4, 6)
    values.astype(">f8").tofile(tmp_path / "raw.bin")
    slab = """<Attribute Name="f" Center="Node"><DataItem ItemType="HyperSlab"
        Dimensions="4 1"><DataItem Dimensions="3 2" Format="XML" NumberType="Int">
        0 {0} 1 1 4 1</DataItem><DataItem Format="Binary" Precision="8" Endian="Big"
        Dimensions="4 6">raw.bin</DataItem></DataItem></Attribute>
        <Attribute Name="g" Center="Edge"><DataItem Dimensions="1">1</DataItem>
        </Attribute>"""
    xdmf_series(tmp_path / "a.xdmf", slab)
    series = io.read_series(tmp_path / "a.xdmf")
    for step in range(2):
        with pytest.warns(MeshWarning, match="'g' at Edge was left out"):
            mesh = series[step]
        np.testing.assert_array_equal(mesh.point_data["f"], values[:, step])


def test_stl_triangles_share_their_points_and_writing_needs_leave(tmp_path: Path):
    """A cube's 12 triangles bring 36 corners, of which 8 are different."""
    cube = pyvista.Cube().triangulate()
    cube.save(tmp_path / "cube.stl")
    mesh = io.read(tmp_path / "cube.stl")
    assert (len(mesh.points), len(mesh.cells["triangle"])) == (8, 12)
    corners = mesh.points[mesh.cells["triangle"]]
    flux = np.einsum("ti,ti->", corners.mean(axis=1),
                     np.cross(corners[:, 1] - corners[:, 0],
                              corners[:, 2] - corners[:, 0]) / 2)  # fmt: skip
    assert flux / 3 == pytest.approx(1, abs=1e-6)  # the volume, by the divergence
    with pytest.raises(io.FormatError, match="lossy=True"):
        io.write(tmp_path / "new.stl", mesh)
    with pytest.warns(MeshWarning, match="numbers of the points"):
        io.write(tmp_path / "new.stl", mesh, lossy=True)
    assert len(io.read(tmp_path / "new.stl").points) == 8
    cube.save(tmp_path / "ascii.stl", binary=False)
    np.testing.assert_array_equal(io.read(tmp_path / "ascii.stl").points, mesh.points)
    text = (tmp_path / "ascii.stl").read_text()
    (tmp_path / "ascii.stl").write_text(f"{text}\n{text}")
    assert len(io.read(tmp_path / "ascii.stl", check=False).cells["triangle"]) == 24
    (tmp_path / "ascii.stl").write_text(f"{text}\n{text[: len(text) // 2]}")
    with pytest.raises(io.FormatError, match="'endsolid' is missing"):
        io.read(tmp_path / "ascii.stl")


def test_ply_in_all_byte_orders_and_faces_of_unequal_length(tmp_path: Path):
    head = """ply\nformat {} 1.0\ncomment\nelement vertex 5\nproperty float x
property float y\nproperty float z\nproperty uchar q\nelement face 2
property list uchar int vertex_indices\nproperty short s\nend_header\n"""
    points = np.array([[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1], [2, 0.5, 1]], "f4")
    faces = [([0, 1, 2, 3], -7), ([1, 4, 2], 300)]
    for name, order in (("binary_little_endian", "<"), ("binary_big_endian", ">")):
        content = head.format(name).encode()
        for number, point in enumerate(points):
            content += point.astype(f"{order}f4").tobytes() + bytes([number])
        for corners, short in faces:
            content += bytes([len(corners)]) + np.array(corners, f"{order}i4").tobytes()
            content += np.array(short, f"{order}i2").tobytes()
        (tmp_path / f"{name}.ply").write_bytes(content)
    text = "".join(f"{x} {y} {z} {i}\n" for i, (x, y, z) in enumerate(points.tolist()))
    text += "4 0 1 2 3 -7\n3 1 4 2 300\n"
    (tmp_path / "ascii.ply").write_text(head.format("ascii") + text)
    for path in tmp_path.iterdir():
        mesh = io.read(path)
        np.testing.assert_array_equal(mesh.points, points.astype(float))
        assert mesh.cells["quad"].tolist() == [[0, 1, 2, 3]]
        assert mesh.cells["triangle"].tolist() == [[1, 4, 2]]
        assert mesh.cell_data["s"].tolist() == [-7, 300]
        assert mesh.point_data["q"].dtype == np.uint8


def test_obj_counts_back_from_the_last_point_and_keeps_groups(tmp_path: Path):
    (tmp_path / "a.obj").write_text(
        "v 0 0 1\nv 1 0 1\nv 0 1 1\ng left low\nf -3/1 -2//4 \\\n -1\nv 1 1 1\n"
        "g right\nf 2/7/7 4 3 # a comment\nl 1 2 4\n"
    )
    mesh = io.read(tmp_path / "a.obj")
    assert mesh.cells["triangle"].tolist() == [[0, 1, 2], [1, 3, 2]]
    assert mesh.cells["line"].tolist() == [[0, 1], [1, 3]]
    assert {k: v.tolist() for k, v in mesh.cell_sets.items()} == {
        "left": [0], "low": [0], "right": [1, 2, 3]
    }  # fmt: skip


def test_cells_of_a_dropped_type_take_their_data_and_sets_along(tmp_path: Path):
    mesh = Mesh(
        np.random.default_rng(5).random((8, 3)),
        {"triangle": [[0, 1, 2]], "tetra": [[0, 1, 2, 3]], "quad": [[4, 5, 6, 7]]},
        cell_data={"n": np.int32([10, 20, 30])},
    )
    with pytest.warns(MeshWarning, match="1 tetra cells"):
        io.write(tmp_path / "a.ply", mesh, lossy=True)
    assert io.read(tmp_path / "a.ply", check=False).cell_data["n"].tolist() == [10, 30]


def test_cells_from_vtk_refuses_broken_offsets():
    for offsets in ([0, 3, 2], [1, 3, 6], [0, 3], [0, 3, 9]):
        with pytest.raises(io.FormatError):
            cells_from_vtk(np.arange(6), np.array(offsets), np.array([5, 5]))


def example_meshes() -> dict[str, Mesh]:
    """What `meshes/make_meshes.py` would write now."""
    script = Path(__file__).parents[1] / "meshes" / "make_meshes.py"
    spec = importlib.util.spec_from_file_location("make_meshes", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.meshes()


@pytest.mark.parametrize("name", example_meshes())
def test_the_files_in_meshes_are_as_described_and_go_round(name: str, tmp_path: Path):
    path = Path(__file__).parents[1] / "meshes" / name
    mesh = io.read(path, isolate=False)
    expected = example_meshes()[name]
    lossy = path.suffix == ".stl"
    if lossy:  # 80 triangles bring 240 corners, of which 42 are different
        assert len(mesh.points) == len(expected.points) == 42
        assert_same(Mesh(mesh.points[mesh.cells["triangle"]].reshape(-1, 3)),
                    Mesh(expected.points[expected.cells["triangle"]].reshape(-1, 3)
                         .astype(np.float32)))  # fmt: skip
    else:
        for part in PARTS:
            assert set(getattr(mesh, part)) == set(getattr(expected, part))
        np.testing.assert_allclose(mesh.points, expected.points, rtol=0, atol=1e-14)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if lossy else "error")
        io.write(tmp_path / name, mesh, lossy=lossy)
    assert_same(io.read(tmp_path / name, isolate=False), mesh)


def test_every_format_that_writes_has_a_file_in_meshes():
    suffixes = {Path(name).suffix for name in example_meshes()}
    assert all(suffixes & set(one.suffixes) for one in WRITABLE)


def test_dolfinx_tags_in_grids_of_their_own_are_sets(tmp_path: Path):
    """Two triangles 012 and 132: tagged facets 10 (5), 12 (7, inner), 32 (5)."""

    def item(dimensions: str, numbers: str, kind: str = "Int") -> str:
        return (
            f'<DataItem Format="XML" Precision="8" NumberType="{kind}" '
            f'Dimensions="{dimensions}">{numbers}</DataItem>'
        )

    def tags(name: str, topology: str, cells: str, values: str) -> str:
        return (
            f'<Grid Name="{name}"><include xmlns="http://www.w3.org/2001/XInclude" '
            'xpointer="xpointer(/Xdmf/Domain/Grid/Geometry)"/>'
            f'<Topology TopologyType="{topology}" NodesPerElement="2">{cells}'
            "</Topology>"
            f'<Attribute Name="{name}" Center="Cell">{values}</Attribute></Grid>'
        )

    points = item("4 2", "0 0 1 0 0 1 1 1", "Float")
    path = tmp_path / "tags.xdmf"
    path.write_text(
        '<Xdmf Version="3.0"><Domain><Grid Name="mesh">'
        '<Topology TopologyType="Triangle">'
        f'{item("2 3", "0 1 2 1 3 2")}</Topology><Geometry GeometryType="XY">{points}'
        "</Geometry></Grid>"
        + tags("facets", "Polyline", item("3 2", "1 0 1 2 3 2"), item("3 1", "5 7 5"))
        + tags("part", "Triangle", item("1 3", "1 3 2"), item("1", "2"))
        + tags("odd", "Polyline", item("1 2", "0 3"), item("1", "2"))
        + "</Domain></Xdmf>"
    )
    with pytest.warns(MeshWarning, match=r"'odd' \(1 line\) has other cells"):
        mesh = io.read(path)
    facets = [[frozenset(nodes) for _, nodes in CELL_TYPES["triangle"].facets]] * 2
    want = {"facets 5": [(0, {0, 1}), (1, {1, 2})], "facets 7": [(0, {1, 2})]}
    assert {name: members.tolist() for name, members in mesh.facet_sets.items()} == {
        name: [[cell, facets[cell].index(local)] for cell, local in members]
        for name, members in want.items()
    }
    assert {k: v.tolist() for k, v in mesh.cell_sets.items()} == {"part 2": [1]}


DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no folder of real files at {DATA}")
@pytest.mark.parametrize("suffix", [".vtu", ".vtp", ".xdmf"])
def test_files_of_other_programs_agree_with_vtk(suffix: str):
    """Points, numbers of cells and point fields of two independent readers.

    Exceptions: polyhedra are refused here, and VTK reads the functions of a checkpoint
    now as nothing and now as the numbers of its degrees of freedom.
    """
    compared = 0
    for path in sorted(DATA.rglob(f"*{suffix}")):
        apart = path.name.startswith("polyhedron") or path.name == "checkpoint.xdmf"
        if apart or path.stat().st_size > 1_000_000:
            continue
        if suffix == ".xdmf" and b"<Time" not in path.read_bytes():
            continue  # PyVista reads none without a time
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mesh = io.read(path, dimension=3, check=False)
            reader = pyvista.get_reader(path)
            if suffix == ".xdmf":
                reader.set_active_time_value(io.read_series(path).times[-1])
            grid = reader.read()
            if isinstance(grid, pyvista.MultiBlock):
                grid = grid[0]
        # VTK takes XDMF numbers without a stated precision for float32
        real = np.float32 if suffix == ".xdmf" else np.float64
        np.testing.assert_array_equal(
            mesh.points.astype(real), np.asarray(grid.points, dtype=real)
        )
        types = grid.cast_to_unstructured_grid().celltypes
        cut = np.isin(types, [2, 4, 6, 7, 15, 16]).any()
        assert cut or sum(map(len, mesh.cells.values())) == grid.n_cells
        for name in {*grid.point_data} & {*mesh.point_data}:
            theirs = np.asarray(grid.point_data[name])
            ours = mesh.point_data[name]
            if ours.shape[1:] == (2,):
                theirs = theirs[:, :2]
            np.testing.assert_array_equal(ours.astype(real), theirs.astype(real))
            compared += 1
        assert {*grid.point_data} == {*mesh.point_data}
    assert compared >= 4
