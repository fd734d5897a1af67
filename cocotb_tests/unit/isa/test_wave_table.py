"""hw/isa/wave_table.py: packets in any order find their rows."""

import random

import cocotb
import pytest
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import PROFILES, FlitCodec, Source, start_clock, wait_until
from hw.isa.jobs import allocation_layout, release_layout
from hw.isa.wave_table import WaveTable
from hw.spec.config import load
from hw.spec.instruction import read_tag_layout
from hw.spec.packet import Header, MessageClass
from hw.spec.packing import pack
from hw.spec.status import Status

CONFIG = load("tiny")
FLIT, LIMIT = CONFIG.fabric.flit_bytes, CONFIG.fabric.max_payload_bytes
ROUNDS = 40


@pytest.mark.parametrize("burst", [0, 1])
@pytest.mark.parametrize("pause_in", PROFILES)
@pytest.mark.parametrize("registered", [False, True])
def test_wave_table(burst, pause_in, registered):
    simulate(
        WaveTable(load("tiny", {"fabric.registered": registered})),
        module=__name__,
        case="check_rows",
        seed=5,
        burst=burst,
        pause_in=pause_in,
    )


def responses(rng, codec, entry, generation, length, burst, first_packet):
    """Packets of the elements or the scales of one wave, and their rows."""
    content = rng.randbytes(-(-length // FLIT) * FLIT)
    packets = []
    for index, offset in enumerate(range(0, length, LIMIT)):
        size = min(LIMIT, length - offset)
        packet = first_packet + (0 if burst else index)
        tag = {"entry": entry, "generation": generation, "packet": packet}
        header = Header(
            inc=1,
            message_class=MessageClass.READ_RESPONSE,
            tag=pack(read_tag_layout(CONFIG), tag),
            length=size,
            address=offset if burst else 0,
        )
        rows = content[offset : offset + -(-size // FLIT) * FLIT]
        packets.append(codec.flits(header, rows))
    return packets, [content[i : i + FLIT] for i in range(0, len(content), FLIT)]


@cocotb.test()
async def check_rows(dut):
    """Several entries fill at once; a row is read as soon as it is said to be there."""
    given = parameters_of_test()
    rng = random.Random(cocotb.RANDOM_SEED)
    codec = FlitCodec(CONFIG)
    source = Source(dut, "i", given["pause_in"], rng)
    for name in ("allocate__valid", "free__valid", "free__payload", "rows__scale_row"):
        getattr(dut, name).value = 0
    dut.burst_reads.value = given["burst"]
    await start_clock(dut)
    for round_number in range(ROUNDS):
        entries = rng.sample(range(CONFIG.isa.waves), 3)
        flights, rows, scale_rows = [], {}, {}
        for entry in entries:
            length = rng.choice([1, FLIT, LIMIT, LIMIT + 2, 512, rng.randrange(1, 513)])
            scale_length = rng.choice([0, 1, FLIT, rng.randrange(1, 65)])
            expected = {"entry": entry, "generation": round_number}
            expected |= {"length": length, "scale_length": scale_length}
            dut.allocate__payload.value = pack(allocation_layout(CONFIG), expected)
            dut.allocate__valid.value = 1
            await RisingEdge(dut.clk)
            for kept, size, first in (
                (rows, length, 0),
                (scale_rows, scale_length, CONFIG.packets_per_wave),
            ):
                packets, kept[entry] = responses(
                    rng, codec, entry, round_number, size, given["burst"], first
                )
                flights += packets
        dut.allocate__valid.value = 0
        rng.shuffle(flights)
        for flits in flights:
            source.queue.extend(flits)
        for entry in entries:
            for row, expected in enumerate(rows[entry]):
                dut.rows__entry.value = entry
                dut.rows__row.value = dut.rows__asked.value = row
                scale_row = row % max(1, len(scale_rows[entry]))
                dut.rows__scale_row.value = scale_row
                await RisingEdge(dut.clk)
                await RisingEdge(dut.clk)
                await wait_until(dut, lambda: dut.rows__available.value, f"row {row} of {entry}")
                await RisingEdge(dut.clk)
                await RisingEdge(dut.clk)
                await RisingEdge(dut.clk)
                found = int(dut.rows__data.value).to_bytes(FLIT, "little")
                assert found == expected, f"entry {entry}, row {row}"
                if scale_rows[entry]:
                    found = int(dut.rows__scale_data.value).to_bytes(FLIT, "little")
                    assert found == scale_rows[entry][scale_row], f"scales of {entry}"
            assert int(dut.rows__failure.value) == Status.OK
        for entry in entries:
            dut.rows__entry.value = entry
            await RisingEdge(dut.clk)
            await RisingEdge(dut.clk)
            assert dut.rows__complete.value, f"entry {entry} is not complete"
            dut.free__payload.value = pack(release_layout(CONFIG), {"entry": entry})
            dut.free__valid.value = 1
            await RisingEdge(dut.clk)
            dut.free__valid.value = 0
            assert not dut.stray__valid.value
