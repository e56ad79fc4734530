"""Functions on the ball that a small network learns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from isofield.bases.basis import Basis, check_at_least


class LearnedBasis(Basis):
    """B outputs of a small smooth network of u.

    The kernel `sum_b kernel_b(u) W_b` is linear in its matrices as with any other
    basis, so that a layer contracts fields with the functions before their channels
    meet; the functions themselves are learned along, and then evaluated at every step.

    dimension : d. size : B. hidden : width of the two hidden layers. alpha : of the
    window. The network starts with functions of mean square 1 over the ball.
    """

    def __init__(
        self, dimension: int, size: int, hidden: int = 32, alpha: float = 2.0
    ) -> None:
        for name, value in [
            ("dimension", dimension),
            ("size", size),
            ("hidden", hidden),
        ]:
            check_at_least(name, value, 1)
        super().__init__(dimension, size, alpha, None)
        self.network = varied_network(dimension, hidden, size)

    def functions(self, u: Tensor) -> Tensor:
        """(..., d) -> (..., B), with the parameters in the precision of u."""
        parameters = {name: p.to(u) for name, p in self.network.named_parameters()}
        return torch.func.functional_call(self.network, parameters, (u,))


def varied_network(
    inputs: int, hidden: int | Sequence[int], outputs: int
) -> nn.Sequential:
    """A network whose outputs begin as varied functions of size 1 on the unit ball.

    hidden : widths of the hidden layers, or one width of two.
    """
    widths = [hidden, hidden] if isinstance(hidden, int) else list(hidden)
    first, last = nn.Linear(inputs, widths[0]), nn.Linear(widths[-1], outputs)
    between = [nn.Linear(a, b) for a, b in pairwise(widths)]
    layers = [part for linear in (first, *between) for part in (linear, nn.GELU())]
    network = nn.Sequential(*layers, last)
    with torch.no_grad():
        first.weight.mul_(3)
        points = torch.randn(1024, inputs)
        points *= torch.rand(1024, 1) ** (1 / inputs) / points.norm(dim=1, keepdim=True)
        size = network(points).square().mean(0).sqrt()
        last.weight.div_(size[:, None])
        last.bias.div_(size)
    return network
