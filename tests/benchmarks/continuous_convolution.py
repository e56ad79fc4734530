"""The continuous convolution against other ways to the same sum: seconds and memory.

Ratios are those of processor time, which a busy machine disturbs less than wall time.
"""

import ctypes
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from isofield import Discretization
from isofield.bases import ZernikeBasis
from isofield.layers import KernelIntegral, ZernikeConv
from isofield.operators import BasisOperator, basis_operator, compiled
from isofield.operators.patches import along_curve
from isofield.operators.product import csr

POINTS, NEIGHBOURS, CHANNELS, SIZE = 10_000, 32, 64, 16
ALWAYS, NEVER = 0, sys.maxsize  # pairs from which numba is worth while
ALL = sys.maxsize  # pairs at one time
WORTH = compiled.WORTH
Step = Callable[[], object]


def tables() -> Iterator[Table]:
    """Peers at 10,000 points, the set-up at 100,000, the growth to 300,000."""
    yield _against_others()
    yield _set_up(100_000)
    yield _growth([10_000, 30_000, 100_000, 300_000])
    compiled.WORTH = WORTH


class Problem:
    """n random points of the unit square along a Morton curve, a field on them, B
    matrices of channels, and a gradient to come back."""

    def __init__(self, n: int, size: int = SIZE) -> None:
        random = torch.Generator().manual_seed(0)
        cloud = Discretization(
            torch.rand(n, 2, generator=random), torch.full((n,), 1 / n)
        )
        self.domain = Discretization(cloud.points[along_curve(cloud)], cloud.weights)
        self.radius = math.sqrt(NEIGHBOURS / n / math.pi)
        self.u = torch.randn(n, CHANNELS, generator=random).requires_grad_()
        self.mixing = torch.randn(size, CHANNELS, CHANNELS, generator=random)
        self.mixing.requires_grad_()
        self.gradient = torch.randn(n, CHANNELS, generator=random)

    def operator(self) -> BasisOperator:
        """The 15 Zernike functions of order 4, and from the 16th on those again."""
        basis = ZernikeBasis(2, 4)
        functions = [b % basis.size for b in range(len(self.mixing))]
        made = basis_operator(
            self.domain, self.domain, basis, self.radius, functions=functions
        )
        graph = made.pairs.graph
        _ = graph.rows, graph.reversed().rows  # the transpose, prepared once
        return made

    def step(self, worth: int, product: Callable[[], Tensor], *wanted: Tensor) -> Step:
        """Forward and backward, in the field and in what is learned."""
        inputs = (self.u, *wanted)

        def run() -> None:
            compiled.WORTH = worth
            torch.autograd.grad(product(), inputs, self.gradient)

        return run


def convolution(problem: Problem, worth: int) -> Step:
    """The layer's own product."""
    operator = problem.operator()

    def product() -> Tensor:
        return operator.product(problem.u, problem.mixing)

    return problem.step(worth, product, problem.mixing)


def one_matrix(problem: Problem) -> Step:
    """All B matrices one under the other, as one sparse matrix of torch (B M, N)."""
    operator = problem.operator()
    graph, phi = operator.pairs.graph, operator.values
    rows, columns = graph.rows
    b, edges = phi.shape[1], graph.n_edges
    starts = torch.arange(b, dtype=rows.dtype)[:, None] * edges + rows[:-1]
    ptr = torch.cat([starts.flatten(), torch.tensor([b * edges], dtype=rows.dtype)])
    values = phi.t().reshape(-1)
    matrix = csr(ptr, columns.repeat(b), values, graph.n_sources)

    def product() -> Tensor:
        patch = (matrix @ problem.u).view(b, -1, CHANNELS)
        return torch.einsum("bmc,bcd->md", patch, problem.mixing)

    return problem.step(NEVER, product, problem.mixing)


def outer_product(problem: Problem) -> Step:
    """Every pair carries B x C numbers, added up by targets."""
    operator = problem.operator()
    graph, phi = operator.pairs.graph, operator.values

    def product() -> Tensor:
        at_pairs = phi[:, :, None] * problem.u[graph.source][:, None]
        patch = at_pairs.new_zeros(graph.n_targets, *at_pairs.shape[1:])
        patch = patch.index_add(0, graph.target, at_pairs)
        return patch.flatten(1) @ problem.mixing.flatten(0, 1)

    return problem.step(NEVER, product, problem.mixing)


def network_kernel(
    problem: Problem, hidden: int | Sequence[int], chunk: int | None = None
) -> Step:
    """`KernelIntegral` with a number per channel and pair from a small network."""
    form: dict[str, Any] = {"kernel": "diagonal", "hidden": hidden, "chunk": chunk}
    layer = KernelIntegral(CHANNELS, CHANNELS, 2, problem.radius, **form)
    plan = layer.prepare(problem.domain, problem.domain)
    return problem.step(NEVER, lambda: layer(problem.u, plan), *layer.parameters())


