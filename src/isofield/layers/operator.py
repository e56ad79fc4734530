"""What every layer and model is: prepared once, applied many times."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from isofield.discretization import Discretization
from isofield.plan import Plan


class Operator(nn.Module):
    """A map between fields that is handed its discretizations.

    `plan = operator.prepare(source, target)` does what depends on the geometry alone;
    `operator(u, plan)` takes channels (N, C_in) at the source points to (M, C_out) at
    the target points. Parameters depend on neither.

    pieces : when it is given the pieces of cells that are longer than what it resolves,
    as a finer quadrature of the same domain, and not the cells themselves.
    """

    pieces: Literal["never", "in predictions", "always"] = "never"

    @abstractmethod
    def prepare(self, source: Discretization, target: Discretization) -> Plan:
        """What depends on the geometry alone, in the precision of the points."""

    def prepared(
        self,
        source: Discretization,
        target: Discretization,
        dtype: torch.dtype,
        known: Discretization | None = None,
    ) -> Plan:
        """That plan in another precision; where a large one would exist in both, an
        operator makes it in the other from the start.

        known : where the first points of the source are those of a mesh, and others in
        its cells follow, that mesh by itself: an operator that fits fields does so
        there, because at the others they are interpolated.
        """
        return self.prepare(source, target).to(dtype)

    @abstractmethod
    def forward(self, u: Tensor, plan: Any) -> Tensor:
        """(N, C_in) at the source points -> (M, C_out) at the target points."""


@runtime_checkable
class Observer(Protocol):
    """An operator that looks at its inputs before it is trained."""

    def observe(
        self, domains: Sequence[Discretization], inputs: Iterable[Tensor]
    ) -> None:
        """Inputs (N, C_in) on several domains, scaled as in training."""
