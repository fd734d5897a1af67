"""hw/stream/delay.py against a list."""

import random

import cocotb
import pytest
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import start_clock
from hw.stream.delay import DelayRing


@pytest.mark.parametrize("cycles", [2, 3, 4, 12, 17])
def test_delay_ring(cycles):
    simulate(
        DelayRing(12, cycles=cycles), module=__name__, case="check_delay", seed=1, cycles=cycles
    )


@cocotb.test()
async def check_delay(dut):
    cycles = parameters_of_test()["cycles"]
    rng = random.Random(cocotb.RANDOM_SEED)
    await start_clock(dut)
    given = []
    for _ in range(200):
        given.append(rng.getrandbits(12))
        dut.i.value = given[-1]
        await RisingEdge(dut.clk)
        if len(given) > cycles:
            # What is read now was given before the edges that lie between.
            assert int(dut.o.value) == given[-1 - cycles]
