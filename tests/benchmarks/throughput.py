"""Samples a second in training: networks of as many parameters, on 2,000 points.

The others' GINO has the settings of its package, radius too, but for what the plane
asks for: a latent grid of 32² and 16 modes along two axes; and once more a narrow one,
of about the size that ours have by themselves. Its batches are of one mesh: it takes
eight samples on one mesh together, and on eight meshes in turn. Ours are on eight. They
have their default radius, three spacings of the coarsest mesh where 200 points are
that, and once the three spacings of these meshes; and where they are to be large, once
as many waves as their base resolves or a matrix for each wave, as GINO has, in place of
more channels, and with the waves fewer channels hidden in the last network. Seconds of
processor time, or where there is a GPU as the clock goes.
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

RINGS, SAMPLES, ROUNDS = 25, 8, 15
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SPACING = 0.5 / RINGS  # of a disk of diameter 1
FINE = {"radius": 3 * SPACING}
OURS: dict[str, tuple[str, dict[str, Any]]] = {
    "FourierOperator": ("FourierOperator", {}),
    "FourierOperator, 10 modes": ("FourierOperator", {"modes": 10}),
    "FourierOperator, 10 modes, 28 hidden": (
        "FourierOperator",
        {"modes": 10, "hidden": 28},
    ),
    "FourierOperator, base as fine as the mesh": ("FourierOperator", FINE),
    "GreenOperator": ("GreenOperator", {}),
    "GreenOperator, full kernels": ("GreenOperator", {"kernel": "full"}),
    "GreenOperator, base as fine as the mesh": ("GreenOperator", FINE),
}
LEAST, MOST = 12, 256  # widths that are tried
NARROW: dict[str, Any] = {
    "fno_n_modes": (8, 8),
    "fno_hidden_channels": 16,
    "out_gno_channel_mlp_hidden_layers": [128, 64],
}


def tables() -> Iterator[Table]:
    """A table for each size of GINO, a row for each network."""
    for title, options in (("GINO", {}), ("GINO, narrow", NARROW)):
        theirs = _theirs(**options)
        size = _parameters(theirs)
        sizes, steps = {}, {}
        for meshes in (1, SAMPLES):
            name = f"{title}, {meshes} mesh{'es' if meshes > 1 else ''}"
            sizes[name], steps[name] = size, _step(theirs, _peer(theirs, meshes))
        for name, (architecture, given) in OURS.items():
            network = _as_large(architecture, size, given)
            sizes[name] = _parameters(network)
            steps[name] = _step(network, _ours(network))
        yield _table(sizes, _alternating(steps))


def _table(sizes: dict[str, int], seconds: dict[str, float]) -> Table:
    """With the ratio to both rows of GINO, which come first."""
    one, eight = list(seconds.values())[:2]
    table = Table(title=f"{SAMPLES} samples of {1 + 3 * RINGS * (RINGS + 1)} points")
    table.add_column("network")
    for heading in ("parameters", "s per step", "samples / s", *list(seconds)[:2]):
        table.add_column(heading, justify="right")
    for name, spent in seconds.items():
        row = [f"{spent:.4f}", f"{SAMPLES / spent:.1f}"]
        row += [f"{one / spent:.1f}", f"{eight / spent:.1f}"]
        table.add_row(name, f"{sizes[name]:,}", *row)
    return table


def _meshes() -> list[Discretization]:
    """Disks of diameter 1 in the unit box, jittered."""
    made = [from_mesh(disk(RINGS, jitter=0.2, seed=seed)) for seed in range(SAMPLES)]
    return [Discretization((d.points + 1) / 2, d.weights / 4) for d in made]


def _field(points: Tensor) -> Tensor:
    return (3 * points).sin().sum(1, keepdim=True).float()


def _theirs(**options: Any) -> nn.Module:
    return gino()(
        **{"fno_n_modes": (16, 16), **options},
        in_channels=1,
        out_channels=1,
        gno_coord_dim=2,
        gno_use_open3d=False,
        gno_use_torch_scatter=False,
    )


def _peer(network: nn.Module, meshes: int) -> Callable[[], Tensor]:
    """Its output for so many samples on each mesh that they are `SAMPLES`."""
    network = network.to(DEVICE)
    places = [d.points[None].to(DEVICE, torch.float32) for d in _meshes()[:meshes]]
    axis = torch.linspace(0, 1, 32, device=DEVICE)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)[None]
    each = SAMPLES // meshes
    fields = [_field(points[0]).expand(each, -1, -1) for points in places]
    batches = list(zip(places, fields, strict=True))
    return lambda: torch.cat(
        [network(points, grid, points, x=x).flatten() for points, x in batches]
    )


def _as_large(name: str, size: int, given: dict[str, Any]) -> nn.Module:
    """The network of the width whose number of parameters is nearest to the size."""
    made = {}
    for width in range(LEAST, MOST + 1, 4):
        network = _made(name, width, given)
        made[abs(_parameters(network) - size)] = network
        if _parameters(network) > size:
            break
    return made[min(made)]


def _made(name: str, width: int, given: dict[str, Any]) -> nn.Module:
    options: dict[str, Any] = {"width": width, **given}
    if name == "GreenOperator":
        options |= {"linear": [0], "context": width}
    return ARCHITECTURES[name](1, 1, 2, **options)


def _ours(network: Any) -> Callable[[], Tensor]:
    domains = _meshes()
    plans = [network.prepare(d, d).to(torch.float32) for d in domains]
    network = network.to(DEVICE)
    plan, x = pack_plans(plans).to(DEVICE), _field(pack(domains).points).to(DEVICE)
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
    """Median seconds, after one step that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(ROUNDS + 1):
        for name, step in steps.items():
            start = _clock()
            step()
            if number:
                seconds[name].append(_clock() - start)
    return {name: statistics.median(found) for name, found in seconds.items()}


def _clock() -> float:
    """Seconds, of a GPU once all that it was given is done."""
    if DEVICE == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()
