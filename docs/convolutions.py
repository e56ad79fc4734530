"""Draws the functions that continuous convolutions are made of.

    python docs/convolutions.py [FOLDER]

Writes its pictures beside convolutions.md; needs the extra `docs`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pyvista as pv
import torch
from matplotlib.axes import Axes

from isofield.bases import (
    Basis,
    BSplineBasis,
    GaussHermiteBasis,
    GaussianBasis,
    HermiteBasis,
    ZernikeBasis,
)
from isofield.discretization import from_mesh
from isofield.generation import disk
from isofield.operators import jets, linear, taylor

HERE = Path(__file__).resolve().parent
COLOURS = "RdBu_r"
N = 161  # points along a side of a picture


def zernike(path: Path) -> None:
    """The kernels of the disc to order 5, a row for each n, m from left to right."""
    order = 5
    basis = ZernikeBasis(2, order)
    images = drawn(basis)
    figure, axes = plt.subplots(
        order + 1, 2 * order + 1, figsize=(11, 6.4), squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for image, (n, _, m) in zip(images, basis.modes.tolist(), strict=True):
        show(axes[n, order + m], image, f"{n}, {m}")
    save(figure, path)


def splines(path: Path) -> None:
    """Quadratic splines along an axis, and their products with the window."""
    line, plane = BSplineBasis(1, 5, 2), BSplineBasis(2, 5, 2)
    x = torch.linspace(-1, 1, 401, dtype=torch.float64)[:, None]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), width_ratios=[1.2, 1])
    axes[0].plot(x, line.functions(x), "k", lw=1)
    axes[0].plot(x, line(x), lw=2)
    axes[0].set(xlabel="u", title="without the window (thin) and with it")
    show(axes[1], np.concatenate([*tiled(drawn(plane), 5)]), "5 × 5 in the plane")
    save(figure, path)


def hermite(path: Path) -> None:
    """One node of order 2 along an axis; the four corners of order 1 in the plane."""
    line, plane = HermiteBasis(1, 2, nodes=1, alpha=0), HermiteBasis(2, 1, nodes=2)
    x = torch.linspace(-1, 1, 401, dtype=torch.float64)[:, None]
    values = line.functions(x)
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), width_ratios=[1.2, 1, 1])
    for a, column in enumerate(values.T):
        axes[0].plot(x, column / column.abs().max(), label=f"a = {a}")
    axes[0].set(xlabel="x", title="$h_{2,a}$, scaled")
    axes[0].legend()
    show(axes[1], np.concatenate([*tiled(drawn(plane), 4)]), "4 corners, order 1")
    derivatives = GaussHermiteBasis(2, 3)
    blank = np.full((2, N, N), np.nan)
    images = np.concatenate([drawn(derivatives), blank])
    show(axes[2], np.concatenate([*tiled(images, 4)]), "derivatives of a Gaussian")
    save(figure, path)


def gaussians(path: Path) -> None:
    """Centres on two rings, and a few of the functions."""
    basis = GaussianBasis.on_rings(2, 2)
    figure, axes = plt.subplots(1, 4, figsize=(11, 2.9))
    angle = np.linspace(0, 2 * np.pi, 200)
    axes[0].plot(np.cos(angle), np.sin(angle), "k", lw=1)
    axes[0].scatter(*basis.centres.T.numpy(), s=12)
    axes[0].set(aspect="equal", title="19 centres")
    axes[0].axis("off")
    images = drawn(basis)
    for axis, b in zip(axes[1:], (0, 1, 8), strict=True):
        show(axis, images[b], f"centre {b}")
    save(figure, path)


def ball(path: Path) -> None:
    """The kernels of the ball to order 3: where they are 0.4 of their largest value."""
    basis = ZernikeBasis(3, 3)
    n = 61
    grid = pv.ImageData(
        dimensions=(n, n, n), spacing=(2 / (n - 1),) * 3, origin=(-1, -1, -1)
    )
    values = basis(torch.tensor(np.array(grid.points))).numpy()
    plotter = pv.Plotter(
        shape=(4, 5), off_screen=True, window_size=[1100, 900], border=False
    )
    for b, (degree, l_, m) in enumerate(basis.modes.tolist()):
        plotter.subplot(b // 5, b % 5)
        grid["k"] = values[:, b]
        level = 0.4 * np.abs(values[:, b]).max()
        for sign, colour in ((1, "#b2182b"), (-1, "#2166ac")):
            surface = grid.contour([sign * level], "k")
            if surface.n_points:
                plotter.add_mesh(surface, color=colour, smooth_shading=True)
        plotter.add_text(f"{degree}, {l_}, {m}", font_size=8, color="black")
        plotter.camera_position = [(3.2, 2.2, 1.8), (0, 0, 0), (0, 0, 1)]
    plotter.screenshot(path)
    plotter.close()


def fields(path: Path) -> None:
    """A wave from its values at 271 nodes, and the errors of three ways to do it."""
    mesh = disk(9, jitter=0.2)
    nodes = from_mesh(mesh)
    x = torch.linspace(-1, 1, N, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(x, x.flip(0), indexing="xy"), -1).view(-1, 2)
    inside = grid.norm(dim=1) < 0.97
    at, exact = grid[inside], wave(grid[inside])
    values = wave(nodes.points)
    found = {"linear on triangles": linear(mesh, at)(values)}
    for order in (1, 2):
        jet = jets(nodes, nodes, 0.33, order, degree=3).apply(values)
        found[f"jets of order {order}"] = taylor(nodes, at, 0.22)(jet)
    figure, axes = plt.subplots(1, 4, figsize=(12, 3), layout="constrained")
    image = np.full(len(grid), np.nan)
    image[inside] = found["jets of order 2"]
    show(axes[0], image.reshape(N, N), "the field, and its nodes")
    axes[0].scatter(
        *((nodes.points * torch.tensor([1, -1]) + 1) * (N - 1) / 2).T, s=1, c="k"
    )
    for axis, (name, u) in zip(axes[1:], found.items(), strict=True):
        image[inside] = ((u - exact).abs() + 1e-12).log10()
        errors = axis.imshow(image.reshape(N, N), vmin=-6, vmax=-1, cmap="magma")
        worst = float((u - exact).square().mean().sqrt())
        axis.set_title(f"{name}: {worst:.1e}", fontsize=9)
        axis.axis("off")
    figure.colorbar(errors, ax=axes[1:], label="log10 of the error", shrink=0.8)
    save(figure, path)


def wave(x: torch.Tensor) -> torch.Tensor:
    return torch.sin(5 * x[:, 0] + 2 * x[:, 1]) * torch.cos(3 * x[:, 1] - x[:, 0])


def drawn(basis: Basis) -> np.ndarray:
    """(B, N, N) the kernels on the square around the disc, NaN outside of it."""
    x = torch.linspace(-1, 1, N, dtype=torch.float64)
    u = torch.stack(torch.meshgrid(x, x.flip(0), indexing="xy"), -1)
    values = basis(u)
    values[u.norm(dim=-1) >= 1] = torch.nan
    return values.permute(2, 0, 1).numpy()


def tiled(images: np.ndarray, columns: int) -> list[np.ndarray]:
    """Rows of pictures, each over its own largest value."""
    largest = np.nanmax(np.abs(images), axis=(1, 2), initial=1e-300)
    scaled = images / largest[:, None, None]
    return [
        np.concatenate([*scaled[row : row + columns]], 1)
        for row in range(0, len(images), columns)
    ]


def show(axis: Axes, image: np.ndarray, title: str) -> None:
    largest = np.nanmax(np.abs(image))
    axis.imshow(image, cmap=COLOURS, vmin=-largest, vmax=largest)
    axis.set_title(title, fontsize=9)
    axis.axis("off")


def save(figure, path: Path) -> None:
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


DRAWINGS = {
    "bases_zernike": zernike,
    "bases_splines": splines,
    "bases_hermite": hermite,
    "bases_gaussians": gaussians,
    "bases_ball": ball,
    "fields_from_jets": fields,
}


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for name, draw in DRAWINGS.items():
        draw(folder / f"{name}.png")
