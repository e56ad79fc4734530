"""The window or the picture: panels with a title and a colour bar each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from isofield.files import replaced
from isofield.plot.backend import drawing_backend
from isofield.plot.surface import Piece

# Pixels. A panel's picture covers about the same area whatever its shape is.
_AREA, _LONGEST, _NARROWEST = 600_000, 1200, 460
_MARGIN, _TITLE, _BAR = 36, 64, 140
_FONT, _SMALL_FONT = 24, 20
_MISSING = (0.75, 0.75, 0.75)


@dataclass(frozen=True)
class Panel:
    """One field on one mesh: what to draw, and how its values become colours."""

    title: str
    pieces: Sequence[Piece]
    edges: Piece | None
    quantity: str
    limits: tuple[float, float]
    colours: str


@dataclass(frozen=True)
class View:
    """A look along `towards` (to the eye), without perspective."""

    right: np.ndarray
    up: np.ndarray
    towards: np.ndarray
    centre: np.ndarray
    width: float
    height: float


def view_of(points: np.ndarray) -> View:
    """Square on for points in a plane, else from above on the right, z upward."""
    points = points[np.isfinite(points).all(1)]
    extent = np.ptp(points, axis=0)
    flat = extent <= 1e-9 * extent.max()
    if flat[2]:
        right, up = np.eye(3)[[0, 1]]
    elif flat.any():
        right, up = np.eye(3)[~flat] if flat.sum() == 1 else np.eye(3)[[0, 2]]
    else:
        towards = np.array([0.55, -0.75, 0.45])
        right = np.cross([0, 0, 1], towards)
        right /= np.linalg.norm(right)
        up = np.cross(towards / np.linalg.norm(towards), right)
    towards = np.cross(right, up)
    frame = np.stack([right, up, towards])
    seen = points @ frame.T
    low, high = seen.min(0), seen.max(0)
    width, height, _ = high - low
    return View(right, up, towards, (low + high) / 2 @ frame, width, height)


@dataclass(frozen=True)
class Layout:
    """Pixels of one panel and of the room above, the length of a pixel.

    Each pixel is drawn as samples by samples ones, in which VTK counts sizes.
    """

    width: int
    height: int
    top: int
    scale: float
    samples: int


def layout_of(view: View, panels: int, titled: bool, samples: int) -> Layout:
    """A panel that fits the view closely, between its title and its bar."""
    longest = max(view.width, view.height) or 1.0
    wide, high = (max(side, longest / 8) for side in (view.width, view.height))
    area = _AREA if panels == 1 else _AREA / 2
    scale = max(np.sqrt(wide * high / area), longest / _LONGEST)
    width = max(wide / scale, _NARROWEST)
    top = _TITLE if titled else _MARGIN
    height = round(high / scale) + top + _BAR
    return Layout(round(width) + 2 * _MARGIN, height, top, scale, samples)


def show(panels: Sequence[Panel], path: Path | None) -> None:
    """Draw into a new window, or into the PNG file `path` without one."""
    points = np.concatenate([p.points[p.cells.ravel()] for p in panels[0].pieces])
    view = view_of(points)
    # A file is smoothed here: VTK's own passes depend on the device, or (before 9.6)
    # draw one panel alone.
    samples = 1 if path is None else 2
    titled = any(panel.title for panel in panels)
    layout = layout_of(view, len(panels), titled, samples)
    # Wide shapes one below the other: side by side they would be too small to read.
    rows = len(panels) if view.width > 2 * view.height else 1
    columns = len(panels) // rows
    with drawing_backend(path is None):
        import pyvista
        from pyvista.plotting.themes import DocumentTheme

        plotter = pyvista.Plotter(
            shape=(rows, columns),
            window_size=[
                columns * layout.width * samples,
                rows * layout.height * samples,
            ],
            off_screen=path is not None,
            border=False,
            theme=DocumentTheme(),
        )
        if path is None:
            plotter.enable_anti_aliasing("msaa")
        else:
            plotter.disable_anti_aliasing()
        for number, panel in enumerate(panels):
            plotter.subplot(*divmod(number, columns))
            _fill(plotter, panel, view, layout)
        plotter.link_views()
        if path is None:
            plotter.show()
        else:
            _save(plotter.screenshot(return_img=True), samples, path)
        plotter.close()


def _save(image: Any, samples: int, path: Path) -> None:
    """Each pixel is the mean of its samples (rows, columns, 3), 0 to 255."""
    from matplotlib.image import imsave

    rows, columns, _ = np.array(image.shape) // samples
    parts = image.reshape(rows, samples, columns, samples, 3)
    pixels = np.rint(parts.mean((1, 3))).astype(np.uint8)
    replaced(path, lambda part: imsave(part, pixels))


def _fill(plotter: Any, panel: Panel, view: View, layout: Layout) -> None:
    """One panel: its pieces, its edges, title and bar."""
    flat = np.ptp(panel.pieces[0].points @ view.towards) <= 1e-9 * view.width
    mapper = None
    for piece in panel.pieces:
        actor = plotter.add_mesh(
            _poly_data(piece),
            scalars="values",
            clim=panel.limits,
            cmap=panel.colours,
            nan_color=_MISSING,
            show_scalar_bar=False,
            lighting=not flat,
            ambient=1.0 if flat else 0.5,
            diffuse=0.0 if flat else 0.5,
            line_width=4 * layout.samples,
            point_size=_dot_size(piece, view, layout),
            render_points_as_spheres=True,
            interpolate_before_map=True,
        )
        mapper = actor.mapper
    if panel.edges is not None and len(panel.edges.cells):
        # Towards the eye by less than can be seen, else they are hidden in part.
        nearer = view.towards * 2e-3 * (view.width + view.height)
        lines = replace(panel.edges, points=panel.edges.points + nearer)
        plotter.add_mesh(
            _poly_data(lines),
            color="black",
            opacity=0.3,
            line_width=0.7 * layout.samples,
            lighting=False,
        )
    _add_bar(plotter, panel, mapper, layout)
    if panel.title:
        upward = 1 - layout.top / 2 / layout.height
        _add_text(plotter, panel.title, 0.5, upward, _FONT * layout.samples)
    _aim(plotter, view, layout)


def _add_bar(plotter: Any, panel: Panel, mapper: Any, layout: Layout) -> None:
    """The bar's title over it, five values under it; VTK's own would overlap."""
    left, width, labels = 0.1, 0.8, 5
    # PyVista takes bars of one title for one bar: each gets more blanks than the last.
    bar = plotter.add_scalar_bar(
        " " * (1 + len(plotter.scalar_bars)),
        mapper=mapper,
        n_labels=0,
        vertical=False,
        width=width,
        height=24 / layout.height,
        position_x=left,
        position_y=50 / layout.height,
    )
    bar.SetBarRatio(1)
    bar.SetTextPad(0)
    font, small = _FONT * layout.samples, _SMALL_FONT * layout.samples
    _add_text(plotter, panel.quantity, 0.5, 108 / layout.height, font)
    shares = np.linspace(0, 1, labels)
    for share, label in zip(shares, tick_labels(panel.limits, labels), strict=True):
        place = left + width * share, 30 / layout.height
        _add_text(plotter, label, *place, small)


def tick_labels(limits: tuple[float, float], count: int) -> list[str]:
    """Values equally far apart, with three digits or as many as tell them apart."""
    shares = np.linspace(0, 1, count)
    values = (1 - shares) * limits[0] + shares * limits[1]
    labels: list[str] = []
    for digits in range(3, 17):
        labels = [f"{value:.{digits}g}" for value in values]
        if len(set(labels)) == count:
            break
    return [label.replace("-", "\N{MINUS SIGN}") for label in labels]


def _add_text(plotter: Any, text: str, across: float, upward: float, size: int) -> None:
    """A line about a place given in fractions of the panel."""
    import pyvista

    # VTK would take $...$ for formulas and | for columns.
    line = pyvista.Text(text.replace("$", r"\$").replace("|", "\N{DIVIDES}"))
    line.prop.font_size = size
    line.prop.color = "black"
    line.prop.SetJustificationToCentered()
    line.prop.SetVerticalJustificationToCentered()
    _set_font(line.prop)
    place = line.GetPositionCoordinate()
    place.SetCoordinateSystemToNormalizedViewport()
    place.SetValue(across, upward)
    plotter.add_actor(line)


def _set_font(properties: Any) -> None:
    """VTK's own fonts lack Greek letters and minus signs, and say nothing of it."""
    import matplotlib

    font = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    from_file = 4  # VTK_FONT_FILE
    properties.SetFontFamily(from_file)
    properties.SetFontFile(str(font))


