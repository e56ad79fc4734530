"""What a kernel integral keeps for its backward pass, and what that costs in time.

Against the plain path, one piece with all pairs, in float32 at the widths of the
kernel networks of neuraloperator's GINO: [80, 80, 80] into its grid, [512, 256] out of
it. Three counts of bytes per pair, all without the plan, which exists anyway:
`saved`, every storage once that autograd packs in the forward pass; `kept`, by how much
a process of its own has grown between forward and backward, which knows of closures
too; `peak`, of forward and backward together.
"""

import ctypes
import math
import multiprocessing
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.table import Table
from torch import Tensor

from isofield import Discretization
from isofield.layers import KernelIntegral

POINTS, NEIGHBOURS, CHANNELS = 1000, 30, 64
WIDTHS = {"in": [80, 80, 80], "out": [512, 256]}
FORMS = ("diagonal", "low_rank")


def tables() -> Iterator[Table]:
    """Bytes per pair and times, for both networks and two forms of the kernel."""
    table = Table(
        title=f"{CHANNELS} channels, {POINTS:,} points in a cube: bytes per pair, "
        "processor time of forward and backward over that of the plain path"
    )
    for place, column in enumerate(
        ("network", "kernel", "path", "saved", "kept", "peak", "time")
    ):
        table.add_column(column, justify="right" if place > 2 else "left")
    for end, widths in WIDTHS.items():
        for form in FORMS:
            ratio = _ratio(Problem(end, form))
            for path, value in (("plain", 1.0), ("pieces", ratio)):
                found = _in_a_process(end, form, path)
                counts = [f"{found[name]:,.0f}" for name in ("saved", "kept", "peak")]
                table.add_row(str(widths), form, path, *counts, f"{value:.2f}")
    yield table


class Problem:
    """A layer between random points of the unit cube, its plan and a field."""

    def __init__(self, end: str, form: str, n: int = POINTS) -> None:
        random = torch.Generator().manual_seed(0)
        points = torch.rand(n, 3, generator=random)
        domain = Discretization(points, torch.full((n,), 1 / n))
        radius = (NEIGHBOURS / n / (4 / 3 * math.pi)) ** (1 / 3)
        self.layer = KernelIntegral(
            CHANNELS,
            CHANNELS,
            3,
            radius,
            kernel=form,  # type: ignore[arg-type]
            hidden=WIDTHS[end],
        )
        self.plan = self.layer.prepare(domain, domain)
        graph = self.plan.graph
        _ = graph.rows, graph.reversed().rows  # both patterns belong to the plan
        self.edges = graph.n_edges
        self.u = torch.randn(n, CHANNELS, generator=random).requires_grad_()

    def forward(self, path: str) -> Tensor:
        self.layer.chunk = self.edges if path == "plain" else None
        return self.layer(self.u, self.plan)

    def backward(self, v: Tensor) -> None:
        torch.autograd.grad(v, (self.u, *self.layer.parameters()), torch.ones_like(v))

    def saved(self, path: str) -> int:
        """Bytes of the storages that the forward pass packs, but for the plan's."""
        graph = self.plan.graph
        plan = [self.plan.offset, self.plan.weight, graph.edge_index, *graph.rows]
        others = {x.untyped_storage().data_ptr() for x in plan}
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            v = self.forward(path)
        del v
        return sum(size for place, size in kept.items() if place not in others)


def _ratio(problem: Problem, repeat: int = 2) -> float:
    """Processor time of the pieces over that of the plain path, taken in turn."""
    seconds: dict[str, list[float]] = {"plain": [], "pieces": []}
    for number in range(repeat + 1):
        for path, found in seconds.items():
            start = time.process_time()
            problem.backward(problem.forward(path))
            if number:
                found.append(time.process_time() - start)
    return statistics.median(seconds["pieces"]) / statistics.median(seconds["plain"])


def _in_a_process(end: str, form: str, path: str) -> dict[str, float]:
    """What `report` finds in a copy of this process, which has one thread."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(report, (end, form, path))


def report(end: str, form: str, path: str) -> dict[str, float]:
    """The three counts. A tenth of the points goes first, to load what is loaded once;
    what was freed goes back to the system before each count."""
    small = Problem(end, form, POINTS // 10)
    small.backward(small.forward(path))
    problem = Problem(end, form)
    before = _resident()
    Path("/proc/self/clear_refs").write_text("5")
    v = problem.forward(path)
    kept = _resident() - before
    problem.backward(v)
    peak = _status("VmHWM") - before
    counts = {"saved": problem.saved(path), "kept": 1024 * kept, "peak": 1024 * peak}
    return {name: x / problem.edges for name, x in counts.items()}


def _resident() -> int:
    """kB that are in use."""
    ctypes.CDLL(None).malloc_trim(0)
    return _status("VmRSS")


def _status(what: str) -> int:
    """kB, from what Linux says of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what))
