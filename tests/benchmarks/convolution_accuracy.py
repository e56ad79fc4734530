"""Moments of known fields on meshes: plane waves, harmonics of the sphere."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from rich.table import Table

from isofield import Discretization, Mesh, from_mesh, generation
from isofield.bases import ZernikeBasis
from isofield.operators.basis_operator import BasisOperator, with_basis
from isofield.operators.patches import patches
from isofield.testing.comparing import fitted_rate, generator, picked
from tests.test_basis_operator import unstructured, wave_error
from tests.test_surface_convolution import RADIUS as SPHERE_RADIUS
from tests.test_surface_convolution import funk_hecke, harmonic, in_random_frames

TRIANGLES = (12, 24, 48, 96)
TETRAHEDRA = (8, 12, 18, 27)
SPHERES = (8, 16, 32, 64)


def tables() -> Iterator[Table]:
    """The plane, uniform and graded, space, then the sphere."""
    yield waves_in_the_plane()
    yield waves_in_space()
    yield harmonics_on_the_sphere()


def waves_in_the_plane() -> Table:
    """15 Zernike functions of radius 1/4 on the unit square."""
    table = _table(
        "Delaunay triangles of jittered points, wave (6, 9), r = 1/4, order 4: "
        "relative error",
        ["mesh", "alpha", *(f"h = 1/{n}" for n in TRIANGLES), "rate"],
    )
    for grading in (1.0, 5.0):
        for alpha in (0.0, 1.0, 2.0):
            meshes = [unstructured(n, grading) for n in TRIANGLES]
            basis = ZernikeBasis(2, 4, alpha)
            name = "uniform" if grading == 1 else f"graded {grading:g} : 1"
            _row(table, name, basis, meshes, 0.25, [6, 9], TRIANGLES)
    return table


def waves_in_space() -> Table:
    """20 functions of radius 0.4 on the unit cube."""
    table = _table(
        "Jittered tetrahedra, wave (3, -4, 5), r = 0.4, order 3: relative error",
        ["mesh", "alpha", *(f"{(n + 1) ** 3:,} points" for n in TETRAHEDRA), "rate"],
    )
    meshes = [generation.box(n, jitter=0.25, seed=n) for n in TETRAHEDRA]
    for alpha in (0.0, 1.0, 2.0):
        basis = ZernikeBasis(3, 3, alpha)
        _row(table, "uniform", basis, meshes, 0.4, [3, -4, 5], TETRAHEDRA)
    return table


def harmonics_on_the_sphere() -> Table:
    """Kernels without an angle and with the angle 1, in random frames.

    With the chord in the place of the arc, or the projection onto the tangent plane in
    that of the logarithm, sums converge as well: to something else.
    """
    vertices = [f"{10 * n * n + 2:,}" for n in SPHERES]
    table = _table(
        "Sphere, harmonic of degree 4, r = 1/2, alpha = 2, each point in a random "
        "frame: relative error at up to 4,000 vertices",
        ["mesh", "coordinates", "n, m", *vertices, "rate"],
    )
    for name, options in (("uniform", {}), ("graded 3 : 1", {"grading": 3.0})):
        meshes = [generation.icosphere(n, **options) for n in SPHERES]
        for coordinates in ("logarithm", "chord", "projection")[: 1 if options else 3]:
            found = [_sphere_errors(mesh, coordinates) for mesh in meshes]
            for mode in ((0, 0), (1, 1), (2, 0)):
                errors = [errors[mode] for errors in found]
                rate = fitted_rate([1 / n for n in SPHERES], errors)
                numbers = [f"{error:.1e}" for error in errors]
                label = f"{mode[0]}, {mode[1]}"
                table.add_row(name, coordinates, label, *numbers, f"{rate:.1f}")
    return table


def _sphere_errors(mesh: Mesh, coordinates: str) -> dict[tuple[int, int], float]:
    """(n, m) -> relative error of the moments."""
    source, basis = from_mesh(mesh), ZernikeBasis(2, 2)
    rows = torch.randperm(len(source), generator=generator(0))[:4000]
    target = picked(source, rows)
    axes = in_random_frames(target)
    operator = _moments(source, target, axes, basis, coordinates)
    chosen, expected = funk_hecke(basis, target.points, axes)
    found = operator.apply(harmonic(source.points)[0])[:, chosen]
    squares = [x.square().mean(0) for x in (found - expected, expected)]
    errors = (squares[0] / squares[1]).sqrt().tolist()
    modes = [(int(basis.modes[b, 0]), int(basis.modes[b, 2])) for b in chosen]
    return dict(zip(modes, errors, strict=True))


def _moments(
    source: Discretization,
    target: Discretization,
    axes: torch.Tensor,
    basis: ZernikeBasis,
    coordinates: str,
) -> BasisOperator:
    """In the charts of the surface, or in the simpler coordinates of this name."""
    if coordinates == "logarithm":
        return with_basis(patches(source, target, SPHERE_RADIUS, frames=axes), basis)
    # a wider search: what counts is who is near in the other coordinates
    found = patches(source, target, 1.3 * SPHERE_RADIUS, frames=axes)
    order, graph = found.pairs.target_order.source, found.pairs.graph
    step = found.pairs.enter(source.points)[graph.source]
    step = step - target.points[order][graph.target]
    flat = torch.einsum("ed,edk->ek", step, axes[order][graph.target])
    if coordinates == "chord":
        size = flat.norm(dim=1, keepdim=True)
        flat = flat * step.norm(dim=1, keepdim=True) / size.clamp(min=1e-300)
    u = flat / SPHERE_RADIUS
    return with_basis(
        replace(found, coordinates=u, weights=1.3**2 * found.weights), basis
    )


def _table(title: str, columns: list[str]) -> Table:
    table = Table(title=title)
    for column in columns:
        table.add_column(column, justify="left" if column == "mesh" else "right")
    return table


def _row(
    table: Table,
    name: str,
    basis: ZernikeBasis,
    meshes: list[Mesh],
    r: float,
    wave: list[float],
    sizes: tuple[int, ...],
) -> None:
    errors = [wave_error(mesh, basis, r, wave) for mesh in meshes]
    rate = fitted_rate([1 / n for n in sizes], errors)
    numbers = [f"{error:.1e}" for error in errors]
    table.add_row(name, f"{basis.alpha:g}", *numbers, f"{rate:.1f}")
