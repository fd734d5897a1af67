"""hw/fabric/transport.py and phy.py: channels over one link, with credits."""

import random

import cocotb
import pytest
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.link import Link
from cocotb_tests.support.streams import PROFILES, Sink, Source, start_clock, wait_until
from hw.fabric.receiver import Receiver
from hw.spec.config import load
from hw.spec.packet import (
    TO_ENDPOINT,
    TO_SWITCH,
    Channel,
    QueueSet,
    flit_layout,
    link_flit_layout,
    queue_set,
)
from hw.spec.packing import pack

FLITS = 150
CONFIG = load("tiny")
REGISTERED = {"fabric.registered": True}


def flit(channel: int, number: int) -> int:
    return pack(
        flit_layout(CONFIG),
        {"data": channel << 32 | number, "first": number % 3 == 0, "last": number % 3 == 2},
    )


@pytest.mark.parametrize("pause_out", PROFILES)
@pytest.mark.parametrize(("seed", "fields"), [(1, {}), (2, {}), (3, REGISTERED)])
def test_every_channel_in_order(pause_out, seed, fields):
    """Both directions at once, all channels, more flits than credits."""
    link = Link(load("tiny", fields))
    simulate(link, module=__name__, case="check_order", seed=seed, pause_out=pause_out)


def ends(dut, rng, pause_out):
    parts = []
    for name, channels in (("up", TO_SWITCH), ("down", TO_ENDPOINT)):
        for index, channel in enumerate(channels):
            source = Source(dut, f"{name}_in__{index}", rng.choice(PROFILES), rng)
            sink = Sink(dut, f"{name}_out__{index}", pause_out, rng)
            parts.append((channel, source, sink))
    return parts


@cocotb.test()
async def check_order(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    parts = ends(dut, rng, parameters_of_test()["pause_out"])
    await start_clock(dut)
    for channel, source, _ in parts:
        source.queue.extend(flit(channel, n) for n in range(FLITS))
    await wait_until(
        dut, lambda: all(len(sink.received) >= FLITS for _, _, sink in parts), "every flit"
    )
    for channel, _, sink in parts:
        assert sink.received == [flit(channel, n) for n in range(FLITS)], Channel(channel).name


@pytest.mark.parametrize("fields", [{}, REGISTERED], ids=["direct", "registered"])
def test_a_stalled_channel_blocks_no_other(fields):
    """Each channel in turn is never drained; all others still deliver everything."""
    link = Link(load("tiny", fields))
    for stalled in range(len(TO_SWITCH)):
        simulate(link, module=__name__, case="check_stalled", seed=1, stalled=stalled)


@cocotb.test()
async def check_stalled(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    stalled = parameters_of_test()["stalled"]
    parts = []
    for index, channel in enumerate(TO_SWITCH):
        source = Source(dut, f"up_in__{index}", "none", rng)
        sink = Sink(dut, f"up_out__{index}", "none", rng) if index != stalled else None
        parts.append((channel, source, sink))
    getattr(dut, f"up_out__{stalled}__ready").value = 0
    for index in range(len(TO_ENDPOINT)):
        getattr(dut, f"down_out__{index}__ready").value = 0
        getattr(dut, f"down_in__{index}__valid").value = 0
    await start_clock(dut)
    for channel, source, _ in parts:
        source.queue.extend(flit(channel, n) for n in range(FLITS))
    await wait_until(
        dut,
        lambda: all(sink is None or len(sink.received) == FLITS for _, _, sink in parts),
        f"every channel but {TO_SWITCH[stalled].name}",
    )
    assert len(parts[stalled][1].queue) > 0, "the stalled channel should have run out of credits"


@pytest.mark.parametrize("channels", [TO_SWITCH, TO_ENDPOINT], ids=["switch", "endpoint"])
def test_flits_of_other_channels(channels):
    """They are reported once each, and dropped; credits and all others are not reported."""
    simulate(
        Receiver(CONFIG, channels),
        module=__name__,
        case="check_unknown",
        seed=1,
        channels=[int(channel) for channel in channels],
    )


@cocotb.test()
async def check_unknown(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    channels = parameters_of_test()["channels"]
    sinks = [Sink(dut, f"o__{index}", "none", rng) for index in range(len(channels))]
    dut.take_owed.value = dut.link__valid.value = 0
    await start_clock(dut)
    sent = dict.fromkeys(Channel, 0)
    for _ in range(500):
        channel, credit, valid = rng.choice(list(Channel)), rng.random() < 0.3, rng.random() < 0.7
        fields = {"channel": channel, "credit": credit, "flit": 0}
        dut.link__payload.value = pack(link_flit_layout(CONFIG), fields)
        dut.link__valid.value = valid
        await RisingEdge(dut.clk)
        sent[channel] += valid and not credit
        unknown = valid and not credit and channel not in channels
        assert int(dut.unknown.value) == unknown, (Channel(channel).name, credit, valid)
    dut.link__valid.value = 0
    for _ in range(10):
        await RisingEdge(dut.clk)
    assert [len(sink.received) for sink in sinks] == [sent[channel] for channel in channels]
    assert int(dut.overflow.value) == 0


def test_queue_sets_share_evenly():
    """Core and ISA alternate while both have flits, however many classes each uses; the classes
    of each take turns."""
    simulate(Link(load("fpga4")), module=__name__, case="check_sharing", seed=1)


@cocotb.test()
async def check_sharing(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    config = load("fpga4")
    parts = []
    for index, channel in enumerate(TO_SWITCH):
        parts.append(
            (
                channel,
                Source(dut, f"up_in__{index}", "none", rng),
                Sink(dut, f"up_out__{index}", "none", rng),
            )
        )
    for index in range(len(TO_ENDPOINT)):
        getattr(dut, f"down_out__{index}__ready").value = 0
        getattr(dut, f"down_in__{index}__valid").value = 0
    await start_clock(dut)
    word = pack(flit_layout(config), {"data": 1})
    used = {Channel.CORE_WRITE_REQUEST, Channel.CORE_READ_RESPONSE, Channel.ISA_READ_RESPONSE}
    for channel, source, _ in parts:
        if channel in used:
            source.queue.extend([word] * 4000)
    for _ in range(2000):
        await RisingEdge(dut.clk)
    counts = {0: 0, 1: 0}
    for channel, _, sink in parts:
        counts[int(queue_set(channel))] += len(sink.received)
    assert abs(counts[0] - counts[1]) <= 4, counts
    core = [len(s.received) for c, _, s in parts if c in used and queue_set(c) == QueueSet.CORE]
    assert len(core) == 2
    assert abs(core[0] - core[1]) <= 4, core
    assert sum(counts.values()) > 1800, "the link idled"
