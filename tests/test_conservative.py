"""Conservative transfer: integrals and constants, oracles, rates, bad input."""

from __future__ import annotations

import warnings
from itertools import product

import numpy as np
import pytest
import torch
from scipy.spatial import Delaunay

from isofield.discretization import from_mesh
from isofield.generation import (
    ball,
    box,
    disk,
    icosphere,
    plate_with_holes,
    square,
    torus,
)
from isofield.mesh import Mesh
from isofield.operators import TransferError, TransferWarning, conservative
from isofield.operators.supermesh import cell_measures, overlaps, pieces, split
from isofield.quadrature import cell_measures as exact_measures

SITES = list(product(("cells", "points"), repeat=2))
QUADRATIC = {"triangle": "triangle6", "tetra": "tetra10"}


def quadratic(mesh: Mesh) -> Mesh:
    """The same simplices with middle nodes, straight."""
    from isofield.cells import CELL_TYPES

    (kind,) = mesh.cells
    cell = CELL_TYPES[QUADRATIC[kind]]
    nodes = mesh.cells[kind]
    places = [mesh.points[nodes[:, list(mean)]].mean(1) for mean in cell.means]
    stacked = np.stack(places, 1).reshape(-1, mesh.points.shape[1])
    _, first, number = np.unique(
        stacked.round(9), axis=0, return_index=True, return_inverse=True
    )
    return Mesh(stacked[first], {cell.name: number.reshape(len(nodes), -1)})


def wedges(n: int) -> Mesh:
    """Prisms over a triangulation of the unit square."""
    flat = square(n, jitter=0.2)
    count = len(flat.points)
    z = np.linspace(0, 1, n + 1)
    points = np.concatenate([np.c_[flat.points, np.full(count, h)] for h in z])
    low = flat.cells["triangle"]
    nodes = [np.c_[low + k * count, low + (k + 1) * count] for k in range(n)]
    return Mesh(points, {"wedge": np.concatenate(nodes)})


def pyramids(n: int) -> Mesh:
    """Every hexahedron of a jittered box as six pyramids around its mean."""
    from isofield.cells import CELL_TYPES

    cube = box(n, "hexahedron")
    nodes = cube.cells["hexahedron"]
    middle = cube.points[nodes].mean(1)
    top = len(cube.points) + np.arange(len(nodes))
    cells = [
        np.c_[nodes[:, list(face)[::-1]], top]
        for _, face in CELL_TYPES["hexahedron"].facets
    ]
    return Mesh(
        np.concatenate([cube.points, middle]), {"pyramid": np.concatenate(cells)}
    )


def mixed(n: int) -> Mesh:
    """Quads to the left, triangles to the right."""
    quads = square(n, "quad", jitter=0.2)
    nodes = quads.cells["quad"]
    left = quads.points[nodes].mean(1)[:, 0] < 0.5
    right = nodes[~left]
    triangles = np.concatenate([right[:, [0, 1, 2]], right[:, [0, 2, 3]]])
    return Mesh(quads.points, {"quad": nodes[left], "triangle": triangles})


def line(n: int, seed: int) -> Mesh:
    x = np.sort(np.random.default_rng(seed).random(n - 1))
    points = np.concatenate([[0], x, [1]])[:, None] * [1.0, 0.5]
    return Mesh(points, {"line": np.stack([np.arange(n), np.arange(1, n + 1)], 1)})


def lifted(mesh: Mesh) -> Mesh:
    """The same mesh askew in space."""
    axes = np.linalg.qr(np.random.default_rng(3).standard_normal((3, 3)))[0][:, :2]
    return Mesh(mesh.points @ axes.T, mesh.cells)


