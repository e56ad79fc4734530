"""Sparse operators with many values per entry: products, geometry, laws, files."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy.spatial import Delaunay
from scipy.special import gamma, jv, sph_harm_y
from torch import Tensor

from isofield import Discretization, Mesh, from_mesh, generation
from isofield.bases import BSplineBasis, HermiteBasis, LearnedBasis, ZernikeBasis
from isofield.charts import frames, local_coordinates
from isofield.graph import Graph, mesh_graph, radius_graph
from isofield.operators import (
    BasisOperator,
    DegreeWarning,
    NeighbourWarning,
    TransferError,
    basis_operator,
    compiled,
    load_basis_operator,
    save_basis_operator,
)
from isofield.operators.basis_product import basis_product
from isofield.plan import pack_plans
from isofield.testing import body, probes
from isofield.testing.comparing import fitted_rate

# --- the product --------------------------------------------------------------------


@pytest.fixture(params=["torch", "numba"])
def engine(request, monkeypatch):
    """Sparse products of PyTorch, and those of numba whatever the size."""
    worth = math.inf if request.param == "torch" else 0
    monkeypatch.setattr(compiled, "WORTH", worth)
    return request.param


def random_graph(n: int = 9, m: int = 7) -> Graph:
    """Random edges; the first target and the last source have none."""
    mask = torch.rand(m, n, generator=torch.Generator().manual_seed(0)) < 0.4
    mask[0], mask[:, -1] = False, False
    target, source = mask.nonzero(as_tuple=True)
    return Graph(torch.stack([source, target]), n, m)


def inputs(graph: Graph, size: int, channels: tuple[int, int], of: int) -> list[Tensor]:
    """u, phi with `of` columns and mixing of `size` functions."""
    random = torch.Generator().manual_seed(2)
    shapes = [(graph.n_sources, channels[0]), (graph.n_edges, of), (size, *channels)]
    return [
        torch.randn(shape, generator=random, dtype=torch.float64) for shape in shapes
    ]


def dense(graph: Graph, values: Tensor) -> Tensor:
    """(B, M, N) the matrices of values (E, B)."""
    matrices = values.new_zeros(values.shape[1], graph.n_targets, graph.n_sources)
    matrices[:, graph.target, graph.source] = values.t()
    return matrices


CHANNELS = [(4, 2), (2, 4), (1, 5), (3, 3)]


@pytest.mark.parametrize("functions", [None, (3, 1)])
@pytest.mark.parametrize("channels", CHANNELS)
def test_product_is_its_formula(engine, channels, functions):
    graph = random_graph()
    u, phi, mixing = inputs(graph, 4 if functions is None else 2, channels, 4)
    matrices = dense(graph, phi if functions is None else phi[:, functions])
    expected = torch.einsum("bmn,nc,bcd->md", matrices, u, mixing)
    found = basis_product(u, phi, mixing, graph, functions)
    assert (found - expected).abs().max() < 1e-13
    assert torch.equal(found[0], torch.zeros(channels[1]).double())
    single = basis_product(u, phi.float(), mixing, graph, functions)
    assert single.dtype == torch.float32
    assert (single - expected).abs().max() < 1e-5


@pytest.mark.parametrize("channels", CHANNELS)
def test_product_has_the_gradients_of_its_formula(engine, channels):
    graph = random_graph(5, 4)
    tensors = [tensor.requires_grad_() for tensor in inputs(graph, 2, channels, 4)]
    product = partial(basis_product, graph=graph, functions=(3, 1))
    assert torch.autograd.gradcheck(product, tensors)
    assert torch.autograd.gradgradcheck(product, tensors, fast_mode=True)


@pytest.mark.parametrize("needed", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0)])
@pytest.mark.parametrize("channels", [(3, 2), (1, 5)])
def test_only_wanted_gradients_are_made(channels, needed):
    graph = random_graph()
    tensors = inputs(graph, 4, channels, 4)
    for tensor, wanted in zip(tensors, needed, strict=True):
        tensor.requires_grad_(bool(wanted))
    product = partial(basis_product, graph=graph)
    assert torch.autograd.gradcheck(product, tensors, fast_mode=True)
    product(*tensors).sum().backward()
    assert [tensor.grad is not None for tensor in tensors] == [bool(n) for n in needed]


def test_both_engines_agree_in_float32_on_many_runs_and_threads(monkeypatch):
    """Rounding of sums over 40 neighbours and 8 x 5 products: 1e-6."""
    random = torch.Generator().manual_seed(0)
    points = torch.rand(3000, 2, generator=random)
    graph = radius_graph(points, points, 0.065)
    phi = torch.randn(graph.n_edges, 8, generator=random)
    found = []
    threads = torch.get_num_threads()
    for worth, count in ((math.inf, 1), (0, 1), (0, 3)):
        monkeypatch.setattr(compiled, "WORTH", worth)
        torch.set_num_threads(count)
        u = torch.randn(3000, 5, generator=torch.Generator().manual_seed(1))
        tensors = [u, phi, torch.ones(8, 5, 6)]
        tensors = [tensor.detach().requires_grad_() for tensor in tensors]
        v = basis_product(*tensors, graph)
        found.append([v, *torch.autograd.grad(v.square().sum(), tensors)])
    torch.set_num_threads(threads)
    for other in found[1:]:
        for x, y in zip(found[0], other, strict=True):
            assert (x - y).abs().max() < 1e-6 * x.abs().max()


def test_memory_of_the_product_is_its_arguments():
    graph = random_graph()
    u, phi, mixing = inputs(graph, 4, (3, 5), 4)
    u.requires_grad_()
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda x: saved.append(x.data_ptr()) or x, lambda x: x
    ):
        basis_product(u, phi, mixing, graph)
    assert set(saved) == {x.data_ptr() for x in (u, phi, mixing)}


# --- the operator -------------------------------------------------------------------

BALL = {1: 2.0, 2: math.pi, 3: 4 / 3 * math.pi}
RADIUS = {1: 0.7, 2: 0.7, 3: 0.9}
MODES = ("integral", "shepard", "fit")


def at(points: Tensor) -> Discretization:
    """Targets with weights of their own."""
    weights = torch.linspace(0.5, 1.5, len(points), dtype=points.dtype)
    return Discretization(points, weights)


def case(d: int, mode: str = "integral", **more) -> tuple[BasisOperator, ZernikeBasis]:
    """From a graded body to probes that are none of its points."""
    basis = ZernikeBasis(d, {1: 4, 2: 3, 3: 1}[d])
    source = body(d, {1: 16, 2: 8, 3: 4}[d], 2.0)
    target = at(probes(d, 15))
    return basis_operator(source, target, basis, RADIUS[d], mode, **more), basis


def moments(operator: BasisOperator, basis: ZernikeBasis, r: float) -> Tensor:
    """(M, N, B) the entries as they are defined, every pair at once."""
    source, target = operator.pairs.source, operator.pairs.target
    u = (source.points - target.points[:, None]) / r
    d = source.dimension
    window = (1 - u.square().sum(2)).clamp(min=0) ** 2
    mass = window * source.weights / (BALL[d] * r**d)
    return basis.functions(u) * mass[..., None]


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("mode", MODES)
def test_entries_are_their_definition(mode, d):
    operator, basis = case(d, mode)
    dense_ = moments(operator, basis, RADIUS[d])
    if mode == "shepard":
        # phi_0 = 1: the zeroth moment is that of the window itself
        dense_ = dense_ / dense_[..., :1].sum(1, keepdim=True) * basis.mean_window
    if mode == "fit":
        u = operator.pairs.source.points - operator.pairs.target.points[:, None]
        root = dense_[..., 0].sqrt()
        designs = root[..., None] * basis.functions(u / RADIUS[d])
        dense_ = (torch.linalg.pinv(designs) * root[:, None]).transpose(1, 2)
    u = torch.randn(len(operator.pairs.source), 2, dtype=torch.float64)
    expected = torch.einsum("mnb,nc->mbc", dense_, u)
    found = operator.apply(u)
    assert (found - expected).abs().max() < 1e-11 * expected.abs().max()
    assert operator.shape == (basis.size, 15, len(u))
    mixing = torch.randn(basis.size, 2, 3, dtype=torch.float64)
    product = torch.einsum("mbc,bcd->md", expected, mixing)
    assert (operator.product(u, mixing) - product).abs().max() < 1e-10
    some = operator.product(u, mixing[:2], (1, 0))
    product = torch.einsum("mbc,bcd->md", expected[:, [1, 0]], mixing[:2])
    assert (some - product).abs().max() < 1e-10


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("mode", MODES)
def test_adjoint_in_the_weighted_inner_products(mode, d):
    """<Phi_b u, g> = <u, Phi_b* g>; against the size of the terms, as they cancel."""
    operator, basis = case(d, mode)
    adjoint = operator.adjoint()
    source, target = operator.pairs.source, operator.pairs.target
    u = torch.randn(len(source), dtype=torch.float64)
    g = torch.randn(len(target), dtype=torch.float64)
    v, back = operator.apply(u), adjoint.apply(g)
    for b in range(basis.size):
        left = target.inner(v[:, b], g)
        right = source.inner(u, back[:, b])
        size = target.inner(v[:, b].abs(), g.abs())
        assert (left - right).abs() < 1e-12 * size
    again = adjoint.adjoint()
    assert (again.apply(u) - v).abs().max() < 1e-12 * v.abs().max()


def test_the_order_of_points_does_not_matter():
    """Pairs are counted along a curve, values and fields come in any order."""
    source = body(2, 8, 2.0)
    order = torch.randperm(len(source), generator=torch.Generator().manual_seed(0))
    shuffled = Discretization(source.points[order], source.weights[order])
    basis, u = ZernikeBasis(2, 3), torch.randn(len(source), dtype=torch.float64)
    one = basis_operator(source, source, basis, 0.5)
    other = basis_operator(shuffled, shuffled, basis, 0.5)
    assert (other.apply(u[order]) - one.apply(u)[order]).abs().max() < 1e-14
    far = (one.pairs.graph.source - one.pairs.graph.target).abs().double().mean()
    given = radius_graph(shuffled, shuffled, 0.5)
    assert far < 0.7 * (given.source - given.target).abs().double().mean()


def test_made_in_float64_and_kept_as_given():
    source, basis = body(2, 8, 2.0), ZernikeBasis(2, 3)
    exact = basis_operator(source, source, basis, 0.5)
    rounded = source.to(torch.float32)
    single = basis_operator(rounded, rounded, basis, 0.5)
    assert exact.values.dtype == torch.float64
    assert single.values.dtype == torch.float32
    assert exact.to(torch.float32).values.dtype == torch.float32
    u = torch.randn(len(source), dtype=torch.float64)
    assert (single.apply(u) - exact.apply(u)).abs().max() < 3e-6


def test_only_some_functions():
    whole, _ = case(2)
    some, _ = case(2, functions=[4, 0])
    assert torch.equal(some.values, whole.values[:, [4, 0]])


@pytest.mark.parametrize("mode", MODES)
def test_packed_operators_are_the_operators(mode):
    basis = ZernikeBasis(2, 1)
    parts = [
        basis_operator(body(2, n), at(probes(2, n)), basis, 0.6, mode) for n in (5, 7)
    ]
    u = [torch.randn(part.shape[2], 3, dtype=torch.float64) for part in parts]
    packed = pack_plans(parts)
    alone = [part.apply(x) for part, x in zip(parts, u, strict=True)]
    assert (packed.apply(torch.cat(u)) - torch.cat(alone)).abs().max() < 1e-13
    assert packed.facts.keys() == parts[0].facts.keys()


@pytest.mark.parametrize("mode", MODES)
def test_a_file_holds_the_whole_operator(tmp_path, mode):
    operator, _ = case(2, mode)
    path = tmp_path / "moments.safetensors"
    save_basis_operator(path, operator)
    loaded = load_basis_operator(path)
    u = torch.randn(operator.shape[2], 2, dtype=torch.float64)
    assert torch.equal(loaded.apply(u), operator.apply(u))
    g = torch.randn(operator.shape[1], dtype=torch.float64)
    assert torch.equal(loaded.adjoint().apply(g), operator.adjoint().apply(g))
    assert loaded.mode == mode
    assert loaded.facts.keys() == operator.facts.keys()


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    with pytest.raises(TransferError, match="no such operator file"):
        load_basis_operator(path)
    path.write_bytes(b"no tensors")
    with pytest.raises(TransferError, match="not an operator file"):
        load_basis_operator(path)


def test_targets_without_neighbours_are_zero_and_counted():
    source, basis = body(2, 6), ZernikeBasis(2, 1)
    points = torch.tensor([[3.0, 0.0], [0.0, 0.0], [0.0, -4.0]], dtype=torch.float64)
    u = torch.ones(len(source), dtype=torch.float64)
    for mode in MODES:
        with pytest.warns(NeighbourWarning, match="2 of 3 targets.* 0.5; .* is 3$"):
            v = basis_operator(source, at(points), basis, 0.5, mode).apply(u)
        assert torch.equal(v[[0, 2]], torch.zeros(2, 3).double())
        assert v[1, 0] > 0.2


def test_sources_at_the_edge_of_the_ball_alone():
    one = at(torch.tensor([[1.0, 0.0]], dtype=torch.float64))
    origin = at(torch.zeros(1, 2, dtype=torch.float64))
    with pytest.warns(NeighbourWarning, match="1 of 1 targets .* at the edge"):
        found = basis_operator(one, origin, ZernikeBasis(2, 1), 1.0, "shepard")
    assert torch.equal(found.values, torch.zeros(1, 3).double())


def test_constants_keep_their_values_up_to_the_boundary():
    operator, basis = case(2, "shepard")
    v = operator.apply(torch.ones(operator.shape[2], dtype=torch.float64))
    assert (v[:, 0] - basis.mean_window).abs().max() < 1e-13
    plain = case(2)[0].apply(torch.ones(operator.shape[2], dtype=torch.float64))
    assert plain[:, 0].min() < 0.7 * basis.mean_window


def test_wrong_arguments():
    source = body(2, 4)
    with pytest.raises(ValueError, match=r"dimension 3 on points .* dimension 2"):
        basis_operator(source, source, ZernikeBasis(3, 1), 0.5)
    with pytest.raises(ValueError, match="'integral', 'fit' or 'shepard', got 'sum'"):
        basis_operator(source, source, ZernikeBasis(2, 1), 0.5, "sum")  # type: ignore
    space = body(3, 2)
    with pytest.raises(ValueError, match="points with normals"):
        basis_operator(space, space, ZernikeBasis(2, 1), 0.5)
    with pytest.raises(ValueError, match="learned basis cannot be fitted"):
        basis_operator(source, source, LearnedBasis(2, 3), 0.5, "fit")


# --- surfaces -----------------------------------------------------------------------


def test_on_a_surface_the_coordinates_are_those_of_the_chart():
    sphere = from_mesh(generation.icosphere(4))
    basis, r = ZernikeBasis(2, 2), 0.8
    turned = frames(sphere.normals)
    operator = basis_operator(sphere, sphere, basis, r, frames=turned)
    chart = local_coordinates(sphere, sphere, r, frames=turned)
    u = torch.randn(len(sphere), dtype=torch.float64)
    values = basis(chart.coordinates) * (
        sphere.weights[chart.graph.source] * u[chart.graph.source] / (math.pi * r**2)
    ).unsqueeze(1)
    expected = torch.zeros(len(sphere), basis.size, dtype=torch.float64)
    expected.index_add_(0, chart.graph.target, values)
    assert (operator.apply(u) - expected).abs().max() < 1e-14


def test_edges_keep_sheets_apart():
    """Two parallel squares, closer than the radius, with normals that agree."""
    flat = generation.square(8)
    n = len(flat.points)
    points = np.concatenate([np.c_[flat.points, np.full(n, z)] for z in (0.0, 0.1)])
    cells = flat.cells["triangle"]
    mesh = Mesh(points, {"triangle": np.concatenate([cells, cells + n])})
    domain, basis = from_mesh(mesh), ZernikeBasis(2, 1)
    options = {"frames": frames(domain.normals)}
    apart = basis_operator(
        domain, domain, basis, 0.3, edges=mesh_graph(mesh), **options
    )
    u = torch.cat([torch.zeros(n), torch.ones(n)]).double()
    assert apart.apply(u)[:n].abs().max() == 0
    assert basis_operator(domain, domain, basis, 0.3, **options).apply(u)[:n].max() > 0


# --- fits ---------------------------------------------------------------------------


def polynomial(x: Tensor, degree: int) -> Tensor:
    """(N, 2), two polynomials of this degree."""
    a = x @ torch.linspace(0.4, 1.1, x.shape[1]).to(x) - 0.3
    b = x[:, 0] - 0.7 * x[:, -1] + 0.2
    return torch.stack([a**degree, a**degree - 2 * b**degree + b], 1)


BODIES = {
    "square": (lambda: generation.square(16, jitter=0.2), 4, 0.3, 1e-9),
    "graded square": (lambda: generation.square(16, grading=3.0), 3, 0.35, 1e-9),
    "cube": (lambda: generation.box(6, jitter=0.2), 2, 0.6, 1e-9),
}


@pytest.mark.parametrize("name", BODIES)
def test_fits_reproduce_polynomials_inside_and_in_corners(name):
    """c_b are then the coefficients of `z -> p(x + r z)` in the functions, at all x."""
    build, degree, r, tolerance = BODIES[name]
    source = from_mesh(build())
    basis = ZernikeBasis(source.dimension, degree)
    operator = basis_operator(source, source, basis, r, "fit")
    assert bool((operator.facts["functions"] == basis.size).all())
    found = operator.apply(polynomial(source.points, degree))
    z = 0.9 * probes(source.dimension, 7)
    there = torch.einsum("mbc,zb->mzc", found, basis.functions(z))
    points = (source.points[:, None] + r * z).flatten(0, 1)
    expected = polynomial(points, degree).view_as(there)
    assert (there - expected).abs().max() < tolerance * expected.abs().max()
    # and the integral does not, so that the test can tell
    plain = basis_operator(source, source, basis, r)
    there = torch.einsum(
        "mbc,zb->mzc",
        plain.apply(polynomial(source.points, degree)),
        basis.functions(z),
    )
    assert (there - expected).abs().max() > 0.1 * expected.abs().max()


@pytest.mark.parametrize("basis", [BSplineBasis(2, 4, 2), HermiteBasis(2, 1)])
def test_fits_of_other_bases_reproduce_their_functions(basis):
    source = from_mesh(generation.square(16, jitter=0.2))
    centre = torch.tensor([[0.5, 0.5], [0.35, 0.6]], dtype=torch.float64)
    operator = basis_operator(source, at(centre), basis, 0.4, "fit")
    c = torch.randn(basis.size, dtype=torch.float64)
    for i in range(2):
        z = (source.points - centre[i]) / 0.4
        u = basis.functions(z) @ c
        assert (operator.apply(u)[i] - c).abs().max() < 1e-9 * c.abs().max()


def test_with_few_neighbours_the_degree_falls_and_is_counted():
    """5 points of a cross in the middle, 3 in a corner; 6 coefficients in degree 2."""
    points = [[0, 0], [1, 0], [0, 1], [-1, 0], [0, -1], [9, 0], [10, 0], [9, 1]]
    source = at(torch.tensor(points, dtype=torch.float64))
    targets = at(torch.tensor([[0, 0], [9.2, 0.2], [10.9, 0]], dtype=torch.float64))
    with pytest.warns(DegreeWarning, match="3 of 3 targets .* between 1 and 3 are"):
        operator = basis_operator(source, targets, ZernikeBasis(2, 2), 1.5, "fit")
    assert operator.facts["functions"].tolist() == [3, 3, 1]
    c = operator.apply(2 + 3 * source.points[:, 0])
    basis = ZernikeBasis(2, 2)
    there = (c @ basis.functions(torch.zeros(3, 2, dtype=torch.float64)).T).diagonal()
    # two linear fits, and the mean of the one neighbour that is left
    assert torch.allclose(there, torch.tensor([2, 29.6, 32], dtype=torch.float64))


def test_splitting_points_does_not_raise_the_degree():
    """Six copies of three points are three points."""
    points = torch.tensor([[0, 0], [1, 0], [0, 1]] * 2, dtype=torch.float64)
    source = Discretization(points, torch.full((6,), 0.5, dtype=torch.float64))
    with pytest.warns(DegreeWarning, match="between 3 and 3"):
        basis_operator(source, source, ZernikeBasis(2, 2), 2.0, "fit")


def test_directions_that_neighbours_do_not_tell_apart_are_left_out():
    points = torch.tensor([[0, 0], [1, 0], [0, 1]], dtype=torch.float64)
    source, basis = at(points), BSplineBasis(2, 3, 2)
    with pytest.warns(DegreeWarning, match="between 3 and 3"):
        operator = basis_operator(source, source, basis, 2.0, "fit")
    u = torch.tensor([1.0, 2, 4], dtype=torch.float64)
    c = operator.apply(u)
    for i in range(3):
        back = basis.functions((points - points[i]) / 2) @ c[i]
        assert (back - u).abs().max() < 1e-9
    moving = Discretization(points.requires_grad_(), source.weights)
    with pytest.raises(ValueError, match="no derivative in the points"):
        basis_operator(moving, moving, basis, 2.0, "fit")


# --- derivatives --------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_derivatives_in_points_weights_and_radius(mode):
    source, basis = body(2, 3, 1.5), ZernikeBasis(2, 1)
    probe = probes(2, 3)
    u = torch.sin(3 * source.points)
    mixing = torch.randn(3, 2, 2, dtype=torch.float64)

    def v(points: Tensor, weights: Tensor, targets: Tensor, radius: Tensor) -> Tensor:
        from_, to = Discretization(points, weights), at(targets)
        operator = basis_operator(from_, to, basis, radius, mode)
        return operator.product(u, mixing)

    radius = torch.tensor(0.75, dtype=torch.float64)
    given = (source.points, source.weights, probe, radius)
    given = [x.detach().clone().requires_grad_() for x in given]
    assert torch.autograd.gradcheck(v, given, fast_mode=True)
    if mode != "fit":
        assert torch.autograd.gradgradcheck(v, given, fast_mode=True)


def test_derivatives_in_a_learned_basis():
    source = body(2, 3, 1.5)
    torch.manual_seed(0)
    basis = LearnedBasis(2, 3, 4).double()
    parameters = list(basis.parameters())
    u = torch.sin(3 * source.points).requires_grad_()
    mixing = torch.randn(3, 2, 2, dtype=torch.float64)
    found = basis_operator(source, source, basis, 0.75)
    assert found.values.requires_grad
    loss = found.product(u, mixing).square().sum()
    gradients = torch.autograd.grad(loss, [u, *parameters])
    step, (p, *_) = 1e-6, parameters
    with torch.no_grad():
        direction = torch.randn_like(p)
        p += step * direction
        up = basis_operator(source, source, basis, 0.75).product(u, mixing)
        p -= 2 * step * direction
        down = basis_operator(source, source, basis, 0.75).product(u, mixing)
    slope = (up.square().sum() - down.square().sum()) / (2 * step)
    assert slope == pytest.approx(float((gradients[1] * direction).sum()), rel=1e-6)
    assert all(float(g.abs().max()) > 0 for g in gradients)


# --- plane waves --------------------------------------------------------------------


def angular(degree: int, m: int, direction: np.ndarray) -> float:
    """The harmonic of mean square 1 over the circle or sphere, in this direction."""
    root = 1.0 if m == 0 else math.sqrt(2)
    turn = abs(m) * math.atan2(direction[1], direction[0])
    wave = math.cos(turn) if m >= 0 else math.sin(turn)
    if len(direction) == 2:
        return root * wave
    polar = sph_harm_y(degree, abs(m), math.acos(direction[2]), 0.0).real * (-1) ** m
    return root * wave * math.sqrt(4 * math.pi) * polar


def transform(basis: ZernikeBasis, wave: np.ndarray, r: float) -> np.ndarray:
    """(B,) `1/|B_d| int kernel_b(z) exp(i k . r z) dz` over the ball, in closed form.

    `int (1 - s^2)^a s^l P_j(2 s^2 - 1) H_lm exp(i q . z) dz = (2 pi)^(d/2) i^l (-1)^j
    2^a G(a + j + 1)/j! J_(n+a+d/2)(q) / q^(a+d/2) H_lm(q/|q|)`, q = k r, n = l + 2j;
    the size of the functions from `int window phi_b^2 = int window`.
    """
    a, d, q = basis.alpha, basis.dimension, float(np.linalg.norm(wave) * r)
    values = []
    for n, l, m in basis.modes.tolist():  # noqa: E741
        j, beta = (n - l) // 2, l + d / 2 - 1
        square = gamma(j + a + 1) * gamma(j + beta + 1) / gamma(j + 1)
        square /= 2 * (n + a + d / 2) * gamma(j + a + beta + 1)
        size = math.sqrt(basis.mean_window / (d * square))
        radial = 2**a * gamma(a + j + 1) / gamma(j + 1) * (-1) ** j
        radial *= jv(n + a + d / 2, q) / q ** (a + d / 2) * (2 * math.pi) ** (d / 2)
        value = (1j) ** l * size * radial * angular(l, m, wave / np.linalg.norm(wave))
        values.append(value / BALL[d])
    return np.array(values)


def wave_error(mesh: Mesh, basis: ZernikeBasis, r: float, wave: list[float]) -> float:
    """Relative error of the moments of exp(i k . y) in the middle of the unit cube."""
    k, source, d = np.array(wave), from_mesh(mesh), basis.dimension
    target = at(0.5 + (0.5 - r) * probes(d, 60))
    operator = basis_operator(source, target, basis, r)
    phase = source.points.numpy() @ k
    parts = torch.from_numpy(np.stack([np.cos(phase), np.sin(phase)], 1))
    found = torch.view_as_complex(operator.apply(parts).contiguous()).numpy()
    there = np.exp(1j * target.points.numpy() @ k)[:, None]
    expected = there * transform(basis, k, r)
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def unstructured(n: int, grading: float) -> Mesh:
    """The Delaunay triangles of jittered points."""
    points = generation.square(n, jitter=0.25, grading=grading, seed=n).points
    return Mesh(points, {"triangle": Delaunay(points).simplices})


@pytest.mark.parametrize("grading", [1.0, 5.0])
@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_moments_of_plane_waves_on_unstructured_triangles(alpha, grading):
    """To the closed form, on the graded mesh too. Theory promises the rate 2 of lumped
    weights; jitter lets it be nearer 3 where the window is smooth."""
    sizes, basis = (12, 17, 24, 34, 48), ZernikeBasis(2, 4, alpha)
    errors = [wave_error(unstructured(n, grading), basis, 0.25, [6, 9]) for n in sizes]
    assert fitted_rate([1 / n for n in sizes], errors) >= 1.8
    assert errors[-1] < {1.0: 6e-3, 2.0: 3e-3}[alpha] * (1 if grading == 1 else 2.5)


def test_moments_of_plane_waves_on_jittered_tetrahedra():
    sizes, basis = (6, 8, 11, 15), ZernikeBasis(3, 3)
    errors = [
        wave_error(generation.box(n, jitter=0.2, seed=n), basis, 0.4, [3, -4, 5])
        for n in sizes
    ]
    assert fitted_rate([1 / n for n in sizes], errors) >= 1.8
    assert errors[-1] < 1e-2
