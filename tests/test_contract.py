"""Every layer and model keeps the six laws; none is forgotten."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import numpy as np
import pytest
import torch
from torch import nn

import isofield.layers
import isofield.models
from isofield import Mesh, from_mesh
from isofield.generation import disk
from isofield.layers.operator import Operator
from isofield.testing import (
    BASELINES,
    LAWS,
    REGISTRY,
    check,
    probes,
    register,
    waves,
)
from isofield.testing.registry import label

ENTRIES = [*REGISTRY.values(), *BASELINES.values()]


def _cases(dimensions, *without):
    """A law that says nothing about an entry is no test of it."""
    return [
        pytest.param(
            entry, law, dimension, id=f"{entry.name}, {law}, {label(dimension)}"
        )
        for dimension in dimensions
        for entry in ENTRIES
        for law in entry.laws
        if dimension in entry.dimensions
        and law not in without
        and not (law == "rigid motion" and entry.motion == "none")
    ]


SURFACES = ["sphere", "surface"]


@pytest.mark.parametrize(("entry", "law", "dimension"), _cases([1, 2, 3, *SURFACES]))
def test_law_in_float64(entry, law, dimension):
    check(entry, dimension, torch.float64, law)


# two families differ by less than the rounding of float32: float64 alone tells them
@pytest.mark.parametrize(
    ("entry", "law", "dimension"), _cases([2, 3, "surface"], "two families")
)
def test_law_in_float32(entry, law, dimension):
    check(entry, dimension, torch.float32, law)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_renumbered_cells_and_nodes_change_nothing(entry):
    mesh = disk(6, grading=2.0, jitter=0.2)
    random = np.random.default_rng(0)
    order = random.permutation(len(mesh.points))
    number = np.argsort(order)
    (kind, nodes), *_ = mesh.cells.items()
    cells = number[nodes[random.permutation(len(nodes))]]
    renumbered = Mesh(mesh.points[order], {kind: cells})

    operator, field = entry.operator(2), waves(entry.channels)
    one, other = from_mesh(mesh), from_mesh(renumbered)
    expected = operator(field(one.points), operator.prepare(one, one))[order]
    found = operator(field(other.points), operator.prepare(other, other))
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)
    assert expected.std() > 1e-3


def _modules(package):
    names = [m.name for m in pkgutil.walk_packages(package.__path__)]
    return [importlib.import_module(f"{package.__name__}.{name}") for name in names]


def _classes():
    """Public classes of layers and models that are defined there."""
    for module in [*_modules(isofield.layers), *_modules(isofield.models)]:
        for name, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ == module.__name__ and not name.startswith("_"):
                yield kind


def test_every_operator_is_registered():
    registered = {type(entry.build(2)) for entry in ENTRIES}
    operators = {
        kind
        for kind in _classes()
        if issubclass(kind, Operator) and not inspect.isabstract(kind)
    } - {Operator}
    assert len(operators) >= 2
    missing = {kind.__name__ for kind in operators - registered}
    assert not missing, f"register these in isofield.testing.registry: {missing}"


def test_every_part_of_a_layer_is_met_in_a_registered_operator():
    met = {type(part) for entry in ENTRIES for part in entry.build(2).modules()}
    parts = {
        kind
        for kind in _classes()
        if issubclass(kind, nn.Module) and not inspect.isabstract(kind)
    } - {Operator}
    missing = {kind.__name__ for kind in parts - met}
    assert not missing, f"no registered operator holds these: {missing}"


def test_every_layer_module_is_covered():
    covered = {inspect.getmodule(thing) for entry in ENTRIES for thing in entry.covers}
    contracts = {"isofield.layers.operator", "isofield.plan"}
    missing = {
        module.__name__
        for module in _modules(isofield.layers) + _modules(isofield.models)
        if module not in covered
    } - contracts
    assert not missing, f"no entry of the registry covers these: {missing}"


def test_every_entry_promises_at_least_rate_one():
    assert all(entry.rate >= 1 for entry in ENTRIES)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="registered already"):
        register("GNO", lambda dimension: None, channels=1, covers=())
    assert len(REGISTRY) + len(BASELINES) == len(ENTRIES)


@pytest.mark.parametrize("entry", BASELINES.values(), ids=lambda entry: entry.name)
def test_a_baseline_breaks_a_law_that_it_does_not_promise(entry):
    assert entry.laws != tuple(LAWS)
    with pytest.raises(AssertionError, match="node splitting"):
        check(entry, 2, law="node splitting")


def test_what_is_no_baseline_promises_all_laws():
    assert all(entry.laws == tuple(LAWS) for entry in REGISTRY.values())


def test_unknown_law():
    with pytest.raises(ValueError, match="'node splitting'"):
        check(ENTRIES[0], 2, law="splitting")


def test_unknown_dimension():
    with pytest.raises(ValueError, match="exists in 1-D, 2-D, 3-D, not in 4-D"):
        check(ENTRIES[0], 4)


def test_building_leaves_the_global_random_state_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    ENTRIES[0].operator(2)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_probes_lie_inside_and_next_to_the_boundary(dimension):
    distance = 1 - probes(dimension).norm(dim=1)
    assert distance.min() > 0
    assert (distance < 0.05).sum() >= 5
    assert (distance > 0.3).sum() >= 5
