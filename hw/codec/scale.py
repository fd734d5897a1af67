"""The gates that take the scale of a block apart and make it.

The datapath sees significands of ``SCALE_BITS`` bits, top-justified.
"""

from amaranth import Cat, Const, Mux, unsigned
from amaranth.lib import data

from hw.spec.formats.scale import MinifloatScale, PowerScale

SCALE_BITS = 11
EXPONENT_BITS = 8

SCALE_PARTS = data.StructLayout(
    {
        "negative": 1,
        "significand": unsigned(SCALE_BITS),
        "exponent": unsigned(EXPONENT_BITS),
        "bad": 1,
    }
)


class MinifloatCodec:
    def __init__(self, scale: MinifloatScale):
        self._scale = scale

    def decode(self, code):
        scale = self._scale
        magnitude = code[: scale.bits - 1]
        fraction = code[: scale.fraction_bits]
        exponent = magnitude[scale.fraction_bits :]
        normal = exponent.any()
        padding = Const(0, SCALE_BITS - scale.significand_bits)
        return {
            "negative": code[scale.bits - 1],
            "significand": Cat(padding, fraction, normal),
            "exponent": Mux(normal, exponent, 1),
            "bad": magnitude > scale.largest,
        }

    def encode(self, exponent, significand):
        """Of a significand with hidden bit; one without it has exponent 1. Positive."""
        return ((exponent - 1) << self._scale.fraction_bits) + significand


class PowerCodec:
    def __init__(self, scale: PowerScale):
        self._scale = scale

    def decode(self, code):
        return {
            "negative": 0,
            "significand": 1 << (SCALE_BITS - 1),
            "exponent": code,
            "bad": code == self._scale.nan,
        }

    def encode(self, exponent, significand):
        return exponent


CODECS = {MinifloatScale: MinifloatCodec, PowerScale: PowerCodec}


def scale_codec(scale: MinifloatScale | PowerScale) -> MinifloatCodec | PowerCodec:
    return CODECS[type(scale)](scale)
