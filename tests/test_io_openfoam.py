"""OpenFOAM's polyMesh: cells, patches and damage, on cases written here face by face.

The writer knows nothing of the reader: it numbers the faces of a mesh by their nodes,
inner ones first, as the format demands. A case of PyVista's own files is read by VTK's
reader as well.
"""

from __future__ import annotations

import gzip
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import isofield.io as io
from isofield import Mesh
from isofield.cells import CELL_TYPES
from isofield.quadrature import cell_measures

pytest.importorskip("meshlane", reason="the extra 'formats' reads OpenFOAM")

DATA = Path(__file__).parents[2] / "shared/data/formats/vtk_data/Data/OpenFOAM.zip"
HEADER = "FoamFile\n{{\n  version 2.0;\n  format {};\n  class {};\n{}}}\n// * //\n\n"
ARCH = 'arch "LSB;label=32;scalar=64";\n'
FACES = {
    kind: [local for _, local in CELL_TYPES[kind].facets]
    for kind in ("tetra", "pyramid", "wedge", "hexahedron")
}


def case(
    folder: Path,
    points: np.ndarray,
    cells: list[list[list[int]]],
    patch: Callable[[np.ndarray], str],
    form: str = "ascii",
) -> Path:
    """Write a case of cells, each a list of faces oriented outward; its polyMesh.

    patch : the middle of an outer face -> the name of its patch.
    """
    owners: dict[frozenset[int], list[int]] = {}
    nodes: dict[frozenset[int], list[int]] = {}
    for number, faces in enumerate(cells):
        for face in faces:
            owners.setdefault(frozenset(face), []).append(number)
            nodes.setdefault(frozenset(face), face)
    inner = sorted((k for k in nodes if len(owners[k]) == 2), key=lambda k: owners[k])
    patches: dict[str, list[frozenset[int]]] = {}
    for key in nodes:
        if len(owners[key]) == 1:
            patches.setdefault(patch(points[list(key)].mean(axis=0)), []).append(key)
    order = inner + [key for keys in patches.values() for key in keys]
    poly = folder / "constant/polyMesh"
    poly.mkdir(parents=True)
    start, text = len(inner), f"{len(patches)}\n(\n"
    for name, keys in patches.items():
        text += f"  {name}\n  {{\n    type patch; // {{ nFaces 7; }}\n"
        text += f"    nFaces {len(keys)};\n    startFace {start};\n  }}\n"
        start += len(keys)
    boundary = HEADER.format("ascii", "polyBoundaryMesh", "") + text + ")\n"
    (poly / "boundary").write_text(boundary)
    write = WRITERS[form]
    write(poly / "points", points)
    write(poly / "faces", [nodes[key] for key in order])
    write(poly / "owner", np.array([owners[key][0] for key in order]))
    write(poly / "neighbour", np.array([owners[key][1] for key in inner], dtype=int))
    return poly


def _ascii(path: Path, rows) -> None:
    if path.name == "points":
        lines = [f"({' '.join(map(repr, row))})" for row in rows.tolist()]
    elif path.name == "faces":
        lines = [f"{len(row)}({' '.join(map(str, row))})" for row in rows]
    else:
        lines = [str(row) for row in rows]
    text = "\n".join([str(len(lines)), "(", *lines, ")", ""])
    path.write_text(HEADER.format("ascii", "list", "") + text)


def _binary(path: Path, rows) -> None:
    if path.name == "faces":
        body = b"".join(
            f"\n{len(r)}(".encode() + np.array(r, "<i4").tobytes() + b")" for r in rows
        )
    else:
        dtype = "<f8" if path.name == "points" else "<i4"
        body = rows.astype(dtype).tobytes()
    header = HEADER.format("binary", "list", ARCH).encode()
    path.write_bytes(header + f"{len(rows)}\n(".encode() + body + b")\n")


def _short(path: Path, rows) -> None:
    """As OpenFOAM writes lists of few numbers, all on one line."""
    if path.name == "faces":
        return _ascii(path, rows)
    entries = [str(row).replace(",", "") for row in rows.tolist()]
    text = f"{len(entries)}({' '.join(entries)})\n"
    if len(set(entries)) == 1:
        text = f"{len(entries)}{{{entries[0]}}}\n"
    text = text.replace("[", "(").replace("]", ")")
    path.write_text(HEADER.format("ascii", "list", "") + text)


