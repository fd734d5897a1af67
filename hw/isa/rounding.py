"""The one rounding of sums of 16-bit floating point, and the code that comes of it."""

from amaranth import Cat, Const, Mux, Signal

from hw.spec.formats import fp16
from hw.spec.formats.floating import FloatFormat

SIGNIFICAND_BITS = fp16.FORMAT.fraction_bits + 2
"""Of the widest significand, hidden bit included, and one to round by."""

EXPONENT_BITS = 10
"""Of a biased exponent, that of a sum that overflows included."""


def round_and_pack(m, normal, rest, exponent, entry: FloatFormat):
    """The code, without sign, nearest to ``normal``, ties to even. Its top bit weighs
    2^(exponent - bias); ``rest``: something lies below it."""
    kept_bits = entry.fraction_bits + 1
    dropped = len(normal) - kept_bits
    kept = normal[dropped:]
    guard = normal[dropped - 1]
    sticky = normal[: dropped - 1].any() | rest
    # A subnormal has no leading one: its exponent field is zero. A carry out of the
    # fraction moves into the exponent by itself, up to infinity.
    name = entry.code.name.lower()
    field = Signal(len(exponent), name=f"field_{name}")
    m.d.comb += field.eq(Mux(normal[-1], exponent, 0))
    combined = Signal(len(exponent) + entry.fraction_bits + 1, name=f"packed_{name}")
    m.d.comb += combined.eq(Cat(kept[: entry.fraction_bits], field) + (guard & (sticky | kept[0])))
    return Mux(combined >= entry.infinity, Const(entry.infinity, 15), combined[:15])
