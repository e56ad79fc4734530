"""Batch, then unbatch, is the identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from isofield import discretization, graph
from isofield.discretization import Discretization
from isofield.graph import Graph

if TYPE_CHECKING:
    from isofield.data import Sample


def assert_unpacks(packed: Any, parts: Sequence[Any], where: str = "batch") -> None:
    """Cutting `packed` at its samples gives `parts` back, bit for bit.

    Discretizations, graphs, plans, tuples of these, and tensors with a row per edge,
    point or cell. Every field of a dataclass is visited, so that a new one is too.
    """
    first = parts[0]
    if isinstance(first, Tensor):
        bounds = [0, *accumulate(len(part) for part in parts)]
        _require_same(len(packed), bounds[-1], f"{where}: rows")
        for (a, b), part in zip(pairwise(bounds), parts, strict=True):
            _require_same(packed[a:b], part, where)
    elif isinstance(first, Graph):
        source_ptr = torch.tensor([0, *accumulate(g.n_sources for g in parts)])
        target_ptr = torch.tensor([0, *accumulate(g.n_targets for g in parts)])
        try:
            unpacked = graph.unpack(packed, source_ptr, target_ptr)
        except ValueError as error:
            raise AssertionError(
                f"{where}: edges cross the bounds of the samples: {error}"
            ) from error
        _require_fields(unpacked, parts, where)
    elif isinstance(first, Discretization):
        if all(part.n_samples == 1 for part in parts):
            _require_fields(discretization.unpack(packed), parts, where)
    elif isinstance(first, tuple):
        for i, whole in enumerate(packed):
            assert_unpacks(whole, [part[i] for part in parts], f"{where}[{i}]")
    elif isinstance(first, dict):
        for name, whole in packed.items():
            assert_unpacks(whole, [part[name] for part in parts], f"{where}[{name!r}]")
    elif first is None or isinstance(first, str):
        for part in parts:
            _require_same(packed, part, where)
    elif is_dataclass(first):
        for name in (f.name for f in fields(first)):
            values = [getattr(part, name) for part in parts]
            assert_unpacks(getattr(packed, name), values, f"{where}.{name}")
    else:
        raise AssertionError(
            f"{where}: {type(first).__name__} is nothing that a batch can hold; "
            "expected tensors, graphs, discretizations, plans, tuples or dictionaries "
            "of these, words or None"
        )


def assert_samples_unpack(samples: Sequence[Sample]) -> None:
    """`collate` keeps every attribute of every sample, bit for bit."""
    from isofield.data import collate

    batch = collate(samples)
    assert_unpacks(batch.domain, [sample.domain for sample in samples], "domain")
    domain = batch.domain
    found = {"pos": domain.points, "weights": domain.weights, "normals": domain.normals}
    for name in samples[0].to_dict():
        whole = found[name] if name in found else getattr(batch, name, None)
        if whole is None:
            raise AssertionError(f"batching of samples loses the attribute {name!r}")
        assert_unpacks(whole, [getattr(sample, name) for sample in samples], name)


def _require_fields(found: Sequence[Any], parts: Sequence[Any], where: str) -> None:
    _require_same(len(found), len(parts), f"{where}: samples")
    for back, part in zip(found, parts, strict=True):
        for name in (f.name for f in fields(part)):
            _require_same(getattr(back, name), getattr(part, name), f"{where}.{name}")


def _require_same(found: Any, expected: Any, where: str) -> None:
    if not isinstance(expected, Tensor):
        if found != expected:
            raise AssertionError(f"{where}: expected {expected!r}, got {found!r}")
        return
    if found.dtype != expected.dtype or found.shape != expected.shape:
        raise AssertionError(
            f"{where}: expected {tuple(expected.shape)} {expected.dtype}, got "
            f"{tuple(found.shape)} {found.dtype}"
        )
    wrong = (found != expected).nonzero()
    if len(wrong):
        first = tuple(wrong[0].tolist())
        raise AssertionError(
            f"{where}: batch, then unbatch, changes {len(wrong)} of "
            f"{expected.numel()} numbers, the first at {first}: expected "
            f"{expected[first].item()!r}, got {found[first].item()!r}"
        )
