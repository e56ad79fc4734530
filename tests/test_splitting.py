"""Cells too long for a model, in pieces: the same domain, the same fields."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from isofield import Mesh
from isofield.cells import CELL_TYPES
from isofield.data.splitting import LEVELS, split
from isofield.discretization import from_mesh
from isofield.generation import ball, box, disk, icosphere, square
from isofield.predict import predict, predict_at
from isofield.surrogate import Surrogate


def quadratic() -> Mesh:
    """One triangle of six nodes, with a curved side, and a smaller one beside it."""
    x = np.array([[0, 0], [2, 0], [0, 2], [1, 0], [1.2, 1.2], [0, 1], [-0.5, 0]])
    points = np.concatenate([x, [[-0.25, 0], [-0.25, 1]]])
    cells = np.array([[0, 1, 2, 3, 4, 5], [6, 0, 2, 7, 5, 8]])
    return Mesh(points.astype(float), {"triangle6": cells})


MESHES = {
    "triangles": lambda: disk(4, grading=6.0),
    "quads": lambda: square(3, cell="quad"),
    "pyramids": lambda: box(2, cell="pyramid"),
    "wedges": lambda: box(2, cell="wedge"),
    "tetrahedra": lambda: ball(3, grading=3.0),
    "hexahedra": lambda: box(2, cell="hexahedron"),
    "quadratic": quadratic,
    "surface": lambda: icosphere(1),
}


def linear(points: np.ndarray) -> np.ndarray:
    return np.column_stack([1 + points @ np.arange(1, points.shape[1] + 1)])


@pytest.mark.parametrize("name", MESHES)
def test_pieces_cover_the_same_domain_with_the_same_linear_fields(name) -> None:
    mesh = MESHES[name]()
    longest = 0.6 * _longest(mesh)
    finer, values = split(mesh, linear(mesh.points), longest)
    assert len(finer.points) > len(mesh.points)
    assert _longest(finer) <= longest
    assert_allclose(finer.points[: len(mesh.points)], mesh.points, rtol=0, atol=0)
    if name != "surface":  # whose cells are flat, and so are their pieces
        assert_allclose(values, linear(finer.points), atol=1e-12)
    measure = [float(from_mesh(m).measure()) for m in (mesh, finer)]
    assert_allclose(measure[1], measure[0], rtol=1e-12)


def _longest(mesh: Mesh) -> float:
    lengths = [
        np.linalg.norm(mesh.points[nodes[:, a]] - mesh.points[nodes[:, b]], axis=1)
        for kind, nodes in mesh.cells.items()
        for a, b in CELL_TYPES[kind].edges
    ]
    return float(np.concatenate(lengths).max())


def test_only_long_cells_are_split_and_no_more_often_than_is_said() -> None:
    mesh = disk(6, grading=8.0)
    assert len(split(mesh, mesh.points, _longest(mesh))[0].points) == len(mesh.points)
    some = split(mesh, mesh.points, 0.7 * _longest(mesh))[0]
    assert len(some.cells["triangle"]) < 2 * len(mesh.cells["triangle"])
    all_of_them = split(mesh, mesh.points, 1e-3)[0]
    assert len(all_of_them.cells["triangle"]) == (
        4**LEVELS * len(mesh.cells["triangle"])
    )


def test_pieces_integrate_with_second_order_in_the_longest_edge() -> None:
    """cos(5 x) over a polygon, some points hanging on edges of others."""
    mesh = disk(4, grading=8.0)
    reference = mesh.refined().refined().refined().refined().refined()
    exact = _integral(reference)
    parts = [0.6, 0.3]
    meshes = [split(mesh, mesh.points, part * _longest(mesh))[0] for part in parts]
    assert len(meshes[0].points) < len(mesh.refined().points)
    errors = [abs(_integral(m) - exact) for m in (mesh, *meshes)]
    assert errors[1] < errors[0] / 2
    assert errors[2] < errors[0] / 8


def _integral(mesh: Mesh) -> float:
    return float(from_mesh(mesh).weights.numpy() @ np.cos(5 * mesh.points[:, 0]))


def test_values_at_cells_are_those_of_their_parents() -> None:
    mesh = disk(4, grading=6.0)
    values = np.arange(len(mesh.cells["triangle"]), dtype=float)[:, None]
    finer, found = split(mesh, values, 0.5 * _longest(mesh), "cells")
    assert len(found) == len(finer.cells["triangle"]) > len(values)
    areas = [from_mesh(m, "cells").weights.numpy() for m in (mesh, finer)]
    ours = np.bincount(found[:, 0].astype(int), areas[1])
    assert_allclose(ours, areas[0], rtol=1e-12)


@pytest.mark.parametrize("at", ["points", "cells"])
def test_lines_of_the_boundary_and_corners_are_no_cells_to_split(at) -> None:
    mesh = disk(3)
    rim = mesh.boundary_points()
    more = {"vertex": rim[:, None], "line": np.stack([rim, np.roll(rim, 1)], 1)}
    whole = Mesh(mesh.points, {**more, **mesh.cells})
    values = linear(
        mesh.points if at == "points" else np.eye(len(_triangles(mesh)))[:, :2]
    )
    longest = 0.6 * _longest(mesh)
    finer, found = split(whole, values, longest, at)
    alone, expected = split(mesh, values, longest, at)
    assert_allclose(found, expected)
    assert_allclose(from_mesh(finer, at).weights, from_mesh(alone, at).weights)


def _triangles(mesh: Mesh) -> np.ndarray:
    return mesh.cells["triangle"]


# --- where a model predicts -----------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> Surrogate:
    cases = [_case(disk(n, jitter=0.1, seed=n)) for n in (8, 10)]
    return _green(cases)


def _green(cases: list[Mesh]) -> Surrogate:
    size = {"modes": 4, "inner": 3, "width": 6, "context": 6, "blocks": 1}
    return Surrogate.for_cases(
        cases, ["f"], ["u"], architecture="GreenOperator", linear=["f"], **size
    )


def _case(mesh: Mesh) -> Mesh:
    x, y = mesh.points.T
    return mesh.with_point_data({"f": x + 2 * y, "u": x * y})


def test_cases_as_fine_as_those_of_training_stay_whole(model) -> None:
    sample = model.sample(_case(disk(9)))
    assert len(sample.x) == len(sample.pos)


@pytest.mark.filterwarnings("ignore::isofield.surrogate.ExtrapolationWarning")
def test_a_coarse_mesh_predicts_as_the_mesh_of_its_pieces() -> None:
    """It and its refinement are split into the same cells: the same prediction of a
    network that fits nothing to the points that are known."""
    cases = [_case(disk(n, jitter=0.1, seed=n)) for n in (8, 10)]
    model = Surrogate.for_cases(cases, ["f"], ["u"], width=8, blocks=1)
    coarse = _case(disk(4))
    assert len(model.sample(coarse).x) == len(coarse.points)
    model.network.pieces = "always"
    sample = model.sample(coarse)
    assert len(sample.x) > len(sample.pos) == len(coarse.points)
    fine = coarse.refined()
    assert len(model.sample(fine).x) == len(sample.x)
    found = predict(model, coarse).point_data["u_predicted"]
    same = predict(model, fine).point_data["u_predicted"][: len(found)]
    assert_allclose(found, same, atol=2e-6 * np.abs(same).max())


@pytest.mark.filterwarnings("ignore::isofield.surrogate.ExtrapolationWarning")
def test_elsewhere_a_coarse_mesh_predicts_from_its_pieces_too(model) -> None:
    coarse = _case(disk(4))
    found = predict_at(model, coarse, coarse.points[:5])["u"]
    there = predict(model, coarse).point_data["u_predicted"][:5]
    assert_allclose(np.asarray(found).ravel(), there.ravel(), rtol=1e-4, atol=1e-6)


def test_normals_of_pieces_of_a_surface_point_outward() -> None:
    mesh = icosphere(1)
    mesh = replace(mesh, points=mesh.points * [1.0, 1.0, 3.0])
    finer, _ = split(mesh, mesh.points, 0.6 * _longest(mesh))
    domain = from_mesh(finer)
    assert domain.normals is not None
    assert len(finer.points) > len(mesh.points)
    assert (domain.normals * domain.points).sum(1).min() > 0


@pytest.mark.filterwarnings("ignore::isofield.surrogate.ExtrapolationWarning")
def test_sources_are_fitted_where_they_are_known() -> None:
    """At the mesh's own points, as if no cell had been split; not at interpolants."""
    model = _green([_case(disk(n, jitter=0.1, seed=n)) for n in (8, 10)])
    coarse = _case(disk(4))
    plan = model.sample(coarse).plan
    network, domain = model.network, model.frame.scaled(from_mesh(coarse))
    alone = network.prepared(domain, domain, plan.dual.dtype)
    known = len(coarse.points)
    assert_allclose(plan.dual[:known], alone.dual, rtol=1e-5, atol=1e-7)
    assert (plan.dual[known:] == 0).all()
    assert len(plan.dual) > known


@pytest.mark.parametrize(
    ("architecture", "more", "in_training"),
    [("FourierOperator", {}, False), ("GreenOperator", {"linear": ["f"]}, True)],
)
def test_which_networks_learn_from_pieces(architecture, more, in_training) -> None:
    """In predictions both are given those of a coarse mesh."""
    cases = [_case(disk(n, jitter=0.1, seed=n)) for n in (8, 10)]
    size = {"width": 8, "blocks": 1, "architecture": architecture, **more}
    model = Surrogate.for_cases(cases, ["f"], ["u"], **size)
    coarse = _case(disk(4))
    assert len(model.sample(coarse).x) > len(coarse.points)
    learned = model.sample(coarse, learning=True)
    assert (len(learned.x) > len(coarse.points)) == in_training
