"""What each transfer keeps: every cell type, evenly spaced, graded and random."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from isofield import Mesh
from isofield.cells import CELL_TYPES
from isofield.discretization import from_mesh
from isofield.generation import box, square
from isofield.operators import (
    SparseOperator,
    conservative,
    l2_projection,
    linear,
    load_operator,
    moving_least_squares,
    nearest,
    save_operator,
)

KINDS = [name for name, cell in CELL_TYPES.items() if cell.dimension > 1]
SPACINGS = ["uniform", "graded", "random"]
EVERY = list(product(KINDS, SPACINGS))


def exact(found: Tensor, expected: Tensor) -> None:
    """To 1e-12 of fields of size 1."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def cloud(count: int, d: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, d, generator=generator, dtype=torch.float64)


def on_facets(mesh: Mesh, each: int = 3) -> Tensor:
    """Random points of every facet of every cell, curved ones too."""
    ((kind, nodes),) = mesh.cells.items()
    rng, found = np.random.default_rng(0), []
    for facet, local in CELL_TYPES[kind].facets:
        at = rng.random((each, CELL_TYPES[facet].dimension))
        if facet.startswith("triangle"):
            at = np.where(at.sum(1, keepdims=True) > 1, 1 - at, at)
        corners = mesh.points[nodes[:, list(local)]]
        found.append(np.einsum("qn,tnd->tqd", CELL_TYPES[facet].shape(at), corners))
    return torch.tensor(np.concatenate(found).reshape(-1, mesh.dimension))


def places(mesh: Mesh) -> Tensor:
    """Points inside, on facets, on the boundary, at nodes and at the corners."""
    return torch.cat(
        [cloud(200, mesh.dimension), on_facets(mesh), torch.tensor(mesh.points)]
    )


def simplices(dimension: int) -> Mesh:
    return square(3, jitter=0.2) if dimension == 2 else box(1)


@pytest.mark.parametrize(("kind", "spacing"), EVERY)
def test_linear_keeps_constants_linears_and_the_range(kind, spacing, mesh_of):
    mesh = mesh_of(kind, 2, spacing)
    at, x = places(mesh), torch.tensor(mesh.points)
    transfer = linear(mesh, at)
    exact(transfer(x), at)
    exact(transfer(torch.ones_like(x)), torch.ones_like(at))
    assert not transfer.facts["outside"].any()
    if kind in ("triangle", "tetra"):
        assert float(transfer.values.min()) > -1e-12
        u = cloud(len(x), 5, seed=3)
        assert float(transfer(u).min()) > float(u.min()) - 1e-12
        assert float(transfer(u).max()) < float(u.max()) + 1e-12


@pytest.mark.parametrize(("kind", "spacing"), EVERY)
def test_nearest_keeps_values(kind, spacing, mesh_of):
    """Each target has the value of one source, and of the nearest, cells or points."""
    mesh = mesh_of(kind, 2, spacing)
    for site in ("points", "cells"):
        source = from_mesh(mesh, site).points
        transfer = nearest(mesh, places(mesh), source_at=site, outside="nearest")
        number = transfer(torch.arange(len(source)))
        gap = (source[number] - places(mesh)).norm(dim=1)
        every = torch.cdist(
            places(mesh), source, compute_mode="donot_use_mm_for_euclid_dist"
        )
        exact(gap, every.amin(1))
        u = cloud(len(source), 2)
        assert torch.equal(transfer(u), u[number])


@pytest.mark.parametrize("sites", [("cells", "cells"), ("points", "points")], ids=str)
@pytest.mark.parametrize(("kind", "spacing"), EVERY)
def test_conservative_keeps_integrals_and_constants(kind, spacing, sites, mesh_of):
    """Between points linears too, which both spaces hold."""
    mesh, other = mesh_of(kind, 2, spacing), simplices(CELL_TYPES[kind].dimension)
    for a, b in ((mesh, other), (other, mesh)):
        transfer = conservative(a, b, source_at=sites[0], target_at=sites[1])
        assert transfer.source is not None
        assert transfer.target is not None
        u = cloud(transfer.shape[1], 3)
        exact(transfer.target.integrate(transfer(u)), transfer.source.integrate(u))
        one = torch.ones(transfer.shape[1]).double()
        exact(transfer(one), torch.ones(transfer.shape[0]).double())
        if sites == ("points", "points"):
            exact(transfer(torch.tensor(a.points)), torch.tensor(b.points))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("kind", ["triangle", "triangle6", "quad", "tetra", "tetra10"])
