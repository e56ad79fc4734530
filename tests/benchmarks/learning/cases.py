"""What a sample of a task is made from, and what a task is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from isofield import Mesh
from isofield.data import Symmetry


@dataclass(frozen=True)
class Case:
    """One sample: equal cases have equal bytes.

    seed : of the shape and, with `source`, of the inputs. n_points : wanted; meshers
    that cannot count come close. family : how it is meshed. source : which inputs on
    the shape. shapes : the family of shapes. permuted : points and cells renumbered.
    """

    seed: int
    n_points: int
    family: str = "uniform"
    source: int = 0
    shapes: str = "known"
    permuted: bool = False


@dataclass(frozen=True)
class Task:
    """A map between fields, with samples to learn it from and to test it on.

    sample : a case's mesh with all fields; `<target>_p1` where there is one is the
    solution by linear elements on that mesh itself, of inputs as the mesh holds them:
    at its points, linear between. linear_in : the inputs in which the targets are
    linear. train : form -> cases. tests : set -> cases, the same shapes and sources in
    every set. resolutions : the sets that differ in size alone. magnitudes : targets
    that are lengths of what is linear in `linear_in`. symmetry : how samples may be
    turned and mirrored to be others of the same kind, None where they may not. rolled :
    where the target is the input of a later step: that input, the field that holds it
    after some steps, and their number. domain : a mesh of a case's domain alone, with
    as many points as the finest that is learned from.
    """

    name: str
    title: str
    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    linear_in: tuple[str, ...]
    sample: Callable[[Case], Mesh]
    train: Mapping[str, tuple[Case, ...]]
    tests: Mapping[str, tuple[Case, ...]]
    resolutions: tuple[str, ...]
    rolled: tuple[str, str, int] | None = None
    magnitudes: tuple[str, ...] = ()
    symmetry: Symmetry | None = None
    domain: Callable[[Case], Mesh] | None = None


def renumbered(mesh: Mesh, seed: int) -> Mesh:
    """The same mesh with its points and cells in another order."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(mesh.points))
    number = np.argsort(order)
    cells = {k: random.permutation(number[v]) for k, v in mesh.cells.items()}
    fields = {name: values[order] for name, values in mesh.point_data.items()}
    return Mesh(mesh.points[order], cells, fields)


@dataclass(frozen=True)
class Sizes:
    """How many nodes the meshes have: `least` to `most` to learn from, a factor of 8.

    boundary, centre, mesher : the families that are finest there, and of another
    mesher, as the task names them.
    """

    least: int
    most: int
    boundary: str = "boundary"
    centre: str = "centre"
    mesher: str = "gmsh"

    def train(self, count: int = 256, sources: int = 1) -> tuple[Case, ...]:
        """As many cases, `sources` on each shape, sizes even in their logarithm."""
        sizes = enumerate(self._mixed(count, 1))
        return tuple(Case(i // sources, n, source=i % sources) for i, n in sizes)

    def tests(self, count: int = 12) -> dict[str, tuple[Case, ...]]:
        """The same new shapes and inputs in every set, but for the unseen family."""
        middle = round((self.least * self.most) ** 0.5)

        def cases(n_points: int, **other: Any) -> tuple[Case, ...]:
            return tuple(Case(NEW + i, n_points, **other) for i in range(count))

        return {
            "3 times coarser": cases(round(self.least / 3)),
            "coarsest": cases(self.least),
            "in distribution": tuple(
                Case(NEW + i, n) for i, n in enumerate(self._mixed(count, 2))
            ),
            "finest": cases(self.most),
            "4 times finer": cases(4 * self.most),
            "graded to the boundary": cases(middle, family=self.boundary),
            "graded to the centre": cases(middle, family=self.centre),
            "another mesher": cases(middle, family=self.mesher),
            CLOUD: cases(middle, family="cloud"),
            f"{CLOUD}, finest": cases(self.most, family="cloud"),
            "unseen shapes": cases(middle, shapes="unseen"),
            "permuted": cases(middle, permuted=True),
        }

    def _mixed(self, count: int, seed: int) -> list[int]:
        sizes = np.geomspace(self.least, self.most, count).round().astype(int)
        return np.random.default_rng(seed).permutation(sizes).tolist()


RESOLUTIONS = (
    "3 times coarser",
    "coarsest",
    "in distribution",
    "finest",
    "4 times finer",
)
NEW = 10_000  # the first seed of what is tested on
CLOUD = "random cloud"
