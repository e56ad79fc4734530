"""Measures of point clouds: Voronoi cells in a domain, alpha shapes, surfaces."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull, Voronoi

from isofield.discretization import from_mesh, from_points
from isofield.generation import (
    ball,
    box,
    disk,
    icosphere,
    l_shape,
    plate_with_holes,
    square,
    torus,
)
from isofield.mesh import Mesh, MeshError
from isofield.voronoi import voronoi_measure
from isofield.voronoi.angles import angle_share
from isofield.voronoi.domain import (
    _reached,
    _smallest,
    alpha_simplices,
    hull_simplices,
    mesh_simplices,
)

UNIT = {1: torch.tensor([[[0.0], [1.0]]]).double()}
UNIT[2] = torch.tensor(mesh_simplices(square(1)))
UNIT[3] = torch.tensor(mesh_simplices(box(1)))


def cloud(n: int, d: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, d, generator=generator, dtype=torch.float64)


def lattice(n: int, d: int) -> torch.Tensor:
    axis = torch.linspace(0, 1, n + 1, dtype=torch.float64)
    return torch.cartesian_prod(*[axis] * d).view(-1, d)


@pytest.mark.parametrize(("d", "n"), [(1, 40), (2, 400), (3, 150)])
@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_weights_sum_to_the_measure_of_the_domain(d, n, offset):
    """Whatever the points: random, on a lattice, or most of them outside."""
    for points in (cloud(n, d), lattice({1: 20, 2: 9, 3: 4}[d], d), 4 * cloud(n, d)):
        weights = voronoi_measure(points + offset, UNIT[d] + offset)
        assert (weights >= 0).all()
        assert abs(float(weights.sum()) - 1) < 1e-12 * (1 + offset)


@pytest.mark.parametrize(("d", "n"), [(2, 300), (3, 150)])
def test_cells_within_the_domain_are_those_of_qhull(d, n):
    points = cloud(n, d)
    weights = voronoi_measure(points, UNIT[d])
    diagram = Voronoi(points.numpy())
    checked = 0
    for i, region in enumerate(diagram.point_region):
        corners = diagram.vertices[diagram.regions[region]]
        inside = -1 not in diagram.regions[region]
        if inside and (corners > 0).all() and (corners < 1).all():
            assert abs(float(weights[i]) - ConvexHull(corners).volume) < 1e-12
            checked += 1
    assert checked > n / 5


def test_cells_on_a_line_reach_half_way_to_the_neighbours():
    points = cloud(30, 1)
    order = points[:, 0].argsort()
    x = points[order, 0]
    ends = torch.cat([torch.zeros(1), (x[1:] + x[:-1]) / 2, torch.ones(1)])
    weights = voronoi_measure(points, UNIT[1])[order]
    torch.testing.assert_close(weights, ends.diff(), rtol=0, atol=1e-15)


@pytest.mark.parametrize(("d", "n"), [(1, 8), (2, 6), (3, 3)])
def test_on_a_lattice_every_bisector_is_tied_and_every_cell_is_exact(d, n):
    """Nodes own a box, halved for each face of the cube on which they lie."""
    nodes = lattice(n, d)
    faces = ((nodes == 0) | (nodes == 1)).sum(1)
    expected = 0.5 ** faces.double() / n**d
    for simplices in (UNIT[d], refined_cube(d, n)):
        weights = voronoi_measure(nodes, simplices)
        torch.testing.assert_close(weights, expected, rtol=1e-12, atol=0)
        centres = (nodes[(nodes < 1).all(1)] * n + 0.5) / n
        weights = voronoi_measure(centres, simplices)
        torch.testing.assert_close(weights * n**d, torch.ones(n**d).double())


def refined_cube(d: int, n: int) -> torch.Tensor:
    """Simplices of the unit cube whose faces lie on the lattice's bisectors."""
    if d == 1:
        nodes = lattice(n, 1)
        return torch.stack([nodes[:-1], nodes[1:]], dim=1)
    return torch.tensor(mesh_simplices(square(n) if d == 2 else box(n)))


