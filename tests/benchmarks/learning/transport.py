"""Transient diffusion and advection in smooth domains: one step of time, and several.

    dc/dt + b . grad c = κ Δc,   b . n = 0 and dc/dn = 0 on the boundary,

b = (dψ/dy, -dψ/dx) of mean square 1, ψ a sum of waves times a function that is 0 on the
boundary, so div b = 0 and the integral of c stays as it is; c a few bumps at first.
Learned: c after a time STEP from c before it. The truth: quadratic elements and the
rule of Crank and Nicolson with PARTS steps in each. Known shapes: a star-shaped domain;
unseen: with a round hole in the middle.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from scipy.sparse.linalg import splu

from isofield import Mesh
from isofield.data import Symmetry
from tests.benchmarks.learning.cases import (
    NEW,
    RESOLUTIONS,
    Case,
    Sizes,
    Task,
    renumbered,
)
from tests.benchmarks.learning.elements import (
    Interpolation,
    as_held,
    basis_of,
    with_cells,
)
from tests.benchmarks.learning.functions import Function, bumps, waves
from tests.benchmarks.learning.planar import Domain, circle, fine, meshed

DIFFUSION = 0.005  # κ
CENTRE = np.array([0.5, 0.5])
HOLE = 0.1  # radius of the hole
STEP = 0.05  # of time, in which things move 0.05 on average; the extent is about 1
PARTS = 5  # steps of the truth in a STEP
STARTS = 4  # cases to learn from on each shape, one STEP after the other
ROLLED = 5  # steps that are also predicted from predictions
EDGE = 1 / 40  # of the truth's triangles
BULGE = 0.3  # of the truth's cells, between the boundary and its chords
DIFFERENCE = 1e-5  # of places, for the slope of ψ

INPUTS = ("concentration", "velocity")
TARGETS, LINEAR_IN = ("next_concentration",), ("concentration",)


def outline(seed: int) -> Function:
    """The distance of the boundary from the centre, at angles (K,)."""
    random = np.random.default_rng([seed, 0])
    wave = np.arange(2, 6)
    height = 0.25 * random.standard_normal(4) / wave
    phase = random.uniform(0, 2 * np.pi, 4)
    return lambda angle: 0.45 * np.exp(np.cos(wave * angle[:, None] + phase) @ height)


def star(seed: int, shapes: str = "known") -> Domain:
    """A smooth domain around (1/2, 1/2), about 1 wide."""
    angle = 2 * np.pi * np.arange(180) / 180
    away = outline(seed)(angle)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    loop = CENTRE + np.concatenate([away, away[:1]])
    hole = [circle(*CENTRE, HOLE)] if shapes == "unseen" else []
    return Domain(((loop,), *hole))


def flow(seed: int, shapes: str, places: np.ndarray) -> Function:
    """The velocity (N, 2) at points, of mean square 1 over places of the domain.

    ψ is a sum of waves times `1 - ρ²/r²`, ρ the distance from the centre and r that of
    the boundary, and times `(ρ² - a²) / (ρ² + a²)` where there is a hole of radius a.
    """
    wave = waves(np.random.default_rng([seed, 1]), 1.5, count=6)
    boundary = outline(seed)

    def stream(x: np.ndarray) -> np.ndarray:
        away = x - CENTRE
        square, limit = (away**2).sum(1), boundary(np.arctan2(away[:, 1], away[:, 0]))
        inner = 1 - square / limit**2
        if shapes == "unseen":
            inner = inner * (square - HOLE**2) / (square + HOLE**2)
        return inner * (1 + wave(x))

    def velocity(x: np.ndarray) -> np.ndarray:
        east, north = DIFFERENCE * np.eye(2)
        along_x = stream(x + east) - stream(x - east)
        along_y = stream(x + north) - stream(x - north)
        return np.column_stack([along_y, -along_x]) / (2 * DIFFERENCE)

    size = np.sqrt((velocity(places) ** 2).sum(1).mean())
    return lambda x: velocity(x) / size


def history(basis: Any, velocity: Function, start: np.ndarray, steps: int) -> Any:
    """(steps + 1, N) the concentration at the nodes, from `start` (N,), every STEP.

    `(M + τ/2 A) c' = (M - τ/2 A) c` with τ = STEP / PARTS: O(τ²).
    """
    import skfem
    from skfem.helpers import dot, grad
    from skfem.models.poisson import mass

    @skfem.BilinearForm
    def transported(c: Any, v: Any, w: Any) -> Any:
        b = velocity(w.x.reshape(2, -1).T).T.reshape(w.x.shape)
        return DIFFUSION * dot(grad(c), grad(v)) + dot(b, grad(c)) * v

    half = STEP / PARTS / 2
    weight, move = mass.assemble(basis), transported.assemble(basis)
    factors, explicit = splu((weight + half * move).tocsc()), weight - half * move
    found = [start]
    for step in range(1, 1 + steps * PARTS):
        start = factors.solve(explicit @ start)
        if step % PARTS == 0:
            found.append(start)
    return np.stack(found)


@lru_cache(1)
def truth(seed: int, shapes: str) -> tuple[Domain, Function, Any, Any]:
    """The domain, the velocity, the values of all steps, and their interpolation."""
    domain = star(seed, shapes)
    mesh = fine(domain, EDGE)
    places = domain.spread(seed)
    velocity = flow(seed, shapes, places)
    start = bumps(np.random.default_rng([seed, 2]), places)
    basis = basis_of(mesh, 2)
    steps = ROLLED + (STARTS - 1 if seed < NEW else 0)
    values = history(basis, velocity, start(basis.doflocs.T), steps)
    return domain, velocity, values, Interpolation.of(basis)


def sample(case: Case) -> Mesh:
    """A mesh with the concentration after `source` steps, the velocity, and the
    concentration one step later; with that after ROLLED steps where it is tested."""
    domain, velocity, values, interpolation = truth(case.seed, case.shapes)
    mesh = meshed(domain, case.n_points, case.family, case.seed + case.source)
    matrix, now = interpolation(mesh.points, BULGE), case.source
    fields = {
        "concentration": matrix @ values[now],
        "velocity": velocity(mesh.points),
        "next_concentration": matrix @ values[now + 1],
    }
    if case.seed >= NEW:
        fields["rolled_concentration"] = matrix @ values[now + ROLLED]
    made = mesh.with_point_data(fields)
    own = with_cells(made)
    basis, known = basis_of(own, 1), as_held(own, "velocity")
    after = history(basis, known, fields["concentration"], 1)[1]
    made = made.with_point_data({"next_concentration_p1": after})
    return renumbered(made, case.seed) if case.permuted else made


SIZES = Sizes(200, 1600)

TASK = Task(
    "transport",
    "Diffusion and advection, one step of time",
    INPUTS,
    TARGETS,
    LINEAR_IN,
    sample,
    {"mixed": SIZES.train(sources=STARTS)},
    SIZES.tests(),
    RESOLUTIONS,
    ("concentration", "rolled_concentration", ROLLED),
    symmetry=Symmetry(),
)
