"""Abaqus input files: parts in their places, sets by their names, faces by corners."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import isofield.io as io
from isofield import Mesh
from isofield.cells import CELL_TYPES
from isofield.io.abaqus.elements import ORDERS, WRITTEN, cell_type, faces
from isofield.io.facets import facet_numbers
from isofield.io.registry import MeshWarning
from isofield.quadrature import cell_measures


def read(folder: Path, text: str, **options) -> Mesh:
    path = folder / "a.inp"
    path.write_text(text)
    return io.read(path, **options)


def members(sets) -> dict[str, list]:
    return {name: values.tolist() for name, values in sets.items()}


SQUARE = """*NODE, NSET=all
1, 0, 0
2, 1, 0
3, 1, 1
4, 0, 1
*ELEMENT, TYPE=CPS4R, ELSET=plate
10, 1, 2, 3, 4
"""


def test_the_least_file(tmp_path: Path):
    mesh = read(tmp_path, SQUARE)
    assert mesh.points.tolist() == [[0, 0], [1, 0], [1, 1], [0, 1]]
    assert members(mesh.cells) == {"quad": [[0, 1, 2, 3]]}
    assert members(mesh.point_sets) == {"all": [0, 1, 2, 3]}
    assert members(mesh.cell_sets) == {"plate": [0]}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("C3D4", "tetra"),
        ("C3D10M", "tetra10"),
        ("C3D10HS", "tetra10"),
        ("C3D5", "pyramid"),
        ("C3D6", "wedge"),
        ("SC6R", "wedge"),
        ("C3D15", "wedge15"),
        ("C3D15V", "wedge18"),
        ("C3D8R", "hexahedron"),
        ("C3D8RH", "hexahedron"),
        ("DC3D8", "hexahedron"),
        ("COH3D8", "hexahedron"),
        ("C3D20R", "hexahedron20"),
        ("C3D27RH", "hexahedron27"),
        ("CPS3", "triangle"),
        ("CPE6M", "triangle6"),
        ("STRI3", "triangle"),
        ("STRI65", "triangle6"),
        ("S3R", "triangle"),
        ("S4R5", "quad"),
        ("S8R", "quad8"),
        ("S8R5", "quad8"),
        ("S9R5", "quad9"),
        ("CAX8RH", "quad8"),
        ("CGAX4", "quad"),
        ("M3D9R", "quad9"),
        ("R3D4", "quad"),
        ("SFM3D6", "triangle6"),
        ("COH2D4", "quad"),
        ("T2D2", "line"),
        ("T3D3", "line3"),
        ("B31", "line"),
        ("B31OSH", "line"),
        ("B32", "line3"),
        ("B33", "line"),
        ("PIPE22", "line3"),
        ("SAX1", "line"),
        ("SAX2T", "line3"),
        ("R2D2", "line"),
        ("MASS", "vertex"),
    ],
)
def test_families_of_element_types(name: str, kind: str):
    assert cell_type(name) == kind


@pytest.mark.parametrize("name", ["U1", "C3D11", "CPS5", "C3D", "XYZ", "C4D8", ""])
def test_unknown_element_types_are_refused_by_name(name: str, tmp_path: Path):
    text = SQUARE.replace("CPS4R", name)
    with pytest.raises(io.FormatError, match=name or "TYPE is missing"):
        read(tmp_path, text)


@pytest.mark.parametrize("kind", sorted(WRITTEN))
def test_written_types_are_read_as_they_were(kind: str):
    """Corners first and middle nodes between their ends, whatever the file's order."""
    for name in WRITTEN[kind]:
        assert cell_type(name) == kind
    cell = CELL_TYPES[kind]
    assert sorted(ORDERS.get(kind, range(cell.nodes))) == list(range(cell.nodes))
    sides = facet_numbers(kind, faces(kind))
    assert len(set(sides)) == len(sides)
    assert cell.dimension < 2 or len(sides) == len(cell.facets)


def test_quadratic_lines_count_along_the_axis(tmp_path: Path):
    """A beam of three nodes names its middle node second."""
    text = "*NODE\n1,0\n2,1\n3,2\n*ELEMENT,TYPE=B32\n1,1,2,3\n"
    assert read(tmp_path, text).cells["line3"].tolist() == [[0, 2, 1]]


def test_a_beam_may_name_a_node_for_its_direction(tmp_path: Path):
    text = "*NODE\n1,0\n2,1\n3,2,5\n*ELEMENT,TYPE=B31\n1,1,2,3\n"
    with pytest.warns(MeshWarning, match="1 orphan"):
        mesh = read(tmp_path, text)
    assert mesh.cells["line"].tolist() == [[0, 1]]


