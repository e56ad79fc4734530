"""Transfers on another device, and no way through the host.

Where there is a GPU it is used, and what operators do to fields is compared. Elsewhere
tensors of the class `Remote` say that they are on `cuda:0`, compute on the CPU, and
refuse what a GPU would refuse or pay for: a tensor of the CPU beside them, a copy to
the CPU, `.numpy()`. That the arithmetic of a GPU gives the same is not shown by this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from isofield import Mesh
from isofield.cells import CELL_TYPES
from isofield.discretization import Discretization
from isofield.generation import box, icosphere, square
from isofield.graph import Graph, knn_graph, radius_graph
from isofield.operators import (
    SparseOperator,
    bounded,
    conservative,
    l2_projection,
    linear,
    majority,
    moving_least_squares,
    nearest,
)
from isofield.operators.closest import closest
from isofield.operators.location import locate
from isofield.operators.supermesh import split

GPU = torch.device("cuda", 0)
REAL = torch.cuda.is_available()


class Remote(Tensor):
    """A tensor that claims to be on `GPU`; `held` is what it holds."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Remote:
        made = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride() if held.layout == torch.strided else None,
            dtype=held.dtype,
            device="meta",
            requires_grad=held.requires_grad,
        )
        made.held = held
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return GPU

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: tuple, kwargs: dict) -> Any:
    """An operation on what the tensors hold, if a GPU would do it."""
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    remote = {id(x.held): x for x in tensors if isinstance(x, Remote)}
    local = [x for x in tensors if not isinstance(x, Remote) and x.ndim]
    device = kwargs.get("device")
    here = device is not None and torch.device(device).type == "cpu"
    if remote and local and func.name() not in ("aten::_to_copy", "aten::copy_"):
        raise RuntimeError(f"{func.name()}: tensors on two devices")
    if remote and here:
        raise RuntimeError(f"{func.name()}: copied to the CPU")
    if device is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    args, kwargs = tree_map(
        lambda x: x.held if isinstance(x, Remote) else x, (args, kwargs)
    )
    result = func(*args, **kwargs)
    if here or (device is None and not remote):
        return result

    def wrapped(x: Any) -> Any:
        if not isinstance(x, Tensor) or isinstance(x, Remote):
            return x
        return remote[id(x)] if id(x) in remote else Remote(x)

    return tree_map(wrapped, result)


