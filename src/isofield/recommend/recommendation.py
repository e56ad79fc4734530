"""From what a data set is to a network, its arguments and a schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isofield.data import Field, FieldError, Similarity, node_batches
from isofield.data.fields import Site
from isofield.mesh import Mesh
from isofield.recommend.survey import Survey, surveyed
from isofield.recommend.waves import PERIOD, SHARE, Detail
from isofield.train import Schedule

FEW = 100  # cases, below which networks are narrow
STEPS = 6000  # of the optimizer; measured to be enough: 4,000 to 7,000
NODES = 3000  # per step
PASSES = (20, 1000)  # least and most
WAVES = {
    ("GreenOperator", 2): (12, 16),
    ("GreenOperator", 3): (4, 6),
    ("FourierOperator", 2): (6, 12),
    ("FourierOperator", 3): (4, 6),
}  # network, dimension -> least and most waves along a period
ALIKE = 8  # cases, from which on powers of sizes are looked at


@dataclass(frozen=True)
class Recommendation:
    """What to train with, and why.

        found = recommended(cases, inputs, targets)
        model = Surrogate.for_cases(cases, inputs, targets, **found.arguments)
        fit(model, cases, schedule=found.schedule)

    arguments : of `Surrogate.for_cases` besides the cases and the names of the fields.
    schedule : of `fit`. reasons : a sentence for each choice, with the numbers that led
    to it; `str` puts them in lines.
    """

    arguments: Mapping[str, Any]
    schedule: Schedule
    reasons: tuple[str, ...]

    @property
    def architecture(self) -> str:
        """The name of the network."""
        return self.arguments["architecture"]

    @property
    def features(self) -> tuple[str, ...]:
        """Features of the shape that are inputs as well."""
        return self.arguments.get("features", ())

    def __str__(self) -> str:
        return "\n".join(self.reasons)


def recommended(
    cases: Sequence[Mesh],
    inputs: Sequence[str],
    targets: Sequence[str],
    *,
    at: Site = "points",
    linear: Sequence[str] = (),
    features: Sequence[str] = (),
    similarity: Mapping[str, str] | None = None,
    names: Sequence[str] | None = None,
    cloud_on_boundary: bool = True,
) -> Recommendation:
    """What to train on these cases with: the same answer for the same cases.

    linear : inputs in which the equations are linear. It is never guessed: cases can
    speak for it, and a reason says where they do, but they cannot show it. The other
    arguments are those of `Surrogate.for_cases`; those given are among the arguments
    of the recommendation.

    Raises `ValueError` without cases or targets, `FieldError` for names that are not
    there.
    """
    if not cases:
        raise ValueError("expected at least one case to look at, got none")
    if not targets:
        raise ValueError("targets: expected at least one name, got none")
    for name in linear:
        if name not in inputs:
            known = ", ".join(inputs) or "none"
            raise FieldError(f"linear: no input {name!r}; there are {known}")
    names = names or [f"case {number}" for number in range(len(cases))]
    found = surveyed(cases, inputs, targets, at, names, cloud_on_boundary)
    given: dict[str, Any] = {
        "at": at,
        "linear": tuple(linear),
        "similarity": dict(similarity or {}),
        "cloud_on_boundary": cloud_on_boundary,
    }
    given = {k: v for k, v in given.items() if v not in ("points", (), {}, True)}
    reasons = [_described(found)]
    given["architecture"], why = _architecture(found, linear)
    reasons.append(why)
    waves, why = _waves(found, given["architecture"], linear)
    given |= waves
    reasons += why
    given["width"], why = _width(found, given["architecture"])
    reasons.append(why)
    shapes, why = _features(found, features)
    given |= {"features": shapes} if shapes else {}
    reasons += why
    schedule, why = _schedule(found)
    reasons.append(why)
    reasons += _hints(found, linear, Similarity.parsed(similarity or {}))
    return Recommendation(given, schedule, tuple(reasons))


def _described(found: Survey) -> str:
    least, most = min(found.sizes), max(found.sizes)
    kind = "surfaces" if found.measure_dimension == 2 else "curves"
    if found.measure_dimension == found.dimension:
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


def _architecture(found: Survey, linear: Sequence[str]) -> tuple[str, str]:
    m, d = found.measure_dimension, found.dimension
    if linear:
        return "GreenOperator", (
            f"GreenOperator: the targets are declared linear in {', '.join(linear)}. "
            "On Poisson's equation it errs by 6.6 % after 60 s of one core, networks "
            "that may be anything by 23 to 52 %."
        )
    if m < d:
        return _on_surfaces(found)
    if d == 2:
        return "FourierOperator", (
            "FourierOperator: the cases fill the plane. On plates with holes it errs "
            "by 5.6 %, GNO by 14.5 % after the same time."
        )
    return "FourierOperator", (
        "FourierOperator: the cases fill volumes, where networks were not compared; in "
        "the plane it errs by 5.6 %, GNO by 14.5 % after the same time."
    )


def _on_surfaces(found: Survey) -> tuple[str, str]:
    """`ZernikeNet` sees no direction but those of its inputs."""
    fields = (*found.inputs, *found.targets)
    scalar = all(field.shape == () for field in fields)
    varying = [field for field in found.inputs if field.name in found.details]
    if found.measure_dimension == 2 and found.sided and scalar and varying:
        return "ZernikeNet", (
            "ZernikeNet: surfaces in space with normals, and scalar fields alone. On "
            "closed surfaces it errs by 7.5 %, networks on mesh edges by 22 %."
        )
    lacking = "no input varies on the surfaces" if scalar else "there are vectors"
    lacking = lacking if found.sided else "not all points have normals"
    return "FourierOperator", (
        f"FourierOperator: {lacking}, so that ZernikeNet, which sees no axes, cannot "
        "tell directions."
    )


def _waves(
    found: Survey, architecture: str, linear: Sequence[str]
) -> tuple[dict[str, int], list[str]]:
    """Enough waves for the fields, and none that the coarsest case does not resolve."""
    if (architecture, found.dimension) not in WAVES:
        return {}, []
    least, most = WAVES[architecture, found.dimension]
    resolved = int(PERIOD / (2 * found.spacing[1]))
    details = found.details
    if linear:  # of the others it takes means and moments
        details = {k: v for k, v in details.items() if k in linear} or details
    needs = {k: v.waves if v.left <= SHARE else most for k, v in details.items()}
    name = max(needs, key=lambda k: (needs[k], details[k].left), default="")
    modes = max(1, min(max(needs.get(name, least), least), most, resolved))
    why = [
        f"{modes} modes: {_detailed(name, details)}{least} to {most} are usual in "
        f"{found.dimension} dimensions, and the coarsest case, of spacing "
        f"{found.spacing[1]:.3g} of the extent, resolves {resolved} at two spacings a "
        "wave."
    ]
    arguments = {"modes": modes}
    if architecture == "GreenOperator":
        arguments["inner"] = min(modes, 8 if found.dimension == 2 else 4)
    return arguments, why


def _detailed(name: str, details: Mapping[str, Detail]) -> str:
    if not name:
        return "no field varies within a case; "
    waves, left = details[name].waves, 100 * details[name].left
    told = "" if left <= 100 * SHARE else ", the last that the meshes tell,"
    return (
        f"of {name}, the most detailed field that counts, waves beyond number {waves}"
        f"{told} hold {left:.2g} % of the variation; "
    )


def _width(found: Survey, architecture: str) -> tuple[int, str]:
    n, few = len(found.sizes), len(found.sizes) < FEW
    width = 48 if architecture == "FourierOperator" and not few else 32
    if few:
        return width, f"Width {width}: {n} cases are fewer than {FEW}."
    return width, f"Width {width}, with which {architecture} was measured; {n} cases."


def _features(found: Survey, given: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Those given; else distances to regions whose place nothing else tells."""
    if given:
        return tuple(given), [f"Features as given: {', '.join(given)}."]
    if not found.regions:
        return (), []
    listed = ", ".join(found.regions)
    if not found.same_domain:
        return (), [
            f"No features: all cases name {listed}, but their shapes differ too, which "
            "networks see. Where equal shapes have regions at other places, give "
            f"features such as 'distance to {next(iter(found.regions))}'; meshes to "
            "predict on must name the region then."
        ]
    moving = {k: v for k, v in found.regions.items() if v > found.spacing[1]}
    if not moving:
        return (), [f"No features: {listed} lie at the same place in all cases."]
    shown = ", ".join(f"{k} by {100 * v:.0f} %" for k, v in moving.items())
    return tuple(f"distance to {name}" for name in moving), [
        f"Distances to {', '.join(moving)} as features: the domain is the same in all "
        f"cases, and these regions move on it ({shown} of the extent), which nothing "
        "else tells; meshes to predict on must name them."
    ]


