"""Bad files end in one line that names the file; failed writes leave nothing behind."""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import isofield.io as io
from isofield import Mesh, MeshError
from isofield.io import isolation
from isofield.io.registry import Format, all_formats, formats, known_suffixes

READABLE = [one for one in all_formats() if one.read is not None]
SAFE = [one for one in READABLE if not one.risky]
WRITABLE = [one for one in SAFE if one.write is not None]


def mesh() -> Mesh:
    """Two tetrahedra and two of their faces, a field of each kind and a set."""
    points = np.array([[0, 0, 0.5], [1, 0, 0], [0, 1, 0], [0, 0, 1.0], [1, 1, 1.0]])
    return Mesh(
        points,
        {"tetra": [[0, 1, 2, 3], [1, 4, 2, 3]], "triangle": [[0, 1, 2], [1, 2, 4]]},
        point_data={"u": np.linspace(0, 1, 5)},
        cell_data={"c": np.arange(4.0)},
        cell_sets={"left": [0]},
    )


def assert_one_line(path: Path, **options) -> str:
    """Reading must fail with a `FormatError`: one line, the file's name in front."""
    with pytest.raises(io.FormatError) as caught:
        io.read(path, **options)
    message = str(caught.value)
    assert isinstance(caught.value, MeshError)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert len(message) < len(str(path)) + 500
    return message


