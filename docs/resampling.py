"""Carries real fields between two real meshes and back, and writes resampling.md.

    python docs/resampling.py [FOLDER]

Every pair of files covers the same domain, up to the facets of its boundary. Of each
method: the integral before and after, the range, the points outside, and how far the
field is from itself after it went to the other mesh and back.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from isofield.discretization import Discretization, from_mesh
from isofield.io import read
from isofield.mesh import Mesh
from isofield.operators import (
    SparseOperator,
    conservative,
    l2_projection,
    linear,
    moving_least_squares,
    nearest,
)
from isofield.plot import compare, plot

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / "shared" / "data"


@dataclass(frozen=True)
class Pair:
    """A file with a field at its points, and another of the same domain."""

    name: str
    source: str
    field: str
    target: str
    surface: bool = False


VTK = "formats/vtk_data/Data"
MESHIO = "formats/meshio_sdist"
PAIRS = [
    Pair(
        "square",
        f"{VTK}/coarseGrid.e",
        "u",
        "formats/ansys/pyfluent/lid_driven_cavity/lid_driven_cavity.msh",
    ),
    Pair(
        "cylinder",
        f"{VTK}/Quadratic/CylinderQuadratic.vtk",
        "velocity",
        f"{VTK}/Quadratic/CylinderLinear.vtk",
    ),
    Pair(
        "cube",
        f"{VTK}/dolfinx/checkpoint.xdmf",
        "label_u",
        f"{MESHIO}/vtu/00_raw_binary.vtu",
    ),
]
Builder = Callable[[Mesh, Mesh], SparseOperator]
METHODS: dict[str, Builder] = {
    "nearest": lambda s, t: nearest(s, t, outside="nearest"),
    "linear": lambda s, t: linear(s, t, outside="nearest"),
    "moving least squares": moving_least_squares,
    "conservative": lambda s, t: conservative(
        s, t, source_at="points", target_at="points", outside="nearest"
    ),
    "L² projection": lambda s, t: l2_projection(s, t, outside="nearest"),
}


def report(folder: Path) -> str:
    """The page; pictures are written beside it."""
    text = [_INTRODUCTION]
    for pair in PAIRS:
        source, target = (
            _of_cells(read(folder / p)) for p in (pair.source, pair.target)
        )
        text += [
            f"## {pair.name}: `{Path(pair.source).name}`, `{Path(pair.target).name}`\n",
            f"`{pair.field}` on {_described(source)}; the other mesh has "
            f"{_described(target)}.\n",
            "| method | integral | after | range | after | outside | there and back |",
            "|---|---|---|---|---|---|---|",
            *_rows(pair, source, target),
            "",
            f"![the field on the other mesh](resampling_{pair.name}_target.png)\n",
            f"![there and back](resampling_{pair.name}.png)\n",
        ]
    return "\n".join(text)


def _rows(pair: Pair, source: Mesh, target: Mesh) -> Iterator[str]:
    """One line per method; the pictures are those of the conservative one."""
    u = np.asarray(source.point_data[pair.field], dtype=np.float64)
    for name, build in METHODS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # coverage is in the text, not per method
            there, back = build(source, target), build(target, source)
        v = there(u)
        again = back(v)
        before, after = _integral(there.source, u), _integral(there.target, v)
        domain = from_mesh(source)
        error = _norm(domain, again - u) / _norm(domain, u)
        outside = there.facts.get("outside")
        count = "-" if outside is None else str(int((outside > 0).sum()))
        yield (
            f"| {name} | {before:.6g} | {after / before - 1:+.1e} | {_range(u)} | "
            f"{_range(v)} | {count} | {100 * error:.2f} % |"
        )
        if name == "conservative":
            field, other = {pair.field: v}, {"there and back": again, pair.field: u}
            plot(
                target.with_point_data(field),
                pair.field,
                path=HERE / f"resampling_{pair.name}_target.png",
            )
            compare(
                source.with_point_data(other),
                pair.field,
                "there and back",
                path=HERE / f"resampling_{pair.name}.png",
            )


def _of_cells(mesh: Mesh) -> Mesh:
    """The cells of the highest dimension: those that carry measure."""
    return mesh.of_dimension(mesh.dimension)


def _described(mesh: Mesh) -> str:
    cells = ", ".join(f"{len(nodes)} {kind}" for kind, nodes in mesh.cells.items())
    return f"{len(mesh.points)} points ({cells})"


def _integral(where: Discretization | None, u: np.ndarray) -> float:
    """Of the first component; in the measure in which the operator keeps it."""
    if where is None:
        return float("nan")
    return float(where.integrate(torch.from_numpy(u.reshape(len(u), -1)[:, 0].copy())))


def _norm(domain: Discretization, u: np.ndarray) -> float:
    values = torch.from_numpy(np.ascontiguousarray(u))
    return float(domain.norm(values.reshape(len(u), -1)))


def _range(u: np.ndarray) -> str:
    return f"{np.nanmin(u):.3g} to {np.nanmax(u):.3g}"


_INTRODUCTION = """# Fields carried between real meshes

Written by `python docs/resampling.py`. "Integral" is that of the first component on the
source, "after" its relative change on the other mesh, both in the measures of the
operator; "there and back" is the relative L² distance of the field from itself after it
went to the other mesh and back, so it holds what the coarser of the two cannot carry.
The pictures are of the conservative transfer.
"""

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    (HERE / "resampling.md").write_text(report(folder))
