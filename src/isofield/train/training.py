"""From cases to a model that has learned them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch

from isofield.data import RandomClouds, Sample, Symmetry, stacked
from isofield.data.clouds import clouds_of
from isofield.data.motion import with_copies
from isofield.data.sample import resident
from isofield.mesh import Mesh, MeshError
from isofield.surrogate import Surrogate
from isofield.train.checkpoint import TrainingError
from isofield.train.progress import Progress
from isofield.train.run import Run
from isofield.train.schedule import Schedule


@dataclass(frozen=True)
class History:
    """One row per epoch: epoch, rate, seconds, training and validation error of each
    target (mean relative L2). best : the epoch whose weights the model keeps."""

    rows: list[dict[str, float]] = field(default_factory=list)
    best: int = 0


def fit(
    model: Surrogate,
    cases: Sequence[Mesh],
    *,
    validation: Sequence[Mesh] = (),
    schedule: Schedule | None = None,
    directory: str | os.PathLike | None = None,
    device: torch.device | str | None = None,
    precision: Literal["float32", "bf16"] = "float32",
    loss: Literal["l2", "h1"] = "l2",
    augment: Symmetry | None = None,
    clouds: RandomClouds | None = None,
    progress: bool = True,
    names: Sequence[str] | None = None,
    cloud_on_boundary: bool = True,
) -> History:
    """Train a model on cases of any sizes and shapes together.

    Minimizes the mean over samples and targets of the relative error in the measure
    with AdamW, in L2 or, with `loss="h1"`, in H1 of the scaled coordinates (for fields
    at points of meshes with cells). The log and the choice of the best epoch are in L2.
    The model keeps the weights of the epoch with the least validation error
    (of the last epoch where there are no validation cases).

    cases, validation : meshes with the model's input and target fields. directory : if
    given, holds `checkpoint.safetensors`, written after every epoch, and `log.csv`; a
    call with the same directory, cases and schedule goes on where the last one stopped
    and ends with the same weights as one that never stopped. device : "cuda" where
    there is one, else "cpu". precision : "bf16" runs the dense products in bfloat16;
    sums over points stay in float32. augment : of a problem without a direction of its
    own: every pass also sees copies of the cases, turned and mirrored with their
    vectors and tensors; give it to `Surrogate.for_cases` as well. clouds : every pass
    also sees bare clouds of random points of the cases; one that has no measure, or a
    target that is zero on it, is left out with a warning. names : of the cases
    and then of those for validation, for errors. cloud_on_boundary : False where clouds
    among all these lie strictly inside their domains (see `Surrogate.sample`).

    Raises `ValueError` where moved copies leave the box of the model's cases,
    `TrainingError` where a target is zero everywhere in a case, a loss is no
    number, or the checkpoint found is of another model, schedule or set of cases.
    """
    if not cases:
        raise ValueError("expected at least one case to train on, got none")
    n_all = len(cases) + len(validation)
    if names is not None and len(names) != n_all:
        raise ValueError(f"names: expected {n_all}, got {len(names)}")
    _check_options(model, precision, loss, clouds)
    schedule = schedule or Schedule()
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    with Progress(progress) as bars:
        slopes = loss == "h1"
        names = names or [
            *_counted("case", cases),
            *_counted("validation case", validation),
        ]
        how = {"with_gradient": slopes, "cloud_on_boundary": cloud_on_boundary}
        learned, checked = names[: len(cases)], names[len(cases) :]
        if augment is not None:
            fields = [field.name for field in (*model.inputs, *model.targets)]
            cases, learned = with_copies(cases, learned, augment, fields)
        train = _prepared(model, cases, learned, bars, how)
        if augment is not None:
            _check_box(model, train, learned)
        if clouds is not None:
            train += _drawn(model, *clouds_of(cases, learned, clouds), bars)
        how["with_gradient"] = False
        check = _prepared(model, validation, checked, bars, how)
        sizes = [[len(sample.weights) for sample in part] for part in (train, check)]
        job = {"loss": loss, "precision": precision, "sizes": sizes}
        job["cloud_on_boundary"] = cloud_on_boundary
        if augment is not None:
            job["augment"] = asdict(augment)
        if clouds is not None:
            job["clouds"] = asdict(clouds)
        samples = resident([*train, *check], device)
        train, check = samples[: len(train)], samples[len(train) :]
        run = Run(model, schedule, device, precision, directory, job)
        run.resume()
        task = bars.add("Training", schedule.epochs, run.epoch)
        while run.epoch < schedule.epochs:
            row = run.train_epoch(train, check)
            bars.advance(task, _summary(row))
    run.finish()
    return History(run.rows, run.best_epoch)


def _check_options(
    model: Surrogate, precision: str, loss: str, clouds: RandomClouds | None
) -> None:
    if precision not in ("float32", "bf16"):
        raise ValueError(f"precision: expected 'float32' or 'bf16', got {precision!r}")
    if loss not in ("l2", "h1"):
        raise ValueError(f"loss: expected 'l2' or 'h1', got {loss!r}")
    if loss == "h1" and model.at == "cells":
        raise ValueError("the H1 loss needs fields at points, not at cells")
    if clouds is not None and (loss == "h1" or model.at == "cells"):
        raise ValueError(
            "clouds: they have no cells, which fields at cells and the H1 loss need"
        )


def _check_box(
    model: Surrogate, samples: Sequence[Sample], names: Sequence[str]
) -> None:
    """Moved copies lie within the box of the cases that the model was made for."""
    frame = model.frame
    lower, upper = (
        (torch.tensor(corner) - torch.tensor(frame.origin)) / frame.length
        for corner in (model.envelope.lower, model.envelope.upper)
    )
    for sample, name in zip(samples, names, strict=True):
        points = sample.domain.points
        out = float(torch.maximum(lower - points, points - upper).max())
        if out > 1e-5:  # rounding in float32
            raise ValueError(
                f"{name}: leaves the box of the cases that the model was made for by "
                f"{100 * out:.3g} % of its extent; give the same augment to "
                "Surrogate.for_cases"
            )


def _drawn(
    model: Surrogate, clouds: Sequence[Mesh], names: Sequence[str], bars: Progress
) -> list[Sample]:
    """Samples of random clouds. One that cannot be learned from is left out and named
    in a warning: nobody chose it, and others are like it."""
    # their points lie inside; only of a surface in space no rim is completed
    on_surface = model.frame.measure_dimension < len(model.frame.origin)
    task = bars.add("Preparing clouds", len(clouds))
    samples = []
    for cloud, name in zip(clouds, names, strict=True):
        try:
            sample = model.sample(cloud, where=name, cloud_on_boundary=on_surface)
            _check_relative(model, cloud, name)
            samples.append(sample)
        except (MeshError, TrainingError) as error:
            warnings.warn(f"left out: {error}", stacklevel=3)
        bars.advance(task)
    return samples


def _prepared(
    model: Surrogate,
    cases: Sequence[Mesh],
    names: Sequence[str],
    bars: Progress,
    how: Mapping[str, Any],
) -> list[Sample]:
    if not cases:
        return []
    task = bars.add("Preparing cases", len(cases))
    samples = []
    for case, name in zip(cases, names, strict=True):
        samples.append(model.sample(case, where=name, learning=True, **how))
        _check_relative(model, case, name)
        bars.advance(task)
    return samples


def _check_relative(model: Surrogate, case: Mesh, name: str) -> None:
    for target in model.targets:
        if not stacked(case, [target], model.at, where=name).any():
            raise TrainingError(
                f"{name}: target {target.name!r} is zero everywhere, so that an error "
                "relative to it has no meaning; leave the case out"
            )


def _counted(what: str, cases: Sequence[Mesh]) -> list[str]:
    return [f"{what} {number}" for number in range(len(cases))]


def _summary(row: Mapping[str, float]) -> str:
    split = "validation" if any(k.startswith("validation") for k in row) else "train"
    return ", ".join(
        f"{key.removeprefix(split).strip()} {100 * value:.1f} %"
        for key, value in row.items()
        if key.startswith(split)
    )
