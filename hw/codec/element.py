"""The gates that take the elements of a block apart and make them.

An element is handed to the datapath as a significand of ``SIGNIFICAND_BITS`` bits whose top
bit weighs ``2^top_weight``, and the distance to shift it right. It comes back as the
magnitude of ``element / scale``, cut off at half the smallest step of the format, and
whether something was cut off; or, where it is too large, as the outermost element of its sign.
"""

from amaranth import Cat, Const, Mux, unsigned
from amaranth.lib import data

from hw.codec.arithmetic import magnitude_of
from hw.spec.formats.element import IntegerElement, MinifloatElement

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


class IntegerCodec:
    def __init__(self, element: IntegerElement):
        self._element = element

    def decode(self, code):
        bits = self._element.bits
        negative = code[-1]
        magnitude = magnitude_of(code)[:bits]
        return {
            "negative": negative,
            "significand": Cat(Const(0, SIGNIFICAND_BITS - bits), magnitude),
            "distance": 0,
            "nan": 0,
        }

    def outermost(self, negative):
        """Code of the largest magnitude with this sign."""
        bits = self._element.bits
        return (Const(self._element.limit, bits) ^ negative.replicate(bits)) + negative

    def encode(self, negative, nan, halves, sticky):
        """Of at most ``limit`` steps."""
        bits = self._element.bits
        # Negated by its complement and one more, which takes the place of rounding up.
        up = halves[0] & (sticky | halves[1])
        kept = halves[1 : bits + 1]
        return ((kept ^ negative.replicate(bits)) + (up ^ negative))[:bits]


class MinifloatCodec:
    def __init__(self, element: MinifloatElement):
        self._element = element

    def decode(self, code):
        element = self._element
        fraction = code[: element.fraction_bits]
        exponent = code[element.fraction_bits : element.bits - 1]
        normal = exponent.any()
        padding = Const(0, SIGNIFICAND_BITS - element.fraction_bits - 1)
        return {
            "negative": code[element.bits - 1],
            "significand": Cat(padding, fraction, normal),
            "distance": element.highest_exponent - Mux(normal, exponent, 1),
            "nan": 0 if element.nan is None else code[: element.bits - 1] == element.nan,
        }

    def outermost(self, negative):
        """Code of the largest magnitude with this sign."""
        return Cat(Const(self._element.largest, self._element.bits - 1), negative)

    def encode(self, negative, nan, halves, sticky):
        """Of at most ``limit`` steps."""
        # In binade e the element keeps all but the e lowest bits; a carry out of the
        # fraction moves into the exponent by itself.
        element = self._element
        fraction_bits = element.fraction_bits
        cut, up = halves[1 : fraction_bits + 2], halves[0] & (sticky | halves[1])
        for exponent in range(2, element.highest_exponent + 1):
            reached = halves[exponent + fraction_bits :].any()
            fraction = halves[exponent : exponent + fraction_bits]
            rest = sticky | halves[: exponent - 1].any()
            cut = Mux(reached, Cat(fraction, Const(exponent, element.exponent_bits)), cut)
            up = Mux(reached, halves[exponent - 1] & (rest | fraction[0]), up)
        code = (cut + up)[: element.bits - 1]
        if element.nan is not None:
            return Mux(nan, element.nan, Cat(code, negative))
        return Cat(code, negative)


CODECS = {IntegerElement: IntegerCodec, MinifloatElement: MinifloatCodec}


def element_codec(element: IntegerElement | MinifloatElement) -> IntegerCodec | MinifloatCodec:
    return CODECS[type(element)](element)