def test_projections_keep_linears(kind, spacing, mesh_of):
    """Of degree 2 where both are quadratic simplices, of degree 1 elsewhere."""
    mesh, other = mesh_of(kind, 2, spacing), simplices(CELL_TYPES[kind].dimension)
    if CELL_TYPES[kind].order == 2:
        other = mesh_of(kind, 3, "random" if kind == "triangle6" else "uniform")
    for a, b in ((mesh, other), (other, mesh)):
        transfer = l2_projection(a, b)
        exact(transfer(torch.tensor(a.points)), torch.tensor(b.points))


@pytest.mark.parametrize(("kind", "spacing"), EVERY)
def test_moving_least_squares_keeps_linears(kind, spacing, mesh_of):
    source = from_mesh(mesh_of(kind, 3, spacing))
    at = torch.cat([0.05 + 0.9 * cloud(100, source.dimension), source.points])
    transfer = moving_least_squares(source, at, outside="nearest")
    kept = transfer.facts["outside"] == 0
    assert float(kept.double().mean()) > 0.9
    assert (transfer.facts["degree"] == 1).all()
    exact(transfer(source.points)[kept], at[kept])


TRANSFERS: dict[str, Callable[[Mesh, Mesh], SparseOperator]] = {
    "nearest": nearest,
    "linear": linear,
    "conservative": conservative,
    "nodal": lambda a, b: conservative(a, b, source_at="points", target_at="points"),
    "cells to points": lambda a, b: conservative(a, b, target_at="points"),
    "points to cells": lambda a, b: conservative(a, b, source_at="points"),
    "l2_projection": l2_projection,
    "moving_least_squares": lambda a, b: moving_least_squares(a, b, outside="nearest"),
}


@pytest.mark.parametrize("name", TRANSFERS)
@pytest.mark.parametrize("kind", ["triangle", "quad9", "tetra10", "wedge", "pyramid"])
def test_adjoints(name, kind, mesh_of):
    """<A u, v> = <u, A* v> to 1e-12 of |A u| |v|."""
    mesh = mesh_of(kind, 2, "random")
    transfer = TRANSFERS[name](mesh, simplices(mesh.dimension))
    assert transfer.source is not None
    assert transfer.target is not None
    m, n = transfer.shape
    u, v = cloud(n, 2, seed=1) - 0.5, cloud(m, 2, seed=2) - 0.5
    w, back = transfer(u), transfer.adjoint()(v)
    size = float(transfer.target.norm(w) * transfer.target.norm(v))
    left, right = transfer.target.inner(w, v), transfer.source.inner(u, back)
    assert abs(float(left - right)) < 1e-12 * size


@pytest.mark.parametrize("name", TRANSFERS)
def test_operators_are_kept_on_disk_and_differentiated(name, tmp_path):
    """Fields of any rank, to the last bit; the derivative is the transposed matrix."""
    transfer = TRANSFERS[name](square(4, jitter=0.2), square(3))
    save_operator(tmp_path / "operator.safetensors", transfer)
    loaded = load_operator(tmp_path / "operator.safetensors")
    u = cloud(transfer.shape[1], 6).view(-1, 2, 3)
    assert torch.equal(loaded(u), transfer(u))
    assert loaded(u).shape == (transfer.shape[0], 2, 3)
    assert {*loaded.facts} == {*transfer.facts}
    v = cloud(transfer.shape[0], 1)[:, 0]
    torch.testing.assert_close(loaded.adjoint()(v), transfer.adjoint()(v))
    x = u[:, 0, 0].clone().requires_grad_()
    assert torch.autograd.gradcheck(transfer, x)


SOMETHING = {
    "mesh": (square(5, jitter=0.2), "points"),
    "cells": (square(5, jitter=0.2), "cells"),
    "discretization": (from_mesh(square(4)), "points"),
    "points": (cloud(40, 2), "points"),
    "array": (cloud(30, 2, seed=1).numpy(), "points"),
}


@pytest.mark.parametrize("pair", [*product(SOMETHING, repeat=2)], ids=" to ".join)
def test_nearest_from_anything_to_anything(pair):
    """The range, constants, and a source's own values at its own points."""
    (source, site), (target, target_site) = (SOMETHING[name] for name in pair)
    transfer = nearest(
        source, target, source_at=site, target_at=target_site, outside="nearest"
    )
    u = cloud(transfer.shape[1], 2)
    v = transfer(u)
    assert float(v.min()) >= float(u.min())
    assert float(v.max()) <= float(u.max())
    assert (transfer.graph.degree() == 1).all()
    assert (transfer.values == 1).all()
    if pair[0] == pair[1]:
        assert torch.equal(v, u)
