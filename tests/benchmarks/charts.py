"""Logarithms on a torus: closed form, chord and projection, and what others compute."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import potpourri3d
import pygeodesic.geodesic as geodesic
import torch
from rich.table import Table
from torch import Tensor

from isofield import Discretization, Mesh, from_mesh, generation, radius_graph
from isofield.charts import local_coordinates
from isofield.graph import Graph
from isofield.testing.comparing import generator, picked
from tests.test_charts import Torus, cloud, one_to_one, shot

N, RADIUS, CENTRES = 63, 0.24, 20


class Found(NamedTuple):
    """Coordinates (E, 2) of the pairs, their lengths alone where directions are not
    known, and the seconds for one centre."""

    u: Tensor
    seconds: float


def tables() -> Iterator[Table]:
    """Twenty centres of a torus of 10,000 points."""
    yield logarithms()


def logarithms() -> Table:
    """Errors in units of the radius; the direction of near neighbours left out."""
    mesh = generation.torus(N)
    domain, angles = from_mesh(mesh), _angles(torch.tensor(mesh.points))
    rows = torch.randperm(len(domain), generator=generator(0))[:CENTRES]
    centres, where = picked(domain, rows), Torus.at(angles[rows])
    graph = radius_graph(domain, centres, 0.95 * RADIUS)
    graph = _apart(graph, rows)
    exact = _exact(angles, rows, graph)
    table = Table(
        title=f"Torus, {len(domain):,} points, {graph.n_edges:,} pairs, r=0.24"
    )
    for column in (
        "method",
        "length, mean",
        "max",
        "angle, mean",
        "max",
        "ms / centre",
    ):
        table.add_column(column, justify="left" if column == "method" else "right")
    known = Torus.at(angles)
    methods: dict[str, Callable[[], Found]] = {
        "isofield, normals of the mesh": lambda: _charts(
            domain, centres, where.frames, graph
        ),
        "isofield, normals of the torus": lambda: _charts(
            cloud(known.points, known.normals),
            cloud(where.points, where.normals),
            where.frames,
            graph,
        ),
        "chord in the direction of its projection": lambda: _flat(
            known, where, graph, True
        ),
        "projection": lambda: _flat(known, where, graph, False),
        "pygeodesic, exact on the triangles": lambda: _paths(mesh, rows, graph),
        **{
            f"potpourri3d, {name}": lambda name=name: _heat(
                mesh, rows, where, graph, name
            )
            for name in ("VectorHeat", "AffineLocal")
        },
    }
    for name, method in methods.items():
        found = method()
        table.add_row(name, *_errors(found.u, exact), f"{1e3 * found.seconds:.2g}")
    return table


def _angles(points: Tensor) -> Tensor:
    x, y, z = points.unbind(1)
    return torch.stack([torch.atan2(y, x), torch.atan2(z, x.hypot(y) - 1)], 1)


def _apart(graph: Graph, rows: Tensor) -> Graph:
    """Without each centre itself."""
    edges = graph.edge_index[:, graph.source != rows[graph.target]]
    return Graph(edges, graph.n_sources, graph.n_targets)


def _exact(angles: Tensor, rows: Tensor, graph: Graph) -> Tensor:
    """(E, 2) logarithms by shooting: each try is moved by what its end misses."""
    start, end = angles[rows[graph.target]], angles[graph.source]
    x, y = Torus.at(start), Torus.at(end)
    pairs = one_to_one(len(start))

    def chart(z: Torus) -> Tensor:
        of, around = cloud(z.points, z.normals), cloud(x.points, x.normals)
        return local_coordinates(of, around, 1.0, frames=x.frames, graph=pairs)[1]

    wanted = chart(y)
    v = wanted.clone()
    for _ in range(6):
        length = v.norm(dim=1, keepdim=True)
        # geodesics of length 1 whose speed is the distance
        reached, _ = shot(start, v / length, length)
        miss = wanted - chart(Torus.at(reached))
        v = v + miss
    if float(miss.abs().max()) > 1e-9:
        raise RuntimeError(f"shooting misses by {float(miss.abs().max()):.1e}")
    return v


def _charts(
    source: Discretization, target: Discretization, frames: Tensor, graph: Graph
) -> Found:
    start = time.perf_counter()
    chart = local_coordinates(source, target, RADIUS, frames=frames, graph=graph)
    seconds = (time.perf_counter() - start) / CENTRES
    if chart.graph.n_edges != graph.n_edges:
        raise RuntimeError("a neighbour is lost: choose pairs farther from the radius")
    return Found(RADIUS * chart.coordinates, seconds)


def _flat(known: Torus, where: Torus, graph: Graph, chord: bool) -> Found:
    start = time.perf_counter()
    step = known.points[graph.source] - where.points[graph.target]
    u = torch.einsum("ed,edk->ek", step, where.frames[graph.target])
    if chord:
        u = u * (step.norm(dim=1) / u.norm(dim=1))[:, None]
    return Found(u, (time.perf_counter() - start) / CENTRES)


def _paths(mesh: Mesh, rows: Tensor, graph: Graph) -> Found:
    triangles = mesh.cells["triangle"].astype(np.int32)
    search = geodesic.PyGeodesicAlgorithmExact(mesh.points.copy(), triangles)
    start = time.perf_counter()
    found = [search.geodesicDistances(np.array([i]), None)[0] for i in rows.tolist()]
    seconds = (time.perf_counter() - start) / CENTRES
    return Found(torch.tensor(np.stack(found))[graph.target, graph.source], seconds)


def _heat(mesh: Mesh, rows: Tensor, where: Torus, graph: Graph, name: str) -> Found:
    """In the solver's own frames, turned into those of the torus."""
    solver = potpourri3d.MeshVectorHeatSolver(mesh.points, mesh.cells["triangle"])
    axes = torch.tensor(np.stack(solver.get_tangent_frames()[:2], 2))[rows]
    start = time.perf_counter()
    found = [solver.compute_log_map(i, strategy=name) for i in rows.tolist()]
    seconds = (time.perf_counter() - start) / CENTRES
    turn = torch.einsum("ndk,ndl->nkl", where.frames, axes)
    u = torch.tensor(np.stack(found))[graph.target, graph.source]
    return Found(torch.einsum("ekl,el->ek", turn[graph.target], u), seconds)


def _errors(u: Tensor, exact: Tensor) -> list[str]:
    lengths = u if u.ndim == 1 else u.norm(dim=1)
    wrong = (lengths - exact.norm(dim=1)).abs() / RADIUS
    numbers = [f"{float(wrong.mean()):.1e}", f"{float(wrong.max()):.1e}"]
    if u.ndim == 1:
        return [*numbers, "", ""]
    far = exact.norm(dim=1) > RADIUS / 4
    a, b = (torch.view_as_complex(x[far].contiguous()) for x in (u, exact))
    angle = torch.angle(a / b).abs()
    return [*numbers, f"{float(angle.mean()):.1e}", f"{float(angle.max()):.1e}"]
