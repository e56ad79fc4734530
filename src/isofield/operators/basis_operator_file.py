"""Basis operators on disk, in the manner of `isofield.operators.operator_file`."""

from __future__ import annotations

import os
from pathlib import Path

from isofield.discretization import Discretization
from isofield.graph import Graph
from isofield.operators.basis_operator import BasisOperator
from isofield.operators.operator_file import (
    FORMAT,
    Tensors,
    facts_of,
    graph_tensors,
    read_tensors,
    side_of,
    side_tensors,
    write_tensors,
)
from isofield.operators.patches import Pairs
from isofield.operators.sparse import TransferError

KIND = "isofield basis operator"
ORDERS = ("source_order", "target_order")


def save_basis_operator(path: str | os.PathLike, operator: BasisOperator) -> None:
    """Write an operator with its points; the file is complete or is not there."""
    pairs = operator.pairs
    tensors = graph_tensors("graph", pairs.graph) | {"values": operator.values}
    tensors |= side_tensors("source", pairs.source)
    tensors |= side_tensors("target", pairs.target)
    for name in ORDERS:
        tensors |= graph_tensors(name, getattr(pairs, name))
    tensors |= {f"facts.{name}": fact for name, fact in operator.facts.items()}
    header = {"format": FORMAT, "mode": operator.mode}
    write_tensors(Path(path), KIND, header, tensors)


def load_basis_operator(path: str | os.PathLike) -> BasisOperator:
    """Read an operator. Raises `TransferError` where the file is missing or not one."""
    return read_tensors(Path(path), KIND, _restored)


def _restored(header: dict, tensors: Tensors) -> BasisOperator:
    source, target = _side(tensors, "source"), _side(tensors, "target")
    n, m = len(source), len(target)
    pairs = Pairs(
        Graph(tensors["graph.edges"], n, m),
        source,
        target,
        Graph(tensors["source_order.edges"], n, n),
        Graph(tensors["target_order.edges"], m, m),
    )
    return BasisOperator(pairs, tensors["values"], header["mode"], facts_of(tensors))


def _side(tensors: Tensors, name: str) -> Discretization:
    side = side_of(tensors, name)
    if side is None:
        raise TransferError(f"expected the points of the {name} in a basis operator")
    return side
