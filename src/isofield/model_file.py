"""Model files: safetensors with a header in JSON, and nothing that runs."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from isofield.data import Field, Normalizer
from isofield.data.envelope import Envelope
from isofield.data.frame import Frame
from isofield.data.similarity import Similarity
from isofield.files import replaced
from isofield.surrogate import Surrogate, initialised

FORMAT = 1


class ModelFileError(ValueError):
    """A model file is not what was expected."""


def save_model(path: str | os.PathLike, model: Surrogate) -> None:
    """Write a model; the file is complete or is not there.

    Tensors are the weights and the normalizers' numbers; the header holds format,
    architecture and its arguments, fields with shapes and units, features, frame and
    envelope.
    Nothing in it has the size of a mesh.

    Raises `OSError` or `ModelFileError` where it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    header = {
        "format": FORMAT,
        "network": dict(model.arguments),
        "inputs": [asdict(field) for field in model.inputs],
        "targets": [asdict(field) for field in model.targets],
        "at": model.at,
        "frame": asdict(model.frame),
        "envelope": asdict(model.envelope),
        "similarity": {k: dict(v) for k, v in model.similarity.powers.items()},
        "features": list(model.features),
    }
    tensors = {
        f"network.{name}": value.detach().cpu().contiguous()
        for name, value in model.network.state_dict().items()
    }
    for part, normalizer in _normalizers(model).items():
        tensors |= {f"{part}.mean": normalizer.mean, f"{part}.scale": normalizer.scale}
    metadata = {"isofield": json.dumps(header)}
    try:
        replaced(Path(path), lambda file: save_file(tensors, file, metadata))
    except SafetensorError as error:
        raise ModelFileError(f"{path}: not written ({error})") from error


def load_model(path: str | os.PathLike) -> Surrogate:
    """Read a model. Raises `ModelFileError` where the file is missing or not one."""
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"{path}: no such model file")
    if not os.access(path, os.R_OK):
        raise ModelFileError(f"{path}: no permission to read it")
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {}).get("isofield", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise ModelFileError(f"{path}: not a readable model file ({error})") from None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ModelFileError(
            f"{path}: expected a model file of format {FORMAT}, as `save_model` or "
            "`isofield train` writes it; this safetensors file is another"
        )
    try:
        return _restored(header, tensors)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ModelFileError(f"{path}: incomplete model file ({reason})") from None


def _normalizers(model: Surrogate) -> dict[str, Normalizer]:
    return {"input": model.input_normalizer, "target": model.target_normalizer}


def _restored(header: dict[str, Any], tensors: dict[str, Tensor]) -> Surrogate:
    arguments = header["network"]
    options = {
        name: value for name, value in arguments.items() if name != "architecture"
    }
    network = initialised(arguments["architecture"], options, seed=0)
    weights = {
        name.removeprefix("network."): value
        for name, value in tensors.items()
        if name.startswith("network.")
    }
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"its weights do not fit a {arguments['architecture']}, perhaps that of "
            f"another version of isofield: {error}"
        ) from error
    frame, envelope = header["frame"], header["envelope"]
    return Surrogate(
        network=network,
        inputs=tuple(map(_field, header["inputs"])),
        targets=tuple(map(_field, header["targets"])),
        at=header["at"],
        frame=Frame(
            tuple(frame["origin"]), frame["length"], frame["measure_dimension"]
        ),
        input_normalizer=Normalizer(tensors["input.mean"], tensors["input.scale"]),
        target_normalizer=Normalizer(tensors["target.mean"], tensors["target.scale"]),
        envelope=Envelope(
            inputs={name: tuple(pair) for name, pair in envelope["inputs"].items()},
            lower=tuple(envelope["lower"]),
            upper=tuple(envelope["upper"]),
            points=tuple(envelope["points"]),
            spacing=tuple(envelope["spacing"]),
            # models of before have none
            extent=tuple(envelope.get("extent") or ()) or None,
        ),
        arguments=arguments,
        similarity=Similarity(header["similarity"]),
        features=tuple(header.get("features", ())),
    )


def _field(entry: dict[str, Any]) -> Field:
    return Field(entry["name"], tuple(entry["shape"]), entry["unit"])