class _Operations(TorchDispatchMode):
    """Tensors that are made on `GPU` are `Remote`."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None) -> Any:
        return _run(func, args, kwargs or {})


class _Constructors(TorchFunctionMode):
    """So are those from lists and arrays, which no dispatch mode sees."""

    def __torch_function__(self, func, types, args=(), kwargs=None) -> Any:
        kwargs = kwargs or {}
        if func is Tensor.tolist and isinstance(args[0], Remote):
            return args[0].held.tolist()
        if func is Tensor.new_tensor and isinstance(args[0], Remote):
            return Remote(torch.tensor(args[1], dtype=args[0].dtype))
        device = torch.device(kwargs.get("device") or "cpu")
        if func in (torch.tensor, torch.as_tensor) and device.type != "cpu":
            return Remote(func(*args, **{**kwargs, "device": "cpu"}))
        return func(*args, **kwargs)


@pytest.fixture(autouse=True)
def another_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if REAL:
        yield
        return
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
    with _Constructors(), _Operations():
        yield


def sent(x: Any) -> Any:
    """A tensor, or all that an operator consists of, on the other device."""
    return Remote(x.clone()) if isinstance(x, Tensor) and not REAL else x.to(GPU)


def back(x: Any) -> Any:
    """What tensors hold, in tuples, graphs, discretizations and operators."""
    if isinstance(x, Remote):
        return x.held
    if isinstance(x, Tensor):
        assert x.is_cuda, "a tensor stayed on the CPU"
        return x.cpu()
    if isinstance(x, Graph):
        return back(x.edge_index), back(x.ptr)
    if isinstance(x, Discretization):
        return back(x.points), back(x.weights)
    if isinstance(x, SparseOperator):
        parts = (x.graph, x.values, x.missing, *x.facts.values(), x.source, x.target)
        return tuple(back(part) for part in parts)
    return tuple(back(part) for part in x) if isinstance(x, tuple) else x


def here(x: Any) -> Any:
    """The same parts of what was made on the CPU."""
    if isinstance(x, Graph):
        return x.edge_index, x.ptr
    if isinstance(x, Discretization):
        return x.points, x.weights
    if isinstance(x, SparseOperator):
        parts = (x.graph, x.values, x.missing, *x.facts.values(), x.source, x.target)
        return tuple(here(part) for part in parts)
    return tuple(here(part) for part in x) if isinstance(x, tuple) else x


def assert_same(make: Callable[..., Any], *inputs: Tensor) -> None:
    """What is made there is what is made here; on a GPU by what it does to a field:
    rounding decides which of two cells has a point that both have."""
    if REAL and isinstance(operator := make(*inputs), SparseOperator):
        u = cloud(operator.shape[1], 2, seed=3)
        found, expected = back(make(*(sent(x) for x in inputs))(sent(u))), operator(u)
        torch.testing.assert_close(
            found, expected, rtol=1e-9, atol=1e-9, equal_nan=True
        )
        return
    there = back(make(*(sent(x) for x in inputs)))
    pairs = zip(tree_leaves(there), tree_leaves(here(make(*inputs))), strict=True)
    for a, b in pairs:
        if isinstance(b, Tensor):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13, equal_nan=True)
        else:
            assert a == b


def cloud(count: int, d: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, d, generator=generator, dtype=torch.float64)


@pytest.mark.skipif(REAL, reason="there is a GPU, nothing pretends to be one")
def test_what_a_gpu_refuses_is_refused():
    x = sent(torch.ones(3))
    assert x.device == GPU
    assert float(x.sum()) == 3
    for wrong in (
        lambda: x + torch.ones(3),
        lambda: x[torch.tensor([0])],
        lambda: x.cpu(),
        lambda: x.to("cpu"),
        lambda: torch.zeros_like(x, device="cpu"),
        lambda: x.numpy(),
        lambda: np.asarray(x),
    ):
        with pytest.raises((RuntimeError, TypeError)):
            wrong()


@pytest.mark.parametrize("kind", [k for k, c in CELL_TYPES.items() if c.dimension > 1])
def test_location_in_every_cell_type(kind: str, mesh_of: Callable[..., Mesh]):
    """Points in cells, on facets, at nodes and outside."""
    mesh = mesh_of(kind, 1)
    nodes = torch.tensor(mesh.points)
    inner = 1.2 * cloud(30, mesh.dimension)
    points = torch.cat([inner, nodes[:20], (nodes[:10] + nodes[:1]) / 2])
    assert_same(lambda x: linear(mesh, x, outside="nan"), points)


@pytest.mark.parametrize("dimension", [2, 3])
def test_location_where_cell_types_meet(dimension: int, mixed_mesh):
    mesh = mixed_mesh(dimension)
    points = torch.cat([cloud(80, dimension), torch.tensor(mesh.points)])
    assert_same(lambda x: locate(mesh, x), points)


@pytest.mark.parametrize("outside", ["nearest", "nan"])
def test_linear_transfer_outside(outside: str):
    mesh = square(5, jitter=0.2)
    points = 1.4 * cloud(100, 2) - 0.2
    assert_same(lambda x: linear(mesh, x, outside=outside), points)


def test_surfaces():
    surface, points = icosphere(3), cloud(100, 3)
    assert_same(lambda x: linear(surface, x, outside="nearest"), points)
    domain = split(surface)
    there = closest(domain.to(GPU), sent(points))
    for a, b in zip(there, closest(domain, points), strict=True):
        if not REAL:  # where of two facets at one distance rounding takes one
            torch.testing.assert_close(back(a), b)
    torch.testing.assert_close(
        back(there.distance), closest(domain, points).distance, rtol=1e-12, atol=1e-13
    )


@pytest.mark.parametrize("d", [1, 2, 3])
def test_clouds(d: int):
    source, target = cloud(150, d), 0.1 + 0.8 * cloud(60, d, seed=1)
    assert_same(nearest, source, target)
    assert_same(lambda a, b: knn_graph(a, b, 4), source, target)
    assert_same(lambda a, b: radius_graph(a, b, 0.2), source, target)
    assert_same(
        lambda a, b: moving_least_squares(a, b, degree=2, outside="nearest"),
        source,
        target,
    )


def test_meshes_go_where_the_points_are():
    mesh, points = square(5), 0.1 + 0.8 * cloud(60, 2)
    assert_same(lambda x: nearest(mesh, x), points)
    assert_same(lambda x: nearest(x, mesh, outside="nearest"), cloud(200, 2))


OPERATORS = {
    "nearest": lambda: nearest(square(6), square(4)),
    "linear": lambda: linear(square(6), square(4)),
    "conservative": lambda: conservative(square(6), square(4)),
    "nodal": lambda: conservative(
        box(3), box(2), source_at="points", target_at="points"
    ),
    "l2_projection": lambda: l2_projection(square(6), square(4)),
    "moving_least_squares": lambda: moving_least_squares(square(6), square(4)),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_are_moved_and_applied(name: str):
    """Fields, adjoints, and the derivative in the field."""
    operator = OPERATORS[name]()
    moved = operator.to(GPU)
    for a, b in ((moved, operator), (moved.adjoint(), operator.adjoint())):
        u = cloud(b.shape[1], 3, seed=2).requires_grad_()
        v = sent(u.detach()).requires_grad_()
        torch.testing.assert_close(back(a(v)).detach(), b(u).detach())
        (a(v) ** 2).sum().backward()
        (b(u) ** 2).sum().backward()
        torch.testing.assert_close(back(v.grad), u.grad)


def test_bounds_masks_and_labels():
    operator = conservative(square(6), square(4))
    moved = operator.to(GPU)
    u = cloud(72, 2)
    torch.testing.assert_close(
        back(bounded(moved, sent(u), 0.3, 0.7)), bounded(operator, u, 0.3, 0.7)
    )
    u[3] = torch.nan
    torch.testing.assert_close(
        back(moved(sent(u), masked=True)), operator(u, masked=True)
    )
    labels = torch.arange(72) % 5
    assert torch.equal(back(majority(moved, sent(labels))), majority(operator, labels))
