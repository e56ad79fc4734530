"""How much of two meshes meets, and what is said of the rest."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from isofield.cells import CELL_TYPES
from isofield.mesh import Mesh
from isofield.operators.closest import closest, furthest
from isofield.operators.outside import hull
from isofield.operators.sparse import TransferError
from isofield.operators.supermesh import Split, cell_measures
from isofield.operators.supermesh.surfaces import WHOLE

# a share of a measure above which a difference of two domains is said
NOTABLE = 1e-3
CURVED = 0.2  # on surfaces, whose triangulations differ themselves
AREAS = 0.01
# a share that is covered twice, above the rounding of slivers
TWICE = 1e-6


class TransferWarning(UserWarning):
    """A transfer is made, but not of everything to everywhere."""


class Overlap(NamedTuple):
    """covered : (T,) how much of each target cell the source meets. used : (S,) how
    much of each source cell meets the target. On surfaces both in the target's planes.
    """

    covered: Tensor
    used: Tensor

    @classmethod
    def none(cls, source: Split, target: Split) -> Overlap:
        """To be added to."""
        return cls(
            target.measure.new_zeros(target.n_cells),
            source.measure.new_zeros(source.n_cells),
        )

    def add(self, t: Tensor, s: Tensor, measure: Tensor) -> None:
        """Pieces (K,) of target cells t and source cells s, in place."""
        self.covered.index_add_(0, t, measure)
        self.used.index_add_(0, s, measure)


def check_meshes(source: Mesh, target: Mesh) -> None:
    """Raises `TransferError` unless both are meshes of one kind whose domains meet."""
    for name, mesh in (("source", source), ("target", target)):
        if mesh.dimension < 1:
            raise TransferError(
                f"the {name} has points without cells, and no overlap to integrate "
                "over: take `moving_least_squares`, `linear` or `nearest`"
            )
        wrong = np.flatnonzero(~np.isfinite(mesh.points).all(1))
        if len(wrong):
            raise TransferError(
                f"{len(wrong)} of {len(mesh.points)} points of the {name} are not "
                f"finite, the first is number {wrong[0]}"
            )
    (m, d), (n, e) = ((x.dimension, x.points.shape[1]) for x in (source, target))
    if (m, d) != (n, e):
        raise TransferError(
            f"expected two meshes of one kind, got cells of dimension {m} in {d}-D and "
            f"of dimension {n} in {e}-D: bring the points to the same number of "
            "coordinates, or take `linear` with max_distance, which projects"
        )
    check_domains(source, target)


def check_domains(source: Mesh, target: Mesh, max_distance: float = 0.0) -> None:
    """Raises `TransferError` where the two boxes are further apart than max_distance.

    Its message has the largest distance of a target's point from the source.
    """
    low_s, high_s = source.points.min(0), source.points.max(0)
    low_t, high_t = target.points.min(0), target.points.max(0)
    gap = np.maximum(low_t - high_s, low_s - high_t).clip(min=0)
    if float(np.linalg.norm(gap)) <= max_distance:
        return
    points = torch.tensor(target.points)
    raise TransferError(
        f"the domains do not meet: all {len(points)} points of the target lie outside "
        f"the source, the furthest by {furthest(hull(source), points):.6g}; the source "
        f"lies within {low_s.tolist()} to {high_s.tolist()}, the target within "
        f"{low_t.tolist()} to {high_t.tolist()}; are both in the same units?"
    )


def check_overlap(overlap: Overlap, source: Split, target: Split) -> None:
    """Warns of what is not covered and not carried; raises `TransferError` for cells
    that overlap each other."""
    whole, given = cell_measures(target), cell_measures(source)
    if source.corners.shape[2] == source.dimension:
        _check_twice(overlap.covered, whole, "target", "source")
        _check_twice(overlap.used, given, "source", "target")
        notable = NOTABLE
    else:
        notable = CURVED
        whole_ones = overlap.used > WHOLE * given
        ratio = float(overlap.used[whole_ones].sum() / given[whole_ones].sum())
        if abs(ratio - 1) > AREAS:
            _warn(
                f"the target surface has {ratio:.4g} times the area of the source "
                "where they meet: check that both are of one shape"
            )
    short = int((overlap.covered < (1 - notable) * whole).sum())
    used = float(overlap.used.sum() / given.sum())
    if short or used < 1 - notable:
        lost = max(0.0, 1 - used)  # rounding may use a little more than all
        _warn(
            f"{short} of {len(whole)} target cells are covered by less than "
            f"{100 * (1 - notable):g} %, and {100 * lost:.3g} % of the source's "
            "measure lies outside of the target: the integral over the overlap is kept"
        )


def middles(mesh: Mesh) -> Tensor:
    """(T, d) the means of the nodes of the cells of the highest dimension."""
    kinds = [k for k in mesh.cells if CELL_TYPES[k].dimension == mesh.dimension]
    found = [mesh.points[mesh.cells[kind]].mean(1) for kind in kinds]
    return torch.from_numpy(np.concatenate(found))


def _check_twice(met: Tensor, whole: Tensor, name: str, other: str) -> None:
    twice = int((met > (1 + TWICE) * whole).sum())
    if twice:
        raise TransferError(
            f"{twice} of {len(whole)} {name} cells are covered more than once: cells "
            f"of the {other} overlap each other (mesh.validate() names inverted and "
            "folded ones)"
        )


def _warn(text: str) -> None:
    warnings.warn(text, TransferWarning, stacklevel=5)


def uncovered(
    source: Mesh, places: Tensor, empty: Tensor, bare: Tensor, name: str, outside: str
) -> Tensor:
    """(M,) the distances to the source of targets that do not meet it, 0 for others.

    places : (M, d) of the targets. empty : (M,) bool, those that do not meet it. bare :
    (M,) bool, those without a measure of their own. inf where outside="nan" asks for no
    distance. Raises `TransferError` with outside="error", with the count and the
    largest distance.
    """
    distance = torch.zeros_like(places[:, 0])
    count = int(empty.sum())
    if not count:
        return distance
    if outside == "error":
        own = int(bare.sum())
        orphans = f"; {own} of these are in no cell with a measure" if own else ""
        raise TransferError(
            f"{count} of {len(empty)} {name} do not meet the source, the furthest lies "
            f"{furthest(hull(source), places[empty]):.6g} from it, the first is number "
            f"{int(empty.nonzero()[0])}{orphans}: pass outside='nearest' or "
            "outside='nan', or leave them out of the target"
        )
    if outside == "nan":
        distance[empty] = torch.inf
    else:
        distance[empty] = closest(hull(source), places[empty]).distance
    return distance
