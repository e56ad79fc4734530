"""Exodus files against VTK's reader, and against what was put into them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvista
import torch
from scipy.io import netcdf_file

import isofield.io as io
from isofield.cells import CELL_TYPES
from isofield.io.exodus.elements import ORDERS, sides
from isofield.io.facets import facet_numbers
from isofield.io.registry import MeshWarning
from isofield.quadrature import cell_measures

DATA = Path(__file__).parents[2] / "shared/data"

# cell type -> name in Exodus
NAMES = {
    "line": "BAR2",
    "line3": "BAR3",
    "triangle": "TRI3",
    "triangle6": "TRI6",
    "quad": "QUAD4",
    "quad8": "QUAD8",
    "quad9": "QUAD9",
    "tetra": "TETRA",
    "tetra10": "TETRA10",
    "pyramid": "PYRAMID5",
    "pyramid13": "PYRAMID13",
    "wedge": "WEDGE",
    "wedge15": "WEDGE15",
    "wedge18": "WEDGE18",
    "hexahedron": "HEX",
    "hexahedron20": "HEX20",
    "hexahedron27": "HEX27",
}
TURN = np.array([[0.9, 0.2, 0.1], [-0.3, 1.1, 0.2], [0.15, -0.1, 1.2]])


def texts(names: Sequence[str]) -> np.ndarray:
    table = np.zeros((len(names), 33), "S1")
    for row, name in enumerate(names):
        table[row, : len(name)] = list(name)
    return table


def write_exodus(
    path: Path,
    points: np.ndarray,
    blocks: Sequence[tuple[str, np.ndarray]],
    **variables: Any,
) -> None:
    """A classic NetCDF file; blocks are (element type, nodes counted from 1)."""
    with netcdf_file(path, "w", version=2) as file:
        file.title, file.api_version, file.version = b"test", 5.14, 5.14
        file.floating_point_word_size, file.file_size = 8, 1
        file.createDimension("time_step", None)
        sizes = {
            "len_string": 33,
            "len_line": 81,
            "len_name": 33,
            "four": 4,
            "num_dim": points.shape[1],
            "num_nodes": len(points),
            "num_elem": sum(len(nodes) for _, nodes in blocks),
            "num_el_blk": len(blocks),
        }
        for name, size in sizes.items():
            file.createDimension(name, size)

        def add(name: str, values: np.ndarray, dimensions: tuple[str, ...]) -> None:
            kind = "c" if values.dtype.kind == "S" else values.dtype.char
            kind = {"l": "i", "q": "i"}.get(kind, kind)
            file.createVariable(name, kind, dimensions)[:] = values

        for axis, column in zip("xyz", points.T, strict=False):
            add(f"coord{axis}", column, ("num_nodes",))
        add("eb_prop1", np.arange(10, 10 + len(blocks)), ("num_el_blk",))
        for i, (name, nodes) in enumerate(blocks, 1):
            own = (f"num_el_in_blk{i}", f"num_nod_per_el{i}")
            for dimension, size in zip(own, nodes.shape, strict=True):
                file.createDimension(dimension, size)
            add(f"connect{i}", nodes, own)
            file.variables[f"connect{i}"].elem_type = name.encode()
        for name, values in variables.items():
            array = np.asarray(values)
            if name.startswith("num_"):
                file.createDimension(name, int(values))
                continue
            dimensions = []
            for axis, size in enumerate(array.shape):
                timed = name == "time_whole" or name.startswith("vals_")
                if timed and axis == 0:
                    dimensions.append("time_step")
                    continue
                dimensions.append(f"d_{name}_{axis}")
                if name.startswith(("elem_ss", "side_ss")):
                    dimensions[-1] = f"num_side_ss{name[7:]}"
                if name.startswith("node_ns"):
                    dimensions[-1] = f"num_nod_ns{name[7:]}"
                if dimensions[-1] not in file.dimensions:
                    file.createDimension(dimensions[-1], size)
            add(name, array, tuple(dimensions))


def single(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Points of one skew cell in the order of the file, and its nodes from 1."""
    cell = CELL_TYPES[kind]
    reference = np.zeros((cell.nodes, 3))
    reference[:, : cell.dimension] = cell.reference_points
    points = reference @ TURN + 0.1
    order = ORDERS.get(kind, tuple(range(cell.nodes)))
    return points[np.argsort(order)], np.arange(1, cell.nodes + 1)[None]


def from_vtk(path: Path, group: int) -> list[pyvista.DataSet]:
    """The blocks of one group: 0 elements, 4 side sets."""
    from vtkmodules.vtkIOExodus import vtkExodusIIReader

    reader = vtkExodusIIReader()
    reader.SetFileName(str(path))
    reader.UpdateInformation()
    for number in range(reader.GetNumberOfObjects(vtkExodusIIReader.SIDE_SET)):
        reader.SetObjectStatus(vtkExodusIIReader.SIDE_SET, number, 1)
    reader.Update()
    blocks = pyvista.wrap(reader.GetOutput())[group]
    return [blocks[i] for i in range(blocks.n_blocks) if blocks[i] is not None]


