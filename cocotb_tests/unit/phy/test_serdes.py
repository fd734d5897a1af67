"""hw/phy: flits over serial transceivers; here two phys and what lies between their encoders."""

import random

import cocotb
import pytest
from amaranth import Cat, ClockDomain, ClockSignal, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import simulate
from cocotb_tests.support.streams import Source, start_clock, wait_until
from hw.fabric.phy import wire_signature
from hw.phy.serdes import SerdesPhy
from hw.phy.supervisor import LinkStatus
from hw.phy.transceiver_reset import TransceiverReset
from hw.phy.words import BYTE_BITS, WORD_BITS, WORD_BYTES, Word, frame_words
from hw.spec.config import load
from hw.spec.link import wire_layout
from hw.spec.packing import unpack

CONFIG = load("tiny")
FLITS = 200
SIDES = ("left", "right")


class Pair(wiring.Component):
    """Two phys; words reach the other side a byte late if ``slips``, with errors put in."""

    def __init__(self, slips: bool):
        self._slips = slips
        ports = {}
        for side in SIDES:
            ports |= {
                f"{side}_i": In(wire_signature(CONFIG)),
                f"{side}_o": Out(wire_signature(CONFIG)),
                f"{side}_clock": In(1),
                f"{side}_flip": In(WORD_BITS),
                f"{side}_bad": In(WORD_BYTES),
                f"{side}_cut": In(1),
                f"{side}_status": Out(LinkStatus),
            }
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        phys = {}
        for side in SIDES:
            m.submodules[side] = phys[side] = phy = SerdesPhy(CONFIG)
            m.domains += ClockDomain(f"{side}_words", reset_less=True)
            m.d.comb += [
                ClockSignal(f"{side}_words").eq(getattr(self, f"{side}_clock")),
                phy.transmit_clock.eq(getattr(self, f"{side}_clock")),
                getattr(self, f"{side}_status").eq(phy.status),
            ]
            wiring.connect(m, wiring.flipped(getattr(self, f"{side}_i")), phy.i)
            wiring.connect(m, phy.o, wiring.flipped(getattr(self, f"{side}_o")))
        for side, other in (SIDES, SIDES[::-1]):
            sent, flip = phys[side].word_out, getattr(self, f"{side}_flip")
            bad, cut = getattr(self, f"{side}_bad"), getattr(self, f"{side}_cut")
            word = Signal(Word, name=f"{side}_word")
            if self._slips:
                last, last_control = Signal(BYTE_BITS), Signal()
                m.d[f"{side}_words"] += [
                    last.eq(sent.data[BYTE_BITS:]),
                    last_control.eq(sent.control[1]),
                ]
                m.d.comb += [
                    word.data.eq(Cat(last, sent.data[:BYTE_BITS])),
                    word.control.eq(Cat(last_control, sent.control[0])),
                ]
            else:
                m.d.comb += word.eq(sent)
            m.d.comb += [
                phys[other].receive_clock.eq(getattr(self, f"{side}_clock")),
                phys[other].word_in.data.eq(Mux(cut, 0, word.data ^ flip)),
                phys[other].word_in.control.eq(Mux(cut, 0, word.control)),
                phys[other].bad_in.eq(bad),
            ]
        return m


PERIODS_NS = {"left": 8, "right": 12}


def run_clock(dut, side):
    return Clock(getattr(dut, f"{side}_clock"), PERIODS_NS[side], "ns").start()


async def start(dut):
    """All clocks; the link comes up on its own."""
    clocks = {}
    for side in SIDES:
        getattr(dut, f"{side}_flip").value = 0
        getattr(dut, f"{side}_bad").value = 0
        getattr(dut, f"{side}_cut").value = 0
        getattr(dut, f"{side}_o__ready").value = 1
        clocks[side] = run_clock(dut, side)
    rng = random.Random(cocotb.RANDOM_SEED)
    sources = {side: Source(dut, f"{side}_i", "bursts", rng) for side in SIDES}
    arrived = {side: [] for side in SIDES}
    await start_clock(dut)
    for side in SIDES:
        cocotb.start_soon(watch(dut, side, arrived[side]))
    await wait_until(dut, lambda: all(status(dut, side)["up"] for side in SIDES), "the link")
    return sources, arrived, rng, clocks


async def watch(dut, side, into):
    while True:
        await RisingEdge(dut.clk)
        if getattr(dut, f"{side}_o__valid").value:
            into.append(int(getattr(dut, f"{side}_o__payload").value))


def status(dut, side):
    return unpack(LinkStatus, int(getattr(dut, f"{side}_status").value))


def random_flits(rng):
    return [rng.getrandbits(wire_layout(CONFIG).size) for _ in range(FLITS)]


@pytest.mark.parametrize("slips", [False, True])
def test_flits_cross(slips):
    """Both ways at once, whichever byte a word begins with; clocks of three frequencies."""
    simulate(Pair(slips), module=__name__, case="check_flits", seed=1 + slips)


