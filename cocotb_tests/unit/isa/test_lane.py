"""hw/isa/lane.py against models/formats/floating.py."""

import itertools

import cocotb
import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.operands import operand_sets
from cocotb_tests.support.streams import start_clock
from hw.isa.average import Divisor, divisor_of, reciprocal_shift
from hw.isa.lane import ReduceLane
from hw.spec.formats import FORMATS
from hw.spec.instruction import DataType, ReduceOp
from hw.spec.timing import DIVISOR_LAG
from hw.stream.delay import delayed
from models.formats.floating import reduce

FLOATS = [entry.code for entry in FORMATS.values()]
SUMS = 30_000
AVERAGES = 6000


class LaneAndDivisor(wiring.Component):
    """A lane that averages too, and what :class:`hw.isa.reduce.Reduce` has once for all of
    them."""

    def __init__(self, operands):
        super().__init__(
            {
                "operands": In(16).array(operands),
                "present": In(operands),
                "data_type": In(DataType),
                "reduce_op": In(ReduceOp),
                "result": Out(16),
                "average": Out(16),
            }
        )

    def elaborate(self, platform):
        m = Module()
        count = len(self.operands)
        m.submodules.lane = lane = ReduceLane(count, average=True)
        m.submodules.divisor = divisor = Divisor(count)
        lag = DIVISOR_LAG - Divisor.LATENCY
        m.d.comb += [
            *(sink.eq(value) for sink, value in zip(lane.operands, self.operands, strict=True)),
            lane.present.eq(self.present),
            lane.data_type.eq(self.data_type),
            lane.reduce_op.eq(self.reduce_op),
            divisor.present.eq(delayed(m, self.present, lag, "present")),
            lane.reciprocal.eq(divisor.reciprocal),
            lane.drop.eq(divisor.drop),
            self.result.eq(lane.result),
            self.average.eq(lane.average),
        ]
        return m


@pytest.mark.parametrize("operands", range(2, 17))
def test_divisors(operands):
    """Of every number of operands and every significand: the quotient's bits that count, and
    below them none if and only if there is no remainder."""
    shift = reciprocal_shift(operands)
    # Places below those of the integer part of a quotient by the largest odd number.
    unknown = max(range(1, operands + 1, 2)).bit_length() if operands > 2 else 0
    width = shift - unknown
    significands = np.arange(1 << width, dtype=np.int64)
    for number in range(1, operands + 1):
        reciprocal, drop = divisor_of(number, operands)
        assert 1 << shift <= reciprocal < 2 << shift
        found = significands * reciprocal >> shift
        assert (found < 2 << width).all()
        exact = (significands << drop) // number
        left = (significands << drop) % number != 0
        low = (1 << unknown) - 1
        assert (found >> unknown == exact >> unknown).all()
        assert ((found & low != 0) == (left | (exact & low != 0))).all()


@pytest.mark.parametrize("operands", [2, 3, 4, 8, 16])
def test_lane(operands):
    """At least 10^5 FP16 sums over the widths, and every other operation."""
    simulate(
        LaneAndDivisor(operands), module=__name__, case="check_lane", seed=1, operands=operands
    )


def test_lane_without_divider():
    """What is built where averages are not: 10^4 sums, and every other operation."""
    simulate(ReduceLane(4), module=__name__, case="check_lane", seed=2, operands=4)


def stimulus(operands, rng):
    """(type, operation, mask of operands present, values) per cycle."""
    everyone = (1 << operands) - 1
    for data_type, operation in itertools.product(FLOATS, ReduceOp):
        sums = operation == ReduceOp.SUM and data_type == DataType.FP16
        averages = operation == ReduceOp.AVG
        count = SUMS if sums else AVERAGES if averages else 2000
        for values in operand_sets(rng, operands, data_type, count):
            mask = everyone
            if operation == ReduceOp.BYPASS:
                mask = 1 << int(rng.integers(operands))
            elif rng.random() < (0.8 if averages else 0.2):
                mask = int(rng.integers(1, everyone + 1))
            yield data_type, operation, mask, values


@cocotb.test()
async def check_lane(dut):
    operands = parameters_of_test()["operands"]
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    await start_clock(dut)
    inputs = [getattr(dut, f"operands__{i}") for i in range(operands)]
    divides = hasattr(dut, "average")
    work = [item for item in stimulus(operands, rng) if divides or item[1] != ReduceOp.AVG]
    # Operations in any order, as tenants mix them.
    work = [work[index] for index in rng.permutation(len(work))]
    found, averages = [], []
    for cycle in range(len(work) + ReduceLane.AVERAGE_LATENCY + 1):
        if cycle < len(work):
            data_type, operation, mask, values = work[cycle]
            dut.data_type.value = int(data_type)
            dut.reduce_op.value = int(operation)
            dut.present.value = mask
            for signal, value in zip(inputs, values, strict=True):
                signal.value = int(value)
        await RisingEdge(dut.clk)
        if cycle > ReduceLane.LATENCY - 1:
            found.append(int(dut.result.value))
        if divides and cycle > ReduceLane.AVERAGE_LATENCY - 1:
            averages.append(int(dut.average.value))
    sums = sum(1 for t, op, _, _ in work if t == DataType.FP16 and op == ReduceOp.SUM)
    assert sums >= 100_000 // 4
    assert len(found) >= len(work)
    for index, (data_type, operation, mask, values) in enumerate(work):
        result = averages[index] if operation == ReduceOp.AVG else found[index]
        present = values[[bool(mask >> i & 1) for i in range(operands)]]
        expected = int(reduce(present[:, np.newaxis], data_type, operation)[0])
        assert result == expected, (
            f"{data_type.name} {operation.name} of "
            f"{[hex(v) for v in present]}: {result:#06x}, must be {expected:#06x}"
        )