@pytest.mark.parametrize("kind", sorted(NAMES))
def test_node_order_is_that_of_vtk(kind: str, tmp_path: Path):
    """VTK puts Exodus nodes into its own order; the points there must agree."""
    points, nodes = single(kind)
    write_exodus(tmp_path / "a.e", points, [(NAMES[kind], nodes)])
    mesh = io.read(tmp_path / "a.e")
    (grid,) = from_vtk(tmp_path / "a.e", 0)
    cell = grid.GetCell(0)
    seen = [cell.GetPointId(i) for i in range(cell.GetNumberOfPoints())]
    assert len(seen) == CELL_TYPES[kind].nodes
    ours = mesh.points[mesh.cells[kind][0]]
    # VTK keeps points in single precision
    np.testing.assert_array_equal(ours.astype("f4"), grid.points[seen])
    if CELL_TYPES[kind].dimension == 3:
        measure = cell_measures(
            torch.tensor(mesh.points), torch.tensor(mesh.cells[kind]), kind, signed=True
        )
        full = {"tetra": 1 / 6, "pyramid": 4 / 3, "wedge": 1 / 2, "hexahedron": 1}
        expected = full[CELL_TYPES[kind].linear.name] * np.linalg.det(TURN)
        assert abs(float(measure) - expected) < 1e-13


@pytest.mark.parametrize(
    "kind", ["triangle", "quad", "tetra", "pyramid", "wedge", "hexahedron"]
)
def test_sides_are_those_of_vtk(kind: str, tmp_path: Path):
    """Side i of VTK's side set has the corners of our facet."""
    points, nodes = single(kind)
    count = len(sides(kind, shell=False))
    assert sorted(facet_numbers(kind, sides(kind, shell=False))) == list(range(count))
    flat = CELL_TYPES[kind].dimension == 2
    write_exodus(
        tmp_path / "a.e",
        points[:, :2] if flat else points,
        [(NAMES[kind], nodes)],
        num_side_sets=1,
        ss_prop1=np.array([7]),
        elem_ss1=np.ones(count, int),
        side_ss1=np.arange(1, count + 1),
    )
    mesh = io.read(tmp_path / "a.e", dimension=3)
    facets = mesh.facet_sets["sideset 7"]
    assert facets[:, 0].tolist() == [0] * count
    (grid,) = from_vtk(tmp_path / "a.e", 4)
    for side, (_, facet) in enumerate(facets):
        corners = list(CELL_TYPES[kind].facets[facet][1])
        own = mesh.points[mesh.cells[kind][0, corners]].astype("f4")
        ours = {tuple(point) for point in own}
        ids = grid.GetCell(side).GetPointIds()
        seen = [ids.GetId(i) for i in range(ids.GetNumberOfIds())]
        assert ours == {tuple(point) for point in grid.points[seen]}


def test_blocks_sets_and_names(tmp_path: Path):
    """Blocks of one type are joined; sets follow their cells to the new numbers."""
    points = np.random.default_rng(0).random((7, 2))
    blocks = [
        ("TRI3", np.array([[1, 2, 3]])),
        ("QUAD4", np.array([[1, 2, 3, 4], [2, 3, 4, 5]])),
        ("tri", np.array([[3, 4, 5], [5, 6, 7]])),
    ]
    write_exodus(
        tmp_path / "a.e",
        points,
        blocks,
        eb_names=texts(["steel", "", "steel"]),
        num_node_sets=1,
        ns_prop1=np.array([3]),
        node_ns1=np.array([7, 1]),
        num_side_sets=2,
        ss_names=texts(["wall", ""]),
        ss_prop1=np.array([1, 2]),
        elem_ss1=np.array([2, 4, 5]),
        side_ss1=np.array([4, 1, 2]),
    )
    mesh = io.read(tmp_path / "a.e", check=False)
    assert list(mesh.cells) == ["triangle", "quad"]
    assert mesh.cells["triangle"].tolist() == [[0, 1, 2], [2, 3, 4], [4, 5, 6]]
    assert {name: m.tolist() for name, m in mesh.cell_sets.items()} == {
        "steel": [0],
        "block 11": [3, 4],
        "steel 12": [1, 2],
    }
    assert mesh.point_sets["nodeset 3"].tolist() == [6, 0]
    edges = [
        set(mesh.cells[kind][row, list(CELL_TYPES[kind].facets[facet][1])])
        for kind, row, facet in [
            ("quad", mesh.facet_sets["wall"][0, 0] - 3, mesh.facet_sets["wall"][0, 1]),
            ("triangle", *mesh.facet_sets["wall"][1]),
            ("triangle", *mesh.facet_sets["wall"][2]),
        ]
    ]
    assert edges == [{3, 0}, {2, 3}, {5, 6}]
    assert mesh.facet_sets["sideset 2"].shape == (0, 2)


