"""Sum of one block-scaled element over all ports."""

from amaranth import Cat, Const, Module, Signal, signed
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.codec.arithmetic import magnitude_of, pair_sums, signed_sum
from hw.codec.element import DISTANCE_BITS, ELEMENT_PARTS, SIGNIFICAND_BITS, element_codec
from hw.codec.scale import EXPONENT_BITS, SCALE_BITS
from hw.replicated import Replicated
from hw.spec.checks import at_least, some
from hw.spec.formats.block import BlockFormat
from hw.spec.timing import DEQUANTIZE_CYCLES
from hw.stream.delay import delayed


def window_bits(formats: tuple[BlockFormat, ...]) -> int:
    return max(entry.window_bits for entry in formats)


def total_bits(operands: int, formats: tuple[BlockFormat, ...]) -> int:
    """Magnitude of a sum of ``operands`` windows."""
    return window_bits(formats) + ceil_log2(operands)


class DequantizeLane(Replicated):
    """Multiply each port's element by its scale, align, add.

    Parameters: ``operands``, number of ports, at least 1; ``formats`` that the lane understands,
    at least one.

    Ports
    -----
    format : in, one bit per format, of ``elements``
    elements : in per port, the element's code in the low bits
    present : in, one bit per port that takes part
    scale_significand, scale_negative, distance : in per port, ``hw.spec.timing.SCALE_LAG``
        cycles after its element: the scale, and how far its product lies below the top of the
        window
    negative, magnitude, nan : out, the sum; an exact integer in units of the last place of the
        widest format's window, 0 if it is no number

    Free-running, one element of every port per cycle, ``LATENCY`` cycles. Numerics:
    ``docs/numerics.md``; golden twin: ``models/formats/block.py``.
    """

    LATENCY = DEQUANTIZE_CYCLES

    def __init__(self, operands: int, formats: tuple[BlockFormat, ...]):
        self._count = at_least("operands", operands, 1)
        self._formats = some("formats", formats)
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
                "magnitude": Out(total_bits(operands, formats)),
                "nan": Out(1),
            },
            operands,
            formats,
        )

    def gates(self):
        m = Module()
        count = self._count
        window = window_bits(self._formats)
        element_bits = max(entry.element.significand_bits for entry in self._formats)
        scale_bits = max(entry.scale.significand_bits for entry in self._formats)
        distance_bits = max(entry.farthest for entry in self._formats).bit_length()
        form = delayed(m, self.format, 2, "format")
        nan = Signal(count)
        terms = []
        for i in range(count):
            # 1: take the element apart.
            parts = Signal(ELEMENT_PARTS, name=f"parts_{i}")
            for k, entry in enumerate(self._formats):
                with m.If(self.format[k]):
                    code = self.elements[i][: entry.element.bits]
                    for name, value in element_codec(entry.element).decode(code).items():
                        m.d.sync += parts[name].eq(value)
            with m.If(~self.present[i]):
                m.d.sync += [parts.significand.eq(0), parts.nan.eq(0)]
            # 2: multiply.
            product = Signal(element_bits + scale_bits, name=f"product_{i}")
            negative = Signal(name=f"negative_{i}")
            distance = Signal(distance_bits, name=f"distance_{i}")
            total_distance = self.distance[i] + parts.distance[:DISTANCE_BITS]
            m.d.sync += [
                product.eq(
                    parts.significand[SIGNIFICAND_BITS - element_bits :]
                    * self.scale_significand[i][SCALE_BITS - scale_bits :]
                ),
                negative.eq(parts.negative ^ self.scale_negative[i]),
                distance.eq(total_distance),
                nan[i].eq(parts.nan),
            ]
            with m.If(total_distance[distance_bits:].any()):
                m.d.sync += product.eq(0)
            # 3: align; windows of narrower formats end above.
            aligned = Signal(window, name=f"aligned_{i}")
            aligned_negative = Signal(name=f"aligned_negative_{i}")
            m.d.sync += [
                aligned.eq(self._align(product, distance)),
                aligned_negative.eq(negative),
            ]
            for k, entry in enumerate(self._formats):
                if entry.window_bits < window:
                    with m.If(form[k]):
                        m.d.sync += aligned[: window - entry.window_bits].eq(0)
            terms.append((aligned_negative, Cat(aligned, Const(0, 1)).as_signed()))
        # 4: add in pairs.
        pairs = []
        for i, (negated, value) in enumerate(pair_sums(terms)):
            pair = Signal(signed(window + 2), name=f"pair_{i}")
            pair_negated = Signal(name=f"pair_negated_{i}")
            m.d.sync += [pair.eq(value), pair_negated.eq(negated)]
            pairs.append((pair_negated, pair))
        # 5: add.
        total, total_negated = Signal(signed(len(self.magnitude) + 1)), Signal()
        negated, value = signed_sum(pairs)
        m.d.sync += [total.eq(value), total_negated.eq(negated)]
        # 6: sign and magnitude; a zero is positive.
        m.d.sync += [
            self.negative.eq((total_negated ^ (total < 0)) & (total != 0)),
            self.magnitude.eq(magnitude_of(total)),
        ]
        missing = delayed(m, nan.any(), 3, "nan")
        with m.If(missing):
            m.d.sync += self.magnitude.eq(0)
        m.d.sync += self.nan.eq(missing)
        return m

    def _align(self, product, distance):
        """``product`` so far below the top of the window; what falls out of it is cut off."""
        room = window_bits(self._formats) - len(product)
        if any(entry.scale.aligned for entry in self._formats):
            return (product << room) >> distance
        # Nothing falls out of a fixed window, and shifting up from its floor is half the size.
        return product << (room - distance)[: room.bit_length()]
