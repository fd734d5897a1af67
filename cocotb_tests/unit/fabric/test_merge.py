"""hw/fabric/merge.py: packets stay whole, each sender's keep their order, no sender starves."""

import random

import cocotb
import pytest

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import (
    PROFILES,
    FlitCodec,
    Sink,
    Source,
    start_clock,
    wait_until,
)
from hw.fabric.merge import PacketArbiter
from hw.spec.config import load
from hw.spec.packet import Header

CONFIG = load("tiny")
SENDERS = 3
PACKETS = 60


@pytest.mark.parametrize("pause_out", PROFILES)
def test_packets_of_several_senders(pause_out):
    simulate(
        PacketArbiter(CONFIG, count=SENDERS),
        module=__name__,
        case="check_packets",
        seed=PROFILES.index(pause_out) + 1,
        pause_out=pause_out,
    )


@cocotb.test()
async def check_packets(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    codec = FlitCodec(CONFIG)
    sources = [Source(dut, f"i__{i}", rng.choice(PROFILES), rng) for i in range(SENDERS)]
    sink = Sink(dut, "o", parameters_of_test()["pause_out"], rng)
    await start_clock(dut)
    expected, flits = [], 0
    for sender, source in enumerate(sources):
        mine = []
        for number in range(PACKETS):
            payload = rng.randbytes(16 * rng.randrange(0, 6))
            mine.append((number, payload))
            words = codec.flits(Header(source=sender, tag=number), payload)
            flits += len(words)
            source.queue.extend(words)
        expected.append(mine)
    await wait_until(dut, lambda: len(sink.received) == flits, "every packet")
    packets = codec.packets(sink.received)
    for sender, mine in enumerate(expected):
        assert [(h.tag, p) for h, p in packets if h.source == sender] == mine


def test_turns():
    simulate(PacketArbiter(CONFIG, count=SENDERS), module=__name__, case="check_turns", seed=1)


@cocotb.test()
async def check_turns(dut):
    """Senders that always have something take turns, packet by packet."""
    rng = random.Random(cocotb.RANDOM_SEED)
    codec = FlitCodec(CONFIG)
    sources = [Source(dut, f"i__{i}", "none", rng) for i in range(SENDERS)]
    sink = Sink(dut, "o", "none", rng)
    for sender, source in enumerate(sources):
        for number in range(20):
            source.queue.extend(codec.flits(Header(source=sender, tag=number), bytes(32)))
    await start_clock(dut)
    await wait_until(dut, lambda: len(sink.received) == 20 * SENDERS * 3, "every packet")
    order = [header.source for header, _ in codec.packets(sink.received)]
    for start in range(0, len(order) - SENDERS, SENDERS):
        assert len(set(order[start : start + SENDERS])) == SENDERS