@pytest.mark.parametrize(("d", "n"), [(2, 200), (3, 60)])
def test_weights_belong_to_the_domain_and_not_to_its_mesh(d, n):
    """A domain of few large simplices, of many small, of graded and jittered ones."""
    points = cloud(n, d)
    coarse = voronoi_measure(points, UNIT[d])
    shape = square if d == 2 else box
    for mesh in (shape(7, jitter=0.2), shape(5, grading=8)):
        weights = voronoi_measure(points, torch.tensor(mesh_simplices(mesh)))
        torch.testing.assert_close(weights, coarse, rtol=0, atol=1e-14)


def test_monte_carlo_agrees_in_a_domain_with_holes():
    """The share of random places nearest to each point: within 6 standard errors."""
    mesh = plate_with_holes(10)
    points = cloud(60, 2)
    simplices = torch.tensor(mesh_simplices(mesh))
    weights = voronoi_measure(points, simplices)
    area = from_mesh(mesh, at="cells").weights
    generator = torch.Generator().manual_seed(1)
    cell = torch.multinomial(area, 200_000, replacement=True, generator=generator)
    part = torch.rand(200_000, 2, generator=generator, dtype=torch.float64)
    part = torch.where(part.sum(1, keepdim=True) > 1, 1 - part, part)
    corner = simplices[cell]
    edges = corner[:, 1:] - corner[:, :1]
    places = corner[:, 0] + (part[..., None] * edges).sum(1)
    owner = torch.cdist(places, points).argmin(1)
    share = torch.bincount(owner, minlength=60) / len(places)
    error = (share * (1 - share) / len(places)).sqrt() + 1e-6
    assert float(((weights / area.sum() - share).abs() / error).max()) < 6


@pytest.mark.parametrize(("d", "n"), [(1, 6), (2, 12), (3, 7)])
def test_gradcheck(d, n):
    points = cloud(n, d, seed=5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: voronoi_measure(x, UNIT[d]), points)


@pytest.mark.parametrize("cell", ["quad", "triangle"])
def test_gradcheck_where_bisectors_lie_on_the_edges_of_the_mesh(cell):
    """The centres of quads, or the nodes: the measure is smooth, the cuts are not."""
    mesh = square(3, cell)
    at = "cells" if cell == "quad" else "points"
    points = from_mesh(mesh, at=at).points.clone().requires_grad_()
    domain = square(3, "quad")
    assert torch.autograd.gradcheck(
        lambda x: from_points(x, domain=domain).weights, points
    )


def test_the_derivative_of_the_sum_vanishes():
    """Cells that grow take from others: the domain stays."""
    points = cloud(100, 3).requires_grad_()
    voronoi_measure(points, UNIT[3]).sum().backward()
    assert points.grad is not None
    assert float(points.grad.abs().max()) < 1e-14


def test_permuting_points_and_simplices_permutes_the_weights():
    points, simplices = cloud(80, 2), torch.tensor(mesh_simplices(disk(4)))
    order = torch.randperm(80, generator=torch.Generator().manual_seed(0))
    weights = voronoi_measure(points, simplices)
    turned = simplices.flip(0).roll(1, dims=1)
    permuted = voronoi_measure(points[order], turned)
    torch.testing.assert_close(permuted, weights[order], rtol=0, atol=1e-15)


@pytest.mark.parametrize("d", [2, 3])
def test_integrals_converge_with_random_points(d):
    """∫ exp(x) over the cube: O(h²) in the mean, h = N^(-1/d), as the terms of first
    order have random signs; a rate above 1 over a factor of 16 in N."""
    sizes = [100, 400, 1600] if d == 2 else [20, 80, 320]
    errors = []
    for n in sizes:
        points = [cloud(n, d, seed) for seed in range(6)]
        sums = [
            float((voronoi_measure(x, UNIT[d]) * x[:, 0].exp()).sum()) for x in points
        ]
        errors.append(math.sqrt(np.mean((np.array(sums) - (math.e - 1)) ** 2)))
    spacing = np.array(sizes, dtype=float) ** (-1 / d)
    rate = np.polyfit(np.log(spacing), np.log(errors), 1)[0]
    assert 1.2 < rate < 3.5


