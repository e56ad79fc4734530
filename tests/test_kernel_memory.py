"""What kernel integrals keep for the backward pass, and their sums on the chip."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor

from isofield.discretization import Discretization
from isofield.layers import KernelBasis, KernelIntegral
from isofield.layers.kernel_integral import KernelPlan
from isofield.operators import fused

# hidden widths of the kernel networks of neuraloperator's GINO, in and out
GINO = {"in": [80, 80, 80], "out": [512, 256]}
CHANNELS = 64
ROOT = Path(__file__).parents[1]


def cloud(n: int, seed: int = 0) -> Discretization:
    random = torch.Generator().manual_seed(seed)
    return Discretization(torch.rand(n, 3, generator=random), torch.full((n,), 1 / n))


def kept_bytes(layer: KernelIntegral, plan: KernelPlan, u: Tensor) -> int:
    """Bytes of all storages that are new after the forward pass: those that autograd
    saves, those that closures hold, and the output. The plan, u and the parameters
    exist before."""
    gc.collect()
    before = _storages()
    with torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x):
        v = layer(u, plan)
    new = {place: size for place, size in _storages().items() if place not in before}
    del v
    return sum(new.values())


def _storages() -> dict[int, int]:
    """Address -> bytes of the storages of all tensors that Python knows."""
    alive = [x for x in gc.get_objects() if type(x) in (Tensor, torch.nn.Parameter)]
    kept = [x.untyped_storage() for x in alive if x.layout == torch.strided]
    return {storage.data_ptr(): storage.nbytes() for storage in kept}


@pytest.mark.parametrize("form", ["diagonal", "low_rank"])
@pytest.mark.parametrize("end", GINO)
def test_at_most_200_bytes_per_pair_are_kept(end: str, form: str, monkeypatch):
    """In pieces as they are by default; in one piece it is all the network holds."""
    source = cloud(200)
    layer = KernelIntegral(
        CHANNELS,
        CHANNELS,
        3,
        0.3,
        kernel=form,  # type: ignore[arg-type]
        hidden=GINO[end],
    )
    plan = layer.prepare(source, source)
    _ = plan.graph.rows, plan.graph.reversed().rows
    edges = plan.graph.n_edges
    monkeypatch.setattr("isofield.layers.kernel_integral.AT_ONCE", 1 << 19)
    u = torch.randn(200, CHANNELS, requires_grad=True)
    assert kept_bytes(layer, plan, u) <= 200 * edges
    layer.chunk = edges
    assert kept_bytes(layer, plan, u) > 4 * 2 * sum(GINO[end]) * edges


@pytest.mark.parametrize("form", ["diagonal", "low_rank"])
def test_gradients_in_pieces_are_those_of_the_whole(form: str, monkeypatch):
    """Float64, first and second order, in the field and in the parameters."""
    monkeypatch.setattr("isofield.layers.kernel_integral.AT_ONCE", 1 << 11)
    source = cloud(30).to(torch.float64)
    layer = KernelIntegral(3, 3, 3, 0.5, kernel=form, hidden=[8, 5]).double()  # type: ignore[arg-type]
    plan = layer.prepare(source, source)
    u = torch.randn(30, 3, dtype=torch.float64, requires_grad=True)
    found = {}
    for chunk in (plan.graph.n_edges, None):
        layer.chunk = chunk
        first = torch.autograd.grad(
            layer(u, plan).sin().sum(), [u, *layer.parameters()], create_graph=True
        )
        squares = sum((x.square().sum() for x in first), u.new_zeros(()))
        second = torch.autograd.grad(squares, [u, *layer.parameters()])
        found[chunk] = [*first, *second]
    for whole, pieces in zip(*found.values(), strict=True):
        assert whole.abs().max() > 0
        assert (pieces - whole).abs().max() <= 1e-12 * whole.abs().max()


def test_shared_functions_in_pieces():
    source = cloud(60)
    basis = KernelBasis(3, 0.4, 4, 8)
    plan = basis.prepare(source, source)
    whole = basis(plan).detach()
    basis.chunk = 100
    assert plan.graph.n_edges > 200
    assert torch.allclose(basis(plan), whole, atol=1e-6 * float(whole.abs().max()))


# --- sums in one kernel -------------------------------------------------------------


def diagonal(hidden: list[int], channels: int) -> tuple[KernelIntegral, KernelPlan]:
    """A layer to targets of more than two programs, with more pairs than the smaller
    tiles hold at one time; some have no neighbours."""
    random = torch.Generator().manual_seed(1)
    points = 1.5 * torch.rand(37, 3, generator=random)
    target = Discretization(points, torch.ones(37))
    layer = KernelIntegral(channels, channels, 3, 0.4, kernel="diagonal", hidden=hidden)
    plan = layer.prepare(cloud(40), target)
    degree = plan.graph.degree()
    assert degree.min() == 0
    assert degree.max() > 1
    return layer, plan


def test_a_cpu_takes_the_plain_sum():
    layer, plan = diagonal([6, 5], 3)
    assert not fused.fits(layer.network, torch.ones(40, 3), plan.offset, plan.weight)


CODE = """
import torch
from isofield.operators import fused
from tests.test_kernel_memory import diagonal

torch.manual_seed(0)
known = fused.TILES
for hidden, channels in (([70, 20], 5), ([16, 300], 18)):
    layer, plan = diagonal(hidden, channels)
    assert plan.graph.ptr[16] > min(tiles.pairs for tiles in known)
    u = torch.randn(40, channels)
    plain = layer(u, plan)
    for tiles in known:
        fused.TILES = (tiles,)
        parts = (layer.network, u, plan.offset, plan.weight, plan.graph)
        sums = fused.network_sums(*parts)
        print(float((sums - plain).abs().max() / plain.abs().max()))
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
def test_a_chip_that_holds_less_takes_smaller_tiles(monkeypatch):
    from triton.runtime.errors import OutOfResources

    def taken(pairs):
        def launched(tiles, n_targets, tensors):
            if tiles.pairs > pairs:
                raise OutOfResources(2, 1, "shared memory")
            return tiles

        monkeypatch.setattr(fused, "_in_tiles", launched)
        return fused._in_largest(fused.TILES, 1, [])

    assert [taken(tiles.pairs) for tiles in fused.TILES] == list(fused.TILES)
    with pytest.raises(OutOfResources):
        taken(16)


@pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
def test_sums_in_one_kernel_are_the_plain_sums():
    """triton's interpreter runs the kernel on the CPU; float32, so 1e-5."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    found = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": path},
    )
    assert not found.returncode, found.stderr
    differences = [float(line) for line in found.stdout.split()]
    assert len(differences) == 2 * len(fused.TILES)
    assert max(differences) <= 1e-5
