"""hw/dma/realign.py: every byte of a segment comes out once, where its destination has it."""

import random

import cocotb
import pytest

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import PROFILES, Sink, Source, start_clock, wait_until
from hw.dma.jobs import JobKind, write_job_layout
from hw.dma.realign import Realign, row_layout
from hw.spec.config import load, replace_field
from hw.spec.packing import pack, unpack

CONFIG = load("tiny")
FLIT = CONFIG.fabric.flit_bytes
ROWS = CONFIG.rows_per_packet
JOBS = 200


@pytest.mark.parametrize("pause_out", PROFILES)
@pytest.mark.parametrize(
    ("registered", "arrival"),
    [(False, "whole"), (False, "row by row"), (True, "row by row")],
)
def test_realign(registered, arrival, pause_out):
    simulate(
        Realign(replace_field(CONFIG, "fabric.registered", registered)),
        module=__name__,
        case="check_bytes",
        seed=PROFILES.index(pause_out) + 1,
        pause_out=pause_out,
        arrival=arrival,
    )


@cocotb.test()
async def check_bytes(dut):
    """All alignments and lengths; the reference is the list of bytes of each segment."""
    given = parameters_of_test()
    rng = random.Random(cocotb.RANDOM_SEED)
    layout, out_layout = write_job_layout(CONFIG), row_layout(CONFIG)
    segments = CONFIG.dma.segments
    jobs = Source(dut, "i", rng.choice(PROFILES), rng)
    packets = Sink(dut, "packet", "none", rng)
    rows = Sink(dut, "o", given["pause_out"], rng)
    dut.complete.value = dut.failed.value = 0
    for index in range(segments):
        getattr(dut, f"arrived__{index}").value = 0
    await start_clock(dut)

    buffer = [rng.randbytes(FLIT) for _ in range(segments * ROWS)]
    cocotb.start_soon(serve(dut, buffer))
    expected = []
    for number in range(JOBS):
        segment = number % segments
        offset = rng.randrange(FLIT)
        length = rng.choice([1, rng.randrange(1, FLIT), rng.randrange(1, FLIT * ROWS - offset + 1)])
        address = 0x1000 + rng.randrange(4096)
        job = {
            "kind": JobKind.DATA,
            "address": address,
            "length": length,
            "segment": segment,
            "offset": offset,
            "release": 1,
            "whole": rng.random() < 0.3,
        }
        needed = -(-(offset + length) // FLIT)
        jobs.queue.append(pack(layout, job))
        arrived = getattr(dut, f"arrived__{segment}")
        if given["arrival"] == "row by row":
            for count in range(1, needed + 1):
                for _ in range(rng.randrange(3)):
                    await cocotb.triggers.RisingEdge(dut.clk)
                arrived.value = count
        arrived.value = needed
        dut.complete.value = 1 << segment
        stored = b"".join(buffer[segment * ROWS : (segment + 1) * ROWS])
        expected.append((address, stored[offset : offset + length]))
        await wait_until(dut, lambda: bool(dut.release.value), "the release of the segment")
        assert int(dut.released.value) == segment
        await cocotb.triggers.RisingEdge(dut.clk)
        dut.complete.value = 0
        arrived.value = 0
    await wait_until(dut, lambda: len(packets.received) == JOBS, "every packet")
    await wait_until(dut, lambda: bool(dut.empty.value), "the last row")
    for _ in range(300):
        await cocotb.triggers.RisingEdge(dut.clk)

    found = iter(unpack(out_layout, word) for word in rows.received)
    for address, content in expected:
        collected, position = b"", address - address % FLIT
        while True:
            row = next(found)
            data = row["data"].to_bytes(FLIT, "little")
            for lane in range(FLIT):
                if row["strobe"] >> lane & 1:
                    assert position + lane == address + len(collected)
                    collected += data[lane : lane + 1]
            position += FLIT
            if row["last"]:
                break
        assert collected == content
    assert next(found, None) is None, "rows that belong to no job"


async def serve(dut, buffer):
    """The buffer of segments: a row, the cycle after it was asked for."""
    while True:
        await cocotb.triggers.RisingEdge(dut.clk)
        if dut.read_row.value:
            dut.read_data.value = int.from_bytes(buffer[int(dut.row.value) % len(buffer)], "little")
