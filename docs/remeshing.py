"""Makes meshes of known shapes anew, by several tools, and writes remeshing.md.

    python docs/remeshing.py

Of each: how many points, what became of the measure, of named parts and of sharp lines,
the shape of the cells and the time. Tools that are not installed have no numbers.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from isofield.generation import ball, box, icosphere, torus
from isofield.mesh import Mesh
from isofield.quadrature import cell_measures
from isofield.remeshing import coarsen, remesh, subsample

HERE = Path(__file__).resolve().parent
ANGLE = 40.0


def annulus(n: int) -> Mesh:
    """Radii 1 to 3, two materials that meet at 2."""
    u, v = (x.ravel() for x in np.indices((n, n // 2 + 1)))
    radius, angle = 1 + 4 * v / n, 2 * np.pi * u / n
    points = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
    i, j = (x.ravel() for x in np.indices((n, n // 2)))
    a, b, c, d = (
        (i + s) % n * (n // 2 + 1) + j + t for s, t in ((0, 0), (1, 0), (1, 1), (0, 1))
    )
    nodes = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return parted(Mesh(points, {"triangle": nodes}), lambda x: np.hypot(*x.T) < 2)


def parted(mesh: Mesh, inside: Callable[[np.ndarray], np.ndarray]) -> Mesh:
    """Two named parts, by the centres of cells."""
    ((_, nodes),) = mesh.cells.items()
    first = inside(mesh.points[nodes].mean(1))
    sets = {"one": np.flatnonzero(first), "other": np.flatnonzero(~first)}
    return replace(mesh, cell_sets=sets)


def shapes() -> dict[str, tuple[Mesh, int]]:
    """The meshes, and how many points are asked for."""
    return {
        "ring of two materials": (annulus(80), 300),
        "cube, a belt around it": (
            parted(box(12).boundary(), lambda x: x[:, 2] < 0.75),
            200,
        ),
        "torus, two halves": (parted(torus(40), lambda x: x[:, 2] < 0), 500),
        "sphere": (parted(icosphere(20), lambda x: x[:, 2] < 9), 300),
        "box of two materials": (parted(box(8), lambda x: x[:, 0] < 0.5), 250),
        "ball": (parted(ball(8), lambda x: x[:, 0] < 9), 300),
    }


def in_space(mesh: Mesh) -> np.ndarray:
    return np.pad(mesh.points, ((0, 0), (0, 3 - mesh.points.shape[1])))


def measures(mesh: Mesh) -> np.ndarray:
    ((kind, nodes),) = mesh.cells.items()
    points = torch.tensor(in_space(mesh))
    return cell_measures(points, torch.tensor(nodes), kind).abs().numpy()


def lengths(mesh: Mesh) -> np.ndarray:
    ((_, nodes),) = mesh.cells.items()
    k = nodes.shape[1]
    pairs = [nodes[:, [a, b]] for a in range(k) for b in range(a)]
    a, b = np.unique(np.sort(np.concatenate(pairs), axis=1), axis=0).T
    return np.linalg.norm(mesh.points[a] - mesh.points[b], axis=1)


def quality(mesh: Mesh) -> np.ndarray:
    """(T,) measure^(2/d) over the mean square of the edges, 1 for regular cells."""
    ((_, nodes),) = mesh.cells.items()
    k, d = nodes.shape[1], nodes.shape[1] - 1
    pairs = [(a, b) for a in range(k) for b in range(a)]
    x = mesh.points[nodes]
    squares = [((x[:, a] - x[:, b]) ** 2).sum(1) for a, b in pairs]
    regular = {2: 3**0.5 / 4, 3: 1 / (6 * 2**0.5)}[d]
    return (measures(mesh) / regular) ** (2 / d) / np.mean(squares, axis=0)


def creases(mesh: Mesh) -> float:
    """The length of the edges of one triangle alone or between normals far apart."""
    nodes, points = mesh.cells["triangle"], in_space(mesh)
    u, v = (points[nodes[:, k]] - points[nodes[:, 0]] for k in (1, 2))
    normals = np.cross(u, v)
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    edges = np.sort(nodes[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    order = np.lexsort(edges.T)
    ordered = edges[order]
    same = (ordered[1:] == ordered[:-1]).all(1)
    one, other = order[:-1][same] // 3, order[1:][same] // 3
    flat = (normals[one] * normals[other]).sum(1) > np.cos(np.radians(ANGLE))
    smooth = np.concatenate([order[:-1][same][flat], order[1:][same][flat]])
    rough = np.setdiff1d(np.arange(len(edges)), smooth)
    a, b = np.unique(edges[rough], axis=0).T
    return float(np.linalg.norm(points[a] - points[b], axis=1).sum())


def parts(mesh: Mesh, new: Mesh) -> str:
    """The largest change of the measure of a named part, over the whole."""
    if len(mesh.cell_sets["other"]) == 0:
        return "-"
    if not new.cell_sets:
        return "lost"
    before, after = (
        np.array([measures(m)[s].sum() for s in m.cell_sets.values()])
        for m in (mesh, new)
    )
    return f"{np.abs(after - before).max() / before.sum():.1e}"


def row(tool: str, mesh: Mesh, n: int, made: Callable[[], Mesh]) -> str:
    """One line of a table; "failed" where the tool made nothing."""
    start = time.process_time()
    try:
        new = made()
    except ImportError:
        return f"| {tool} | {n} | not installed |" + " - |" * 6
    except Exception as error:  # noqa: BLE001  # whatever a tool may raise
        return f"| {tool} | {n} | failed: {type(error).__name__} |" + " - |" * 6
    spent = time.process_time() - start
    surface = "triangle" in mesh.cells
    sharp = f"{creases(new):.3f} of {creases(mesh):.3f}" if surface else "-"
    change = measures(new).sum() / measures(mesh).sum() - 1
    edges, q = lengths(new), quality(new)
    spread = np.quantile(edges, 0.95) / np.quantile(edges, 0.05)
    return (
        f"| {tool} | {n} | {len(new.points)} | {change:+.1e} | {parts(mesh, new)} | "
        f"{sharp} | {q.min():.2f}, {np.median(q):.2f} | {spread:.1f} | {spent:.2f} |"
    )


def acvd(mesh: Mesh, n: int) -> Mesh:
    import pyacvd
    import pyvista

    nodes = mesh.cells["triangle"]
    cells = np.column_stack([np.full(len(nodes), 3), nodes])
    clustering = pyacvd.Clustering(pyvista.PolyData(in_space(mesh), cells))
    if len(mesh.points) < 10 * n:
        clustering.subdivide(2)
    clustering.cluster(n)
    new = clustering.create_mesh()
    return bare(np.asarray(new.points), new.faces.reshape(-1, 4)[:, 1:])


def fast(mesh: Mesh, n: int) -> Mesh:
    import fast_simplification

    points, nodes = in_space(mesh).astype("f4"), mesh.cells["triangle"].astype("i4")
    return bare(*fast_simplification.simplify(points, nodes, target_count=2 * n))


def gmsh(mesh: Mesh, size: float) -> Mesh:
    """Surfaces by angle, parametrised, then meshed with this size."""
    import gmsh as g

    points, nodes = in_space(mesh), mesh.cells["triangle"]
    g.initialize()
    try:
        g.option.setNumber("General.Terminal", 0)
        tag = g.model.addDiscreteEntity(2)
        numbers = np.arange(1, len(points) + 1)
        g.model.mesh.addNodes(2, tag, numbers, points.ravel())
        g.model.mesh.addElementsByType(tag, 2, [], (nodes + 1).ravel())
        angle = np.radians(ANGLE)
        g.model.mesh.classifySurfaces(angle, True, True, angle)
        g.model.mesh.createGeometry()
        g.option.setNumber("Mesh.MeshSizeExtendFromBoundary", 0)
        for name in ("MeshSizeMin", "MeshSizeMax"):
            g.option.setNumber(f"Mesh.{name}", size)
        g.model.mesh.generate(2)
        tags, places, _ = g.model.mesh.getNodes()
        number = np.zeros(int(tags.max()) + 1, dtype=int)
        number[tags.astype(int)] = np.arange(len(tags))
        cells = g.model.mesh.getElementsByType(2)[1].astype(int)
        return bare(places.reshape(-1, 3), number[cells].reshape(-1, 3))
    finally:
        g.finalize()


def bare(points: np.ndarray, nodes: np.ndarray) -> Mesh:
    return Mesh(points.astype(float), {"triangle": nodes}).mended()[0]


def tables() -> Iterator[str]:
    """The lines of both tables."""
    yield from ("## What becomes of a shape\n", HEAD.format("shape"), LINE)
    for name, (mesh, n) in shapes().items():
        yield row(name, mesh, n, lambda m=mesh, n=n: coarsen(m, n))
    yield "\n## Why MMG\n"
    yield TOOLS
    for name, (mesh, n) in list(shapes().items())[:3]:
        yield from (f"### {name}\n", HEAD.format("tool"), LINE)
        yield row("isofield, by MMG", mesh, n, lambda m=mesh, n=n: coarsen(m, n))
        yield row("pyacvd", mesh, n, lambda m=mesh, n=n: acvd(m, n))
        yield row("fast-simplification", mesh, n, lambda m=mesh, n=n: fast(m, n))
        size = float((measures(mesh).sum() / (3**0.5 / 2 * n)) ** 0.5)
        yield row("gmsh", mesh, n, lambda m=mesh, s=size: gmsh(m, s))
        yield ""


def clouds() -> Iterator[str]:
    """Of subsets of clouds: distances over that of the densest packing."""
    rng = np.random.default_rng(0)
    sphere = rng.standard_normal((50_000, 3))
    uneven = rng.random((50_000, 2))
    uneven[:, 0] **= 4
    given = {
        "square": (rng.random((50_000, 2)), 2, 1.0, 500),
        "square, denser to one side": (uneven, 2, 1.0, 500),
        "cube": (rng.random((50_000, 3)), 3, 1.0, 500),
        "sphere": (sphere / np.linalg.norm(sphere, axis=1)[:, None], 2, 4 * np.pi, 500),
    }
    for name, (points, d, measure, n) in given.items():
        packed = ({2: 2 / 3**0.5, 3: 2**0.5}[d] * measure / n) ** (1 / d)
        start = time.process_time()
        chosen = torch.tensor(points[subsample(points, n)])
        spent = time.process_time() - start
        apart = nearest(chosen) / packed
        chance = nearest(torch.tensor(rng.permutation(points)[:n])).min() / packed
        furthest = torch.cdist(torch.tensor(points), chosen).amin(1).max() / packed
        yield (
            f"| {name} | {len(points)} | {n} | {apart.min():.2f} | "
            f"{apart.median():.2f} | {furthest:.2f} | {chance:.2f} | {spent:.2f} |"
        )


def nearest(points: torch.Tensor) -> torch.Tensor:
    """(n,) the distance to the nearest other point."""
    return torch.cdist(points, points).fill_diagonal_(torch.inf).amin(1)


def picture() -> None:
    """One shape four times: as given, of one size, graded, by a size field."""
    mesh = annulus(80)

    def size(points: np.ndarray) -> np.ndarray:
        return 0.08 + 0.15 * np.hypot(points[:, 0], points[:, 1] - 1)

    meshes = {
        "given": mesh,
        "coarsen(mesh, 300)": coarsen(mesh, 300),
        "coarsen(mesh, 300, graded=True)": coarsen(mesh, 300, graded=True),
        "remesh(mesh, size)": remesh(mesh, size),
    }
    figure, axes = plt.subplots(2, 2, figsize=(9, 9.4))
    for ax, (title, new) in zip(axes.flat, meshes.items(), strict=True):
        nodes = new.cells["triangle"]
        part = np.isin(np.arange(len(nodes)), new.cell_sets["one"])
        ax.tripcolor(*new.points.T, nodes, part, cmap="Pastel1", edgecolors="k", lw=0.3)
        ax.set_title(f"{title}: {len(new.points)} points")
        ax.set_aspect("equal")
        ax.axis("off")
    figure.tight_layout()
    figure.savefig(HERE / "remeshing.png", dpi=72)


HEAD = (
    "| {} | asked | points | measure | parts | sharp lines | quality least, median | "
    "edges 95 % / 5 % | CPU s |"
)
LINE = "|---|---|---|---|---|---|---|---|---|"
INTRODUCTION = """# Coarser and finer meshes of one shape

