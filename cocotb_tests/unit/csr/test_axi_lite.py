"""hw/csr/axi_lite.py against cocotbext-axi's AXI4-Lite master, with random pauses."""

import gc
import itertools
import logging
import random

import cocotb
import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import start_clock
from hw.csr.axi_lite import AxiLiteBridge, AxiLiteSignature
from hw.csr.bus import CsrBus, Decoder
from hw.spec.registers import PAGE_BYTES, Register, state

PAGES = 3
REGISTERS = {
    "FIRST": Register("FIRST", 0x000, "rw", ""),
    "ARRAY": Register("ARRAY", 0x010, "rw", "", 4),
    "CONSTANT": state("CONSTANT", 0x020, ""),
    "SMALL": Register("SMALL", 0x024, "rw", ""),
    "EVEN": Register("EVEN", 0x028, "w", ""),
    "UNBUILT": Register("UNBUILT", 0x02C, "rw", ""),
}
SMALL_BITS = 12


class Pages(wiring.Component):
    """The bridge with a few registers behind each page."""

    def __init__(self, *, registered):
        self._registered = registered
        super().__init__({"axi": In(AxiLiteSignature(14))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.bridge = bridge = AxiLiteBridge(
            pages=range(PAGES), registered=self._registered
        )
        wiring.connect(m, wiring.flipped(self.axi), bridge.axi)
        for number, page in enumerate(bridge.page):
            registers = Decoder(m, page, REGISTERS, registered=self._registered)
            registers.storage("FIRST")
            for index in range(4):
                registers.storage("ARRAY", index=index)
            registers.read("CONSTANT", 0xC0DE0000 + number)
            registers.storage("SMALL", bits=SMALL_BITS)
            registers.written("EVEN", accepts=~page.write_data[0])
        return m


@pytest.mark.parametrize("registered", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_axi_lite(seed, registered):
    simulate(
        Pages(registered=registered),
        module=__name__,
        case="check_registers",
        seed=seed,
        pause=seed > 1,
    )


@cocotb.test()
async def check_registers(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    logging.getLogger("cocotb.dut").setLevel(logging.WARNING)
    await start_clock(dut)
    master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "axi_"), dut.clk, dut.rst)
    if parameters_of_test()["pause"]:
        for channel in (
            master.write_if.aw_channel,
            master.write_if.w_channel,
            master.write_if.b_channel,
            master.read_if.ar_channel,
            master.read_if.r_channel,
        ):
            channel.set_pause_generator(itertools.cycle(rng.choices([0, 1], k=97)))
    model = {}
    names = [0x000, 0x010, 0x014, 0x018, 0x01C]
    for _ in range(300):
        page, offset = rng.randrange(PAGES), rng.choice(names)
        address = page * PAGE_BYTES + offset
        if rng.random() < 0.5:
            model[address] = rng.getrandbits(32)
            data = model[address].to_bytes(4, "little")
            assert (await master.write(address, data)).resp == AxiResp.OKAY
        else:
            found = await master.read(address, 4)
            assert found.resp == AxiResp.OKAY
            assert int.from_bytes(found.data, "little") == model.get(address, 0)
    for page in range(PAGES):
        assert await master.read_dword(page * PAGE_BYTES + 0x20) == 0xC0DE0000 + page
    await check_refusals(master, rng)
    # A partial write and an absent page are refused and change nothing.
    before = await master.read_dword(0x000)
    assert (await master.write(0x001, b"\xaa")).resp == AxiResp.DECERR
    assert await master.read_dword(0x000) == before
    assert (await master.write(PAGES * PAGE_BYTES, b"\1\2\3\4")).resp == AxiResp.DECERR
    assert (await master.read(PAGES * PAGE_BYTES, 4)).resp == AxiResp.DECERR


async def check_refusals(master, rng):
    """In any order, each access has its own answer, and what is refused changes nothing."""
    small = dict.fromkeys(range(PAGES), 0)
    for _ in range(300):
        page, value = rng.randrange(PAGES), rng.getrandbits(rng.choice([SMALL_BITS, 32]))
        offset = rng.choice([0x020, 0x024, 0x024, 0x028, 0x02C, 0x030, 0x800, 0xFFC])
        fits = (offset == 0x024 and value < 1 << SMALL_BITS) or (offset == 0x028 and value % 2 == 0)
        address = page * PAGE_BYTES + offset
        if rng.random() < 0.6:
            found = await master.write(address, value.to_bytes(4, "little"))
            assert found.resp == (AxiResp.OKAY if fits else AxiResp.SLVERR), (hex(offset), value)
            if fits and offset == 0x024:
                small[page] = value
        else:
            found = await master.read(address, 4)
            readable = offset in (0x020, 0x024)
            assert found.resp == (AxiResp.OKAY if readable else AxiResp.SLVERR), hex(offset)
        assert await master.read_dword(page * PAGE_BYTES + 0x024) == small[page]


@pytest.mark.parametrize("registered", [False, True])
def test_a_slow_host(registered):
    """It takes an answer only once it has seen it, and so holds ``bready`` low between writes: a
    refusal is that of its own write."""
    simulate(Pages(registered=registered), module=__name__, case="check_slow_host", seed=1)


@cocotb.test()
async def check_slow_host(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    for name in ("awvalid", "wvalid", "bready", "arvalid", "rready", "awprot", "arprot"):
        if hasattr(dut, f"axi__{name}"):
            getattr(dut, f"axi__{name}").value = 0
    await start_clock(dut)
    dut.axi__wstrb.value, dut.axi__awaddr.value = 15, 0x024
    for number in range(60):
        fits = rng.random() < 0.5
        dut.axi__wdata.value = number if fits else 1 << SMALL_BITS
        dut.axi__awvalid.value = dut.axi__wvalid.value = 1
        await until(dut, dut.axi__awready)
        dut.axi__awvalid.value = dut.axi__wvalid.value = 0
        await until(dut, dut.axi__bvalid)
        for _ in range(rng.randrange(3)):
            await RisingEdge(dut.clk)
        assert int(dut.axi__bresp.value) == (AxiResp.OKAY if fits else AxiResp.SLVERR), number
        dut.axi__bready.value = 1
        await RisingEdge(dut.clk)
        dut.axi__bready.value = 0


async def until(dut, signal):
    for _ in range(20):
        await RisingEdge(dut.clk)
        if signal.value:
            return
    raise AssertionError(f"{signal._name} stays low")


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_decoder_checks_its_map():
    """A circuit must go with the map: each once, in a direction that the register has."""
    m, bus = Module(), CsrBus().create()
    registers = Decoder(m, bus, REGISTERS)
    registers.storage("FIRST")
    with pytest.raises(ValueError, match="already"):
        registers.written("FIRST")
    with pytest.raises(ValueError, match="access is 'r'"):
        registers.written("CONSTANT")
    with pytest.raises(ValueError, match="access is 'w'"):
        registers.read("EVEN", 0)
    with pytest.raises(IndexError, match=r"ARRAY\[4\]"):
        registers.storage("ARRAY", index=4)
    # Never elaborated; later tests need not hear of it.
    del m, registers
    gc.collect()
