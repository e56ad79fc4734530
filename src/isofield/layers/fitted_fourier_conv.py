"""Convolution by Fourier modes that are fitted to the field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from isofield.discretization import Discretization
from isofield.layers.fourier_conv import FourierConv, Waves, amplitudes, waves_at
from isofield.layers.wave_fit import WaveFit
from isofield.plan import Plan


@dataclass(frozen=True, eq=False)
class FittedPlan(Plan):
    """source : N points. dual : (N, 2 K), see `WaveFit`. target : the waves there."""

    source: Discretization
    dual: Tensor
    target: Waves


class FittedFourierConv(FourierConv):
    """`v(x) = sum_k e^{i k.x} R_k c_k`, c the amplitudes of waves that fit u.

    As `FourierConv`, but for what c is: there the transform of u and of zero outside of
    the domain, here that of the smooth periodic field which is u in the domain
    (`WaveFit`). Sums of the waves are exact on any points that tell them apart; take
    this form for fields with as many waves as a mesh just resolves.

    noise : see `WaveFit`. The other arguments are those of `FourierConv`. `observe`
    tells it what fields to expect.
    """

    def __init__(self, *arguments: Any, noise: float = 1e-6, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.fit = WaveFit(self.numbers, self.volume, noise)

    def prepare(self, source: Discretization, target: Discretization) -> FittedPlan:
        """The fit at the source and the waves at the target."""
        return FittedPlan(source, self.fit.dual(source), waves_at(target, self.numbers))

    def forward(self, u: Tensor, plan: FittedPlan) -> Tensor:
        """(N, C_in) at the source points -> (M, C_out) at the target points."""
        with torch.autocast(u.device.type, enabled=False):
            c = amplitudes(u.to(plan.dual), plan.dual, plan.source)
            return self.synthesis(c, plan.target)
