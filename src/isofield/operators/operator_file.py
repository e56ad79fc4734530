"""Operators on disk: safetensors with a header in JSON, and nothing that runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from isofield.discretization import Discretization
from isofield.files import replaced
from isofield.graph import Graph
from isofield.operators.mass import Mass
from isofield.operators.sparse import SparseOperator, TransferError

FORMAT = 1
KIND = "isofield operator"
Tensors = dict[str, Tensor]
Restored = TypeVar("Restored")


def save_operator(path: str | os.PathLike, operator: SparseOperator) -> None:
    """Write an operator; the file is complete or is not there."""
    tensors = graph_tensors("graph", operator.graph) | {"values": operator.values}
    tensors["missing"] = operator.missing
    for name, side in (("source", operator.source), ("target", operator.target)):
        if side is not None:
            tensors |= side_tensors(name, side)
    for name, mass in (("after", operator.after), ("before", operator.before)):
        if mass is not None:
            tensors |= graph_tensors(f"{name}.graph", mass.graph)
            tensors |= {
                f"{name}.{part}": getattr(mass, part)
                for part in ("values", "left", "right")
            }
    tensors |= {f"facts.{name}": fact for name, fact in operator.facts.items()}
    header = {"format": FORMAT, "method": operator.method, "shape": operator.shape}
    write_tensors(Path(path), KIND, header, tensors)


def load_operator(path: str | os.PathLike) -> SparseOperator:
    """Read an operator. Raises `TransferError` where the file is missing or not one."""
    return read_tensors(Path(path), KIND, _restored)


def write_tensors(path: Path, kind: str, header: dict, tensors: Tensors) -> None:
    """A file of tensors with a header under the name of its kind.

    Raises `OSError` or `TransferError` where it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    # clones, since safetensors refuses tensors that share memory
    tensors = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in tensors.items()
    }
    metadata = {kind: json.dumps(header)}
    try:
        replaced(path, lambda file: save_file(tensors, file, metadata))
    except SafetensorError as error:
        raise TransferError(f"{path}: not written ({error})") from error


def read_tensors(
    path: Path, kind: str, restored: Callable[[dict, Tensors], Restored]
) -> Restored:
    """What `restored` makes of the header and the tensors of such a file."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise TransferError(f"{path}: no such operator file")
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {})[kind])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header["format"] != FORMAT:
            raise TransferError(f"{path}: expected an operator file of format {FORMAT}")
        return restored(header, tensors)
    except TransferError:
        raise
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise TransferError(f"{path}: not an operator file ({reason})") from None


def graph_tensors(name: str, graph: Graph) -> Tensors:
    """A graph by its edges and rows."""
    return {f"{name}.edges": graph.edge_index, f"{name}.ptr": graph.ptr}


def side_tensors(name: str, side: Discretization) -> Tensors:
    """Points with their measure, and normals where they have some."""
    parts = ("points", "weights", "ptr", "normals")
    tensors = {f"{name}.{part}": getattr(side, part) for part in parts}
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def side_of(tensors: Tensors, name: str) -> Discretization | None:
    """The points that `side_tensors` wrote, None where there are none."""
    if f"{name}.points" not in tensors:
        return None
    points, weights, ptr = (
        tensors[f"{name}.{part}"] for part in ("points", "weights", "ptr")
    )
    return Discretization(points, weights, ptr, tensors.get(f"{name}.normals"))


def facts_of(tensors: Tensors) -> Tensors:
    """Numbers of the targets, by name."""
    return {
        name.removeprefix("facts."): fact
        for name, fact in tensors.items()
        if name.startswith("facts.")
    }


def _restored(header: dict, tensors: Tensors) -> SparseOperator:
    m, n = header["shape"]
    return SparseOperator(
        Graph(tensors["graph.edges"], n, m),
        tensors["values"],
        side_of(tensors, "source"),
        side_of(tensors, "target"),
        header["method"],
        tensors["missing"],
        facts_of(tensors),
        _mass(tensors, "after"),
        _mass(tensors, "before"),
    )


def _mass(tensors: Tensors, name: str) -> Mass | None:
    if f"{name}.values" not in tensors:
        return None
    values, left, right = (
        tensors[f"{name}.{part}"] for part in ("values", "left", "right")
    )
    n = len(left)
    return Mass(Graph(tensors[f"{name}.graph.edges"], n, n), values, left, right)