Written by `python docs/remeshing.py`. A data set of mixed resolutions from one solver
mesh:

```python
from isofield.remeshing import coarsen, remesh, subsampled
from isofield.resampling import resample

coarse = coarsen(mesh, 500)                     # 500 points, within 3 %
graded = coarsen(mesh, 500, graded=True)        # fine where `mesh` is fine
sized = remesh(mesh, lambda x: 0.1 + 0.2 * x[:, 0])
case, report = resample(mesh, coarse)           # the fields come along
cloud, numbers = subsampled(discretization, 500)
```

`pip install "isofield[remesh]"` brings MMG; clouds need nothing. From a shell, fields
included: `isofield coarsen part.vtu -o coarse.vtu --points 500 --graded`. Cell sets,
facet sets and point sets are those of the new mesh, `regions=["material"]` does the
same for cell fields of whole numbers, and sharp edges and corners stay.

![One shape in four resolutions](remeshing.png)

"Measure" is the relative change of area or volume: on curved shapes that of chords of
the new length. "Parts" is the largest change of the measure of a named part, over the
whole. "Sharp lines" is the length of edges sharper than 40°, borders included.
"Quality" is 1 for regular cells.
"""
TOOLS = """The same jobs by four tools, each asked for the same number of points, gmsh
for the size of edges that goes with it. MMG alone makes plane, surface and volume
meshes with their named parts and creases. pyacvd makes the most even triangles of
closed smooth surfaces, and rounds creases and borders off. fast-simplification is by
far the fastest; it keeps creases, not borders, and its triangles are long and thin.
Both do surfaces alone. gmsh makes the best plane triangles; it finds surfaces again by
their angles and splits closed ones, parts whose border is smooth are lost to it, and
the regions of a volume have to be put together by hand. pyacvd and fast-simplification
are under the MIT licence, gmsh under the GPL, mmgpy under the MIT licence around MMG,
LGPL.
"""
CLOUDS = """## Clouds

`subsample` leaves out, of all candidates, those whose neighbours crowd them most. Given
are the least and the median distance of neighbours and how far the furthest place of
the cloud is from those chosen, over the distance of the densest packing of as many
points; last the least distance in a random subset.

| cloud | points | chosen | least | median | furthest | random | CPU s |
|---|---|---|---|---|---|---|---|"""

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    picture()
    text = [INTRODUCTION, *tables(), CLOUDS, *clouds(), ""]
    (HERE / "remeshing.md").write_text("\n".join(text))
