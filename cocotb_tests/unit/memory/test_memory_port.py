"""hw/memory/memory_port.py: bursts of all requesters reach a memory that we did not write."""

import itertools
import random

import cocotb
import pytest
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiBus, AxiRam

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import PROFILES, Sink, Source, stalls, start_clock, wait_until
from hw.memory.axi import BURST_LAYOUT, read_beat_layout, readers, write_beat_layout, writers
from hw.memory.memory_port import MemoryPort
from hw.spec.config import AXI_BOUNDARY_BYTES, load, replace_field
from hw.spec.packing import pack, unpack

CONFIG = load("tiny")
FLIT = CONFIG.fabric.flit_bytes
SHARE = 2 * AXI_BOUNDARY_BYTES
"""Bytes of memory for each writer; readers read a share that no writer writes."""

BURSTS = 60
MOST_BEATS = 40


@pytest.mark.parametrize("registered", [False, True])
@pytest.mark.parametrize("pause", PROFILES)
def test_memory_port(pause, registered):
    simulate(
        MemoryPort(replace_field(CONFIG, "fabric.registered", registered)),
        module=__name__,
        case="check_bursts",
        seed=PROFILES.index(pause) + 1,
        pause=pause,
    )


def random_burst(rng, base):
    """Rows within a 4 KiB page of the requester's share."""
    page = base + AXI_BOUNDARY_BYTES * rng.randrange(SHARE // AXI_BOUNDARY_BYTES)
    beats = rng.choice([1, 2, 3, rng.randrange(1, MOST_BEATS)])
    row = rng.randrange(AXI_BOUNDARY_BYTES // FLIT - beats + 1)
    return page + FLIT * row, beats


@cocotb.test()
async def check_bursts(dut):
    """Every byte written is there once its burst counts as visible, strobes included; every
    reader gets its own rows in order."""
    rng = random.Random(cocotb.RANDOM_SEED)
    pause = parameters_of_test()["pause"]
    out, back = writers(CONFIG), readers(CONFIG)
    size = SHARE * (len(out) + 1)
    content = bytearray(rng.randbytes(size))
    sources = {}
    for name, count in (("write", len(out)), ("read", len(back))):
        for index in range(count):
            sources[name, index] = Source(dut, f"{name}_burst__{index}", rng.choice(PROFILES), rng)
    beats = [WriteBeats(dut, index, rng) for index in range(len(out))]
    sinks = [Sink(dut, f"read_beat__{index}", "none", rng) for index in range(len(back))]
    await start_clock(dut)
    ram = AxiRam(AxiBus.from_prefix(dut, "axi_"), dut.clk, dut.rst, size=size)
    for channel in (
        *(ram.write_if.aw_channel, ram.write_if.w_channel, ram.write_if.b_channel),
        *(ram.read_if.ar_channel, ram.read_if.r_channel),
    ):
        channel.set_pause_generator(stalls(pause, random.Random(rng.random())))
    ram.write(0, bytes(content))

    expected_rows = [[] for _ in back]
    for index in range(len(back)):
        for _ in range(BURSTS):
            address, count = random_burst(rng, SHARE * len(out))
            sources["read", index].queue.append(
                pack(BURST_LAYOUT, {"address": address, "beats": count})
            )
            expected_rows[index] += [
                bytes(content[address + FLIT * k : address + FLIT * (k + 1)]) for k in range(count)
            ]
    visible = [0] * len(out)
    cocotb.start_soon(count_visible(dut, visible))
    for index in range(len(out)):
        for _ in range(BURSTS):
            address, count = random_burst(rng, SHARE * index)
            sources["write", index].queue.append(
                pack(BURST_LAYOUT, {"address": address, "beats": count})
            )
            for k in range(count):
                row, strobe = rng.randbytes(FLIT), rng.getrandbits(FLIT)
                beats[index].queue.append((row, strobe, k == count - 1))
                for byte in range(FLIT):
                    if strobe >> byte & 1:
                        content[address + FLIT * k + byte] = row[byte]
    await wait_until(dut, lambda: visible == [BURSTS] * len(out), "all writes to be visible")
    await wait_until(
        dut,
        lambda: all(
            len(sink.received) == len(rows) for sink, rows in zip(sinks, expected_rows, strict=True)
        ),
        "all rows to be read",
    )
    assert bytes(ram.read(0, size)) == bytes(content)
    for sink, rows in zip(sinks, expected_rows, strict=True):
        found = [unpack(read_beat_layout(CONFIG), word) for word in sink.received]
        assert [item["data"].to_bytes(FLIT, "little") for item in found] == rows
        assert not any(item["error"] for item in found)


async def count_visible(dut, visible):
    while True:
        await RisingEdge(dut.clk)
        for index in range(len(visible)):
            visible[index] += int(dut.written.value) >> index & 1


class WriteBeats:
    """Data of a writer, offered no earlier than the burst they belong to is taken."""

    def __init__(self, dut, index, rng):
        self.queue = []
        self._burst_taken = (
            getattr(dut, f"write_burst__{index}__valid"),
            getattr(dut, f"write_burst__{index}__ready"),
        )
        self._valid = getattr(dut, f"write_beat__{index}__valid")
        self._ready = getattr(dut, f"write_beat__{index}__ready")
        self._payload = getattr(dut, f"write_beat__{index}__payload")
        self._stalls = stalls(rng.choice(PROFILES), rng)
        self._valid.value = 0
        cocotb.start_soon(self._run(dut))

    async def _run(self, dut):
        layout, taken, offering = write_beat_layout(CONFIG), 0, False
        while True:
            await RisingEdge(dut.clk)
            taken += all(bool(signal.value) for signal in self._burst_taken)
            if offering and self._ready.value:
                taken -= self.queue.pop(0)[2]
                offering = False
            if not offering and taken and self.queue and not next(self._stalls):
                row, strobe, last = self.queue[0]
                self._payload.value = pack(
                    layout,
                    {"data": int.from_bytes(row, "little"), "strobe": strobe, "last": last},
                )
                offering = True
            self._valid.value = int(offering)


def test_no_gap_between_bursts():
    """With a memory that never pauses, single writer, full rate."""
    simulate(MemoryPort(CONFIG), module=__name__, case="check_rate", seed=1)


@cocotb.test()
async def check_rate(dut):
    """Rows of one page, in bursts of 8, take a cycle each and a few for the last answer."""
    rng = random.Random(1)
    source = Source(dut, "write_burst__0", "none", rng)
    beats = WriteBeats(dut, 0, rng)
    beats._stalls = itertools.repeat(False)
    await start_clock(dut)
    AxiRam(AxiBus.from_prefix(dut, "axi_"), dut.clk, dut.rst, size=AXI_BOUNDARY_BYTES)
    visible = [0]
    cocotb.start_soon(count_visible(dut, visible))
    rows, length = AXI_BOUNDARY_BYTES // FLIT, 8
    for first in range(0, rows, length):
        source.queue.append(pack(BURST_LAYOUT, {"address": FLIT * first, "beats": length}))
        beats.queue += [
            (rng.randbytes(FLIT), (1 << FLIT) - 1, k == length - 1) for k in range(length)
        ]
    cycles = 0
    while visible[0] < rows // length:
        await RisingEdge(dut.clk)
        cycles += 1
        assert cycles < 3 * rows, "the port stalls"
    # The bench waits a cycle between seeing a burst taken and offering its data.
    assert cycles <= rows + 2 * rows // length + 20
