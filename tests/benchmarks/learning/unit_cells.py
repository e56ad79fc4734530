"""Plane elasticity of random cells of a composite under a mean strain.

    div σ = 0,   σ = C(E) ε(u) in plane stress, ν = 0.3,
    u = ε̄ (x - c) on the sides of the unit square,   σ n = 0 on the holes,

c its middle, so that turned cells have turned displacements. Young's modulus E(x) is 1
with round inclusions whose edges are smooth. The truth:
quadratic elements; its stress is projected onto continuous linear functions. Known
shapes: 1 to 3 round holes; unseen: as many flat ones. The displacement is linear in ε̄,
the von Mises stress is not.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from isofield import Mesh
from isofield.data import Symmetry
from tests.benchmarks.learning.cases import RESOLUTIONS, Case, Sizes, Task, renumbered
from tests.benchmarks.learning.elements import (
    Interpolation,
    as_held,
    basis_of,
    factorized,
    with_cells,
)
from tests.benchmarks.learning.functions import Function, at
from tests.benchmarks.learning.planar import (
    Domain,
    fine,
    meshed,
    outer_nodes,
    perforated,
)

POISSON = 0.3
MIDDLE = 0.5  # both coordinates of c
SOFTEST, STIFFEST = 0.2, 10.0  # of the inclusions
SOFTNESS = 0.04  # width of an inclusion's edge
EDGE = 1 / 36  # of the truth's triangles
BULGE = 0.3  # of the truth's cells, between a hole and its 48 chords

INPUTS = ("modulus", "mean_strain")
TARGETS, LINEAR_IN = ("displacement", "von_mises"), ("mean_strain",)


def cell(seed: int, shapes: str = "known") -> Domain:
    """The unit square with holes; shapes : "known" or "unseen"."""
    random = np.random.default_rng([seed, 0])
    corners = [(0, 0), (1, 0), (1, 1), (0, 1)]
    return perforated(
        random, corners, 1 + seed % 3, flattest=0.4 if shapes == "unseen" else 1.0
    )


def inputs(seed: int, source: int) -> tuple[Function, np.ndarray]:
    """Young's modulus as a function of the place; the mean strain (2, 2)."""
    random = np.random.default_rng([seed, source, 1])
    count = random.integers(3, 7)
    centre, radius = random.random((count, 2)), random.uniform(0.08, 0.2, count)
    log = random.uniform(np.log(SOFTEST), np.log(STIFFEST), count)

    def modulus(x: np.ndarray) -> np.ndarray:
        away = np.linalg.norm(x[:, None] - centre, axis=2)
        share = 0.5 * (1 + np.tanh((radius - away) / SOFTNESS))
        weight = share**2 / (share.sum(1, keepdims=True) + 1e-12)
        return np.exp(weight @ log)

    xx, yy, twice_xy = random.standard_normal(3)
    return modulus, np.array([[xx, twice_xy / 2], [twice_xy / 2, yy]])


def solution(basis: Any, modulus: Function, strain: np.ndarray, held: Any) -> tuple:
    """Displacement (N, 2) at the nodes of a scalar basis; stress (K, 3), xx, yy and xy,
    at the corners of its mesh. held : the nodes at which u = ε̄ (x - c)."""
    import skfem
    from skfem.helpers import ddot, eye, sym_grad, trace

    @skfem.BilinearForm
    def stiffness(u: Any, v: Any, w: Any) -> Any:
        return ddot(_stress(at(modulus, w.x), sym_grad(u)), sym_grad(v))

    def _stress(young: Any, e: Any) -> Any:
        shear = young / (2 * (1 + POISSON))
        return 2 * shear * e + eye(young * POISSON / (1 - POISSON**2) * trace(e), 2)

    vector = skfem.Basis(
        basis.mesh, skfem.ElementVector(basis.elem), intorder=2 * basis.elem.maxdeg
    )
    number = np.zeros((basis.N, 2), int)  # of the components at each node
    number[basis.element_dofs.T] = vector.element_dofs.T.reshape(-1, basis.Nbfun, 2)
    known = (basis.doflocs[:, held].T - MIDDLE) @ strain
    values = np.zeros(vector.N)
    values[number[held]] = known
    free = np.setdiff1d(np.arange(vector.N), number[held].ravel())
    matrix = stiffness.assemble(vector)
    values[free] = factorized(matrix[free][:, free])(-(matrix @ values)[free])

    corners = basis.with_element(type(basis.mesh).elem())
    young = at(modulus, np.asarray(corners.global_coordinates()))
    stress = np.asarray(_stress(young, sym_grad(vector.interpolate(values))))
    projected = [_projected(corners, stress[i, j]) for i, j in ((0, 0), (1, 1), (0, 1))]
    return values[number], np.column_stack(projected)


def _projected(basis: Any, values: np.ndarray) -> np.ndarray:
    """The function of a basis that is nearest in L2 to values where it integrates."""
    import skfem
    from skfem.models.poisson import mass

    load = skfem.LinearForm(lambda v, w: w["values"] * v)
    return factorized(mass.assemble(basis))(load.assemble(basis, values=values))


def von_mises(stress: np.ndarray) -> np.ndarray:
    """`sqrt(xx² - xx yy + yy² + 3 xy²)` of plane stresses (N, 3)."""
    xx, yy, xy = stress.T
    return np.sqrt(xx**2 - xx * yy + yy**2 + 3 * xy**2)


@lru_cache(1)
def truth(seed: int, source: int, shapes: str) -> tuple[Domain, Any]:
    """The cell, and displacement and stress at any points."""
    domain = cell(seed, shapes)
    basis = basis_of(fine(domain, EDGE), 2)
    solved = solution(basis, *inputs(seed, source), outer_nodes(domain, basis))
    quadratic = Interpolation.of(basis)
    linear = Interpolation(basis.mesh.p.T, basis.mesh.t.T)

    def values(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (
            quadratic(points, BULGE) @ solved[0],
            linear(points, BULGE) @ solved[1],
        )

    return domain, values


def sample(case: Case) -> Mesh:
    """A cell's mesh with modulus, strain, displacement and von Mises stress."""
    domain, values = truth(case.seed, case.source, case.shapes)
    modulus, strain = inputs(case.seed, case.source)
    mesh = meshed(domain, case.n_points, case.family, case.seed)
    displacement, stress = values(mesh.points)
    fields = {
        "modulus": modulus(mesh.points),
        "mean_strain": np.tile(strain, (len(mesh.points), 1, 1)),
        "displacement": displacement,
        "von_mises": von_mises(stress),
    }
    made = mesh.with_point_data(fields)
    own = with_cells(made)
    basis = basis_of(own, 1)
    held = outer_nodes(domain, basis)
    u, stress = solution(basis, as_held(own, "modulus"), strain, held)
    found = {"displacement_p1": u, "von_mises_p1": von_mises(stress)}
    made = made.with_point_data(found)
    return renumbered(made, case.seed) if case.permuted else made


def region(case: Case) -> Mesh:
    """The case's domain alone."""
    return meshed(cell(case.seed, case.shapes), SIZES.most, "uniform", case.seed)


SIZES = Sizes(150, 1200)

TASK = Task(
    "unit_cells",
    "Elasticity of cells with holes and inclusions under a mean strain",
    INPUTS,
    TARGETS,
    LINEAR_IN,
    sample,
    {"mixed": SIZES.train()},
    SIZES.tests(),
    RESOLUTIONS,
    magnitudes=("von_mises",),
    symmetry=Symmetry(right_angles=True),
    domain=region,
)