def test_long_elements_go_on_over_lines(tmp_path: Path, mesh_of: Callable):
    mesh = mesh_of("hexahedron27", 1)
    io.write(tmp_path / "a.inp", mesh)
    lines = (tmp_path / "a.inp").read_text().splitlines()
    assert max(line.count(",") for line in lines if line[0] != "*") <= 15
    back = io.read(tmp_path / "a.inp")
    np.testing.assert_array_equal(
        back.cells["hexahedron27"], mesh.cells["hexahedron27"]
    )


def test_generated_nested_and_repeated_sets(tmp_path: Path):
    text = (
        SQUARE
        + """*NSET, NSET=odd, GENERATE
1, 3, 2
*NSET, NSET=more
 4, ODD,
*NSET, NSET=more
2
*NSET, NSET=of_cells, ELSET=plate
*ELSET, ELSET="two words"
 plate, 10
*NSET, NSET=nothing
"""
    )
    mesh = read(tmp_path, text)
    assert members(mesh.point_sets) == {
        "all": [0, 1, 2, 3],
        "odd": [0, 2],
        "more": [3, 0, 2, 1],
        "of_cells": [0, 1, 2, 3],
        "nothing": [],
    }
    assert members(mesh.cell_sets) == {"plate": [0], "two words": [0]}


def test_sets_that_name_missing_nodes_are_reported(tmp_path: Path):
    with pytest.warns(MeshWarning, match=r"left out: \{'SOME': 2\}"):
        mesh = read(tmp_path, SQUARE + "*NSET, NSET=some\n1, 77, 78\n")
    assert members(mesh.point_sets)["some"] == [0]
    with pytest.raises(io.FormatError, match="contains itself"):
        read(tmp_path, SQUARE + "*NSET, NSET=a\nb\n*NSET, NSET=b\na\n")


def test_set_members_count_over_all_cells_of_all_types(tmp_path: Path):
    """Blocks of types in turn: a set names cells, not places in their block."""
    text = """*NODE
1,0,0
2,1,0
3,1,1
4,0,1
5,2,0
6,2,1
*ELEMENT, TYPE=CPS3
1, 1,2,3
*ELEMENT, TYPE=CPS4
2, 2,5,6,3
*ELEMENT, TYPE=CPS3
3, 1,3,4
*ELSET, ELSET=a
3
*ELSET, ELSET=b
2
"""
    mesh = read(tmp_path, text)
    assert members(mesh.cells) == {
        "triangle": [[0, 1, 2], [0, 2, 3]],
        "quad": [[1, 4, 5, 2]],
    }
    assert members(mesh.cell_sets) == {"a": [1], "b": [2]}


ASSEMBLY = f"""** a comment
*HEADING
nothing, here = matters
*PART, NAME=square
{SQUARE}*ELSET, ELSET=inner
10
*END PART
*ASSEMBLY, NAME=whole
*INSTANCE, NAME=first, PART=Square
*END INSTANCE
*INSTANCE, NAME=second,
 PART=square
0., 0., 3.
0., 0., 0., 1., 0., 0., 90.
*END INSTANCE
*NSET, NSET=pair, INSTANCE=second
1, 3
*NSET, NSET=both
first.2, second.all
*ELSET, ELSET=top, INSTANCE=second
plate
*END ASSEMBLY
*STEP
*STATIC
1., 1.
*END STEP
"""


def test_instances_are_moved_then_turned(tmp_path: Path):
    """(x, y, 0) -> (x, y, 3) -> (x, -3, y): a translation, then 90 degrees about x."""
    mesh = read(tmp_path, ASSEMBLY)
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
    moved = np.column_stack([square[:, 0], np.full(4, -3.0), square[:, 1]])
    np.testing.assert_array_equal(mesh.points[:4, :2], square)
    np.testing.assert_allclose(mesh.points[4:], moved, atol=1e-15)
    assert members(mesh.cells) == {"quad": [[0, 1, 2, 3], [4, 5, 6, 7]]}
    assert members(mesh.point_sets) == {
        "first.all": [0, 1, 2, 3],
        "second.all": [4, 5, 6, 7],
        "pair": [4, 6],
        "both": [1, 4, 5, 6, 7],
    }
    assert members(mesh.cell_sets) == {
        "first.plate": [0],
        "first.inner": [0],
        "second.plate": [1],
        "second.inner": [1],
        "top": [1],
    }


