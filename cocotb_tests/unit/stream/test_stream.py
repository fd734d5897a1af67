"""hw/stream: nothing lost, nothing invented, order kept, turns fair."""

import random

import cocotb
import pytest

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import PROFILES, Sink, Source, start_clock, wait_until
from hw.stream.arbiter import StreamArbiter
from hw.stream.queue import Buffer, LightRegister, Queue, Register
from hw.stream.shared_queues import SharedQueues

ITEMS = 400
PARTS = {
    "buffer": lambda: Buffer(16),
    "register": lambda: Register(16),
    "light_register": lambda: LightRegister(16),
    "queue2": lambda: Queue(16, depth=2),
    "queue9": lambda: Queue(16, depth=9),
}


@pytest.mark.parametrize("pause_out", PROFILES)
@pytest.mark.parametrize("part", PARTS)
def test_one_to_one(part, pause_out):
    component = PARTS[part]()
    for seed, pause_in in enumerate(("none", "50%")):
        simulate(
            component,
            module=__name__,
            case="check_order",
            seed=seed,
            pause_in=pause_in,
            pause_out=pause_out,
        )


@cocotb.test()
async def check_order(dut):
    given = parameters_of_test()
    rng = random.Random(cocotb.RANDOM_SEED)
    source = Source(dut, "i", given["pause_in"], rng)
    sink = Sink(dut, "o", given["pause_out"], rng)
    await start_clock(dut)
    items = [rng.getrandbits(16) for _ in range(ITEMS)]
    source.queue.extend(items)
    await wait_until(dut, lambda: len(sink.received) >= ITEMS, "all items")
    for _ in range(20):
        await cocotb.triggers.RisingEdge(dut.clk)
    assert sink.received == items


SHARED_DEPTHS = [3, 1, 5]
SHARED_WIDTH = 16


@pytest.mark.parametrize("pause_out", PROFILES)
def test_shared_queues(pause_out):
    """Items of several queues come mixed, and leave each queue in order; levels tell."""
    simulate(
        SharedQueues(SHARED_WIDTH, depths=SHARED_DEPTHS),
        module=__name__,
        case="check_shared",
        seed=PROFILES.index(pause_out),
        pause_out=pause_out,
    )


@cocotb.test()
async def check_shared(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    queues = range(len(SHARED_DEPTHS))
    sinks = [Sink(dut, f"o__{q}", parameters_of_test()["pause_out"], rng) for q in queues]
    levels = [getattr(dut, f"level__{q}") for q in queues]
    dut.enters.value = 0
    await start_clock(dut)
    sent = [[] for _ in queues]
    lost = cycles = 0
    while min(len(items) for items in sent) < ITEMS // 4:
        cycles += 1
        assert cycles < 100 * ITEMS, "nothing leaves"
        await cocotb.triggers.ReadOnly()
        held = [int(level.value) for level in levels]
        for q in queues:
            assert held[q] == len(sent[q]) - len(sinks[q].received), f"level of queue {q}"
        await cocotb.triggers.NextTimeStep()
        q, item = rng.choice(queues), rng.getrandbits(SHARED_WIDTH)
        entering = rng.random() < 0.6
        dut.enters.value = entering << q
        dut.payload.value = item
        await cocotb.triggers.RisingEdge(dut.clk)
        if entering and held[q] < SHARED_DEPTHS[q]:
            sent[q].append(item)
        elif entering:
            lost += 1
    dut.enters.value = 0
    await wait_until(
        dut, lambda: all(len(sinks[q].received) >= len(sent[q]) for q in queues), "every item"
    )
    assert [sink.received for sink in sinks] == sent
    assert lost > 0, "queues were never full"


def test_full_rate():
    """Without stalls one item moves every cycle, of a light register every second one."""
    simulate(Buffer(16), module=__name__, case="check_rate", seed=1, cycles=1)
    simulate(Register(16), module=__name__, case="check_rate", seed=1, cycles=1)
    simulate(LightRegister(16), module=__name__, case="check_rate", seed=1, cycles=2)
    simulate(Queue(16, depth=4), module=__name__, case="check_rate", seed=1, cycles=1)


@cocotb.test()
async def check_rate(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    source, sink = Source(dut, "i", "none", rng), Sink(dut, "o", "none", rng)
    await start_clock(dut)
    source.queue.extend(range(1000))
    for _ in range(1010 * parameters_of_test()["cycles"]):
        await cocotb.triggers.RisingEdge(dut.clk)
    assert len(sink.received) >= 1000


@pytest.mark.parametrize("pause_out", PROFILES)
def test_arbiter(pause_out):
    simulate(
        StreamArbiter(16, count=3),
        module=__name__,
        case="check_arbiter",
        seed=3,
        pause_out=pause_out,
    )


@cocotb.test()
async def check_arbiter(dut):
    """Items of each requester stay in order; while all ask, turns differ by at most one."""
    rng = random.Random(cocotb.RANDOM_SEED)
    sources = [Source(dut, f"i__{i}", "none", rng) for i in range(3)]
    sink = Sink(dut, "o", parameters_of_test()["pause_out"], rng)
    await start_clock(dut)
    for i, source in enumerate(sources):
        source.queue.extend(i << 12 | n for n in range(ITEMS))
    await wait_until(dut, lambda: len(sink.received) == 3 * ITEMS, "all items")
    for i in range(3):
        assert [x & 0xFFF for x in sink.received if x >> 12 == i] == list(range(ITEMS))
    for end in range(3, 3 * ITEMS - 10, 3):
        turns = [sum(x >> 12 == i for x in sink.received[:end]) for i in range(3)]
        assert max(turns) - min(turns) <= 2, turns
