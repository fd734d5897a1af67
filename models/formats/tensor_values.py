"""Values of 16-bit floating-point tensors, and the nearest tensor to given values."""

from __future__ import annotations

import numpy as np

from hw.spec.formats.data_type import DataType

Bits = np.ndarray
Values = np.ndarray

INFINITY = {DataType.FP16: 0x7C00, DataType.BF16: 0x7F80}
QUIET_NAN = {DataType.FP16: 0x7E00, DataType.BF16: 0x7FC0}
LARGEST = {DataType.FP16: 65504.0, DataType.BF16: float(np.ldexp(255.0, 120))}
"""Largest finite magnitude."""

BF16_SIGNIFICAND_BITS = 8
BF16_LAST_PLACE = -133
"""The smallest subnormal number is 2 to this power."""


def values_of(bits: Bits, data_type: DataType) -> Values:
    """The exact values of uint16 bit patterns, as float64; infinities and NaN among them."""
    bits = np.ascontiguousarray(bits, dtype=np.uint16)
    if data_type == DataType.FP16:
        return bits.view(np.float16).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def nearest_bits(values: Values, data_type: DataType) -> Bits:
    """Bit patterns nearest to ``values`` (float64), ties to even.

    A finite value beyond the largest number becomes the largest number, for it is the result
    of a finite sum; an infinity stays one, and NaN becomes the canonical quiet NaN.
    """
    values = np.asarray(values, dtype=np.float64)
    limit = LARGEST[data_type]
    finite = np.clip(np.where(np.isfinite(values), values, 0.0), -limit, limit)
    if data_type == DataType.FP16:
        bits = finite.astype(np.float16).view(np.uint16)
    else:
        # Rounded here, once: by way of float32 a value could be rounded twice.
        last = np.maximum(np.frexp(finite)[1] - BF16_SIGNIFICAND_BITS, BF16_LAST_PLACE)
        rounded = np.ldexp(np.rint(np.ldexp(finite, -last)), last)
        bits = (rounded.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    infinite = np.where(np.signbit(values), 0x8000, 0) | INFINITY[data_type]
    bits = np.where(np.isinf(values), infinite, bits)
    return np.where(np.isnan(values), QUIET_NAN[data_type], bits).astype(np.uint16)


def finite_maximum(bits: Bits, data_type: DataType) -> int:
    """Bit pattern of the largest finite magnitude; of zero where nothing is finite."""
    magnitudes = np.asarray(bits, dtype=np.uint16) & np.uint16(0x7FFF)
    return int(magnitudes[magnitudes < INFINITY[data_type]].max(initial=0))
