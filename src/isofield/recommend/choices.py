"""Each choice with its reason: network, waves, width, features, schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from isofield.data import RandomClouds, Symmetry, node_batches
from isofield.recommend.survey import Survey
from isofield.recommend.waves import PERIOD, SHARE, Detail
from isofield.train import Schedule

FEW = 100  # cases, below which networks are narrow
STEPS = 6000  # of the optimizer; measured to be enough: 4,000 to 7,000
NODES = 3000  # per step
PASSES = (20, 1000)  # least and most
MEANS = 15  # moved copies, over which predictions on surfaces are means, at least
DECAY = 0.1  # of the weights of a GreenOperator without directions
WAVES = {
    ("GreenOperator", 2): (12, 16),
    ("GreenOperator", 3): (5, 6),
    ("FourierOperator", 2): (6, 12),
    ("FourierOperator", 3): (4, 6),
}  # network, dimension -> least and most waves along a period


def chosen_network(found: Survey, linear: Sequence[str]) -> tuple[str, str]:
    """What learned most in equal time where it was compared; the figures are errors in
    relative L2 on shapes or fields that were not learned from."""
    if linear:
        figures = (
            "On conduction in plates with holes it errs by 8 % after 300 s of one "
            "core, FourierOperator, which may be anything, by 28 %."
        )
        if not found.fills:
            figures = (
                "On closed surfaces it errs by 2.7 % after 30 s of one core, "
                "ZernikeNet by 8.2 %, FourierOperator by 12.6 %."
            )
        return "GreenOperator", (
            f"GreenOperator: the targets are declared linear in {', '.join(linear)}. "
            f"{figures}"
        )
    if not found.fills:
        return _on_surfaces(found)
    if found.dimension == 2:
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
            "closed surfaces it errs by 8.2 %, FourierOperator by 12.6 % after 30 s of "
            "one core; and by 7.5 %, networks on mesh edges by 22 %, in equal time."
        )
    lacking = "no input varies on the surfaces" if scalar else "there are vectors"
    lacking = lacking if found.sided else "not all points have normals"
    return "FourierOperator", (
        f"FourierOperator: {lacking}, so that ZernikeNet, which sees no axes, cannot "
        "tell directions."
    )


def chosen_waves(
    found: Survey, architecture: str, linear: Sequence[str]
) -> tuple[dict[str, int], list[str]]:
    """Enough waves for the fields, and none that the coarsest case does not resolve but
    those that are fitted, which then come out as they are likely."""
    if (architecture, found.dimension) not in WAVES:
        return {}, []
    least, most = WAVES[architecture, found.dimension]
    resolved = int(PERIOD / (2 * found.spacing[1]))
    details = found.details
    if linear:  # of the others it takes means and moments
        details = {k: v for k, v in details.items() if k in linear}
    needs = {k: v.waves if v.left <= SHARE else most for k, v in details.items()}
    name = max(needs, key=lambda k: (needs[k], details[k].left), default="")
    fitted = architecture == "GreenOperator"
    limit = most if fitted else min(most, resolved)
    modes = max(1, min(max(needs.get(name, least), least), limit))
    why = [
        f"{modes} modes: {_detailed(name, details)}{least} to {most} are usual in "
        f"{found.dimension} dimensions, and the coarsest case, of spacing "
        f"{found.spacing[1]:.3g} of the extent, resolves {resolved} at two spacings a "
        f"wave{'; others are fitted as likely as in the cases' if fitted else ''}."
    ]
    inner = {"inner": 8 if found.dimension == 2 else 4} if fitted else {}
    return {"modes": modes, **inner}, why


def _detailed(name: str, details: Mapping[str, Detail]) -> str:
    if not name:
        return "no field that counts varies within a case; "
    waves, left = details[name].waves, 100 * details[name].left
    told = "" if left <= 100 * SHARE else ", the last that the meshes tell,"
    return (
        f"of {name}, the most detailed field that counts, waves beyond number {waves}"
        f"{told} hold {left:.2g} % of the variation; "
    )


def chosen_kernel(found: Survey, architecture: str) -> tuple[dict[str, str], list[str]]:
    """Kernels with a direction where fields have one."""
    if architecture != "GreenOperator":
        return {}, []
    fields = (*found.inputs, *found.targets)
    turning = [field.name for field in fields if field.shape != ()]
    if turning:
        return {"kernel": "directional"}, [
            f"Kernels with directions: {', '.join(turning)} have them. Of what is "
            "carried along a velocity it misses 3.3 % with them, 11 % without."
        ]
    return {"kernel": "isotropic"}, [
        "Kernels of the distance alone: no field is a vector or a tensor. On heat "
        "sinks it errs by 7.8 % with them, by 13.6 % where they have directions."
    ]


def chosen_width(found: Survey, architecture: str) -> tuple[int, str]:
    """Channels: 48 where `FourierOperator` has many cases, 32 elsewhere."""
    n, few = len(found.sizes), len(found.sizes) < FEW
    width = 48 if architecture == "FourierOperator" and not few else 32
    if few:
        return width, f"Width {width}: {n} cases are fewer than {FEW}."
    return width, f"Width {width}, with which {architecture} was measured; {n} cases."


def chosen_features(
    found: Survey, given: Sequence[str]
) -> tuple[tuple[str, ...], list[str]]:
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


def chosen_schedule(
    found: Survey, kernel: Mapping[str, str], augment: Symmetry | None
) -> tuple[Schedule, list[str]]:
    """As many passes as make the steps; at least eight steps a pass where there are
    cases for that. Weights decay where that was measured to help: among shapes that
    fill the space; on one disc it took the error from 1.6 to 2.1 %."""
    sizes = found.sizes * (1 + (augment.copies if augment else 0))
    nodes = min(NODES, max(sum(sizes) // 8, *sizes, 1))
    batches = len(node_batches(sizes, nodes, 0))
    passes = min(max(round(STEPS / batches), PASSES[0]), PASSES[1])
    schedule = Schedule(epochs=passes, nodes=nodes)
    why = [
        f"{passes} passes: about {batches} steps of {nodes:,} nodes each make "
        f"{passes * batches:,}; 4,000 to 7,000 are what trainings took."
    ]
    apart = found.fills and not found.same_domain
    if kernel.get("kernel") != "isotropic" or not apart:
        return schedule, why
    return replace(schedule, decay=DECAY), [
        *why,
        f"Weights decay by {DECAY:g} times the rate a step: with 0.0001 it learned 256 "
        "plates with holes by heart, new ones no better, and clouds of them worse.",
    ]


def chosen_clouds(found: Survey) -> tuple[RandomClouds | None, list[str]]:
    """Where cells fill the space of the points; on surfaces clouds do as well as they
    are."""
    if not found.fills:
        return None, []
    clouds = RandomClouds()
    figures = "0.30 to 0.13" if found.dimension == 3 else "0.140 to 0.128"
    what = "heat sinks" if found.dimension == 3 else "plates with holes"
    return clouds, [
        f"Random clouds of the cases are learned from too, {clouds.share:g} a case: on "
        f"clouds of {what} that brought the error from {figures}."
    ]


def chosen_copies(
    found: Survey, kernel: Mapping[str, str], symmetry: Symmetry | None
) -> tuple[Symmetry | None, Symmetry | None, list[str]]:
    """Which moved copies are learned from, and over which a prediction is the mean,
    where there is a symmetry."""
    if symmetry is None:
        return None, None, []
    if not found.fills:
        mean = symmetry.whole(found.dimension)
        if not mean.right_angles:
            mean = replace(mean, copies=max(mean.copies, MEANS))
        why = (
            f"Predict by means over {mean.copies} moved copies and the mesh "
            "(symmetry, --copies), at a prediction each: on closed surfaces 3, 7, 15 "
            "and 31 took the error from 4.7 to 3.2, 2.8, 2.6 and 2.4 %; to learn from "
            "copies gained nothing there."
        )
        return None, mean, [why]
    if kernel.get("kernel") != "directional":
        why = (
            "Moved copies are not recommended: in the plane means over 3 left "
            "conduction at 8.0 %, and 3 to learn from took it from 8.1 to 7.4 %, with "
            "four times the preparing."
        )
        return None, None, [why]
    mean = symmetry.whole(found.dimension) if found.dimension == 2 else symmetry
    how = f"--copies {mean.copies}{' --right-angles' if mean.right_angles else ''}"
    why = (
        f"Learn from {symmetry.copies} moved copies of each case too (augment), and "
        f"predict by means over {mean.copies} (symmetry, {how}): kernels with "
        "directions know of no symmetry. In the plane von Mises stresses of cells of a "
        "composite then err by 9.3 % instead of 13.4."
    )
    return symmetry, mean, [why]
