"""Moved cases: fields turn with the mesh, and what cannot turn is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from isofield import Mesh
from isofield.cells import CELL_TYPES
from isofield.data import FieldError, Symmetry, mirrored, moved, rotated
from isofield.discretization import from_mesh
from isofield.features import features
from isofield.generation import icosphere, random_blob
from isofield.train import Schedule, fit


def potential(points: np.ndarray) -> dict[str, np.ndarray]:
    """A function of the place with its gradient and its second derivatives:
    p = sin(a.x) + (b.x)²."""
    d = points.shape[1]
    a, b = np.array([1.3, -0.7, 0.4])[:d], np.array([0.5, 0.9, -1.1])[:d]
    slope = np.cos(points @ a)[:, None] * a + 2 * (points @ b)[:, None] * b
    bend = -np.sin(points @ a)[:, None, None] * np.outer(a, a) + 2 * np.outer(b, b)
    p = np.sin(points @ a) + (points @ b) ** 2
    return {"p": p, "slope": slope, "bend": bend}


def rotation(d: int, angle: float, axis=None) -> np.ndarray:
    """By the eigenvalues of the skew matrix, not by Rodrigues' formula."""
    if d == 2:
        skew = np.array([[0, -1.0], [1, 0]])
    else:
        x, y, z = np.array(axis) / np.linalg.norm(axis)
        skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    values, vectors = np.linalg.eigh(1j * skew)
    return ((vectors * np.exp(-1j * angle * values)) @ vectors.conj().T).real


def derivatives(p, points: np.ndarray, h: float = 1e-4) -> tuple:
    """Gradient and second derivatives by central differences."""
    steps = h * np.eye(points.shape[1])
    slope = np.stack([(p(points + s) - p(points - s)) / (2 * h) for s in steps], -1)
    rows = [
        [
            (p(points + s + t) - p(points + s - t) - p(points - s + t))
            + p(points - s - t)
            for t in steps
        ]
        for s in steps
    ]
    return slope, np.moveaxis(np.array(rows), 2, 0) / (4 * h**2)


MOTIONS = {
    "turned in the plane": (2, lambda m: rotated(m, 0.7), rotation(2, 0.7)),
    "turned around an axis": (
        3,
        lambda m: rotated(m, 0.7, axis=(1, -2, 0.5)),
        rotation(3, 0.7, (1, -2, 0.5)),
    ),
    "mirrored in the plane": (2, lambda m: mirrored(m, 1), np.diag([1.0, -1])),
    "mirrored in space": (3, lambda m: mirrored(m, 0), np.diag([-1.0, 1, 1])),
}


@pytest.mark.parametrize("name", MOTIONS)
def test_moved_fields_are_those_of_the_moved_function(name, mixed_mesh):
    """Gradient and Hessian of q(x) = p(Qᵀ (x - c) + c) at the moved points, by
    differences of q: nothing in this oracle turns a vector."""
    d, motion, q = MOTIONS[name]
    mesh = mixed_mesh(d)
    mesh = mesh.with_point_data(potential(mesh.points))
    c = np.full(d, 0.5)

    def moved_function(x: np.ndarray) -> np.ndarray:
        return potential((x - c) @ q + c)["p"]

    after = motion(mesh)
    slope, bend = derivatives(moved_function, after.points)
    assert_allclose(after.points, c + (mesh.points - c) @ q.T, atol=1e-14)
    assert_allclose(after.point_data["p"], moved_function(after.points), atol=1e-13)
    assert_allclose(after.point_data["slope"], slope, atol=1e-7)
    assert_allclose(after.point_data["bend"], bend, atol=1e-6)
    assert np.abs(slope - mesh.point_data["slope"]).max() > 0.1
    assert np.abs(bend - mesh.point_data["bend"]).max() > 0.1