def test_faces_of_shells_are_cells(tmp_path: Path):
    write_exodus(
        tmp_path / "a.e",
        np.random.default_rng(0).random((4, 3)),
        [("SHELL4", np.array([[1, 2, 3, 4]]))],
        num_side_sets=2,
        elem_ss1=np.array([1]),
        side_ss1=np.array([2]),
        elem_ss2=np.array([1]),
        side_ss2=np.array([4]),
    )
    mesh = io.read(tmp_path / "a.e")
    assert mesh.cell_sets["sideset 1"].tolist() == [0]
    assert list(mesh.facet_sets) == ["sideset 2"]
    corners = CELL_TYPES["quad"].facets[mesh.facet_sets["sideset 2"][0, 1]][1]
    assert set(corners) == {1, 2}


def test_variables_at_every_step(tmp_path: Path):
    random = np.random.default_rng(0)
    nodal, element = random.random((2, 3, 5)), random.random((3, 2))
    write_exodus(
        tmp_path / "a.e",
        random.random((5, 2)),
        [("TRI3", np.array([[1, 2, 3]])), ("QUAD4", np.array([[1, 2, 3, 4]] * 2))],
        time_whole=np.array([0.0, 0.5, 2.0]),
        name_nod_var=texts(["u_x", "u_y"]),
        vals_nod_var1=nodal[0],
        vals_nod_var2=nodal[1].astype("f4"),
        name_elem_var=texts(["s"]),
        vals_elem_var1eb2=element,
        name_glo_var=texts(["energy"]),
        vals_glo_var=np.array([[1.0], [2.0], [3.0]]),
        name_sset_var=texts(["flux"]),
    )
    message = r"3 time steps.*read_series.*variables of side sets were left out: flux"
    with pytest.warns(MeshWarning, match=message) as caught:
        last = io.read(tmp_path / "a.e")
    assert len(caught) == 1
    series = io.read_series(tmp_path / "a.e")
    np.testing.assert_array_equal(series.times, [0, 0.5, 2])
    for step, mesh in enumerate([*series, last]):
        step = min(step, 2)
        np.testing.assert_array_equal(mesh.point_data["u_x"], nodal[0, step])
        wanted = nodal[1, step].astype("f4")
        np.testing.assert_array_equal(mesh.point_data["u_y"], wanted, strict=True)
        np.testing.assert_array_equal(mesh.cell_data["s"], [np.nan, *element[step]])
        assert mesh.field_data["energy"].tolist() == [step + 1]


@pytest.mark.parametrize(
    ("name", "width", "message"),
    [
        ("TETRA11", 11, "TETRA11 with 11 nodes"),
        ("TETRA15", 15, "TETRA15 with 15 nodes"),
        ("NSIDED", 3, "polygons"),
        ("nfaced", 4, "polygons"),
        ("BEX_HEX", 8, "splines"),
        ("", 4, r"\(empty\) with 4 nodes"),
        ("TRI3", 3, "points that do not exist"),
    ],
)
def test_what_is_not_read_is_named(name: str, width: int, message: str, tmp_path: Path):
    nodes = np.arange(1, width + 1)[None] + (99 if name == "TRI3" else 0)
    points = np.random.default_rng(0).random((20, 3))
    write_exodus(tmp_path / "a.e", points, [(name, nodes)])
    with pytest.raises(io.FormatError, match=message) as caught:
        io.read(tmp_path / "a.e")
    assert "\n" not in str(caught.value)


def test_files_that_are_no_exodus_files(tmp_path: Path):
    points, nodes = single("hexahedron")
    write_exodus(tmp_path / "a.e", points, [("HEX", nodes)])
    data = (tmp_path / "a.e").read_bytes()
    for content in (
        data[:-40],
        data[:100],
        b"CDF\x05" + data[4:],
        b"solid",
        b"\x89HDF",
    ):
        (tmp_path / "b.e").write_bytes(content)
        with pytest.raises(io.FormatError, match=r"b\.e"):
            io.read(tmp_path / "b.e")


@pytest.mark.parametrize(
    "name",
    [
        "fields/moose_tmap8/test/tests/ver-1g/gold/equal_conc_out.e",
        "formats/petsc/share/petsc/datafiles/meshes/blockcylinder-50.exo",
        "formats/petsc/share/petsc/datafiles/meshes/squaremotor-30.exo",
        "formats/vtk_data/Data/mesh_fs8.exo",
        "formats/geo_uxarray/test/meshfiles/exodus/outCSne8/outCSne8.g",
    ],
)
@pytest.mark.filterwarnings("ignore::isofield.io.registry.MeshWarning")
def test_real_files_have_the_points_and_cells_that_vtk_finds(name: str):
    """Cell by cell the same corners; both kinds of NetCDF, one and several blocks."""
    path = DATA / name
    if not path.exists():
        pytest.skip("the folder of real files, ../shared/data, is not there")
    mesh = io.read(path, dimension=3)
    theirs = [
        grid.points[grid.GetCell(i).GetPointIds().GetId(n)]
        for grid in from_vtk(path, 0)
        for i in range(grid.n_cells)
        for n in range(grid.GetCell(i).GetNumberOfPoints())
    ]
    (nodes,) = mesh.cells.values()
    ours = mesh.points[nodes].reshape(-1, 3).astype("f4")
    np.testing.assert_array_equal(ours, theirs)
