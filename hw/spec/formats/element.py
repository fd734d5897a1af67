"""How the elements of a block are coded: sizes and values, without gates."""

from dataclasses import dataclass

from hw.spec.formats.minifloat import Minifloat


@dataclass(frozen=True)
class IntegerElement:
    """Two's complement, in steps of ``2^step_weight``. The most negative code is understood,
    but never produced."""

    bits: int = 8
    step_weight: int = 0

    @property
    def significand_bits(self) -> int:
        return self.bits

    @property
    def top_weight(self) -> int:
        return self.bits - 1 + self.step_weight

    @property
    def limit(self) -> int:
        """Largest element, in steps."""
        return (1 << (self.bits - 1)) - 1

    @property
    def reach(self) -> int:
        """Largest magnitude of any code, in steps."""
        return 1 << (self.bits - 1)

    @property
    def magnitude_mask(self) -> int:
        """The bits of a code of which one at least is set unless the element is zero."""
        return (1 << self.bits) - 1


@dataclass(frozen=True)
class MinifloatElement(Minifloat):
    """``nan`` is the code of NaN, where the format has one."""

    nan: int | None = None

    @property
    def top_weight(self) -> int:
        return self.highest_exponent - self.bias

    @property
    def step_weight(self) -> int:
        """Exponent of the smallest step, that of subnormal numbers."""
        return 1 - self.bias - self.fraction_bits

    @property
    def limit(self) -> int:
        """Largest element, in steps."""
        return self.largest_significand << (self.highest_exponent - 1)

    @property
    def reach(self) -> int:
        """Largest magnitude of any code, in steps."""
        return self.limit

    @property
    def magnitude_mask(self) -> int:
        """The bits of a code of which one at least is set unless the element is zero."""
        return (1 << (self.bits - 1)) - 1


INT8 = IntegerElement()
INT8_64THS = IntegerElement(step_weight=-6)
E4M3 = MinifloatElement(exponent_bits=4, fraction_bits=3, largest=0x7E, nan=0x7F)
E2M1 = MinifloatElement(exponent_bits=2, fraction_bits=1, largest=0x7)
