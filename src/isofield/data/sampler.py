"""Batches of meshes of mixed resolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def node_batches(
    sizes: Sequence[int], budget: int, seed: int | None = None
) -> list[list[int]]:
    """Samples in random order, cut where the next one would exceed a budget of nodes.

    Every sample occurs once, alone where it is larger than the budget. Coarse meshes
    share a batch with many others, fine ones with few, so that memory and time per
    step stay level over mixed resolutions.

    sizes : node counts. budget : nodes per batch. seed : of the order; the given order
    where it is None.
    """
    if budget <= 0:
        raise ValueError(f"budget: expected a positive number of nodes, got {budget}")
    order = range(len(sizes))
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(sizes), generator=generator).tolist()
    batches: list[list[int]] = []
    filled = budget
    for index in order:
        if filled + sizes[index] > budget:
            batches.append([])
            filled = 0
        batches[-1].append(index)
        filled += sizes[index]
    return batches
