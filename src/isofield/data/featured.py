"""Features of a shape as channels of a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isofield.data.fields import Field, FieldError, Site
from isofield.features import Feature, FeatureError, check_features, features
from isofield.mesh import Mesh


def feature_fields(names: Sequence[str], dimension: int) -> list[Field]:
    """Their names and shapes, of points in `dimension` coordinates.

    Raises `FieldError` for a name that is no feature, or comes twice.
    """
    found = []
    for number, name in enumerate(names):
        if name in names[:number]:
            raise FieldError(f"features: {name!r} comes twice")
        try:
            found.append(Field(name, Feature.parsed(name).shape(dimension)))
        except FeatureError as error:
            raise FieldError(f"features: {error}") from error
    return found


def feature_values(
    mesh: Mesh, names: Sequence[str], at: Site, length: float, where: str
) -> np.ndarray:
    """(N, C) in the mesh's unit of length. Raises `FieldError`, naming `where`, for a
    feature that the mesh has not got."""
    try:
        return features(mesh, names, at, length=length)
    except FeatureError as error:
        raise FieldError(f"{where}: {error}") from error


def feature_units(
    inputs: Sequence[Field], names: Sequence[str], dimension: int, length: float
) -> np.ndarray:
    """(C,) what the channels of inputs and features are divided by: 1 for inputs, the
    power of the characteristic length that is its unit for a feature."""
    unit = [1.0] * sum(field.channels for field in inputs)
    for field in feature_fields(names, dimension):
        unit += [length ** Feature.parsed(field.name).power] * field.channels
    return np.array(unit)


def check_featured(
    meshes: Sequence[Mesh], names: Sequence[str], at: Site, wheres: Sequence[str]
) -> None:
    """Raises `FieldError` for the first mesh that lacks a region that a feature names,
    before any feature is computed."""
    for mesh, where in zip(meshes, wheres, strict=True):
        try:
            check_features(mesh, names, at)
        except FeatureError as error:
            raise FieldError(f"{where}: {error}") from error
