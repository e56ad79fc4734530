"""Meshes with fields at several times, each step read when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from isofield.mesh import Mesh


@dataclass(frozen=True, eq=False)
class MeshSeries:
    """The steps of one file or file list.

    times : (S,) float64, in the file's unit of time, in the order of the file.
    step : step number -> `Mesh`; called anew for each access, nothing is kept.

    `len(series)` is S; `series[i]` reads step i, negative i counts from the end.
    Raises `IndexError` past the last step.
    """

    times: np.ndarray
    step: Callable[[int], Mesh]

    def __post_init__(self) -> None:
        times = np.array(self.times, dtype=np.float64).reshape(-1)
        times.flags.writeable = False
        object.__setattr__(self, "times", times)

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, number: int) -> Mesh:
        if not -len(self) <= number < len(self):
            raise IndexError(f"step {number}: the series has {len(self)} steps")
        return self.step(number % len(self))

    def __iter__(self) -> Iterator[Mesh]:
        return (self[number] for number in range(len(self)))