PAIRS = {
    "lines": (line(9, 0), line(12, 1)),
    "triangles": (square(5, jitter=0.2), square(7, jitter=0.2, seed=1)),
    "graded": (square(6, grading=8.0), square(5)),
    "same mesh": (square(5, jitter=0.2), square(5, jitter=0.2)),
    "nested": (square(8), square(4)),
    "quads": (square(5, "quad", jitter=0.2), square(4, jitter=0.2)),
    "mixed": (mixed(5), mixed(4)),
    "triangle6": (quadratic(square(4, jitter=0.2)), square(5, jitter=0.1)),
    "tetrahedra": (box(3, jitter=0.2), box(2, jitter=0.2, seed=2)),
    "hexahedra": (box(2, "hexahedron", jitter=0.2), box(3, jitter=0.2)),
    "wedges": (wedges(2), box(2, jitter=0.2)),
    "pyramids": (pyramids(2), wedges(3)),
    "tetra10": (quadratic(box(2, jitter=0.2)), box(2, "hexahedron", jitter=0.1)),
    "sphere": (icosphere(2), icosphere(3)),
    "plane in space": (lifted(square(4, "quad", jitter=0.2)), lifted(mixed(3))),
    "line in space": (lifted(line(9, 0)), lifted(line(12, 1))),
}


def random_field(n: int) -> torch.Tensor:
    return torch.rand(n, 2, generator=torch.Generator().manual_seed(n)).double() + 0.1


@pytest.mark.filterwarnings("ignore::isofield.operators.TransferWarning")
@pytest.mark.parametrize(("source_at", "target_at"), SITES)
@pytest.mark.parametrize("name", list(PAIRS))
def test_integrals_and_constants_are_kept(name, source_at, target_at):
    source, target = PAIRS[name]
    for a, b in ((source, target), (target, source)):
        transfer = conservative(a, b, source_at=source_at, target_at=target_at)
        u = random_field(transfer.shape[1])
        v = transfer(u)
        one = transfer(torch.ones_like(u))
        torch.testing.assert_close(one, torch.ones_like(one), rtol=0, atol=1e-12)
        torch.testing.assert_close(
            transfer.target.integrate(v),
            transfer.source.integrate(u),
            rtol=1e-12,
            atol=0,
        )
        assert float(transfer.facts["coverage"].min()) > {"sphere": 0.9}.get(
            name, 1 - 1e-9
        )


@pytest.mark.filterwarnings("ignore::isofield.operators.TransferWarning")
@pytest.mark.parametrize(("source_at", "target_at"), SITES)
@pytest.mark.parametrize("name", ["triangles", "tetrahedra", "sphere"])
def test_the_adjoint_of_the_transfer(name, source_at, target_at):
    transfer = conservative(*PAIRS[name], source_at=source_at, target_at=target_at)
    u, v = random_field(transfer.shape[1]), random_field(transfer.shape[0]) - 0.5
    torch.testing.assert_close(
        transfer.target.inner(transfer(u), v),
        transfer.source.inner(u, transfer.adjoint()(v)),
        rtol=1e-12,
        atol=1e-13,
    )


@pytest.mark.parametrize("name", ["triangles", "tetrahedra", "quads"])
def test_the_adjoint_between_cells_is_the_way_back(name):
    source, target = PAIRS[name]
    there, back = conservative(source, target), conservative(target, source)
    v = random_field(len(there.target))
    torch.testing.assert_close(there.adjoint()(v), back(v), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ["triangles", "quads", "hexahedra", "triangle6"])
