"""hw/host/decoder.py: registers behind a slow AXI4-Lite port, and memories that take their time."""

import itertools
import random

import cocotb
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiLiteRam, AxiResp

from cocotb_tests.support.build import simulate
from cocotb_tests.support.streams import start_clock
from hw.host.decoder import HostDecoder
from hw.spec.host import MEMORY, MEMORY_SPAN

REGISTER_BITS = 12
MEMORIES = 2
WORDS = 64
"""Of each memory; what lies beyond is answered with an error."""
ACCESSES = 400


def test_host_decoder():
    simulate(
        HostDecoder(register_bits=REGISTER_BITS, memories=MEMORIES),
        module=__name__,
        case="check_accesses",
        seed=1,
    )


async def memory(dut, index, content, rng):
    """Answers single accesses after a random while."""
    port = {
        name: getattr(dut, f"memory__{index}__{name}")
        for name in ("valid", "write", "address", "write_data", "read_data", "done", "error")
    }
    while True:
        port["done"].value = 0
        # Whatever lies on these lines without ``done`` has no meaning.
        port["error"].value, port["read_data"].value = rng.getrandbits(1), rng.getrandbits(32)
        await RisingEdge(dut.clk)
        if not port["valid"].value or rng.random() < 0.5:
            continue
        place, read = int(port["address"].value), rng.getrandbits(32)
        if place < WORDS and port["write"].value:
            content[place] = int(port["write_data"].value)
        elif place < WORDS:
            read = content[place]
        port["done"].value, port["error"].value = 1, place >= WORDS
        port["read_data"].value = read
        await RisingEdge(dut.clk)


@cocotb.test()
async def check_accesses(dut):
    """Each access reaches one place, has the answer of that place, and changes nothing else."""
    rng = random.Random(cocotb.RANDOM_SEED)
    contents = [[0] * WORDS for _ in range(MEMORIES)]
    registers = AxiLiteRam(
        AxiLiteBus.from_prefix(dut, "registers_"), dut.clk, dut.rst, size=1 << REGISTER_BITS
    )
    registers.write(0, bytes(1 << REGISTER_BITS))
    for channel in (
        registers.write_if.aw_channel,
        registers.write_if.w_channel,
        registers.write_if.b_channel,
        registers.read_if.ar_channel,
        registers.read_if.r_channel,
    ):
        channel.set_pause_generator(itertools.cycle(rng.choices([0, 1], k=89)))
    for index, content in enumerate(contents):
        cocotb.start_soon(memory(dut, index, content, rng))
    await start_clock(dut)
    master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "axi_"), dut.clk, dut.rst)
    expected = {}
    for _ in range(ACCESSES):
        address = rng.choice(
            (
                4 * rng.randrange(WORDS),
                1 << REGISTER_BITS,
                MEMORY + MEMORY_SPAN * rng.randrange(MEMORIES) + 4 * rng.randrange(WORDS + 2),
                MEMORY + MEMORY_SPAN * MEMORIES,
            )
        )
        there = address < 1 << REGISTER_BITS or (
            address >= MEMORY
            and (address - MEMORY) // MEMORY_SPAN < MEMORIES
            and address % MEMORY_SPAN < 4 * WORDS
        )
        answer = AxiResp.OKAY if there else AxiResp.DECERR
        if rng.random() < 0.5:
            value = rng.getrandbits(32)
            found = await master.write(address, value.to_bytes(4, "little"))
            if there:
                expected[address] = value
        else:
            found = await master.read(address, 4)
            value = expected.get(address, 0)
            assert not there or int.from_bytes(found.data, "little") == value, hex(address)
        assert found.resp == answer, hex(address)
    assert (await master.write(1, b"\1")).resp == AxiResp.DECERR
    for address, value in expected.items():
        if address < MEMORY:
            assert registers.read_dword(address) == value
        else:
            index, place = divmod(address - MEMORY, MEMORY_SPAN)
            assert contents[index][place // 4] == value
