"""All of a training between two epochs, to and from a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from isofield.files import replaced

CHECKPOINT = "checkpoint.safetensors"


class TrainingError(RuntimeError):
    """Training cannot go on, or a checkpoint does not belong to it."""


@dataclass(frozen=True)
class Checkpoint:
    """Where a training stands after an epoch; all that it needs to go on.

    epoch : epochs done. rows : of the log, one per epoch. best, best_epoch : the least
    error so far and its epoch. network, best_network : weights by name, now and then.
    moments : parameter number -> the optimizer's tensors for it.
    """

    epoch: int
    rows: list[dict[str, float]]
    best: float
    best_epoch: int
    network: Mapping[str, Tensor]
    best_network: Mapping[str, Tensor]
    moments: Mapping[int, Mapping[str, Tensor]]


def copied(network: nn.Module) -> dict[str, Tensor]:
    """The weights by name, on the CPU; later steps do not change them."""
    return {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}


def write_checkpoint(
    path: Path, checkpoint: Checkpoint, identity: Mapping[str, Any]
) -> None:
    """Write safetensors with a header in JSON; complete or not there.

    identity : what must be the same where the training goes on.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {f"network.{name}": v for name, v in checkpoint.network.items()}
    tensors |= {f"best.{name}": v for name, v in checkpoint.best_network.items()}
    for number, moments in checkpoint.moments.items():
        for key, value in moments.items():
            tensors[f"moment.{number}.{key}"] = value.detach().cpu().clone()
    state = {
        "identity": identity,
        "epoch": checkpoint.epoch,
        "rows": checkpoint.rows,
        "best": checkpoint.best,
        "best_epoch": checkpoint.best_epoch,
    }
    metadata = {"isofield": json.dumps(state)}
    try:
        replaced(path, lambda file: save_file(tensors, file, metadata))
    except SafetensorError as error:
        raise TrainingError(f"{path}: not written ({error})") from error


def read_checkpoint(path: Path, identity: Mapping[str, Any]) -> Checkpoint:
    """Read a checkpoint of the training with this identity.

    Raises `TrainingError` where the file is damaged or of another training.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            state = json.loads((file.metadata() or {})["isofield"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            same = state["identity"] == json.loads(json.dumps(identity))
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise TrainingError(
            f"{path}: not a readable checkpoint ({error}); delete it to start anew"
        ) from None
    if not same:
        raise TrainingError(
            f"{path}: belongs to a training of another model, schedule or cases; "
            "train in another directory, or delete this one to start anew"
        )
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _part(tensors, "moment.").items():
        number, key = name.split(".")
        moments.setdefault(int(number), {})[key] = value
    return Checkpoint(
        state["epoch"],
        state["rows"],
        state["best"],
        state["best_epoch"],
        _part(tensors, "network."),
        _part(tensors, "best."),
        moments,
    )


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