def test_one_instance_gives_its_sets_their_plain_names(tmp_path: Path):
    start = ASSEMBLY.index("*INSTANCE, NAME=second")
    end = ASSEMBLY.index("*NSET, NSET=pair")
    text = ASSEMBLY[:start] + ASSEMBLY[end:].replace("second", "first")
    mesh = read(tmp_path, text)
    assert sorted(mesh.cell_sets) == ["inner", "plate", "top"]
    assert sorted(mesh.point_sets) == ["all", "both", "pair"]


def test_parts_with_the_same_numbers_do_not_collide(tmp_path: Path):
    other = SQUARE.replace("4, 0, 1", "4, 0, 2").replace("1, 0, 0", "1, 5, 0")
    text = f"*PART, NAME=a\n{SQUARE}*END PART\n*PART, NAME=b\n{other}*END PART\n"
    mesh = read(tmp_path, text, check=False)
    assert len(mesh.points) == 8
    assert mesh.cells["quad"].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert sorted(mesh.cell_sets) == ["A.plate", "B.plate"]


def test_included_files(tmp_path: Path):
    (tmp_path / "mesh").mkdir()
    (tmp_path / "mesh" / "nodes.txt").write_text("1,0,0\n2,1,0\n3,0,1\n")
    (tmp_path / "mesh" / "all.inc").write_text(
        "*NODE, INPUT=nodes.txt\n*ELEMENT, TYPE=S3\n1,1,2,3\n"
    )
    mesh = read(tmp_path, "*INCLUDE, INPUT=mesh/all.inc\n*NSET, NSET=a\n2\n")
    assert mesh.points.tolist() == [[0, 0], [1, 0], [0, 1]]
    assert members(mesh.point_sets) == {"a": [1]}
    with pytest.raises(io.FormatError, match=r"line 1.*none\.inc.*missing"):
        read(tmp_path, "*INCLUDE, INPUT=none.inc\n")
    (tmp_path / "loop.inc").write_text("*INCLUDE, INPUT=loop.inc\n")
    with pytest.raises(io.FormatError, match="10 deep"):
        read(tmp_path, "*INCLUDE, INPUT=loop.inc\n")


def test_coordinate_systems(tmp_path: Path):
    """Cylindrical angles in degrees; *SYSTEM moves and turns what follows."""
    text = """*NODE, SYSTEM=C
1, 2, 90, 1
*SYSTEM
1, 0, 0, 1, 1, 0
0, 0, 0
*NODE
2, 1, 0, 0
3, 0, 1, 0
*SYSTEM
*NODE, SYSTEM=S
4, 2, 0, 90
*ELEMENT, TYPE=C3D4
1, 1, 2, 3, 4
"""
    mesh = read(tmp_path, text, check=False)
    expected = [[0, 2, 1], [1, 1, 0], [0, 0, 0], [0, 0, 2]]
    np.testing.assert_allclose(mesh.points, expected, atol=1e-15)


def test_surfaces_of_faces_and_of_shells(tmp_path: Path, mesh_of: Callable):
    """The facet of a face has the corners that Abaqus gives it."""
    mesh = mesh_of("hexahedron", 1)
    io.write(tmp_path / "a.inp", mesh)
    text = (tmp_path / "a.inp").read_text()
    text += "*ELSET, ELSET=one\n1\n*SURFACE, NAME=side, TYPE=ELEMENT\none, S3\n1, S6\n"
    found = read(tmp_path, text).facet_sets["side"]
    corners = [set(CELL_TYPES["hexahedron"].facets[f][1]) for _, f in found]
    assert corners == [{0, 1, 4, 5}, {0, 3, 4, 7}]
    shell = SQUARE + "*SURFACE, NAME=skin\nplate, SPOS\n*SURFACE, NAME=rim\n10, E2\n"
    mesh = read(tmp_path, shell)
    assert members(mesh.cell_sets)["skin"] == [0]
    corners = CELL_TYPES["quad"].facets[mesh.facet_sets["rim"][0, 1]][1]
    assert set(corners) == {1, 2}
    with pytest.warns(MeshWarning, match="'odd' names no face"):
        read(tmp_path, SQUARE + "*SURFACE, NAME=odd\nplate, S9\n")


