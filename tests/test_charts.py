"""Charts around points: neighbours as seen from within a surface."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from isofield import Discretization, from_mesh, radius_graph
from isofield.charts import (
    chart_dimension,
    frames,
    local_coordinates,
    normals_at,
    transport,
)
from isofield.generation import disk, icosphere, random_surface, torus
from isofield.graph import Graph, mesh_graph
from isofield.mesh import Mesh
from isofield.testing.comparing import (
    fitted_rate,
    generator,
    picked,
    root_mean_square,
)

RING, TUBE = 1.0, 0.4


def cloud(points: Tensor, normals: Tensor | None = None) -> Discretization:
    return Discretization(points, torch.ones_like(points[:, 0]), normals=normals)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def on_sphere(n: int, seed: int = 0) -> Discretization:
    points = torch.nn.functional.normalize(random(n, 3, seed=seed), dim=1)
    return cloud(points, points)


def one_to_one(n: int) -> Graph:
    return Graph(torch.arange(n).expand(2, -1).contiguous(), n, n)


# ----------------------------------------------------------------------- frames


@pytest.mark.parametrize("d", [2, 3])
def test_frames_are_orthonormal_and_right_handed(d: int) -> None:
    """Also next to the pole at which they spin, and on it."""
    normals = torch.nn.functional.normalize(random(1000, d), dim=1)
    pole = torch.zeros(9, d, dtype=torch.float64)
    pole[:, -1] = -1
    pole[1:, 0] = 10.0 ** -torch.arange(1, 17, 2)
    normals = torch.cat([normals, torch.nn.functional.normalize(pole, dim=1), -pole])
    normals = torch.nn.functional.normalize(normals, dim=1)
    basis = torch.cat([frames(normals), normals[:, :, None]], 2)
    unit = torch.eye(d, dtype=torch.float64).expand(len(basis), d, d)
    torch.testing.assert_close(basis.mT @ basis, unit, atol=2e-15, rtol=0)
    if d == 3:
        assert float(torch.linalg.det(basis).min()) > 0.99


def test_frames_are_smooth_but_for_one_normal() -> None:
    """The derivative is that of the formula, and of size 1 in the upper half."""
    normals = on_sphere(40).points.requires_grad_()
    torch.autograd.gradcheck(frames, normals)
    near = on_sphere(2000).points
    near = near[near[:, 2] > -0.5]
    moved = torch.nn.functional.normalize(near + 1e-6 * random(len(near), 3), dim=1)
    step = (moved - near).norm(dim=1)
    assert float(((frames(moved) - frames(near)).norm(dim=(1, 2)) / step).max()) < 4


def test_the_frame_of_a_curve_runs_along_it() -> None:
    circle = from_mesh(disk(3).of_dimension(2)).points[:7]
    found = frames(torch.nn.functional.normalize(circle[1:], dim=1))[:, :, 0]
    assert float((circle[1:, 0] * found[:, 1] - circle[1:, 1] * found[:, 0]).min()) > 0


# ------------------------------------------------------ coordinates of neighbours


@pytest.mark.parametrize("d", [1, 2, 3])
def test_in_flat_space_coordinates_are_differences(d: int) -> None:
    points = cloud(random(200, d)), cloud(random(50, d, seed=1))
    graph, u = local_coordinates(*points, 0.7)
    assert torch.equal(graph.edge_index, radius_graph(*points, 0.7).edge_index)
    difference = points[0].points[graph.source] - points[1].points[graph.target]
    assert torch.equal(u, difference / 0.7)
    assert chart_dimension(points[0]) == d


def test_on_a_sphere_the_logarithm_is_exact() -> None:
    """Along great circles: the arc, in the direction of the tangent at its start."""
    sphere, radius = on_sphere(700), 1.2
    graph, u = local_coordinates(sphere, sphere, radius)
    x, y = sphere.points[graph.target], sphere.points[graph.source]
    own = graph.source == graph.target
    assert int(own.sum()) == len(sphere)
    assert float(u[own].abs().max()) < 1e-15
    x, y, u = x[~own], y[~own], u[~own]
    tangent = y - x * (x * y).sum(1, keepdim=True)
    sine = tangent.norm(dim=1)
    arc = torch.atan2(sine, (x * y).sum(1))
    expected = (arc / sine)[:, None] * tangent
    flat = torch.einsum("ed,edk->ek", expected, frames(x))
    torch.testing.assert_close(radius * u, flat, atol=1e-14, rtol=0)
    everyone = torch.atan2(
        torch.linalg.cross(sphere.points[:, None], sphere.points[None]).norm(dim=2),
        sphere.points @ sphere.points.T,
    )
    assert graph.n_edges == int((everyone <= radius).sum())
    assert chart_dimension(sphere) == 2


def test_on_a_circle_in_the_plane_coordinates_are_arcs() -> None:
    angle = torch.arange(0, 2 * math.pi, 0.1, dtype=torch.float64)
    points = torch.stack([angle.cos(), angle.sin()], 1)
    circle = cloud(points, points)
    graph, u = local_coordinates(circle, circle, 0.95)
    assert chart_dimension(circle) == u.shape[1] == 1
    ahead = angle[graph.source] - angle[graph.target]
    ahead = torch.remainder(ahead + math.pi, 2 * math.pi) - math.pi
    torch.testing.assert_close(0.95 * u[:, 0], ahead, rtol=0, atol=1e-14)
    assert int(ahead.abs().max() * 10) == 9


def cylinder(flat: Tensor, curvature: float) -> Discretization:
    """The plane rolled up: (s, z) -> (R sin(s/R), z, R cos(s/R)), R = 1 / curvature."""
    angle = curvature * flat[:, 0]
    zero = torch.zeros_like(angle)
    normal = torch.stack([angle.sin(), zero, angle.cos()], 1)
    return cloud(normal / curvature + torch.stack([zero, flat[:, 1], zero], 1), normal)


def test_a_cylinder_is_as_good_as_the_plane() -> None:
    """Bending without stretching changes no coordinate, whatever the frames."""
    flat = torch.rand(600, 2, generator=generator(0), dtype=torch.float64)
    expected = local_coordinates(cloud(flat), cloud(flat), 0.3)
    for curvature in (0.3, 1.0, 3.0):
        bent = cylinder(flat, curvature)
        angle = curvature * flat[:, 0]
        zero, one = torch.zeros_like(angle), torch.ones_like(angle)
        along = torch.stack([angle.cos(), zero, -angle.sin()], 1)
        axes = torch.stack([along, torch.stack([zero, one, zero], 1)], 2)
        graph, u = local_coordinates(bent, bent, 0.3, frames=axes)
        assert torch.equal(graph.edge_index, expected.graph.edge_index)
        torch.testing.assert_close(u, expected.coordinates, atol=1e-13, rtol=0)


def test_a_bent_mesh_is_as_good_as_the_flat_one_to_second_order() -> None:
    """The normals of the bent mesh are all that is not exact; radius over spacing 3."""
    errors, spacings = [], []
    for n in (6, 12, 24):
        mesh = disk(n)
        flat = cloud(torch.tensor(mesh.points))
        bent = cylinder(flat.points, 1.0).points
        rolled = from_mesh(Mesh(bent.numpy(), mesh.cells))
        inner = flat.points.norm(dim=1) < 0.6
        a, b = (_lengths(domain, flat, 3 / n, inner) for domain in (flat, rolled))
        errors.append(root_mean_square(a - b) / root_mean_square(a))
        spacings.append(1 / n)
    assert errors[-1] < 1e-3
    assert fitted_rate(spacings, errors) > 1.8


def _lengths(
    domain: Discretization, flat: Discretization, radius: float, inner: Tensor
) -> Tensor:
    """(E,) lengths of the pairs that are near in the plane, away from the boundary."""
    pairs = radius_graph(flat, flat, radius)
    graph, u = local_coordinates(domain, domain, 1.2 * radius, graph=pairs)
    assert graph.n_edges == pairs.n_edges
    return u.norm(dim=1)[inner[graph.target] & inner[graph.source]]


# -------------------------------------------------------- the geodesics of a torus


class Torus(NamedTuple):
    """Points, normals and frames (N, ...) at the angles (t, p) around ring and tube."""

    points: Tensor
    normals: Tensor
    frames: Tensor

    @classmethod
    def at(cls, angles: Tensor) -> Torus:
        t, p = angles[:, 0], angles[:, 1]
        zero, reach = torch.zeros_like(t), RING + TUBE * p.cos()
        radial = torch.stack([t.cos(), t.sin(), zero], 1)
        around = torch.stack([-t.sin(), t.cos(), zero], 1)
        up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
        normals = p.cos()[:, None] * radial + p.sin()[:, None] * up
        over = -p.sin()[:, None] * radial + p.cos()[:, None] * up
        points = reach[:, None] * radial + TUBE * p.sin()[:, None] * up
        return cls(points, normals, torch.stack([around, over], 2))


def shot(
    start: Tensor, heading: Tensor, length: float | Tensor
) -> tuple[Tensor, Tensor]:
    """Angles (N, 2) where geodesics end and the direction in which they arrive there.

    The geodesic equation of the torus, `t'' = 2 b sin(p) t' p' / w`,
    `p'' = -w sin(p) t'² / b` with w = a + b cos(p), by 200 steps of Runge and Kutta.
    """

    def slope(state: Tensor) -> Tensor:
        _, p, dt, dp = state.unbind(1)
        w = RING + TUBE * p.cos()
        turn = 2 * TUBE * p.sin() / w * dt * dp
        return torch.stack([dt, dp, turn, -w * p.sin() / TUBE * dt**2], 1)

    def speed(angles: Tensor) -> Tensor:
        w = RING + TUBE * angles[:, 1].cos()
        return torch.stack([w, torch.full_like(w, TUBE)], 1)

    state, h = torch.cat([start, heading / speed(start)], 1), length / 200
    for _ in range(200):
        a = slope(state)
        b = slope(state + h / 2 * a)
        c = slope(state + h / 2 * b)
        d = slope(state + h * c)
        state = state + h / 6 * (a + 2 * b + 2 * c + d)
    return state[:, :2], state[:, 2:] * speed(state[:, :2])


@pytest.fixture(scope="module")
def geodesics() -> dict[float, tuple[Tensor, Torus, Torus, Tensor]]:
    """Length -> headings, their starts, ends and directions there, of 1,000 paths."""
    start = 2 * math.pi * torch.rand(1000, 2, generator=generator(3)).double()
    heading = torch.nn.functional.normalize(random(1000, 2), dim=1)
    found = {}
    for length in (0.24, 0.12, 0.06):
        end, arrival = shot(start, heading, length)
        found[length] = heading, Torus.at(start), Torus.at(end), arrival
    return found


def test_on_a_torus_lengths_and_directions_converge(geodesics) -> None:
    """Relative to the length t: O(t⁴) in length and O(t³) in direction."""
    lengths, directions = [], []
    for length, (heading, x, y, _) in geodesics.items():
        _, u = local_coordinates(
            cloud(y.points, y.normals),
            cloud(x.points, x.normals),
            1.0,
            frames=x.frames,
            graph=one_to_one(len(heading)),
        )
        lengths.append(root_mean_square(u.norm(dim=1) / length - 1))
        directions.append(root_mean_square(u / u.norm(dim=1, keepdim=True) - heading))
    assert lengths[0] < 1e-4
    assert 3.8 < fitted_rate(list(geodesics), lengths) < 4.3
    assert directions[0] < 1e-3
    assert 2.8 < fitted_rate(list(geodesics), directions) < 3.3


def test_on_a_torus_transport_converges(geodesics) -> None:
    """Geodesics carry their own tangent along: O(t³)."""
    errors = []
    for heading, x, y, arrival in geodesics.values():
        turned = transport(
            one_to_one(len(heading)), y.normals, x.normals, y.frames, x.frames
        )
        back = torch.view_as_complex(turned) * torch.view_as_complex(arrival)
        errors.append(root_mean_square(torch.view_as_real(back) - heading))
    assert errors[0] < 5e-3
    assert 2.8 < fitted_rate(list(geodesics), errors) < 3.3


def test_the_length_is_the_same_from_both_sides() -> None:
    ring = from_mesh(torus(9, jitter=0.2))
    graph, u = local_coordinates(ring, ring, 0.5)
    back = graph.by_source.order
    assert torch.equal(graph.reversed().edge_index, graph.edge_index)
    torch.testing.assert_close(u.norm(dim=1), u.norm(dim=1)[back], rtol=0, atol=1e-15)


def test_lengths_are_those_of_shortest_paths_over_a_mesh() -> None:
    """Against exact polyhedral distances, on a surface of uneven curvature.

    Within half the size of the surface the closed form is off by less than 0.05 % of
    that in the mean; within a quarter by less than half as much, of which the normals
    of the mesh have their part.
    """
    import pygeodesic.geodesic as geodesic

    mesh = random_surface(1, 24)
    domain, centers = from_mesh(mesh), (5, 777, 3210)
    triangles = mesh.cells["triangle"].astype(np.int32)
    search = geodesic.PyGeodesicAlgorithmExact(mesh.points.copy(), triangles)
    exact = [search.geodesicDistances(np.array([c]), None)[0] for c in centers]
    distance, errors = torch.from_numpy(np.stack(exact)), []
    for radius in (0.5, 0.25):
        around = picked(domain, torch.tensor(centers))
        graph, u = local_coordinates(domain, around, radius)
        wrong = u.norm(dim=1) - distance[graph.target, graph.source] / radius
        errors.append(float(wrong.abs().mean()))
    assert errors[0] < 5e-4
    assert errors[1] < errors[0] / 2


# --------------------------------------------------------------------- transport


def complex_turn(domain: Discretization, graph: Graph, basis: Tensor) -> Tensor:
    assert domain.normals is not None
    turned = transport(graph, domain.normals, domain.normals, basis, basis)
    return torch.view_as_complex(turned)


def test_transport_around_a_triangle_on_the_sphere_turns_by_its_area() -> None:
    """Gauss and Bonnet; the area is the excess of the angles (van Oosterom 1983)."""
    corners = on_sphere(3, seed=5)
    a, b, c = corners.points
    graph = Graph(torch.tensor([[1, 2, 0, 2, 0, 1], [0, 0, 1, 1, 2, 2]]), 3, 3)
    turn = complex_turn(corners, graph, frames(corners.points))
    around = turn[4] * turn[3] * turn[0]  # 0 -> 2 -> 1 -> 0
    volume = torch.dot(a, torch.linalg.cross(b, c))
    excess = 2 * torch.atan2(volume, 1 + a @ b + b @ c + c @ a)
    assert float(excess.abs()) > 0.1
    assert abs(complex(around) - complex(torch.polar(excess * 0 + 1, -excess))) < 1e-14


def test_transport_is_a_rotation_that_the_way_back_undoes() -> None:
    sphere = on_sphere(300)
    graph = radius_graph(sphere, sphere, 1.3)
    turn = complex_turn(sphere, graph, frames(sphere.points))
    ones = torch.ones_like(turn.real)
    torch.testing.assert_close(turn.abs(), ones, rtol=0, atol=1e-14)
    back = turn[graph.by_source.order]
    torch.testing.assert_close(back * turn, ones.to(turn), rtol=0, atol=1e-14)


def turned(basis: Tensor, angle: Tensor) -> Tensor:
    """Frames after a turn by an angle (N,) about their normals."""
    c, s = angle.cos(), angle.sin()
    return basis @ torch.stack([c, -s, s, c], 1).view(-1, 2, 2)


def test_frames_turn_coordinates_and_transport() -> None:
    """By s at the source and t at the target: u by -t, phi by s - t."""
    ring = from_mesh(torus(8))
    assert ring.normals is not None
    basis = frames(ring.normals)
    angle = 6 * random(len(ring))
    other = turned(basis, angle)
    graph, u = local_coordinates(ring, ring, 0.5, frames=basis)
    again, v = local_coordinates(ring, ring, 0.5, frames=other)
    assert torch.equal(graph.edge_index, again.edge_index)
    t, s = angle[graph.target], angle[graph.source]
    expected = torch.view_as_complex(u) * torch.polar(torch.ones_like(t), -t)
    torch.testing.assert_close(torch.view_as_complex(v.contiguous()), expected)
    phi, psi = (complex_turn(ring, graph, basis), complex_turn(ring, graph, other))
    torch.testing.assert_close(psi, phi * torch.polar(torch.ones_like(t), s - t))


def test_opposite_normals_have_no_transport() -> None:
    normals = torch.tensor([[0.0, 0, 1], [0, 0, -1]])
    graph = Graph(torch.tensor([[1], [0]]), 2, 2)
    with pytest.raises(ValueError, match="from source 1 to target 0"):
        transport(graph, normals, normals, frames(normals), frames(normals))


# --------------------------------------------------------------- the same sheet


def sheets(gap: float, sign: float) -> Discretization:
    """Two squares one above the other; the normals of the upper one times the sign."""
    side = torch.linspace(0, 1, 11, dtype=torch.float64)
    flat = torch.cartesian_prod(side, side)
    points = [torch.nn.functional.pad(flat, (0, 1), value=z) for z in (0.0, gap)]
    up = torch.zeros_like(points[0])
    up[:, 2] = 1
    return cloud(torch.cat(points), torch.cat([up, sign * up]))


def crossing(graph: Graph) -> int:
    half = graph.n_sources // 2
    return int(((graph.source < half) != (graph.target < half)).sum())


def test_the_sides_of_a_plate_do_not_see_each_other() -> None:
    domain = sheets(0.05, -1)
    graph, _ = local_coordinates(domain, domain, 0.3)
    assert crossing(radius_graph(domain, domain, 0.3)) > 1000
    assert crossing(graph) == 0
    single = cloud(domain.points[:121], domain.normals[:121])  # type: ignore[index]
    alone = local_coordinates(single, single, 0.3).graph
    assert graph.n_edges == 2 * alone.n_edges


def test_sheets_with_like_normals_are_told_apart_by_edges_or_distance() -> None:
    assert crossing(local_coordinates(*[sheets(0.21, 1)] * 2, 0.3).graph) == 0
    near = sheets(0.05, 1)
    assert crossing(local_coordinates(near, near, 0.3).graph) > 0
    grid = Graph(_grid_edges(11), 242, 242)
    graph, u = local_coordinates(near, near, 0.3, edges=grid)
    assert crossing(graph) == 0
    single = cloud(near.points[:121], near.normals[:121])  # type: ignore[index]
    alone = local_coordinates(single, single, 0.3)
    assert torch.equal(u[: len(u) // 2], alone.coordinates)


def _grid_edges(n: int) -> Tensor:
    number = torch.arange(2 * n * n).view(2, n, n)
    pairs = [
        torch.stack([number[:, 1:].flatten(), number[:, :-1].flatten()]),
        torch.stack([number[:, :, 1:].flatten(), number[:, :, :-1].flatten()]),
    ]
    both = torch.cat([*pairs, *(pair.flip(0) for pair in pairs)], 1)
    return both[:, torch.argsort(both[1] * 2 * n * n + both[0])]


def test_edges_of_a_mesh_reach_all_of_its_neighbours() -> None:
    mesh = icosphere(6, jitter=0.2)
    sphere = from_mesh(mesh)
    alone = local_coordinates(sphere, sphere, 0.6)
    with_edges = local_coordinates(sphere, sphere, 0.6, edges=mesh_graph(mesh))
    assert torch.equal(with_edges.graph.edge_index, alone.graph.edge_index)
    probes = on_sphere(30)
    apart = local_coordinates(sphere, probes, 0.6, edges=mesh_graph(mesh)).graph
    assert apart.n_edges == local_coordinates(sphere, probes, 0.6).graph.n_edges > 300


def test_points_above_each_other_and_at_one_place() -> None:
    points = torch.tensor([[0.0, 0, 0], [0, 0, 0.13], [0, 0, 0]])
    up = torch.tensor([[0.0, 0, 1]]).expand(3, 3)
    graph, u = local_coordinates(cloud(points, up), cloud(points, up), 0.5)
    assert graph.edge_index.tolist() == [[0, 2, 1, 0, 2], [0, 0, 1, 2, 2]]
    assert u.dtype == torch.float32
    assert float(u.abs().max()) == 0


# ------------------------------------------------------------ gradients and errors


@pytest.mark.parametrize("of", ["coordinates", "transport"])
def test_charts_are_differentiable_in_points_and_normals(of: str) -> None:
    """Also of a point around itself."""
    ring = from_mesh(torus(3))
    assert ring.normals is not None
    graph = local_coordinates(ring, ring, 0.6).graph

    def chart(points: Tensor, normals: Tensor) -> Tensor:
        unit = torch.nn.functional.normalize(normals, dim=1)
        domain = cloud(points, unit)
        if of == "coordinates":
            return local_coordinates(domain, domain, 2.0, graph=graph).coordinates
        return transport(graph, unit, unit, frames(unit), frames(unit))

    arguments = ring.points.clone(), ring.normals.clone()
    for argument in arguments:
        argument.requires_grad_()
    torch.autograd.gradcheck(chart, arguments, fast_mode=True, atol=1e-4)


def test_normals_on_one_side_alone_are_refused() -> None:
    sphere = on_sphere(20)
    bare = cloud(sphere.points)
    with pytest.raises(ValueError, match="at the sources alone"):
        local_coordinates(sphere, bare, 0.5)
    with pytest.raises(ValueError, match="at the targets alone"):
        local_coordinates(bare, sphere, 0.5)
    with pytest.raises(ValueError, match=r"\(N, 2\) or \(N, 3\), got \(20, 4\)"):
        frames(torch.zeros(20, 4))


def test_points_slightly_off_a_sheet_belong_to_it() -> None:
    """A quarter of the radius, as the means of points on a curved sheet lie."""
    points = torch.tensor([[0.0, 0, 0], [0, 0, 0.12]])
    up = torch.tensor([[0.0, 0, 1]]).expand(2, 3)
    graph, u = local_coordinates(cloud(points, up), cloud(points, up), 0.5)
    assert graph.n_edges == 4
    assert float(u.abs().max()) == 0


def test_normals_between_points_of_a_sphere() -> None:
    """Exact where points lie evenly around, the nearest sheet's where two are near."""
    sphere = from_mesh(icosphere(24))
    other = Discretization(0.8 * sphere.points, sphere.weights, None, -sphere.normals)
    both = Discretization(
        torch.cat([sphere.points, other.points]),
        torch.cat([sphere.weights, other.weights]),
        normals=torch.cat([sphere.normals, other.normals]),
    )
    at = torch.nn.functional.normalize(torch.randn(50, 3, dtype=torch.float64), dim=1)
    target = Discretization(0.99 * at, torch.ones(50, dtype=torch.float64))
    found = normals_at(both, target, 0.3)
    assert float((found - at).norm(dim=1).max()) < 2e-3
    assert float((found.norm(dim=1) - 1).abs().max()) < 1e-12
    lonely = normals_at(both, target, 1e-6)
    assert float((lonely - at).norm(dim=1).max()) > 1e-3
    with pytest.raises(ValueError, match="normals at the sources"):
        normals_at(target, target, 0.3)
