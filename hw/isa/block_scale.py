"""The new scale of a block, and what its elements need to be divided by it."""

from amaranth import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hw.codec.arithmetic import leading_zeros
from hw.codec.scale import EXPONENT_BITS, SCALE_BITS, scale_codec
from hw.isa.dequantize import total_bits, window_bits
from hw.spec.checks import at_least, some
from hw.spec.formats.block import HEADROOM_BITS, BlockFormat
from hw.spec.timing import SCALE_CYCLES
from hw.stream.delay import delayed

RECIPROCAL_SHIFT = 30
RECIPROCAL_BITS = RECIPROCAL_SHIFT - SCALE_BITS + 2
LANE_SHIFT_BITS = 6
TABLE_IN_LOGIC_BITS = 4
"""Reciprocals of significands up to this width come from gates, of wider ones from memory."""


def odd_part(number: int) -> tuple[int, int]:
    """(odd, power) with number = odd x 2^power."""
    power = (number & -number).bit_length() - 1
    return number >> power, power


def dividend_bits(entry: BlockFormat) -> int:
    """A total in halves of the element's smallest step times the scale's significand."""
    odd, power = odd_part(entry.element.limit)
    return entry.scale.significand_bits + odd.bit_length() + power + 1


def divisor_padding(entry: BlockFormat) -> int:
    """Zeros that bring a scale's significand to ``SCALE_BITS``."""
    return SCALE_BITS - entry.scale.significand_bits


