"""A network with everything that makes its numbers a physical prediction."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from isofield.data import Field, FieldError, Normalizer, Sample, check_same_fields
from isofield.data.envelope import Envelope
from isofield.data.fields import Site, stacked
from isofield.data.frame import Frame
from isofield.discretization import Discretization, from_mesh, from_points
from isofield.layers.operator import Operator
from isofield.mesh import Mesh, MeshError
from isofield.models import ARCHITECTURES
from isofield.operators import gradient


class ExtrapolationWarning(UserWarning):
    """A prediction is asked for outside of what the model was trained on."""


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A network, the fields it maps, and how these are scaled.

    network : maps normalized inputs to normalized targets on a plan. inputs, targets :
    fields, in the order of the channels. at : "points" or "cells", where fields live.
    frame : the scaled coordinates. input_normalizer, target_normalizer : of the
    channels. envelope : what training saw. arguments : of the network's constructor,
    its name under "architecture".

    Geometry is always an input; the network sees it through its plan.
    """

    network: Operator
    inputs: tuple[Field, ...]
    targets: tuple[Field, ...]
    at: Site
    frame: Frame
    input_normalizer: Normalizer
    target_normalizer: Normalizer
    envelope: Envelope
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def for_cases(
        cls,
        cases: Sequence[Mesh],
        inputs: Sequence[str],
        targets: Sequence[str],
        *,
        at: Site = "points",
        architecture: str = "GNO",
        names: Sequence[str] | None = None,
        seed: int = 0,
        **arguments: Any,
    ) -> Self:
        """An untrained model that fits these cases.

        Scales, radius and envelope come from the cases: the radius is three times the
        mean spacing `(measure / points)^(1/d)` of the coarsest, unless `radius` is
        given in units of the characteristic length, the largest extent of the cases.

        names : of the cases, for errors. arguments : of the architecture. Raises
        `FieldError` where a case lacks a field or has it in another shape.
        """
        if not cases:
            raise ValueError("expected at least one case to train on, got none")
        if architecture not in ARCHITECTURES:
            raise ValueError(
                f"architecture: expected one of {sorted(ARCHITECTURES)}, got "
                f"{architecture!r}"
            )
        names = names or [f"case {number}" for number in range(len(cases))]
        specified = check_same_fields(cases, [inputs, targets], at, names)
        domains = [
            discretized(case, at, name) for case, name in zip(cases, names, strict=True)
        ]
        frame = Frame.around(domains)
        spacing = [_spacing(domain) for domain in domains]
        arguments.setdefault("radius", 3 * max(spacing) / frame.length)
        arguments["in_channels"] = sum(f.channels for f in specified[0])
        arguments["out_channels"] = sum(f.channels for f in specified[1])
        arguments["dimension"] = domains[0].dimension
        values = [[stacked(case, part, at) for case in cases] for part in specified]
        torch.manual_seed(seed)
        return cls(
            ARCHITECTURES[architecture](**arguments),
            tuple(specified[0]),
            tuple(specified[1]),
            at,
            frame,
            Normalizer.of(specified[0], values[0], domains),
            Normalizer.of(specified[1], values[1], domains),
            Envelope.of(
                specified[0], values[0], [d.points.numpy() for d in domains], spacing
            ),
            {"architecture": architecture, **arguments},
        )

    def sample(
        self,
        mesh: Mesh,
        *,
        values: Mapping[str, float] | None = None,
        with_targets: bool = True,
        with_gradient: bool = False,
        at_points: np.ndarray | None = None,
        check: bool = False,
        where: str = "the mesh",
    ) -> Sample:
        """A mesh with its fields, discretized, scaled and prepared for the network.

        values : numbers for inputs that the mesh does not hold. at_points : (M, d)
        where the output is wanted, the mesh's own sites where it is None. with_gradient
        : for losses that need it. check : warn where the mesh leaves the envelope.
        """
        physical = discretized(mesh, self.at, where)
        if physical.dimension != len(self.frame.origin):
            raise FieldError(
                f"{where}: has points in {physical.dimension} dimensions, the model "
                f"was trained in {len(self.frame.origin)}"
            )
        x = stacked(mesh, self.inputs, self.at, values, where)
        if check:
            for line in self.envelope.outside(
                self.inputs, x, physical.points.numpy(), _spacing(physical)
            ):
                warnings.warn(f"{where}: {line}", ExtrapolationWarning, stacklevel=3)
        domain = self.frame.scaled(physical)
        target = domain
        if at_points is not None:
            queries = torch.from_numpy(np.asarray(at_points, dtype=np.float64))
            ones = torch.ones(len(queries), dtype=torch.float64)
            target = self.frame.scaled(Discretization(queries, ones))
        sample = Sample(
            pos=domain.points.float(),
            weights=domain.weights.float(),
            x=self.input_normalizer.apply(x).float(),
            plan=self.network.prepare(domain, target).to(torch.float32),
        )
        if with_targets:
            y = stacked(mesh, self.targets, self.at, None, where)
            sample.y = self.target_normalizer.apply(y).float()
        if with_gradient:
            scaled = (mesh.points - np.array(self.frame.origin)) / self.frame.length
            operator = gradient(replace(mesh, points=scaled))
            sample.gradient = operator.to(torch.float32)
        return sample

    def evaluate(self, sample: Sample, device: torch.device | str = "cpu") -> Tensor:
        """The targets that the network gives for a sample: (M, C), physical units."""
        network = self.network.to(device).eval()
        with torch.no_grad():
            output = network(sample.x.to(device), sample.plan.to(device))  # type: ignore[union-attr]
        return self.target_normalizer.invert(output.double()).cpu()


def discretized(
    mesh: Mesh, at: Site = "points", where: str = "the mesh"
) -> Discretization:
    """The mesh's discretization; that of a bare cloud where it has no cells.

    Raises `FieldError` for fields at cells of a cloud, `MeshError`, naming `where`, for
    points or cells without measure.
    """
    if mesh.dimension <= 0 and at == "cells":
        raise FieldError(
            f"{where}: expected a mesh with cells for fields at cells, got a cloud"
        )
    try:
        if mesh.dimension > 0:
            return from_mesh(mesh, at)
        return from_points(torch.from_numpy(mesh.points.copy()))
    except ValueError as error:
        raise MeshError(f"{where}: {error}") from error


def _spacing(domain: Discretization) -> float:
    return float((domain.measure() / len(domain)) ** (1 / domain.dimension))