def _schedule(found: Survey) -> tuple[Schedule, str]:
    total = sum(found.sizes)
    nodes = min(NODES, max(total // 8, *found.sizes, 1))
    batches = len(node_batches(found.sizes, nodes, 0))
    passes = min(max(round(STEPS / batches), PASSES[0]), PASSES[1])
    return Schedule(epochs=passes, nodes=nodes), (
        f"{passes} passes: about {batches} steps of {nodes:,} nodes each make "
        f"{passes * batches:,}; 4,000 to 7,000 are what trainings took."
    )


def _hints(found: Survey, linear: Sequence[str], similarity: Similarity) -> list[str]:
    """Inputs with which the size of all targets grows: what cases cannot show."""
    hints = []
    known = {name for powers in similarity.powers.values() for name in powers}
    for field in found.inputs:
        powers = [_power(found, field.name, t.name) for t in found.targets]
        if field.name in {*linear, *known} or not all(powers):
            continue
        exponent, likeness = min((p for p in powers if p), key=lambda p: p[1])
        scalar = field.name in found.constant and field.shape == ()
        target = found.targets[0].name
        how = f"similarity={{'{target}': '{field.name}'}} or " if scalar else ""
        hints.append(
            f"The targets grow with {field.name}, to the power {exponent:.2f} "
            f"(correlation {likeness:.2f} over {len(found.sizes)} cases): if the "
            f"equations are linear in it, declare {how}linear=['{field.name}']."
        )
    return hints


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