def reciprocal(significand: int) -> int:
    """Rounded up, so that the integer part of a product with it is exact."""
    return -(-(1 << RECIPROCAL_SHIFT) // significand)


class BlockScale(wiring.Component):
    """The smallest scale with which the largest element still reaches the largest total, or
    for formats that say so the nearest scale; the largest one where none suffices.

    Parameters: ``operands``, number of ports, at least 1; ``formats`` to choose from, at least one.

    Ports
    -----
    highest : in, largest magnitude of the block, in units of the window's last place
    top : in, exponent field of the scale whose products reach the top of the window
    bad : in, an operand's scale is no number
    format : in, one bit per format
    code : out, the scale
    shift, reciprocal : out, by how much totals are shifted left to become dividends, and
        2^30 over the scale's significand
    flawed : out, the block is no number: its scale says so, its elements are zero

    With largest element ``odd x 2^p`` the significand is ``highest / odd`` at the exponent that
    leaves it ``significand_bits`` bits, rounded up or to nearest even. A ceiling of a ceiling is
    the ceiling, so cutting ``highest`` down first loses nothing; to nearest, the quotient has
    bits to spare and one that tells of a remainder. No total but zero gets the scale zero.
    Free-running, one block per cycle, ``LATENCY`` cycles.
    """

    LATENCY = SCALE_CYCLES

    def __init__(self, operands: int, formats: tuple[BlockFormat, ...]):
        self._operands = at_least("operands", operands, 1)
        self._formats = some("formats", formats)
        super().__init__(
            {
                "highest": In(total_bits(operands, formats)),
                "top": In(EXPONENT_BITS),
                "bad": In(1),
                "format": In(len(formats)),
                "code": Out(max(entry.scale.bits for entry in formats)),
                "shift": Out(LANE_SHIFT_BITS),
                "reciprocal": Out(RECIPROCAL_BITS),
                "flawed": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        form = [self.format]
        for step in range(1, self.LATENCY):
            form.append(delayed(m, form[-1], 1, f"format_{step}"))

        # 1 … 3
        zeros, normal, exponent, shift = self._normalise(m, form)

        # 4
        kept, below = self._cut(m, form[3], normal)
        exponent = delayed(m, exponent, 1, "exponent")

        # 5
        significand, remains = self._divide(m, form[4], kept, below)
        exponent = delayed(m, exponent, 1, "exponent_a")

        # 6
        raised, rounded = self._round(m, form[5], significand, remains)
        exponent = delayed(m, exponent, 1, "exponent_b")

        # 7
        code, normalised, lack = self._encode(m, form[6], exponent, raised, rounded)
        shift = delayed(m, shift, 4, "shift_a")
        raised = delayed(m, raised, 1, "raised")
        exponent = delayed(m, exponent, 1, "exponent_c")
        bad = delayed(m, self.bad, 7, "bad")
        none = delayed(m, zeros == len(self.highest), 6, "none")

        # 8: no more than the largest scale; flaws; the reciprocal.
        m.d.sync += [self.shift.eq(shift + 2 - raised + lack), self.flawed.eq(bad)]
        divisor = Signal(SCALE_BITS)
        m.d.comb += divisor.eq(normalised)

        for k, entry in enumerate(self._formats):
            scale = entry.scale
            overflow = Signal(name=f"overflow_{entry.code.name.lower()}")
            m.d.comb += overflow.eq(code > scale.largest)
            with m.If(form[7][k]):
                m.d.sync += self.code.eq(
                    Mux(bad, scale.nan, Mux(none, 0, Mux(overflow, scale.largest, code)))
                )
                with m.If(overflow):
                    m.d.comb += divisor.eq(scale.largest_significand << divisor_padding(entry))
                    m.d.sync += self.shift.eq(shift + exponent + (2 - scale.highest_exponent))
        self._look_up(m, divisor, form[7])
        return m

    def _per_format(self, m, form, make):
        """For the format in ``form`` do what ``make`` says."""
        for k, entry in enumerate(self._formats):
            with m.If(form[k]):
                m.d.sync += make(entry)

    def _normalise(self, m, form):
        """``highest`` shifted to the top, but not below the lowest exponent: zeros above it, and
        two cycles later the result, its exponent, and by how much it was shifted."""
        width = len(self.highest)

        # 1: where the highest magnitude begins; the last parts are merged in the next cycle.
        zeros = Signal(range(width + 1))
        m.d.comb += zeros.eq(leading_zeros(m, self.highest, "leading", register_at=4))
        highest = delayed(m, self.highest, 1, "highest")
        top = delayed(m, self.top, 1, "top")

        # 2: by how much.
        shift = Signal(LANE_SHIFT_BITS)
        limit = Signal(range(width + (1 << EXPONENT_BITS)))
        for k, entry in enumerate(self._formats):
            with m.If(form[1][k]):
                m.d.comb += limit.eq(top + (self._offset(entry) - entry.scale.lowest_exponent))
        m.d.sync += shift.eq(Mux(limit < zeros, limit, zeros))
        highest = delayed(m, highest, 1, "highest_a")
        top = delayed(m, top, 1, "top_a")

        # 3
        normal = Signal(width)
        exponent = Signal(signed(EXPONENT_BITS + 3))
        m.d.sync += normal.eq(highest << shift)
        self._per_format(m, form[2], lambda entry: exponent.eq(top + self._offset(entry) - shift))
        return zeros, normal, exponent, delayed(m, shift, 1, "shift")

    def _cut(self, m, form, normal):
        """As many bits as significand and divisor need, rounded up; or with what was cut off."""
        kept = Signal(max(_kept_bits(entry) for entry in self._formats) + 1)
        below = Signal()

        def keep(entry):
            dropped = len(normal) - _kept_bits(entry)
            rest = normal[:dropped].any()
            if entry.scale.nearest:
                return [kept.eq(normal[dropped:]), below.eq(rest)]
            return kept.eq(normal[dropped:] + rest)

        self._per_format(m, form, keep)
        return kept, below

    def _divide(self, m, form, kept, below):
        """By the odd part of the largest element, rounded up; or down, with what remains."""
        significand = Signal(SCALE_BITS + 1)
        remains = Signal()

        def divide(entry):
            odd, _ = odd_part(entry.element.limit)
            bits = _kept_bits(entry) + 2
            places = bits + odd.bit_length()
            factor = -(-(1 << places) // odd)
            if entry.scale.nearest:
                product = kept[:bits] * Const(factor)
                # As in the lanes: the fraction of an exact quotient is shorter than the factor.
                inexact = product[:places] >= factor
                return [significand.eq(product >> places), remains.eq(below | inexact)]
            return significand.eq(((kept[:bits] + (odd - 1)) * Const(factor)) >> places)

        self._per_format(m, form, divide)
        return significand, remains

    def _round(self, m, form, significand, remains):
        """A carry out of the significand raises the exponent."""
        raised = Signal(2)
        rounded = Signal(SCALE_BITS)

        def carry(entry):
            bits = entry.scale.significand_bits
            if bits == 1:
                return [raised.eq(Cat(significand == 2, significand > 2)), rounded.eq(1)]
            if entry.scale.nearest:
                long, near = nearest(significand, remains, bits)
                carried = near >> bits != 0
                half = Const(1 << (bits - 1))
                return [
                    raised.eq(long + carried),
                    rounded.eq(Mux(carried, half, Mux(near == 0, 1, near))),
                ]
            over = significand >> bits != 0
            return [raised.eq(over), rounded.eq(Mux(over, (significand + 1) >> 1, significand))]

        self._per_format(m, form, carry)
        return raised, rounded

    def _encode(self, m, form, exponent, raised, rounded):
        """The code, and for the division the significand, normalised where it is subnormal, and
        by how much."""
        code = Signal(signed(SCALE_BITS + EXPONENT_BITS))
        normalised = Signal(SCALE_BITS)
        lack = Signal(range(SCALE_BITS + 1))

        def encode(entry):
            padded = rounded << divisor_padding(entry)
            zeros = leading_zeros(m, padded[:SCALE_BITS], f"padded_{entry.code.name}")
            return [
                code.eq(scale_codec(entry.scale).encode(exponent + raised, rounded)),
                normalised.eq(padded << zeros),
                lack.eq(zeros),
            ]

        self._per_format(m, form, encode)
        return code, normalised, lack

    def _offset(self, entry: BlockFormat) -> int:
        """Exponent field of the new scale, less ``top``, where nothing is shifted."""
        odd, power = odd_part(entry.element.limit)
        lead = len(self.highest) - 1 - odd.bit_length() - power - entry.element.step_weight
        top_bit = window_bits(self._formats) - HEADROOM_BITS
        return lead - top_bit + entry.element.top_weight

    def _look_up(self, m, significand, form):
        """The reciprocal of a significand whose top bit is set, one cycle later."""
        found = Const(0)
        for k, entry in enumerate(self._formats):
            bits = entry.scale.significand_bits
            if bits == 1:
                continue
            values = [
                reciprocal(((1 << (bits - 1)) + fraction) << divisor_padding(entry))
                for fraction in range(1 << (bits - 1))
            ]
            index = significand[divisor_padding(entry) : SCALE_BITS - 1]
            name = entry.code.name.lower()
            if bits <= TABLE_IN_LOGIC_BITS:
                value = Signal(RECIPROCAL_BITS, name=f"reciprocal_{name}")
                m.d.sync += value.eq(Array(Const(v, RECIPROCAL_BITS) for v in values)[index])
            else:
                table = memory.Memory(shape=RECIPROCAL_BITS, depth=len(values), init=values)
                m.submodules[f"reciprocals_{name}"] = table
                port = table.read_port()
                m.d.comb += [port.addr.eq(index), port.en.eq(1)]
                value = port.data
            chosen = Signal(name=f"chosen_{name}")
            m.d.sync += chosen.eq(form[k])
            found = found | Mux(chosen, value, 0)
        m.d.comb += self.reciprocal.eq(found)


def nearest(quotient, rest, bits: int):
    """(long, near): ``quotient``, which has one bit more than ``bits`` or, if it is ``long``,
    two, rounded to nearest even; ``rest``: something lies below it."""
    long = quotient >> (bits + 1) != 0
    cut = Mux(long, quotient >> 2, quotient >> 1)[:bits]
    guard = Mux(long, quotient[1], quotient[0])
    sticky = rest | (long & quotient[0])
    return long, cut + (guard & (sticky | cut[0]))


def _kept_bits(entry: BlockFormat) -> int:
    """Of a total: as many as significand and divisor need, and one to round to nearest by."""
    odd, _ = odd_part(entry.element.limit)
    return entry.scale.significand_bits + odd.bit_length() + entry.scale.nearest
