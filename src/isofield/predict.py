"""Prediction: a model and a mesh in, the same mesh with predicted fields out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from isofield.data import Field, FieldError, Sample, Symmetry
from isofield.data.fields import stacked
from isofield.data.motion import middle, moved, moved_fields, turns
from isofield.mesh import Mesh
from isofield.model_file import load_model
from isofield.operators import TransferError
from isofield.resampling import resample
from isofield.surrogate import Surrogate


def predict(
    model: Surrogate | str | os.PathLike,
    mesh: Mesh,
    *,
    values: Mapping[str, float] | None = None,
    device: torch.device | str | None = None,
    where: str = "the mesh",
    cloud_on_boundary: bool = True,
    symmetry: Symmetry | None = None,
    domain: Mesh | None = None,
) -> Mesh:
    """The same mesh, its own points and cells, with the model's targets on it.

    Adds `<target>_predicted` for every target, in the target's unit, and
    `<target>_error`, the prediction minus the truth, where the mesh holds the target:
    NaN where the truth is not finite, and a warning counts these places.

    model : or the path of its file. values : numbers for inputs that the mesh does not
    hold, such as a load. cloud_on_boundary : False for a cloud without cells whose
    points all lie strictly inside (`from_points`); ignored where there are cells.
    symmetry : of a problem without a direction of its own: the prediction is the mean
    over the mesh and its moved copies, each moved back,

        F(mesh) -> 1/(1 + K) (F(mesh) + sum_k Q_k^-1 F(Q_k mesh)),

    at the cost of so many: what the network made of directions in the data it has seen
    averages out. On closed surfaces 15 copies took the error from 4.7 to 2.6 %. The
    copies have to lie where training saw cases: turn plates by `right_angles`, or train
    with copies. domain : of a cloud whose domain is known: a mesh of it, onto which
    inputs are carried (`moving_least_squares`) and whose shape the network then sees.
    Of random points alone it sees what these tell: on plates with holes, 566 points
    each, predictions then err by 10.5 %, in known domains by 7.6 % as on meshes.

    Warns (`ExtrapolationWarning`) with numbers where mesh or inputs, those of the
    copies too, leave what training saw, or points a domain; raises `FieldError` where
    an input is missing, with a symmetry for fields that are neither scalars, vectors
    nor full tensors, and with a domain for a mesh that has cells or for a cloud that
    does not reach all of it.
    """
    if not isinstance(model, Surrogate):
        model = load_model(model)
    given: dict[str, Any] = {
        "values": values,
        "where": where,
        "cloud_on_boundary": cloud_on_boundary,
    }
    source = mesh
    if domain is not None:
        source = _carried(model, mesh, domain, values or {}, where)
        given["at_points"] = mesh.points
    sample = model.sample(source, with_targets=False, check=True, **given)
    output = _mean(model, sample, source, symmetry, device, **given)
    fields, units = {}, {}
    for target in model.targets:
        predicted = output[target.name]
        names = [f"{target.name}_predicted"]
        fields[names[0]] = predicted
        if target.name in (mesh.point_data if model.at == "points" else mesh.cell_data):
            truth = stacked(mesh, [target], model.at, where=where, finite=False)
            _warn_of_unknown(truth, target, model.at, where)
            names.append(f"{target.name}_error")
            error = predicted - truth.reshape(predicted.shape)
            fields[names[1]] = np.where(np.isfinite(error), error, np.nan)
        if target.unit:
            units |= {f"unit:{name}": target.unit for name in names}
    return _with_fields(mesh, model.at, fields, units)


def predict_at(
    model: Surrogate | str | os.PathLike,
    mesh: Mesh,
    points: np.ndarray,
    *,
    values: Mapping[str, float] | None = None,
    device: torch.device | str | None = None,
    cloud_on_boundary: bool = True,
    symmetry: Symmetry | None = None,
) -> dict[str, np.ndarray]:
    """The targets at any points, on or off the mesh: target -> (M, ...), its unit.

    points : (M, d), length. The mesh gives geometry and inputs. cloud_on_boundary,
    symmetry : as in `predict`; of the mesh, not of these points.

    Warns as `predict`, and of points that lie off the mesh by more than one mean
    spacing, with their number and the largest distance. Raises `MeshError` where a
    network cannot answer so far away.
    """
    if not isinstance(model, Surrogate):
        model = load_model(model)
    given: dict[str, Any] = {
        "values": values,
        "at_points": points,
        "cloud_on_boundary": cloud_on_boundary,
    }
    sample = model.sample(mesh, with_targets=False, check=True, **given)
    return _mean(model, sample, mesh, symmetry, device, **given)


def _mean(
    model: Surrogate,
    sample: Sample,
    mesh: Mesh,
    symmetry: Symmetry | None,
    device: torch.device | str | None,
    at_points: np.ndarray | None = None,
    where: str = "the mesh",
    **given: Any,
) -> dict[str, np.ndarray]:
    """What the model gives for the mesh with this sample; with a symmetry the mean of
    that and of what it gives for moved copies, moved back."""
    if symmetry is None:
        return _output(model, sample, device)
    c, d = middle(mesh), mesh.points.shape[1]
    _check_turning(model, d, where)
    total = _output(model, sample, device)
    bare = _inputs_alone(model, mesh, given["values"] or {})
    for copy in range(symmetry.copies):
        q = symmetry.matrix(0, copy, d)
        if at_points is not None:
            given["at_points"] = c + (np.asarray(at_points) - c) @ q.T
        given["where"] = f"{where}, moved copy {copy}"
        other = model.sample(moved(bare, q), with_targets=False, check=True, **given)
        found = moved_fields(_output(model, other, device), q.T)
        total = {name: total[name] + found[name] for name in total}
    return {name: values / (1 + symmetry.copies) for name, values in total.items()}


def _carried(
    model: Surrogate, cloud: Mesh, domain: Mesh, given: Mapping[str, float], where: str
) -> Mesh:
    """The domain with the inputs of the cloud. Raises `FieldError` for what is not a
    cloud in a mesh, and for a model of fields at cells."""
    if cloud.dimension > 0 or domain.dimension <= 0 or model.at == "cells":
        raise FieldError(
            f"{where}: domain: expected a cloud without cells, a mesh with cells that "
            f"holds it, and a model of fields at points, got {cloud!r} in {domain!r} "
            f"and fields at {model.at}"
        )
    told = {**domain.field_data, **cloud.field_data}
    bare = replace(domain, point_data={}, cell_data={}, field_data=told)
    held = _inputs_alone(model, cloud, given)
    if not held.point_data:
        return bare
    try:
        return resample(held, bare, "mls")[0]
    except TransferError as error:
        raise FieldError(
            f"{where}: domain: inputs of the cloud are not known all over it: {error}"
        ) from error


def _check_turning(model: Surrogate, d: int, where: str) -> None:
    """Raises `FieldError` for fields that turn in a way that is not known."""
    for field in (*model.inputs, *model.targets):
        if not turns(field.shape, d):
            raise FieldError(
                f"{where}: {field.name!r} has shape {field.shape} per point, expected "
                f"(), ({d},) or ({d}, {d}) for a mean over moved copies: how others "
                "turn with the mesh is not known"
            )


def _inputs_alone(model: Surrogate, mesh: Mesh, given: Mapping[str, float]) -> Mesh:
    """Without fields that the model does not read from the mesh."""
    data = mesh.point_data if model.at == "points" else mesh.cell_data
    names = {field.name for field in model.inputs} - set(given)
    kept = {name: values for name, values in data.items() if name in names}
    site = "point_data" if model.at == "points" else "cell_data"
    return replace(mesh, **{"point_data": {}, "cell_data": {}, site: kept})


def _output(
    model: Surrogate, sample: Sample, device: torch.device | str | None
) -> dict[str, np.ndarray]:
    """What the model gives for a sample, on a GPU where there is one or as told."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    output = model.evaluate(sample, device).numpy()
    sizes = [target.channels for target in model.targets]
    parts = np.split(output, np.cumsum(sizes)[:-1], axis=1)
    return {
        target.name: part.reshape(len(part), *target.shape)
        for target, part in zip(model.targets, parts, strict=True)
    }


def _warn_of_unknown(truth: np.ndarray, target: Field, at: str, where: str) -> None:
    unknown = np.flatnonzero(~np.isfinite(truth).all(axis=1))
    if len(unknown):
        warnings.warn(
            f"{where}: {target.name!r} is not finite at {len(unknown)} of "
            f"{len(truth)} {at}, so that the error is not known there",
            stacklevel=3,
        )


def _with_fields(mesh: Mesh, at: str, fields: dict, units: dict) -> Mesh:
    mesh = replace(mesh, field_data={**mesh.field_data, **units})
    if at == "points":
        return mesh.with_point_data(fields)
    return mesh.with_cell_data(_over_all_cells(mesh, fields))


def _over_all_cells(mesh: Mesh, fields: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Fields of the cells that carry the measure; nan on cells of lower dimension."""
    total = sum(len(nodes) for nodes in mesh.cells.values())
    spread = {}
    for name, values in fields.items():
        spread[name] = np.full((total, *values.shape[1:]), np.nan)
        spread[name][mesh.top_cells] = values
    return spread
