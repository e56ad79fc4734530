"""Sums over pairs whose weights a network gives, in one kernel on a GPU.

triton comes with torch for CUDA. It is imported where the first sum is made, and
nothing here is needed elsewhere: the plain sum in pieces does the same.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.forward_ad import unpack_dual

from isofield.graph import Graph


class Tiles(NamedTuple):
    """What a program holds: targets, pairs at one time, and hidden units of the first
    and of the second layer at most; warps : of 32 threads, that work on it."""

    targets: int
    pairs: int
    first: int
    second: int
    warps: int


# the fastest of 15 on an H100, then smaller ones for chips that hold less
TILES = (Tiles(16, 128, 64, 128, 8), Tiles(16, 64, 32, 64, 4), Tiles(16, 32, 16, 32, 4))
CHANNELS = 256  # that the last ones hold on any chip


def fits(network: nn.Module, *tensors: Tensor) -> bool:
    """Whether `network_sums` takes them: two hidden layers with GELU and nothing else,
    at most `CHANNELS` outputs, in float32, on a GPU, outside of autocast, where no
    derivative is asked for, and triton is there."""
    kinds = [nn.Linear, nn.GELU, nn.Linear, nn.GELU, nn.Linear]
    layers, weights = list(network.children()), list(network.parameters())
    asked = any(x.requires_grad for x in (*tensors, *weights))
    tangents = [unpack_dual(x).tangent for x in (*tensors, *weights)]
    return (
        all(x.is_cuda and x.dtype == torch.float32 for x in (*tensors, *weights))
        and not (torch.is_grad_enabled() and asked)
        and all(tangent is None for tangent in tangents)
        and not torch.is_autocast_enabled("cuda")
        and find_spec("triton") is not None
        and isinstance(network, nn.Sequential)
        and [type(layer) for layer in layers] == kinds
        and all(layer.approximate == "none" for layer in layers[1:4:2])
        and tensors[0].shape[1] <= CHANNELS
    )


def network_sums(
    network: nn.Sequential, u: Tensor, offset: Tensor, weight: Tensor, graph: Graph
) -> Tensor:
    """`v_i = sum_j weight_ij kappa(offset_ij) * u_j`, channel by channel.

    network : kappa, see `fits`. u : (N, C). offset : (E, d). weight : (E,). Nothing of
    the size of E is made. What is no number in one sum is none in those of its tile,
    which may be another sample's. Returns (M, C), without gradients: with them a step
    in pieces takes less time than one that makes the pieces again for the backward pass
    (25 and 31 ms for the widths of GINO, 574,000 pairs, H200).
    """
    tensors = (u, offset, weight, *graph.rows, graph.target, *network.parameters())
    return _in_largest(TILES, graph.n_targets, [x.contiguous() for x in tensors])


def _in_largest(
    tiles: Sequence[Tiles], n_targets: int, tensors: Sequence[Tensor]
) -> Tensor:
    """In the first tiles that the chip holds; what is compiled is remembered."""
    from triton.runtime.errors import OutOfResources

    try:
        return _in_tiles(tiles[0], n_targets, tensors)
    except OutOfResources:
        if len(tiles) == 1:
            raise
        return _in_largest(tiles[1:], n_targets, tensors)


def _in_tiles(tiles: Tiles, n_targets: int, tensors: Sequence[Tensor]) -> Tensor:
    from triton import cdiv

    from isofield.operators.fused import kernel

    u, offset, _, _, _, _, first, _, second, *_ = tensors
    program: Any = kernel.weighted_sums
    sums = u.new_empty(n_targets, u.shape[1])
    if not n_targets:
        return sums
    program[(cdiv(n_targets, tiles.targets),)](
        sums,
        *tensors,
        n_targets,
        C=u.shape[1],
        D=offset.shape[1],
        H1=len(first),
        H2=len(second),
        TARGETS=tiles.targets,
        PAIRS=tiles.pairs,
        PART_1=_part(len(first), tiles.first),
        PART_2=_part(len(second), tiles.second),
        CHANNELS=_part(u.shape[1]),
        PRECISION=_precision(u.device),
        num_warps=tiles.warps,
    )
    return sums


def _part(size: int, most: int | None = None) -> int:
    """The power of 2 that holds `size`, at least 16 as products of tiles must be."""
    return min(max(16, 1 << (size - 1).bit_length()), most or sys.maxsize)


def _precision(device: torch.device) -> str:
    """Of products: as torch is told; three products in tf32 have the digits of one in
    float32, and the chip's matrix units do them."""
    if torch.backends.cuda.matmul.allow_tf32:
        return "tf32"
    known = device.type == "cuda" and torch.version.hip is None
    if known and torch.cuda.get_device_capability(device) >= (8, 0):
        return "tf32x3"
    return "ieee"
