"""Samples a second in training: networks of as many parameters, on 2,000 points.

The others' GINO has all settings of its package, radius too, but for what the plane
asks for: a latent grid of 32² and 16 modes along two axes. Its batch is of one mesh,
because it knows no others; ours is of eight.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, nn

from isofield.discretization import Discretization, from_mesh, pack
from isofield.generation import disk
from isofield.models import ARCHITECTURES
from isofield.plan import pack_plans
from tests.benchmarks.learning.peers import gino

RINGS, SAMPLES, ROUNDS = 25, 8, 5
SPACING = 0.5 / RINGS  # of a disk of diameter 1
# width of each network at which it has about as many parameters, as (least, most)
WIDTHS = {"FourierOperator": (16, 256), "GreenOperator": (16, 256), "FNO": (8, 128)}
WIDTHS |= {"GINO": (8, 128), "UNO": (8, 128)}
OWN = {"FourierOperator": 48, "GreenOperator": 32}  # their widths by default


def tables() -> Iterator[Table]:
    """One row for each network."""
    table = Table(title=f"{SAMPLES} samples of {1 + 3 * RINGS * (RINGS + 1)} points")
    for heading in ("network", "parameters", "s per step", "samples / s", "ratio"):
        table.add_column(heading, justify="left" if heading == "network" else "right")
    theirs = _theirs()
    size = _parameters(theirs)
    steps: dict[str, Callable[[], None]] = {"GINO (neuraloperator)": _step(*_peer())}
    sizes = {"GINO (neuraloperator)": size}
    for name, (least, most) in WIDTHS.items():
        network = _as_large(name, size, least, most)
        sizes[name] = _parameters(network)
        steps[name] = _step(network, _ours(network))
    for name, width in OWN.items():
        network, title = _made(name, width), f"{name}, its own size"
        sizes[title] = _parameters(network)
        steps[title] = _step(network, _ours(network))
    found = _alternating(steps)
    base = found["GINO (neuraloperator)"]
    for name, seconds in found.items():
        row = [f"{seconds:.3f}", f"{SAMPLES / seconds:.1f}", f"{base / seconds:.1f}"]
        table.add_row(name, f"{sizes[name]:,}", *row)
    yield table


def _meshes() -> list[Discretization]:
    """Disks of diameter 1 in the unit box, jittered."""
    made = [from_mesh(disk(RINGS, jitter=0.2, seed=seed)) for seed in range(SAMPLES)]
    return [Discretization((d.points + 1) / 2, d.weights / 4) for d in made]


def _field(points: Tensor) -> Tensor:
    return (3 * points).sin().sum(1, keepdim=True).float()


def _theirs() -> nn.Module:
    return gino()(
        in_channels=1,
        out_channels=1,
        gno_coord_dim=2,
        fno_n_modes=(16, 16),
        gno_use_open3d=False,
        gno_use_torch_scatter=False,
    )


def _peer() -> tuple[nn.Module, Callable[[], Tensor]]:
    network = _theirs()
    domain = _meshes()[0].to(torch.float32)
    axis = torch.linspace(0, 1, 32)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)[None]
    places = domain.points[None]
    x = _field(domain.points).expand(SAMPLES, -1, -1)
    return network, lambda: network(places, grid, places, x=x)


def _as_large(name: str, size: int, least: int, most: int) -> nn.Module:
    """The network of the width whose number of parameters is nearest to the size."""
    made = {}
    for width in range(least, most + 1, 8):
        network = _made(name, width)
        made[abs(_parameters(network) - size)] = network
        if _parameters(network) > size:
            break
    return made[min(made)]


def _made(name: str, width: int) -> nn.Module:
    options: dict[str, Any] = {"radius": 3 * SPACING, "width": width}
    if name == "GreenOperator":
        options["linear"] = [0]
    return ARCHITECTURES[name](1, 1, 2, **options)


def _ours(network: Any) -> Callable[[], Tensor]:
    domains = _meshes()
    plans = [network.prepare(d, d).to(torch.float32) for d in domains]
    plan, x = pack_plans(plans), _field(pack(domains).points)
    return lambda: network(x, plan)


def _parameters(network: nn.Module) -> int:
    """Real numbers: a complex one counts as two."""
    return sum(p.numel() * (1 + p.is_complex()) for p in network.parameters())


def _step(network: nn.Module, output: Callable[[], Tensor]) -> Callable[[], None]:
    def step() -> None:
        network.zero_grad()
        output().square().mean().backward()

    return step


def _alternating(steps: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Median seconds of processor time, after one step that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(ROUNDS + 1):
        for name, step in steps.items():
            start = time.process_time()
            step()
            if number:
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(found) for name, found in seconds.items()}
