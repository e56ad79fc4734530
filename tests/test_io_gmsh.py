"""Gmsh files against Gmsh itself: what it writes is read, what we write it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import isofield.io as io
from isofield import Mesh
from isofield.cells import CELL_TYPES
from isofield.io.gmsh.elements import ELEMENTS
from isofield.io.registry import MeshWarning
from isofield.quadrature import cell_measures


@pytest.fixture
def gmsh() -> Iterator[ModuleType]:
    try:
        import gmsh
    except (ImportError, OSError) as error:
        pytest.skip(f"Gmsh's own library is the oracle and cannot be loaded: {error}")
    gmsh.initialize([], False, interruptible=False)
    gmsh.option.setNumber("General.Terminal", 0)
    yield gmsh
    gmsh.finalize()


def box(gmsh: ModuleType, shapes: str, order: int, incomplete: bool = False) -> None:
    """The unit cube in tetrahedra, hexahedra or wedges."""
    gmsh.clear()
    gmsh.option.setNumber("Mesh.SecondOrderIncomplete", int(incomplete))
    kernel = gmsh.model.occ
    square = kernel.addRectangle(0, 0, 0, 1, 1)
    layers = [] if shapes == "tetra" else [2]
    kernel.extrude([(2, square)], 0, 0, 1, layers, recombine=shapes != "tetra")
    kernel.synchronize()
    gmsh.option.setNumber("Mesh.MeshSizeMin", 0.5)
    gmsh.option.setNumber("Mesh.MeshSizeMax", 0.5)
    if shapes == "hexahedron":
        for curve in gmsh.model.getEntities(1):
            gmsh.model.mesh.setTransfiniteCurve(curve[1], 3)
        gmsh.model.mesh.setTransfiniteSurface(square)
        gmsh.model.mesh.setRecombine(2, square)
    gmsh.model.mesh.generate(3)
    if order > 1:
        gmsh.model.mesh.setOrder(order)


def volume(mesh: Mesh) -> float:
    """The sum of the signed measures of the solid cells."""
    points = torch.tensor(mesh.points)
    return sum(
        float(cell_measures(points, torch.tensor(nodes), kind, signed=True).sum())
        for kind, nodes in mesh.cells.items()
        if CELL_TYPES[kind].dimension == 3
    )


@pytest.mark.parametrize("code", sorted(ELEMENTS))
def test_node_order_is_that_of_gmsh(code: int, gmsh: ModuleType):
    """Gmsh's reference nodes, put into our order, are means of the same corners."""
    element = ELEMENTS[code]
    _, dimension, _, count, nodes, corners = gmsh.model.mesh.getElementProperties(code)
    cell = CELL_TYPES[element.cell_type]
    assert (dimension, count) == (cell.dimension, cell.nodes)
    ours = np.reshape(nodes, (count, -1))[list(element.order)]
    assert np.array_equal(element.from_vtk(element.to_vtk(ours.T)), ours.T)
    for node, mean in enumerate(cell.means):
        assert node >= corners or mean == (node,)
        np.testing.assert_allclose(
            ours[node], ours[list(mean)].mean(axis=0), atol=1e-15
        )


@pytest.mark.parametrize(
    ("version", "binary"), [(2.2, 0), (2.2, 1), (4.0, 0), (4.1, 0), (4.1, 1)]
)
@pytest.mark.parametrize(
    ("shapes", "order", "incomplete", "kind"),
    [
        ("tetra", 1, False, "tetra"),
        ("tetra", 2, False, "tetra10"),
        ("hexahedron", 2, True, "hexahedron20"),
        ("hexahedron", 2, False, "hexahedron27"),
        ("wedge", 1, False, "wedge"),
        ("wedge", 2, True, "wedge15"),
        ("wedge", 2, False, "wedge18"),
    ],
)
def test_what_gmsh_writes_has_the_volume_one(
    version: float,
    binary: int,
    shapes: str,
    order: int,
    incomplete: bool,
    kind: str,
    gmsh: ModuleType,
    tmp_path: Path,
):
    """A wedge of 18 nodes in another order has the volume 0.125 instead of 1."""
    box(gmsh, shapes, order, incomplete)
    path = str(tmp_path / "box.msh")
    gmsh.option.setNumber("Mesh.MshFileVersion", version)
    gmsh.option.setNumber("Mesh.Binary", binary)
    gmsh.write(path)
    mesh = io.read(path)
    tags, points, _ = gmsh.model.mesh.getNodes()
    expected = np.reshape(points, (-1, 3))[np.argsort(tags)]
    # a text file has 16 digits, one short of all
    np.testing.assert_allclose(
        mesh.points, expected, rtol=0, atol=0 if binary else 1e-15
    )
    for code in gmsh.model.mesh.getElementTypes():
        numbers, _ = gmsh.model.mesh.getElementsByType(code)
        assert len(mesh.cells[ELEMENTS[code].cell_type]) == len(numbers)
    assert kind in mesh.cells
    assert abs(volume(mesh) - 1) < 1e-12


