"""`isofield train`: cases in, a model file out."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isofield.cli import cases, files, options, tables
from isofield.cli.reporting import CommandError

if TYPE_CHECKING:
    from isofield.cli.cases import Cases
    from isofield.data import RandomClouds
    from isofield.surrogate import Surrogate
    from isofield.train import History, Schedule


class Site(StrEnum):
    """Where the fields live."""

    POINTS = "points"
    CELLS = "cells"


class Architecture(StrEnum):
    """Of the network."""

    GNO = "GNO"
    FOURIER_OPERATOR = "FourierOperator"
    GREEN_OPERATOR = "GreenOperator"
    ZERNIKE_NET = "ZernikeNet"
    SPLINE_UNET = "SplineUNet"
    SLICE_TRANSFORMER = "SliceTransformer"
    GINO = "GINO"
    FNO = "FNO"
    UNO = "UNO"
    REGIONAL_OPERATOR = "RegionalOperator"
    MESH_GRAPH_NET = "MeshGraphNet"


class Precision(StrEnum):
    """Of the dense products in training."""

    FLOAT32 = "float32"
    BF16 = "bf16"


class Loss(StrEnum):
    """Relative error in the measure: of the values, or of their gradients as well."""

    L2 = "l2"
    H1 = "h1"


def train(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="CASES", help="Mesh files, folders or patterns."),
    ],
    targets: Annotated[
        list[str],
        typer.Option("--targets", "-t", help="Fields to predict, commas between."),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", help="Model file, *.safetensors.", readable=False
        ),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Option("--inputs", "-i", help="Fields given, besides the geometry."),
    ] = None,
    linear: Annotated[
        list[str] | None,
        typer.Option(
            "--linear",
            metavar="NAME,...",
            help="Inputs in which the equations are linear, such as sources.",
        ),
    ] = None,
    magnitudes: Annotated[
        list[str] | None,
        typer.Option(
            "--magnitude",
            metavar="NAME,...",
            help="Targets that are lengths of what is linear, as a von Mises stress.",
        ),
    ] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(
            "--feature",
            metavar="NAME",
            help='Feature of the shape that is given, such as "distance to boundary" '
            'or "near inlet" for a named region; any number of times.',
        ),
    ] = None,
    site: Annotated[
        Site, typer.Option("--at", help="Where the fields live.")
    ] = Site.POINTS,
    validation: Annotated[
        list[str] | None,
        typer.Option(
            "--validation",
            help="Share of the cases, drawn by the seed, or files, folders or "
            "patterns, any number of times; without it 0.1.",
            show_default=False,
        ),
    ] = None,
    units: Annotated[
        list[str] | None,
        typer.Option("--unit", metavar="NAME=UNIT", help="Unit of a field."),
    ] = None,
    similarity: Annotated[
        list[str] | None,
        typer.Option(
            "--similarity",
            metavar="TARGET=PRODUCT",
            help="Natural size of a target as a product of inputs, such as "
            "displacement=load/young_modulus: it is learned in that unit.",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", min=1, help="Passes over the cases."),
    ] = None,
    nodes: Annotated[
        int | None, typer.Option("--nodes", min=1, help="Points in a batch.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", help="Highest learning rate.")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Of weights, order and validation.")
    ] = 0,
    architecture: Annotated[
        Architecture | None,
        typer.Option(
            "--architecture",
            help="Of the network; without it network, sizes and schedule are those "
            "that the cases ask for, and the reasons are printed.",
        ),
    ] = None,
    width: Annotated[
        int | None, typer.Option("--width", min=3, help="Channels of the network.")
    ] = None,
    blocks: Annotated[
        int | None, typer.Option("--blocks", min=1, help="Blocks of the network.")
    ] = None,
    radius: Annotated[
        float | None,
        typer.Option(
            "--radius",
            help="Least radius of the integrals, as a share of the largest extent of "
            "the cases; without it three spacings of the coarsest case.",
        ),
    ] = None,
    cloud_inside: options.CloudInside = False,
    clouds: Annotated[
        float | None,
        typer.Option(
            "--clouds",
            min=0,
            metavar="SHARE",
            help="Random clouds, for each case, that are learned from as well; without "
            "it what the cases ask for, none where --architecture is given.",
            show_default=False,
        ),
    ] = None,
    copies: Annotated[
        int,
        typer.Option(
            "--copies",
            min=0,
            help="Turned and mirrored copies, of each case, that are learned from as "
            "well: for equations without a direction of their own.",
        ),
    ] = 0,
    right_angles: options.RightAngles = False,
    device: options.Device = None,
    loss: Annotated[
        Loss, typer.Option("--loss", help="Error that is minimized.")
    ] = Loss.L2,
    precision: Annotated[
        Precision, typer.Option("--precision", help="Of the dense products.")
    ] = Precision.FLOAT32,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--directory",
            help="Folder of the checkpoint and the log; without it MODEL.training.",
            readable=False,
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget an interrupted training.")
    ] = False,
) -> None:
    """Train one model on cases of any sizes and shapes together.

    The same command goes on where an interrupted one stopped.

    Example: isofield train cases/ --inputs load --targets u -o plate.safetensors
    """
    given = options.names(inputs or [], "--inputs")
    wanted = options.names(targets, "--targets")
    named = options.texts(units or [], "--unit")
    products = options.texts(similarity or [], "--similarity")
    direct = options.names(linear or [], "--linear")
    lengths = options.names(magnitudes or [], "--magnitude")
    shapes = features or []
    _check_names(given, wanted, named)
    _check_linear(direct, given, architecture)
    _check_magnitudes(lengths, direct, wanted)
    _check_features(shapes)
    for option, value in (("--rate", rate), ("--radius", radius)):
        if value is not None and not 0 < value < math.inf:
            raise typer.BadParameter(f"{option}: expected more than 0, got {value:g}")
    share, extra = cases.validation_of(validation or ["0.1"])
    if loss is Loss.H1 and site is Site.CELLS:
        raise typer.BadParameter("--loss h1 needs fields at points, not --at cells")
    if clouds and (loss is Loss.H1 or site is Site.CELLS):
        raise typer.BadParameter(
            "--clouds have no cells, which --loss h1 and --at cells need"
        )
    files.check_output(output, [".safetensors"])
    options.check_device(device)

    from isofield.data import RandomClouds, Similarity
    from isofield.model_file import save_model
    from isofield.surrogate import Surrogate
    from isofield.train import CHECKPOINT

    try:
        Similarity.parsed(products)
    except ValueError as error:
        raise typer.BadParameter(f"--similarity: {error}") from error
    augment = options.symmetry(copies, right_angles, seed)
    sizes = {"width": width, "blocks": blocks, "radius": radius}
    if architecture is not None:
        _check_sizes(architecture.value, sizes, direct)

    folder = directory or output.with_name(f"{output.name}.training")
    learned, checked = cases.read(sources, extra, named)
    cases.check(learned + checked, given, wanted, site.value, shapes)
    if not extra:
        learned, checked = learned.split(share, seed)
    fields = {
        "at": site.value,
        "names": learned.names,
        "linear": direct,
        "magnitudes": lengths,
        "features": shapes,
        "similarity": products,
        "cloud_on_boundary": not cloud_inside,
    }
    asked = {**fields, "symmetry": augment}
    network, schedule, drawn = _recipe(learned, given, wanted, architecture, asked)
    if clouds is not None:
        drawn = RandomClouds(clouds, seed) if clouds else None
    network |= {name: size for name, size in sizes.items() if size is not None}
    _check_sizes(network["architecture"], sizes, direct)
    model = Surrogate.for_cases(
        learned.meshes,
        given,
        wanted,
        seed=seed,
        augment=augment,
        **{**fields, **network},
    )
    if restart:
        (folder / CHECKPOINT).unlink(missing_ok=True)
    history = _fitted(
        model,
        learned,
        checked,
        _changed(schedule, epochs=epochs, nodes=nodes, rate=rate, seed=seed),
        folder,
        device=device,
        loss=loss.value,
        precision=precision.value,
        augment=augment,
        clouds=None if loss is Loss.H1 else drawn,
        cloud_on_boundary=not cloud_inside,
    )
    save_model(output, model)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    _show(model, history, output)


def _check_names(inputs: list[str], targets: list[str], units: dict[str, str]) -> None:
    if not targets:
        raise typer.BadParameter("--targets: expected at least one name")
    for name in targets:
        if name in inputs:
            raise typer.BadParameter(f"{name!r} is both in --inputs and in --targets")
    for name in units:
        if name not in (*inputs, *targets):
            raise typer.BadParameter(
                f"--unit: {name!r} is neither in --inputs nor in --targets"
            )


def _check_features(names: list[str]) -> None:
    if not names:
        return
    from isofield.data.featured import feature_fields

    try:
        feature_fields(names, 3)
    except ValueError as error:
        raise typer.BadParameter(f"--feature: {error}") from error


def _check_linear(
    names: list[str], inputs: list[str], architecture: Architecture | None
) -> None:
    for name in names:
        if name not in inputs:
            raise typer.BadParameter(f"--linear: {name!r} is not in --inputs")
    if architecture is Architecture.GREEN_OPERATOR and not names:
        raise typer.BadParameter(
            f"--architecture {architecture.value} needs --linear, the inputs in which "
            "the equations are linear"
        )


def _check_magnitudes(names: list[str], linear: list[str], targets: list[str]) -> None:
    for name in names:
        if name not in targets:
            raise typer.BadParameter(f"--magnitude: {name!r} is not in --targets")
    if names and not linear:
        raise typer.BadParameter(
            "--magnitude needs --linear, the inputs in which what has it is linear"
        )


def _check_sizes(
    architecture: str, sizes: dict[str, Any], linear: Sequence[str]
) -> None:
    """The architecture has the sizes that are given, and is linear where asked to."""
    from isofield.models import ARCHITECTURES

    known = inspect.signature(ARCHITECTURES[architecture]).parameters
    given = {name for name, size in sizes.items() if size is not None}
    for name in sorted(given | ({"linear"} if linear else set())):
        if name not in known:
            raise typer.BadParameter(f"--{name}: {architecture} has no {name}")


def _recipe(
    cases: Cases,
    inputs: Sequence[str],
    targets: Sequence[str],
    architecture: Architecture | None,
    asked: Mapping[str, Any],
) -> tuple[dict[str, Any], Schedule, RandomClouds | None]:
    """What to train with: as the cases ask for, or the architecture that is named."""
    from isofield.recommend import recommended
    from isofield.train import Schedule

    if architecture is not None:
        return {"architecture": architecture.value}, Schedule(), None
    found = recommended(cases.meshes, inputs, targets, **asked)
    typer.echo(str(found))
    return dict(found.arguments), found.schedule, found.clouds


def _changed(schedule: Schedule, **given: float | None) -> Schedule:
    """The schedule with the numbers that are given."""
    return replace(schedule, **{k: v for k, v in given.items() if v is not None})


def _fitted(
    model: Surrogate,
    learned: Cases,
    checked: Cases,
    schedule: Schedule,
    folder: Path,
    **options: Any,
) -> History:
    """Train; leaves the folder behind only where it holds a checkpoint."""
    from isofield.train import CHECKPOINT, TrainingError, fit

    is_new = not folder.exists()
    try:
        return fit(
            model,
            learned.meshes,
            validation=checked.meshes,
            schedule=schedule,
            directory=folder,
            names=(learned + checked).names,
            **options,
        )
    except (KeyboardInterrupt, TrainingError) as error:
        if not (folder / CHECKPOINT).exists():
            raise
        if isinstance(error, TrainingError):
            hint = f"--restart forgets the epochs kept in {folder}"
            raise CommandError(f"{error}; {hint}") from error
        raise KeyboardInterrupt(
            f"the same command goes on from the last epoch, kept in {folder}"
        ) from None
    finally:
        if is_new and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _show(model: Surrogate, history: History, output: Path) -> None:
    row = history.rows[history.best - 1]
    splits = [
        s for s in ("train", "validation") if f"{s} {model.targets[0].name}" in row
    ]
    tables.show(
        f"Relative L2 error in epoch {history.best}, whose weights are kept",
        ["target", *splits],
        [
            [target.name, *(tables.percent(row[f"{s} {target.name}"]) for s in splits)]
            for target in model.targets
        ],
    )
    typer.echo(f"{output}: {output.stat().st_size:,} bytes")
