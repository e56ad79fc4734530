"""From what a data set is to a network, its arguments and a schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isofield.data import FieldError, RandomClouds, Similarity, Symmetry
from isofield.data.fields import Site
from isofield.mesh import Mesh
from isofield.recommend.choices import (
    chosen_clouds,
    chosen_copies,
    chosen_features,
    chosen_kernel,
    chosen_network,
    chosen_schedule,
    chosen_waves,
    chosen_width,
)
from isofield.recommend.sentences import described, hints
from isofield.recommend.survey import surveyed
from isofield.train import Schedule


@dataclass(frozen=True)
class Recommendation:
    """What to train with, and why.

        found = recommended(cases, inputs, targets)
        copies = {"augment": found.augment}
        model = Surrogate.for_cases(cases, inputs, targets, **found.arguments, **copies)
        fit(model, cases, schedule=found.schedule, clouds=found.clouds, **copies)
        predict(model, mesh, symmetry=found.symmetry)

    arguments : of `Surrogate.for_cases` besides the cases and the names of the fields.
    schedule, clouds : of `fit`. augment : of both. symmetry : of `predict`. reasons : a
    sentence for each choice, with the numbers that led to it; `str` puts them in lines.
    """

    arguments: Mapping[str, Any]
    schedule: Schedule
    reasons: tuple[str, ...]
    clouds: RandomClouds | None = None
    augment: Symmetry | None = None
    symmetry: Symmetry | None = None

    @property
    def architecture(self) -> str:
        """The name of the network."""
        return self.arguments["architecture"]

    @property
    def features(self) -> tuple[str, ...]:
        """Features of the shape that are inputs as well."""
        return self.arguments["features"]

    def __str__(self) -> str:
        return "\n".join(self.reasons)


def recommended(
    cases: Sequence[Mesh],
    inputs: Sequence[str],
    targets: Sequence[str],
    *,
    at: Site = "points",
    linear: Sequence[str] = (),
    magnitudes: Sequence[str] = (),
    features: Sequence[str] = (),
    similarity: Mapping[str, str] | None = None,
    names: Sequence[str] | None = None,
    cloud_on_boundary: bool = True,
    symmetry: Symmetry | None = None,
) -> Recommendation:
    """What to train on these cases with: the same answer for the same cases.

    linear : inputs in which the equations are linear. It is never guessed: cases can
    speak for it, and a reason says where they do, but they cannot show it. symmetry :
    of a problem without a direction of its own, which is never guessed either. The
    other arguments are those of `Surrogate.for_cases`; those given are among the
    arguments of the recommendation.

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
    network, why_network = chosen_network(found, linear)
    waves, why_waves = chosen_waves(found, network, linear)
    kernel, why_kernel = chosen_kernel(found, network)
    width, why_width = chosen_width(found, network)
    shapes, why_features = chosen_features(found, features)
    augment, averaged, why_copies = chosen_copies(found, kernel, symmetry)
    schedule, why_schedule = chosen_schedule(found, kernel, augment)
    # clouds have neither cells nor the boundary and regions that features tell of
    drawn = at == "points" and not shapes and any(case.dimension > 0 for case in cases)
    clouds, why_clouds = chosen_clouds(found) if drawn else (None, [])
    arguments = {
        "at": at,
        "architecture": network,
        "linear": tuple(linear),
        "magnitudes": tuple(magnitudes),
        "features": shapes,
        "similarity": dict(similarity or {}),
        "cloud_on_boundary": cloud_on_boundary,
        "width": width,
        **waves,
        **kernel,
    }
    reasons = (
        described(found),
        why_network,
        *why_waves,
        *why_kernel,
        why_width,
        *why_features,
        *why_schedule,
        *why_clouds,
        *why_copies,
        *hints(found, linear, Similarity.parsed(similarity or {})),
    )
    return Recommendation(arguments, schedule, reasons, clouds, augment, averaged)