def test_every_shape_that_is_written_has_its_volume_in_gmsh(
    mixed_mesh: Callable, gmsh: ModuleType, tmp_path: Path
):
    """Gmsh integrates its own shape functions over the cells as we wrote them."""
    for family in ("linear", "serendipity", "full"):
        mesh = mixed_mesh(3, family)
        io.write(tmp_path / "mixed.msh", mesh)
        gmsh.clear()
        gmsh.open(str(tmp_path / "mixed.msh"))
        total = 0.0
        for code in gmsh.model.mesh.getElementTypes(3):
            points, weights = gmsh.model.mesh.getIntegrationPoints(code, "Gauss4")
            _, determinants, _ = gmsh.model.mesh.getJacobians(code, points)
            total += np.sum(np.reshape(determinants, (-1, len(weights))) * weights)
        assert abs(total - 1) < 1e-12


def test_gmsh_reads_our_groups_and_fields(gmsh: ModuleType, tmp_path: Path):
    random = np.random.default_rng(0)
    mesh = Mesh(
        random.random((6, 2)),
        {"line": [[0, 1], [1, 2]], "triangle": [[0, 1, 2], [2, 3, 4], [3, 4, 5]]},
        point_data={"u": random.random((6, 2)), "T": random.random((6, 3, 3))},
        cell_data={"s": random.random(5)},
        cell_sets={"edge": [0], "one": [2, 3], "overlapping": [1, 3, 4]},
    )
    io.write(tmp_path / "a.msh", mesh)
    gmsh.open(str(tmp_path / "a.msh"))
    groups = {
        (dimension, gmsh.model.getPhysicalName(dimension, tag)): tag
        for dimension, tag in gmsh.model.getPhysicalGroups()
    }
    assert sorted(groups) == [
        (1, "edge"),
        (1, "overlapping"),
        (2, "one"),
        (2, "overlapping"),
    ]

    def members(dimension: int, name: str) -> list[int]:
        entities = gmsh.model.getEntitiesForPhysicalGroup(
            dimension, groups[dimension, name]
        )
        found = [gmsh.model.mesh.getElements(dimension, tag)[1] for tag in entities]
        return sorted(int(n) - 1 for blocks in found for block in blocks for n in block)

    assert members(1, "edge") == [0]
    assert members(2, "one") == [2, 3]
    assert members(1, "overlapping") + members(2, "overlapping") == [1, 3, 4]
    views = {gmsh.view.option.getString(t, "Name"): t for t in gmsh.view.getTags()}
    _, tags, values, _, width = gmsh.view.getHomogeneousModelData(views["u"], 0)
    assert width == 3
    assert np.array_equal(tags, np.arange(1, 7))
    padded = np.column_stack([mesh.point_data["u"], np.zeros(6)])
    assert np.array_equal(np.reshape(values, (-1, 3)), padded)
    values = gmsh.view.getHomogeneousModelData(views["T"], 0)[2]
    assert np.array_equal(values, mesh.point_data["T"].ravel())
    values = gmsh.view.getHomogeneousModelData(views["s"], 0)[2]
    assert np.array_equal(values, mesh.cell_data["s"])


@pytest.mark.parametrize("binary", [0, 1])
def test_fields_that_gmsh_writes_at_several_times(
    binary: int, gmsh: ModuleType, tmp_path: Path
):
    """The last step with a warning, every step from the series, NaN where none is."""
    box(gmsh, "tetra", 1)
    tags = gmsh.model.mesh.getNodes()[0]
    steps = np.random.default_rng(0).random((3, len(tags), 3))
    view = gmsh.view.add("displacement")
    for i, values in enumerate(steps):
        name = gmsh.model.getCurrent()
        flat = values[1:].ravel() if i == 2 else values.ravel()
        chosen = tags[1:] if i == 2 else tags
        gmsh.view.addHomogeneousModelData(
            view, i, name, "NodeData", chosen, flat, 0.5 * i
        )
    gmsh.option.setNumber("Mesh.Binary", binary)
    gmsh.option.setNumber("PostProcessing.SaveMesh", 1)
    gmsh.view.write(view, str(tmp_path / "a.msh"))
    order = np.argsort(tags)
    with pytest.warns(MeshWarning, match=r"3 time steps.*read_series"):
        mesh = io.read(tmp_path / "a.msh")
    expected = np.where(np.arange(len(tags))[:, None] == 0, np.nan, steps[2])[order]
    tolerance = 0 if binary else 1e-15
    actual = mesh.point_data["displacement"]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)
    series = io.read_series(tmp_path / "a.msh")
    np.testing.assert_array_equal(series.times, [0, 0.5, 1])
    first = series[0].point_data["displacement"]
    np.testing.assert_allclose(first, steps[0][order], rtol=0, atol=tolerance)


