"""How far a model is from the truth of samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from isofield.data import Sample, collate
from isofield.data.sample import Batch
from isofield.loss import relative_l2
from isofield.surrogate import Surrogate


def evaluate(
    model: Surrogate, samples: Sequence[Sample], device: torch.device | str = "cpu"
) -> Tensor:
    """(S, F) relative L2 error of every sample and target, in the measure.

    samples : of `model.sample`, with targets. The network stays on the device.
    """
    model.network.to(device).eval()
    channels = [target.channels for target in model.targets]
    rows = []
    with torch.no_grad():
        for sample in samples:
            batch = collate([sample]).to(device)
            prediction, truth = outputs(model, batch)
            rows.append(relative_l2(prediction, truth, batch.domain, channels).cpu())
    return torch.cat(rows) if rows else torch.zeros(0, len(channels))


def outputs(model: Surrogate, batch: Batch) -> tuple[Tensor, Tensor]:
    """Prediction and truth in units of each field's scale, float32, (N, C) each.

    Relative errors are the same in any unit; in this one their squares neither
    overflow nor vanish.
    """
    normalizer, domain = model.target_normalizer, batch.domain
    zero = (normalizer.mean / normalizer.scale).to(batch.y)
    size = domain.mean(batch.factor).index_select(0, domain.sample)
    factor = batch.factor / size
    output = model.network(batch.x, batch.plan).float()
    return (output + zero) * factor, (batch.y + zero) * factor
