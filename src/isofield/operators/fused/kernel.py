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
    target,  # (E,)
    W1,  # (H1, D)
    b1,
    W2,  # (H2, H1)
    b2,
    W3,  # (C, H2)
    b3,
    M,
    C: tl.constexpr,
    D: tl.constexpr,
    H1: tl.constexpr,
    H2: tl.constexpr,
    TARGETS: tl.constexpr,
    PAIRS: tl.constexpr,
    PART_1: tl.constexpr,
    PART_2: tl.constexpr,
    CHANNELS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """TARGETS targets i: `sum_j weight_ij kappa(offset_ij) * u_j`, PAIRS pairs at once.

    Pairs of one program follow one another whoever their target is, so that no lane
    waits where targets have few; a matrix of zeros and ones adds them up. Hidden layers
    are taken in parts: of the second layer one after the other, each from all parts of
    the first, which are made anew for it.
    """
    first_target = tl.program_id(0).to(tl.int64) * TARGETS
    start = tl.load(ptr + first_target).to(tl.int64)
    end = tl.load(ptr + tl.minimum(first_target + TARGETS, M)).to(tl.int64)
    channel = tl.arange(0, CHANNELS)
    row = tl.arange(0, TARGETS)
    total = tl.zeros((TARGETS, CHANNELS), dtype=tl.float32)
    for first in range(start, end, PAIRS):
        pair = first + tl.arange(0, PAIRS)
        there = pair < end
        kappa = tl.zeros((PAIRS, CHANNELS), dtype=tl.float32)
        for from_2 in range(0, H2, PART_2):
            unit_2 = from_2 + tl.arange(0, PART_2)
            second = tl.zeros((PAIRS, PART_2), dtype=tl.float32)
            for from_1 in range(0, H1, PART_1):
                unit_1 = from_1 + tl.arange(0, PART_1)
                hidden = tl.zeros((PAIRS, PART_1), dtype=tl.float32)
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
        terms = omega[:, None] * kappa * values
        to = tl.load(target + pair, mask=there, other=-1).to(tl.int64) - first_target
        chosen = tl.where(row[:, None] == to[None, :], 1.0, 0.0)
        total = tl.dot(chosen, terms, total, input_precision=PRECISION)
    to = first_target + row
    tl.store(
        sums + to[:, None] * C + channel[None, :],
        total,
        mask=(to[:, None] < M) & (channel[None, :] < C),
    )
