"""The cases of a training: files, fields and the share kept for validation."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from isofield.cli import files
from isofield.cli.reporting import CommandError

if TYPE_CHECKING:
    from isofield.mesh import Mesh

_SHOWN = 5  # remarks on files, of which there may be as many as cases


@dataclass(frozen=True)
class Cases:
    """Meshes and the names of the files that they come from."""

    meshes: tuple[Mesh, ...]
    names: tuple[str, ...]

    def picked(self, numbers: Sequence[int]) -> Cases:
        """The cases with these numbers."""
        return Cases(
            tuple(self.meshes[i] for i in numbers),
            tuple(self.names[i] for i in numbers),
        )

    def __add__(self, other: Cases) -> Cases:
        """These cases, then the others."""
        return Cases(self.meshes + other.meshes, self.names + other.names)

    def split(self, share: float, seed: int) -> tuple[Cases, Cases]:
        """Cases to train on, and a share of them, at least one, to validate with.

        No case is kept for validation where `share` is 0 or there is only one.
        """
        import numpy as np

        count = len(self.meshes)
        kept = 0
        if share > 0 and count > 1:
            kept = min(max(1, round(share * count)), count - 1)
        drawn = np.random.default_rng(seed).permutation(count)[:kept].tolist()
        rest = [number for number in range(count) if number not in set(drawn)]
        return self.picked(rest), self.picked(sorted(drawn))


def validation_of(values: Sequence[str]) -> tuple[float, list[str]]:
    """The share of the cases, or the files, that `--validation` asks for."""
    try:
        shares = [float(value) for value in values]
    except ValueError:
        return 0.0, list(values)
    if len(shares) != 1 or not 0 <= shares[0] < 1:
        raise typer.BadParameter(
            "--validation: expected one share from 0 up to 1, or files, got "
            f"{' '.join(values)}"
        )
    return shares[0], []


def read(
    sources: Sequence[str], extra: Sequence[str], units: Mapping[str, str]
) -> tuple[Cases, Cases]:
    """The cases of two lists of files, folders and patterns.

    A file of the second list is taken out of the first. units : field -> unit, set on
    every case.
    """
    second = files.found(extra)
    taken = {path.resolve() for path in second}
    first = [path for path in files.found(sources) if path.resolve() not in taken]
    if not first:
        raise CommandError("all cases are in --validation, none is left to train on")
    meshes = [_with_units(mesh, units) for mesh in _read_all(first + second)]
    names = [str(path) for path in first + second]
    both = Cases(tuple(meshes), tuple(names))
    count = range(len(meshes))
    return both.picked(count[: len(first)]), both.picked(count[len(first) :])


def check(
    cases: Cases,
    inputs: Sequence[str],
    targets: Sequence[str],
    at: str,
    features: Sequence[str] = (),
) -> None:
    """All cases have these fields, each in one shape, and the regions of features."""
    from isofield.data import check_same_fields
    from isofield.data.featured import check_featured
    from isofield.data.fields import Site

    site: Site = "cells" if at == "cells" else "points"
    check_same_fields(cases.meshes, [inputs, targets], site, cases.names)
    check_featured(cases.meshes, features, site, cases.names)


def _read_all(paths: Sequence[Path]) -> list[Mesh]:
    from rich.progress import track

    meshes, remarks = [], []
    for path in track(paths, "Reading cases"):
        with warnings.catch_warnings(record=True) as caught:
            meshes.append(files.opened(path))
        remarks += caught
    for remark in remarks[:_SHOWN]:
        warnings.warn(remark.message, remark.category, stacklevel=2)
    if len(remarks) > _SHOWN:
        warnings.warn(
            f"{len(remarks) - _SHOWN} more remarks on cases; isofield info shows them",
            stacklevel=2,
        )
    return meshes


def _with_units(mesh: Mesh, units: Mapping[str, str]) -> Mesh:
    named = {f"unit:{name}": unit for name, unit in units.items()}
    return replace(mesh, field_data={**mesh.field_data, **named}) if named else mesh
