"""What the reduction needs to know of a 16-bit floating-point format."""

from dataclasses import dataclass

from hw.spec.formats.data_type import DataType

WINDOW_BITS = 40
"""Fixed-point window of one operand: the whole FP16 grid, 2^-24 ... 2^15."""


@dataclass(frozen=True)
class FloatFormat:
    """An IEEE-754-style binary format: sign, biased exponent, fraction.

    ``aligned`` formats span more binades than the window: its top is placed at the largest
    exponent among the operands of a sum. Otherwise the window covers the whole format.
    """

    code: DataType
    exponent_bits: int
    fraction_bits: int
    aligned: bool

    @property
    def exponent_special(self) -> int:
        """Biased exponent of infinities and NaN."""
        return (1 << self.exponent_bits) - 1

    @property
    def infinity(self) -> int:
        return self.exponent_special << self.fraction_bits

    @property
    def quiet_nan(self) -> int:
        """The canonical NaN every operation returns."""
        return self.infinity | 1 << (self.fraction_bits - 1)
