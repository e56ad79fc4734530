"""Radius and nearest-neighbour graphs against scipy's k-d tree on the same pairs."""

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from rich.table import Table
from scipy.spatial import cKDTree

from isofield.graph import knn_graph, radius_graph

NEIGHBOURS = 30.0


def tables() -> Iterator[Table]:
    """The bar at 256,000 points, the growth with their number, nearest neighbours."""
    yield _against_the_tree(256_000)
    yield _growth([10_000, 100_000, 1_000_000])
    yield _nearest(100_000, 16)


def medians(calls: Mapping[str, Callable[[], Any]], repeat: int) -> dict[str, float]:
    """Seconds of wall time per call, taken in turn: a busy machine hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(repeat):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _cube(n: int) -> tuple[torch.Tensor, float]:
    """n points in the unit cube and the radius at which NEIGHBOURS are near."""
    points = torch.rand(n, 3, generator=torch.Generator().manual_seed(0)).double()
    return points, (NEIGHBOURS / n / (4 / 3 * math.pi)) ** (1 / 3)


def _against_the_tree(n: int) -> Table:
    points, radius = _cube(n)
    array, copy, single = points.numpy(), points.clone(), points.float()

    def distance_matrix() -> Any:
        tree = cKDTree(array)
        return tree.sparse_distance_matrix(tree, radius, output_type="ndarray")

    def two_trees() -> Any:
        tree = cKDTree(array)
        return tree.sparse_distance_matrix(
            cKDTree(copy.numpy()), radius, output_type="ndarray"
        )

    seconds = medians(
        {
            "cKDTree.sparse_distance_matrix": distance_matrix,
            "cKDTree.query_pairs (each pair once, unsorted)": lambda: cKDTree(
                array
            ).query_pairs(radius, output_type="ndarray"),
            "sparse_distance_matrix of two trees": two_trees,
            "radius_graph, source is target": lambda: radius_graph(
                points, points, radius
            ),
            "radius_graph, float32": lambda: radius_graph(single, single, radius),
            "radius_graph, source is not target": lambda: radius_graph(
                points, copy, radius
            ),
            "radius_graph, cell list": lambda: radius_graph(
                points, points, radius, "cell_list"
            ),
        },
        repeat=5,
    )
    edges = radius_graph(points, points, radius).n_edges
    matrix, pairs = list(seconds.values())[:2]
    table = Table(title=f"{n:,} points in a cube, {edges:,} directed edges")
    for column in ("search", "seconds", "/ sparse_distance_matrix", "/ query_pairs"):
        table.add_column(column, justify="left" if column == "search" else "right")
    for name, value in seconds.items():
        table.add_row(
            name, f"{value:.2f}", f"{value / matrix:.2f}", f"{value / pairs:.2f}"
        )
    return table


def _growth(sizes: list[int]) -> Table:
    table = Table(title="Growth with the number of points, about 30 neighbours each")
    for column in ("points", "edges", "tree", "µs per point", "cell list", "µs each"):
        table.add_column(column, justify="right")
    for n in sizes:
        points, radius = _cube(n)
        seconds = medians(
            {
                method: lambda m=method, p=points, r=radius: radius_graph(p, p, r, m)
                for method in ("tree", "cell_list")
            },
            repeat=1 if n > 500_000 else 3,
        )
        row = [f"{n:,}", f"{radius_graph(points, points, radius).n_edges:,}"]
        for value in seconds.values():
            row += [f"{value:.2f}", f"{1e6 * value / n:.2f}"]
        table.add_row(*row)
    return table


def _nearest(n: int, k: int) -> Table:
    points, _ = _cube(n)
    array = points.numpy()
    seconds = medians(
        {
            "cKDTree.query": lambda: cKDTree(array).query(array, k),
            "knn_graph": lambda: knn_graph(points, points, k),
            "knn_graph, cell list": lambda: knn_graph(points, points, k, "cell_list"),
        },
        repeat=3,
    )
    table = Table(title=f"{k} nearest of {n:,} points in a cube")
    for column in ("search", "seconds", "/ cKDTree.query"):
        table.add_column(column, justify="left" if column == "search" else "right")
    for name, value in seconds.items():
        ratio = value / seconds["cKDTree.query"]
        table.add_row(name, f"{value:.2f}", f"{ratio:.2f}")
    return table
