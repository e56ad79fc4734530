"""One training, epoch by epoch, with everything that a checkpoint holds."""

from __future__ import annotations

import csv
import math
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from isofield.data import Normalizer, Sample, collate, node_batches
from isofield.data.sample import Batch
from isofield.files import replaced
from isofield.loss import relative_h1, relative_l2
from isofield.surrogate import Surrogate
from isofield.train.checkpoint import (
    CHECKPOINT,
    Checkpoint,
    TrainingError,
    copied,
    read_checkpoint,
    write_checkpoint,
)
from isofield.train.evaluation import evaluate, outputs
from isofield.train.schedule import Schedule

Row = dict[str, float]

# AdamW forgets second moments over 100 steps: short trainings gain 10 % over 1000
MOMENTS = (0.9, 0.99)


class Run:
    """The state of one training; an epoch takes it from one checkpoint to the next.

    job : what else must be the same where a checkpoint goes on.
    """

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
        self.schedule = schedule
        self.device = device
        self.precision = precision
        self.identity = _identity(model, schedule, job)
        self.network = model.network.to(device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=schedule.rate,
            betas=MOMENTS,
            weight_decay=schedule.decay,
            fused=True,
        )
        self.directory = Path(directory) if directory is not None else None
        if self.directory is not None:
            self.directory.mkdir(parents=True, exist_ok=True)
        self.rows: list[Row] = []
        self.epoch = 0
        self.rate = 0.0
        self.best = math.inf
        self.best_epoch = 0
        self.best_network = copied(self.network)

    def train_epoch(self, train: Sequence[Sample], check: Sequence[Sample]) -> Row:
        """One pass over the data, its row in the log, and a checkpoint."""
        start = time.perf_counter()
        errors = self._steps(train)
        self._check_weights()
        row = {"epoch": float(self.epoch + 1), "rate": self.rate}
        row |= self._named("train", errors)
        score = float(errors.mean())
        if check:
            found = evaluate(self.model, check, self.device).mean(0)
            row |= self._named("validation", found)
            score = float(found.mean())
            if not math.isfinite(score):
                raise TrainingError(
                    f"the validation error became {score} in epoch {self.epoch + 1}: "
                    f"lower the learning rate ({self.schedule.rate})"
                )
        row["seconds"] = time.perf_counter() - start
        self.epoch += 1
        if score < self.best or not check:
            self.best, self.best_epoch = score, self.epoch
            self.best_network = copied(self.network)
        self.rows.append(row)
        self._save()
        return row

    def _steps(self, train: Sequence[Sample]) -> Tensor:
        """Mean relative error of each target over the pass, as it was learned."""
        self.network.train()
        sizes = [len(sample.weights) for sample in train]
        order = self.schedule.seed * 100_003 + self.epoch
        batches = node_batches(sizes, self.schedule.nodes, order)
        total = torch.zeros(len(self.model.targets))
        for number, members in enumerate(batches):
            # the position within the run, though epochs differ in their batch count;
            # the middle of the step, so that not even a single step has the rate 0
            done = self.epoch + (number + 0.5) / len(batches)
            position = done / self.schedule.epochs
            self.rate = self.schedule.rate * self.schedule.factor(
                int(position * 1_000_000), 1_000_000
            )
            batch = collate([train[i] for i in members]).to(self.device)
            total += self._step(batch).sum(0)
        return total / len(train)

    def _check_weights(self) -> None:
        """The last step of an epoch can end in weights that no loss has seen yet."""
        wrong = [
            name
            for name, weight in self.network.named_parameters()
            if not torch.isfinite(weight).all()
        ]
        if wrong:
            raise TrainingError(
                f"{len(wrong)} weights, the first is {wrong[0]}, are no numbers after "
                f"epoch {self.epoch + 1}: lower the learning rate "
                f"({self.schedule.rate})"
            )

    def _step(self, batch: Batch) -> Tensor:
        with self._autocast():
            prediction, truth = outputs(self.model, batch)
        channels = [target.channels for target in self.model.targets]
        errors = relative_l2(prediction, truth, batch.domain, channels)
        loss = errors.mean()
        if batch.gradient is not None:
            loss = relative_h1(
                prediction, truth, batch.domain, batch.gradient, channels
            ).mean()
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss became {float(loss.detach())} in epoch {self.epoch + 1}: "
                f"lower the learning rate ({self.schedule.rate})"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        self.optimizer.zero_grad()
        loss.backward()
        size = nn.utils.clip_grad_norm_(self.network.parameters(), self.schedule.clip)
        if not torch.isfinite(size):
            raise TrainingError(
                f"the gradient of the loss became {float(size)} in epoch "
                f"{self.epoch + 1}: lower the learning rate ({self.schedule.rate})"
            )
        self.optimizer.step()
        return errors.detach().cpu()

    def _autocast(self) -> Any:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _named(self, split: str, errors: Tensor) -> Row:
        return {
            f"{split} {target.name}": float(error)
            for target, error in zip(self.model.targets, errors, strict=True)
        }

    def finish(self) -> None:
        """Give the model the weights of its best epoch."""
        self.network.load_state_dict(self.best_network)
        self.network.cpu().eval()

    def resume(self) -> None:
        """Go on from the directory's checkpoint, if there is one."""
        if self.directory is None or not (self.directory / CHECKPOINT).is_file():
            return
        found = read_checkpoint(self.directory / CHECKPOINT, self.identity)
        try:
            self.network.load_state_dict(found.network)
        except RuntimeError as error:
            raise TrainingError(
                f"{self.directory / CHECKPOINT}: its weights do not fit the network, "
                "perhaps that of another version of isofield; delete it to start anew"
            ) from error
        moments = self.optimizer.state_dict()
        moments["state"] = {n: dict(part) for n, part in found.moments.items()}
        self.optimizer.load_state_dict(moments)
        self.epoch, self.rows = found.epoch, found.rows
        self.best, self.best_epoch = found.best, found.best_epoch
        self.best_network = dict(found.best_network)

    def _save(self) -> None:
        if self.directory is None:
            return
        checkpoint = Checkpoint(
            self.epoch,
            self.rows,
            self.best,
            self.best_epoch,
            copied(self.network),
            self.best_network,
            self.optimizer.state_dict()["state"],
        )
        write_checkpoint(self.directory / CHECKPOINT, checkpoint, self.identity)
        replaced(self.directory / "log.csv", self._write_log)

    def _write_log(self, path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)


def _identity(
    model: Surrogate, schedule: Schedule, job: Mapping[str, Any]
) -> dict[str, Any]:
    """What must be the same where a training goes on."""

    def numbers(normalizer: Normalizer) -> list[list[float]]:
        return [normalizer.mean.tolist(), normalizer.scale.tolist()]

    # left out where there are none, as in checkpoints of before
    features = {"features": list(model.features)} if model.features else {}
    return {
        "schedule": asdict(schedule),
        **features,
        "network": dict(model.arguments),
        "fields": [asdict(field) for field in (*model.inputs, *model.targets)],
        "at": model.at,
        "similarity": {k: dict(v) for k, v in model.similarity.powers.items()},
        "frame": asdict(model.frame),
        "normalizers": [
            numbers(model.input_normalizer),
            numbers(model.target_normalizer),
        ],
        "envelope": asdict(model.envelope),
        "job": dict(job),
    }
