"""hw/isa/lane.py against models/formats/floating.py."""

import itertools

import cocotb
import numpy as np
import pytest
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.operands import operand_sets
from cocotb_tests.support.streams import start_clock
from hw.formats import FORMATS
from hw.isa.lane import ReduceLane
from hw.spec.instruction import DataType, ReduceOp
from models.formats.floating import reduce

FLOATS = [entry.code for entry in FORMATS.values()]
SUMS = 30_000


@pytest.mark.parametrize("operands", [2, 3, 4, 8, 16])
def test_lane(operands):
    """At least 10^5 FP16 sums over the widths, and every other operation."""
    simulate(ReduceLane(operands), module=__name__, case="check_lane", seed=1, operands=operands)


def stimulus(operands, rng):
    """(type, operation, mask of operands present, values) per cycle."""
    everyone = (1 << operands) - 1
    for data_type, operation in itertools.product(FLOATS, ReduceOp):
        sums = operation == ReduceOp.SUM and data_type == DataType.FP16
        for values in operand_sets(rng, operands, data_type, SUMS if sums else 2000):
            mask = everyone
            if operation == ReduceOp.BYPASS:
                mask = 1 << int(rng.integers(operands))
            elif rng.random() < 0.2:
                mask = int(rng.integers(1, everyone + 1))
            yield data_type, operation, mask, values


@cocotb.test()
async def check_lane(dut):
    operands = parameters_of_test()["operands"]
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    await start_clock(dut)
    inputs = [getattr(dut, f"operands__{i}") for i in range(operands)]
    work = list(stimulus(operands, rng))
    found = []
    for cycle in range(len(work) + ReduceLane.LATENCY + 1):
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
    sums = sum(1 for t, op, _, _ in work if t == DataType.FP16 and op == ReduceOp.SUM)
    assert sums >= 100_000 // 4
    for (data_type, operation, mask, values), result in zip(work, found, strict=False):
        present = values[[bool(mask >> i & 1) for i in range(operands)]]
        expected = int(reduce(present[:, np.newaxis], data_type, operation)[0])
        assert result == expected, (
            f"{data_type.name} {operation.name} of "
            f"{[hex(v) for v in present]}: {result:#06x}, must be {expected:#06x}"
        )
    assert len(found) >= len(work)
