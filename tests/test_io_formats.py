"""SU2, Nastran, Ansys, MED, CGNS and Fluent: files made here, measures known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import h5py
import meshio
import numpy as np
import pytest
import torch

import isofield.io as io
from isofield import Mesh
from isofield.cells import CELL_TYPES
from isofield.io import vtk_reader
from isofield.io.registry import MeshWarning
from isofield.quadrature import cell_measures

DATA = Path(__file__).parents[2] / "shared/data"
# place in Nastran, CGNS and Exodus files of VTK's node i: the upright edges come first
HEX20 = [*range(12), 16, 17, 18, 19, 12, 13, 14, 15]
WEDGE15 = [*range(9), 12, 13, 14, 9, 10, 11]


def measure(mesh: Mesh, dimension: int) -> float:
    """The sum of the signed measures of the cells of one dimension."""
    points = torch.tensor(mesh.points)
    signed = mesh.points.shape[1] == dimension
    return sum(
        float(cell_measures(points, torch.tensor(nodes), kind, signed=signed).sum())
        for kind, nodes in mesh.cells.items()
        if CELL_TYPES[kind].dimension == dimension
    )


def sets(groups) -> dict[str, list]:
    return {name: members.tolist() for name, members in groups.items()}


def real(name: str) -> Path:
    if not (DATA / name).exists():
        pytest.skip("the folder of real files, ../shared/data, is not there")
    return DATA / name


# SU2 ---------------------------------------------------------------------------------

SU2 = """% a comment
NDIME= 2
NELEM= 2
5 0 1 2 0
5 0 2 3 1
NPOIN= 4 4
0 0 0
1 0 1
1 1 2 % here too
0 1 3
NMARK= 2
MARKER_TAG= wall
MARKER_ELEMS= 2
3 0 1
3 1 2
MARKER_TAG= inlet
MARKER_ELEMS= 1
3 3 0
"""


def test_su2_markers_are_boundary_cells_with_sets(tmp_path: Path):
    (tmp_path / "a.su2").write_text(SU2)
    mesh = io.read(tmp_path / "a.su2")
    assert mesh.points.tolist() == [[0, 0], [1, 0], [1, 1], [0, 1]]
    assert sets(mesh.cells) == {
        "triangle": [[0, 1, 2], [0, 2, 3]],
        "line": [[0, 1], [1, 2], [3, 0]],
    }
    assert sets(mesh.cell_sets) == {"wall": [2, 3], "inlet": [4]}
    io.write(tmp_path / "b.su2", mesh)
    back = io.read(tmp_path / "b.su2")
    assert sets(back.cells) == sets(mesh.cells)
    assert sets(back.cell_sets) == sets(mesh.cell_sets)
    np.testing.assert_array_equal(back.points, mesh.points)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("NDIME= 2", "NZONE= 2\nIZONE= 1\nNDIME= 2", "several zones .NZONE= 2"),
        ("NDIME= 2", "NDIME= 4", "expected 2 or 3"),
        ("NDIME= 2\n", "", "no NDIME"),
        ("NELEM= 2", "NELEM= 3", "3 rows were announced, found 2 before NPOIN"),
        ("5 0 1 2 0", "6 0 1 2 0", "element type 6"),
        ("5 0 1 2 0", "5 0 1", "fewer than 3 nodes"),
        ("5 0 1 2 0", "5 0 one 2 0", "one"),
        ("5 0 1 2 0", "5 0 1 9 0", "points that do not exist"),
        ("3 3 0\n", "", "before end of file"),
        ("NELEM= 2", "NELEM= many", "whole number"),
        ("NMARK= ", "NMARK= 1", "more markers were announced than there are"),
    ],
)
def test_su2_damage_gives_one_line(old: str, new: str, message: str, tmp_path: Path):
    path = tmp_path / "a.su2"
    path.write_text(SU2.replace(old, new))
    with pytest.raises(io.FormatError, match=message) as caught:
        io.read(path)
    assert str(caught.value).startswith(str(path))


def test_su2_refuses_what_markers_cannot_say_or_leaves_it_out(tmp_path: Path):
    """What is left of the two lines where `lossy` leaves out the rest."""
    cells = {"triangle": [[0, 1, 2]], "line": [[0, 1], [1, 2]]}
    points = [[0, 0], [1, 0], [0, 1]]
    path = tmp_path / "a.su2"
    for members, message, lines, markers in [
        ({"a": [1]}, r"1 boundary cells in no marker .*cell 2", [[0, 1]], {"a": [1]}),
        ({"a": [1, 2], "b": [2]}, r"\['b'\].*another", [[0, 1], [1, 2]], {"a": [1, 2]}),
        ({"a": [1, 2, 2]}, r"'a'.*repeated.*2 boundary cells in no marker", [], {}),
        ({"a": [0, 1, 2]}, "inner cells", [], {}),
        ({"b": [2], "a": [0]}, "inner.*1 boundary", [[1, 2]], {"b": [1]}),
    ]:
        mesh = Mesh(points, cells, cell_sets=members)
        with pytest.raises(io.FormatError, match=f"{message}.*nothing was written"):
            io.write(path, mesh)
        assert not list(tmp_path.iterdir())
        with pytest.warns(io.MeshWarning, match=message):
            io.write(path, mesh, lossy=True)
        back = io.read(path)
        assert back.cells["triangle"].tolist() == [[0, 1, 2]]
        assert back.cells.get("line", np.zeros((0, 2))).tolist() == lines
        assert {k: v.tolist() for k, v in back.cell_sets.items()} == markers
        path.unlink()
    mesh = Mesh(points, cells, cell_sets={"a": [2], "b": [1]})
    with pytest.warns(MeshWarning, match="marker by marker"):
        io.write(tmp_path / "a.su2", mesh)
    back = io.read(tmp_path / "a.su2")
    assert back.cells["line"].tolist() == [[1, 2], [0, 1]]
    assert sets(back.cell_sets) == {"a": [1], "b": [2]}


# Nastran -----------------------------------------------------------------------------


def small(name: str, *fields: object) -> str:
    """A card in fields of 8 columns with continuation lines."""
    lines = [
        "".join(f"{field!s:<8}" for field in fields[i : i + 8])
        for i in range(0, len(fields), 8)
    ]
    return "\n".join(f"{name if i == 0 else '':<8}{row}" for i, row in enumerate(lines))


def nastran(points: np.ndarray, cards: Iterable[str]) -> str:
    grids = [
        f"GRID*   {i:<16}{'':<16}{x:<16.9E}{y:<16.9E}*\n*       {z:<16.9E}"
        for i, (x, y, z) in enumerate(points, 1)
    ]
    return "\n".join(["SOL 101", "CEND", "BEGIN BULK", *grids, *cards, "ENDDATA", ""])


@pytest.mark.parametrize(
    ("kind", "card", "order"),
    [
        ("tetra", "CTETRA", None),
        ("tetra10", "CTETRA", None),
        ("hexahedron", "CHEXA", None),
        ("hexahedron20", "CHEXA", HEX20),
        ("wedge", "CPENTA", None),
        ("wedge15", "CPENTA", WEDGE15),
        ("pyramid", "CPYRAM", None),
        ("pyramid13", "CPYRAM", None),
        ("triangle6", "CTRIA6", None),
        ("quad8", "CQUAD8", None),
    ],
)
def test_nastran_elements_fill_the_box(
    kind: str, card: str, order: list[int] | None, mesh_of: Callable, tmp_path: Path
):
    mesh = mesh_of(kind, 2)
    points = np.zeros((len(mesh.points), 3))
    points[:, : mesh.points.shape[1]] = mesh.points
    places = np.argsort(order) if order else slice(None)
    cards = [
        small(card, i, 7, *(row + 1))
        for i, row in enumerate(mesh.cells[kind][:, places], 1)
    ]
    (tmp_path / "a.bdf").write_text(nastran(points, cards))
    back = io.read(tmp_path / "a.bdf")
    np.testing.assert_array_equal(back.cells[kind], mesh.cells[kind])
    assert abs(measure(back, CELL_TYPES[kind].dimension) - 1) < 1e-8
    assert sets(back.cell_sets) == {"property 7": list(range(len(cards)))}


def test_nastran_fields_numbers_and_systems(tmp_path: Path):
    """Free and tabbed fields, 1.5-1 for 0.15, systems that refer to each other."""
    (tmp_path / "more.inc").write_text("GRID,4,2,2.0,90.,1.\n$ a comment\n")
    text = """CEND
