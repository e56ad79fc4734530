"""Operators on disk: safetensors with a header in JSON, and nothing that runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

from torch import Tensor

from isofield.discretization import Discretization
from isofield.files import replaced
from isofield.graph import Graph
from isofield.operators.mass import Mass
from isofield.operators.sparse import SparseOperator, TransferError

FORMAT = 1
Tensors = dict[str, Tensor]


def save_operator(path: str | os.PathLike, operator: SparseOperator) -> None:
    """Write an operator; the file is complete or is not there."""
    from safetensors.torch import save_file

    tensors = _graph("graph", operator.graph) | {"values": operator.values}
    tensors["missing"] = operator.missing
    for name, side in (("source", operator.source), ("target", operator.target)):
        if side is not None:
            tensors |= {f"{name}.points": side.points, f"{name}.weights": side.weights}
            tensors[f"{name}.ptr"] = side.ptr
            if side.normals is not None:
                tensors[f"{name}.normals"] = side.normals
    for name, mass in (("after", operator.after), ("before", operator.before)):
        if mass is not None:
            tensors |= _graph(f"{name}.graph", mass.graph)
            tensors |= {
                f"{name}.{part}": getattr(mass, part)
                for part in ("values", "left", "right")
            }
    tensors |= {f"facts.{name}": fact for name, fact in operator.facts.items()}
    # clones, since safetensors refuses tensors that share memory
    tensors = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in tensors.items()
    }
    header = {"format": FORMAT, "method": operator.method, "shape": operator.shape}
    metadata = {"isofield operator": json.dumps(header)}
    replaced(Path(path), lambda file: save_file(tensors, file, metadata))


def load_operator(path: str | os.PathLike) -> SparseOperator:
    """Read an operator. Raises `TransferError` where the file is missing or not one."""
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise TransferError(f"{path}: no such operator file")
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {})["isofield operator"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header["format"] != FORMAT:
            raise TransferError(f"{path}: expected an operator file of format {FORMAT}")
        return _restored(header, tensors)
    except TransferError:
        raise
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise TransferError(f"{path}: not an operator file ({reason})") from None


def _graph(name: str, graph: Graph) -> Tensors:
    return {f"{name}.edges": graph.edge_index, f"{name}.ptr": graph.ptr}


def _restored(header: dict, tensors: Tensors) -> SparseOperator:
    m, n = header["shape"]
    facts = {
        name.removeprefix("facts."): fact
        for name, fact in tensors.items()
        if name.startswith("facts.")
    }
    return SparseOperator(
        Graph(tensors["graph.edges"], n, m),
        tensors["values"],
        _side(tensors, "source"),
        _side(tensors, "target"),
        header["method"],
        tensors["missing"],
        facts,
        _mass(tensors, "after"),
        _mass(tensors, "before"),
    )


def _side(tensors: Tensors, name: str) -> Discretization | None:
    if f"{name}.points" not in tensors:
        return None
    points, weights, ptr = (
        tensors[f"{name}.{part}"] for part in ("points", "weights", "ptr")
    )
    return Discretization(points, weights, ptr, tensors.get(f"{name}.normals"))


def _mass(tensors: Tensors, name: str) -> Mass | None:
    if f"{name}.values" not in tensors:
        return None
    values, left, right = (
        tensors[f"{name}.{part}"] for part in ("values", "left", "right")
    )
    n = len(left)
    return Mass(Graph(tensors[f"{name}.graph.edges"], n, n), values, left, right)
