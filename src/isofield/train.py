"""Training: one call from cases to a model that has learned them."""

from __future__ import annotations

import csv
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from isofield.data import Sample, collate, node_batches
from isofield.data.sample import Batch
from isofield.files import replaced
from isofield.loss import relative_h1, relative_l2
from isofield.mesh import Mesh
from isofield.surrogate import Surrogate

CHECKPOINT = "checkpoint.safetensors"


class TrainingError(RuntimeError):
    """Training cannot go on, or a checkpoint does not belong to it."""


@dataclass(frozen=True)
class Schedule:
    """epochs : passes over the data. nodes : points per batch. rate : highest learning
    rate of AdamW, reached after `warmup` of all steps, then down a cosine to zero.
    decay : of the weights. clip : largest norm of the gradient. seed : of the order."""

    epochs: int = 40
    nodes: int = 4000
    rate: float = 2e-3
    warmup: float = 0.03
    decay: float = 1e-4
    clip: float = 1.0
    seed: int = 0

    def factor(self, step: int, steps: int) -> float:
        """The share of the highest rate at a step, 0 <= step < steps."""
        rising = max(1, round(self.warmup * steps))
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


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
    progress: bool = True,
    names: Sequence[str] | None = None,
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
    sums over points stay in float32.

    Raises `TrainingError` where the loss is no number, or the checkpoint found is of
    another model, schedule or set of cases.
    """
    if precision not in ("float32", "bf16"):
        raise ValueError(f"precision: expected 'float32' or 'bf16', got {precision!r}")
    if loss not in ("l2", "h1"):
        raise ValueError(f"loss: expected 'l2' or 'h1', got {loss!r}")
    if loss == "h1" and model.at == "cells":
        raise ValueError("the H1 loss needs fields at points, not at cells")
    schedule = schedule or Schedule()
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    with _Progress(progress) as bars:
        slopes = loss == "h1"
        train = _prepared(model, cases, names, "Preparing cases", bars, slopes)
        check = _prepared(model, validation, None, "Preparing validation", bars)
        sizes = [[len(sample.weights) for sample in part] for part in (train, check)]
        job = {"loss": loss, "precision": precision, "sizes": sizes}
        run = _Run(model, schedule, device, precision, directory, job)
        run.resume()
        task = bars.add("Training", schedule.epochs, run.epoch)
        while run.epoch < schedule.epochs:
            row = run.train_epoch(train, check)
            bars.advance(task, _summary(row))
    run.finish()
    return History(run.rows, run.best_epoch)


def evaluate(
    model: Surrogate, samples: Sequence[Sample], device: torch.device | str = "cpu"
) -> Tensor:
    """(S, F) relative L2 error of every sample and target, in the measure."""
    model.network.to(device).eval()
    rows = []
    with torch.no_grad():
        for sample in samples:
            batch = collate([sample]).to(device)
            prediction, truth = _outputs(model, batch, nullcontext())
            channels = [target.channels for target in model.targets]
            errors = relative_l2(prediction, truth, batch.domain, channels)
            rows.append(errors.cpu())
    return torch.cat(rows)


def _outputs(model: Surrogate, batch: Batch, autocast: Any) -> tuple[Tensor, Tensor]:
    """Prediction and truth in physical units, (N, C) each."""
    with autocast:
        output = model.network(batch.x, batch.plan)
    invert = model.target_normalizer.invert
    return invert(output.float()), invert(batch.y)


class _Run:
    """The state of one training, which a checkpoint holds whole."""

    def __init__(
        self,
        model: Surrogate,
        schedule: Schedule,
        device: torch.device,
        precision: str,
        directory: str | os.PathLike | None,
        job: Mapping[str, Any],
    ) -> None:
        self.model = model
        self.job = job
        self.schedule = schedule
        self.device = device
        self.precision = precision
        self.network = model.network.to(device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=schedule.rate, weight_decay=schedule.decay
        )
        self.directory = Path(directory) if directory is not None else None
        if self.directory is not None:
            self.directory.mkdir(parents=True, exist_ok=True)
        self.rows: list[dict[str, float]] = []
        self.epoch = 0
        self.rate = 0.0
        self.best = math.inf
        self.best_epoch = 0
        self.best_weights = _copied(self.network)

    def train_epoch(
        self, train: Sequence[Sample], check: Sequence[Sample]
    ) -> dict[str, float]:
        """One pass over the data, its row in the log, and a checkpoint."""
        start = time.perf_counter()
        errors = self._steps(train)
        row = {"epoch": float(self.epoch + 1), "rate": self.rate}
        row |= self._named("train", errors)
        score = float(errors.mean())
        if check:
            found = evaluate(self.model, check, self.device).mean(0)
            row |= self._named("validation", found)
            score = float(found.mean())
        row["seconds"] = time.perf_counter() - start
        self.epoch += 1
        if score < self.best or not check:
            self.best, self.best_epoch = score, self.epoch
            self.best_weights = _copied(self.network)
        self.rows.append(row)
        self._save()
        return row

    def _steps(self, train: Sequence[Sample]) -> Tensor:
        """Mean relative error of each target over the pass, as it was learned."""
        self.network.train()
        sizes = [int(sample.num_nodes or 0) for sample in train]
        order = self.schedule.seed * 100_003 + self.epoch
        batches = node_batches(sizes, self.schedule.nodes, order)
        total = torch.zeros(len(self.model.targets))
        for number, members in enumerate(batches):
            # the position within the run, though epochs differ in their batch count
            position = (self.epoch + number / len(batches)) / self.schedule.epochs
            self.rate = self.schedule.rate * self.schedule.factor(
                int(position * 1_000_000), 1_000_000
            )
            batch = collate([train[i] for i in members]).to(self.device)
            total += self._step(batch).sum(0)
        return total / len(train)

    def _step(self, batch: Batch) -> Tensor:
        prediction, truth = _outputs(self.model, batch, self._autocast())
        channels = [target.channels for target in self.model.targets]
        errors = relative_l2(prediction, truth, batch.domain, channels)
        loss = errors.mean()
        if batch.gradient is not None:
            loss = relative_h1(
                prediction, truth, batch.domain, batch.gradient, channels
            ).mean()
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss became {float(loss)} in epoch {self.epoch + 1}: lower the "
                f"learning rate ({self.schedule.rate}), or look for a target that is "
                "zero everywhere in a case"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.schedule.clip)
        self.optimizer.step()
        return errors.detach().cpu()

    def _autocast(self) -> Any:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _named(self, split: str, errors: Tensor) -> dict[str, float]:
        return {
            f"{split} {target.name}": float(error)
            for target, error in zip(self.model.targets, errors, strict=True)
        }

    def finish(self) -> None:
        """Give the model the weights of its best epoch."""
        self.network.load_state_dict(self.best_weights)
        self.network.cpu().eval()

    def resume(self) -> None:
        """Go on from the directory's checkpoint, if there is one."""
        if self.directory is None:
            return
        path = self.directory / CHECKPOINT
        if not path.is_file():
            return
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                state = json.loads((file.metadata() or {})["isofield"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            raise TrainingError(
                f"{path}: not a readable checkpoint ({error}); delete it to start anew"
            ) from None
        if state["identity"] != self._identity():
            raise TrainingError(
                f"{path}: belongs to a training of another model, schedule or cases; "
                "train in another directory, or delete this one to start anew"
            )
        self._restore(state, tensors)

    def _restore(self, state: dict[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self.network.load_state_dict(_part(tensors, "network."))
        self.best_weights = _part(tensors, "best.")
        moments = self.optimizer.state_dict()
        for name, value in _part(tensors, "moment.").items():
            number, key = name.split(".")
            moments["state"].setdefault(int(number), {})[key] = value
        self.optimizer.load_state_dict(moments)
        self.epoch, self.best_epoch = state["epoch"], state["best_epoch"]
        self.best, self.rows = state["best"], state["rows"]

    def _identity(self) -> dict[str, Any]:
        """What must be the same where a training goes on."""
        model = self.model
        identity = {
            "schedule": vars(self.schedule),
            "network": dict(model.arguments),
            "fields": [asdict(field) for field in (*model.inputs, *model.targets)],
            "at": model.at,
            "frame": asdict(model.frame),
            "envelope": asdict(model.envelope),
            "job": self.job,
        }
        return json.loads(json.dumps(identity))

    def _save(self) -> None:
        if self.directory is None:
            return
        from safetensors.torch import save_file

        tensors = {f"network.{k}": v for k, v in _copied(self.network).items()}
        tensors |= {f"best.{k}": v for k, v in self.best_weights.items()}
        for number, moments in self.optimizer.state_dict()["state"].items():
            for key, value in moments.items():
                tensors[f"moment.{number}.{key}"] = value.detach().cpu().clone()
        state = {
            "identity": self._identity(),
            "epoch": self.epoch,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "rows": self.rows,
        }
        replaced(
            self.directory / CHECKPOINT,
            lambda path: save_file(tensors, path, {"isofield": json.dumps(state)}),
        )
        replaced(self.directory / "log.csv", self._write_log)

    def _write_log(self, path: Path) -> None:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _prepared(
    model: Surrogate,
    cases: Sequence[Mesh],
    names: Sequence[str] | None,
    title: str,
    bars: _Progress,
    with_gradient: bool = False,
) -> list[Sample]:
    names = names or [f"case {number}" for number in range(len(cases))]
    task = bars.add(title, len(cases)) if cases else None
    samples = []
    for case, name in zip(cases, names, strict=True):
        samples.append(model.sample(case, with_gradient=with_gradient, where=name))
        bars.advance(task)
    return samples


def _summary(row: Mapping[str, float]) -> str:
    split = "validation" if any(k.startswith("validation") for k in row) else "train"
    return ", ".join(
        f"{key.removeprefix(split).strip()} {100 * value:.1f} %"
        for key, value in row.items()
        if key.startswith(split)
    )


class _Progress:
    """Bars of what is under way; nothing at all where they are not wanted."""

    def __init__(self, shown: bool) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.bars = Progress(
            TextColumn("{task.description:24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            disable=not shown,
        )

    def __enter__(self) -> _Progress:
        self.bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.bars.stop()

    def add(self, title: str, total: int, done: int = 0) -> Any:
        return self.bars.add_task(title, total=total, completed=done, note="")

    def advance(self, task: Any, note: str = "") -> None:
        if task is not None:
            self.bars.update(task, advance=1, note=note)