INCLUDE 'not yet in the bulk data'
BEGIN BULK
GRDSET,,0
GRID\t1\t\t1.5-1\t-2.D+1\t3
GRID,2,,1.,0.,0.
GRID,3,1,1.,0.,0.
CORD2R,1,,0.,0.,1.,0.,0.,2.,
,0.,1.,1.
CORD2C         2       1      0.      0.      0.      0.      0.      1.
              1.      0.      0.
CORD1R,5,2,1,3
INCLUDE 'more.inc'
GRID           6       0     +1.     1.      0.      0
CTETRA,1,3,1,2,3,4
CBAR,2,4,1,2,0.,0.,1.
PLOTEL,9,3,4
RBE2,8,1,123,2,3
CELAS2,7,1.,1,1
ENDDATA
GRID,1,,0.,0.,0.
""".replace("INCLUDE 'not yet in the bulk data'\n", "")
    (tmp_path / "a.bdf").write_text(text)
    mesh = io.read(tmp_path / "a.bdf", check=False)
    # system 1: z up, x towards global y; system 2: cylindrical in it
    expected = [[0.15, -20, 3], [1, 0, 0], [0, 1, 1], [-2, 0, 2], [1, 1, 0]]
    np.testing.assert_allclose(mesh.points, expected, atol=1e-15)
    assert sets(mesh.cells) == {"tetra": [[0, 1, 2, 3]], "line": [[0, 1], [2, 3]]}
    assert sets(mesh.cell_sets) == {"property 3": [0], "property 4": [1]}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("CTRIA3,1,1,1,2,3", "CTRIA3,1,1,1,2,9", "names GRID 9"),
        ("CTRIA3,1,1,1,2,3", "CTRIA3,1,1,1,2", "has 2 nodes"),
        ("GRID,3,", "GRID,3,8", "system 8 is not defined"),
        ("GRID,3,,0.,1.,0.", "GRID,3,,0.,one,0.", "'one', expected a number"),
        ("GRID,3,,0.,1.,0.", "GRID,x,,0.,1.,0.", "whole number"),
        ("BEGIN BULK", "BEGIN BULK\nINCLUDE 'none.inc'", "none.inc .* missing"),
        ("BEGIN BULK", "BEGIN BULK\nBEGIN SUPER=2", "superelements"),
        ("GRID,3,", "CORD2R,4,4,0,0,0,0,0,1\n,1,0,0\nGRID,3,4", "refers to itself"),
        ("GRID,3,", "CORD2R,4,,0,0,0,0,0,1\n,0,0,2\nGRID,3,4", "on one line"),
    ],
)
def test_nastran_damage_gives_one_line(
    old: str, new: str, message: str, tmp_path: Path
):
    text = (
        "BEGIN BULK\nGRID,1,,0.,0.,0.\nGRID,2,,1.,0.,0.\nGRID,3,,0.,1.,0.\n"
        "CTRIA3,1,1,1,2,3\nENDDATA\n"
    )
    (tmp_path / "a.bdf").write_text(text)
    assert len(io.read(tmp_path / "a.bdf").points) == 3
    (tmp_path / "a.bdf").write_text(text.replace(old, new))
    with pytest.raises(io.FormatError, match=message) as caught:
        io.read(tmp_path / "a.bdf")
    assert "\n" not in str(caught.value)


def test_nastran_reads_as_meshio_does_where_that_is_right():
    path = real("formats/sfepy/meshes/various_formats/cube.bdf")
    theirs = meshio.read(path)
    mesh = io.read(path)
    np.testing.assert_array_equal(mesh.points, theirs.points)
    np.testing.assert_array_equal(
        mesh.cells["hexahedron"], theirs.cells_dict["hexahedron"]
    )


# Ansys -------------------------------------------------------------------------------


def archive(
    points: np.ndarray, elements: list[tuple[int, list[int]]], types: str
) -> str:
    """An archive; elements are (type number, nodes from 1)."""
    lines = [types, f"NBLOCK,6,SOLID,{len(points)},{len(points)}", "(3i9,6e21.13e3)"]
    for i, xyz in enumerate(points, 1):
        lines.append(f"{i:9d}{0:9d}{0:9d}" + "".join(f"{v:21.13E}" for v in xyz))
    lines += ["N,R5.3,LOC,       -1,", f"EBLOCK,19,SOLID,{len(elements)}", "(19i9)"]
    for i, (kind, nodes) in enumerate(elements, 1):
        head = [1 + i % 2, kind, 1, 1, 0, 0, 0, 0, len(nodes), 0, i]
        lines.append("".join(f"{n:9d}" for n in [*head, *nodes[:8]]))
        if nodes[8:]:
            lines.append("".join(f"{n:9d}" for n in nodes[8:]))
    return "\n".join([*lines, f"{-1:9d}", ""])


def collapsed(kind: str, nodes: np.ndarray) -> list[int]:
    """The nodes as a brick of 8 or 20 nodes, repeated as Ansys repeats them."""
    n = (nodes + 1).tolist()
    shape, corners = CELL_TYPES[kind].linear.name, CELL_TYPES[kind].linear.nodes
    places = {
        "hexahedron": [0, 1, 2, 3, 4, 5, 6, 7],
        "wedge": [0, 1, 2, 2, 3, 4, 5, 5],
        "pyramid": [0, 1, 2, 3, 4, 4, 4, 4],
        "tetra": [0, 1, 2, 2, 3, 3, 3, 3],
    }[shape]
    brick = [n[i] for i in places]
    if len(n) == corners:
        return brick
    middle = {mean: n[i] for i, mean in enumerate(CELL_TYPES[kind].means)}
    edges = CELL_TYPES["hexahedron20"].means[8:]
    for a, b in edges:
        ends = tuple(sorted({places[a], places[b]}))
        known = {tuple(sorted(mean)): node for mean, node in middle.items()}
        brick.append(known[ends])
    return brick


@pytest.mark.parametrize("family", ["linear", "serendipity"])
def test_ansys_bricks_with_repeated_nodes_are_what_they_are(
    family: str, mixed_mesh: Callable, tmp_path: Path
):
    mesh = mixed_mesh(3, family)
    elements = [
        (4, collapsed(kind, row)) for kind, rows in mesh.cells.items() for row in rows
    ]
    types = "ET,4,186" if family == "serendipity" else "ET, 4, 185"
    (tmp_path / "a.cdb").write_text(archive(mesh.points, elements, types))
    back = io.read(tmp_path / "a.cdb")
    assert {k: len(v) for k, v in back.cells.items()} == {
        k: len(v) for k, v in mesh.cells.items()
    }
    for kind, rows in mesh.cells.items():
        np.testing.assert_array_equal(back.cells[kind], rows)
    assert abs(measure(back, 3) - 1) < 1e-12


def test_ansys_types_options_and_components(tmp_path: Path):
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1.0]])
    elements = [
        (1, [1, 2, 3, 4]),
        (1, [1, 2, 3, 3]),
        (2, [1, 2, 3, 5]),
        (3, [1, 2, 5]),
        (5, [1]),
    ]
    types = "ET,1,181\nET,2,200\nKEYOP,2,1,8\nETBLOCK,1,1\n(2i9,19a9)\n"
    types += f"{3:9d}{188:9d}\n{5:9d}{175:9d}\n{-1:9d}"
    text = archive(points, elements, types)
    text += "CMBLOCK,SOME  ,NODE,       3\n(8i10)\n" + "".join(
        f"{n:10d}" for n in (1, -4, 5)
    )
    text += "\nCMBLOCK,FLAT,ELEM,       1\n(8i10)\n" + f"{2:10d}\n"
    (tmp_path / "a.cdb").write_text(text)
    with pytest.warns(MeshWarning, match="1 of type 175"):
        mesh = io.read(tmp_path / "a.cdb", check=False)
    assert sets(mesh.cells) == {
        "quad": [[0, 1, 2, 3]],
        "triangle": [[0, 1, 2]],
        "tetra": [[0, 1, 2, 4]],
        "line": [[0, 1]],
    }
    assert sets(mesh.point_sets) == {"SOME": [0, 1, 2, 3, 4]}
    assert sets(mesh.cell_sets) == {
        "material 2": [0, 2],
        "material 1": [1, 3],
        "FLAT": [1],
    }


def test_ansys_damage_gives_one_line(tmp_path: Path):
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0.0]])
    text = archive(points, [(1, [1, 2, 3])], "ET,1,181")
    path = tmp_path / "a.cdb"
    for content, message in [
        (text.replace("N,R5.3", "CUT")[: text.index("EBLOCK")], "NBLOCK"),
        (text[:-11], "EBLOCK does not end"),
        (text.replace("EBLOCK,19,SOLID", "EBLOCK,19"), "without SOLID"),
        (text.replace("(19i9)", "nothing"), "expected a format"),
        (text.replace("        3\n", "        9\n"), "names? node 9"),
        (text.replace("NBLOCK", "NOTHING"), "no NBLOCK"),
    ]:
        path.write_text(content)
        with pytest.raises(io.FormatError, match=message) as caught:
            io.read(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["HexBeam", "TetBeam", "sector", "academic_rotor"])
@pytest.mark.filterwarnings("ignore::isofield.io.registry.MeshWarning")
def test_ansys_archives_have_the_volume_that_meshlane_finds(name: str, capsys):
    meshlane = pytest.importorskip(
        "meshlane", reason="the extra 'formats' is the oracle"
    )
    path = real(f"formats/pyansys_wheel/{name}.cdb")
    theirs = meshlane.read(path)
    known = [b for b in theirs.cells if b.type in CELL_TYPES]
    solid = [b for b in known if CELL_TYPES[b.type].dimension == 3]
    points = torch.tensor(np.asarray(theirs.points, dtype=float))
    volume = sum(
        float(cell_measures(points, torch.tensor(b.data.astype(int)), b.type).sum())
        for b in solid
    )
    assert volume > 0
    assert abs(measure(io.read(path), 3) / volume - 1) < 1e-12


# MED ---------------------------------------------------------------------------------

MED = {
    "tetra": "TE4",
    "tetra10": "T10",
    "pyramid": "PY5",
    "pyramid13": "P13",
    "wedge": "PE6",
    "wedge15": "P15",
    "wedge18": "P18",
    "hexahedron": "HE8",
    "hexahedron20": "H20",
    "hexahedron27": "H27",
}


@pytest.mark.parametrize("kind", sorted(MED))
def test_med_volumes_are_turned_and_their_middle_nodes_follow(
    kind: str, tmp_path: Path
):
    """MED counts corners the other way round; middle nodes lie on the same edges."""
    cell = CELL_TYPES[kind]
    # a mirrored cell, its nodes as they stand: what MED means by this numbering
    points = cell.reference_points * [1, 1, -1]
    if kind == "hexahedron27":  # MED: faces below, front, right, back, left, above
        points = points[[*range(20), 24, 22, 21, 23, 20, 25, 26]]
    with h5py.File(tmp_path / "a.med", "w") as file:
        step = file.create_group("ENS_MAA/m/step")
        step.parent.attrs["ESP"] = 3
        step["NOE/COO"] = points.T.ravel()
        step[f"MAI/{MED[kind]}/NOD"] = np.arange(1, cell.nodes + 1)
    mesh = io.read(tmp_path / "a.med")
    own = mesh.points[mesh.cells[kind][0]]
    for node, mean in enumerate(cell.means):
        np.testing.assert_allclose(own[node], own[list(mean)].mean(axis=0), atol=1e-15)
    expected = Mesh(cell.reference_points, {kind: [list(range(cell.nodes))]})
    assert abs(measure(mesh, 3) - measure(expected, 3)) < 1e-13


def test_med_groups_and_fields_of_real_files():
    path = real("formats/meshio_sdist/med/cylinder.med")
    theirs = meshio.read(path)
    mesh = io.read(path)
    np.testing.assert_array_equal(mesh.points, theirs.points)
    assert mesh.validate().ok
    for kind, rows in mesh.cells.items():
        np.testing.assert_array_equal(
            np.sort(rows, axis=1), np.sort(theirs.cells_dict[kind], axis=1)
        )
    assert set(mesh.cell_sets) == {"A", "B", "C", "Top", "Top and down", "Top circle"}
    tags = np.concatenate(
        [theirs.cell_data_dict["cell_tags"][kind] for kind in mesh.cells]
    )
    wanted = [number for number, names in theirs.cell_tags.items() if "B" in names]
    np.testing.assert_array_equal(
        mesh.cell_sets["B"], np.flatnonzero(np.isin(tags, wanted))
    )
    with pytest.warns(MeshWarning, match="several values in a cell.*SIEF_ELNO"):
        box = io.read(real("formats/meshio_sdist/med/box.med"))
    theirs = meshio.read(DATA / "formats/meshio_sdist/med/box.med")
    (name,) = [n for n in theirs.point_data if "DEPL" in n]
    np.testing.assert_array_equal(
        box.point_data["resu____DEPL"], theirs.point_data[name]
    )
    assert abs(measure(box, 3) - 1) < 1e-12


def test_med_with_several_meshes_names_them(tmp_path: Path):
    with h5py.File(tmp_path / "a.med", "w") as file:
        file.create_group("ENS_MAA/one")
        file.create_group("ENS_MAA/two")
    with pytest.raises(io.FormatError, match=r"found 2: \['one', 'two'\]"):
        io.read(tmp_path / "a.med")


# CGNS --------------------------------------------------------------------------------

CGNS = {
    "tetra": (10, None),
    "tetra10": (11, None),
    "pyramid": (12, None),
    "pyramid13": (21, None),
    "pyramid14": (13, None),
    "wedge": (14, None),
    "wedge15": (15, WEDGE15),
    "wedge18": (16, [*WEDGE15, 15, 16, 17]),
    "hexahedron": (17, None),
    "hexahedron20": (18, HEX20),
    "hexahedron27": (19, [*HEX20, 24, 22, 21, 23, 20, 25, 26]),
    "triangle": (5, None),
    "quad": (7, None),
}


def node(parent, name: str, label: str, values=None):
    made = parent.create_group(name)
    made.attrs["label"] = np.bytes_(label)
    if isinstance(values, str):
        values = np.frombuffer(values.encode(), "i1")
    if values is not None:
        made[" data"] = np.asarray(values)
    return made


def zone(base, name: str, points: np.ndarray, kind: str, sizes) -> h5py.Group:
    made = node(base, name, "Zone_t", sizes)
    node(made, "ZoneType", "ZoneType_t", kind)
    grid = node(made, "GridCoordinates", "GridCoordinates_t")
    for axis, column in zip("XYZ", points.T, strict=False):
        node(grid, f"Coordinate{axis}", "DataArray_t", column)
    return made


def section(parent, name: str, kind: int, first: int, last: int, nodes) -> None:
    made = node(parent, name, "Elements_t", [kind, 0])
    node(made, "ElementRange", "IndexRange_t", [first, last])
    node(made, "ElementConnectivity", "DataArray_t", np.ravel(nodes))


def test_cgns_solids_of_every_type_fill_the_box(mixed_mesh: Callable, tmp_path: Path):
    """As sections of their own and as one mixed section."""
    for family in ("linear", "serendipity", "full"):
        mesh = mixed_mesh(3, family)
        for mixed in (False, True):
            with h5py.File(tmp_path / "a.cgns", "w") as file:
                base = node(file, "Base", "CGNSBase_t", [3, 3])
                count = sum(map(len, mesh.cells.values()))
                own = zone(base, "Z", mesh.points, "Unstructured", [[count], [0], [0]])
                stream, start = [], 1
                for kind, rows in mesh.cells.items():
                    code, order = CGNS[kind]
                    rows = rows[:, np.argsort(order)] if order else rows
                    if not mixed:
                        last = start + len(rows) - 1
                        section(own, kind, code, start, last, rows + 1)
                    for row in rows:
                        stream += [code, *(row + 1)]
                    start += len(rows)
                if mixed:
                    section(own, "all", 20, 1, count, stream)
            back = io.read(tmp_path / "a.cgns")
            assert abs(measure(back, 3) - 1) < 1e-12
            for kind, rows in mesh.cells.items():
                np.testing.assert_array_equal(back.cells[kind], rows)


def test_cgns_zones_fields_conditions_and_steps(tmp_path: Path):
    """Two zones: triangles with a boundary of lines, and a structured grid."""
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
    grid = np.array([[x, y] for y in (0.0, 1.0) for x in (2.0, 3.0, 4.0)])
    with h5py.File(tmp_path / "a.cgns", "w") as file:
        base = node(file, "Base", "CGNSBase_t", [2, 2])
        times = node(base, "Times", "BaseIterativeData_t", [2])
        node(times, "TimeValues", "DataArray_t", [0.0, 0.5])
        one = zone(base, "one", square, "Unstructured", [[4], [2], [0]])
        section(one, "rim", 3, 3, 4, [[1, 2], [2, 3]])
        section(one, "inside", 5, 1, 2, [[1, 2, 3], [1, 3, 4]])
        conditions = node(one, "ZoneBC", "ZoneBC_t")
        wall = node(conditions, "wall", "BC_t", "BCWall")
        node(wall, "PointList", "IndexArray_t", [[1, 2]])
        inlet = node(conditions, "inlet", "BC_t", "BCInflow")
        node(inlet, "PointRange", "IndexRange_t", [[4, 4]])
        node(inlet, "GridLocation", "GridLocation_t", "EdgeCenter")
        pointers = np.zeros((2, 32), "i1")
        for step, name in enumerate(("first", "second")):
            flow = node(one, name, "FlowSolution_t")
            node(flow, "u", "DataArray_t", np.arange(4.0) + 10 * step)
            cells = node(one, f"{name} cells", "FlowSolution_t")
            node(cells, "GridLocation", "GridLocation_t", "CellCenter")
            pointers[step, : len(name)] = list(name.encode())
        iterative = node(one, "Iterative", "ZoneIterativeData_t")
        node(iterative, "FlowSolutionPointers", "DataArray_t", pointers)
        two = zone(base, "two", grid, "Structured", [[3, 2], [2, 1], [0, 0]])
        flow = node(two, "flow", "FlowSolution_t")
        node(flow, "GridLocation", "GridLocation_t", "CellCenter")
        node(flow, "p", "DataArray_t", [[7.0, 8.0]])
    with pytest.warns(MeshWarning, match="2 time steps"):
        mesh = io.read(tmp_path / "a.cgns", check=False)
    assert sets(mesh.cells) == {
        "triangle": [[0, 1, 2], [0, 2, 3]],
        "line": [[0, 1], [1, 2]],
        "quad": [[4, 5, 8, 7], [5, 6, 9, 8]],
    }
    assert abs(measure(mesh, 2) - 3) < 1e-12
    nan = np.nan
    np.testing.assert_array_equal(mesh.cell_data["p"], [nan, nan, nan, nan, 7, 8])
    np.testing.assert_array_equal(mesh.point_data["u"], [10, 11, 12, 13, *[nan] * 6])
    assert sets(mesh.cell_sets) == {
        "one": [0, 1, 2, 3],
        "two": [4, 5],
        "one/rim": [2, 3],
        "one/inside": [0, 1],
        "one/inlet": [3],
    }
    assert sets(mesh.point_sets) == {"one/wall": [0, 1]}
    series = io.read_series(tmp_path / "a.cgns")
    assert series.times.tolist() == [0, 0.5]
    assert series[0].point_data["u"][:4].tolist() == [0, 1, 2, 3]


def test_cgns_polyhedra_and_other_hdf5_files_are_refused(tmp_path: Path):
    with h5py.File(tmp_path / "a.cgns", "w") as file:
        base = node(file, "Base", "CGNSBase_t", [3, 3])
        own = zone(base, "Z", np.eye(3), "Unstructured", [[3], [1], [0]])
        section(own, "faces", 22, 1, 1, [1, 2, 3])
    with pytest.raises(io.FormatError, match="polygons"):
        io.read(tmp_path / "a.cgns")
    with h5py.File(tmp_path / "a.cgns", "w") as file:
        file["x"] = 1
    with pytest.raises(io.FormatError, match="not a CGNS file"):
        io.read(tmp_path / "a.cgns")


def test_cgns_reads_as_vtk_does():
    name = "fields/plaid_shapenetcar_cgns/tests/containers/dataset_cgns/data/test/"
    path = real(name + "sample_000000000/meshes/mesh_000000000.cgns")
    theirs = vtk_reader.read(path)
    mesh = io.read(path)
    np.testing.assert_array_equal(mesh.points, theirs.points)
    np.testing.assert_array_equal(mesh.cells["triangle"], theirs.cells["triangle"])
    np.testing.assert_array_equal(
        mesh.point_data["pressure"], theirs.point_data["pressure"]
    )


# Fluent ------------------------------------------------------------------------------


def fluent(mesh: Mesh, binary: bool) -> bytes:
    """The faces of a mesh with the cells beside them; one wall around."""
    dimension, number, faces = mesh.dimension, 0, {}
    for kind, rows in mesh.cells.items():
        for row in rows:
            number += 1
            for _, facet in CELL_TYPES[kind].facets:
                corners = row[list(facet)] + 1
                faces.setdefault(tuple(sorted(corners)), [corners.tolist()]).append(
                    number
                )
    n = len(mesh.points)
    out = (
        f'(0 "made (here")\n(2 {dimension})\n(10 (0 1 {n:x} 0 {dimension}))\n'.encode()
    )
    head = f"(1 1 {n:x} 1 {dimension})"
    if binary:
        out += f"(3010 {head}(".encode() + mesh.points.astype("<f8").tobytes()
        out += b")\nEnd of Binary Section   3010)\n"
    else:
        lines = [" ".join(map(repr, point)) for point in mesh.points.tolist()]
        out += f"(10 {head}(\n".encode() + "\n".join(lines).encode() + b"))\n"
    out += f"(12 (0 1 {number:x} 0))\n(12 (7 1 {number:x} 1 0)(1 1 1))\n".encode()
    first = 1
    for inner in (True, False):
        rows = [f for f in faces.values() if (len(f) == 3) == inner]
        last = first + len(rows) - 1
        head = f"({8 if inner else 9:x} {first:x} {last:x} {2 if inner else 3:x} 0)"
        first = last + 1
        # a face is led by its number of nodes and followed by the cells on both sides
        table = [[len(f[0]), *f[0], *f[1:], *([] if inner else [0])] for f in rows]
        if binary:
            flat = np.array([value for row in table for value in row], "<i4")
            out += f"(2013 {head}(".encode() + flat.tobytes()
            out += b")\nEnd of Binary Section   2013)\n"
        else:
            lines = [" ".join(f"{value:x}" for value in row) for row in table]
            out += f"(13 {head}(\n".encode() + "\n".join(lines).encode() + b"))\n"
    return out + b"(45 (7 fluid inside)())\n(39 (9 wall around 3)())\n"


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("suffix", [".msh", ".cas"])
def test_fluent_cells_are_put_together_from_their_faces(
    binary: bool, dimension: int, suffix: str, mixed_mesh: Callable, tmp_path: Path
):
    mesh = mixed_mesh(dimension)
    (tmp_path / f"a{suffix}").write_bytes(fluent(mesh, binary))
    back = io.read(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(back.points, mesh.points)
    for kind, rows in mesh.cells.items():
        np.testing.assert_array_equal(
            np.sort(np.sort(back.cells[kind], axis=1), axis=0),
            np.sort(np.sort(rows, axis=1), axis=0),
        )
    assert back.validate().ok
    assert abs(measure(back, dimension) - 1) < 1e-12
    assert abs(measure(back, dimension - 1) - 2 * dimension) < 1e-12
    inside = sum(map(len, mesh.cells.values()))
    assert len(back.cell_sets["inside"]) == inside
    total = sum(map(len, back.cells.values()))
    assert len(back.cell_sets["around"]) == total - inside


def test_fluent_damage_gives_one_line(mixed_mesh: Callable, tmp_path: Path):
    data = fluent(mixed_mesh(2), False)
    path = tmp_path / "a.msh"
    for content, message in [
        (data[: data.index(b"(13 (8") + 60], "cut off|does not end|not found"),
        (data.replace(b"(13 (9", b"(13 (0"), "has faces|do not close"),
        (data.replace(b"0.5 0.5", b"0.5 half"), "not a number"),
        (data[: data.index(b"(13")], "no faces"),
    ]:
        path.write_bytes(content)
        with pytest.raises(io.FormatError, match=message) as caught:
            io.read(path)
        assert "\n" not in str(caught.value)
