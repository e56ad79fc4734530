"""Sparse operators with many values per entry: products, geometry, laws, files."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from isofield.graph import Graph, radius_graph
from isofield.operators import compiled
from isofield.operators.basis_product import basis_product

# --- the product --------------------------------------------------------------------


@pytest.fixture(params=["torch", "numba"])
def engine(request, monkeypatch):
    """Sparse products of PyTorch, and those of numba whatever the size."""
    worth = math.inf if request.param == "torch" else 0
    monkeypatch.setattr(compiled, "WORTH", worth)
    return request.param


def random_graph(n: int = 9, m: int = 7) -> Graph:
    """Random edges; the first target and the last source have none."""
    mask = torch.rand(m, n, generator=torch.Generator().manual_seed(0)) < 0.4
    mask[0], mask[:, -1] = False, False
    target, source = mask.nonzero(as_tuple=True)
    return Graph(torch.stack([source, target]), n, m)


def inputs(graph: Graph, size: int, channels: tuple[int, int], of: int) -> list[Tensor]:
    """u, phi with `of` columns and mixing of `size` functions."""
    random = torch.Generator().manual_seed(2)
    shapes = [(graph.n_sources, channels[0]), (graph.n_edges, of), (size, *channels)]
    return [
        torch.randn(shape, generator=random, dtype=torch.float64) for shape in shapes
    ]


def dense(graph: Graph, values: Tensor) -> Tensor:
    """(B, M, N) the matrices of values (E, B)."""
    matrices = values.new_zeros(values.shape[1], graph.n_targets, graph.n_sources)
    matrices[:, graph.target, graph.source] = values.t()
    return matrices


CHANNELS = [(4, 2), (2, 4), (1, 5), (3, 3)]


@pytest.mark.parametrize("functions", [None, (3, 1)])
@pytest.mark.parametrize("channels", CHANNELS)
def test_product_is_its_formula(engine, channels, functions):
    graph = random_graph()
    u, phi, mixing = inputs(graph, 4 if functions is None else 2, channels, 4)
    matrices = dense(graph, phi if functions is None else phi[:, functions])
    expected = torch.einsum("bmn,nc,bcd->md", matrices, u, mixing)
    found = basis_product(u, phi, mixing, graph, functions)
    assert (found - expected).abs().max() < 1e-13
    assert torch.equal(found[0], torch.zeros(channels[1]).double())
    single = basis_product(u, phi.float(), mixing, graph, functions)
    assert single.dtype == torch.float32
    assert (single - expected).abs().max() < 1e-5


@pytest.mark.parametrize("channels", CHANNELS)
def test_product_has_the_gradients_of_its_formula(engine, channels):
    graph = random_graph(5, 4)
    tensors = [tensor.requires_grad_() for tensor in inputs(graph, 2, channels, 4)]
    product = partial(basis_product, graph=graph, functions=(3, 1))
    assert torch.autograd.gradcheck(product, tensors)
    assert torch.autograd.gradgradcheck(product, tensors, fast_mode=True)


@pytest.mark.parametrize("needed", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0)])
@pytest.mark.parametrize("channels", [(3, 2), (1, 5)])
def test_only_wanted_gradients_are_made(channels, needed):
    graph = random_graph()
    tensors = inputs(graph, 4, channels, 4)
    for tensor, wanted in zip(tensors, needed, strict=True):
        tensor.requires_grad_(bool(wanted))
    product = partial(basis_product, graph=graph)
    assert torch.autograd.gradcheck(product, tensors, fast_mode=True)
    product(*tensors).sum().backward()
    assert [tensor.grad is not None for tensor in tensors] == [bool(n) for n in needed]


def test_both_engines_agree_in_float32_on_many_runs_and_threads(monkeypatch):
    """Rounding of sums over 40 neighbours and 8 x 5 products: 1e-6."""
    random = torch.Generator().manual_seed(0)
    points = torch.rand(3000, 2, generator=random)
    graph = radius_graph(points, points, 0.065)
    phi = torch.randn(graph.n_edges, 8, generator=random)
    found = []
    threads = torch.get_num_threads()
    for worth, count in ((math.inf, 1), (0, 1), (0, 3)):
        monkeypatch.setattr(compiled, "WORTH", worth)
        torch.set_num_threads(count)
        u = torch.randn(3000, 5, generator=torch.Generator().manual_seed(1))
        tensors = [u, phi, torch.ones(8, 5, 6)]
        tensors = [tensor.detach().requires_grad_() for tensor in tensors]
        v = basis_product(*tensors, graph)
        found.append([v, *torch.autograd.grad(v.square().sum(), tensors)])
    torch.set_num_threads(threads)
    for other in found[1:]:
        for x, y in zip(found[0], other, strict=True):
            assert (x - y).abs().max() < 1e-6 * x.abs().max()


def test_memory_of_the_product_is_its_arguments():
    graph = random_graph()
    u, phi, mixing = inputs(graph, 4, (3, 5), 4)
    u.requires_grad_()
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda x: saved.append(x.data_ptr()) or x, lambda x: x
    ):
        basis_product(u, phi, mixing, graph)
    assert set(saved) == {x.data_ptr() for x in (u, phi, mixing)}