@pytest.mark.parametrize("name", MOTIONS)
def test_cells_stay_positive_and_sets_where_they_were(name, mixed_mesh):
    d, motion, _ = MOTIONS[name]
    mesh = mixed_mesh(d)
    pairs = np.array([[cell, 1] for cell in range(len(mesh.top_cells))])
    mesh = replace(mesh, facet_sets={"some": pairs}, point_sets={"one": np.array([3])})
    after = motion(mesh)
    assert not len(after.validate().inverted_cells)
    assert_allclose(from_mesh(after).weights, from_mesh(mesh).weights, atol=1e-14)
    for (cell, place), (_, other) in zip(
        mesh.facet_sets["some"], after.facet_sets["some"], strict=True
    ):
        assert set(facet(mesh, cell, place)) == set(facet(after, cell, other))
    names = ["distance to some", "distance to one"]
    assert_allclose(features(after, names), features(mesh, names), atol=1e-12)


def facet(mesh: Mesh, cell: int, place: int) -> list[int]:
    for kind, nodes in mesh.cells.items():
        if cell < len(nodes):
            return nodes[cell, list(CELL_TYPES[kind].facets[place][1])].tolist()
        cell -= len(nodes)
    raise AssertionError


def test_closed_surfaces_stay_outward():
    mesh = icosphere(3)
    for after in (mirrored(mesh, 2), rotated(mesh, 1.0, axis=(0, 1, 0))):
        normals = from_mesh(after).normals
        assert normals is not None
        assert ((normals.numpy() * after.points).sum(1) > 0.9).all()


def test_there_and_back_is_the_identity(mixed_mesh):
    mesh = mixed_mesh(3)
    mesh = mesh.with_point_data(potential(mesh.points))
    q, c = Symmetry(seed=4).matrix(0, 1, 3), (0.1, 0.2, 0.3)
    back = moved(moved(mesh, q, centre=c), q.T, centre=c)
    assert_allclose(back.points, mesh.points, atol=1e-14)
    for name, values in mesh.point_data.items():
        assert_allclose(back.point_data[name], values, atol=1e-13)
    for kind, nodes in mesh.cells.items():
        assert np.array_equal(back.cells[kind], nodes)


@pytest.mark.parametrize("shape", [(1,), (3,), (4,), (2, 3), (2, 2, 2)])
@pytest.mark.parametrize("site", ["point_data", "cell_data"])
def test_arrays_that_are_no_vectors_or_tensors_are_refused(shape, site):
    mesh = random_blob(0, 2)
    rows = len(mesh.points) if site == "point_data" else len(mesh.top_cells)
    mesh = replace(mesh, **{site: {"strain": np.zeros((rows, *shape))}})
    text = str(shape).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(FieldError, match=rf"'strain' has shape {text} .*\(2, 2\)"):
        rotated(mesh, 0.1)


def test_motions_that_are_none_are_refused():
    mesh = random_blob(0, 2)
    with pytest.raises(ValueError, match="expected an orthogonal one"):
        moved(mesh, 1.001 * np.eye(2))
    with pytest.raises(ValueError, match="centre: expected 2 coordinates"):
        rotated(mesh, 1.0, centre=(0, 0, 0))
    with pytest.raises(ValueError, match="axis: expected none in the plane"):
        rotated(mesh, 1.0, axis=(0, 0, 1))
    with pytest.raises(ValueError, match=r"axis: expected a direction \(3,\)"):
        rotated(icosphere(1), 1.0)
    with pytest.raises(ValueError, match="axis: expected a number from 0 to 1, got 2"):
        mirrored(mesh, 2)
    with pytest.raises(ValueError, match="copies: expected at least 1, got 0"):
        Symmetry(copies=0)