def _aim(plotter: Any, view: View, layout: Layout) -> None:
    """A parallel camera; the view's centre between the title and the bar."""
    focus = view.centre - view.up * layout.scale * (_BAR - layout.top) / 2
    distance = 10 * (view.width + view.height) or 1.0
    camera = plotter.camera
    camera.parallel_projection = True
    camera.focal_point = focus
    camera.position = focus + view.towards * distance
    camera.up = view.up
    camera.parallel_scale = layout.scale * layout.height / 2
    plotter.renderer.camera_set = True
    plotter.renderer.reset_camera_clipping_range()


def _poly_data(piece: Piece) -> Any:
    """VTK's surface of the piece, with the array "values"."""
    import pyvista

    used, numbers = np.unique(piece.cells, return_inverse=True)
    width = piece.cells.shape[1]
    rows = np.insert(numbers.reshape(-1, width), 0, width, axis=1).ravel()
    cells: dict[str, Any] = {{1: "verts", 2: "lines"}.get(width, "faces"): rows}
    data = pyvista.PolyData(piece.points[used], **cells)
    if piece.at == "points":
        data.point_data["values"] = piece.values[used]
    else:
        data.cell_data["values"] = piece.values
    return data


def _dot_size(piece: Piece, view: View, layout: Layout) -> float:
    """Pixels of a dot: about the distance between points spread over the view."""
    spacing = np.sqrt(max(view.width * view.height, 1e-300) / len(piece.cells))
    return layout.samples * float(np.clip(0.8 * spacing / layout.scale, 4, 24))
