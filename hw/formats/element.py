"""How the elements of a block are coded, and the gates that take them apart and make them.

An element is handed to the datapath as a significand of ``SIGNIFICAND_BITS`` bits whose top
bit weighs ``2^top_weight``, and the distance to shift it right. It comes back as the
magnitude of ``element / scale``, cut off at half the smallest step of the format, and
whether something was cut off; or, where it is too large, as the outermost element of its sign.
"""

from dataclasses import dataclass

from amaranth import Cat, Const, Mux, unsigned
from amaranth.lib import data

from hw.isa.arithmetic import magnitude_of

SIGNIFICAND_BITS = 8
DISTANCE_BITS = 4

ELEMENT_PARTS = data.StructLayout(
    {
        "negative": 1,
        "significand": unsigned(SIGNIFICAND_BITS),
        "distance": unsigned(DISTANCE_BITS),
        "nan": 1,
    }
)


@dataclass(frozen=True)
class IntegerElement:
    """Two's complement, in steps of ``2^step_weight``. The most negative code is understood,
    but never produced."""

    bits: int = SIGNIFICAND_BITS
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

    def decode(self, code):
        negative = code[-1]
        magnitude = magnitude_of(code)[: self.bits]
        return {
            "negative": negative,
            "significand": Cat(Const(0, SIGNIFICAND_BITS - self.bits), magnitude),
            "distance": 0,
            "nan": 0,
        }

    def outermost(self, negative):
        """Code of the largest magnitude with this sign."""
        return (Const(self.limit, self.bits) ^ negative.replicate(self.bits)) + negative

    def encode(self, negative, nan, halves, sticky):
        """Of at most ``limit`` steps."""
        # Negated by its complement and one more, which takes the place of rounding up.
        up = halves[0] & (sticky | halves[1])
        kept = halves[1 : self.bits + 1]
        return ((kept ^ negative.replicate(self.bits)) + (up ^ negative))[: self.bits]


@dataclass(frozen=True)
class MinifloatElement:
    """Sign, biased exponent, fraction; no infinities. ``largest`` is the highest finite code,
    ``nan`` the code of NaN, where the format has one."""

    exponent_bits: int
    fraction_bits: int
    largest: int
    nan: int | None = None

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
    def top_weight(self) -> int:
        return self.highest_exponent - self.bias

    @property
    def step_weight(self) -> int:
        """Exponent of the smallest step, that of subnormal numbers."""
        return 1 - self.bias - self.fraction_bits

    @property
    def limit(self) -> int:
        fraction = self.largest & ((1 << self.fraction_bits) - 1)
        return (fraction | 1 << self.fraction_bits) << (self.highest_exponent - 1)

    @property
    def reach(self) -> int:
        """Largest magnitude of any code, in steps."""
        return self.limit

    @property
    def magnitude_mask(self) -> int:
        """The bits of a code of which one at least is set unless the element is zero."""
        return (1 << (self.bits - 1)) - 1

    def decode(self, code):
        fraction = code[: self.fraction_bits]
        exponent = code[self.fraction_bits : self.bits - 1]
        normal = exponent.any()
        padding = Const(0, SIGNIFICAND_BITS - self.fraction_bits - 1)
        return {
            "negative": code[self.bits - 1],
            "significand": Cat(padding, fraction, normal),
            "distance": self.highest_exponent - Mux(normal, exponent, 1),
            "nan": 0 if self.nan is None else code[: self.bits - 1] == self.nan,
        }

    def outermost(self, negative):
        """Code of the largest magnitude with this sign."""
        return Cat(Const(self.largest, self.bits - 1), negative)

    def encode(self, negative, nan, halves, sticky):
        """Of at most ``limit`` steps."""
        # In binade e the element keeps all but the e lowest bits; a carry out of the
        # fraction moves into the exponent by itself.
        fraction_bits = self.fraction_bits
        cut, up = halves[1 : fraction_bits + 2], halves[0] & (sticky | halves[1])
        for exponent in range(2, self.highest_exponent + 1):
            reached = halves[exponent + fraction_bits :].any()
            fraction = halves[exponent : exponent + fraction_bits]
            rest = sticky | halves[: exponent - 1].any()
            cut = Mux(reached, Cat(fraction, Const(exponent, self.exponent_bits)), cut)
            up = Mux(reached, halves[exponent - 1] & (rest | fraction[0]), up)
        code = (cut + up)[: self.bits - 1]
        if self.nan is not None:
            return Mux(nan, self.nan, Cat(code, negative))
        return Cat(code, negative)


INT8 = IntegerElement()
INT8_64THS = IntegerElement(step_weight=-6)
E4M3 = MinifloatElement(exponent_bits=4, fraction_bits=3, largest=0x7E, nan=0x7F)
E2M1 = MinifloatElement(exponent_bits=2, fraction_bits=1, largest=0x7)
