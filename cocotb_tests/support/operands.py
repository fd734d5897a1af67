"""Operand sets that hurt: corners first, then random bit patterns of several kinds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from hw.spec.instruction import DataType

CORNERS = {
    # +0, -0, smallest and largest subnormal, smallest normal, 1, 1 + ulp, largest finite,
    # infinity, quiet and signalling NaN; then their negatives.
    DataType.FP16: [0x0000, 0x0001, 0x03FF, 0x0400, 0x3C00, 0x3C01, 0x7BFF, 0x7C00, 0x7E00, 0x7C01],
    DataType.BF16: [0x0000, 0x0001, 0x007F, 0x0080, 0x3F80, 0x3F81, 0x7F7F, 0x7F80, 0x7FC0, 0x7F81],
}


def corner_values(data_type: DataType) -> list[int]:
    return [value | sign for value in CORNERS[data_type] for sign in (0, 0x8000)]


def corner_sets(operands: int, data_type: DataType) -> np.ndarray:
    """All pairs of corners (with the rest cycling through them), shape (sets, operands)."""
    values = corner_values(data_type)
    if operands <= 3:
        sets = list(itertools.product(values, repeat=operands))
    else:
        sets = [
            (a, b, *(values[(i + j) % len(values)] for j in range(operands - 2)))
            for i, (a, b) in enumerate(itertools.product(values, repeat=2))
        ]
        sets += [
            (a, b) + (0x8000,) * (operands - 2) for a, b in itertools.product(values, repeat=2)
        ]
    return np.array(sets, dtype=np.uint16)


def random_sets(
    rng: np.random.Generator, operands: int, data_type: DataType, count: int
) -> np.ndarray:
    """A third each: any bits, finite values of near magnitude, and near cancellation."""
    bits = rng.integers(0, 1 << 16, (count, operands), dtype=np.uint16)
    fraction = 10 if data_type == DataType.FP16 else 7
    third = count // 3
    near = bits[third : 2 * third]
    base = rng.integers(1, (1 << (15 - fraction)) - 4, (len(near), 1), dtype=np.uint16)
    spread = rng.integers(0, 3, near.shape, dtype=np.uint16)
    low = near & np.uint16((1 << fraction) - 1 | 0x8000)
    bits[third : 2 * third] = low | ((base + spread) << np.uint16(fraction))
    cancel = bits[2 * third :]
    half = operands // 2
    noise = rng.integers(0, 2, cancel[:, :half].shape, dtype=np.uint16)
    cancel[:, half : 2 * half] = (cancel[:, :half] ^ np.uint16(0x8000)) ^ noise
    bits[2 * third :] = rng.permuted(cancel, axis=1)
    return bits


def operand_sets(
    rng: np.random.Generator, operands: int, data_type: DataType, count: int
) -> Iterator[np.ndarray]:
    yield from corner_sets(operands, data_type)
    yield from random_sets(rng, operands, data_type, count)
