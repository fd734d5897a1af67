"""How the scale of a block is coded: sizes and values, without gates.

A scale is a significand of ``significand_bits`` bits and an exponent field X: its top bit
weighs ``2^(X - bias)``.
"""

from dataclasses import dataclass

from hw.spec.formats.minifloat import Minifloat


@dataclass(frozen=True)
class MinifloatScale(Minifloat):
    """Codes above ``largest`` are no numbers; ``nan`` is the one that says that a block holds
    something that is no number."""

    nan: int
    nearest: bool = False
    """A new scale is the one nearest to what the block's largest magnitude needs, and elements
    saturate; otherwise the smallest one that suffices."""

    aligned = False
    """All scales lie within one window."""
    lowest_exponent = 1


@dataclass(frozen=True)
class PowerScale:
    """OCP E8M0: a power of two, 2^(code - 127); code 255 is NaN; no zero, no sign."""

    bits = 8
    significand_bits = 1
    bias = 127
    aligned = True
    """The window follows the largest scale."""
    nearest = False
    lowest_exponent = 0
    largest = 254
    highest_exponent = 254
    largest_significand = 1
    nan = 255


FP16_SCALE = MinifloatScale(exponent_bits=5, fraction_bits=10, largest=0x7BFF, nan=0x7E00)
E4M3_SCALE = MinifloatScale(exponent_bits=4, fraction_bits=3, largest=0x7E, nan=0x7F, nearest=True)
E8M0_SCALE = PowerScale()
