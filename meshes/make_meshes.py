"""Writes the small meshes in this folder anew: `python meshes/make_meshes.py`.

One file for each format that is written, each with what the format can hold.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from isofield import Mesh
from isofield.generation import ball, box, disk, icosphere, random_blob, square, torus
from isofield.io import write

FOLDER = Path(__file__).parent


def with_fields(mesh: Mesh) -> Mesh:
    """A temperature in the points with its unit, and the number of each cell."""
    temperature = 300 + np.sin(3 * mesh.points).prod(axis=1)
    count = sum(len(nodes) for nodes in mesh.cells.values())
    return replace(
        mesh,
        point_data={"temperature": temperature},
        cell_data={"number": np.arange(count, dtype=np.int32)},
    )


def with_sets(mesh: Mesh) -> Mesh:
    """The points and the cells in the half x < 1/2, by name."""
    x = mesh.points[:, 0]
    middles = [x[nodes].mean(axis=1) for nodes in mesh.cells.values()]
    return replace(
        mesh,
        point_sets={"left": np.flatnonzero(x < 0.5)},
        cell_sets={"left_half": np.flatnonzero(np.concatenate(middles) < 0.5)},
    )


def meshes() -> dict[str, Mesh]:
    """File name -> mesh."""
    ball_mesh = with_sets(with_fields(ball(2)))
    ball_mesh = replace(
        ball_mesh,
        field_data={"unit:temperature": "K"},
        facet_sets={"first": [[0, 0], [1, 2]]},
    )
    tensors = np.einsum("ni,nj->nij", ball_mesh.points, ball_mesh.points)
    square_mesh = with_fields(square(4))
    return {
        "ball.vtu": ball_mesh.with_point_data({"dyad": tensors}),
        "ball.vtk": with_fields(ball(2)),
        "blob.xdmf": with_sets(with_fields(random_blob(1, 2))),
        "box.inp": with_sets(box(2, "hexahedron")),
        "box.su2": box(2, "tetra"),
        "disk.msh": replace(with_sets(with_fields(disk(2))), point_sets={}),
        "sphere.off": icosphere(2),
        "sphere.ply": with_fields(icosphere(2)),
        "sphere.stl": icosphere(2),
        "square.vtu": replace(square_mesh, field_data={"unit:temperature": "K"}),
        "torus.obj": torus(6, "quad"),
    }


if __name__ == "__main__":
    for name, mesh in meshes().items():
        write(FOLDER / name, mesh, lossy=name.endswith(".stl"))