def test_discontinuous_fields_are_left_out_with_a_warning(
    gmsh: ModuleType, tmp_path: Path
):
    box(gmsh, "tetra", 1)
    tags = gmsh.model.mesh.getElementsByType(4)[0]
    view = gmsh.view.add("stress")
    values = np.ones(4 * len(tags))
    name = gmsh.model.getCurrent()
    gmsh.view.addHomogeneousModelData(view, 0, name, "ElementNodeData", tags, values)
    gmsh.view.write(view, str(tmp_path / "a.msh"))
    with pytest.warns(MeshWarning, match=r"'stress' has its own values in every cell"):
        mesh = io.read(tmp_path / "a.msh")
    assert not mesh.point_data
    assert not mesh.cell_data


@pytest.mark.parametrize("version", [2.2, 4.1])
def test_groups_of_gmsh_are_cell_sets(version: float, gmsh: ModuleType, tmp_path: Path):
    """A cell in two groups is one cell; unnamed groups have their number for a name."""
    kernel = gmsh.model.occ
    for i in range(3):
        kernel.addRectangle(i, 0, 0, 1, 1)
    kernel.fragment([(2, 1)], [(2, 2), (2, 3)])
    kernel.synchronize()
    gmsh.model.addPhysicalGroup(2, [1, 2], 5, "left")
    gmsh.model.addPhysicalGroup(2, [2, 3], 6, "right")
    gmsh.model.addPhysicalGroup(1, [1], 9)
    gmsh.model.mesh.generate(2)
    gmsh.option.setNumber("Mesh.MshFileVersion", version)
    gmsh.write(str(tmp_path / "a.msh"))
    mesh = io.read(tmp_path / "a.msh")
    assert sorted(mesh.cell_sets) == ["left", "right", "tag 1 9"]
    areas = cell_measures(
        torch.tensor(mesh.points), torch.tensor(mesh.cells["triangle"]), "triangle"
    ).numpy()
    first = len(mesh.cells["line"])
    assert abs(areas.sum() - 3) < 1e-12
    assert abs(areas[mesh.cell_sets["left"] - first].sum() - 2) < 1e-12
    assert abs(areas[mesh.cell_sets["right"] - first].sum() - 2) < 1e-12
    both = np.intersect1d(mesh.cell_sets["left"], mesh.cell_sets["right"])
    assert abs(areas[both - first].sum() - 1) < 1e-12
    assert set(mesh.cell_sets["tag 1 9"]) <= set(range(first))
    io.write(tmp_path / "b.msh", mesh)
    again = io.read(tmp_path / "b.msh")
    for name, members in mesh.cell_sets.items():
        assert np.array_equal(again.cell_sets[name], members)


