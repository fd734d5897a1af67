"""Block-scaled operands that hurt: corners, cancellation, and random ones of several kinds."""

from __future__ import annotations

import numpy as np

from models.formats.block import GoldenBlockFormat


def random_blocks(
    rng: np.random.Generator, golden: GoldenBlockFormat, ranks: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Elements (ranks, count, block) and scales (ranks, count) as codes."""
    layout, scales = golden.layout, golden.scales
    bits = layout.element.bits
    elements = rng.integers(0, 1 << bits, (ranks, count, layout.block), dtype=np.uint8)
    finite = len(scales.values)
    codes = rng.integers(0, finite, (ranks, count))
    kind = rng.integers(0, 8, count)

    # Scales near each other, as real data has them.
    base = rng.integers(0, finite, count)
    spread = max(2, finite // 40)
    near = np.clip(base + rng.integers(-spread, spread + 1, (ranks, count)), 0, finite - 1)
    codes = np.where(kind <= 3, near, codes)
    # The ends of the range, zero and what is no number.
    corners = np.array([0, 1, 2, finite // 2, finite - 2, finite - 1])
    codes = np.where(kind == 4, rng.choice(corners, (ranks, count)), codes)
    codes = np.where(kind == 5, np.minimum(codes, finite // 8), codes)
    # Where sums need a larger scale than there is.
    codes = np.where(kind == 6, finite - 1 - rng.integers(0, 3, (ranks, count)), codes)
    flaw = (rng.random((ranks, count)) < 0.02) & (kind == 4)
    no_numbers = rng.integers(finite, 1 << (layout.scale.bits - scales.signed), codes.shape)
    codes = np.where(flaw, no_numbers, codes)
    if scales.signed:
        minus = rng.random((ranks, count)) < 0.05
        codes = codes | minus.astype(np.int64) << (layout.scale.bits - 1)

    # Sparse blocks, blocks of one value, near cancellation, no element that is no number.
    sparse = (rng.random((1, count, 1)) < 0.2) & (rng.random(elements.shape) < 0.9)
    elements = np.where(sparse, 0, elements)
    empty = rng.random((1, count, 1)) < 0.03
    elements = np.where(empty, 0, elements)
    # One rank's zeros, of either sign, under any scale; a foreign sender may write so.
    zeros = rng.integers(0, 2, elements.shape, dtype=np.uint8) << np.uint8(bits - 1)
    if golden.elements.twos_complement:
        zeros[:] = 0
    alone = rng.random((ranks, count)) < 0.08
    elements = np.where(alone[..., np.newaxis], zeros, elements)
    large = np.maximum(codes, rng.integers(0, finite, codes.shape))
    codes = np.where(alone & (kind <= 3), large, codes)
    if ranks > 1:
        # Two ranks cancel; others, far below, are all that is left.
        cancel = rng.random(count) < 0.15
        negated = elements[0] ^ np.uint8(1 << (bits - 1))
        if golden.elements.twos_complement:
            negated = -elements[0]
        elements[1] = np.where(cancel[:, np.newaxis], negated, elements[1])
        codes[1] = np.where(cancel, codes[0], codes[1])
        far = np.maximum(codes[0] - rng.integers(20, 60, (ranks - 2, count)), 0)
        codes[2:] = np.where(cancel & ~scales.signed, far, codes[2:])
    if golden.elements.nan is not None:
        keep = rng.random((1, count, 1)) < 0.1
        is_nan = (elements & (1 << (bits - 1)) - 1) == golden.elements.nan
        elements = np.where(is_nan & ~keep, 0x38, elements)
    return elements.astype(np.uint8), codes
