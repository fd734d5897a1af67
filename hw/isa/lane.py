"""Reduction of one element over all ports: sum, average, maximum, minimum or copy."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.codec.arithmetic import leading_zeros, magnitude_of, maximum_of, shifted_to_top, signed_sum
from hw.isa.average import AverageLane, dividend_bits, divisor_members
from hw.isa.rounding import EXPONENT_BITS, SIGNIFICAND_BITS, round_and_pack
from hw.replicated import Replicated
from hw.spec.checks import at_least
from hw.spec.formats import FORMATS
from hw.spec.formats.floating import WINDOW_BITS
from hw.spec.instruction import DataType, ReduceOp
from hw.spec.timing import AVERAGE_CYCLES, REDUCE_CYCLES
from hw.stream.delay import delayed

TOP_BITS = 8
"""Biased exponents of the widest format."""


class ReduceLane(Replicated):
    """One 16-bit lane of the reduction pipeline.

    Parameters: ``operands``, number of ports, at least 1; ``average``, with the divider of AVG.

    Ports
    -----
    operands : in, one 16-bit value per port
    present : in, one bit per port that takes part; the others do not count
    data_type, reduce_op : in
    reciprocal, drop : in, of :class:`hw.isa.average.Divisor`, ``hw.spec.timing.DIVISOR_LAG``
        cycles later; with ``average``
    result : out, 16 bits; of all but AVG
    average : out, 16 bits; with ``average``: of AVG

    All inputs belong together and may change every cycle; ``result`` follows after
    ``LATENCY`` cycles, ``average`` after ``AVERAGE_LATENCY``, one per cycle. Numerics:
    ``docs/numerics.md``; golden twin: ``models/formats/floating.py``. A sum places each operand
    in a 40-bit fixed-point window, adds integers and rounds once to nearest even, so neither
    order nor tree shape shows. An average divides the normalised sum before it is rounded.
    """

    LATENCY = REDUCE_CYCLES
    AVERAGE_LATENCY = AVERAGE_CYCLES

    def __init__(self, operands: int, *, average: bool = False):
        self._count = at_least("operands", operands, 1)
        self._average = average
        members = {
            "operands": In(16).array(operands),
            "present": In(operands),
            "data_type": In(DataType),
            "reduce_op": In(ReduceOp),
            "result": Out(16),
        }
        if average:
            shapes = divisor_members(operands)
            members |= {name: In(shape) for name, shape in shapes.items()}
            members["average"] = Out(16)
        super().__init__(members, operands, average)

    def gates(self):
        m = Module()
        count = self._count
        sum_bits = WINDOW_BITS + ceil_log2(count)

        # Stage 1: take operands apart.
        fp16, bf16 = (FORMATS[DataType.FP16.value], FORMATS[DataType.BF16.value])
        is_bf16 = self.data_type == DataType.BF16
        sign = Signal(count)
        nan = Signal(count)
        infinite = Signal(count)
        exponents, significands = [], []
        for i in range(count):
            value = self.operands[i]
            exponent = Signal(TOP_BITS, name=f"exponent_{i}")
            significand = Signal(11, name=f"significand_{i}")
            fraction, biased, special = Signal(10), Signal(TOP_BITS), Signal()
            with m.If(is_bf16):
                m.d.comb += [
                    fraction.eq(value[:7] << 3),
                    biased.eq(value[7:15]),
                    special.eq(biased == bf16.exponent_special),
                ]
            with m.Else():
                m.d.comb += [
                    fraction.eq(value[:10]),
                    biased.eq(value[10:15]),
                    special.eq(biased == fp16.exponent_special),
                ]
            used = self.present[i]
            m.d.sync += [
                sign[i].eq(value[15]),
                nan[i].eq(used & special & fraction.any()),
                infinite[i].eq(used & special & ~fraction.any()),
                exponent.eq(Mux(biased == 0, 1, biased)),
                significand.eq(Cat(fraction, biased != 0)),
            ]
            with m.If(~used):
                m.d.sync += significand.eq(0)
            exponents.append(exponent)
            significands.append(significand)
        present = delayed(m, self.present, 1, "present")
        operation = delayed(m, self.reduce_op, 1, "operation")
        bf16_1 = delayed(m, is_bf16, 1, "bf16")
        raw = [delayed(m, self.operands[i], 1, f"raw_{i}") for i in range(count)]

        # Stage 2: top of the window, special cases, comparison keys.
        largest = maximum_of([Mux(present[i], exponents[i], 0) for i in range(count)])
        top = Signal(TOP_BITS)
        m.d.sync += top.eq(Mux(bf16_1, largest, fp16.exponent_special - 1))
        exponents = [delayed(m, e, 1, f"exponent_{i}") for i, e in enumerate(exponents)]
        significands = [delayed(m, s, 1, f"significand_{i}") for i, s in enumerate(significands)]
        signs = delayed(m, sign, 1, "sign")
        any_nan = Signal()
        infinity = Signal()
        infinity_sign = Signal()
        all_negative_zero = Signal()
        both = (infinite & sign).any() & (infinite & ~sign).any()
        zeros = Cat(value[:15] == 0 for value in raw)
        m.d.sync += [
            any_nan.eq(nan.any() | (both & _adds(operation))),
            infinity.eq(infinite.any()),
            infinity_sign.eq((infinite & sign).any()),
            all_negative_zero.eq(((zeros & sign) | ~present).all()),
        ]
        maximise = operation == ReduceOp.MAX
        keys = []
        for i in range(count):
            # Order of sign-magnitude numbers as unsigned integers; absent ones lose.
            key = Signal(16, name=f"key_{i}")
            ordered = Mux(sign[i], ~raw[i], raw[i] | 0x8000)
            m.d.sync += key.eq(Mux(present[i], Mux(maximise, ordered, ~ordered[:16]), 0))
            keys.append(key)
        operation = delayed(m, operation, 1, "operation_a")
        bf16_2 = delayed(m, bf16_1, 1, "bf16_a")

        # Stage 3: align. The significand enters at the top of the window.
        aligned = []
        for i in range(count):
            distance = Signal(TOP_BITS, name=f"distance_{i}")
            magnitude = Signal(WINDOW_BITS, name=f"magnitude_{i}")
            m.d.comb += distance.eq(top - exponents[i])
            shifted = (significands[i] << (WINDOW_BITS - 11)) >> distance[:6]
            m.d.sync += magnitude.eq(shifted)
            with m.If(distance[6:].any()):
                m.d.sync += magnitude.eq(0)
            aligned.append(magnitude)
        signs = delayed(m, signs, 1, "sign_a")
        extreme = Signal(16)
        best = maximum_of(keys)
        chosen = Mux(operation == ReduceOp.MAX, best, ~best[:16])
        m.d.sync += extreme.eq(Mux(chosen[15], chosen & 0x7FFF, ~chosen))

        # Stage 4: add.
        total, total_negated = Signal(signed(sum_bits + 1)), Signal()
        terms = [
            (sign, Cat(magnitude, Const(0, 1)).as_signed())
            for sign, magnitude in zip(signs, aligned, strict=True)
        ]
        negated, value = signed_sum(terms)
        m.d.sync += [total.eq(value), total_negated.eq(negated)]

        # Stage 5: sign and magnitude; a zero gets its sign later.
        negative = Signal()
        magnitude = Signal(sum_bits)
        m.d.sync += [negative.eq(total_negated ^ (total < 0)), magnitude.eq(magnitude_of(total))]

        # Stage 6: by how much to normalise; never below the exponent of subnormals.
        top_4 = delayed(m, top, 2, "top")
        headroom = sum_bits - WINDOW_BITS
        zeros_5 = leading_zeros(m, magnitude, "magnitude")
        limit = Signal(TOP_BITS + 1)
        shift = Signal(6)
        biased = Signal(EXPONENT_BITS)
        is_zero = Signal()
        m.d.sync += [
            limit.eq(top_4 + (headroom - 1)),
            shift.eq(Mux(limit < zeros_5, limit, zeros_5)),
            is_zero.eq(magnitude == 0),
        ]
        magnitude = delayed(m, magnitude, 1, "magnitude")
        top_6 = delayed(m, top_4, 2, "top_a")

        # Stage 7: normalise.
        normal_bits = dividend_bits(count) if self._average else SIGNIFICAND_BITS
        normal, rest = Signal(normal_bits), Signal()
        m.d.sync += [
            Cat(normal, rest).eq(Cat(*shifted_to_top(magnitude, shift, keep=len(normal)))),
            biased.eq(top_6 + headroom - shift),
        ]
        negative_7 = delayed(m, negative, 2, "negative")

        # Beside stage 7: what stands instead of a sum.
        bf16_6 = delayed(m, bf16_2, 4, "bf16_b")
        operation_6 = delayed(m, operation, 4, "operation_b")
        infinity_bits = Mux(bf16_6, bf16.infinity, fp16.infinity)
        nan_bits = Mux(bf16_6, bf16.quiet_nan, fp16.quiet_nan)
        infinity_sign_6 = delayed(m, infinity_sign, 4, "infinity_sign")
        negative_zero_6 = delayed(m, all_negative_zero, 4, "negative_zero")
        any_nan_6 = delayed(m, any_nan, 4, "any_nan")
        extreme_6 = delayed(m, extreme, 3, "extreme")
        infinity_6 = delayed(m, infinity, 4, "infinity")
        special, instead = Signal(), Signal(16)
        m.d.sync += special.eq(1)
        with m.If(operation_6 == ReduceOp.BYPASS):
            # Of the one source, every bit.
            m.d.sync += instead.eq(extreme_6)
        with m.Elif(any_nan_6):
            m.d.sync += instead.eq(nan_bits)
        with m.Elif(~_adds(operation_6)):
            m.d.sync += instead.eq(extreme_6)
        with m.Elif(infinity_6):
            m.d.sync += instead.eq(Cat(infinity_bits[:15], infinity_sign_6))
        with m.Elif(is_zero):
            m.d.sync += instead.eq(negative_zero_6 << 15)
        with m.Else():
            m.d.sync += special.eq(0)

        # Stage 8: round once, to nearest even; pack.
        bf16_7 = delayed(m, bf16_6, 1, "bf16_c")
        packed = {entry: round_and_pack(m, normal, rest, biased, entry) for entry in (fp16, bf16)}
        magnitude_bits = Mux(bf16_7, packed[bf16], packed[fp16])
        m.d.sync += self.result.eq(Mux(special, instead, Cat(magnitude_bits[:15], negative_7)))

        # Or divide first.
        if self._average:
            m.submodules.divide = divide = AverageLane(count)
            m.d.comb += [
                divide.normal.eq(normal),
                divide.rest.eq(rest),
                divide.exponent.eq(biased),
                divide.negative.eq(negative_7),
                divide.special.eq(special),
                divide.instead.eq(instead),
                divide.bf16.eq(bf16_7),
                divide.reciprocal.eq(self.reciprocal),
                divide.drop.eq(self.drop),
                self.average.eq(divide.result),
            ]
        return m


def _adds(operation):
    return (operation == ReduceOp.SUM) | (operation == ReduceOp.AVG)