def test_points_at_one_place_share_a_cell_evenly():
    """Splitting points into copies leaves the others' weights alone."""
    points = cloud(50, 2)
    weights = from_points(points, domain=square(1)).weights
    split = from_points(
        torch.cat([points, points[:7], points[:2]]), domain=square(1)
    ).weights
    torch.testing.assert_close(split[7:50], weights[7:], rtol=1e-14, atol=0)
    torch.testing.assert_close(split[2:7], weights[2:7] / 2, rtol=1e-14, atol=0)
    torch.testing.assert_close(split[:2], weights[:2] / 3, rtol=1e-14, atol=0)
    torch.testing.assert_close(split[57:], split[:2], rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    "mesh",
    [
        square(4, "quad"),
        box(2, "hexahedron"),
        box(2, "wedge"),
        disk(4).refined(),
    ],
    ids=["quads", "hexahedra", "wedges", "disk"],
)
def test_every_mesh_is_a_domain(mesh):
    points = cloud(40, mesh.points.shape[1]) / 2
    total = from_points(points, domain=mesh).measure()
    torch.testing.assert_close(total, from_mesh(mesh).measure(), rtol=1e-12, atol=0)


def test_a_quadratic_mesh_is_followed_through_its_middle_nodes():
    """A half disc of one radius: the polygon through 17 nodes is 0.6 % too small, the
    one through the 9 corners alone 2.6 %."""
    angle = np.linspace(0, 2 * math.pi, 17)[:16]
    rim = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    corners = np.arange(0, 16, 2)
    points = np.concatenate([np.zeros((1, 2)), rim, rim[corners] / 2])
    cells = [
        [0, 1 + c, 1 + (c + 2) % 16, 17 + c // 2, 2 + c, 17 + (c // 2 + 1) % 8]
        for c in corners
    ]
    mesh = Mesh(points, {"triangle6": np.array(cells)})
    total = float(from_points(cloud(9, 2), domain=mesh).measure())
    assert total == pytest.approx(8 * math.sin(2 * math.pi / 16), rel=0.01)
    assert total > 8 * math.sin(2 * math.pi / 8) / 2 * 1.05


MESHES = {
    "plate, 180 nodes": lambda: plate_with_holes(12),
    "plate, 1132 nodes": lambda: plate_with_holes(32),
    "graded plate": lambda: plate_with_holes(16, grading=4),
    "jittered L": lambda: l_shape(8, jitter=0.2),
    "L lattice": lambda: l_shape(8),
    "graded square": lambda: square(12, grading=4),
    "ball": lambda: ball(4),
    "box lattice": lambda: box(4),
}


@pytest.mark.parametrize("name", MESHES)
def test_the_alpha_shape_of_the_nodes_of_a_mesh_is_the_mesh(name):
    """Holes and notches are found: the same weights as with the mesh as domain.

    But for one triangle in the re-entrant corner of an L, and some on the coarse outer
    side of a graded mesh, beside points that have fine neighbours alone.
    """
    mesh = MESHES[name]()
    points = torch.tensor(mesh.points)
    alpha, known = from_points(points), from_points(points, domain=mesh)
    excess = float((alpha.weights - known.weights).abs().sum() / known.measure())
    known_gaps = {"graded plate": 1e-3, "jittered L": 3e-3, "L lattice": 3e-3}
    assert excess < known_gaps.get(name, 1e-12)
    if name not in ("ball", "box lattice", "graded square"):
        hull = float(from_points(points, domain="hull").measure() / known.measure())
        assert hull > 1.1


@pytest.mark.parametrize("n", [1000, 10_000])
def test_a_random_cloud_lacks_about_half_a_spacing_at_its_boundary(n):
    """Perimeter times half a spacing h = N^(-1/2), within a factor of 0.5 to 1.5."""
    points = cloud(2 * n, 2, seed=2)
    perimeter, area = 4.0, 1.0
    for x, y, radius in ((0.35, 0.4, 0.15), (0.7, 0.7, 0.12)):
        centre = torch.tensor([x, y], dtype=torch.float64)
        points = points[(points - centre).norm(dim=1) > radius]
        perimeter += 2 * math.pi * radius
        area -= math.pi * radius**2
    points = points[:n]
    total = float(from_points(points).measure())
    strip = perimeter * math.sqrt(area / n) / 2
    assert area - 1.5 * strip < total < area - 0.5 * strip


def inside(n: int, shape: str, seed: int) -> tuple[torch.Tensor, float]:
    """Points strictly inside, random or with a distance to each other; the measure."""
    points = cloud(4 * n, 3 if shape == "box" else 2, seed=seed)
    if shape == "disk":
        points = points[(points - 0.5).norm(dim=1) < 0.5]
    if shape == "apart":
        near = torch.cdist(points, points) < 0.6 / math.sqrt(n)
        kept: list[int] = []
        for i in range(len(points)):
            if not near[i, kept].any():
                kept.append(i)
        points = points[kept]
    return points[:n], math.pi / 4 if shape == "disk" else 1.0


@pytest.mark.parametrize(
    ("shape", "n", "factor"),
    [("square", 500, 2.5), ("disk", 500, 2.5), ("apart", 500, 10), ("box", 250, 5)],
)
def test_clouds_strictly_inside_lack_less_when_told(shape, n, factor):
    """In the mean over clouds: the lack of one varies by 1 % of the whole in 2-D."""
    lack = []
    for seed in range(6):
        points, truth = inside(n, shape, seed)
        assert len(points) == n
        touching = from_points(points).weights
        told = from_points(points, on_boundary=False).weights
        more = told / touching
        assert float(more.min()) > 1 - 1e-12
        share = {"box": 0.6}.get(shape, 0.15)
        assert 0.02 < float((more > 1 + 1e-9).double().mean()) < share
        lack.append([1 - float(w.sum()) / truth for w in (touching, told)])
    untold, left = torch.tensor(lack).mean(0).tolist()
    assert untold > 0.02
    assert abs(left) < untold / factor


@pytest.mark.parametrize(
    ("shape", "low", "high"), [("square", 0.9, 1.05), ("apart", 0.5, 0.85)]
)
def test_outer_cells_gain_from_the_inner_ones_where_those_are_alike(shape, low, high):
    """Root mean square error over the outer cells, against that of bare division."""
    ours, divided = [], []
    for seed in range(6):
        points, _ = inside(500, shape, seed)
        truth = voronoi_measure(points, UNIT[2])
        simplices = alpha_simplices(points.numpy())
        share = torch.from_numpy(angle_share(points.numpy(), simplices))
        clipped = from_points(points).weights
        outer = share < 1 - 1e-6
        told = from_points(points, on_boundary=False).weights
        ours.append((told - truth)[outer].square().mean())
        divided.append((clipped / share - truth)[outer].square().mean())
    ratio = float((sum(ours) / sum(divided)) ** 0.5)
    assert low < ratio < high


@pytest.mark.parametrize(("d", "n"), [(1, 9), (2, 12), (3, 5)])
def test_cell_centres_of_a_lattice_stand_for_whole_cells(d, n):
    """Exact at faces, edges and corners; half, a quarter, an eighth if not told."""
    centres = (lattice(n - 1, d) * (n - 1) + 0.5) / n
    weights = from_points(centres, on_boundary=False).weights * n**d
    torch.testing.assert_close(weights, torch.ones(n**d).double(), rtol=1e-12, atol=0)
    corner = float(from_points(centres).weights.min()) * n**d
    assert corner == pytest.approx(0.5**d, rel=1e-12)


@pytest.mark.parametrize(("d", "n"), [(1, 30), (2, 200), (3, 100)])
def test_clouds_strictly_inside_know_no_order_no_place_and_no_copies(d, n):
    points = cloud(n, d)
    weights = from_points(points, on_boundary=False).weights
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    moved = from_points(3 * points[order] - 7, on_boundary=False).weights / 3**d
    torch.testing.assert_close(moved, weights[order], rtol=1e-9, atol=0)
    outermost = points[:, 0].argmin()
    doubled = torch.cat([points, points[outermost][None]])
    split = from_points(doubled, on_boundary=False).weights
    assert float(split[-1]) == pytest.approx(float(weights[outermost]) / 2, rel=1e-12)
    assert float(split.sum()) == pytest.approx(float(weights.sum()), rel=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_the_angles_of_any_triangulation_add_up(seed):
    """In the plane (T / 2) full angles; all around a point of its inside, one."""
    for d in (2, 3):
        points = cloud(60, d, seed).numpy()
        simplices = hull_simplices(points)
        share = angle_share(points, simplices)
        hull = np.zeros(60, dtype=bool)
        hull[ConvexHull(points).vertices] = True
        np.testing.assert_allclose(share[~hull], 1, rtol=1e-9)
        assert (share[hull] < 0.5).all()
        if d == 2:
            assert share.sum() == pytest.approx(len(simplices) / 2, rel=1e-12)


@pytest.mark.parametrize("seed", range(2))
def test_a_narrow_void_in_space_is_found_and_little_else_is_lost(seed):
    """A notch three spacings wide, a quarter of the cube: almost all of it was filled
    where a gap was a matter of each simplex alone; a cube without it stays whole."""
    whole = cloud(1400, 3, seed)
    notch = ((whole[:, 0] - 0.5).abs() < 0.15) & (whole[:, 2] > 0.3)
    for points, truth in ((whole[~notch], 1 - 0.3 * 0.7), (whole, 1.0)):
        told = from_points(points, on_boundary=False).measure()
        assert float(told) == pytest.approx(truth, rel=0.1)


@pytest.mark.parametrize("how", ["exact", "turned", "jittered"])
def test_a_slot_among_the_nodes_of_a_lattice_is_found(how):
    """Four spacings wide; rounding and jitter make slivers of the corners of squares,
    whose circumscribed balls are as large as chance will have them."""
    nodes = lattice(10, 3)
    slot = ((nodes[:, 0] - 0.5).abs() < 0.15) & (nodes[:, 2] > 0.35)
    points, generator = nodes[~slot], torch.Generator().manual_seed(1)
    noise = torch.randn(points.shape, generator=generator, dtype=torch.float64)
    if how == "turned":
        points = (points @ torch.linalg.qr(noise[:3]).Q).float().double()
    if how == "jittered":
        points = points + 0.002 * noise
    total = float(from_points(points).measure())
    assert total == pytest.approx(1 - 0.4 * 0.7, abs=0.02)


def test_a_point_that_chains_left_alone_keeps_its_smallest_simplex():
    """Point 4 has simplices 1, 2 and 3, of which 1 is larger than 2 and 3 is a gap by
    itself; point 5 has one that is."""
    numbers = np.array(
        [[0, 1, 2, 3], [1, 2, 3, 4], [0, 2, 3, 4], [0, 1, 2, 4], [0] * 3 + [5]]
    )
    size = np.array([1.0, 1.4, 1.3, 1.9, 2.0])
    kept = np.array([True, False, False, False, False])
    assert _smallest(size, numbers, kept, size > 1.8).tolist() == [2]


def test_a_cloud_of_which_chains_would_take_a_point():
    """Eleven points of a heat sink with fins, thousandths of its size."""
    x = [543, 778, 603, 321, 960, 864, 722, 406, 528, 587, 536]
    y = [113, 240, 122, 185, 362, 346, 169, 57, 89, 160, 94]
    z = [712, 82, 361, 177, 136, 188, 150, 278, 666, 406, 719]
    points = np.array([x, y, z]).T / 1000
    simplices = alpha_simplices(points).reshape(-1, 3)
    for point in points:
        assert (simplices == point).all(axis=1).any()
    assert len(from_points(torch.tensor(points))) == 11


def test_simplices_of_gaps_are_those_that_chains_reach():
    some = np.array([True, False, False, False, False])
    among = np.array([True, True, False, True, True])
    pairs = np.array([[0, 1], [1, 2], [2, 3], [3, 4]])
    found = _reached(some, among, pairs)
    assert found.tolist() == [True, True, False, False, False]
    assert not _reached(~among, among, pairs).any()


def test_a_hole_narrower_than_three_spacings_is_filled():
    """What the alpha shape cannot know: the documented limit, from both sides."""
    points = lattice(20, 2)
    for radius, found in ((0.06, False), (0.13, True)):
        outside = (points - 0.5).norm(dim=1) > radius
        total = float(from_points(points[outside]).measure())
        assert (total < 1 - 1e-3) == found


def test_clouds_on_a_line():
    points = cloud(40, 1)
    assert float(from_points(points, domain="hull").measure()) == pytest.approx(
        float(points.max() - points.min()), rel=1e-14
    )
    gap = torch.cat([points, points + 5])
    assert float(from_points(gap).measure()) < 2


def test_given_weights_are_kept():
    points, weights = cloud(5, 2), cloud(5, 1)[:, 0] + 1
    assert from_points(points, weights).weights is weights


def test_float32_points_give_float32_weights():
    points = cloud(200, 2).float()
    weights = from_points(points, domain=square(1)).weights
    exact = from_points(points.double(), domain=square(1)).weights
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights, exact.float(), rtol=1e-6, atol=0)


def test_what_from_points_refuses():
    points = cloud(30, 2)
    far = torch.cat([points, torch.tensor([[7.0, 7.0], [9.0, 9.0]])])
    with pytest.raises(ValueError, match=r"2 of 32 points own nothing .* number 30"):
        from_points(far, domain=square(2))
    with pytest.raises(ValueError, match="2 of 32 points own nothing"):
        from_points(far)
    with pytest.raises(ValueError, match="jumps as the points move"):
        from_points(points.clone().requires_grad_())
    with pytest.raises(ValueError, match="no derivative"):
        from_points(points.repeat(2, 1).requires_grad_(), domain=square(1))
    with pytest.raises(
        ValueError, match='"alpha", "hull" or "surface", got \'convex\''
    ):
        from_points(points, domain="convex")
    with pytest.raises(MeshError, match="dimension 2 for points with 2 coordinates"):
        from_points(points, domain=square(2).boundary())
    with pytest.raises(ValueError, match="line or a plane"):
        from_points(torch.cat([points, points[:, :1] * 0], dim=1))
    with pytest.raises(ValueError, match=r"d = 1, 2 or 3, got \(30, 4\)"):
        from_points(torch.cat([points, points], dim=1))
    gap = points.clone()
    gap[3, 0], gap[5, 1] = math.nan, math.inf
    for domain in ("alpha", "hull", square(1)):
        with pytest.raises(ValueError, match="2 of 30 places are not finite"):
            from_points(gap, domain=domain)
    with pytest.raises(ValueError, match="more than 2 places in 2-D, got 1"):
        from_points(points[:1].repeat(5, 1))
    with pytest.raises(ValueError, match="neighbours"):
        from_points(points, domain="surface")
    for domain in ("hull", "surface", square(1)):
        with pytest.raises(ValueError, match='on_boundary: only the domain "alpha"'):
            from_points(points, domain=domain, on_boundary=False)


def test_what_voronoi_measure_refuses():
    points = cloud(5, 2)
    with pytest.raises(ValueError, match="1 points lie at the place of another"):
        voronoi_measure(torch.cat([points, points[:1]]), UNIT[2])
    with pytest.raises(ValueError, match=r"simplices .* got"):
        voronoi_measure(points, UNIT[3])
    with pytest.raises(ValueError, match="finite"):
        voronoi_measure(points * math.nan, UNIT[2])
    with pytest.raises(ValueError, match="the domain is fixed"):
        voronoi_measure(points, UNIT[2].clone().requires_grad_())
    with pytest.raises(ValueError, match="at least one"):
        voronoi_measure(points[:0], UNIT[2])


def sphere(n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    return points / points.norm(dim=1, keepdim=True)


def test_a_random_cloud_on_a_sphere():
    """Total and second moment within 0.3 %; each weight near that of an independent
    estimate from an intrinsic triangulation (Sharp and Crane 2020)."""
    oracle = pytest.importorskip("robust_laplacian")
    points = sphere(4000)
    weights = from_points(points, domain="surface").weights
    total, second = float(weights.sum()), float((weights * points[:, 2] ** 2).sum())
    assert total == pytest.approx(4 * math.pi, rel=0.003)
    assert second == pytest.approx(4 * math.pi / 3, rel=0.003)
    mass = oracle.point_cloud_laplacian(points.numpy())[1].diagonal()
    difference = np.abs(weights.numpy() - mass)
    assert difference.sum() / mass.sum() < 0.15
    assert np.corrcoef(weights.numpy(), mass)[0, 1] > 0.9


def test_the_area_of_a_curved_surface_converges_with_the_second_order():
    """The nodes of spheres and tori, where the area is known: O(h²)."""
    for meshes, exact in (
        ([icosphere(n) for n in (5, 10, 20)], 4 * math.pi),
        ([torus(n) for n in (8, 16, 32)], None),
    ):
        totals = [
            float(from_points(torch.tensor(m.points), domain="surface").measure())
            for m in meshes
        ]
        fine = exact or torus_area()
        errors = np.abs(np.array(totals) / fine - 1)
        rate = np.polyfit(np.log([4, 2, 1]), np.log(errors), 1)[0]
        assert 1.5 < rate < 3.5, (totals, errors)
        assert errors[-1] < 5e-3


def torus_area() -> float:
    """4 π² R r of the torus that `torus` meshes, its radii read off the points."""
    points = torus(8).points
    outer = np.linalg.norm(points[:, :2], axis=1)
    return math.pi**2 * (outer.max() ** 2 - outer.min() ** 2)


def test_an_open_surface_lacks_half_a_spacing_at_its_rim():
    points = sphere(4000)
    points[:, 2] = points[:, 2].abs()
    total = float(from_points(points, domain="surface").measure())
    strip = math.sqrt(2 * math.pi / 4000) / 2
    assert 1 - 1.5 * strip < total / (2 * math.pi) < 1 - 0.5 * strip


def test_a_flat_sheet_in_space_has_the_weights_of_the_plane_however_it_lies():
    """The nodes of a plate with holes, turned in space."""
    mesh = plate_with_holes(16)
    plane = torch.tensor(mesh.points)
    flat = torch.nn.functional.pad(plane, (0, 1))
    turn = torch.linalg.qr(cloud(3, 3) + torch.eye(3).double()).Q
    weights = from_points(flat @ turn.T + 5, domain="surface").weights
    known = from_points(plane).weights
    torch.testing.assert_close(weights, known, rtol=1e-9, atol=0)


def test_a_lattice_on_a_surface_has_no_preferred_diagonal():
    """Four nodes of a square lie on a circle: any triangulation gives equal cells."""
    nodes = torch.nn.functional.pad(lattice(10, 2), (0, 1))
    weights = from_points(nodes, domain="surface").weights
    faces = ((nodes[:, :2] == 0) | (nodes[:, :2] == 1)).sum(1)
    torch.testing.assert_close(weights, 0.5 ** faces.double() / 100, rtol=1e-9, atol=0)


def test_what_surfaces_refuse():
    with pytest.raises(ValueError, match="at least 6"):
        from_points(sphere(40), domain="surface", neighbours=4)
    line = torch.arange(40, dtype=torch.float64)[:, None] * torch.ones(3)
    with pytest.raises(ValueError, match="in one line"):
        from_points(line, domain="surface", neighbours=8)
    with pytest.raises(ValueError, match="jumps as the points move"):
        from_points(sphere(40).requires_grad_(), domain="surface")
