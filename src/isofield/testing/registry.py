"""Every layer and model with what it promises, and the laws that hold it to that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch

from isofield.layers import moments, norm, pooling
from isofield.layers.kernel_integral import KernelIntegral
from isofield.layers.operator import Operator
from isofield.layers.resample import Resample
from isofield.models import GNO
from isofield.testing.adapters import Moments, Normed, PooledAndBack
from isofield.testing.assertions import (
    assert_batching,
    assert_families_agree,
    assert_node_splitting,
    assert_permutation,
    assert_rigid_motion,
    assert_same_weights,
)
from isofield.testing.shapes import body, families, probes, waves

Motion = Literal["none", "translation", "rigid"]


@dataclass(frozen=True)
class Entry:
    """A layer or model and its promises.

    name : for people. build : dimension d -> the operator, with fresh random weights.
    channels : C_in. covers : the classes and functions that stand or fall with it.
    rate : of the two families, at least 1. own_points : it answers at the points of its
    source alone. motion : which motions of the body leave its output unchanged.
    dimensions : where it exists.
    """

    name: str
    build: Callable[[int], Operator]
    channels: int
    covers: tuple[Any, ...]
    rate: float = 1.0
    own_points: bool = False
    motion: Motion = "none"
    dimensions: tuple[int, ...] = (1, 2, 3)

    def operator(
        self, dimension: int, dtype: torch.dtype = torch.float64, seed: int = 0
    ) -> Operator:
        """The operator with the weights of this seed, ready to be applied."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.build(dimension).to(dtype).eval()


REGISTRY: dict[str, Entry] = {}


def register(name: str, build: Callable[[int], Operator], **promises: Any) -> Entry:
    """Adds an `Entry` to the registry. Raises `ValueError` where the name is taken."""
    if name in REGISTRY:
        raise ValueError(f"{name!r} is registered already")
    REGISTRY[name] = Entry(name, build, **promises)
    return REGISTRY[name]


def check(
    entry: Entry, dimension: int, dtype: torch.dtype = torch.float64, law: str = "all"
) -> None:
    """Holds an entry to one law, or to all six, on disks, balls or intervals.

    law : a name in `LAWS`, or "all". Raises `AssertionError` where a law is broken.
    """
    if dimension not in entry.dimensions:
        known = ", ".join(f"{d}-D" for d in entry.dimensions)
        raise ValueError(f"{entry.name} exists in {known}, not in {dimension}-D")
    if law != "all" and law not in LAWS:
        raise ValueError(f"law: expected 'all' or one of {list(LAWS)}, got {law!r}")
    for name, assertion in LAWS.items():
        if law in (name, "all"):
            assertion(entry, dimension, dtype)


def _arguments(entry: Entry, dimension: int, dtype: torch.dtype) -> dict[str, Any]:
    at = None if entry.own_points else probes(dimension, dtype=dtype)
    return {"field": waves(entry.channels), "probes": at}


def _source(dimension: int, dtype: torch.dtype) -> Any:
    return body(dimension, {1: 24, 2: 8, 3: 4}[dimension], 2.0, dtype)


def _sources(dimension: int, dtype: torch.dtype) -> list:
    sizes = {1: (16, 24, 20), 2: (7, 9, 8), 3: (4, 5, 3)}[dimension]
    gradings = (1.0, 2.0, 1.5)
    return [body(dimension, n, g, dtype) for n, g in zip(sizes, gradings, strict=True)]


def _on_one_mesh(
    assertion: Callable, entry: Entry, dimension: int, dtype: torch.dtype
) -> None:
    assertion(
        entry.operator(dimension, dtype),
        _source(dimension, dtype),
        **_arguments(entry, dimension, dtype),
    )


def _families(entry: Entry, dimension: int, dtype: torch.dtype) -> None:
    """In float64 whatever the dtype: below 1e-6, rounding would look like a plateau."""
    assert_families_agree(
        entry.operator(dimension),
        families(dimension),
        waves(entry.channels),
        probes(dimension),
        rate=entry.rate,
        own_points=entry.own_points,
    )


def _batching(entry: Entry, dimension: int, dtype: torch.dtype) -> None:
    assert_batching(
        entry.operator(dimension, dtype),
        _sources(dimension, dtype),
        **_arguments(entry, dimension, dtype),
    )


def _motion(entry: Entry, dimension: int, dtype: torch.dtype) -> None:
    if entry.motion != "none":
        assertion = partial(assert_rigid_motion, rotations=entry.motion == "rigid")
        _on_one_mesh(assertion, entry, dimension, dtype)


def _weights(entry: Entry, dimension: int, dtype: torch.dtype) -> None:
    seeds = iter(range(10))
    assert_same_weights(
        lambda _: entry.operator(dimension, dtype, next(seeds)),
        _sources(dimension, dtype)[:2],
        **_arguments(entry, dimension, dtype),
    )


LAWS: dict[str, Callable[[Entry, int, torch.dtype], None]] = {
    "node splitting": partial(_on_one_mesh, assert_node_splitting),
    "two families": _families,
    "permutation": partial(_on_one_mesh, assert_permutation),
    "batching": _batching,
    "rigid motion": _motion,
    "same weights": _weights,
}

RADIUS = {1: 0.6, 2: 0.6, 3: 0.9}  # of the unit ball; above 3 of its coarsest spacings


def _kernel_integral(dimension: int, **form: Any) -> Operator:
    return KernelIntegral(3, 3, dimension, RADIUS[dimension], hidden=8, rank=4, **form)


def _gno(dimension: int, in_channels: int = 3) -> Operator:
    radius = 2 * RADIUS[dimension]
    return GNO(
        in_channels,
        2,
        dimension,
        radius=radius,
        levels=2,
        width=12,
        blocks=2,
        rank=4,
        hidden=8,
    )


for _form in ("full", "diagonal", "low_rank"):
    register(
        f"kernel integral, {_form}",
        partial(_kernel_integral, kernel=_form),
        channels=3,
        covers=(KernelIntegral,),
        rate=1.75,
        motion="translation",
    )
register(
    "kernel integral, nonlinear",
    partial(_kernel_integral, nonlinear=True),
    channels=3,
    covers=(KernelIntegral,),
    rate=1.75,
    motion="translation",
)
register(
    "norm in the measure",
    lambda dimension: Normed(3),
    channels=3,
    covers=(norm.MeasureNorm,),
    own_points=True,
    motion="rigid",
)
register(
    "lattice pooling and back",
    lambda dimension: PooledAndBack(0.5),
    channels=3,
    covers=(pooling.lattice_pooling, pooling.pool, pooling.unpool),
    rate=1.5,
    own_points=True,
)
register(
    "moments of the domain",
    lambda dimension: Moments(RADIUS[dimension]),
    channels=1,
    covers=(moments.domain_moments,),
    rate=1.75,
    motion="translation",
)
register(
    "zeroth moment of the domain",
    lambda dimension: Moments(RADIUS[dimension], count=1),
    channels=1,
    covers=(moments.domain_moments,),
    rate=1.75,
    motion="rigid",
)
register(
    "moving least squares",
    lambda dimension: Resample(RADIUS[dimension]),
    channels=3,
    covers=(Resample,),
    rate=1.75,
    motion="rigid",
)
register("GNO", _gno, channels=3, covers=(GNO,), rate=1.5)
register(
    "GNO of the geometry alone",
    partial(_gno, in_channels=0),
    channels=0,
    covers=(GNO,),
    rate=1.5,
    dimensions=(2,),
)
