"""What a layer or model keeps of a geometry between preparing and applying."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self, TypeVar

import torch
from torch import Tensor

from isofield import discretization, graph
from isofield.discretization import Discretization
from isofield.graph import Graph


@dataclass(frozen=True, eq=False)
class Plan:
    """Tensors, graphs and discretizations that depend on the geometry alone.

    A subclass is a frozen dataclass whose fields are tensors with one row per edge,
    point or cell, `Graph`s, `Discretization`s, other plans, tuples or dictionaries of
    these, None, or words. Point numbers live in graphs only, so that packing several
    plans block by block needs no further knowledge: tensors are concatenated, graphs
    shift their numbers themselves, words are the same in all.
    """

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move, and cast what is floating, as `Tensor.to` does."""
        return replace(
            self,
            **{f.name: _to(getattr(self, f.name), args, kwargs) for f in fields(self)},
        )


AnyPlan = TypeVar("AnyPlan", bound=Plan)


def pack_plans(plans: Sequence[AnyPlan]) -> AnyPlan:
    """One plan for several samples, block by block."""
    first = plans[0]
    return replace(
        first,
        **{
            f.name: _pack([getattr(plan, f.name) for plan in plans])
            for f in fields(first)
        },
    )


def _to(value: Any, args: tuple, kwargs: dict) -> Any:
    if isinstance(value, tuple):
        return tuple(_to(item, args, kwargs) for item in value)
    if isinstance(value, dict):
        return {name: _to(item, args, kwargs) for name, item in value.items()}
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Graph):
        return value.to(_device(value.edge_index, args, kwargs))
    if isinstance(value, Tensor) and not value.is_floating_point():
        return value.to(_device(value, args, kwargs))
    return value.to(*args, **kwargs)


def _device(tensor: Tensor, args: tuple, kwargs: dict) -> torch.device:
    """Where `Tensor.to` would put the tensor: where it is, if only a type is named."""
    return torch.empty(0, device=tensor.device).to(*args, **kwargs).device


def _pack(values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, tuple):
        return tuple(_pack(items) for items in zip(*values, strict=True))
    if isinstance(first, dict) and all(v.keys() == first.keys() for v in values):
        return {name: _pack([value[name] for value in values]) for name in first}
    if first is None or isinstance(first, str | dict):
        if any(value != first for value in values):
            raise ValueError(f"plans of different kinds cannot be packed: {values}")
        return first
    if isinstance(first, Tensor):
        return torch.cat(list(values))
    if isinstance(first, Graph):
        return graph.pack(values)
    if isinstance(first, Discretization):
        return discretization.pack(values)
    return pack_plans(values)
