"""Features of shapes: closed forms, rates, and what a mesh has not got."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from isofield import Mesh, from_mesh
from isofield.features import (
    Feature,
    FeatureError,
    check_features,
    features,
    signed_distance,
)
from isofield.features.nearest import nearest_in
from isofield.generation import ball, box, disk, icosphere, l_shape, square, torus
from isofield.operators.closest import boundary, closest

FAMILIES = [{}, {"grading": 3.0}]


def rate(sizes: list[int], errors: list[float]) -> float:
    return float(-np.polyfit(np.log(sizes), np.log(errors), 1)[0])


def size(mesh: Mesh, error: np.ndarray) -> float:
    """Root mean square in the measure."""
    domain = from_mesh(mesh)
    square = (error.reshape(len(error), -1) ** 2).sum(1)
    return float(np.sqrt(domain.weights.numpy() @ square / float(domain.measure())))


def annulus(n: int, grading: float = 1.0, inner: float = 0.5) -> Mesh:
    """Radii from `inner` to 1, with its two circles named."""
    around = 8 * n
    t = np.linspace(0, 1, n + 1)
    if grading != 1:
        t = np.expm1(np.log(grading) * t) / (grading - 1)
    radius, angle = np.meshgrid(
        inner + (1 - inner) * t, np.arange(around) * 2 * np.pi / around, indexing="ij"
    )
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    number = np.arange((n + 1) * around).reshape(n + 1, around)
    ahead = np.roll(number, -1, 1)
    quads = np.stack([number[:-1], number[1:], ahead[1:], ahead[:-1]], -1)
    sets = {"hole": number[0], "rim": number[-1]}
    return Mesh(points.reshape(-1, 2), {"quad": quads.reshape(-1, 4)}, point_sets=sets)


def sided(mesh: Mesh) -> Mesh:
    """The square with its left side as facets, points and, of lines, cells."""
    left = np.flatnonzero(mesh.points[:, 0] == 0)
    kind, nodes = next(iter(mesh.cells.items()))
    n = nodes.shape[1]
    pairs = [
        [cell, k]
        for cell, row in enumerate(nodes)
        for k in range(n)
        if np.isin([row[k], row[(k + 1) % n]], left).all()
    ]
    order = left[np.argsort(mesh.points[left, 1])]
    lines = np.stack([order[:-1], order[1:]], 1)
    return Mesh(
        mesh.points,
        {kind: nodes, "line": lines},
        point_sets={"points": left},
        cell_sets={"lines": len(nodes) + np.arange(len(lines))},
        facet_sets={"facets": np.array(pairs)},
    )


# --- distances ----------------------------------------------------------------------


@pytest.mark.parametrize("at", ["points", "cells"])
@pytest.mark.parametrize("region", ["facets", "lines", "points"])
@pytest.mark.parametrize("cell", ["triangle", "quad"])
def test_the_distance_to_a_side_is_a_coordinate(cell, region, at) -> None:
    """The nearest point of the side lies between two nodes, where it is asked for."""
    mesh = sided(square(5, cell, grading=2.0, jitter=0.2))
    sites = from_mesh(mesh, at).points.numpy()
    found = features(mesh, [f"distance to {region}", f"vector to {region}"], at)
    assert_allclose(found[:, 0], sites[:, 0], atol=1e-14)
    assert_allclose(found[:, 1:], sites * [-1, 0], atol=1e-14)


def test_the_distance_to_the_boundary_of_straight_shapes_is_exact() -> None:
    for cell in ("triangle", "quad"):
        mesh = square(7, cell, grading=3.0)
        near = np.minimum(mesh.points, 1 - mesh.points).min(1)
        found = features(mesh, ["distance to boundary"])[:, 0]
        assert_allclose(found, near, atol=1e-14)
    for cell in ("tetra", "hexahedron"):
        mesh = box(4, cell, grading=2.0)
        near = np.minimum(mesh.points, 1 - mesh.points).min(1)
        found = features(mesh, ["distance to boundary"])[:, 0]
        assert_allclose(found, near, atol=1e-14)
    mesh = l_shape(6, grading=2.0)
    x, y = mesh.points.T
    corner = np.hypot(np.minimum(x, 0), np.maximum(y, 0))
    outer = 1 - np.abs(mesh.points).max(1)
    found = features(mesh, ["distance to boundary"])[:, 0]
    assert_allclose(found, np.minimum(outer, corner), atol=1e-14)


def test_sites_other_than_nodes_matter() -> None:
    """The nearest node would be off by up to half an edge."""
    mesh = square(3, "quad")
    found = features(mesh, ["distance to boundary"], "cells")[:, 0]
    assert_allclose(np.unique(found.round(12)), [1 / 6, 1 / 2])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("shape", "sizes"), [(disk, [6, 9, 14]), (ball, [4, 6, 9])])
def test_distances_to_round_boundaries_converge(shape, sizes, family) -> None:
    errors = []
    for n in sizes:
        mesh = shape(n, **family)
        exact = 1 - np.linalg.norm(mesh.points, axis=1)
        found = features(mesh, ["distance to boundary"])[:, 0]
        errors.append(float(np.abs(found - exact).max()))
    assert errors[-1] < 0.02
    assert 1.7 < rate(sizes, errors) < 2.3


@pytest.mark.parametrize("grading", [1.0, 3.0])
def test_distances_to_the_circles_of_an_annulus_converge(grading) -> None:
    sizes, errors = [3, 5, 8], []
    for n in sizes:
        mesh = annulus(n, grading)
        r = np.linalg.norm(mesh.points, axis=1)
        found = features(mesh, ["distance to hole", "distance to rim"])
        errors.append(float(np.abs(found - np.stack([r - 0.5, 1 - r], 1)).max()))
    assert 1.7 < rate(sizes, errors) < 2.3


@pytest.mark.parametrize(
    "mesh", [ball(4, grading=3.0), box(4, "hexahedron", grading=6.0), l_shape(4)]
)
def test_the_search_by_corners_finds_what_boxes_find(mesh: Mesh) -> None:
    """Far away, near, and in the middle, from where all facets are as near."""
    domain = boundary(mesh)
    far = np.random.default_rng(0).normal(0, 3, (100, mesh.points.shape[1]))
    points = torch.tensor(np.concatenate([mesh.points, far]))
    found, expected = nearest_in(domain, points), closest(domain, points)
    assert torch.equal(found.distance, expected.distance)
    assert torch.equal(found.simplex, expected.simplex)


def test_points_that_bound_no_facet_count_alone() -> None:
    mesh = square(4, "quad")
    middle = np.flatnonzero((mesh.points == 0.5).all(1))
    corner = np.flatnonzero((mesh.points == 1.0).all(1))
    mesh = replace(mesh, point_sets={"probes": np.concatenate([middle, corner])})
    near = np.minimum(
        np.linalg.norm(mesh.points - 0.5, axis=1),
        np.linalg.norm(mesh.points - 1.0, axis=1),
    )
    found = features(mesh, ["distance to probes"])[:, 0]
    assert_allclose(found, near, atol=1e-14)


def test_a_triangle_between_two_sides_is_no_part_of_their_points() -> None:
    """All corners of some cells lie on the boundary; a set of points on the boundary is
    a part of it all the same."""
    mesh = square(4)
    rim = replace(mesh, point_sets={"rim": mesh.boundary_points()})
    names = ["distance to rim", "distance to boundary"]
    both = features(rim, names, "cells")
    assert_allclose(both[:, 0], both[:, 1], atol=1e-14)
    assert both.min() > 0


@pytest.mark.parametrize("cell", ["tetra", "hexahedron"])
def test_a_region_of_cells_is_at_distance_zero_within(cell) -> None:
    mesh = box(4, cell)
    centre = from_mesh(mesh, "cells").points.numpy()
    low = np.flatnonzero(centre[:, 2] < 0.5)
    mesh = replace(mesh, cell_sets={"floor": low})
    found = features(mesh, ["distance to floor", "on floor"])
    z = mesh.points[:, 2]
    assert_allclose(found[:, 0], np.maximum(z - 0.5, 0), atol=1e-14)
    assert_allclose(from_mesh(mesh).weights.numpy() @ found[:, 1], 0.5, rtol=1e-13)
    on = features(mesh, ["on floor"], "cells")[:, 0]
    assert_allclose(on, centre[:, 2] < 0.5)


def test_an_indicator_of_a_boundary_vanishes_where_near_stays() -> None:
    """∫ exp(-x / 0.1) dx = (1 - exp(-10)) / 10 in the unit square."""
    sizes, on, near = [8, 16, 32], [], []
    for n in sizes:
        mesh = sided(square(n))
        weights = from_mesh(mesh).weights.numpy()
        means = weights @ features(mesh, ["on facets", "near facets"])
        on.append(float(means[0]))
        near.append(abs(float(means[1]) - (1 - np.exp(-10)) / 10))
    assert_allclose(on, [1 / 16, 1 / 32, 1 / 64], rtol=1e-9)
    assert 1.8 < rate(sizes, near) < 2.3
    mesh = sided(square(4, "quad"))
    for region in ("points", "lines", "facets"):
        assert features(mesh, [f"on {region}"], "cells").sum() == 4
    alone = replace(mesh, point_sets={"middle": [12]})
    with pytest.raises(FeatureError, match="of points and edges alone belongs to no"):
        features(alone, ["on middle"], "cells")


def test_near_falls_over_the_length_that_is_asked_for() -> None:
    mesh = sided(square(4))
    names = ["near facets within 0.3", "near facets"]
    found = features(mesh, names, length=2.0)
    x = mesh.points[:, 0]
    assert_allclose(found, np.stack([np.exp(-x / 0.6), np.exp(-x / 0.2)], 1))


# --- signed distances ---------------------------------------------------------------


def test_signed_distances_of_an_l_are_exact() -> None:
    points = np.random.default_rng(0).uniform(-1.5, 1.5, (400, 2))
    found = signed_distance(l_shape(3, "quad"), points)
    x, y = points.T
    outside = np.linalg.norm(np.maximum(np.abs(points) - 1, 0), axis=1)
    notch = np.hypot(np.minimum(x, 0), np.maximum(y, 0))
    inside = (np.abs(points) < 1).all(1) & ((x < 0) | (y > 0))
    assert_allclose(found[inside], -np.minimum(1 - abs(points).max(1), notch)[inside])
    hole = (x > 0) & (y < 0)
    apart = ~inside & ~hole
    assert_allclose(found[apart], outside[apart], atol=1e-14)
    within = hole & (np.abs(points) < 1).all(1)
    assert_allclose(found[within], np.minimum(x, -y)[within], atol=1e-14)


@pytest.mark.parametrize("cell", ["triangle", "quad"])
def test_signed_distances_of_a_torus_converge(cell) -> None:
    points = np.random.default_rng(1).uniform(-1.6, 1.6, (300, 3)) * [1, 1, 0.5]
    exact = np.hypot(np.hypot(points[:, 0], points[:, 1]) - 1, points[:, 2]) - 0.4
    sizes, errors = [8, 12, 18], []
    for n in sizes:
        found = signed_distance(torus(n, cell), points)
        errors.append(float(np.abs(found - exact).max()))
    assert 1.7 < rate(sizes, errors) < 2.4


def test_the_side_is_right_beyond_edges_and_corners() -> None:
    """Around the surface of a cube most nearest points are edges and corners; its
    cells that fill it say the same."""
    points = np.random.default_rng(2).uniform(-1, 2, (500, 3))
    body = box(2, "tetra")
    found = signed_distance(body.boundary(), points)
    assert_allclose(found, signed_distance(body, points), atol=1e-14)
    flat = square(3)
    plane = points[:, :2]
    found = signed_distance(flat.boundary(), plane)
    assert_allclose(found, signed_distance(flat, plane), atol=1e-14)


# --- normals, curvature, thickness --------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("shape", "sizes"), [(disk, [6, 9, 14]), (ball, [4, 6, 9])])
def test_features_of_round_bodies_converge(shape, sizes, family) -> None:
    """The normal has the error O(h) of the facets, all else O(h²)."""
    errors: dict[str, list[float]] = {}
    for n in sizes:
        mesh = shape(n, **family)
        d = mesh.points.shape[1]
        names = ["boundary normal", "mean curvature", "thickness"]
        found = features(mesh, names)
        r = np.linalg.norm(mesh.points, axis=1)
        off = r > 0.2
        error = np.where(off[:, None], found[:, :d], 0)
        error[off] -= mesh.points[off] / r[off, None]
        errors.setdefault("normal", []).append(size(mesh, error))
        errors.setdefault("mean curvature", []).append(size(mesh, found[:, d] - 1))
        errors.setdefault("thickness", []).append(size(mesh, found[:, d + 1] - 2))
    assert rate(sizes, errors["normal"]) > 0.85
    assert rate(sizes, errors["mean curvature"]) > 1.7
    assert rate(sizes, errors["thickness"]) > 1.7
    assert errors["mean curvature"][-1] < 0.05


@pytest.mark.parametrize("family", [*FAMILIES, {"jitter": 0.2}])
def test_curvatures_and_thickness_of_a_torus_converge(family) -> None:
    # odd ones: where nodes face nodes, chords have nothing to add to the thickness
    sizes, errors = [11, 17, 25], {"H": [], "K": [], "t": []}
    for n in sizes:
        mesh = torus(n, **family)
        x, y, _ = mesh.points.T
        reach = np.hypot(x, y)
        cosine = (reach - 1) / 0.4
        names = ["mean curvature", "gaussian curvature", "thickness"]
        mean, gauss, thick = features(mesh, names).T
        exact = 0.5 * (1 / 0.4 + cosine / reach)
        errors["H"].append(size(mesh, mean - exact))
        errors["K"].append(size(mesh, gauss - cosine / 0.4 / reach))
        errors["t"].append(size(mesh, thick - 0.8))
    for name, found in errors.items():
        assert rate(sizes, found) > 1.7, (name, found)


@pytest.mark.parametrize("cell", ["triangle", "quad"])
def test_curvatures_of_a_cylinder_at_open_edges(cell) -> None:
    """One ring more where the surface ends; of a sphere K is 1, not here."""
    sizes, errors = [6, 9, 14], []
    for n in sizes:
        flat = square(n, cell)
        x, y = flat.points.T
        bent = np.stack([np.cos(x), np.sin(x), y], 1)
        mesh = Mesh(bent, flat.cells)
        mean, gauss = features(mesh, ["mean curvature", "gaussian curvature"]).T
        errors.append(float(np.abs(mean - 0.5).max()))
        assert np.abs(gauss).max() < 3 * errors[-1]
    assert rate(sizes, errors) > 1.4
    assert errors[-1] < 0.02


def test_curvature_turns_its_sign_with_the_surface() -> None:
    mesh = icosphere(5)
    inside_out = Mesh(mesh.points, {"triangle": mesh.cells["triangle"][:, ::-1]})
    names = ["mean curvature", "gaussian curvature"]
    out, back = features(mesh, names), features(inside_out, names)
    assert_allclose(out, back * [-1, 1], atol=1e-10)


@pytest.mark.parametrize("at", ["points", "cells"])
@pytest.mark.parametrize("family", FAMILIES)
def test_curvatures_of_a_sphere_converge(family, at) -> None:
    """At a scale they are exact but for the facets."""
    sizes, errors = [5, 8, 12], []
    names = ["mean curvature", "gaussian curvature", "mean curvature within 0.4"]
    for n in sizes:
        found = features(icosphere(n, **family), names, at)
        errors.append(np.abs(found - 1).max(0))
    assert errors[-1][0] < 0.05
    for k in range(3):
        assert rate(sizes, [error[k] for error in errors]) > 1.6


def at_scale(s: float, radius: float) -> float:
    """The curvature at (s, 0) of the quadrant x, y > 0 at a scale, by fine sums."""
    t = (np.arange(4000) + 0.5) * (2 * radius / 4000)
    zero, one = np.zeros_like(t), np.ones_like(t)
    places = np.concatenate([np.stack([t, zero], 1), np.stack([zero, t], 1)])
    normals = -np.concatenate([np.stack([zero, one], 1), np.stack([one, zero], 1)])
    gap = ((places - [s, 0]) ** 2).sum(1) / radius**2
    share = np.maximum(1 - gap, 0) * (1 - normals[:, 1]) / 2
    offset = places - share @ places / share.sum()
    return float((share @ (normals * offset).sum(1)) / (share @ (offset**2).sum(1)))


@pytest.mark.parametrize("family", FAMILIES)
def test_curvature_at_a_scale_converges_beside_corners_too(family) -> None:
    """Of the unit square: pointwise curvature grows like 1/h, that of a scale has a
    limit."""
    sizes, sharp, errors = [8, 16, 32], [], []
    for n in sizes:
        mesh = square(n, **family)
        names = ["mean curvature", "mean curvature within 0.4"]
        found = features(mesh, names)
        x, y = mesh.points.T
        chosen = (y == 0) & (x > 0) & (x < 0.6)
        exact = [at_scale(s, 0.4) for s in x[chosen]]
        sharp.append(float(np.abs(found[:, 0]).max()))
        errors.append(float(np.abs(found[chosen, 1] - exact).max()))
    assert 0.8 < -rate(sizes, sharp) < 1.2
    assert rate(sizes, errors) > 0.9
    assert errors[-1] < 0.05


@pytest.mark.parametrize("grading", [1.0, 3.0])
def test_an_annulus_is_as_thick_from_both_sides(grading) -> None:
    """A node faces a node here, so that the thickness is exact."""
    sizes, bends = [3, 5, 8], []
    for n in sizes:
        mesh = annulus(n, grading)
        thick, bend = features(mesh, ["thickness", "mean curvature"]).T
        r = np.linalg.norm(mesh.points, axis=1)
        outer, inner = r > 0.76, r < 0.74
        gap = np.where(outer, bend - 1, np.where(inner, bend + 2, 0))
        bends.append(float(np.abs(gap).max()))
        assert_allclose(thick, 0.5, atol=1e-12)
    assert rate(sizes, bends) > 1.7
    assert bends[-1] < 0.05


def test_thickness_of_a_square_and_its_corners() -> None:
    mesh = square(6, grading=2.0)
    found = features(mesh, ["thickness"])[:, 0]
    corner = np.isin(mesh.points, [0, 1]).all(1)
    side = np.isin(mesh.points, [0, 1]).any(1) & ~corner
    assert_allclose(found[side], 1, atol=1e-12)
    assert found[corner].max() <= np.sqrt(2) + 1e-12


# --- what does not matter -----------------------------------------------------------


def test_numbers_of_points_and_cells_do_not_matter() -> None:
    mesh = ball(3, jitter=0.2)
    rim = mesh.boundary_points()
    mesh = replace(mesh, point_sets={"cap": rim[mesh.points[rim, 2] > 0.3]})
    names = ["distance to cap", "boundary normal", "mean curvature", "thickness"]
    order = np.random.default_rng(0).permutation(len(mesh.points))
    place = np.argsort(order)
    cells = place[mesh.cells["tetra"]]
    cells = cells[np.random.default_rng(1).permutation(len(cells))]
    other = Mesh(
        mesh.points[order],
        {"tetra": cells},
        point_sets={"cap": place[mesh.point_sets["cap"]]},
    )
    a, b = features(mesh, names), features(other, names)[place]
    assert_allclose(a, b, atol=1e-9)


def test_quadratic_cells_have_features(mesh_of) -> None:
    for kind in ("triangle6", "quad8", "tetra10", "hexahedron20"):
        mesh = mesh_of(kind)
        near = np.minimum(mesh.points, 1 - mesh.points).min(1)
        found = features(mesh, ["distance to boundary", "thickness"])
        assert_allclose(found[:, 0], near, atol=1e-13)
        assert np.isfinite(found).all()


# --- what a mesh has not got --------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("distance", r"'distance' is no feature; expected one of \"distance to R\""),
        ("node degree", "'node degree' is no feature"),
        ("near facets within -1", "above 0 after 'within', got '-1'"),
        (
            "distance to inlet",
            r"inlet.: no region 'inlet'; it has 'empty', 'facets', 'l",
        ),
        ("distance to empty", "'distance to empty': the region 'empty' is empty"),
        ("gaussian curvature", "curves in the plane have no Gaussian curvature"),
    ],
)
def test_what_there_is_not_is_said(name: str, message: str) -> None:
    mesh = sided(square(3))
    mesh = replace(mesh, point_sets={**mesh.point_sets, "empty": []})
    with pytest.raises(FeatureError, match=message):
        features(mesh, [name])
    with pytest.raises(FeatureError, match=message):
        check_features(mesh, [name])


def test_curvatures_need_neighbours() -> None:
    with pytest.raises(
        FeatureError, match=r"12 of 12 points of the surface, .* within 0.05: take a la"
    ):
        features(square(3), ["mean curvature within 0.05"])
    corners = Mesh(np.eye(3)[:, :2], {"triangle": np.arange(3)[None]})
    with pytest.raises(FeatureError, match=r"3 of 3 points .* in 5 rings of cells"):
        features(corners, ["mean curvature"])


def test_clouds_have_their_named_points_alone() -> None:
    mesh = square(4, "quad")
    cloud = Mesh(
        mesh.points, point_sets={"left": np.flatnonzero(mesh.points[:, 0] == 0)}
    )
    found = features(cloud, ["distance to left"])[:, 0]
    assert_allclose(found, mesh.points[:, 0], atol=1e-14)
    with pytest.raises(
        FeatureError, match=r"cloud of points .* has no boundary; .*'left'"
    ):
        features(cloud, ["distance to boundary"])
    for name in ("thickness", "boundary normal", "mean curvature"):
        with pytest.raises(FeatureError, match=f"'{name}': a cloud"):
            features(cloud, [name])
    named = replace(cloud, point_sets={"boundary": mesh.boundary_points()})
    found = features(named, ["distance to boundary"])[:, 0]
    assert found.max() == pytest.approx(0.5)


def test_closed_and_open_surfaces() -> None:
    with pytest.raises(FeatureError, match="the mesh is closed: it has no boundary"):
        features(icosphere(3), ["distance to boundary"])
    with pytest.raises(FeatureError, match="expected cells that fill the space, got a"):
        features(icosphere(3), ["boundary normal"])
    flat = square(3)
    sheet = Mesh(np.pad(flat.points, ((0, 0), (0, 1))), flat.cells)
    found = features(sheet, ["distance to boundary"])[:, 0]
    assert_allclose(found, np.minimum(flat.points, 1 - flat.points).min(1), atol=1e-14)
    with pytest.raises(
        FeatureError, match=r"behind 16 of 16 points .* no opposite side"
    ):
        features(sheet, ["thickness"])
    with pytest.raises(FeatureError, match="enclose nothing: expected cells that fill"):
        signed_distance(sheet, np.zeros((1, 3)))
    with pytest.raises(FeatureError, match=r"points: expected finite numbers \(M, 3\)"):
        signed_distance(icosphere(2), np.zeros((1, 2)))


def test_names_and_shapes() -> None:
    assert Feature.parsed("distance to a within b").region == "a within b"
    assert Feature.parsed("near a within 0.2") == Feature("near", "a", 0.2)
    assert Feature.parsed("boundary normal").shape(3) == (3,)
    assert Feature.parsed("gaussian curvature").power == -2
    with pytest.raises(ValueError, match='at: expected "points" or "cells"'):
        features(square(2), [], "nodes")
    assert features(square(2), []).shape == (9, 0)
