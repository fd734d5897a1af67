"""hw/endpoint/shuffle.py: nothing is lost; the order is kept, or not."""

import random

import cocotb
import pytest

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import PROFILES, Sink, Source, start_clock, wait_until
from hw.endpoint.shuffle import Shuffle

ITEMS = 300


@pytest.mark.parametrize("pause_out", PROFILES)
@pytest.mark.parametrize("slots", [1, 4])
def test_shuffle(slots, pause_out):
    simulate(
        Shuffle(16, slots=slots),
        module=__name__,
        case="check_shuffle",
        seed=1,
        slots=slots,
        pause_out=pause_out,
    )


@cocotb.test()
async def check_shuffle(dut):
    """Nothing is lost or doubled; one slot keeps order, several do not."""
    given, rng = parameters_of_test(), random.Random(cocotb.RANDOM_SEED)
    source = Source(dut, "i", rng.choice(PROFILES), rng)
    sink = Sink(dut, "o", given["pause_out"], rng)
    await start_clock(dut)
    source.queue.extend(range(ITEMS))
    await wait_until(dut, lambda: len(sink.received) >= ITEMS, "every item")
    assert sorted(sink.received) == list(range(ITEMS))
    assert (sink.received == list(range(ITEMS))) == (given["slots"] == 1)
