"""hw/memory/atomic.py: no addition is lost, whatever else is added at the same time."""

import itertools
import logging
import random

import cocotb
import pytest
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiBus, AxiRam

from cocotb_tests.support.build import simulate
from cocotb_tests.support.streams import PROFILES, Source, start_clock, wait_until
from hw.memory.atomic import ADDITION_LAYOUT, Atomic
from hw.memory.axi import AxiId, AxiSignature, readers, writers
from hw.memory.memory_port import MemoryPort
from hw.spec.config import load
from hw.spec.packet import ADDRESS_BITS
from hw.spec.packing import pack
from hw.stream.connect import connect_stream

CONFIG = load("tiny")
REQUESTERS = 3
WORDS = 4
ADDITIONS = 60
MEMORY = 4096


class Bench(wiring.Component):
    """The unit at its place of a memory port."""

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(ADDITION_LAYOUT)).array(REQUESTERS),
                "done": Out(REQUESTERS),
                "error": Out(1),
                "axi": Out(AxiSignature(CONFIG)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.atomic = atomic = Atomic(CONFIG, requesters=REQUESTERS)
        m.submodules.memory = memory = MemoryPort(CONFIG)
        read = readers(CONFIG).index(AxiId.ATOMIC)
        write = writers(CONFIG).index(AxiId.ATOMIC)
        wiring.connect(m, wiring.flipped(self.axi), memory.axi)
        for outer, inner in zip(self.i, atomic.i, strict=True):
            connect_stream(m, outer, inner)
        connect_stream(m, atomic.read_burst, memory.read_burst[read])
        connect_stream(m, memory.read_beat[read], atomic.read_beat)
        connect_stream(m, atomic.write_burst, memory.write_burst[write])
        connect_stream(m, atomic.write_beat, memory.write_beat[write])
        m.d.comb += [
            atomic.written.eq(memory.written[write]),
            atomic.write_error.eq(memory.write_error),
            self.done.eq(atomic.done),
            self.error.eq(atomic.error),
        ]
        return m


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_additions(seed):
    simulate(Bench(), module=__name__, case="check_sums", seed=seed)


@cocotb.test()
async def check_sums(dut):
    """The reference: integers modulo 2^64; memory around the words stays."""
    logging.getLogger("cocotb.dut").setLevel(logging.WARNING)
    rng = random.Random(cocotb.RANDOM_SEED)
    sources = [Source(dut, f"i__{i}", rng.choice(PROFILES), rng) for i in range(REQUESTERS)]
    await start_clock(dut)
    ram = AxiRam(AxiBus.from_prefix(dut, "axi_"), dut.clk, dut.rst, size=MEMORY)
    for channel in (
        ram.write_if.aw_channel,
        ram.write_if.w_channel,
        ram.write_if.b_channel,
        ram.read_if.ar_channel,
        ram.read_if.r_channel,
    ):
        channel.set_pause_generator(itertools.cycle(rng.choices([0, 1], k=101)))
    content = bytearray(rng.randbytes(MEMORY))
    ram.write(0, bytes(content))
    for source in sources:
        for _ in range(ADDITIONS):
            address = 0x100 + 8 * rng.randrange(WORDS)
            # The memory repeats; bits above its size change nothing.
            above = MEMORY * rng.randrange((1 << ADDRESS_BITS) // MEMORY)
            operand = rng.randrange(1 << 64)
            word = int.from_bytes(content[address : address + 8], "little")
            total = (word + operand) % (1 << 64)
            content[address : address + 8] = total.to_bytes(8, "little")
            source.queue.append(
                pack(ADDITION_LAYOUT, {"address": above + address, "operand": operand})
            )
    done = [0] * REQUESTERS

    async def count():
        while True:
            await RisingEdge(dut.clk)
            for index in range(REQUESTERS):
                done[index] += int(dut.done.value) >> index & 1
            assert not dut.done.value or not dut.error.value

    cocotb.start_soon(count())
    await wait_until(dut, lambda: done == [ADDITIONS] * REQUESTERS, "every addition")
    assert ram.read(0, MEMORY) == bytes(content)