def written(folder: Path, one: Format) -> Path:
    """A file of this format, of `mesh()` as far as the format can hold it."""
    path = folder / f"good{one.suffixes[0]}"
    good = mesh()
    if one.name == "SU2":  # takes faces and sets as markers of the boundary alone
        good = Mesh(good.points, {"tetra": good.cells["tetra"]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        io.write(path, good, lossy=True)
    return path


def outcome(path: Path, **options) -> Mesh | None:
    """The mesh, or None where reading ends in one line that names the file."""
    try:
        return io.read(path, **options)
    except io.FormatError as error:
        text = str(error)
    assert text.startswith(str(path))
    assert "\n" not in text
    return None


def test_missing_file_folder_empty_file_and_unknown_suffix(tmp_path: Path):
    assert "no such file" in assert_one_line(tmp_path / "nothing.vtu")
    assert "is a folder" in assert_one_line(tmp_path)
    (tmp_path / "empty.vtu").touch()
    assert "is empty" in assert_one_line(tmp_path / "empty.vtu")
    for name in ("a.docx", "without_suffix"):
        (tmp_path / name).write_text("content")
        message = assert_one_line(tmp_path / name)
        assert all(suffix in message for suffix in known_suffixes())
    (tmp_path / "a.vtu").write_text("content")
    with pytest.raises(io.FormatError, match="2, 3 or None, got 4"):
        io.read(tmp_path / "a.vtu", dimension=4)


@pytest.mark.parametrize("one", SAFE, ids=lambda one: one.name)
@pytest.mark.parametrize("content", ["noise", "text", "zeros", "xml", "nul text"])
def test_files_of_other_content_are_one_line(
    one: Format, content: str, tmp_path: Path, capfd: pytest.CaptureFixture
):
    """Nothing is printed either, by us or by a library underneath."""
    contents = {
        "noise": np.random.default_rng(7).bytes(4096),
        "text": b"Dear reader,\nthis is 1 letter and no mesh: 3 4 5.\n" * 20,
        "zeros": bytes(1000),
        "xml": b'<?xml version="1.0"?>\n<html><body>404 not found</body></html>\n',
        "nul text": b"solid \0 ply \0 OFF \0 $MeshFormat \0",
    }
    for suffix in one.suffixes:
        path = tmp_path / f"wrong{suffix}"
        path.write_bytes(contents[content])
        if not any(other.risky for other in formats(path)):
            assert_one_line(path)
    heard = capfd.readouterr()
    assert heard.out == heard.err == ""


@pytest.mark.parametrize("one", WRITABLE, ids=lambda one: one.name)
def test_truncated_files_are_one_line_or_a_whole_mesh(one: Format, tmp_path: Path):
    """A cut may fall behind all that matters (or between cells of a format that does
    not count them); it never gives another error, and early cuts never give a mesh of
    the same size."""
    path = written(tmp_path, one)
    whole, content = io.read(path, check=False), path.read_bytes()
    early = 0
    for number, part in enumerate((0.02, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97)):
        path.write_bytes(content[: max(1, int(part * len(content)))])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", io.MeshWarning)
            got = outcome(path)
        early += got is None and number < 4
        if got is not None and part < 0.5:
            assert len(got.points) < len(whole.points) or got.dimension < 3
    assert early >= 2


@pytest.mark.parametrize("binary", [True, False])
def test_legacy_vtk_files_that_are_cut_off_are_one_line(binary: bool, tmp_path: Path):
    """VTK reads a part of them, and of some without a word. A cut between two sections
    cannot be seen, and in text a cut within the last number."""
    path = tmp_path / "a.vtk"
    full = replace(mesh(), cell_sets={}).with_point_data({"v": np.eye(5)[:, :3]})
    io.to_pyvista(full).save(path, binary=binary)
    content, seen = path.read_bytes(), 0
    for part in np.linspace(0.15, 0.99, 24):
        path.write_bytes(content[: int(part * len(content))])
        got = outcome(path, isolate=False, check=False)
        if got is None:
            seen += 1
            continue
        last = len(full.points) if binary else -1
        np.testing.assert_array_equal(got.points[:last], full.points[:last])
        assert list(got.cells) in ([], list(full.cells))
        for name, values in {**got.point_data, **got.cell_data}.items():
            whole = {**full.point_data, **full.cell_data}[name]
            last = len(whole) if binary else -1
            np.testing.assert_array_equal(values[:last], whole[:last])
    assert seen >= 20


def test_legacy_vtk_cells_that_vtk_passes_over_are_one_line(tmp_path: Path):
    head = "# vtk DataFile Version 3.0\nx\nASCII\nDATASET UNSTRUCTURED_GRID\n"
    path, points = tmp_path / "a.vtk", "POINTS 3 double\n0 0 0 1 0 0 0 1 0\n"
    path.write_text(f"{head}{points}CELLS 1 4\n300 0 1 2\nCELL_TYPES 1\n5\n")
    assert "none of the cells that it announces" in assert_one_line(path, isolate=False)
    path.write_text(head + points[:-5])  # of which newer VTK says nothing
    assert_one_line(path, isolate=False)
    path.write_text(f"{head}{points}CELLS 1 4\n3 0 1 2\nCELL_TYPES 1\n5\n")
    assert len(io.read(path, isolate=False).cells["triangle"]) == 1


@pytest.mark.parametrize("one", WRITABLE, ids=lambda one: one.name)
def test_flipped_bytes_give_a_mesh_or_one_line(one: Format, tmp_path: Path):
    """Whatever a damaged byte does, the outcome is a `Mesh` or a `FormatError`."""
    path = written(tmp_path, one)
    content = np.frombuffer(path.read_bytes(), np.uint8)
    random = np.random.default_rng(11)
    refused = 0
    for _ in range(60):
        damaged = content.copy()
        places = random.integers(0, len(content), 1 + random.integers(0, 6))
        damaged[places] = random.integers(0, 256, len(places))
        path.write_bytes(damaged.tobytes())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", io.MeshWarning)
            refused += outcome(path) is None
    assert refused > 0


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_points_that_are_not_finite_are_counted(value: str, tmp_path: Path):
    text = f"v 0 0 1\nv 1 {value} 0\nv 1 0 0\nf 1 2 3\n"
    (tmp_path / "a.obj").write_text(text)
    message = assert_one_line(tmp_path / "a.obj")
    assert "1 of 3 points are not finite (first: point 1" in message
    bad = replace(mesh(), points=np.full((5, 3), np.nan))
    with pytest.raises(io.FormatError, match="5 points that are not finite"):
        io.write(tmp_path / "new.vtu", bad)
    assert not (tmp_path / "new.vtu").exists()


def test_cells_that_name_no_point_are_refused(tmp_path: Path):
    files = {
        "a.off": "OFF\n3 1 0\n0 0 1\n1 0 1\n0 1 1\n3 0 1 3\n",
        "a.obj": "v 0 0 1\nv 1 0 1\nv 0 1 1\nf 1 2 4\n",
        "b.obj": "v 0 0 1\nv 1 0 1\nv 0 1 1\nf -1 -2 -4\n",
        "a.ply": "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\n"
        "property float y\nproperty float z\nelement face 1\n"
        "property list uchar int vertex_indices\nend_header\n0 0 1\n3 0 0 9\n",
        "a.xdmf": '<Xdmf><Domain><Grid><Topology TopologyType="Triangle"><DataItem '
        'NumberType="Int" Dimensions="1 3">0 1 7</DataItem></Topology><Geometry '
        'GeometryType="XY"><DataItem Dimensions="3 2">0 0 1 0 0 1</DataItem>'
        "</Geometry></Grid></Domain></Xdmf>",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        message = assert_one_line(tmp_path / name)
        assert any(word in message for word in ("do not exist", "point")), message


def test_fields_of_the_wrong_length_are_refused(tmp_path: Path):
    path = written(tmp_path, next(one for one in SAFE if ".xdmf" in one.suffixes))
    import h5py

    with h5py.File(path.with_suffix(".h5"), "a") as heavy:
        del heavy["node/0"]
        heavy["node/0"] = np.zeros(4)
    assert "expected 5 rows, got (4,)" in assert_one_line(path)
    path.with_suffix(".h5").unlink()
    assert "heavy data file 'good.h5' is not beside it" in assert_one_line(path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from isofield.io import vtu

    path = tmp_path / "kept.vtu"
    path.write_text("old")

    def failing(target: Path, _: Mesh) -> None:
        target.write_text("half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(vtu, "FORMAT", replace(vtu.FORMAT, write=failing))
    with pytest.raises(io.FormatError, match="no space left") as caught:
        io.write(path, mesh())
    assert str(caught.value).startswith(str(path))
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept.vtu"]
    with pytest.raises(io.FormatError, match=r"folder .* does not exist"):
        io.write(tmp_path / "no" / "where.vtu", mesh())
    (tmp_path / "folder.vtu").mkdir()
    with pytest.raises(io.FormatError, match="is a folder"):
        io.write(tmp_path / "folder.vtu", mesh())
    with pytest.raises(io.FormatError, match="can be read but not written"):
        io.write(tmp_path / "a.case", mesh())


def test_a_reader_that_exits_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
):
    """As meshio's reader does on a damaged file, which here is read without it."""
    import meshio

    from isofield.io import vtu

    path = tmp_path / "a.vtu"
    path.write_bytes(np.random.default_rng(0).bytes(2000))
    with pytest.raises(SystemExit):
        meshio.read(path)
    capfd.readouterr()
    assert "not a readable VTK XML file" in assert_one_line(path)
    monkeypatch.setattr(vtu, "FORMAT", replace(vtu.FORMAT, read=meshio.read))
    assert "SystemExit: 1" in assert_one_line(path)


@pytest.mark.parametrize("other", [None, "mesh.vtu", np.zeros((3, 3))])
@pytest.mark.parametrize("name", ["meshio", "pyvista", "trimesh"])
def test_what_is_no_mesh_of_another_library_is_named(name: str, other):
    with pytest.raises(
        io.FormatError, match=rf"expected a .*, got {type(other).__name__}"
    ):
        getattr(io, f"from_{name}")(other)


def test_a_scene_of_trimesh_is_many_meshes():
    import trimesh

    ball = trimesh.creation.icosphere(1)
    with pytest.raises(io.FormatError, match=r"got Scene; take its to_geometry\(\)"):
        io.from_trimesh(trimesh.Scene([ball]))
    merged = io.from_trimesh(trimesh.Scene([ball]).to_geometry())
    assert len(merged.cells["triangle"]) == len(ball.faces)


def test_a_reader_that_ends_or_hangs_its_process_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """In place of Python the child runs a script that ends as VTK was seen to end."""
    one = next(one for one in READABLE if one.risky)
    script = tmp_path / "child"
    endings = {
        "kill -SEGV $$": "SIGSEGV",
        "kill -ABRT $$": "SIGABRT",
        "echo first >&2; echo last words >&2; exit 3": "code 3: last words",
        "exec sleep 30": "did not end within 1 s",
    }
    monkeypatch.setattr(sys, "executable", str(script))
    for command, words in endings.items():
        script.write_text(f"#!/bin/sh\n{command}\n")
        script.chmod(0o755)
        with pytest.raises(io.FormatError, match=words):
            isolation.read_in_child(one, tmp_path / "a.vtk", limit=1.0)


def test_what_vtk_reads_is_read_in_a_child_process(tmp_path: Path):
    """The same mesh as in this process; noise is VTK's complaint on one line."""
    path = tmp_path / "a.vtk"
    good = replace(mesh(), cell_sets={}, field_data={})
    io.write(path, good)
    child, here = io.read(path), io.read(path, isolate=False)
    for part in ("cells", "point_data", "cell_data"):
        assert list(getattr(child, part)) == list(getattr(here, part))
        for name, values in getattr(here, part).items():
            np.testing.assert_array_equal(
                getattr(child, part)[name], values, strict=True
            )
    np.testing.assert_array_equal(child.points, here.points)
    path.write_bytes(np.random.default_rng(13).bytes(2000))
    assert_one_line(path)


def test_a_mesh_survives_the_way_out_of_the_child():
    full = replace(
        mesh(),
        field_data={"unit:u": "mm", "a": np.eye(2), "texts": np.array(["a", "b"])},
        point_sets={"p": [1]},
        facet_sets={"wall": [[0, 1]]},
    )
    back = isolation.restored(isolation.stored(full))
    for part in isolation.PARTS:
        for name, values in getattr(full, part).items():
            got = getattr(back, part)[name]
            assert isinstance(got, str) == isinstance(values, str)
            np.testing.assert_array_equal(np.asarray(got), np.asarray(values))
