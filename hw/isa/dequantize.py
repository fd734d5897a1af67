"""Sum of one block-scaled element over all ports."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.formats.block import BlockFormat
from hw.formats.element import DISTANCE_BITS, ELEMENT_PARTS, SIGNIFICAND_BITS
from hw.formats.scale import EXPONENT_BITS, SCALE_BITS
from hw.isa.arithmetic import adder_tree, magnitude_of
from hw.stream.delay import delayed

WINDOW_BITS = 48
PRODUCT_BITS = SIGNIFICAND_BITS + SCALE_BITS
TOP_BIT = WINDOW_BITS - 2
"""Window bit of an element's top bit times its scale's top bit, at distance 0."""


def total_bits(operands: int) -> int:
    """Magnitude of a sum of ``operands`` windows."""
    return WINDOW_BITS + (operands - 1).bit_length()


class DequantizeLane(wiring.Component):
    """Multiply each port's element by its scale, align, add.

    Parameters: ``operands``, number of ports; ``formats`` that the lane understands.

    Ports
    -----
    format : in, one bit per format, of ``elements``
    elements : in per port, the element's code in the low bits
    present : in, one bit per port that takes part
    scale_significand, scale_negative, distance : in per port, ``SCALE_LAG`` cycles after its
        element: the scale, and how far its product lies below the top of the window
    negative, magnitude, nan : out, the sum; an exact integer in units of the window's
        last place

    Free-running, one element of every port per cycle, ``LATENCY`` cycles. Numerics:
    ``docs/numerics.md``; golden twin: ``models/formats/block.py``.
    """

    LATENCY = 6
    SCALE_LAG = 1
    """The scale is wanted so many cycles after its element."""

    def __init__(self, operands: int, formats: tuple[BlockFormat, ...]):
        self._count = operands
        self._formats = formats
        width = max(entry.element.bits for entry in formats)
        super().__init__(
            {
                "format": In(len(formats)),
                "elements": In(width).array(operands),
                "present": In(operands),
                "scale_significand": In(SCALE_BITS).array(operands),
                "scale_negative": In(operands),
                "distance": In(EXPONENT_BITS).array(operands),
                "negative": Out(1),
                "magnitude": Out(total_bits(operands)),
                "nan": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        count = self._count
        nan = Signal(count)
        signs, terms = [], []
        for i in range(count):
            # 1: take the element apart.
            parts = Signal(ELEMENT_PARTS, name=f"parts_{i}")
            for k, entry in enumerate(self._formats):
                with m.If(self.format[k]):
                    code = self.elements[i][: entry.element.bits]
                    for name, value in entry.element.decode(code).items():
                        m.d.sync += parts[name].eq(value)
            with m.If(~self.present[i]):
                m.d.sync += [parts.significand.eq(0), parts.nan.eq(0)]
            # 2: multiply.
            product = Signal(PRODUCT_BITS, name=f"product_{i}")
            negative = Signal(name=f"negative_{i}")
            distance = Signal(EXPONENT_BITS + 1, name=f"distance_{i}")
            m.d.sync += [
                product.eq(parts.significand * self.scale_significand[i]),
                negative.eq(parts.negative ^ self.scale_negative[i]),
                distance.eq(self.distance[i] + parts.distance[:DISTANCE_BITS]),
                nan[i].eq(parts.nan),
            ]
            # 3: align.
            aligned = Signal(WINDOW_BITS, name=f"aligned_{i}")
            aligned_negative = Signal(name=f"aligned_negative_{i}")
            m.d.sync += [
                aligned.eq(self._align(product, distance)),
                aligned_negative.eq(negative),
            ]
            signs.append(aligned_negative)
            terms.append(
                Cat(Mux(aligned_negative, ~aligned, aligned), aligned_negative).as_signed()
            )
        # 4: add in pairs; the ones that make complements negative numbers are counted beside.
        pairs = []
        for i in range(0, count, 2):
            pair = Signal(signed(WINDOW_BITS + 2), name=f"pair_{i}")
            m.d.sync += pair.eq(sum(terms[i + 1 : i + 2], terms[i]))
            pairs.append(pair)
        ones = Signal(range(count + 1))
        m.d.sync += ones.eq(adder_tree(signs))
        # 5: add.
        total = Signal(signed(total_bits(count) + 1))
        m.d.sync += total.eq(adder_tree(pairs) + ones)
        # 6: sign and magnitude.
        m.d.sync += [
            self.negative.eq(total < 0),
            self.magnitude.eq(magnitude_of(total)),
        ]
        m.d.comb += self.nan.eq(delayed(m, nan.any(), 4, "nan"))
        return m

    def _align(self, product, distance):
        """``product`` so far below the top of the window; what falls out of it is cut off."""
        room = WINDOW_BITS - PRODUCT_BITS
        if any(entry.scale.aligned for entry in self._formats):
            shifted = (product << room) >> distance[:6]
            return Mux(distance[6:].any(), 0, shifted)
        # Nothing falls out of a fixed window, and shifting up from its floor is half the size.
        return product << (room - distance)[: room.bit_length()]
