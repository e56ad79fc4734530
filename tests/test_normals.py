"""Normals of surfaces and curves, and where points carry them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from isofield import Discretization, Mesh, MeshError, from_mesh, from_points
from isofield.cells import CELL_TYPES
from isofield.data import collate
from isofield.data.frame import Frame
from isofield.discretization import pack, unpack
from isofield.generation import disk, icosphere, torus
from isofield.layers import lattice_pooling
from isofield.normals import surface_normals
from isofield.operators import nearest
from isofield.operators.operator_file import load_operator, save_operator
from isofield.remeshing.cloud import subsampled
from isofield.testing import assert_samples_unpack

SURFACES = [kind for kind, cell in CELL_TYPES.items() if cell.dimension == 2]
CURVES = ["line", "line3"]


def fitted_rate(sizes: list[int], errors: list[float]) -> float:
    return float(-np.polyfit(np.log(sizes), np.log(errors), 1)[0])


def root_mean_square(vectors: torch.Tensor) -> float:
    return float(vectors.square().sum(1).mean().sqrt())


@pytest.mark.parametrize("at", ["points", "cells"])
@pytest.mark.parametrize("kind", SURFACES)
def test_a_flat_sheet_has_one_normal(kind: str, at: str, mesh_of) -> None:
    """The unit square, its cells made crooked, laid into space: that of the plane."""
    flat = mesh_of(kind).points
    bent = flat + 0.1 * np.sin(3 * flat[:, ::-1])
    plane = np.array([[0.6, 0.8, 0.3], [-0.5, 0.4, 0.7]])
    mesh = replace(mesh_of(kind), points=bent @ plane)
    expected = np.cross(*plane) / np.linalg.norm(np.cross(*plane))
    found = surface_normals(mesh, at)
    assert len(found) == len(mesh.points if at == "points" else mesh.top_cells)
    np.testing.assert_allclose(found, np.tile(expected, (len(found), 1)), atol=1e-13)


@pytest.mark.parametrize("kind", CURVES)
def test_the_normals_of_a_curve_around_a_domain_point_outward(kind: str) -> None:
    """An ellipse, its points unevenly spaced along it."""
    errors = []
    for n in (8, 16, 32):
        angle = np.linspace(0, 2 * np.pi, 2 * n, endpoint=False)
        angle = angle + 0.4 * np.sin(angle)
        points = np.column_stack([2 * np.cos(angle), np.sin(angle)])
        first = np.arange(0, 2 * n, 2)
        nodes = np.column_stack([first, (first + 2) % (2 * n), first + 1])
        if kind == "line":
            first = np.arange(2 * n)
            nodes = np.column_stack([first, (first + 1) % (2 * n)])
        ellipse = from_mesh(Mesh(points, {kind: nodes}))
        gradient = ellipse.points * torch.tensor([0.25, 1.0])
        expected = gradient / gradient.norm(dim=1, keepdim=True)
        assert ellipse.normals is not None
        errors.append(root_mean_square(ellipse.normals - expected))
    assert errors[-1] < 0.01
    assert fitted_rate([8, 16, 32], errors) > 1.8


@pytest.mark.parametrize(
    ("grading", "jitter", "least"), [(1.0, 0.0, 1.4), (3.0, 0.0, 1.4), (1.0, 0.2, 0.9)]
)
def test_normals_of_a_sphere_converge(grading, jitter, least) -> None:
    """O(h), more where cells lie symmetrically around a point: all but a few."""
    sizes, errors = [6, 12, 24, 48], []
    for n in sizes:
        sphere = from_mesh(icosphere(n, grading=grading, jitter=jitter))
        assert sphere.normals is not None
        errors.append(root_mean_square(sphere.normals - sphere.points))
    assert errors[-1] < 0.02
    assert fitted_rate(sizes, errors) > least


def test_normals_at_cells_are_those_of_the_flat_cells() -> None:
    mesh = torus(8, "triangle", jitter=0.1)
    a, b, c = mesh.points[mesh.cells["triangle"]].transpose(1, 0, 2)
    cross = np.cross(b - a, c - a)
    expected = cross / np.linalg.norm(cross, axis=1, keepdims=True)
    np.testing.assert_allclose(from_mesh(mesh, "cells").normals, expected, atol=1e-13)


def test_normals_are_differentiable_in_the_points() -> None:
    mesh = icosphere(1)
    points = torch.tensor(mesh.points, requires_grad=True)
    torch.autograd.gradcheck(lambda x: surface_normals(mesh, "points", x), points)
    normals = from_mesh(mesh, points=points).normals
    assert normals is not None
    assert normals.requires_grad


def test_plane_domains_volumes_and_curves_in_space_have_none(mesh_of) -> None:
    assert from_mesh(disk(3)).normals is None
    assert from_mesh(mesh_of("tetra")).normals is None
    mesh = mesh_of("line")
    curve = replace(mesh, points=np.pad(mesh.points, ((0, 0), (0, 1))))
    assert from_mesh(curve).normals is None
    for mesh in (disk(3), curve):
        with pytest.raises(MeshError, match=r"expected a surface in space or a curve"):
            surface_normals(mesh)


# ------------------------------------------------- surfaces without two sides


def test_where_three_cells_meet_at_an_edge_it_is_named() -> None:
    points = np.array([[0, 0, 0], [0, 0, 1], [1, 0, 0], [-1, 1, 0], [-1, -1, 0.0]])
    fins = Mesh(points, {"triangle": [[0, 1, 2], [0, 1, 3], [1, 0, 4]]})
    with pytest.raises(
        MeshError, match=r"1 edges .* \[0, 1\], to the cells \[0, 1, 2\]"
    ):
        surface_normals(fins)
    assert from_mesh(fins).normals is None
    assert float(from_mesh(fins).measure()) > 0


def test_where_cells_are_turned_the_first_edge_between_them_is_named() -> None:
    sphere = icosphere(3)
    nodes = sphere.cells["triangle"].copy()
    nodes[[7, 100]] = nodes[[7, 100]][:, ::-1]
    mixed = Mesh(sphere.points, {"triangle": nodes})
    with pytest.raises(MeshError, match=r"at 6 edges the two cells have opposite"):
        surface_normals(mixed)
    assert from_mesh(mixed).normals is None
    inside_out = Mesh(sphere.points, {"triangle": sphere.cells["triangle"][:, ::-1]})
    torch.testing.assert_close(surface_normals(inside_out), -surface_normals(sphere))


def test_curves_that_branch_have_none() -> None:
    star = np.array([[0, 0], [1, 0], [0, 1], [-1, 0.0]])
    mesh = Mesh(star, {"line": [[0, 1], [0, 2], [0, 3]]})
    with pytest.raises(MeshError, match=r"1 points belong to more than two cells"):
        surface_normals(mesh)
    with pytest.raises(MeshError, match=r"opposite orientations, the first, \[0\]"):
        surface_normals(Mesh(star, {"line": [[0, 1], [0, 3]], "vertex": [[2]]}))


def test_where_area_vectors_cancel_the_point_is_named() -> None:
    """Two triangles that face each other and touch in point 0 alone."""
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0.0]])
    mesh = Mesh(points, {"triangle": [[0, 1, 2], [0, 4, 3]]})
    with pytest.raises(MeshError, match=r"1 of 5 points .* number 0"):
        surface_normals(mesh)
    assert surface_normals(mesh, "cells")[:, 2].tolist() == [1.0, -1.0]


# ------------------------------------------------------------- clouds of points


def test_the_cloud_of_a_closed_surface_has_its_normals_outward() -> None:
    sizes, errors = [5, 8, 12], []
    for n in sizes:
        points = torch.tensor(icosphere(n, jitter=0.2).points)
        order = torch.randperm(len(points), generator=torch.Generator().manual_seed(n))
        cloud = from_points(points[order], domain="surface")
        assert cloud.normals is not None
        errors.append(root_mean_square(cloud.normals - cloud.points))
    assert errors[-1] < 0.02
    assert fitted_rate(sizes, errors) > 0.9


def test_each_part_of_a_cloud_has_a_side_of_its_own() -> None:
    ring, sphere = from_mesh(torus(10)), from_mesh(icosphere(5))
    both = torch.cat([ring.points, sphere.points + 5])
    found = from_points(both, domain="surface", neighbours=14).normals
    assert found is not None
    assert ring.normals is not None
    assert float((found[: len(ring)] * ring.normals).sum(1).min()) > 0.95
    assert float((found[len(ring) :] * sphere.points).sum(1).min()) > 0.99


def test_points_at_one_place_have_one_normal() -> None:
    points = torch.tensor(icosphere(4).points)
    twice = from_points(torch.cat([points, points[:9]]), domain="surface")
    assert twice.normals is not None
    assert torch.equal(twice.normals[len(points) :], twice.normals[:9])


def test_a_one_sided_cloud_has_none() -> None:
    angle, across = np.meshgrid(np.arange(80) * np.pi / 40, np.linspace(-0.3, 0.3, 9))
    reach = 1 + across * np.cos(angle / 2)
    band = [reach * np.cos(angle), reach * np.sin(angle), across * np.sin(angle / 2)]
    points = torch.tensor(np.stack(band, -1).reshape(-1, 3))
    assert from_points(points, domain="surface").normals is None


# ------------------------------------------------------- wherever points are taken


@pytest.fixture(scope="module")
def sphere() -> Discretization:
    return from_mesh(icosphere(6))


def test_normals_given_are_kept_and_checked(sphere: Discretization) -> None:
    given = from_points(sphere.points, sphere.weights, normals=sphere.points)
    assert given.normals is sphere.points
    cloud = from_points(sphere.points, domain="surface", normals=-sphere.points)
    assert torch.equal(cloud.normals, -sphere.points)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"expected normals \(362, 3\)"):
        from_points(sphere.points, sphere.weights, normals=sphere.points[:5])
    with pytest.raises(ValueError, match=r"362 of 362 have not, the first is normals"):
        from_points(sphere.points, sphere.weights, normals=1.1 * sphere.points)


def test_normals_follow_their_points(sphere: Discretization) -> None:
    single = sphere.to(torch.float32)
    assert single.normals is not None
    assert single.normals.dtype == torch.float32
    ring = from_mesh(torus(5))
    packed = pack([sphere, ring])
    for part, back in zip([sphere, ring], unpack(packed), strict=True):
        assert torch.equal(part.normals, back.normals)  # type: ignore[arg-type]
    assert pack([sphere, from_points(ring.points, ring.weights)]).normals is None

    some, numbers = subsampled(sphere, 50)
    assert torch.equal(some.normals, sphere.normals[numbers])  # type: ignore[index]
    scaled = Frame((1.0, 2.0, 3.0), 4.0, 2).scaled(sphere)
    assert torch.equal(scaled.normals, sphere.normals)  # type: ignore[arg-type]


def test_normals_are_written_with_an_operator(sphere: Discretization, tmp_path) -> None:
    operator = nearest(sphere, from_points(sphere.points[:5], sphere.weights[:5]))
    save_operator(tmp_path / "operator.safetensors", operator)
    back = load_operator(tmp_path / "operator.safetensors")
    assert back.source is not None
    assert back.target is not None
    assert torch.equal(back.source.normals, sphere.normals)  # type: ignore[arg-type]
    assert back.target.normals is None


def test_pooling_averages_normals_where_asked(sphere: Discretization) -> None:
    assert lattice_pooling(sphere, 0.4).coarse.normals is None
    coarse = lattice_pooling(sphere, 0.4, with_normals=True).coarse
    assert coarse.normals is not None
    outward = torch.nn.functional.normalize(coarse.points, dim=1)
    assert float((coarse.normals * outward).sum(1).min()) > 0.95
    with pytest.raises(ValueError, match="at 1 of 27 coarse points normals"):
        lattice_pooling(sphere, 3.0, with_normals=True)
    with pytest.raises(ValueError, match="no normals to average"):
        lattice_pooling(from_mesh(disk(3)), 0.4, with_normals=True)


def test_samples_of_surfaces_carry_normals_through_a_batch(tiny) -> None:
    cases = [
        mesh.with_point_data({"f": mesh.points[:, 0], "u": mesh.points[:, 1]})
        for mesh in (icosphere(3), torus(3))
    ]
    model = tiny(cases, ("f",), ("u",))
    samples = [model.sample(case) for case in cases]
    assert_samples_unpack(samples)
    normals = collate(samples).domain.normals
    assert normals is not None
    expected = torch.cat([surface_normals(case) for case in cases]).float()
    assert torch.equal(normals, expected)
