"""The kernel integral on a GPU: in one kernel, in pieces, and with all pairs at once.

Where gradients are asked for, `KernelIntegral` takes the pieces.

Diagonal kernels with the widths of the network out of the grid of neuraloperator's
GINO, and with those that `GNO` has by itself, in float32. The products of the plain
paths are in float32, and once in tf32, whose errors are a thousand times larger.
Nothing where there is no GPU.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from rich.table import Table
from torch import Tensor

from isofield.discretization import Discretization
from isofield.layers import KernelIntegral
from isofield.layers.kernel_integral import KernelPlan

POINTS, NEIGHBOURS, CHANNELS, ROUNDS = 20_000, 30, 64, 10
WIDTHS = ([512, 256], [32, 32])


def tables() -> Iterator[Table]:
    """Times, peak memory and errors, a table for each network."""
    if not torch.cuda.is_available():
        return
    for widths in WIDTHS:
        yield _table(widths)


def _table(widths: list[int]) -> Table:
    layer, source = _layer(widths)
    exact = _exact(layer, source)
    layer, plan = layer.cuda(), layer.prepare(source, source).to("cuda")
    edges = plan.graph.n_edges
    table = Table(
        title=f"{widths}, {CHANNELS} channels, {edges:,} pairs, "
        f"{torch.cuda.get_device_name()}"
    )
    for place, column in enumerate(
        ("path", "forward, ms", "and backward, ms", "peak, bytes per pair", "error")
    ):
        table.add_column(column, justify="right" if place else "left")

    def field() -> Tensor:
        return _field().cuda().requires_grad_()

    paths: dict[str, Callable[[Tensor], Tensor]] = {
        "all pairs at once": lambda u: _plain(layer, u, plan, edges),
        "in pieces": lambda u: _plain(layer, u, plan, None),
        "default": lambda u: layer(u, plan),
    }
    for tf32 in (False, True):
        for name, path in paths.items():
            with _products(tf32):
                u = field()
                with torch.no_grad():
                    forward = _seconds(lambda p=path, u=u: p(u))
                    error = (path(u).cpu().double() - exact).norm() / exact.norm()
                both = _seconds(lambda p=path, u=u: p(u).sum().backward())
                peak = _peak(lambda p=path, u=u: p(u).sum().backward()) / edges
            table.add_row(
                name + (", tf32" if tf32 else ""),
                *(f"{1000 * x:.2f}" for x in (forward, both)),
                f"{peak:,.0f}",
                f"{error:.0e}",
            )
    return table


def _layer(widths: list[int]) -> tuple[KernelIntegral, Discretization]:
    random = torch.Generator().manual_seed(0)
    points = torch.rand(POINTS, 3, generator=random)
    radius = (NEIGHBOURS / POINTS / (4 / 3 * math.pi)) ** (1 / 3)
    torch.manual_seed(0)
    layer = KernelIntegral(
        CHANNELS, CHANNELS, 3, radius, kernel="diagonal", hidden=widths
    )
    return layer, Discretization(points, torch.full((POINTS,), 1 / POINTS))


def _field() -> Tensor:
    return torch.randn(POINTS, CHANNELS, generator=torch.Generator().manual_seed(1))


def _exact(layer: KernelIntegral, source: Discretization) -> Tensor:
    """On the CPU in float64, of the plan as it is in float32."""
    plan = layer.prepare(source, source).to(torch.float64)
    with torch.no_grad():
        exact = layer.double()(_field().double(), plan)
    layer.float()
    return exact


def _plain(
    layer: KernelIntegral, u: Tensor, plan: KernelPlan, chunk: int | None
) -> Tensor:
    layer.chunk = chunk
    return layer._by_pairs(u, plan)


@contextmanager
def _products(tf32: bool) -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _seconds(step: Callable[[], object]) -> float:
    """The median, after one that does not count."""
    found = []
    for number in range(ROUNDS + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        step()
        torch.cuda.synchronize()
        if number:
            found.append(time.perf_counter() - start)
    return statistics.median(found)


def _peak(step: Callable[[], object]) -> int:
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before
