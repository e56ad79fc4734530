"""Pictures show the field: colours are read back from the pixels and compared."""

import os
from pathlib import Path

import matplotlib
import matplotlib.image
import numpy as np
import pytest

from isofield import Mesh, MeshError
from isofield.generation import ball, box, square
from isofield.plot import backend, compare, plot
from isofield.plot.surface import drawn, edges, pieces
from isofield.plot.window import tick_labels

WHITE = np.ones(3)


@pytest.fixture
def headless(monkeypatch):
    """No display, as on a compute node; skipped where VTK has nothing to draw with."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    try:
        with backend.drawing_backend(window=False):
            pass
    except RuntimeError as error:
        pytest.skip(str(error))


def image(path: Path) -> np.ndarray:
    """(rows, columns, 3) in 0 to 1, the first row at the bottom."""
    return matplotlib.image.imread(path)[::-1, :, :3]


def picture(panel: np.ndarray) -> np.ndarray:
    """What is drawn above the colour bar, cut to its edges."""
    # Text is black or grey on white, fields have a hue or are grey on a broad area.
    inked = (np.abs(panel - WHITE).max(2) > 0.1).sum(1) > 0.5 * panel.shape[1]
    rows = np.flatnonzero(inked)
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    panel = panel[max(runs, key=len)]
    columns = np.flatnonzero((np.abs(panel - WHITE).max(2) > 0.1).mean(0) > 0.5)
    return panel[:, columns[0] : columns[-1] + 1]


def colour(drawn: np.ndarray, x: float, y: float) -> np.ndarray:
    """At a place of the unit square that fills the picture."""
    rows, columns = drawn.shape[:2]
    return drawn[round(y * (rows - 1)), round(x * (columns - 1))]


def colour_of(value: float, name: str = "viridis") -> np.ndarray:
    return np.array(matplotlib.colormaps[name](value)[:3])


PLACES = [(0.02, 0.03), (0.98, 0.97), (0.03, 0.98), (0.97, 0.02), (0.31, 0.64)]


def test_a_linear_field_has_the_colours_of_its_values(tmp_path, headless):
    mesh = square(6)
    x, y = mesh.points.T
    mesh = mesh.with_point_data({"u": np.stack([3 * x + 1, 6 * y], 1)})
    plot(mesh, "u", component=1, show_edges=False, path=tmp_path / "u.png")
    assert [file.name for file in tmp_path.iterdir()] == ["u.png"]
    shown = picture(image(tmp_path / "u.png"))
    assert shown.shape[0] == pytest.approx(shown.shape[1], abs=2)
    assert shown.shape[0] > 600
    for x, y in PLACES:
        np.testing.assert_allclose(colour(shown, x, y), colour_of(y), atol=0.012)


def test_compare_has_one_scale_for_two_fields_and_its_own_for_the_error(
    tmp_path, headless
):
    """prediction = truth / 2: half of the scale; the error is positive though below."""
    mesh = square(5, "quad")
    x, y = mesh.points.T
    truth = (x + y) / 2
    mesh = mesh.with_point_data({"t": truth, "p": truth / 2})
    compare(mesh, "t", "p", unit="K", show_edges=False, path=tmp_path / "c.png")
    panels = np.split(image(tmp_path / "c.png"), 3, axis=1)
    true, predicted, error = (picture(panel) for panel in panels)
    for x, y in PLACES:
        value = (x + y) / 2
        for shown, expected in [
            (true, colour_of(value)),
            (predicted, colour_of(value / 2)),
            (error, colour_of(value, "magma")),
        ]:
            np.testing.assert_allclose(colour(shown, x, y), expected, atol=0.012)


def test_values_that_are_not_finite_are_grey_and_counted(tmp_path, headless):
    mesh = square(4, "quad")
    values = np.arange(16.0)
    values[[5, 6]] = np.nan, np.inf
    mesh = mesh.with_cell_data({"u": values})
    with pytest.warns(UserWarning, match="'u': 2 of 16 values at cells .* number 5"):
        plot(mesh, "u", path=tmp_path / "u.png")
    shown = picture(image(tmp_path / "u.png"))
    for cell, value in enumerate(values):
        x, y = mesh.points[mesh.cells["quad"][cell]].mean(0)
        grey = np.full(3, 0.75)
        expected = colour_of(value / 15) if np.isfinite(value) else grey
        np.testing.assert_allclose(colour(shown, x, y), expected, atol=0.012)


def test_a_solid_is_seen_from_outside_and_mesh_lines_are_drawn(tmp_path, headless):
    """z upward: the top is of the last colours. Light changes the brightness alone."""
    mesh = box(3, "hexahedron")
    mesh = mesh.with_point_data({"u": mesh.points[:, 2]})
    for lines in (True, False):
        plot(mesh, "u", show_edges=lines, path=tmp_path / f"{lines}.png")
    pixels = image(tmp_path / "False.png")
    rows, columns = np.nonzero(np.ptp(pixels, axis=2) > 0.15)
    solid = rows > 160
    top = pixels[rows[solid].max() - 20, columns[solid][rows[solid].argmax()]]
    bottom = pixels[rows[solid].min() + 20, columns[solid][rows[solid].argmin()]]
    hues = np.array([colour_of(value) for value in np.linspace(0, 1, 11)])
    hues /= hues.max(1, keepdims=True)
    for seen, expected in [(top, 10), (bottom, 0)]:
        nearest = np.abs(hues - seen / seen.max()).sum(1).argmin()
        assert abs(nearest - expected) <= 1
    changed = (np.abs(pixels - image(tmp_path / "True.png")).max(2) > 0.02).mean()
    assert 0.002 < changed < 0.05


def test_points_without_cells_are_round_dots(tmp_path, headless):
    """Areas of disks: the coloured part of a dot's bounding box is π / 4."""
    points = np.stack(np.meshgrid(np.arange(4.0), np.arange(4.0)), -1).reshape(-1, 2)
    cloud = Mesh(points, point_data={"u": np.repeat([1.0, 2.0], 8)})
    plot(cloud, "u", path=tmp_path / "u.png")
    pixels = image(tmp_path / "u.png")[125:]
    inked = np.ptp(pixels, axis=2) > 0.3
    columns = np.flatnonzero(inked[: inked.shape[0] // 5].any(0))
    dot = columns[: np.flatnonzero(np.diff(columns) > 1)[0] + 1]
    size = len(dot)
    assert 15 <= size <= 30
    assert inked.sum() == pytest.approx(16 * np.pi / 4 * size**2, rel=0.15)
    inked[: len(inked) // 2] = False
    upper = np.median(pixels[inked], axis=0)
    np.testing.assert_allclose(upper, colour_of(1.0), atol=0.012)


def test_a_picture_that_fails_leaves_the_old_one(tmp_path, headless, monkeypatch):
    def broken(filename, pixels):
        Path(filename).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(matplotlib.image, "imsave", broken)
    path = tmp_path / "u.png"
    path.write_bytes(b"old")
    mesh = square(2).with_point_data({"u": np.arange(9)})
    with pytest.raises(OSError, match="no space left"):
        plot(mesh, "u", path=path)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["u.png"]
    assert "VTK_DEFAULT_OPENGL_WINDOW" not in os.environ


def count(mesh: Mesh) -> dict[str, int]:
    return {face.kind: len(face.nodes) for face in drawn(mesh)}


def test_what_is_drawn_of_a_solid_is_its_boundary():
    """6 n² squares; an edge belongs to two faces: E = 2 F of squares, 1.5 F of 3."""
    mesh = box(3, "hexahedron")
    assert count(mesh) == {"quad": 54}
    assert len(edges(mesh, drawn(mesh)).cells) == 108
    mesh = ball(3)
    assert count(mesh) == {"triangle": 180}
    assert len(edges(mesh, drawn(mesh)).cells) == 270
    assert count(box(2, "wedge")) == {"quad": 16, "triangle": 16}
    assert count(box(2, "pyramid")) == {"quad": 24}


def test_cells_that_repeat_a_facet_or_an_edge_are_not_drawn_twice():
    mesh = box(2)
    outer = drawn(mesh)[0].nodes
    inner = [[0, 1, 14]]  # not a facet of the box
    skin = Mesh(mesh.points, {**mesh.cells, "triangle": [*outer[:, ::-1], *inner]})
    assert [len(face.nodes) for face in drawn(skin)] == [48, 1]
    plane = square(2)
    cells = {**plane.cells, "line": [[0, 1], [0, 8]], "vertex": [[4]]}
    assert count(Mesh(plane.points, cells)) == {"triangle": 8, "line": 1}
    apart = Mesh([[0, 0], [1, 0], [2, 0]], {"line": [[0, 1]], "vertex": [[1], [2]]})
    assert count(apart) == {"line": 1, "vertex": 1}


def test_values_at_cells_stay_with_their_cells():
    """Two types side by side; each drawn facet has the number of its cell."""
    plane = square(2, "quad")
    cells = {
        "triangle": [[0, 3, 1], [1, 3, 4]],
        "quad": plane.cells["quad"][1:],
    }
    mesh = Mesh(plane.points, cells)
    values = np.array([10.0, 11, 12, 13, 14])
    parts = pieces(mesh, drawn(mesh), values, "cells")
    np.testing.assert_array_equal(parts[0].values, [10, 11])
    np.testing.assert_array_equal(parts[1].values, [12, 13, 14])
    solid = box(2, "hexahedron")
    (skin,) = pieces(solid, drawn(solid), np.arange(8.0), "cells")
    centres = solid.points[solid.cells["hexahedron"]].mean(1)[skin.values.astype(int)]
    middles = solid.points[skin.cells].mean(1)
    assert np.abs(centres - middles).sum(1).max() == pytest.approx(0.25)


def test_quadratic_cells_are_curved():
    """A quarter of a ring as one quad9: cut finely, its rim is nearly a circle.

    Between nodes that are on the circle a parabola over 90 degrees is off by less than
    2 % of the radius, the chord by 1 - cos 45° = 29 %.
    """
    radius, angle = np.meshgrid([1, 1.5, 2], [0, np.pi / 4, np.pi / 2], indexing="ij")
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    nodes = [[0, 6, 8, 2, 3, 7, 5, 1, 4]]
    field = (radius * angle).ravel()
    mesh = Mesh(points.reshape(-1, 2), {"quad9": nodes}, {"u": field})
    (part,) = pieces(mesh, drawn(mesh), field, "points")
    assert len(part.cells) == 36
    distance = np.linalg.norm(part.points, axis=1)
    assert distance.max() == pytest.approx(2, rel=0.02)
    assert distance.min() == pytest.approx(1, rel=0.02)
    # The field is a product of linear functions of the reference cell, hence exact.
    again = part.values[np.isclose(part.points, points[1, 1] @ np.eye(2, 3)).all(1)]
    assert again == pytest.approx([1.5 * np.pi / 4])
    lines = edges(mesh, drawn(mesh))
    assert len(lines.cells) == 4 * 6
    assert np.linalg.norm(lines.points, axis=1).max() == pytest.approx(2, rel=0.02)


MESH = square(2).with_point_data(
    {
        "scalar": np.arange(9),
        "vector": np.ones((9, 2)),
        "tensor": np.ones((9, 2, 2)),
        "text": np.array(["a"] * 9),
        "lost": np.full(9, np.nan),
    }
)


@pytest.mark.parametrize(
    ("mesh", "field", "options", "message"),
    [
        (MESH, "u", {}, r"no field 'u'; there are \['scalar', .*\] at points and \[\]"),
        (MESH, "vector", {"component": 2}, r"component 2 does not fit .*\(2,\)"),
        (MESH, "scalar", {"component": 0}, r"component 0 does not fit .*\(\)"),
        (MESH, "tensor", {"component": 0}, r"component 0 does not fit .*\(2, 2\)"),
        (MESH, "text", {}, "expected real numbers"),
        (MESH, "lost", {}, "none of the 9 values is finite"),
        (Mesh(np.zeros((0, 2)), {}, {"u": []}), "u", {}, "nothing to draw"),
        (Mesh([[0, np.nan]], {}, {"u": [1]}), "u", {}, "1 of 1 points are not finite"),
    ],
)
def test_a_field_that_cannot_be_drawn_is_an_error(
    tmp_path, mesh, field, options, message
):
    with pytest.raises(MeshError, match=message):
        plot(mesh, field, path=tmp_path / "u.png", **options)
    assert not list(tmp_path.iterdir())


def test_fields_of_different_shape_are_not_compared(tmp_path):
    with pytest.raises(MeshError, match=r"'scalar' \(9,\) at points .* \(9, 2\)"):
        compare(MESH, "scalar", "vector", path=tmp_path / "u.png")


def test_the_path_is_checked_before_anything_is_drawn(tmp_path):
    with pytest.raises(ValueError, match=r"u\.jpg: expected .* \.png"):
        plot(MESH, "scalar", path=tmp_path / "u.jpg")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        plot(MESH, "scalar", path=tmp_path / "none" / "u.png")


def test_the_quantity_names_component_and_unit():
    from isofield.plot import _label

    mesh = Mesh(MESH.points, {}, MESH.point_data, field_data={"unit:vector": "mm"})
    assert _label(mesh, "vector", None, None) == "|vector| [mm]"
    assert _label(mesh, "vector", 1, None) == "vector, y [mm]"
    assert _label(mesh, "vector", 1, "m") == "vector, y [m]"
    assert _label(mesh, "vector", 1, "") == "vector, y"
    assert _label(mesh, "tensor", (0, 1), None) == "tensor, xy"
    assert _label(mesh, "scalar", None, None) == "scalar"


@pytest.mark.parametrize(
    ("limits", "labels"),
    [
        ((0, 1), ["0", "0.25", "0.5", "0.75", "1"]),
        ((-2e-7, 2e-7), ["−2e−07", "−1e−07", "0", "1e−07", "2e−07"]),
        ((300, 300.04), ["300", "300.01", "300.02", "300.03", "300.04"]),
    ],
)
def test_values_at_the_bar_can_be_told_apart(limits, labels):
    assert tick_labels(limits, 5) == labels


def test_without_a_display_a_window_is_an_error(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(backend.sys, "platform", "linux")
    with pytest.raises(RuntimeError, match=r"no display .* give path="):
        plot(MESH, "scalar")


def test_a_missing_library_is_an_error_and_not_a_crash(monkeypatch, tmp_path):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "VTK_DEFAULT_OPENGL_WINDOW"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(backend.sys, "platform", "linux")
    monkeypatch.setattr(backend, "_loadable", lambda *names: None)
    with pytest.raises(RuntimeError, match="no EGL device and no OSMesa"):
        plot(MESH, "scalar", path=tmp_path / "u.png")
    assert not list(tmp_path.iterdir())


def test_the_users_choice_of_a_backend_is_kept(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setenv("VTK_DEFAULT_OPENGL_WINDOW", "vtkOSOpenGLRenderWindow")
    with backend.drawing_backend(window=False):
        assert os.environ["VTK_DEFAULT_OPENGL_WINDOW"] == "vtkOSOpenGLRenderWindow"
    assert os.environ["VTK_DEFAULT_OPENGL_WINDOW"] == "vtkOSOpenGLRenderWindow"


def test_without_a_path_the_same_call_opens_a_window(headless, monkeypatch, tmp_path):
    import pyvista

    opened = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    monkeypatch.setattr(pyvista.Plotter, "show", lambda self: opened.append(self))
    plot(MESH, "scalar")
    compare(MESH, "scalar", "scalar")
    assert [plotter.shape for plotter in opened] == [(1, 1), (1, 3)]
    assert not list(tmp_path.iterdir())
