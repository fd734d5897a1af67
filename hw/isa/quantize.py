"""One element of a sum, divided by its block's new scale and rounded once."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from hw.codec.arithmetic import shifted_to_top
from hw.codec.element import element_codec
from hw.isa.block_scale import (
    LANE_SHIFT_BITS,
    RECIPROCAL_BITS,
    RECIPROCAL_SHIFT,
    dividend_bits,
    divisor_padding,
    odd_part,
)
from hw.isa.dequantize import total_bits
from hw.replicated import Replicated
from hw.spec.checks import at_least, some
from hw.spec.formats.block import BlockFormat
from hw.spec.timing import QUANTIZE_CYCLES
from hw.stream.delay import delayed

REMAINDER_BIT = 19
"""A dividend that its divisor divides leaves less than 2^19 below the point: the product of
quotient (below 2^8: larger ones saturate) and error of the reciprocal (below 2^11 units)."""


def bits_beyond(operands: int, entry: BlockFormat) -> int:
    """By how many bits a sum over the largest scale can be longer than the largest element."""
    element = entry.element
    return (operands * element.reach).bit_length() - element.limit.bit_length()


class QuantizeLane(Replicated):
    """Nearest element to ``total / scale``, ties to even; the outermost one beyond all of them.

    Parameters: ``operands``, number of ports, at least 1; ``formats`` that the lane can produce, at
    least one.

    Ports
    -----
    negative, magnitude, nan : in, the total; its magnitude has ``total_bits`` bits
    format : in, one bit per format
    shift, reciprocal, flawed : in, of :class:`hw.isa.block_scale.BlockScale`, with the total
    element : out, its code in the low bits

    The magnitude is shifted so that the scale becomes an integer of ``significand_bits``
    bits; the quotient by that integer comes from one multiplication by its reciprocal,
    which is exact in its integer part and tells whether there is a remainder. Free-running,
    one element per cycle, ``LATENCY`` cycles.
    """

    LATENCY = QUANTIZE_CYCLES

    def __init__(self, operands: int, formats: tuple[BlockFormat, ...]):
        at_least("operands", operands, 1)
        self._formats = some("formats", formats)
        self._bits_beyond = max(bits_beyond(operands, entry) for entry in formats)
        super().__init__(
            {
                "negative": In(1),
                "magnitude": In(total_bits(operands, formats)),
                "nan": In(1),
                "format": In(len(formats)),
                "shift": In(LANE_SHIFT_BITS),
                "reciprocal": In(RECIPROCAL_BITS),
                "flawed": In(1),
                "element": Out(max(entry.element.bits for entry in formats)),
            },
            operands,
            formats,
        )

    def gates(self):
        m = Module()
        # 1: bring the scale's last place to a fixed position. What is too large for any element
        # reaches the bits above.
        longest = max(dividend_bits(entry) for entry in self._formats)
        aligned, above, rest = Signal(longest), Signal(self._bits_beyond), Signal()
        total = Cat(self.magnitude, Const(0, 2 + len(above)))
        kept = shifted_to_top(total, self.shift, keep=longest + len(above))
        m.d.sync += Cat(aligned, above, rest).eq(Cat(*kept))
        reciprocal = delayed(m, self.reciprocal, 1, "reciprocal")
        form = delayed(m, self.format, 1, "format")

        # 2: the dividend, and whether something lies below it.
        dividend = Signal(longest)
        below = Signal()
        for k, entry in enumerate(self._formats):
            lowest = longest - dividend_bits(entry)
            with m.If(form[k]):
                m.d.sync += [
                    dividend.eq(aligned[lowest:]),
                    below.eq(rest | aligned[:lowest].any()),
                ]
        reciprocal = delayed(m, reciprocal, 1, "reciprocal_a")
        form = delayed(m, form, 1, "format_a")

        # 3: divide.
        divided = [k for k, entry in enumerate(self._formats) if entry.scale.significand_bits > 1]
        product = Signal(RECIPROCAL_SHIFT + 9)
        whole = Signal.like(dividend)
        below_3 = delayed(m, below, 1, "below")
        m.d.sync += whole.eq(dividend)
        if divided:
            padded = dividend
            for k in divided:
                padded = Mux(form[k], dividend << divisor_padding(self._formats[k]), padded)
            m.d.sync += product.eq(padded[:REMAINDER_BIT] * reciprocal)
        form = delayed(m, form, 1, "format_b")

        # 4: halves of the smallest step, and whether something is left.
        halves = Signal.like(dividend)
        sticky = Signal()
        quotient = Signal()
        m.d.comb += quotient.eq(sum(form[k] for k in divided) != 0)
        m.d.sync += [
            halves.eq(Mux(quotient, product >> RECIPROCAL_SHIFT, whole)),
            sticky.eq(below_3 | (quotient & product[REMAINDER_BIT:RECIPROCAL_SHIFT].any())),
        ]
        form = delayed(m, form, 1, "format_c")

        # 5: round, or saturate.
        beyond = delayed(m, above.any(), 3, "beyond")
        negative, nan, flawed = (
            delayed(m, value, 4, name)
            for value, name in (
                (self.negative, "negative"),
                (self.nan, "nan"),
                (self.flawed, "flawed"),
            )
        )
        for k, entry in enumerate(self._formats):
            with m.If(form[k]):
                odd, power = odd_part(entry.element.limit)
                longest = dividend_bits(entry) - entry.scale.significand_bits + 1
                outside = beyond | (halves[power + 1 : longest] >= odd)
                codec = element_codec(entry.element)
                code = codec.encode(negative, nan, halves[:longest], sticky)
                m.d.sync += self.element.eq(Mux(outside, codec.outermost(negative), code))
        with m.If(flawed):
            m.d.sync += self.element.eq(0)
        return m
