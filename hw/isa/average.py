"""The sum of a lane divided by the number of operands, rounded once."""

from amaranth import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.isa.rounding import EXPONENT_BITS, SIGNIFICAND_BITS, round_and_pack
from hw.replicated import Replicated
from hw.spec.checks import at_least
from hw.spec.formats import FORMATS
from hw.spec.instruction import DataType
from hw.spec.timing import DIVIDE_CYCLES
from hw.stream.delay import delayed


def odd_bits(operands: int) -> int:
    """Of the largest odd number up to ``operands``; 0 if that is 1."""
    return (operands - 1 | 1).bit_length() if operands > 2 else 0


def dividend_bits(operands: int) -> int:
    """Of a sum's significand: what is rounded, and what its quotient may lose below."""
    return SIGNIFICAND_BITS + odd_bits(operands)


def reciprocal_shift(operands: int) -> int:
    return dividend_bits(operands) + odd_bits(operands)


def divisor_of(number: int, operands: int) -> tuple[int, int]:
    """(reciprocal, drop): ``significand x reciprocal / 2^(reciprocal_shift + drop)`` is the
    significand over ``number``, with the reciprocal between 2^reciprocal_shift and its double.

    With ``number = odd x 2^p`` and ``2^j < odd < 2^(j + 1)`` the reciprocal is that of ``odd``,
    rounded up and shifted left by ``j + 1``. So the integer part of the quotient by ``odd`` is
    exact, and stands ``j + 1`` places up in the product; of the places below it one is set if
    and only if there is a remainder: without one, the error of the reciprocal times the quotient
    is less than 2^dividend_bits, and stays below them all; and a remainder adds a reciprocal.
    """
    odd, power = number, 0
    while odd % 2 == 0:
        odd, power = odd // 2, power + 1
    up = odd.bit_length() if odd > 1 else 0
    return -(-(1 << reciprocal_shift(operands)) // odd) << up, power + up


def divisor_members(operands: int) -> dict:
    """Shapes of what :func:`divisor_of` gives."""
    return {
        "reciprocal": reciprocal_shift(operands) + 1,
        "drop": range(ceil_log2(operands) + 1),
    }


class Divisor(wiring.Component):
    """Per slice: what its lanes need to divide by the number of ports that take part.

    Parameters: ``operands``, number of ports, at least 1.

    Ports
    -----
    present : in, one bit per port that takes part
    reciprocal, drop : out, of :func:`divisor_of`, two cycles later
    """

    LATENCY = 2

    def __init__(self, operands: int):
        self._operands = at_least("operands", operands, 1)
        super().__init__(
            {
                "present": In(operands),
                **{name: Out(shape) for name, shape in divisor_members(operands).items()},
            }
        )

    def elaborate(self, platform):
        m = Module()
        count = Signal(range(self._operands + 1))
        m.d.sync += count.eq(sum(self.present))
        # Nothing is reduced of no port at all.
        pairs = [divisor_of(max(number, 1), self._operands) for number in range(self._operands + 1)]
        m.d.sync += [
            self.reciprocal.eq(Array(Const(r, len(self.reciprocal)) for r, _ in pairs)[count]),
            self.drop.eq(Array(Const(d, len(self.drop)) for _, d in pairs)[count]),
        ]
        return m


class AverageLane(Replicated):
    """From a normalised sum to its average.

    Parameters: ``operands``, number of ports, at least 1.

    Ports
    -----
    normal, rest, exponent : in, the sum: ``dividend_bits(operands)`` bits whose top one weighs
        2^(exponent - bias) and is set unless ``exponent`` is 1, and whether something lies below
    negative : in
    special, instead : in, the result is ``instead``, not the quotient
    bf16 : in, the format
    reciprocal, drop : in, of :class:`Divisor`
    result : out, 16 bits

    The quotient has its highest bit in one of two places, so that one choice normalises it; a
    subnormal one is shifted down by at most ``drop`` places. Free-running, ``LATENCY`` cycles.
    """

    LATENCY = DIVIDE_CYCLES

    def __init__(self, operands: int):
        self._operands = at_least("operands", operands, 1)
        super().__init__(
            {
                "normal": In(dividend_bits(operands)),
                "rest": In(1),
                "exponent": In(EXPONENT_BITS),
                "negative": In(1),
                "special": In(1),
                "instead": In(16),
                "bf16": In(1),
                **{name: In(shape) for name, shape in divisor_members(operands).items()},
                "result": Out(16),
            },
            operands,
        )

    def gates(self):
        m = Module()
        width = dividend_bits(self._operands)
        # 1: divide by the odd part.
        quotient = Signal(width + 1)
        exponent = Signal(signed(EXPONENT_BITS + 1))
        m.d.sync += [
            quotient.eq((self.normal * self.reciprocal) >> reciprocal_shift(self._operands)),
            exponent.eq(self.exponent - self.drop),
        ]
        rest = delayed(m, self.rest, 1, "rest")

        # 2: the place of the highest bit; no lower than that of subnormal numbers.
        normal, left = Signal(width), Signal()
        field = Signal(EXPONENT_BITS)
        down = Signal.like(self.drop)
        m.d.comb += down.eq(Mux(exponent > 0, quotient[-1], (1 - exponent)[: len(down)]))
        cut = (Cat(Const(0, width), quotient) >> down)[: 2 * width]
        m.d.sync += [
            normal.eq(cut[width:]),
            left.eq(rest | cut[:width].any()),
            field.eq(Mux(exponent > 0, exponent + quotient[-1], 1)),
        ]

        # 3: round; pack.
        bf16, negative, special, instead = (
            delayed(m, value, 2, name)
            for value, name in (
                (self.bf16, "bf16"),
                (self.negative, "negative"),
                (self.special, "special"),
                (self.instead, "instead"),
            )
        )
        packed = {
            code: round_and_pack(m, normal, left, field, FORMATS[code.value])
            for code in (DataType.FP16, DataType.BF16)
        }
        magnitude = Mux(bf16, packed[DataType.BF16], packed[DataType.FP16])
        m.d.sync += self.result.eq(Mux(special, instead, Cat(magnitude[:15], negative)))
        return m
