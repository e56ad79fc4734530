"""What a GPU computes is what a CPU computes: layers, models, sums, training."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from isofield.data import collate
from isofield.data.sample import resident
from isofield.discretization import pack
from isofield.layers import KernelIntegral
from isofield.layers.kernel_integral import KernelPlan
from isofield.operators import fused
from isofield.plan import pack_plans
from isofield.testing.registry import BASELINES, REGISTRY, Entry
from isofield.testing.shapes import Shape, body, waves
from tests.test_kernel_memory import cloud

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="there is no CUDA device"
)
ENTRIES = [
    (entry, dimension)
    for entry in (*REGISTRY.values(), *BASELINES.values())
    for dimension in entry.dimensions
]
SIZES: dict[Shape, int] = {1: 24, 2: 8, 3: 4, "sphere": 7, "surface": 8}


def apart(found: Tensor, expected: Tensor) -> float:
    """The root mean square of the difference, relative to that of what is expected."""
    return float((found.cpu() - expected).norm() / expected.norm().clamp(min=1e-30))


def applied(
    entry: Entry, dimension: Shape, dtype: torch.dtype, device: str
) -> tuple[Tensor, list[Tensor]]:
    """The output for a batch of two meshes, and gradients in the field and weights."""
    operator = entry.operator(dimension, dtype)
    n = SIZES[dimension]
    sources = [body(dimension, n, 2.0, dtype), body(dimension, n + 1, 1.0, dtype)]
    plan = pack_plans([operator.prepare(source, source) for source in sources])
    u = waves(entry.channels)(pack(sources).points).to(device).requires_grad_()
    v = operator.to(device)(u, plan.to(device))
    if not v.requires_grad:  # it tells of the shape alone
        return v.cpu(), []
    wanted = [u, *(p for p in operator.parameters() if p.requires_grad)]
    found = torch.autograd.grad(v.square().sum(), wanted, allow_unused=True)
    return v.detach().cpu(), [x.cpu() for x in found if x is not None]


@pytest.mark.parametrize(
    ("entry", "dimension"),
    ENTRIES,
    ids=[f"{entry.name} {dimension}" for entry, dimension in ENTRIES],
)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-3)]
)
def test_layers_and_models(
    entry: Entry, dimension: Shape, dtype: torch.dtype, tolerance: float
) -> None:
    """Of a packed batch; gradients relative to the largest of all of them."""
    expected, slopes = applied(entry, dimension, dtype, "cpu")
    found, others = applied(entry, dimension, dtype, "cuda")
    assert apart(found, expected) <= tolerance
    largest = max((float(slope.norm()) for slope in slopes), default=0.0)
    for other, slope in zip(others, slopes, strict=True):
        assert float((other - slope).norm()) <= tolerance * largest


# --- sums in one kernel -------------------------------------------------------------


def problem(
    hidden: list[int], channels: int
) -> tuple[KernelIntegral, KernelPlan, Tensor]:
    """A layer with a kernel of that network, pairs whose numbers differ, a field."""
    torch.manual_seed(0)
    layer = KernelIntegral(channels, channels, 3, 0.2, kernel="diagonal", hidden=hidden)
    target = cloud(500, seed=1)
    target = replace(target, points=1.3 * target.points)  # some have no neighbours
    plan = layer.prepare(cloud(3000), target)
    assert plan.graph.degree().min() == 0
    return layer, plan, torch.randn(3000, channels)


@pytest.mark.parametrize("hidden", [[32, 32], [512, 256], [70, 300]])
@pytest.mark.parametrize("channels", [5, 64])
def test_sums_in_one_kernel(hidden: list[int], channels: int) -> None:
    """Against the plain sum in float64 on the CPU; with gradients it is the plain sum,
    to rounding the same."""
    layer, plan, u = problem(hidden, channels)
    layer.double()
    wanted = layer(u.double(), plan.to(torch.float64)).detach()
    layer.float().cuda()
    plan, u = plan.to("cuda"), u.cuda()
    assert not fused.fits(layer.network, u, plan.offset, plan.weight)
    plain = layer(u, plan)
    with torch.no_grad():
        assert fused.fits(layer.network, u, plan.offset, plan.weight)
        found = layer(u, plan)
    assert found.grad_fn is None
    for v in (plain.detach(), found):
        assert apart(v.double(), wanted) <= 2e-6


def test_sums_in_one_kernel_take_no_more_than_their_output() -> None:
    """The network of 21,000 pairs alone would take 65 MB."""
    layer, plan, u = problem([512, 256], 64)
    layer, plan, u = layer.cuda(), plan.to("cuda"), u.cuda()
    _ = plan.graph.rows
    with torch.no_grad():
        layer(u, plan)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        v = layer(u, plan)
    taken = torch.cuda.max_memory_allocated() - before
    assert taken <= v.nbytes + 4096


# --- training -----------------------------------------------------------------------


def test_samples_stay_where_a_gpu_has_no_room_for_them(blobs, tiny, monkeypatch):
    model = tiny(blobs[:3])
    samples = [model.sample(case) for case in blobs[:3]]
    left = iter([100, 60, 40])  # before, after the first, after the second
    monkeypatch.setattr("isofield.data.sample._free", lambda device: next(left))
    assert resident(samples, torch.device("cuda")) is samples


def test_samples_that_live_on_a_gpu_make_the_same_batches(blobs, tiny) -> None:
    model = tiny(blobs[:3])
    samples = [model.sample(case) for case in blobs[:3]]
    there = resident(samples, torch.device("cuda"))
    assert all(sample.x.is_cuda for sample in there)
    one, other = collate(there), collate(samples)
    assert torch.equal(one.x.cpu(), other.x)
    assert torch.equal(one.domain.weights.cpu(), other.domain.weights)
    u = other.x
    network = model.network.eval()
    with torch.no_grad():
        expected = network(u, other.plan)
        found = network.cuda()(u.cuda(), one.plan)
    assert apart(found, expected) <= 1e-4