def _compact(path: Path, rows) -> None:
    """As OpenFOAM writes binary files: no widths, faces as their ends and nodes."""
    header = HEADER.format("binary", "faceCompactList", "").encode()
    lists = [rows]
    if path.name == "faces":
        lists = [np.cumsum([0, *map(len, rows)]), np.concatenate(rows)]
    dtype = "<f4" if path.name == "points" else "<i8"
    path.write_bytes(
        header
        + b"".join(
            f"{len(one)}\n(".encode() + np.asarray(one, dtype).tobytes() + b")\n"
            for one in lists
        )
    )


WRITERS = {"ascii": _ascii, "binary": _binary, "short": _short, "compact": _compact}


def faces_of(mesh: Mesh) -> list[list[list[int]]]:
    return [
        [[int(row[i]) for i in local] for local in FACES[kind]]
        for kind, nodes in mesh.cells.items()
        for row in nodes
    ]


def cube(n: int) -> Mesh:
    """The unit cube of n³ hexahedra."""
    axis = np.linspace(0, 1, n + 1)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    step = np.array([(n + 1) ** 2, n + 1, 1])
    corners = CELL_TYPES["hexahedron"].reference_points.astype(int) @ step
    lowest = np.indices((n, n, n)).reshape(3, -1).T @ step
    return Mesh(points, {"hexahedron": lowest[:, None] + corners})


def pile() -> Mesh:
    """A unit cube, beside it half a cube, on both a roof: one of each shape.

    Volumes: hexahedron 1, wedge 1/2, pyramid of height 1 over the cube 1/3, and a
    tetrahedron of height 1 over the top of the wedge, 1/6.
    """
    text = "000 100 110 010 001 101 111 011 200 201"
    points = np.array([[float(digit) for digit in word] for word in text.split()])
    points = np.concatenate([points, [[0.5, 0.5, 2], [1.5, 0.25, 2]]])
    cells = {
        "hexahedron": [[0, 1, 2, 3, 4, 5, 6, 7]],
        "wedge": [[1, 8, 2, 5, 9, 6]],
        "pyramid": [[4, 5, 6, 7, 10]],
        "tetra": [[5, 9, 6, 11]],
    }
    return Mesh(points, cells)


def volumes(mesh: Mesh) -> dict[str, np.ndarray]:
    points = torch.tensor(mesh.points)
    return {
        kind: cell_measures(points, torch.tensor(nodes), kind, signed=True).numpy()
        for kind, nodes in mesh.cells.items()
    }


def area(mesh: Mesh, name: str) -> np.ndarray:
    """(3,) ∫ n dA over a patch, by Newell's sum over the edges of its facets."""
    rows = [row for nodes in mesh.cells.values() for row in nodes]
    kinds = [kind for kind, nodes in mesh.cells.items() for _ in nodes]
    total = np.zeros(3)
    for cell, facet in mesh.facet_sets[name].tolist():
        p = mesh.points[rows[cell][list(FACES[kinds[cell]][facet])]]
        total += np.cross(p, np.roll(p, -1, axis=0)).sum(axis=0) / 2
    return total


def side(middle: np.ndarray) -> str:
    """The names of the patches, which differ in their beginnings and ends."""
    if middle[2] < 1e-9:
        return "wall-1"
    return "lid-1" if middle[2] > 1 - 1e-9 else '"around.1"'


@pytest.mark.parametrize("form", WRITERS)
def test_a_cube_is_the_cells_that_were_written(tmp_path: Path, form: str):
    """Each of the 8 cells has volume 1/8; the patches have the areas ±e_z and 0."""
    whole = cube(2)
    case(tmp_path, whole.points, faces_of(whole), side, form)
    mesh = io.read(tmp_path)
    np.testing.assert_array_equal(mesh.points, whole.points)
    assert list(mesh.cells) == ["hexahedron"]
    assert np.array_equal(
        np.sort(mesh.cells["hexahedron"]), np.sort(whole.cells["hexahedron"])
    )
    np.testing.assert_allclose(volumes(mesh)["hexahedron"], 1 / 8, rtol=1e-14)
    sizes = {name: len(pairs) for name, pairs in mesh.facet_sets.items()}
    assert sizes == {"wall-1": 4, "lid-1": 4, "around.1": 16}
    for name, expected in (("wall-1", -1), ("lid-1", 1), ("around.1", 0)):
        np.testing.assert_allclose(area(mesh, name), [0, 0, expected], atol=1e-14)


