"""Sums over pairs whose weights a network gives, in one kernel on a GPU.

triton comes with torch for CUDA. It is imported where the first sum is made, and
nothing here is needed elsewhere: the plain sum in pieces does the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, cast

import torch
from torch import Tensor, nn

from isofield.graph import Graph

# pairs and hidden units that a program holds at one time
PAIRS, PART = 16, 64
Plain = Callable[[Tensor, Tensor, Tensor], Tensor]


def fits(network: nn.Module, *tensors: Tensor) -> bool:
    """Whether `network_sums` takes them: two hidden layers with GELU and nothing else,
    in float32, on a GPU, outside of autocast, and triton is there."""
    kinds = [nn.Linear, nn.GELU, nn.Linear, nn.GELU, nn.Linear]
    layers = list(network.children())
    return (
        all(x.is_cuda and x.dtype == torch.float32 for x in tensors)
        and not torch.is_autocast_enabled("cuda")
        and find_spec("triton") is not None
        and isinstance(network, nn.Sequential)
        and [type(layer) for layer in layers] == kinds
        and all(layer.approximate == "none" for layer in layers[1:4:2])
        and all(x.dtype == torch.float32 for x in network.parameters())
    )


def network_sums(
    network: nn.Sequential,
    u: Tensor,
    offset: Tensor,
    weight: Tensor,
    graph: Graph,
    plain: Plain,
) -> Tensor:
    """`v_i = sum_j weight_ij kappa(offset_ij) * u_j`, channel by channel.

    network : kappa, see `fits`. u : (N, C). offset : (E, d). weight : (E,). plain : the
    same sum of u, offset and weight, which the backward pass makes again and
    differentiates, to any order. Keeps its arguments and nothing else. Returns (M, C).
    """
    parameters = tuple(network.parameters())
    sums = _NetworkSums.apply(plain, network, graph, u, offset, weight, *parameters)
    return cast(Tensor, sums)


class _NetworkSums(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, plain, network, graph, u, offset, weight, *parameters
    ) -> Tensor:
        ctx.save_for_backward(u, offset, weight, *parameters)
        ctx.plain = plain
        return _launched(graph, u, offset, weight, parameters)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple:
        wanted, tensors = ctx.needs_input_grad[3:], ctx.saved_tensors
        again = torch.is_grad_enabled()
        fields = tensors[:3]
        if not again:
            fields = [
                x.detach().requires_grad_(needed)
                for x, needed in zip(fields, wanted[:3], strict=True)
            ]
        with torch.enable_grad():
            v = ctx.plain(*fields)
        inputs = [
            x
            for x, needed in zip((*fields, *tensors[3:]), wanted, strict=True)
            if needed
        ]
        found = iter(torch.autograd.grad(v, inputs, *gradients, create_graph=again))
        return None, None, None, *(next(found) if each else None for each in wanted)


def _launched(
    graph: Graph, u: Tensor, offset: Tensor, weight: Tensor, parameters: Sequence
) -> Tensor:
    from triton import next_power_of_2

    from isofield.operators.fused import kernel

    program: Any = kernel.weighted_sums
    ptr, source = graph.rows
    sums = u.new_empty(graph.n_targets, u.shape[1])
    if not graph.n_targets:
        return sums
    tensors = [x.contiguous() for x in (u, offset, weight, ptr, source, *parameters)]
    reduced = torch.backends.cuda.matmul.allow_tf32
    program[(graph.n_targets,)](
        sums,
        *tensors,
        C=u.shape[1],
        D=offset.shape[1],
        H1=len(parameters[0]),
        H2=len(parameters[2]),
        PAIRS=PAIRS,
        PART=min(PART, max(16, next_power_of_2(len(parameters[0])))),
        CHANNELS=max(16, next_power_of_2(u.shape[1])),
        PRECISION="tf32" if reduced else "ieee",
    )
    return sums