def test_a_mesh_onto_itself_is_the_identity(name):
    mesh = PAIRS[name][0]
    for at in ("cells", "points"):
        transfer = conservative(mesh, mesh, source_at=at, target_at=at)
        u = random_field(transfer.shape[1])
        torch.testing.assert_close(transfer(u), u, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("kind", ["hexahedron", "wedge", "pyramid", "quad"])
def test_the_simplices_of_a_cell_have_its_measure(kind):
    """The fan over a bilinear face encloses what the face does, however it is bent."""
    rng = np.random.default_rng(0)
    from isofield.cells import CELL_TYPES

    cell = CELL_TYPES[kind]
    bent = cell.reference_points + 0.1 * rng.standard_normal(
        cell.reference_points.shape
    )
    mesh = Mesh(bent, {kind: np.arange(cell.nodes)[None]})
    exact = exact_measures(torch.tensor(bent), torch.arange(cell.nodes)[None], kind)
    torch.testing.assert_close(cell_measures(split(mesh)), exact, rtol=1e-12, atol=0)


def test_pieces_lie_where_they_say():
    source, target = (split(mesh) for mesh in PAIRS["hexahedra"])
    total = 0.0
    for part in pieces(source, target):
        for domain, number, at in (
            (source, part.source, part.in_source),
            (target, part.target, part.in_target),
        ):
            assert float(at.min()) > -1e-9
            x = at @ domain.corners[number]
            other = part.in_target @ target.corners[part.target]
            torch.testing.assert_close(x, other, rtol=0, atol=1e-12)
        total += float(part.measure.sum())
    assert total == pytest.approx(1.0, rel=1e-13)


def delaunay(count: int, d: int, seed: int) -> Mesh:
    """Random points and the corners of the unit square or cube."""
    corners = np.stack(np.meshgrid(*[[0.0, 1.0]] * d), -1).reshape(-1, d)
    inner = np.random.default_rng(seed).random((count, d))
    points = np.concatenate([corners, inner])
    nodes = Delaunay(points).simplices.astype(np.int64)
    return Mesh(points, {"triangle" if d == 2 else "tetra": nodes})


ORACLES = {
    **{name: PAIRS[name] for name in ("triangles", "graded", "tetrahedra")},
    "random triangles": (delaunay(80, 2, 0), delaunay(60, 2, 1)),
    "random tetrahedra": (delaunay(40, 3, 2), delaunay(30, 3, 3)),
}


@pytest.mark.parametrize("name", ORACLES)
def test_overlaps_are_those_of_medcoupling(name):
    medcoupling = pytest.importorskip("medcoupling", reason="extra `test`")
    source, target = ORACLES[name]

    def translated(mesh: Mesh):
        ((kind, nodes),) = mesh.cells.items()
        nodes = nodes[:, [0, 2, 1, 3]] if kind == "tetra" else nodes
        made = medcoupling.MEDCouplingUMesh("mesh", mesh.dimension)
        made.setCoords(medcoupling.DataArrayDouble(np.array(mesh.points)))
        names = {"triangle": medcoupling.NORM_TRI3, "tetra": medcoupling.NORM_TETRA4}
        made.allocateCells(len(nodes))
        for row in nodes.tolist():
            made.insertNextCell(names[kind], row)
        made.finishInsertingCells()
        return made

    remapper = medcoupling.MEDCouplingRemapper()
    remapper.setPrecision(1e-13)
    remapper.prepare(translated(source), translated(target), "P0P0")
    theirs = remapper.getCrudeCSRMatrix().toarray()
    ours = conservative(source, target)
    measure = ours.target.weights.numpy()[:, None]
    np.testing.assert_allclose(
        ours.matrix().toarray() * measure, theirs, rtol=0, atol=1e-10 * theirs.max()
    )


@pytest.mark.parametrize("name", ["triangles", "random triangles"])
def test_means_are_those_of_xugrid(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        xugrid = pytest.importorskip("xugrid", reason="extra `test`")
        xarray = pytest.importorskip("xarray", reason="extra `test`")
        source, target = ORACLES[name]
        grids = [
            xugrid.Ugrid2d(*mesh.points.T, -1, mesh.cells["triangle"])
            for mesh in (source, target)
        ]
        u = random_field(len(source.cells["triangle"]))[:, 0]
        field = xugrid.UgridDataArray(
            xarray.DataArray(u.numpy(), dims=[grids[0].face_dimension]), grids[0]
        )
        regridder = xugrid.OverlapRegridder(field, grids[1], method="mean")
        theirs = regridder.regrid(field).values
    np.testing.assert_allclose(conservative(source, target)(u.numpy()), theirs, 1e-12)


def smooth(x: torch.Tensor) -> torch.Tensor:
    return torch.sin(3 * x[:, 0] + 0.5) * torch.cos(2 * x[:, 1]) + x[:, -1] ** 2


ORDERS = {
    ("cells", "cells"): 1.0,
    ("points", "cells"): 1.0,
    ("points", "points"): 2.0,
    # within the domain the projection averages what jumps from cell to cell, O(h^2); in
    # the layer of width h at the boundary it does not, and there O(h) is left: in L2
    # that is h h^(1/2)
    ("cells", "points"): 1.5,
}
RATES = [
    *product([(square, (8, 14, 24, 40))], ORDERS, ("uniform", "graded", "random")),
    ((box, (4, 5, 6, 8)), ("cells", "cells"), "random"),
    ((box, (4, 5, 6, 8)), ("points", "points"), "random"),
]


@pytest.mark.parametrize(("shape", "sites", "spacing"), RATES)
def test_rates(shape, sites, spacing):
    """Distance in L2 from the function itself; a cell's constant is first order."""
    build, sizes = shape
    errors, counts = [], [round(0.8 * n) for n in sizes]
    for n, m in zip(sizes, counts, strict=True):
        source, target = (
            build(
                count,
                grading=3.0 if spacing == "graded" else 1.0,
                jitter=0.2 if spacing == "random" else 0.0,
                seed=count,
            )
            for count in (n, m)
        )
        transfer = conservative(source, target, source_at=sites[0], target_at=sites[1])
        v = transfer(smooth(transfer.source.points))
        errors.append(_distance(target, sites[1], v))
    rate = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert rate == pytest.approx(ORDERS[sites], abs=0.2)


def _distance(mesh: Mesh, at: str, v: torch.Tensor) -> float:
    """The norm in L2 of v - smooth over simplices, by three points in each."""
    ((_, cells),) = mesh.cells.items()
    nodes, x = torch.tensor(cells), torch.tensor(mesh.points)
    share = torch.tensor([[6.0, 3, 1, 2], [2, 1, 6, 3], [2, 4, 2, 4]]).double()
    share = share[:, : nodes.shape[1]] / share[:, : nodes.shape[1]].sum(1, True)
    places = torch.einsum("qn,tnd->tqd", share, x[nodes])
    values = v[:, None].expand(-1, 3)
    if at == "points":
        values = torch.einsum("qn,tn->tq", share, v[nodes])
    off = (values - smooth(places.flatten(0, 1)).view_as(values)).square().mean(1)
    size = cell_measures(split(mesh))
    return float(((off * size).sum() / size.sum()).sqrt())


def test_points_carry_the_lumped_weights_on_simplices():
    source, target = PAIRS["tetrahedra"]
    transfer = conservative(source, target, source_at="points", target_at="points")
    for side, mesh in ((transfer.source, source), (transfer.target, target)):
        torch.testing.assert_close(
            side.weights, from_mesh(mesh).weights, rtol=1e-11, atol=0
        )


def moved(mesh: Mesh, by: float) -> Mesh:
    return Mesh(mesh.points + by, mesh.cells)


@pytest.mark.filterwarnings("ignore::isofield.operators.TransferWarning")
@pytest.mark.parametrize(("build", "n", "m"), [(square, 6, 5), (box, 2, 4)])
@pytest.mark.parametrize(("source_at", "target_at"), SITES)
def test_domains_that_overlap_in_part(source_at, target_at, build, n, m):
    """The overlap of [0, 1]^d with itself moved by 0.3 is 0.7^d."""
    source, target = build(n, jitter=0.2), moved(build(m, jitter=0.2, seed=1), 0.3)
    sites = {"source_at": source_at, "target_at": target_at}
    with pytest.raises(TransferError, match=r"do not meet the source"):
        conservative(source, target, **sites)
    for partial in ("overlap", "whole"):
        transfer = conservative(source, target, **sites, partial=partial, outside="nan")
        u = random_field(transfer.shape[1])
        v = transfer(u)
        inside = ~transfer.missing
        assert 0 < int(inside.sum()) < len(inside)
        assert torch.equal(v.isnan().any(1), transfer.missing)
        weights = transfer.target.weights
        found = (weights[:, None] * v)[inside].sum(0)
        # the integral over the overlap, piece by piece
        expected, shared = torch.zeros(2).double(), 0.0
        a, b = split(source), split(target)
        for part in pieces(a, b):
            if source_at == "cells":
                mean = u[a.cell[part.source]]
            else:
                corner = torch.einsum(
                    "kcs,ksn,knx->kcx",
                    part.in_source,
                    a.share[part.source],
                    u[a.nodes[part.source]],
                )
                mean = corner.mean(1)
            expected += (part.measure[:, None] * mean).sum(0)
            shared += float(part.measure.sum())
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
        assert shared == pytest.approx(0.7**source.dimension, rel=1e-13)
        one = transfer(torch.ones_like(u))[inside]
        constant = float((one - 1).abs().max()) < 1e-12
        assert constant == (partial == "overlap")
        assert float(transfer.facts["coverage"].max()) < 1 + 1e-12


def test_what_is_lost_is_said():
    with pytest.warns(TransferWarning, match=r"lies outside of the target"):
        conservative(square(6), moved(square(5), 0.3), outside="nearest")
    with pytest.warns(TransferWarning) as said:
        conservative(icosphere(1), icosphere(3))
    # an icosahedron covers all of the sphere, but has less area
    (area,) = (str(warning.message) for warning in said)
    assert "times the area of the source" in area
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        conservative(square(6), square(5))


def test_surfaces_with_two_sheets_do_not_mix():
    """A torus whose field is -1 inside and 1 outside of the circle of its tube."""
    a, b = torus(24), torus(30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TransferWarning)
        transfer = conservative(a, b)
    radius = transfer.source.points[:, :2].norm(dim=1)
    middle = (radius.max() + radius.min()) / 2
    v = transfer(torch.where(radius > middle, 1.0, -1.0).double())
    at = transfer.target.points[:, :2].norm(dim=1)
    clear = (at - middle).abs() > 0.3 * (radius.max() - middle)
    sides = torch.where(at > middle, 1.0, -1.0).double()
    torch.testing.assert_close(v[clear], sides[clear], rtol=1e-9, atol=1e-9)


def test_bad_input_is_named():
    flat, cube = square(3), box(2)
    with pytest.raises(TransferError, match=r"dimension 2 in 2-D and of dimension 3"):
        conservative(flat, cube)
    with pytest.raises(TransferError, match=r"do not meet.*same units"):
        conservative(flat, moved(flat, 5.0))
    with pytest.raises(ValueError, match="partial: expected one of"):
        conservative(flat, flat, partial="half")  # type: ignore[arg-type]
    doubled = Mesh(flat.points, {"triangle": np.tile(flat.cells["triangle"], (2, 1))})
    with pytest.raises(TransferError, match="covered more than once"):
        conservative(doubled, flat)


def test_inverted_cells_count_with_their_measure():
    mesh = square(4, jitter=0.2)
    nodes = mesh.cells["triangle"].copy()
    nodes[::2] = nodes[::2, ::-1]
    turned = Mesh(mesh.points, {"triangle": nodes})
    other = square(5)
    u = random_field(len(nodes))
    torch.testing.assert_close(
        conservative(turned, other)(u), conservative(mesh, other)(u)
    )


def test_curved_boundaries_and_holes():
    """A mesh of a disk lies in a finer one; what the coarse lacks is not invented."""
    for coarse, fine in (
        (disk(6), disk(13)),
        (ball(3), ball(5)),
        (plate_with_holes(20), plate_with_holes(45)),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TransferWarning)
            transfer = conservative(fine, coarse, outside="nearest")
        shared = sum(
            float(measure.sum()) for *_, measure in overlaps(split(fine), split(coarse))
        )
        area = float(cell_measures(split(coarse)).sum())
        assert 0.9 * area < shared < area * (1 + 1e-12)
        one = transfer(torch.ones(transfer.shape[1]).double())
        torch.testing.assert_close(one, torch.ones_like(one))
