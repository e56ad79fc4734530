"""A network with everything that makes its numbers a physical prediction."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from isofield.data import (
    Field,
    FieldError,
    Normalizer,
    Sample,
    Symmetry,
    check_same_fields,
)
from isofield.data.declared import declared
from isofield.data.envelope import Envelope
from isofield.data.featured import (
    check_featured,
    feature_fields,
    feature_units,
    feature_values,
)
from isofield.data.fields import Site, stacked
from isofield.data.frame import Frame
from isofield.data.measuring import discretized, mean_spacing, measure_dimension
from isofield.data.motion import with_copies
from isofield.data.similarity import Similarity
from isofield.data.splitting import split
from isofield.discretization import Discretization, from_mesh
from isofield.graph import knn_graph
from isofield.layers.operator import Observer, Operator
from isofield.mesh import Mesh, MeshError
from isofield.models import ARCHITECTURES
from isofield.operators import gradient
from isofield.operators.outside import distance_outside
from isofield.plan import Plan

# edges of cells that stay whole, in radii: about 1.5 of those in the coarsest case; as
# many cells as points would have half the edges of triangles and tetrahedra
LONGEST: dict[Site, float] = {"points": 0.5, "cells": 1.0}


class ExtrapolationWarning(UserWarning):
    """A prediction is asked for outside of what the model was trained on."""


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A network, the fields it maps, and how these are scaled.

    network : maps normalized inputs to normalized targets on a plan. inputs, targets :
    fields, in the order of the channels. at : "points" or "cells", where fields live.
    frame : the scaled coordinates. input_normalizer, target_normalizer : of the
    channels. envelope : what training saw. arguments : of the network's constructor,
    its name under "architecture". similarity : the natural sizes of targets. features :
    names of `isofield.features`, computed from each mesh, whose channels follow those
    of the inputs.

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
    similarity: Similarity = field(default_factory=Similarity)
    features: tuple[str, ...] = ()

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
        similarity: Mapping[str, str] | None = None,
        features: Sequence[str] = (),
        linear: Sequence[str] = (),
        magnitudes: Sequence[str] = (),
        augment: Symmetry | None = None,
        seed: int = 0,
        cloud_on_boundary: bool = True,
        **arguments: Any,
    ) -> Self:
        """An untrained model that fits these cases.

        Scales, radius and envelope come from the cases: the radius is three times the
        mean spacing `(measure / points)^(1/m)` of the coarsest, unless `radius` is
        given in units of the characteristic length, the largest extent of the cases; m
        is the dimension of the cells, 2 for surfaces. Warns where it is less than one
        spacing.

        names : of the cases, for errors. similarity : the natural size of targets as
        products of inputs, `{"displacement": "load / young_modulus"}`: they are learned
        in that unit (see `Similarity`). cloud_on_boundary : False where clouds among
        the cases lie strictly inside their domains (see `sample`). features : of the
        shape as inputs, such as "distance to boundary" (see `isofield.features`).
        linear : inputs in which the targets are linear, such as sources or loads, for
        architectures that know it (`GreenOperator`): there zero gives zero, and no
        mean is taken away from these inputs or from targets. magnitudes : targets that
        are lengths of what is linear, as a von Mises stress is. augment : of a problem
        without a direction of its own: the moved copies that `fit` is to add count as
        cases. arguments : of the architecture. Raises `FieldError` where a case lacks a
        field or a region that a feature names, or has fields or cells in other
        dimensions, or a field whose shape does not tell how it turns with the mesh.
        """
        names = _checked(cases, targets, at, architecture, names)
        specified = check_same_fields(cases, [inputs, targets], at, names)
        if augment is not None:
            cases, names = with_copies(cases, names, augment, [*inputs, *targets])
        m = measure_dimension(cases, names)
        domains = [
            discretized(case, at, name, m, cloud_on_boundary)
            for case, name in zip(cases, names, strict=True)
        ]
        frame = Frame.around(domains, m)
        spacing = [mean_spacing(domain, m) for domain in domains]
        arguments.setdefault("radius", 3 * max(spacing) / frame.length)
        _check_radius(arguments["radius"] * frame.length, max(spacing))
        d = domains[0].dimension
        shapes = feature_fields(features, d)
        check_featured(cases, features, at, names)
        channels = [*specified[0], *shapes]
        arguments |= _sizes(channels, specified[1], d, m)
        arguments |= declared(architecture, linear, magnitudes, *specified)
        values = [[stacked(case, part, at) for case in cases] for part in specified]
        similar = Similarity.parsed(similarity or {})
        similar.check(specified[0], specified[1])
        scaled = [
            y / similar.factors(specified[0], specified[1], x, name)
            for x, y, name in zip(*values, names, strict=True)
        ]
        shown = [
            np.concatenate(
                [x, feature_values(case, features, at, frame.length, name)], 1
            )
            for x, case, name in zip(values[0], cases, names, strict=True)
        ]
        unit = feature_units(specified[0], features, d, frame.length)
        given = [x / unit for x in shown]
        zero = [f.name for f in specified[1]] if linear else []
        normal = Normalizer.of(channels, given, domains, linear)
        network = initialised(architecture, arguments, seed)
        if isinstance(network, Observer):
            network.observe(
                [frame.scaled(domain) for domain in domains], map(normal.apply, given)
            )
        return cls(
            network,
            tuple(specified[0]),
            tuple(specified[1]),
            at,
            frame,
            normal,
            Normalizer.of(specified[1], scaled, domains, zero),
            Envelope.of(
                channels, shown, [domain.points.numpy() for domain in domains], spacing
            ),
            {"architecture": architecture, **arguments},
            similar,
            tuple(features),
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
        cloud_on_boundary: bool = True,
        learning: bool = False,
    ) -> Sample:
        """A mesh with its fields, discretized, scaled and prepared for the network.

        values : numbers, in the fields' units, for inputs that the mesh does not hold.
        at_points : (M, d) where the output is wanted, the mesh's own sites where it is
        None. with_gradient : for losses that need it. check : warn where the mesh or a
        point leaves the envelope, or one of `at_points` the mesh by more than one mean
        spacing (a cloud by two thirds of the radius). cloud_on_boundary : False for a
        cloud whose points all lie strictly inside (`from_points`); ignored where the
        mesh has cells. learning : for a training, where some networks are given long
        cells as they are (`Operator.pieces`).

        Raises `FieldError` where the mesh does not fit the model or lacks an input,
        `MeshError` where it has no measure or the network cannot be prepared for it.
        """
        self._check_fits(mesh, values or {}, where)
        m = self.frame.measure_dimension
        physical = discretized(mesh, self.at, where, m, cloud_on_boundary)
        x = stacked(mesh, self.inputs, self.at, values, where)
        length = self.frame.length
        more = feature_values(mesh, self.features, self.at, length, where)
        shown = np.concatenate([x, more], 1)
        queries = None if at_points is None else self._queries(at_points)
        if check:
            lines = self.envelope.outside(
                [*self.inputs, *feature_fields(self.features, physical.dimension)],
                shown,
                physical.points.numpy(),
                mean_spacing(physical, m),
            )
            lines += [] if queries is None else self._off(mesh, queries, physical)
            for line in lines:
                warnings.warn(f"{where}: {line}", ExtrapolationWarning, stacklevel=3)
        domain = self.frame.scaled(physical)
        source, shown = self._source(mesh, domain, shown, learning)
        target = domain if queries is None else self.frame.scaled(queries)
        unit = feature_units(self.inputs, self.features, domain.dimension, length)
        sample = Sample(
            pos=domain.points.float(),
            weights=domain.weights.float(),
            x=self.input_normalizer.apply(shown / unit).float(),
            plan=self._prepared(source, target, domain, where),
        )
        if domain.normals is not None:
            sample.normals = domain.normals.float()
        factor = self.similarity.factors(self.inputs, self.targets, x, where)
        if with_targets:
            y = stacked(mesh, self.targets, self.at, None, where)
            sample.y = self.target_normalizer.apply(y / factor).float()
        if queries is not None:
            factor = self._constant(factor, len(queries))
        sample.factor = torch.from_numpy(factor).float()
        if with_gradient:
            scaled = (mesh.points - np.array(self.frame.origin)) / self.frame.length
            try:
                operator = gradient(replace(mesh, points=scaled))
            except MeshError as error:
                raise MeshError(f"{where}: {error}") from error
            sample.gradient = operator.to(torch.float32)
        return sample

    def _source(
        self, mesh: Mesh, domain: Discretization, values: np.ndarray, learning: bool
    ) -> tuple[Discretization, np.ndarray]:
        """Where the network integrates, with inputs there: the domain, or that of the
        mesh whose cells with edges above `LONGEST` radii are split."""
        whole = ("never", "in predictions") if learning else ("never",)
        if mesh.dimension <= 0 or self.network.pieces in whole:
            return domain, values
        longest = LONGEST[self.at] * self.arguments["radius"] * self.frame.length
        finer, values = split(mesh, values, longest, self.at)
        if len(finer.points) == len(mesh.points):
            return domain, values
        return self.frame.scaled(from_mesh(finer, self.at)), values

    def _prepared(
        self,
        source: Discretization,
        target: Discretization,
        domain: Discretization,
        where: str,
    ) -> Plan:
        # values at cells are those of their pieces, in another order
        known = domain if self.at == "points" and source is not domain else None
        try:
            return self.network.prepared(source, target, torch.float32, known)
        except ValueError as error:
            scale = f"lengths in units of {self.frame.length:.4g}"
            raise MeshError(f"{where}: {error} ({scale})") from error

    def _check_fits(self, mesh: Mesh, values: Mapping[str, float], where: str) -> None:
        d, m = len(self.frame.origin), self.frame.measure_dimension
        if mesh.points.shape[1] != d:
            raise FieldError(
                f"{where}: has points in {mesh.points.shape[1]} dimensions, the model "
                f"was trained in {d}"
            )
        if mesh.dimension > 0 and mesh.dimension != m:
            raise FieldError(
                f"{where}: has cells of dimension {mesh.dimension}, the model was "
                f"trained on cells of dimension {m}"
            )
        names = [field.name for field in self.inputs]
        for name in values:
            if name not in names:
                raise FieldError(
                    f"values: {name!r} is no input of the model; these are "
                    f"{', '.join(names) or 'none'}"
                )

    def _queries(self, points: np.ndarray) -> Discretization:
        """Where the output is wanted, as targets, without normals; their weights are
        never used."""
        wanted = np.array(points, dtype=np.float64)
        d = len(self.frame.origin)
        if wanted.ndim != 2 or wanted.shape[1] != d or not np.isfinite(wanted).all():
            raise ValueError(
                f"points: expected finite numbers (M, {d}), got {wanted.shape} with "
                f"{int((~np.isfinite(wanted)).sum())} that are not finite"
            )
        return Discretization(
            torch.from_numpy(wanted), torch.ones(len(wanted), dtype=torch.float64)
        )

    def _constant(self, factor: np.ndarray, count: int) -> np.ndarray:
        """Factors away from the mesh, where they are known if they do not vary."""
        if not np.allclose(factor, factor[:1], rtol=1e-12, atol=0):
            raise FieldError(
                "an input that scales a target varies over the mesh, so its value away "
                "from the mesh's points is not known: predict at the mesh's own points"
            )
        return np.repeat(factor[:1], count, axis=0)

    def _off(
        self, mesh: Mesh, queries: Discretization, domain: Discretization
    ) -> list[str]:
        """A line if points lie off the mesh by more than a spacing, or off a cloud so
        far that balls around them, of two thirds of the radius as in the means of the
        networks, hold nothing of it."""
        if mesh.dimension > 0:
            limit = mean_spacing(domain, self.frame.measure_dimension)
            distance = distance_outside(mesh, queries.points)
        else:
            limit = self.arguments.get("radius", math.inf) * self.frame.length * 2 / 3
            nearest = domain.points[knn_graph(domain, queries, 1).source]
            distance = (queries.points - nearest).norm(dim=1)
        far = distance > limit
        if not bool(far.any()):
            return []
        return [
            f"{int(far.sum())} of {len(queries)} points, the first is number "
            f"{int(far.nonzero()[0])}, lie farther than {limit:.4g} from it, up to "
            f"{float(distance.max()):.4g}: fields are not known there"
        ]

    def evaluate(self, sample: Sample, device: torch.device | str = "cpu") -> Tensor:
        """The targets that the network gives for a sample: (M, C), physical units.

        The network stays on the device, so that a second call does not move it again.
        """
        network = self.network.to(device).eval()
        with torch.no_grad():
            output = network(sample.x.to(device), sample.plan.to(device))  # type: ignore[union-attr]
        return self.target_normalizer.invert(output.double()).cpu() * sample.factor


def _checked(
    cases: Sequence[Mesh],
    targets: Sequence[str],
    at: str,
    architecture: str,
    names: Sequence[str] | None,
) -> Sequence[str]:
    """The names of the cases, numbers where there are none. Raises `ValueError` for
    what no model can be made of."""
    if not cases:
        raise ValueError("expected at least one case to train on, got none")
    if not targets:
        raise ValueError("targets: expected at least one name, got none")
    if at not in ("points", "cells"):
        raise ValueError(f'at: expected "points" or "cells", got {at!r}')
    if architecture not in ARCHITECTURES:
        raise ValueError(
            f"architecture: expected one of {sorted(ARCHITECTURES)}, got "
            f"{architecture!r}"
        )
    names = names or [f"case {number}" for number in range(len(cases))]
    if len(names) != len(cases):
        raise ValueError(f"names: expected {len(cases)}, got {len(names)}")
    return names


def _sizes(
    inputs: Sequence[Field], targets: Sequence[Field], d: int, m: int
) -> dict[str, int]:
    """What every architecture is told: channels, coordinates, dimension of cells."""
    found = {
        "in_channels": sum(spec.channels for spec in inputs),
        "out_channels": sum(spec.channels for spec in targets),
        "dimension": d,
    }
    return found | ({"measure_dimension": m} if m < d else {})


def _check_radius(radius: float, spacing: float) -> None:
    if radius < spacing:
        warnings.warn(
            f"the radius is {radius:.4g}, less than the mean spacing of points in the "
            f"coarsest case, {spacing:.4g}: its points see no others. Take about three "
            "spacings",
            stacklevel=3,
        )


def initialised(architecture: str, arguments: Mapping[str, Any], seed: int) -> Operator:
    """A network whose weights the seed decides; torch's own generator stays as it is.

    Raises `KeyError` for an architecture that does not exist.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return ARCHITECTURES[architecture](**arguments)
