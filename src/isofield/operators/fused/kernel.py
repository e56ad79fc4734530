"""The kernel integral on the chip: a network of every pair, never in memory."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def gelu(x):
    return 0.5 * x * (1 + tl.math.erf(x * 0.7071067811865476))


@triton.jit
def weighted_sums(
    sums,  # (M, C)
    u,  # (N, C)
    offset,  # (E, D)
    weight,  # (E,)
    ptr,  # (M + 1,)
    source,  # (E,)
    W1,  # (H1, D)
    b1,
    W2,  # (H2, H1)
    b2,
    W3,  # (C, H2)
    b3,
    C: tl.constexpr,
    D: tl.constexpr,
    H1: tl.constexpr,
    H2: tl.constexpr,
    PAIRS: tl.constexpr,
    PART: tl.constexpr,
    CHANNELS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """One target i: `sum_j weight_ij kappa(offset_ij) * u_j`, PAIRS pairs at a time.

    Hidden layers are taken in parts of PART units: of the second layer one after the
    other, each from all parts of the first, which are made anew for it.
    """
    target = tl.program_id(0).to(tl.int64)
    start = tl.load(ptr + target).to(tl.int64)
    end = tl.load(ptr + target + 1).to(tl.int64)
    channel = tl.arange(0, CHANNELS)
    total = tl.zeros((CHANNELS,), dtype=tl.float32)
    for first in range(start, end, PAIRS):
        pair = first + tl.arange(0, PAIRS)
        there = pair < end
        kappa = tl.zeros((PAIRS, CHANNELS), dtype=tl.float32)
        for from_2 in range(0, H2, PART):
            unit_2 = from_2 + tl.arange(0, PART)
            second = tl.zeros((PAIRS, PART), dtype=tl.float32)
            for from_1 in range(0, H1, PART):
                unit_1 = from_1 + tl.arange(0, PART)
                hidden = tl.zeros((PAIRS, PART), dtype=tl.float32)
                for axis in tl.static_range(D):  # pyright: ignore
                    x = tl.load(offset + pair * D + axis, mask=there, other=0.0)
                    w = tl.load(W1 + unit_1 * D + axis, mask=unit_1 < H1, other=0.0)
                    hidden += x[:, None] * w[None, :]
                hidden += tl.load(b1 + unit_1, mask=unit_1 < H1, other=0.0)[None, :]
                block = tl.load(
                    W2 + unit_2[None, :] * H1 + unit_1[:, None],
                    mask=(unit_2[None, :] < H2) & (unit_1[:, None] < H1),
                    other=0.0,
                )
                second = tl.dot(gelu(hidden), block, second, input_precision=PRECISION)
            second += tl.load(b2 + unit_2, mask=unit_2 < H2, other=0.0)[None, :]
            block = tl.load(
                W3 + channel[None, :] * H2 + unit_2[:, None],
                mask=(channel[None, :] < C) & (unit_2[:, None] < H2),
                other=0.0,
            )
            kappa = tl.dot(gelu(second), block, kappa, input_precision=PRECISION)
        kappa += tl.load(b3 + channel, mask=channel < C, other=0.0)[None, :]
        at = tl.load(source + pair, mask=there, other=0).to(tl.int64)
        values = tl.load(
            u + at[:, None] * C + channel[None, :],
            mask=there[:, None] & (channel[None, :] < C),
            other=0.0,
        )
        omega = tl.load(weight + pair, mask=there, other=0.0)
        total += tl.sum(omega[:, None] * kappa * values, 0)
    tl.store(sums + target * C + channel, total, mask=channel < C)