def test_coordinates_come_back_in_every_bit_and_flat_meshes_as_plane_stress(
    tmp_path: Path,
):
    points = (
        np.random.default_rng(0).standard_normal((3, 2)) * 10.0 ** np.arange(3)[:, None]
    )
    mesh = Mesh(points, {"triangle": [[0, 1, 2]]}, facet_sets={"a": [[0, 1]]})
    io.write(tmp_path / "a.inp", mesh)
    text = (tmp_path / "a.inp").read_text()
    assert "TYPE=CPS3" in text
    assert all(line.count(",") == 2 for line in text.splitlines()[3:6])
    back = io.read(tmp_path / "a.inp", check=False)
    np.testing.assert_array_equal(back.points, points, strict=True)
    assert members(back.facet_sets) == {"a": [[0, 1]]}


def test_names_that_differ_in_case_alone_are_refused(tmp_path: Path):
    mesh = Mesh(np.eye(3), {"triangle": [[0, 1, 2]]}, cell_sets={"a": [0], "A": [0]})
    with pytest.raises(io.FormatError, match=r"the same name as 'a'.*nothing was"):
        io.write(tmp_path / "a.inp", mesh)
    assert not list(tmp_path.iterdir())
    with pytest.warns(io.MeshWarning, match=r"cell_sets\['A'\]"):
        io.write(tmp_path / "a.inp", mesh, lossy=True)
    assert members(io.read(tmp_path / "a.inp").cell_sets) == {"a": [0]}


def test_facets_without_a_side_and_repeated_ones_are_refused(tmp_path: Path):
    cells = {"triangle": [[0, 1, 2]], "line": [[0, 1]]}
    sets = {"ends": [[1, 0]], "twice": [[0, 2], [0, 0], [0, 2]]}
    mesh = Mesh(np.eye(3), cells, facet_sets=sets)
    message = r"facet_sets\['ends'\] \(line have no sides\); 1 repeated .* 'twice'"
    with pytest.raises(io.FormatError, match=f"{message}; nothing was written"):
        io.write(tmp_path / "a.inp", mesh)
    assert not list(tmp_path.iterdir())
    with pytest.warns(io.MeshWarning, match=message):
        io.write(tmp_path / "a.inp", mesh, lossy=True)
    back = io.read(tmp_path / "a.inp")
    assert members(back.facet_sets) == {"twice": [[0, 2], [0, 0]]}


def test_fields_are_refused_by_name(tmp_path: Path):
    mesh = Mesh(np.eye(3), {"triangle": [[0, 1, 2]]}, point_data={"u": np.ones(3)})
    with pytest.raises(io.FormatError, match=r"point_data\['u'\].*nothing was written"):
        io.write(tmp_path / "a.inp", mesh)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("10, 1, 2, 3, 4", "10, 1, 2, 3", "too few nodes"),
        ("10, 1, 2, 3, 4", "10, 1, 2, 3, 9", "names node 9"),
        ("10, 1, 2, 3, 4", "10, 1, 2, 3, x", "whole numbers"),
        ("10, 1, 2, 3, 4", "10, 1, 2, 3, 4, 1, 2", "has 6 nodes, quad has 4"),
        ("10, 1, 2, 3, 4", "10,1,2,3,4\n10,1,2,3,4", "defined twice"),
        ("4, 0, 1", "4, 0, one", "line 1, .NODE.*one"),
        ("4, 0, 1", "4, 0, nan", "not finite"),
        ("*NODE, NSET=all", "*NODES", "no .NODE in it"),
        ("*NODE", "NODE", "expected a keyword"),
        ("*ELEMENT", "*NGEN\n1,4\n*ELEMENT", "generated nodes"),
        ("*NODE", "*INSTANCE, NAME=a, PART=b\n*NODE", "no part B"),
        ("*NODE", "*SYSTEM\n0,0,0,1,0,0\n2,0,0\n*NODE", "span no plane"),
        ("*NODE,", "*NODE, SYSTEM=Q,", "expected R, C or S"),
    ],
)
def test_damaged_files_give_one_line(old: str, new: str, message: str, tmp_path: Path):
    with pytest.raises(io.FormatError, match=message) as caught:
        read(tmp_path, SQUARE.replace(old, new))
    assert str(caught.value).startswith(str(tmp_path / "a.inp"))
    assert "\n" not in str(caught.value)


def test_solids_that_are_written_keep_their_volume(
    tmp_path: Path, mixed_mesh: Callable
):
    mesh = mixed_mesh(3, "serendipity")
    io.write(tmp_path / "a.inp", mesh)
    back = io.read(tmp_path / "a.inp")
    total = sum(
        float(
            cell_measures(
                torch.tensor(back.points), torch.tensor(nodes), kind, signed=True
            ).sum()
        )
        for kind, nodes in back.cells.items()
    )
    assert abs(total - 1) < 1e-12
