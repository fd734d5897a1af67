"""hw/phy: frames over lanes find their alignment, carry flits, and notice when they do not."""

import random

import cocotb
import pytest
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import Source, start_clock, wait_until
from hw.fabric.phy import wire_signature
from hw.phy.deserializer import MOST_BAD, STREAK, Deserializer
from hw.phy.frame import Framing
from hw.phy.serializer import Sending, Serializer
from hw.phy.training import STEPS, TAPS_PER_STEP, Training, TrainingState
from hw.spec.config import load
from hw.spec.link import wire_layout

CONFIG = load("tiny")
LANES = 6
FLITS = 200


class Wire(wiring.Component):
    """Serializer, a wire that is ``delay`` cycles long and may flip bits, deserializer."""

    def __init__(self, lanes: int, delay: int):
        self._framing = Framing(CONFIG, lanes)
        self._delay = delay
        super().__init__(
            {
                "i": In(wire_signature(CONFIG)),
                "sending": In(2),
                "flip": In(self._framing.word_bits),
                "flit_valid": Out(1),
                "flit": Out(wire_layout(CONFIG).size),
                "aligned": Out(1),
                "far_trained": Out(1),
                "lane_good": Out(lanes),
                "error": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.serializer = serializer = Serializer(self._framing)
        m.submodules.deserializer = deserializer = Deserializer(self._framing)
        word = serializer.word
        for step in range(self._delay):
            later = Signal.like(word, name=f"word_{step}")
            m.d.sync += later.eq(word)
            word = later
        m.d.comb += [
            serializer.i.payload.eq(self.i.payload),
            serializer.i.valid.eq(self.i.valid),
            self.i.ready.eq(serializer.i.ready),
            serializer.sending.eq(self.sending),
            deserializer.word.eq(word ^ self.flip),
            self.flit_valid.eq(deserializer.flit_valid),
            self.flit.eq(deserializer.flit),
            self.aligned.eq(deserializer.aligned),
            self.far_trained.eq(deserializer.far_trained),
            self.lane_good.eq(deserializer.lane_good),
            self.error.eq(deserializer.error),
        ]
        return m


@pytest.mark.parametrize(("lanes", "delay"), [(6, 0), (6, 1), (6, 5), (6, 11), (1, 3), (8, 4)])
def test_flits_cross(lanes, delay):
    """Whatever the delay, and so the alignment; random pauses, in order, nothing else."""
    simulate(Wire(lanes, delay), module=__name__, case="check_flits", seed=delay + 1, lanes=lanes)


class Watch:
    def __init__(self, dut):
        self.flits = []
        self.errors = 0
        self.was = 0
        cocotb.start_soon(self._run(dut))

    async def _run(self, dut):
        while True:
            await RisingEdge(dut.clk)
            if dut.flit_valid.value:
                self.flits.append(int(dut.flit.value))
            self.errors += int(dut.error.value) != self.was
            self.was = int(dut.error.value)


async def align(dut, lanes):
    """Train one direction; the marker tells the far end that we are."""
    dut.flip.value = 0
    dut.sending.value = Sending.UNTRAINED.value
    source = Source(dut, "i", "bursts", random.Random(cocotb.RANDOM_SEED))
    await start_clock(dut)
    frames = Framing(CONFIG, lanes).symbols * (STREAK + 4)
    for _ in range(frames):
        await RisingEdge(dut.clk)
    assert int(dut.lane_good.value) == (1 << lanes) - 1
    assert dut.aligned.value
    assert not dut.far_trained.value
    dut.sending.value = Sending.TRAINED.value
    for _ in range(frames):
        await RisingEdge(dut.clk)
    assert dut.far_trained.value
    dut.sending.value = Sending.FLITS.value
    return source, Watch(dut)


@cocotb.test()
async def check_flits(dut):
    lanes = parameters_of_test()["lanes"]
    source, watch = await align(dut, lanes)
    rng = random.Random(cocotb.RANDOM_SEED + 1)
    sent = [rng.getrandbits(wire_layout(CONFIG).size) for _ in range(FLITS)]
    source.queue.extend(sent)
    await wait_until(dut, lambda: len(watch.flits) >= FLITS, "every flit")
    assert watch.flits == sent
    assert watch.errors == 0
    assert dut.aligned.value


def test_damaged_frames_are_dropped():
    """One flipped bit costs one flit, and is counted; a dead wire ends the alignment."""
    simulate(Wire(LANES, 2), module=__name__, case="check_damage", seed=1, lanes=LANES)


@cocotb.test()
async def check_damage(dut):
    source, watch = await align(dut, LANES)
    rng = random.Random(cocotb.RANDOM_SEED)
    symbols = Framing(CONFIG, LANES).symbols
    sent = [rng.getrandbits(wire_layout(CONFIG).size) for _ in range(FLITS)]
    source.queue.extend(sent)
    damaged = 0
    while not source.idle:
        for _ in range(symbols * rng.randrange(4, 12)):
            await RisingEdge(dut.clk)
        dut.flip.value = 1 << rng.randrange(2 * LANES)
        await RisingEdge(dut.clk)
        dut.flip.value = 0
        damaged += 1
    for _ in range(8 * symbols):
        await RisingEdge(dut.clk)
    assert dut.aligned.value, "single errors do not end the alignment"
    # A bit of the padding, or of a frame that is idle, may be hit: no flit is lost then.
    assert len(sent) - damaged <= len(watch.flits) <= len(sent)
    assert 0 < watch.errors <= damaged
    assert [flit for flit in watch.flits if flit not in sent] == []
    assert watch.flits == [flit for flit in sent if flit in set(watch.flits)]

    dut.flip.value = int("10" * LANES, 2)
    for _ in range((MOST_BAD + 4) * symbols):
        await RisingEdge(dut.clk)
    assert not dut.aligned.value
    assert not dut.far_trained.value


SETTLE = 8


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_training_finds_the_middle(seed):
    simulate(
        Training(lanes=LANES, settle_cycles=SETTLE),
        module=__name__,
        case="check_training",
        seed=seed,
    )


class Delays:
    """Delay elements, and lanes that are good while their delay lies within an eye."""

    def __init__(self, dut, eyes):
        self.taps = [0] * LANES
        self.eyes = eyes
        cocotb.start_soon(self._run(dut))

    def good(self):
        return [low <= tap < high for tap, (low, high) in zip(self.taps, self.eyes, strict=True)]

    async def _run(self, dut):
        moved = 0
        while True:
            good = self.good()
            dut.lane_good.value = sum(bit << lane for lane, bit in enumerate(good))
            dut.aligned.value = int(all(good))
            await RisingEdge(dut.clk)
            move = int(dut.delay_move.value)
            for lane in range(LANES):
                # The end of a pulse moves; loading is stronger.
                self.taps[lane] += (moved >> lane & 1) and not (move >> lane & 1)
            if dut.delay_load.value:
                self.taps = [0] * LANES
            moved = move


@cocotb.test()
async def check_training(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    dut.alive.value = 1
    eyes = []
    for _ in range(LANES):
        low = TAPS_PER_STEP * rng.randrange(STEPS - 4)
        eyes.append((low, low + TAPS_PER_STEP * rng.randrange(3, STEPS - low // TAPS_PER_STEP)))
    dead = [(1000, 1001), *eyes[1:]]
    delays = Delays(dut, dead)
    await start_clock(dut)
    sweep = STEPS * (SETTLE + 2 * TAPS_PER_STEP + 4) + 400
    for _ in range(2 * sweep):
        await RisingEdge(dut.clk)
        assert not dut.trained.value, "a lane without an eye cannot be trained"
    # The clock stops for a moment: a sweep begins with the eyes as they are now.
    dut.alive.value = 0
    delays.eyes = eyes
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    dut.alive.value = 1
    await wait_until(dut, lambda: bool(dut.trained.value), "training")
    for tap, (low, high) in zip(delays.taps, eyes, strict=True):
        assert abs(tap - (low + high) / 2) <= TAPS_PER_STEP, (tap, low, high)
    delays.eyes = dead
    await wait_until(dut, lambda: not dut.trained.value, "the loss to show")
    await RisingEdge(dut.clk)
    assert int(dut.state.value) == TrainingState.SWEEPING.value
