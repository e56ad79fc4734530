"""One discretized field with its plan, and several of them as a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from isofield.discretization import Discretization, pack, trusted
from isofield.operators import Gradient
from isofield.plan import Plan, pack_plans


class Sample(Data):
    """Points, their weights, input and target channels, and what a model prepared.

    pos : (N, d) scaled points. weights : (N,). x : (N, C_in) and y : (N, C_out),
    normalized. factor : (N, C_out) natural sizes, by which the targets were divided
    before. plan : the model's plan. gradient : of the mesh in scaled coordinates, where
    a loss needs it. normals : (N, d), where the points lie on a surface with two sides.

    Every tensor has one row per point and none holds point numbers, so batching
    concatenates rows and adds nothing to any value.
    """

    def __cat_dim__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Rows are points in every tensor."""
        return 0

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        """No tensor holds point numbers."""
        return 0

    @property
    def domain(self) -> Discretization:
        """The points with their measure, and their normals where there are some."""
        normals = self.normals if "normals" in self else None
        return Discretization(self.pos, self.weights, normals=normals)  # type: ignore[arg-type]


def resident(samples: Sequence[Sample], device: torch.device) -> Sequence[Sample]:
    """The samples in the memory of a GPU, if they take at most half of what is free
    there; else, and on a CPU, the samples as they are.

    Batches of samples that are there already are made there, and no step waits for its
    plan to be sent.
    """
    if device.type != "cuda":
        return samples
    least, moved = _free(device) / 2, []
    for sample in samples:
        parts = {key: part.to(device) for key, part in sample.to_dict().items()}
        moved.append(Sample(**parts))
        if _free(device) < least:
            return samples
    return moved


def _free(device: torch.device) -> int:
    """Bytes that nothing uses, those that torch keeps for later among them."""
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


class Batch(NamedTuple):
    """Samples one after the other: domain.ptr tells where each begins."""

    domain: Discretization
    plan: Plan
    x: Tensor
    y: Tensor
    factor: Tensor
    gradient: Gradient | None = None

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device; itself where it is there already."""
        if self.x.device == torch.empty(0, device=device).device:
            return self
        domain, plan, x, y, factor, gradient = self
        return Batch(
            domain.to(device),
            plan.to(device),
            x.to(device),
            y.to(device),
            factor.to(device),
            gradient and gradient.to(device),
        )


def collate(samples: Sequence[Sample]) -> Batch:
    """Several samples as one batch, block by block.

    Raises `ValueError` where one has no targets, or some have a gradient, others none.
    """
    gradients = [sample.gradient for sample in samples if "gradient" in sample]
    if len(gradients) not in (0, len(samples)):
        raise ValueError(
            f"{len(gradients)} of {len(samples)} samples have a gradient; prepare all "
            "with `with_gradient=True`, or none"
        )
    if not all("y" in sample for sample in samples):
        raise ValueError(
            "a sample has no targets; prepare it with `with_targets=True` from a mesh "
            "that holds them"
        )
    return Batch(
        pack([_trusted(sample) for sample in samples]),
        pack_plans([sample.plan for sample in samples]),
        torch.cat([sample.x for sample in samples]),  # type: ignore[arg-type]
        torch.cat([sample.y for sample in samples]),  # type: ignore[arg-type]
        torch.cat([sample.factor for sample in samples]),  # type: ignore[arg-type]
        pack_plans(gradients) if gradients else None,
    )


def _trusted(sample: Sample) -> Discretization:
    """Its domain, not checked once more for every batch."""
    ptr = torch.tensor([0, len(sample.weights)], device=sample.weights.device)  # type: ignore[union-attr,arg-type]
    normals = sample.normals if "normals" in sample else None
    return trusted(sample.pos, sample.weights, ptr, normals)  # type: ignore[arg-type]