@pytest.mark.parametrize("d", [2, 3])
def test_motions_are_spread_evenly(d):
    """E Q = 0 and E (Q_ij)² = 1/d; 4,000 draws err by 1/sqrt(4000 d) or less."""
    symmetry = Symmetry(copies=2, seed=1)
    q = np.array([symmetry.matrix(n, k, d) for n in range(2000) for k in range(2)])
    assert_allclose(np.linalg.det(q), np.tile([1.0, -1.0], 2000), atol=1e-12)
    assert np.abs(q.mean(0)).max() < 4 / np.sqrt(4000 * d)
    assert np.abs((q**2).mean(0) - 1 / d).max() < 4 * 0.36 / np.sqrt(4000)
    turned = Symmetry(copies=2, mirrored=False)
    assert all(np.linalg.det(turned.matrix(5, k, d)) > 0 for k in range(2))


@pytest.mark.parametrize(("d", "turns"), [(2, 3), (3, 23)])
def test_right_angles_are_all_different_and_keep_boxes(d, turns):
    symmetry = Symmetry(copies=2 * turns, right_angles=True)
    q = np.array([symmetry.matrix(7, k, d) for k in range(2 * turns)])
    assert_allclose(np.linalg.det(q), np.tile([1.0, -1.0], turns), atol=1e-12)
    assert len(np.unique(q.reshape(len(q), -1), axis=0)) == 2 * turns
    assert not (q == np.eye(d)).all((1, 2)).any()
    assert_allclose(np.abs(q).sum(1), 1)
    assert_allclose(np.abs(q).max(1), 1)


@pytest.mark.parametrize(("d", "mirrored", "count"), [(2, True, 8), (3, False, 24)])
def test_right_angles_and_the_case_itself_are_a_group(d, mirrored, count):
    symmetry = Symmetry(count - 1, mirrored=mirrored, right_angles=True)
    assert replace(symmetry, copies=1).whole(d) == symmetry
    known = [np.eye(d), *(symmetry.matrix(3, k, d) for k in range(count - 1))]
    found = {q.tobytes() for q in np.round(known) + 0.0}
    products = {(np.round(a @ b) + 0.0).tobytes() for a in known for b in known}
    assert len(found) == count
    assert products == found


# --- in training --------------------------------------------------------------------


def cases(count: int) -> list[Mesh]:
    found = []
    for seed in range(count):
        mesh = random_blob(seed, 3)
        unused = {"voigt": np.zeros((len(mesh.points), 3))}
        found.append(mesh.with_point_data(potential(mesh.points) | unused))
    return found


def test_training_sees_copies_and_needs_them_in_the_model(tiny, tmp_path):
    """Three passes over 2 cases with 3 copies each; another symmetry is another job."""
    symmetry, known = Symmetry(copies=3), cases(2)
    schedule = Schedule(epochs=3, nodes=40, rate=1e-2)
    fields = {"inputs": ("p",), "targets": ("slope",)}
    options = {"schedule": schedule, "progress": False, "device": "cpu"}
    model = tiny(known, **fields, augment=symmetry)
    assert model.envelope.points == (37, 37)
    history = fit(model, known, augment=symmetry, directory=tmp_path, **options)
    assert history.rows[-1]["train slope"] < history.rows[0]["train slope"]
    with pytest.raises(ValueError, match=r"case \d, moved copy \d: leaves the box .*"):
        fit(tiny(known, **fields), known, augment=symmetry, **options)
    again = tiny(known, **fields, augment=symmetry)
    other = replace(symmetry, seed=1)
    with pytest.raises(RuntimeError, match="another model, schedule or cases"):
        fit(again, known, augment=other, directory=tmp_path, **options)
    same = fit(again, known, augment=symmetry, directory=tmp_path, **options)
    assert same == history
    weights = [
        torch.cat([p.ravel() for p in m.network.parameters()]) for m in (model, again)
    ]
    assert torch.equal(*weights)


def test_a_target_that_cannot_turn_names_its_case(tiny):
    with pytest.raises(FieldError, match=r"case 0: field 'voigt' has shape \(3,\)"):
        tiny(cases(2), inputs=("p",), targets=("voigt",), augment=Symmetry())