@pytest.mark.parametrize("form", WRITERS)
def test_one_cell_of_each_shape_has_its_volume(tmp_path: Path, form: str):
    whole = pile()
    case(tmp_path, whole.points, faces_of(whole), side, form)
    mesh = io.read(tmp_path)
    found = {kind: values.tolist() for kind, values in volumes(mesh).items()}
    known = {"hexahedron": 1, "wedge": 1 / 2, "pyramid": 1 / 3, "tetra": 1 / 6}
    assert found == {k: [pytest.approx(v, rel=1e-13)] for k, v in known.items()}
    # a closed surface: the areas of all patches together are 0, the bottom is 3/2
    np.testing.assert_allclose(area(mesh, "wall-1"), [0, 0, -1.5], atol=1e-14)
    total = sum(area(mesh, name) for name in mesh.facet_sets)
    np.testing.assert_allclose(total, 0, atol=1e-14)
    assert sum(map(len, mesh.facet_sets.values())) == 6 + 5 + 5 + 4 - 2 * 3


def test_every_name_of_a_case_gives_the_same_mesh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The folder, polyMesh, a copy of it, the empty file, and packed files."""
    whole = cube(1)
    poly = case(tmp_path / "case", whole.points, faces_of(whole), side)
    (tmp_path / "case/case.foam").touch()
    (tmp_path / "case/a.OpenFOAM").touch()
    (tmp_path / "copy").mkdir()
    for file in poly.iterdir():
        packed = gzip.compress(file.read_bytes())
        (tmp_path / "copy" / f"{file.name}.gz").write_bytes(packed)
    names = ["case", "case/constant", poly, "case/case.foam", "case/a.OpenFOAM", "copy"]
    for name in names:
        mesh = io.read(tmp_path / name)
        assert [volume.sum() for volume in volumes(mesh).values()] == [1.0]
        assert set(mesh.facet_sets) == {"wall-1", "around.1", "lid-1"}
    monkeypatch.chdir(poly)
    assert len(io.read(".").points) == 8
    assert io.read_series(poly)[0].cells.keys() == {"hexahedron"}


def refused(path: Path, capfd: pytest.CaptureFixture | None = None) -> str:
    with pytest.raises(io.FormatError) as caught:
        io.read(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    if capfd is not None:
        heard = capfd.readouterr()
        assert heard.out == heard.err == ""
    return message


def test_folders_and_files_without_a_mesh_are_one_line(tmp_path: Path):
    (tmp_path / "case.foam").touch()
    assert "is a folder" in refused(tmp_path)
    assert "constant/polyMesh" in refused(tmp_path / "case.foam")
    with pytest.raises(io.FormatError, match="can be read but not written"):
        io.write(tmp_path / "new.foam", cube(1))
    poly = case(tmp_path, cube(1).points, faces_of(cube(1)), side)
    with pytest.raises(io.FormatError, match="is a folder"):
        io.write(poly, cube(1))
    for name in ("faces", "boundary"):
        (poly / name).unlink()
    assert "lacks the files faces, boundary" in refused(tmp_path)


@pytest.mark.parametrize("form", ["ascii", "compact"])
@pytest.mark.parametrize("name", ["points", "faces", "owner", "neighbour", "boundary"])
def test_files_cut_anywhere_are_one_line(
    tmp_path: Path, name: str, form: str, capfd: pytest.CaptureFixture
):
    """A mesh comes back only where the cut falls behind the last entry."""
    whole = cube(2)
    poly = case(tmp_path, whole.points, faces_of(whole), side, form)
    content = (poly / name).read_bytes()
    for part in (0.01, 0.5, 0.9):
        (poly / name).write_bytes(content[: int(part * len(content))])
        refused(tmp_path, capfd)
    (poly / name).write_bytes(np.random.default_rng(3).bytes(2000))
    refused(tmp_path, capfd)
    (poly / name).write_bytes(content)
    assert io.read(tmp_path).cells.keys() == {"hexahedron"}


def test_polyhedra_are_counted(tmp_path: Path):
    """Two cubes: the wall of one is split at a diagonal of their common face."""
    whole = cube(2)
    faces = faces_of(whole)
    split = next(face for face in faces[0] if set(face) in map(set, faces[1]))
    for number in (0, 1):
        own = next(f for f in faces[number] if set(f) == set(split))
        faces[number].remove(own)
        a, b, c, d = split if number == 0 else split[::-1]
        parts = [[a, b, c], [a, c, d]] if number == 0 else [[b, c, d], [a, b, d]]
        faces[number] += parts
    case(tmp_path, whole.points, faces, side)
    assert "2 of 8 cells are polyhedra" in refused(tmp_path)


def test_a_cell_of_six_faces_and_eight_corners_need_not_be_a_hexahedron(
    tmp_path: Path,
):
    """A tetrahedron with two corners cut off at one edge: faces of 3, 4 and 5 nodes."""
    text = "003 030 100 010 001 200 210 201"
    points = np.array([[float(digit) for digit in word] for word in text.split()])
    cell = [[2, 4, 3], [5, 6, 7], [2, 3, 1, 6, 5], [2, 5, 7, 0, 4]]
    cell += [[0, 1, 3, 4], [0, 7, 6, 1]]
    case(tmp_path, points, [cell], lambda middle: "wall")
    refused(tmp_path)


def test_faces_between_two_cells_are_left_out_of_their_patch(tmp_path: Path):
    """A baffle: a wall inside, two faces of the patch with the same nodes."""
    whole = cube(1)
    beyond = whole.points[4:] + np.array([1, 0, 0])
    points = np.concatenate([whole.points, beyond])
    second = [[i + 4 for i in face] for face in faces_of(whole)[0]]
    poly = case(tmp_path, points, [*faces_of(whole), second], side)
    # the inner face goes to the end of the last patch, once for each side
    lines = (poly / "faces").read_text().splitlines()
    begin = lines.index("(") + 1
    inner = lines.pop(begin)
    turned = f"4({' '.join(reversed(inner[2:-1].split()))})"
    lines[lines.index(")") : lines.index(")")] = [inner, turned]
    lines[begin - 2] = "12"
    (poly / "faces").write_text("\n".join(lines))
    owner = (poly / "owner").read_text().splitlines()
    owner.pop(owner.index("(") + 1)
    owner[owner.index(")") : owner.index(")")] = ["0", "1"]
    owner[owner.index("(") - 1] = "12"
    (poly / "owner").write_text("\n".join(owner))
    (poly / "neighbour").write_text(HEADER.format("ascii", "l", "") + "0\n(\n)\n")
    text = (poly / "boundary").read_text()
    for place in range(1, 11):
        text = text.replace(f"startFace {place};", f"startFace {place - 1};")
    head, _, tail = text.rpartition("nFaces ")
    count, _, rest = tail.partition(";")
    (poly / "boundary").write_text(f"{head}nFaces {int(count) + 2};{rest}")
    with pytest.warns(io.MeshWarning, match="2 faces of patches lie between two cells"):
        mesh = io.read(tmp_path)
    assert sum(volumes(mesh)["hexahedron"]) == pytest.approx(2, rel=1e-14)
    assert sum(map(len, mesh.facet_sets.values())) == 10


def test_without_meshlane_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    case(tmp_path, cube(1).points, faces_of(cube(1)), side)
    monkeypatch.setitem(sys.modules, "meshlane", None)
    assert "pip install 'isofield[formats]'" in refused(tmp_path)


def test_what_meshlane_says_and_ends_stays_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
):
    import meshlane

    def leaving(path: Path) -> None:
        print("Error: something")
        raise SystemExit(1)

    case(tmp_path, cube(1).points, faces_of(cube(1)), side)
    monkeypatch.setattr(meshlane.openfoam, "read", leaving)
    assert "Error: something" in refused(tmp_path, capfd)


def test_cases_of_solvers_have_the_cells_that_vtk_finds(tmp_path: Path):
    """Real cases, ascii and binary, labels and scalars of 32 and 64 bits."""
    if not DATA.is_file():
        pytest.skip(f"{DATA.name}, real cases, is not there")
    pyvista = pytest.importorskip("pyvista")
    with zipfile.ZipFile(DATA) as archive:
        archive.extractall(tmp_path)
    compared = 0
    for path in sorted(tmp_path.rglob("*.foam")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = pyvista.OpenFOAMReader(path).read()["internalMesh"]
            mesh = io.read(path)
        known = theirs.compute_cell_sizes(length=False, area=False)["Volume"]
        own = np.concatenate(list(volumes(mesh).values()))
        assert len(own) == theirs.n_cells
        assert (own > 0).all()
        assert own.sum() == pytest.approx(known.sum(), rel=1e-6)
        compared += 1
    assert compared > 0