PEERS: dict[str, Callable[[Problem], Step]] = {
    "continuous convolution, numba": lambda p: convolution(p, ALWAYS),
    "continuous convolution, torch alone": lambda p: convolution(p, NEVER),
    "one sparse product of torch, its autograd": one_matrix,
    "outer product by pairs, index_add": outer_product,
    "network kernel, diagonal, 32 wide": lambda p: network_kernel(p, 32),
    "network kernel, diagonal, 64 wide": lambda p: network_kernel(p, 64),
    "the same, 64 and 64 wide": lambda p: network_kernel(p, (64, 64)),
    "the same, all pairs at once": lambda p: network_kernel(p, (64, 64), ALL),
}


def timed(steps: Mapping[str, Step], repeat: int) -> dict[str, tuple[float, float]]:
    """Medians of processor and of wall seconds, taken in turn."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(repeat):
        for name, step in steps.items():
            before = time.process_time(), time.perf_counter()
            step()
            after = time.process_time(), time.perf_counter()
            found[name].append((after[0] - before[0], after[1] - before[1]))
    return {
        name: (statistics.median(a for a, _ in x), statistics.median(b for _, b in x))
        for name, x in found.items()
    }


def _against_others() -> Table:
    problem = Problem(POINTS)
    seconds = timed({name: build(problem) for name, build in PEERS.items()}, 7)
    table = _table(
        f"{POINTS:,} points, {NEIGHBOURS} neighbours, {CHANNELS} channels in and out, "
        f"{SIZE} functions, float32: forward and backward",
        ["layer", "ms", "wall ms", "to numba", "to torch alone", "extra MB"],
    )
    numba, alone, *_ = (value for value, _ in seconds.values())
    for name, (value, wall) in seconds.items():
        ratios = f"{value / numba:.1f}", f"{value / alone:.1f}"
        times = f"{1e3 * value:.0f}", f"{1e3 * wall:.0f}"
        table.add_row(name, *times, *ratios, f"{extra_memory(name):.0f}")
    return table


def extra_memory(name: str) -> float:
    """MB by which forward and backward raise the peak of a process of their own."""
    module = "tests.benchmarks.continuous_convolution"
    code = f"import {module} as here; here.report_memory({name!r})"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, check=True, text=True)
    return float(found.stdout)


def report_memory(name: str) -> None:
    """Prints it. A tenth of the points goes first, to load what is loaded once; what
    preparing has freed goes back to the system before the peak is counted anew."""
    torch.set_num_threads(1)
    PEERS[name](Problem(POINTS // 10))()
    step = PEERS[name](Problem(POINTS))
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    step()
    print((_status("VmHWM") - before) / 1024)


def _status(what: str) -> int:
    """kB, from what Linux says of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what))


def _set_up(n: int) -> Table:
    problem = Problem(n, 15)
    layer = ZernikeConv(CHANNELS, CHANNELS, 2, problem.radius)
    plan = layer.prepare(problem.domain, problem.domain)

    def step(worth: int) -> Step:
        return problem.step(worth, lambda: layer(problem.u, plan), *layer.parameters())

    steps = {
        "set-up: neighbours, functions, both patterns": problem.operator,
        "forward and backward, numba": step(ALWAYS),
        "forward and backward, torch alone": step(NEVER),
    }
    seconds = timed(steps, 3)
    table = _table(
        f"{n:,} points, {NEIGHBOURS} neighbours, {CHANNELS} channels, 15 functions",
        ["what", "s", "wall s", "set-up is"],
    )
    whole, *_ = (value for value, _ in seconds.values())
    for name, (value, wall) in seconds.items():
        table.add_row(name, f"{value:.2f}", f"{wall:.2f}", f"{whole / value:.1f} times")
    return table


def _growth(sizes: Sequence[int]) -> Table:
    """Sizes take turns, so that a machine that slows down slows all of them."""
    problems = [Problem(n) for n in sizes]
    steps = {
        (worth, n): convolution(problem, worth)
        for n, problem in zip(sizes, problems, strict=True)
        for worth in (ALWAYS, NEVER)
    }
    seconds = timed({str(key): step for key, step in steps.items()}, 3)
    table = _table(
        "Forward and backward with the number of points; over linear growth from the "
        "first",
        ["points", "numba, s", "over linear", "torch alone, s", "over linear"],
    )
    for n in sizes:
        row = [f"{n:,}"]
        for worth in (ALWAYS, NEVER):
            value = seconds[str((worth, n))][0]
            linear = seconds[str((worth, sizes[0]))][0] * n / sizes[0]
            row += [f"{value:.2f}", f"{value / linear:.2f}"]
        table.add_row(*row)
    return table


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    return table
