"""A solver's two files: a temperature on a fine mesh, and a coarse mesh without it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import skfem
from skfem.models.poisson import laplace, mass

from isofield.generation import l_shape
from isofield.io import write


def solve(folder: Path) -> tuple[Path, Path]:
    """Write `fine.vtu` and `coarse.inp`: steady heat in an L with a narrow source.

    `-div grad T + T = f`, no flux through the boundary, so that `int T = int f`.
    """
    mesh = l_shape(96)
    points = mesh.points
    basis = skfem.Basis(
        skfem.MeshTri(points.T.copy(), mesh.cells["triangle"].T.copy()),
        skfem.ElementTriP1(),
    )
    heat = np.exp(-400 * ((points - [0.3, 0.35]) ** 2).sum(1))
    mixed = mass.assemble(basis)
    temperature = skfem.solve(laplace.assemble(basis) + mixed, mixed @ heat)
    fields = {"temperature": temperature}
    units = {"unit:temperature": "K"}
    write(folder / "fine.vtu", replace(mesh, point_data=fields, field_data=units))
    write(folder / "coarse.inp", l_shape(7))
    return folder / "fine.vtu", folder / "coarse.inp"