@cocotb.test()
async def check_flits(dut):
    sources, arrived, rng, _ = await start(dut)
    sent = {side: random_flits(rng) for side in SIDES}
    for side in SIDES:
        sources[side].queue.extend(sent[side])
    await wait_until(dut, lambda: all(len(arrived[side]) >= FLITS for side in SIDES), "every flit")
    for side, other in (SIDES, SIDES[::-1]):
        assert arrived[other] == sent[side]
        assert status(dut, side)["errors"] == 0
        assert status(dut, side)["drops"] == 0


@pytest.mark.parametrize("kind", ["flip", "bad"])
def test_damaged_frames_are_dropped(kind):
    """A flipped bit, or a byte that is no symbol, costs a flit at most, and is counted."""
    simulate(Pair(False), module=__name__, case=f"check_{kind}", seed=3)


async def check_damage(dut, port, width):
    sources, arrived, rng, _ = await start(dut)
    sent = random_flits(rng)
    sources["left"].queue.extend(sent)
    damaged = 0
    while not sources["left"].idle:
        for _ in range(frame_words(CONFIG) * rng.randrange(4, 12)):
            await RisingEdge(dut.left_clock)
        getattr(dut, port).value = 1 << rng.randrange(width)
        await RisingEdge(dut.left_clock)
        getattr(dut, port).value = 0
        damaged += 1
    for _ in range(8 * frame_words(CONFIG)):
        await RisingEdge(dut.clk)
    found = status(dut, "right")
    assert found["up"]
    assert found["drops"] == 0
    assert found["errors"] == damaged
    assert len(sent) - damaged <= len(arrived["right"]) < len(sent)
    assert arrived["right"] == [flit for flit in sent if flit in set(arrived["right"])]


@cocotb.test()
async def check_flip(dut):
    await check_damage(dut, "left_flip", WORD_BITS)


@cocotb.test()
async def check_bad(dut):
    await check_damage(dut, "left_bad", WORD_BYTES)


def test_a_cut_ends_in_a_status_and_heals():
    """Zeros instead of words from one side: both go down, and come back when it is over."""
    simulate(Pair(True), module=__name__, case="check_cut", seed=5)


@cocotb.test()
async def check_cut(dut):
    sources, arrived, rng, _ = await start(dut)
    dut.left_cut.value = 1
    await wait_until(dut, lambda: not any(status(dut, side)["up"] for side in SIDES), "the loss")
    assert status(dut, "left")["trained"], "what it receives is whole"
    assert not status(dut, "right")["aligned"]
    dut.left_cut.value = 0
    await wait_until(dut, lambda: all(status(dut, side)["up"] for side in SIDES), "the link")
    for side in SIDES:
        assert status(dut, side)["drops"] == 1
    sent = random_flits(rng)
    sources["left"].queue.extend(sent)
    await wait_until(dut, lambda: len(arrived["right"]) >= FLITS, "every flit")
    assert arrived["right"] == sent


def test_a_clock_that_stops_is_noticed():
    simulate(Pair(False), module=__name__, case="check_clock", seed=6)


@cocotb.test()
async def check_clock(dut):
    *_, clocks = await start(dut)
    clocks["left"].cancel()
    await wait_until(dut, lambda: not status(dut, "right")["clock"], "the loss")
    assert not status(dut, "right")["up"]
    assert status(dut, "right")["aligned"], "nothing moves that could tell"


SETTLE = 6


def test_transceivers_leave_reset_in_order():
    simulate(
        TransceiverReset(settle_cycles=SETTLE), module=__name__, case="check_reset_order", seed=1
    )


@cocotb.test()
async def check_reset_order(dut):
    """Each reset ends when what it waits for has lasted; what is behind a loss starts over."""
    names = ("transmit_reset", "recovery_reset", "receive_reset")
    resets = [getattr(dut, name) for name in names]
    dut.transmit_unlocked.value = 1
    dut.receive_unlocked.value = 1
    dut.silent.value = 1

    async def settled(changes, expected):
        for name, value in changes.items():
            getattr(dut, name).value = value
        for _ in range(SETTLE // 2):
            await RisingEdge(dut.clk)
        if changes.values() and not any(changes.values()):
            assert [int(reset.value) for reset in resets] != expected, "believed too early"
        for _ in range(SETTLE + 4):
            await RisingEdge(dut.clk)
        assert [int(reset.value) for reset in resets] == expected

    await start_clock(dut)
    await settled({}, [1, 1, 1])
    await settled({"transmit_unlocked": 0}, [0, 1, 1])
    await settled({"silent": 0}, [0, 0, 1])
    await settled({"receive_unlocked": 0}, [0, 0, 0])
    await settled({"receive_unlocked": 1}, [0, 0, 1])
    tries = 0
    for _ in range(40 * SETTLE):
        await RisingEdge(dut.clk)
        tries += int(dut.recovery_reset.value)
    assert tries >= 2, "recovery without a lock starts over, again and again"
    await wait_until(dut, lambda: not dut.recovery_reset.value, "another try")
    await settled({"receive_unlocked": 0}, [0, 0, 0])
    await settled({"silent": 1}, [0, 1, 1])
    await settled({"transmit_unlocked": 1}, [1, 1, 1])
