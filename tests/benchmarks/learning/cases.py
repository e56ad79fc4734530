"""What a sample of a task is made from, and what a task is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from isofield import Mesh


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
    solution by linear elements on that mesh itself. linear_in : the inputs in which the
    targets are linear. train : form -> cases. tests : set -> cases, the same shapes and
    sources in every set. resolutions : the sets that differ in size alone.
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


def renumbered(mesh: Mesh, seed: int) -> Mesh:
    """The same mesh with its points and cells in another order."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(mesh.points))
    number = np.argsort(order)
    cells = {k: random.permutation(number[v]) for k, v in mesh.cells.items()}
    fields = {name: values[order] for name, values in mesh.point_data.items()}
    return Mesh(mesh.points[order], cells, fields)
