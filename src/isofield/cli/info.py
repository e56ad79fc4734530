"""`isofield info`: what is in a mesh file or in a model file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isofield.cli import files, tables

if TYPE_CHECKING:
    from isofield.mesh import Mesh
    from isofield.surrogate import Surrogate


def info(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Mesh file, or model (.safetensors).",
            readable=False,
        ),
    ],
    step: files.Step = None,
) -> None:
    """Show what is in a mesh file, or in a model file.

    Example: isofield info beam.vtu
    """
    if file.suffix.lower() == ".safetensors":
        from isofield.model_file import load_model

        _show_model(file, load_model(file))
        return
    mesh = files.opened(file, step, check=False)
    facts = _geometry(mesh)
    if times := _times(file):
        facts["time steps"] = times
    tables.show_facts(str(file), facts)
    tables.show(
        "Fields", ["name", "at", "shape", "dtype", "range", "unit"], _data(mesh)
    )
    tables.show("Sets", ["name", "of", "members"], _sets(mesh))
    typer.echo(str(mesh.validate()))


def _geometry(mesh: Mesh) -> dict[str, str]:
    from isofield.discretization import from_mesh
    from isofield.mesh import MeshError

    facts = {"points": f"{len(mesh.points):,} in {mesh.points.shape[1]} dimensions"}
    for kind, nodes in mesh.cells.items():
        facts[kind] = f"{len(nodes):,} cells"
    lower, upper = mesh.points.min(0), mesh.points.max(0)
    facts["bounding box"] = " x ".join(
        f"[{a:.6g}, {b:.6g}]" for a, b in zip(lower, upper, strict=True)
    )
    if mesh.dimension > 0:
        name = {1: "length", 2: "area", 3: "volume"}[mesh.dimension]
        try:
            measure = float(from_mesh(mesh, "cells").measure())
            facts[name] = f"{measure:.6g}"
        except MeshError as error:
            facts[name] = f"none: {error}"
    return facts


def _times(file: Path) -> str:
    from isofield.io import read_series
    from isofield.io.registry import formats

    if not any(one.series is not None for one in formats(file)):
        return ""
    times = read_series(file).times
    return f"{len(times)}, from {times[0]:g} to {times[-1]:g}" if len(times) > 1 else ""


def _data(mesh: Mesh) -> list[list[str]]:
    rows = []
    for place, data in (("points", mesh.point_data), ("cells", mesh.cell_data)):
        for name, values in data.items():
            shape = " x ".join(map(str, values.shape[1:])) or "scalar"
            unit = str(mesh.field_data.get(f"unit:{name}", ""))
            rows.append(
                [name, place, shape, str(values.dtype), tables.range_of(values), unit]
            )
    for name, value in mesh.field_data.items():
        if not name.startswith("unit:"):
            rows.append([name, "the whole", *_whole(value)])
    return rows


def _whole(value: object) -> list[str]:
    import numpy as np

    array = np.asarray(value)
    if array.dtype.kind == "U":
        return ["text", "str", " ".join(map(str, array.ravel())), ""]
    shape = " x ".join(map(str, array.shape)) or "scalar"
    return [shape, str(array.dtype), tables.range_of(array), ""]


def _sets(mesh: Mesh) -> list[list[str]]:
    return [
        [name, of, f"{len(members):,}"]
        for of, sets in (
            ("points", mesh.point_sets),
            ("cells", mesh.cell_sets),
            ("facets", mesh.facet_sets),
        )
        for name, members in sets.items()
    ]


def _show_model(file: Path, model: Surrogate) -> None:
    from isofield.data.featured import feature_fields

    parameters = sum(weight.numel() for weight in model.network.parameters())
    arguments = dict(model.arguments)
    envelope = model.envelope
    box = zip(envelope.lower, envelope.upper, strict=True)
    tables.show_facts(
        str(file),
        {
            "architecture": str(arguments.pop("architecture")),
            "arguments": ", ".join(
                f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                for name, value in arguments.items()
            ),
            "parameters": f"{parameters:,}",
            "file": f"{file.stat().st_size:,} bytes",
            "fields at": model.at,
            "length": f"{model.frame.length:.6g}, the unit of radius",
            "trained on points": tables.interval(*envelope.points),
            "trained on spacings": tables.interval(*envelope.spacing),
            "trained in": " x ".join(f"[{a:.6g}, {b:.6g}]" for a, b in box),
        },
    )
    rows = [
        [
            field.name,
            kind,
            " x ".join(map(str, field.shape)) or "scalar",
            "" if kind == "target" else tables.interval(*envelope.inputs[field.name]),
            field.unit,
        ]
        for kind, fields in (
            ("input", model.inputs),
            ("feature", feature_fields(model.features, len(envelope.lower))),
            ("target", model.targets),
        )
        for field in fields
    ]
    tables.show("Fields", ["name", "as", "shape", "range in training", "unit"], rows)
