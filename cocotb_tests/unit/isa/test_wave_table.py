"""hw/isa/wave_table.py: packets in any order find their rows."""

import random

import cocotb
import pytest
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import PROFILES, FlitCodec, Source, start_clock, wait_until
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
    for name in ("allocate", "free", "abandon", "scale_row"):
        getattr(dut, name).value = 0
    dut.burst_reads.value = given["burst"]
    await start_clock(dut)
    for round_number in range(ROUNDS):
        entries = rng.sample(range(CONFIG.isa.waves), 3)
        flights, rows, scale_rows = [], {}, {}
        for entry in entries:
            length = rng.choice([1, FLIT, LIMIT, LIMIT + 2, 512, rng.randrange(1, 513)])
            dut.allocate.value = 1
            dut.allocate_entry.value = entry
            dut.allocate_generation.value = round_number
            dut.allocate_length.value = length
            scale_length = rng.choice([0, 1, FLIT, rng.randrange(1, 65)])
            dut.allocate_scale_length.value = scale_length
            await RisingEdge(dut.clk)
            for kept, size, first in (
                (rows, length, 0),
                (scale_rows, scale_length, CONFIG.packets_per_wave),
            ):
                packets, kept[entry] = responses(
                    rng, codec, entry, round_number, size, given["burst"], first
                )
                flights += packets
        dut.allocate.value = 0
        rng.shuffle(flights)
        for flits in flights:
            source.queue.extend(flits)
        for entry in entries:
            for row, expected in enumerate(rows[entry]):
                dut.entry.value = entry
                dut.row.value = dut.asked.value = row
                scale_row = row % max(1, len(scale_rows[entry]))
                dut.scale_row.value = scale_row
                await RisingEdge(dut.clk)
                await RisingEdge(dut.clk)
                await wait_until(dut, lambda: dut.available.value, f"row {row} of {entry}")
                await RisingEdge(dut.clk)
                await RisingEdge(dut.clk)
                await RisingEdge(dut.clk)
                found = int(dut.data.value).to_bytes(FLIT, "little")
                assert found == expected, f"entry {entry}, row {row}"
                if scale_rows[entry]:
                    found = int(dut.scale_data.value).to_bytes(FLIT, "little")
                    assert found == scale_rows[entry][scale_row], f"scales of {entry}"
            assert int(dut.failure.value) == Status.OK
        for entry in entries:
            dut.entry.value = entry
            await RisingEdge(dut.clk)
            await RisingEdge(dut.clk)
            assert dut.complete.value, f"entry {entry} is not complete"
            dut.free.value = 1
            dut.free_entry.value = entry
            await RisingEdge(dut.clk)
            dut.free.value = 0
            assert not dut.stray.value
