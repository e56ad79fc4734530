"""`isofield predict`: a model and a mesh in, the mesh with predicted fields out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isofield.cli import files, options, tables
from isofield.cli.reporting import CommandError

if TYPE_CHECKING:
    import numpy as np

    from isofield.mesh import Mesh
    from isofield.surrogate import Surrogate


def predict(
    model_file: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="Model that train wrote.", readable=False),
    ],
    mesh_file: Annotated[
        Path,
        typer.Argument(
            metavar="MESH", help="Mesh file, with the inputs.", readable=False
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="Mesh file to write.", readable=False),
    ],
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=NUMBER",
            help="Constant value of an input, instead of the mesh's; any number of "
            "times.",
        ),
    ] = None,
    copies: Annotated[
        int,
        typer.Option(
            "--copies",
            min=0,
            help="Turned and mirrored copies of the mesh, over which the prediction is "
            "the mean: for equations without a direction of their own.",
        ),
    ] = 0,
    right_angles: options.RightAngles = False,
    cloud_inside: options.CloudInside = False,
    domain: Annotated[
        Path | None,
        typer.Option(
            "--domain",
            metavar="MESH",
            help="Mesh of the domain of a cloud of points, where it is known: else "
            "the points alone tell its shape.",
            readable=False,
        ),
    ] = None,
    device: options.Device = None,
    step: files.Step = None,
    lossy: files.Lossy = False,
) -> None:
    """Predict a model's targets on a mesh, and write the mesh with them.

    OUT is the same mesh with NAME_predicted for each target, and NAME_error where the
    mesh holds the target itself.

    Example: isofield predict model.safetensors wing.inp -o wing.vtu --set load=100
    """
    given = options.numbers(values or [], "--set")
    files.check_mesh_output(output)
    options.check_device(device)
    symmetry = options.symmetry(copies, right_angles)
    from isofield.model_file import load_model
    from isofield.predict import predict

    model = load_model(model_file)
    _check_given(model, model_file, given)
    mesh = files.opened(mesh_file, step)
    _check_inputs(model, mesh, mesh_file, given)
    result = predict(
        model,
        mesh,
        values=given,
        device=device,
        where=str(mesh_file),
        cloud_on_boundary=not cloud_inside,
        symmetry=symmetry,
        domain=None if domain is None else files.opened(domain),
    )
    files.save(output, result, lossy)
    _show(model, result, output, cloud_on_boundary=not cloud_inside)


def _check_given(model: Surrogate, file: Path, given: dict[str, float]) -> None:
    known = [field.name for field in model.inputs]
    for name in given:
        if name not in known:
            raise CommandError(
                f"{file}: has no input {name!r} to set; it has "
                f"{', '.join(known) or 'none'}"
            )


def _check_inputs(
    model: Surrogate, mesh: Mesh, file: Path, given: dict[str, float]
) -> None:
    """Every input is there; else say that it can be given as a number."""
    data = mesh.point_data if model.at == "points" else mesh.cell_data
    for field in model.inputs:
        if field.name not in (*given, *data, *mesh.field_data):
            hint = "" if field.shape else f"; give it by --set {field.name}=NUMBER"
            raise CommandError(
                f"{file}: no field {field.name!r} at {model.at}, an input of the "
                f"model{hint}"
            )


def _show(model: Surrogate, mesh: Mesh, output: Path, cloud_on_boundary: bool) -> None:
    data = mesh.point_data if model.at == "points" else mesh.cell_data
    errors = _errors(model, mesh, cloud_on_boundary)
    rows = []
    for target in model.targets:
        name = f"{target.name}_predicted"
        rows.append([name, tables.range_of(data[name]), target.unit])
        if errors:
            share = errors.get(target.name)
            rows[-1].append("" if share is None else tables.percent(share))
    headings = ["field", "range", "unit", *["relative L2 error"] * bool(errors)]
    tables.show(str(output), headings, rows)


def _errors(model: Surrogate, mesh: Mesh, cloud_on_boundary: bool) -> dict[str, float]:
    """`||prediction - truth|| / ||truth||` of each target that the mesh holds, over
    the places where the truth is known."""
    from isofield.data.fields import stacked
    from isofield.surrogate import discretized

    data = mesh.point_data if model.at == "points" else mesh.cell_data
    held = [target for target in model.targets if f"{target.name}_error" in data]
    if not held:
        return {}
    import numpy as np
    import torch

    m = model.frame.measure_dimension
    domain = discretized(mesh, model.at, "the mesh", m, cloud_on_boundary)

    def size(values: np.ndarray, known: np.ndarray) -> float:
        return float(domain.norm(torch.from_numpy(np.where(known, values, 0.0))))

    errors = {}
    for target in held:
        error, truth = (
            stacked(mesh, [replace(target, name=name)], model.at, finite=False)
            for name in (f"{target.name}_error", target.name)
        )
        known = np.isfinite(error.sum(axis=1))[:, None]
        if known.any():
            errors[target.name] = size(error, known) / size(truth, known)
    return errors
