"""Numbers that grow: every register says what becomes of its own, and the hardware does so."""

import gc
import itertools
import random

import cocotb
import pytest
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import simulate
from cocotb_tests.support.streams import start_clock
from hw.csr.bus import CsrBus, Decoder
from hw.csr.cycle_counter import CycleCounter
from hw.spec.config import load
from hw.spec.dma import ENGINE
from hw.spec.host import BOARD
from hw.spec.instruction import RECORD_TIMES, Completion
from hw.spec.registers import (
    ENDPOINT,
    MOMENT_BITS,
    SWITCH,
    Kind,
    Register,
    counter,
    extended,
    register_map,
    state,
    tally,
)
from models.endpoint.endpoint import Window
from scin.host.driver import Driver, check_words, read_register

MAPS = {"switch": SWITCH, "endpoint": ENDPOINT, "engine": ENGINE, "board": BOARD}
LARGEST = (1 << 32) - 1
SMALL_MAP = register_map(tally("EVENTS", 0, "events"), counter("TOTAL", 8, "a counter"))


@pytest.mark.parametrize("name", MAPS)
def test_map(name):
    """Every register has a kind, and an address of its own; times are modulo 2^32."""
    registers = MAPS[name].values()
    assert all(isinstance(item.kind, Kind) for item in registers)
    taken = [item.address(i) for item in registers for i in range(item.count)]
    assert len(taken) == len(set(taken))
    for item in registers:
        if item.name.endswith("_AT"):
            assert item.kind is Kind.MODULO, item.name
        if item.name.endswith(("CYCLES", "SENT", "RECEIVED", "TRANSMITTED", "ANSWERED", "_BYTES")):
            assert item.kind in (Kind.COUNTER, Kind.SETTING), item.name


@pytest.mark.parametrize("name", MAPS)
def test_fields(name):
    """They overlap nowhere, and several words make whole entries."""
    for item in MAPS[name].values():
        bits = [bit for part in item.fields.values() for bit in range(part.bit, part.last_bit + 1)]
        assert len(bits) == len(set(bits)), item.name
        assert item.count % item.words == 0, item.name
        assert item.unpack(sum(1 << bit for bit in bits)) == {
            field: (1 << part.last_bit - part.bit + 1) - 1 for field, part in item.fields.items()
        }


def test_cycle_counter():
    simulate(CycleCounter(), module=__name__, case="check_cycle_counter", seed=1)


@cocotb.test()
async def check_cycle_counter(dut):
    await start_clock(dut)
    for cycle in range(300):
        await RisingEdge(dut.clk)
        assert int(dut.cycles.value) == cycle


def test_record_times_are_moments():
    for name in RECORD_TIMES:
        assert Completion.layout()[name].width == MOMENT_BITS


def test_what_is_only_read_needs_a_kind():
    with pytest.raises(ValueError, match="COUNT: what is only read needs a kind"):
        Register("COUNT", 0, "r", "some number")
    with pytest.raises(ValueError, match="COUNT: a counter has 2 words"):
        Register("COUNT", 0, "r", "some number", kind=Kind.COUNTER)


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_decoder_refuses_to_cut():
    """What is said to be a counter is shown as one, and nothing wider than its register is."""
    registers = register_map(
        counter("TOTAL", 0, "a counter"),
        tally("EVENTS", 8, "events"),
        state("STATE", 12, "a state"),
    )
    decoder = Decoder(Module(), CsrBus().create(), registers)
    for method, name, width in (
        ("read", "TOTAL", 32),
        ("read", "EVENTS", 32),
        ("read", "STATE", 33),
        ("counter", "TOTAL", 32),
        ("counter", "STATE", 64),
        ("tally", "STATE", 1),
    ):
        with pytest.raises(ValueError, match=name):
            getattr(decoder, method)(name, Signal(width))
    # Never elaborated, of which later tests need not hear.
    del decoder
    gc.collect()


@pytest.mark.parametrize("now", [5, LARGEST, LARGEST + 1, 3 << 32, (7 << 32) + 12345])
@pytest.mark.parametrize("ago", [0, 1, 12346, LARGEST])
def test_extended(now, ago):
    if ago <= now:
        assert extended((now - ago) & LARGEST, now) == now - ago


def test_driver_reads_whole_counters():
    """A counter passes 2^32 between any two reads of its words."""
    register = counter("TOTAL", 0x40, "a counter")
    for early in range(5):
        values = itertools.chain([LARGEST] * early, itertools.repeat(LARGEST + 1))

        def read(address, values=values):
            value = next(values)
            return value >> 32 if address == 0x144 else value & LARGEST

        assert read_register(read, register, 0x100) in (LARGEST, LARGEST + 1)


@pytest.mark.parametrize("value", [-1, 1 << 32])
def test_driver_writes_no_cut_value(value):
    with pytest.raises(ValueError, match="must fit a register of 32 bits"):
        check_words([0, value])


@pytest.mark.parametrize(
    "window",
    [
        Window(1 << 48, 64),
        Window(0, 1 << 48),
        Window(-1, 64),
        Window(0, 64, refused_sources=1 << 16),
        Window(0, 64, refused_tenants=1 << 4),
    ],
)
def test_driver_cuts_no_window(window):
    with pytest.raises(ValueError, match=r"(base|bytes|refused_\w+) = -?\d+: must be"):
        Driver(NoBus(), load("tiny")).set_window(0, 0, window)


class NoBus:
    """Nothing may reach it."""


class Page(wiring.Component):
    def __init__(self):
        super().__init__({"bus": In(CsrBus()), "events": In(32), "clear": In(1), "total": In(64)})

    def elaborate(self, platform):
        m = Module()
        registers = Decoder(m, self.bus, SMALL_MAP)
        registers.tally("EVENTS", self.events, clear=self.clear)
        registers.counter("TOTAL", self.total)
        return m


def test_page():
    simulate(Page(), module=__name__, case="check_page", seed=1)


@cocotb.test()
async def check_page(dut):
    """A tally stays at its largest value until it is cleared."""
    rng = random.Random(cocotb.RANDOM_SEED)
    dut.bus__write.value = dut.clear.value = dut.events.value = 0
    await start_clock(dut)

    async def read(address):
        dut.bus__address.value = address
        for _ in range(2):
            await RisingEdge(dut.clk)
        return int(dut.bus__read_data.value)

    expected = 0
    for _ in range(200):
        if rng.random() < 0.1:
            dut.clear.value, expected = 1, 0
            await RisingEdge(dut.clk)
            dut.clear.value = 0
        events = rng.choice([1, 2, rng.getrandbits(8), rng.getrandbits(32), LARGEST - 1])
        dut.events.value = events
        await RisingEdge(dut.clk)
        dut.events.value = 0
        expected = min(LARGEST, expected + events)
        await RisingEdge(dut.clk)
        assert await read(0) == expected
        total = rng.getrandbits(64)
        dut.total.value = total
        assert (await read(8), await read(12)) == (total & LARGEST, total >> 32)
