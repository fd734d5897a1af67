"""hw/endpoint/sync.py: arrive, poll, and tell what the flag says."""

import random

import cocotb
import pytest
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import simulate
from cocotb_tests.support.streams import PROFILES, FlitCodec, Sink, Source, start_clock, wait_until
from hw.endpoint.axi import BURST_LAYOUT, read_beat_layout
from hw.endpoint.sync import Sync
from hw.spec.config import load
from hw.spec.packet import WORD_BYTES, FlagWord, MessageClass, Operation
from hw.spec.packing import pack, unpack

CONFIG = load("tiny")
FLIT = CONFIG.fabric.flit_bytes
IDENTITY = 9
ARRIVALS = 60


@pytest.mark.parametrize("seed", [1, 2])
def test_sync(seed):
    simulate(Sync(CONFIG, identity=IDENTITY), module=__name__, case="check_sync", seed=seed)


@cocotb.test()
async def check_sync(dut):
    """Flags anywhere; words without the valid bit, whatever else they hold, are read again."""
    rng, codec = random.Random(cocotb.RANDOM_SEED), FlitCodec(CONFIG)
    dut.start.value = 0
    arrivals = Sink(dut, "o", rng.choice(PROFILES), rng)
    bursts = Sink(dut, "burst", rng.choice(PROFILES), rng)
    beats = Source(dut, "beat", "10%", rng)
    await start_clock(dut)
    for _ in range(ARRIVALS):
        sync_id, base = rng.getrandbits(8), rng.getrandbits(48) & ~(WORD_BYTES - 1)
        dut.interval.value = interval = rng.choice([0, 1, 20])
        dut.start.value, dut.sync_id.value, dut.flag_base.value = 1, sync_id, base
        await RisingEdge(dut.clk)
        # What was asked for when it started counts.
        dut.start.value, dut.flag_base.value = 0, rng.getrandbits(48)
        dut.sync_id.value = rng.getrandbits(8)
        arrivals.received.clear()
        await wait_until(dut, lambda: len(arrivals.received) == 2, "the arrival")
        ((header, payload),) = codec.packets(arrivals.received)
        assert (header["inc"], header["source"], header["length"]) == (1, IDENTITY, WORD_BYTES)
        assert header["address"] == WORD_BYTES * sync_id
        assert header["operation"] == Operation.ATOMIC_ADD
        assert header["message_class"] == MessageClass.WRITE_REQUEST
        assert int.from_bytes(payload, "little") == 1
        flag = (base + WORD_BYTES * sync_id) % (1 << 48)
        for last in [False] * rng.randrange(4) + [True]:
            assert int(dut.waiting.value) == 1
            bursts.received.clear()
            await wait_until(dut, lambda: len(bursts.received) == 1, "a poll")
            burst = unpack(BURST_LAYOUT, bursts.received[0])
            assert (burst["address"], burst["beats"]) == (flag & ~(FLIT - 1), 1)
            word = unpack(FlagWord, rng.getrandbits(FlagWord.as_shape().size))
            word["valid"] = int(last)
            row = rng.getrandbits(8 * FLIT)
            shift = 8 * (flag % FLIT)
            row &= ~((1 << 8 * WORD_BYTES) - 1 << shift)
            row |= pack(FlagWord, word) << shift
            beats.queue.append(pack(read_beat_layout(CONFIG), {"data": row}))
            await wait_until(dut, lambda: beats.idle, "the flag to be taken")
        for _ in range(interval + 3):
            await RisingEdge(dut.clk)
        assert int(dut.waiting.value) == 0
        assert int(dut.status.value) == word["status"]
        assert int(dut.identifier.value) == word["identifier"]
        assert len(bursts.received) == 1, "it polls on"