@pytest.mark.parametrize("binary", [0, 1])
def test_periodic_and_partitioned_files_of_gmsh(
    binary: int, gmsh: ModuleType, tmp_path: Path
):
    kernel = gmsh.model.occ
    kernel.addBox(0, 0, 0, 1, 1, 1)
    kernel.synchronize()
    shift = [1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    gmsh.model.mesh.setPeriodic(2, [2], [1], shift)
    gmsh.model.addPhysicalGroup(3, [1], 1, "inside")
    gmsh.option.setNumber("Mesh.MeshSizeMax", 0.5)
    gmsh.model.mesh.generate(3)
    cells = len(gmsh.model.mesh.getElementsByType(4)[0])
    gmsh.model.mesh.partition(3)
    gmsh.option.setNumber("Mesh.Binary", binary)
    for version in (4.1, 2.2):
        gmsh.option.setNumber("Mesh.MshFileVersion", version)
        gmsh.write(str(tmp_path / "a.msh"))
        mesh = io.read(tmp_path / "a.msh")
        assert len(mesh.cells["tetra"]) == cells
        assert len(mesh.cell_sets["inside"]) == cells
        assert abs(volume(mesh) - 1) < 1e-12


TEXT = """$MeshFormat
2.2 0 8
$EndMeshFormat
$Nodes
3
7 0 0 0
2 1 0 0
30 0 1 0
$EndNodes
$Elements
1
5 2 2 0 1 7 2 30
$EndElements
"""


def test_numbers_need_not_be_in_order_or_without_gaps(tmp_path: Path):
    (tmp_path / "a.msh").write_text(TEXT)
    mesh = io.read(tmp_path / "a.msh")
    assert mesh.points.tolist() == [[1, 0], [0, 0], [0, 1]]
    assert mesh.cells["triangle"].tolist() == [[1, 0, 2]]
    (tmp_path / "a.msh").write_bytes(TEXT.replace("\n", "\r\n").encode())
    assert len(io.read(tmp_path / "a.msh").points) == 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("5 2 2 0 1 7 2 30", "5 2 2 0 1 7 2 31", "not in .Nodes, as node 31"),
        ("5 2 2 0 1 7 2 30", "5 21 2 0 1 7 2 30", "element type 21"),
        ("5 2 2 0 1 7 2 30", "5 2 2 0 1 7 2", "cut off"),
        ("$Nodes\n3", "$Nodes\n4", "cut off|ends before"),
        ("30 0 1 0", "30 0 one 0", "not a number"),
        ("30 0 1 0", "7 0 1 0", "appear twice"),
        ("2.2 0 8", "1.0 0 8", "format 1.0 is not known"),
        ("$EndElements", "", "has no end"),
        ("30 0 1 0", "30 0 nan 0", "not finite"),
    ],
)
def test_damaged_files_give_one_line(old: str, new: str, message: str, tmp_path: Path):
    path = tmp_path / "a.msh"
    path.write_text(TEXT.replace(old, new))
    with pytest.raises(io.FormatError, match=message) as caught:
        io.read(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_binary_file_cut_anywhere_gives_the_error(tmp_path: Path):
    mesh = Mesh(np.eye(3), {"triangle": [[0, 1, 2]]}, point_data={"u": np.arange(3.0)})
    io.write(tmp_path / "a.msh", mesh)
    data = (tmp_path / "a.msh").read_bytes()
    end = data.index(b"$EndElements")
    for place in range(8, end, 7):
        (tmp_path / "b.msh").write_bytes(data[:place])
        with pytest.raises(io.FormatError, match=r"b\.msh"):
            io.read(tmp_path / "b.msh")


def test_integers_beyond_the_reach_of_float64_are_refused(tmp_path: Path):
    mesh = Mesh(np.eye(3), {"triangle": [[0, 1, 2]]})
    big = mesh.with_cell_data({"id": np.array([2**53 + 1])})
    message = r"cell_data\['id'\] \(integers beyond 2\^53\)"
    with pytest.raises(io.FormatError, match=f"{message}; nothing was written"):
        io.write(tmp_path / "a.msh", big)
    assert not list(tmp_path.iterdir())
    with pytest.warns(io.MeshWarning, match=message):
        io.write(tmp_path / "a.msh", big, lossy=True)
    assert io.read(tmp_path / "a.msh").cell_data == {}
    io.write(tmp_path / "a.msh", mesh.with_cell_data({"id": np.array([-(2**53)])}))
    assert io.read(tmp_path / "a.msh").cell_data["id"].tolist() == [-(2**53)]


def test_physical_groups_know_no_order(tmp_path: Path):
    cells = {"triangle": [[0, 1, 2], [1, 3, 2], [2, 3, 4]]}
    sets = {"rising": [0, 2], "turned": [2, 0], "twice": [1, 1]}
    mesh = Mesh(np.arange(15.0).reshape(5, 3), cells, cell_sets=sets)
    message = r"repetitions of cell_sets\['turned'\]; .*cell_sets\['twice'\]"
    with pytest.raises(io.FormatError, match=message) as caught:
        io.write(tmp_path / "a.msh", mesh)
    assert "rising" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    with pytest.warns(io.MeshWarning, match=message):
        io.write(tmp_path / "a.msh", mesh, lossy=True)
    back = io.read(tmp_path / "a.msh", check=False).cell_sets
    assert {name: numbers.tolist() for name, numbers in back.items()} == {
        "rising": [0, 2],
        "turned": [0, 2],
        "twice": [1],
    }
