"""Element and scale codes of the block-scaled formats, spelled out as tables of values."""

from __future__ import annotations

import numpy as np

from models.formats.block import Elements, Scales


def minifloat_values(exponent_bits: int, fraction_bits: int, count: int) -> np.ndarray:
    """Values of the codes 0 ... count - 1 of a binary format with subnormal numbers."""
    code = np.arange(count)
    field, fraction = code >> fraction_bits, code & ((1 << fraction_bits) - 1)
    bias = (1 << (exponent_bits - 1)) - 1
    significand = np.where(field > 0, fraction + (1 << fraction_bits), fraction)
    exponent = np.maximum(field, 1) - bias - fraction_bits
    values: np.ndarray = np.ldexp(significand.astype(np.float64), exponent)
    return values


INT8 = Elements(magnitudes=np.arange(128.0), twos_complement=True)
INT8_64THS = Elements(magnitudes=np.arange(128.0) / 64, twos_complement=True)
E4M3 = Elements(magnitudes=minifloat_values(4, 3, 0x7F), twos_complement=False, nan=0x7F)
E2M1 = Elements(magnitudes=minifloat_values(2, 1, 8), twos_complement=False)

FP16_SCALES = Scales(values=minifloat_values(5, 10, 0x7C00), nan=0x7E00, signed=True)
E4M3_SCALES = Scales(values=minifloat_values(4, 3, 0x7F), nan=0x7F, signed=True, nearest=True)


def e8m0_scales(window_bits_below: int) -> Scales:
    values = np.ldexp(1.0, np.arange(255) - 127)
    return Scales(values=values, nan=255, signed=False, window_bits_below=window_bits_below)
