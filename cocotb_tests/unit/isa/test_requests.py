"""hw/isa/read_request.py and writeback.py: waves into packets, against a plain list."""

from __future__ import annotations

import random
from dataclasses import dataclass

import cocotb
import pytest
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import (
    PROFILES,
    FlitCodec,
    Sink,
    Source,
    start_clock,
    wait_until,
)
from hw.isa.jobs import read_job_layout, write_job_layout
from hw.isa.read_request import ReadRequest
from hw.isa.writeback import Writeback
from hw.spec.config import load
from hw.spec.instruction import read_tag_layout, write_tag_layout
from hw.spec.packet import ADDRESS_BITS, MessageClass, Operation
from hw.spec.packing import pack
from hw.spec.status import Status

CONFIG = load("tiny")
FLIT, LIMIT = CONFIG.fabric.flit_bytes, CONFIG.fabric.max_payload_bytes
JOBS = 80


@dataclass(frozen=True)
class Bases:
    """Where operands, their scales and flags lie; anywhere."""

    elements: int
    scales: int
    flags: int

    @classmethod
    def drawn(cls, rng: random.Random) -> Bases:
        return cls(*(FLIT * rng.randrange((1 << ADDRESS_BITS) // FLIT) for _ in range(3)))


def random_offset(rng: random.Random) -> int:
    return FLIT * rng.randrange((1 << 32) // FLIT)


def pieces(length: int, size: int) -> list[tuple[int, int]]:
    return [(offset, min(size, length - offset)) for offset in range(0, length, size)]


def random_length(rng: random.Random) -> int:
    return rng.choice([1, FLIT, FLIT + 1, LIMIT, LIMIT + 2, 512, rng.randrange(1, 513)])


@pytest.mark.parametrize("burst", [0, 1])
@pytest.mark.parametrize("pause_out", PROFILES)
def test_read_request(burst, pause_out):
    simulate(
        ReadRequest(CONFIG, port=1),
        module=__name__,
        case="check_reads",
        seed=2,
        burst=burst,
        pause_out=pause_out,
    )


@cocotb.test()
async def check_reads(dut):
    given, rng = parameters_of_test(), random.Random(cocotb.RANDOM_SEED)
    source = Source(dut, "job", rng.choice(PROFILES), rng)
    sink = Sink(dut, "o", given["pause_out"], rng)
    bases = Bases.drawn(rng)
    dut.base.value, dut.scale_base.value = bases.elements, bases.scales
    dut.burst_reads.value = given["burst"]
    await start_clock(dut)
    expected = []
    for number in range(JOBS):
        length, offset = random_length(rng), random_offset(rng)
        job = {"entry": number % 8, "generation": number, "offset": offset, "length": length}
        parts = [(bases.elements + offset, length, 0)]
        if rng.random() < 0.5:
            # The scales are asked for first; their packets are numbered last.
            scale_offset, scale_length = random_offset(rng), rng.randrange(1, 65)
            job |= {"scale_offset": scale_offset, "scale_length": scale_length}
            parts.insert(0, (bases.scales + scale_offset, scale_length, CONFIG.packets_per_wave))
        source.queue.append(pack(read_job_layout(CONFIG), job))
        for address, total, packet in parts:
            limit = total if given["burst"] else LIMIT
            for index, (start, size) in enumerate(pieces(total, limit)):
                tag = {"entry": number % 8, "generation": number, "packet": packet + index}
                place = (address + start) % (1 << ADDRESS_BITS)
                expected.append((pack(read_tag_layout(CONFIG), tag), place, size))
    await wait_until(dut, lambda: len(sink.received) >= len(expected), "every request")
    packets = FlitCodec(CONFIG).packets(sink.received)
    assert [(h.tag, h.address, h.length) for h, _ in packets] == expected
    for header, payload in packets:
        assert payload == b""
        assert (header.inc, header.source) == (1, 1)
        assert header.message_class == MessageClass.READ_REQUEST
        assert header.operation == Operation.READ


@pytest.mark.parametrize("coalesce", [0, 1])
@pytest.mark.parametrize("pause_out", PROFILES)
def test_writeback(coalesce, pause_out):
    simulate(
        Writeback(CONFIG, port=1),
        module=__name__,
        case="check_writes",
        seed=3,
        coalesce=coalesce,
        pause_out=pause_out,
    )


def expected_writes(rng, bases, number, coalesce):
    """One random job: its bits, its rows, and the packets it must become."""
    layout = write_job_layout(CONFIG)
    if rng.random() < 0.3:
        flag = 8 * rng.randrange(256)
        job = {"notify": 1, "offset": flag, "identifier": number, "status": int(Status.TIMEOUT)}
        place = (bases.flags + flag) % (1 << ADDRESS_BITS)
        header = (Operation.WRITE_NOTIFY, number, place, 0, 0, Status.TIMEOUT)
        return pack(layout, job), [], [(header, b"")]
    length, offset = random_length(rng), random_offset(rng)
    context, generation = number % CONFIG.contexts, number
    job = {"context": context, "generation": generation, "offset": offset, "length": length}
    scales, more = rng.randrange(2), rng.randrange(2)
    job |= {"scales": scales, "more": more}
    base = bases.scales if scales else bases.elements
    rows = [rng.randbytes(FLIT) for _ in range(-(-length // FLIT))]
    tag = pack(write_tag_layout(CONFIG), {"context": context, "generation": generation})
    packets = []
    for start, size in pieces(length, LIMIT):
        acknowledge = int(not coalesce or (start + size == length and not more))
        place = (base + offset + start) % (1 << ADDRESS_BITS)
        header = (Operation.WRITE, tag, place, size, acknowledge, Status.OK)
        first = start // FLIT
        packets.append((header, b"".join(rows[first : first + -(-size // FLIT)])))
    return pack(layout, job), rows, packets


@cocotb.test()
async def check_writes(dut):
    given, rng = parameters_of_test(), random.Random(cocotb.RANDOM_SEED)
    source = Source(dut, "job", rng.choice(PROFILES), rng)
    sink = Sink(dut, "o", given["pause_out"], rng)
    bases = Bases.drawn(rng)
    dut.base.value, dut.flag_base.value = bases.elements, bases.flags
    dut.scale_base.value = bases.scales
    dut.coalesce.value = given["coalesce"]
    dut.rows__reserve.value = dut.rows__row_valid.value = 0
    await start_clock(dut)
    waiting, expected = [], []
    for number in range(JOBS):
        bits, rows, packets = expected_writes(rng, bases, number, given["coalesce"])
        source.queue.append(bits)
        waiting += rows
        expected += packets
    # Rows come as the reduction sends them: reserved first, a fixed latency later, at any time.
    flying = []
    for cycle in range(60_000):
        await RisingEdge(dut.clk)
        start = bool(waiting) and bool(dut.rows__has_room.value) and not dut.rows__reserve.value
        dut.rows__reserve.value = int(start)
        if start:
            flying.append((cycle + 9, waiting.pop(0)))
        arrived = bool(flying) and flying[0][0] <= cycle
        dut.rows__row_valid.value = int(arrived)
        if arrived:
            dut.rows__row.value = int.from_bytes(flying.pop(0)[1], "little")
        if not waiting and not flying and not arrived and source.idle and cycle > 300:
            break
    flits = sum(1 + len(payload) // FLIT for _, payload in expected)
    await wait_until(dut, lambda: len(sink.received) >= flits, "every packet")
    fields = ("operation", "tag", "address", "length", "acknowledge", "status")
    found = [
        (tuple(getattr(header, name) for name in fields), payload)
        for header, payload in FlitCodec(CONFIG).packets(sink.received)
    ]
    # A flag's length field is not used.
    found = [((*h[:3], 0 if h[0] == Operation.WRITE_NOTIFY else h[3], *h[4:]), p) for h, p in found]
    assert found == [(tuple(map(int, header)), payload) for header, payload in expected]
