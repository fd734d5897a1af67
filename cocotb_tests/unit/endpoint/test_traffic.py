"""hw/endpoint/traffic.py: the packets asked for, and none else's answers, against a plain list."""

import random
from dataclasses import replace

import cocotb
import pytest
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import simulate
from cocotb_tests.support.streams import (
    PROFILES,
    FlitCodec,
    Sink,
    Source,
    start_clock,
    wait_until,
)
from hw.endpoint.traffic import SEQUENCE_BITS, Traffic
from hw.spec.config import load
from hw.spec.dma import TRAFFIC_ENGINE, RequestTag
from hw.spec.packet import MessageClass, Operation
from hw.spec.status import Status

CONFIG = load("tiny")
FLIT, LIMIT = CONFIG.fabric.flit_bytes, CONFIG.fabric.max_payload_bytes
IDENTITY = 5
RUNS = 30


@pytest.mark.parametrize("seed", [1, 2])
def test_traffic(seed):
    simulate(Traffic(CONFIG, identity=IDENTITY), module=__name__, case="check_traffic", seed=seed)


@cocotb.test()
async def check_traffic(dut):
    """Any addresses, lengths and targets; answers to others and the rest of a header's bits do
    not count."""
    rng, codec = random.Random(cocotb.RANDOM_SEED), FlitCodec(CONFIG)
    dut.enable.value = 0
    sink = Sink(dut, "o", rng.choice(PROFILES), rng)
    answers = Source(dut, "response", "10%", rng)
    await start_clock(dut)
    for _ in range(RUNS):
        length, packets = FLIT * rng.randrange(1, LIMIT // FLIT + 1), rng.randrange(1, 20)
        span = rng.choice([length, 3 * length, rng.getrandbits(32)])
        address, multicast = rng.getrandbits(48) & ~(FLIT - 1), rng.randrange(2)
        destination = rng.getrandbits(16)
        ports = {"limit": packets, "destination": destination, "multicast": multicast}
        ports |= {"address": address, "span": span, "length": length}
        for name, value in ports.items():
            getattr(dut, name).value = value
        sink.received.clear()
        dut.enable.value = 1
        await wait_until(
            dut, lambda n=packets * (1 + length // FLIT): len(sink.received) >= n, "every flit"
        )
        for _ in range(20):
            await RisingEdge(dut.clk)
        assert int(dut.sent.value) == packets
        found = codec.packets(sink.received)
        assert len(found) == packets
        offset = sequence = 0
        for number, (header, payload) in enumerate(found):
            tag = RequestTag.unpack(header.tag)
            assert (header.address, header.length) == ((address + offset) % (1 << 48), length)
            assert (header.multicast, header.destination) == (multicast, destination)
            assert (header.source, header.acknowledge) == (IDENTITY, 1)
            assert header.message_class == MessageClass.WRITE_REQUEST
            assert header.operation == Operation.WRITE
            assert (tag.engine, tag.item) == (TRAFFIC_ENGINE, number)
            words = [IDENTITY << SEQUENCE_BITS | sequence + k for k in range(length // FLIT)]
            assert payload == b"".join(word.to_bytes(4, "little") * (FLIT // 4) for word in words)
            sequence += len(words)
            offset = 0 if offset + length >= span else offset + length
        await check_answers(dut, rng, codec, answers)
        dut.enable.value = 0
        await RisingEdge(dut.clk)


async def check_answers(dut, rng, codec, answers):
    counted = errors = 0
    for _ in range(rng.randrange(40)):
        own, status = rng.random() < 0.7, rng.choice([Status.OK, *Status])
        engine = TRAFFIC_ENGINE if own else rng.randrange(TRAFFIC_ENGINE)
        tag = RequestTag(engine=engine, item=rng.getrandbits(8))
        header = replace(codec.noise(rng), status=status, tag=tag.pack())
        answers.queue.extend(codec.flits(header, rng.randbytes(FLIT * rng.randrange(3))))
        counted += own
        errors += own and status != Status.OK
    found = 0
    while not answers.idle:
        await RisingEdge(dut.clk)
        found += int(dut.failed.value)
    for _ in range(3):
        await RisingEdge(dut.clk)
        found += int(dut.failed.value)
    assert (int(dut.answered.value), found) == (counted, errors)
