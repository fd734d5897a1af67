"""hw/memory/block_ram.py: AXI4 bursts and a host's single words in one memory."""

import random

import cocotb
import pytest
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiBus, AxiMaster, AxiResp

from cocotb_tests.support.build import simulate
from cocotb_tests.support.streams import PROFILES, stalls, start_clock
from hw.memory.block_ram import BlockRam
from hw.spec.config import load

CONFIG = load("tiny", {"endpoint.memory_bytes": 8192})
BYTES = CONFIG.endpoint.memory_bytes
ROUNDS = 120


@pytest.mark.parametrize("pause", ["none", "50%", "bursts"])
def test_block_ram(pause):
    simulate(
        BlockRam(CONFIG),
        module=__name__,
        case="check_accesses",
        seed=PROFILES.index(pause) + 1,
        pause=pause,
    )


class Host:
    def __init__(self, dut):
        self.dut = dut
        dut.host__valid.value = 0

    async def access(self, address, value=None):
        """A word; the value read, or None beyond the end."""
        dut = self.dut
        dut.host__valid.value = 1
        dut.host__write.value = int(value is not None)
        dut.host__address.value = address // 4
        dut.host__write_data.value = value or 0
        while True:
            await RisingEdge(dut.clk)
            if dut.host__done.value:
                break
        dut.host__valid.value = 0
        found = None if dut.host__error.value else int(dut.host__read_data.value)
        await RisingEdge(dut.clk)
        return found


@cocotb.test()
async def check_accesses(dut):
    """The reference is an array of bytes; host and bursts have halves of their own to write."""
    from cocotb_tests.support.build import parameters_of_test

    rng = random.Random(cocotb.RANDOM_SEED)
    pause = parameters_of_test()["pause"]
    for name in ("arprot", "awprot"):
        assert not hasattr(dut, f"axi__{name}")
    master = AxiMaster(AxiBus.from_prefix(dut, "axi_"), dut.clk, dut.rst)
    for channel in (
        master.write_if.aw_channel,
        master.write_if.w_channel,
        master.write_if.b_channel,
        master.read_if.ar_channel,
        master.read_if.r_channel,
    ):
        channel.set_pause_generator(stalls(pause, random.Random(rng.random())))
    host = Host(dut)
    await start_clock(dut)
    content = bytearray(BYTES)
    for start in range(0, BYTES, 1024):
        content[start : start + 1024] = part = rng.randbytes(1024)
        await master.write(start, part)

    async def bursts():
        for _ in range(ROUNDS):
            size = rng.choice([1, 5, 16, 64, rng.randrange(1, 600)])
            address = rng.randrange(BYTES // 2 - size)
            if rng.random() < 0.5:
                content[address : address + size] = data = rng.randbytes(size)
                assert (await master.write(address, data)).resp == AxiResp.OKAY
            else:
                answer = await master.read(address, size)
                assert answer.resp == AxiResp.OKAY
                assert answer.data == bytes(content[address : address + size])

    async def words():
        for _ in range(ROUNDS):
            address = BYTES // 2 + 4 * rng.randrange(BYTES // 8)
            if rng.random() < 0.5:
                value = rng.getrandbits(32)
                content[address : address + 4] = value.to_bytes(4, "little")
                await host.access(address, value)
            else:
                expected = int.from_bytes(content[address : address + 4], "little")
                assert await host.access(address) == expected, hex(address)

    tasks = [cocotb.start_soon(bursts()), cocotb.start_soon(words())]
    for task in tasks:
        await task
    assert (await master.read(0, BYTES)).data == bytes(content)
    for address in (0, BYTES // 2, BYTES - 4):
        expected = int.from_bytes(content[address : address + 4], "little")
        assert await host.access(address) == expected
    # Beyond the end: an error, and nothing changes.
    assert (await master.write(BYTES, b"12345678")).resp == AxiResp.SLVERR
    assert (await master.read(BYTES, 8)).resp == AxiResp.SLVERR
    assert await host.access(BYTES) is None
    assert await host.access(BYTES, 1) is None
    assert (await master.read(0, BYTES)).data == bytes(content)
