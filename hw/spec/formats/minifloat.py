"""Sign, biased exponent, fraction in a few bits: what elements and scales have in common."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Minifloat:
    """``largest`` is the highest finite code; there are no infinities."""

    exponent_bits: int
    fraction_bits: int
    largest: int

    @property
    def bits(self) -> int:
        return 1 + self.exponent_bits + self.fraction_bits

    @property
    def significand_bits(self) -> int:
        return self.fraction_bits + 1

    @property
    def bias(self) -> int:
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def highest_exponent(self) -> int:
        return self.largest >> self.fraction_bits

    @property
    def largest_significand(self) -> int:
        """Of the largest number, its hidden bit included."""
        return self.largest & ((1 << self.fraction_bits) - 1) | 1 << self.fraction_bits
