"""Fields that turn with the frame of their point, as channels of a tensor.

A field of type m is a complex number at each point that becomes `exp(-i m t) z` where
the frame turns by the angle t. Scalars are of type 0 and real; the tangent vector
`a e1 + b e2` is a + ib, of type 1. `(C_0, C_1, ..., C_M)` says how many there are of
each. Channels are the scalars, then for each type the real parts of all its fields and
their imaginary parts: C = C_0 + 2 C_1 + ... + 2 C_M.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def checked_types(name: str, channels: Sequence[int]) -> tuple[int, ...]:
    """How many fields of each type; raises `ValueError`, with this name, for others."""
    counts = tuple(int(c) for c in channels)
    if min(counts, default=-1) < 0 or sum(counts) == 0:
        raise ValueError(
            f"{name}: expected how many fields there are of each type from 0 on, such "
            f"as (8, 4) for 8 scalars and 4 tangent vectors, got {tuple(channels)}"
        )
    return counts


def widths(channels: Sequence[int]) -> list[int]:
    """Channels of a tensor for the fields of each type."""
    return [fields if m == 0 else 2 * fields for m, fields in enumerate(channels)]


def tangent_fields(vectors: Tensor, frames: Tensor) -> Tensor:
    """Vectors (N, K, 3) as K fields of type 1, (N, 2 K); normal parts are left out.

    frames : (N, 3, 2), such as `isofield.charts.frames(domain.normals)`.
    """
    return torch.einsum("nkd,ndp->npk", vectors, frames.to(vectors)).flatten(1)


def tangent_vectors(fields: Tensor, frames: Tensor) -> Tensor:
    """K fields of type 1, (N, 2 K), as vectors (N, K, 3) in space.

    The inverse of `tangent_fields` for tangent vectors.
    """
    return torch.einsum("npk,ndp->nkd", fields.unflatten(1, (2, -1)), frames.to(fields))
