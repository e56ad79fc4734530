"""Measures how features and eigenvalues converge, and writes it into features.md.

    python docs/features.py

Errors are root mean squares over the domain in its measure, against closed forms; rates
are fitted over the sizes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.special import jnp_zeros

from isofield import Mesh, from_mesh
from isofield.features import features, signed_distance
from isofield.generation import ball, disk, icosphere, square, torus
from isofield.operators import laplacian_eigenpairs

HERE = Path(__file__).resolve().parent
# shape, sizes, feature, its value in closed form at points (N, d)
CASES = [
    (disk, (6, 9, 14, 20), "distance to boundary", lambda x: 1 - radius(x)),
    (ball, (4, 6, 9), "distance to boundary", lambda x: 1 - radius(x)),
    (disk, (6, 9, 14, 20), "boundary normal", lambda x: outward(x)),
    (ball, (4, 6, 9), "boundary normal", lambda x: outward(x)),
    (disk, (6, 9, 14, 20), "mean curvature", lambda x: 1.0),
    (ball, (4, 6, 9), "mean curvature", lambda x: 1.0),
    (icosphere, (6, 9, 14, 20), "mean curvature", lambda x: 1.0),
    (icosphere, (6, 9, 14, 20), "gaussian curvature", lambda x: 1.0),
    (icosphere, (6, 9, 14, 20), "mean curvature within 0.2", lambda x: 1.0),
    (torus, (11, 17, 25, 35), "mean curvature", lambda x: bends(x)[0]),
    (torus, (11, 17, 25, 35), "gaussian curvature", lambda x: bends(x)[1]),
    (torus, (11, 17, 25, 35), "thickness", lambda x: 0.8),
    (disk, (6, 9, 14, 20), "thickness", lambda x: 2.0),
    (ball, (4, 6, 9), "thickness", lambda x: 2.0),
]
BESSEL = np.sort(np.concatenate([np.repeat(jnp_zeros(k, 2), 2) for k in range(1, 6)]))
SPECTRA = [
    (square, (8, 12, 18, 27), np.array([0, 1, 1, 2, 4, 4, 5, 5, 8]) * np.pi**2),
    (disk, (6, 9, 14, 20), np.sort([0, *BESSEL[:6], *jnp_zeros(0, 1)])[:8] ** 2),
    (icosphere, (5, 8, 12, 18), np.repeat([0.0, 2.0, 6.0], [1, 3, 5])),
    (ball, (3, 5, 7), np.repeat([0, 2.08157598, 3.34209366], [1, 3, 5]) ** 2),
]
GRADINGS = (1.0, 3.0)


def radius(x: np.ndarray) -> np.ndarray:
    return np.linalg.norm(x, axis=1)


def outward(x: np.ndarray) -> np.ndarray:
    """Nothing in the middle, from where every point of the boundary is as near."""
    r = radius(x)[:, None]
    return np.where(r > 0.2, x / np.maximum(r, 0.2), np.nan)


def bends(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The curvatures of a torus of the radii 1 and 0.4."""
    reach = np.hypot(x[:, 0], x[:, 1])
    cosine = (reach - 1) / 0.4
    return (1 / 0.4 + cosine / reach) / 2, cosine / 0.4 / reach


def of_feature(mesh: Mesh, name: str, exact: Callable) -> float:
    found = features(mesh, [name])
    expected = np.reshape(exact(mesh.points), (-1, found.shape[1]))
    square_ = np.nan_to_num((found - expected) ** 2).sum(1)
    domain = from_mesh(mesh)
    return float(np.sqrt(domain.weights.numpy() @ square_ / float(domain.measure())))


def of_sign(n: int) -> float:
    points = np.random.default_rng(0).uniform(-1.6, 1.6, (500, 3)) * [1, 1, 0.5]
    exact = np.hypot(np.hypot(points[:, 0], points[:, 1]) - 1, points[:, 2]) - 0.4
    return float(np.sqrt(np.mean((signed_distance(torus(n), points) - exact) ** 2)))


def of_spectrum(mesh: Mesh, exact: np.ndarray, as_cloud: bool) -> float:
    domain = from_mesh(mesh) if as_cloud else mesh
    values = laplacian_eigenpairs(domain, len(exact)).values.numpy()
    return float(np.abs(values[1:] / exact[1:] - 1).max())


def row(what: str, shape: str, sizes: Sequence[int], errors: list[list[float]]) -> str:
    rates = [-np.polyfit(np.log(sizes), np.log(e), 1)[0] for e in errors]
    cells = [f"{e[-1]:.1e} | {r:.2f}" for e, r in zip(errors, rates, strict=True)]
    return f"| {what} | {shape} | {', '.join(map(str, sizes))} | {' | '.join(cells)} |"


def measured() -> str:
    lines = [
        "| quantity | shape | n | error, uniform | rate | error, graded 3 | rate |",
        "|---|---|---|---|---|---|---|",
    ]
    for shape, sizes, name, exact in CASES:
        errors = [
            [of_feature(shape(n, grading=g), name, exact) for n in sizes]
            for g in GRADINGS
        ]
        lines.append(row(f"`{name}`", shape.__name__, sizes, errors))
    sizes = (8, 12, 18, 27)
    errors = [[of_sign(n) for n in sizes]]
    lines.append(row("signed distance", "torus", sizes, errors)[:-1] + "| | |")
    for as_cloud in (False, True):
        for shape, sizes, exact in SPECTRA:
            errors = [
                [of_spectrum(shape(n, grading=g), exact, as_cloud) for n in sizes]
                for g in GRADINGS
            ]
            what = f"{len(exact)} eigenvalues" + ", cloud" * as_cloud
            lines.append(row(what, shape.__name__, sizes, errors))
    return "\n".join(lines)


def timed() -> str:
    meshes = [disk(180), ball(30), icosphere(100)]
    names = ["disk", "ball", "sphere"]
    heads = [
        f"{n}, {len(m.points):,} points" for n, m in zip(names, meshes, strict=True)
    ]
    lines = [f"| feature | {' | '.join(heads)} |", "|---|---|---|---|"]
    for name in ("distance to boundary", "boundary normal"):
        lines.append(f"| `{name}` | {seconds(meshes[:2], name)} | |")
    for name in ("mean curvature", "thickness"):
        lines.append(f"| `{name}` | {seconds(meshes, name)} |")
    return "\n".join(lines)


def seconds(meshes: list[Mesh], name: str) -> str:
    taken = []
    for mesh in meshes:
        start = time.process_time()
        features(mesh, [name])
        taken.append(f"{time.process_time() - start:.1f} s")
    return " | ".join(taken)


def main() -> None:
    path = HERE / "features.md"
    for mark, found in (("times", timed()), ("rates", measured())):
        text = path.read_text(encoding="utf-8")
        pattern = rf"(<!-- {mark} -->\n).*?(\n<!-- end -->)"
        text = re.sub(pattern, lambda m: m[1] + found + m[2], text, flags=re.DOTALL)  # noqa: B023
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
