"""What a data set is, and what its cases speak for without showing it, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isofield.data import Field, Similarity
from isofield.recommend.survey import Survey

ALIKE = 8  # cases, from which on powers of sizes are looked at


def described(found: Survey) -> str:
    """Cases, nodes, inputs and targets in one sentence."""
    least, most = min(found.sizes), max(found.sizes)
    kind = "surfaces" if found.measure_dimension == 2 else "curves"
    if found.fills:
        kind = "domains in the plane" if found.dimension == 2 else "volumes"
    elif found.closed:
        kind = f"{kind} in {found.dimension} dimensions ({found.closed} closed)"
    varying = [field for field in found.inputs if field.name in found.details]
    return (
        f"{len(found.sizes)} cases on {kind}, of {least:,} to {most:,} nodes; "
        f"{len(varying)} inputs vary within a case ({_listed(varying)}), "
        f"{len(found.constant)} do not; targets: {_listed(found.targets)}."
    )


def _listed(fields: Sequence[Field]) -> str:
    kinds = {0: "", 1: " a vector", 2: " a tensor"}
    named = [f"{f.name}{kinds.get(len(f.shape), f' {f.shape}')}" for f in fields]
    return ", ".join(named) or "none"


def hints(found: Survey, linear: Sequence[str], similarity: Similarity) -> list[str]:
    """Inputs with which the size of all targets grows: what cases cannot show."""
    lines = []
    known = {name for powers in similarity.powers.values() for name in powers}
    for field in found.inputs:
        powers = [_power(found, field.name, t.name) for t in found.targets]
        if field.name in {*linear, *known} or not all(powers):
            continue
        exponent, likeness = min((p for p in powers if p), key=lambda p: p[1])
        scalar = field.name in found.constant and field.shape == ()
        target = found.targets[0].name
        how = f"similarity={{'{target}': '{field.name}'}} or " if scalar else ""
        lines.append(
            f"The targets grow with {field.name}, to the power {exponent:.2f} "
            f"(correlation {likeness:.2f} over {len(found.sizes)} cases): if the "
            f"equations are linear in it, declare {how}linear=['{field.name}']."
        )
    return lines


def _power(found: Survey, name: str, target: str) -> tuple[float, float] | None:
    """The exponent by which a target grows with an input, and the correlation of their
    logarithms over the cases; None where it is not about 1, or not known."""
    x, y = found.sizes_of[name], found.sizes_of[target]
    if len(x) < ALIKE or not (x > 0).all() or not (y > 0).all():
        return None
    a, b = np.log(x) - np.log(x).mean(), np.log(y) - np.log(y).mean()
    if not a.std() > 0.05 or not b.std() > 0:
        return None
    exponent = float(a @ b / (a @ a))
    likeness = float(a @ b / np.sqrt((a @ a) * (b @ b)))
    alike = abs(exponent - 1) < 0.15 and likeness > 0.9
    return (exponent, likeness) if alike else None
