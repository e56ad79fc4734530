"""Attention in the measure: what it costs, and what a transformer of slices learns."""

import math
import time
from collections.abc import Iterator

import torch
from rich.table import Table
from torch import Tensor, nn

from isofield import Discretization, from_mesh, generation
from isofield.discretization import pack
from isofield.layers.attention import Form, IntegralAttention
from isofield.layers.local_mean import LocalMean
from isofield.layers.operator import Operator
from isofield.models import FourierOperator, SliceTransformer

SECONDS = 8.0
BUILDS = {"SliceTransformer": SliceTransformer, "FourierOperator": FourierOperator}


def _times(layer: IntegralAttention, points: int) -> tuple[float, float]:
    """CPU seconds forward and backward, of self-attention in the plane."""
    source = Discretization(torch.rand(points, 2), torch.rand(points) / points + 1e-6)
    u, plan = torch.randn(points, 3), layer.prepare(source, source)
    start = time.process_time()
    v = layer(u, plan)
    between = time.process_time()
    v.square().sum().backward()
    return between - start, time.process_time() - between


def _cost() -> Table:
    table = Table(title="IntegralAttention of 4 heads, 32 wide: CPU seconds")
    for column in ("points", "form", "pairs at one time", "forward", "backward"):
        table.add_column(column, justify="right")
    forms: list[tuple[Form, int]] = [("softmax", 1 << 30), ("softmax", 1 << 24)]
    for points in (2000, 4000):
        for form, chunk in [*forms, ("linear", 1)]:
            layer = IntegralAttention(3, 3, 2, form=form, chunk=chunk)
            found = [_times(layer, points) for _ in range(4)][1:]
            seconds = [
                f"{sorted(column)[1]:.3f}" for column in zip(*found, strict=True)
            ]
            held = "none" if form == "linear" else f"{chunk:.1e}"
            table.add_row(str(points), form, held, *seconds)
    return table


def _domains(seeds: range, n: int) -> Discretization:
    """Random plane domains of extent 1, packed."""
    made = []
    for seed in seeds:
        domain = from_mesh(generation.random_blob(seed, n + seed % 3))
        low, high = domain.points.amin(0), domain.points.amax(0)
        extent = float((high - low).max())
        points = (domain.points - (low + high) / 2) / extent
        made.append(Discretization(points, domain.weights / extent**2))
    return pack(made).to(torch.float32)


def _field(domain: Discretization, random: torch.Generator) -> Tensor:
    """Four waves of random direction, length, phase and size, for each sample."""
    k, phase, size = (
        torch.randn(domain.n_samples, 4, c, generator=random)[domain.sample]
        for c in (2, 1, 1)
    )
    angle = 5 * (k * domain.points[:, None]).sum(2, keepdim=True) + 3 * phase
    return (size * angle.sin()).sum(1)


class _Task:
    """Twice the mean over balls of a quarter of the extent, on some domains."""

    def __init__(self, model: Operator, domain: Discretization) -> None:
        self.model, self.domain = model, domain
        self.mean = LocalMean(0.25)
        self.truth = self.mean.prepare(domain, domain)
        self.plan = model.prepare(domain, domain)

    def error(self, random: torch.Generator) -> Tensor:
        """Relative, in the measure, averaged over samples."""
        u = _field(self.domain, random)
        wanted = 2 * self.mean(u, self.truth)
        wrong = self.domain.norm(self.model(u, self.plan) - wanted)
        return (wrong / self.domain.norm(wanted)).mean()


def _learned(model: Operator, seconds: float) -> tuple[int, float, float]:
    """Steps, and the errors on domains not learned from, as fine and twice as fine."""
    random = torch.Generator().manual_seed(1)
    tasks = [_Task(model, _domains(range(i, i + 4), 5)) for i in range(0, 16, 4)]
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=1e-4)
    start, steps, share = time.process_time(), 0, 0.0
    while share < 1:
        for group in optimizer.param_groups:
            rising = min(1.0, (steps + 1) / 20)
            group["lr"] = 3e-3 * rising * 0.5 * (1 + math.cos(math.pi * share))
        loss = tasks[steps % 4].error(random)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        steps, share = steps + 1, (time.process_time() - start) / seconds
    errors = []
    with torch.no_grad():
        for n in (6, 12):
            task = _Task(model, _domains(range(100, 108), n))
            errors.append(float(sum(task.error(random) for _ in range(3)) / 3))
    return steps, errors[0], errors[1]


def tables() -> Iterator[Table]:
    """The cost of one layer; two models in the same CPU time."""
    torch.manual_seed(0)
    yield _cost()
    table = Table(title=f"Twice a local mean, learned for {SECONDS:g} CPU seconds")
    for column in ("model", "parameters", "steps", "error", "twice as fine"):
        table.add_column(column, justify="right")
    for name, build in BUILDS.items():
        torch.manual_seed(0)
        model = build(1, 1, 2, radius=0.3, width=32, blocks=3)
        parameters = sum(p.numel() for p in model.parameters())
        steps, error, finer = _learned(model, SECONDS)
        table.add_row(name, f"{parameters}", f"{steps}", f"{error:.2%}", f"{finer:.2%}")
    yield table
