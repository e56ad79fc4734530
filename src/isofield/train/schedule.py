"""How long and how fast a training learns."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """epochs : passes over the data. nodes : points per batch. rate : highest learning
    rate of AdamW, reached after `warmup` of all steps, then down a cosine to zero.
    decay : of the weights. clip : largest norm of the gradient. seed : of the order."""

    epochs: int = 40
    nodes: int = 3000
    rate: float = 3e-3
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
