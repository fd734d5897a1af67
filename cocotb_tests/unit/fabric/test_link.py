"""hw/fabric/link*.py over wires that flip bits, lose, double and cut: every flit once, in order.

Against itself, and against ``models/fabric/link.py``; the checksum against its published check
value and Amaranth's library, the code that corrects against Hamming's (7, 4).
"""

import random
from collections import deque

import cocotb
import pytest
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import RisingEdge, Timer

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import Sink, Source, stalls, start_clock, wait_until
from hw.fabric.checksum import Checksum, Correction, Seal
from hw.fabric.link import LinkEvents, LinkLayer
from hw.spec.config import load
from hw.spec.link import CHECKSUM, LinkParameters, check_bits, check_of, places
from hw.spec.packet import link_flit_layout
from hw.spec.packing import unpack
from hw.stream.connect import connect_stream
from models.fabric.link import LinkModel

FLIT = link_flit_layout(load("tiny"))
PARAMETERS = LinkParameters(FLIT, replay_flits=32, repeat_cycles=50, silence_cycles=300)
WORD_BITS = PARAMETERS.word.size
DELAY = 11
FLITS = 600

FAULTS = {
    "none": {},
    "flips": {"flip": 0.2},
    "several flips": {"flip": 0.02, "flips": 0.01},
    "burst": {"burst": 0.01},
    "lost": {"lose": 0.02},
    "doubled": {"double": 0.02},
    "down": {"down": (400, 1200)},
    "everything": {
        "flip": 0.1,
        "flips": 0.01,
        "burst": 0.005,
        "lose": 0.01,
        "double": 0.01,
        "down": (500, 900),
    },
}
REPAIRED_AT_ONCE = {"flip"}
"""What nothing has to be sent again for."""


class Pair(wiring.Component):
    """Two ends; what lies between is left to the test."""

    def __init__(self):
        flits, words = stream.Signature(FLIT), stream.Signature(PARAMETERS.word)
        ports = {"transmit": In(flits), "receive": Out(flits), "o": Out(words), "i": In(words)}
        super().__init__(
            {f"{end}_{name}": port for end in ("near", "far") for name, port in ports.items()}
            | {"up": Out(2), "replayed": Out(2), "corrected": Out(2)}
        )

    def elaborate(self, platform):
        m = Module()
        for index, end in enumerate(("near", "far")):
            m.submodules[end] = part = LinkLayer(PARAMETERS)
            connect_stream(m, getattr(self, f"{end}_transmit"), part.transmit)
            connect_stream(m, part.receive, getattr(self, f"{end}_receive"))
            connect_stream(m, part.o, getattr(self, f"{end}_o"))
            connect_stream(m, getattr(self, f"{end}_i"), part.i)
            m.d.comb += [
                self.up[index].eq(part.events.up),
                self.replayed[index].eq(part.events.replayed),
                self.corrected[index].eq(part.events.corrected),
            ]
        return m


def damaged(word, faults, rng, cycle):
    """What becomes of a word on the wire: a list of words."""
    first, last = faults.get("down", (0, 0))
    if first <= cycle < last or rng.random() < faults.get("lose", 0):
        return []
    if rng.random() < faults.get("flip", 0):
        word ^= 1 << rng.randrange(WORD_BITS)
    if rng.random() < faults.get("flips", 0):
        for place in rng.sample(range(WORD_BITS), rng.randrange(2, 5)):
            word ^= 1 << place
    if rng.random() < faults.get("burst", 0):
        # Of at least two bits: one alone would be put right.
        word ^= (rng.getrandbits(20) | 1 | 1 << 19) << rng.randrange(WORD_BITS - 20)
    return [word] * (2 if rng.random() < faults.get("double", 0) else 1)


async def wire(dut, source, sink, faults, rng, pause, *, delay=DELAY):
    """Carry words from port ``source`` to port ``sink``; the far end always takes them."""
    payload, valid = (getattr(dut, f"{source}__{part}") for part in ("payload", "valid"))
    ready = getattr(dut, f"{source}__ready")
    into = getattr(dut, f"{sink}__payload"), getattr(dut, f"{sink}__valid")
    pausing, line, cycle = stalls(pause, rng), deque([[] for _ in range(delay)]), 0
    waiting = deque()
    ready.value = 0
    into[1].value = 0
    while True:
        await RisingEdge(dut.clk)
        cycle += 1
        moved = valid.value and ready.value
        line.append(damaged(int(payload.value), faults, rng, cycle) if moved else [])
        waiting.extend(line.popleft())
        into[1].value = bool(waiting)
        if waiting:
            into[0].value = waiting.popleft()
        ready.value = int(not next(pausing))


@pytest.mark.parametrize("faults", FAULTS)
@pytest.mark.parametrize(("seed", "pause"), [(1, "none"), (2, "50%"), (3, "90%")])
def test_both_ends(faults, seed, pause):
    """Both directions at once; ``pause``: of a physical layer that is slower than the clock."""
    simulate(Pair(), module=__name__, case="check_both_ends", seed=seed, faults=faults, pause=pause)


@cocotb.test()
async def check_both_ends(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    given = parameters_of_test()
    faults = FAULTS[given["faults"]]
    cocotb.start_soon(wire(dut, "near_o", "far_i", faults, rng, given["pause"]))
    cocotb.start_soon(wire(dut, "far_o", "near_i", faults, rng, given["pause"]))
    sources = [Source(dut, f"{end}_transmit", "bursts", rng) for end in ("near", "far")]
    sinks = [Sink(dut, f"{end}_receive", "none", rng) for end in ("far", "near")]
    seen_up, replayed, corrected = set(), set(), set()

    async def watch():
        while True:
            await RisingEdge(dut.clk)
            seen_up.add(int(dut.up.value))
            replayed.add(int(dut.replayed.value))
            corrected.add(int(dut.corrected.value))

    await start_clock(dut)
    cocotb.start_soon(watch())
    given_flits = []
    for source in sources:
        flits = [rng.getrandbits(FLIT.size) for _ in range(FLITS)]
        source.queue.extend(flits)
        given_flits.append(flits)
    await wait_until(
        dut, lambda: all(len(sink.received) >= FLITS for sink in sinks), "every flit", 60_000
    )
    for _ in range(200):
        await RisingEdge(dut.clk)
    for sink, flits in zip(sinks, given_flits, strict=True):
        assert sink.received == flits
    assert (0 in seen_up) == ("down" in faults)
    assert (replayed == {0}) == (not faults.keys() - REPAIRED_AT_ONCE), "goes back, or never"
    assert (corrected != {0}) == ("flip" in faults)


def test_full_rate():
    """A flit per cycle both ways, as long as the replay memory holds a round trip."""
    simulate(Pair(), module=__name__, case="check_rate", seed=1)


@cocotb.test()
async def check_rate(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    cocotb.start_soon(wire(dut, "near_o", "far_i", {}, rng, "none", delay=2))
    cocotb.start_soon(wire(dut, "far_o", "near_i", {}, rng, "none", delay=2))
    sources = [Source(dut, f"{end}_transmit", "none", rng) for end in ("near", "far")]
    sinks = [Sink(dut, f"{end}_receive", "none", rng) for end in ("far", "near")]
    await start_clock(dut)
    for source in sources:
        source.queue.extend(rng.getrandbits(FLIT.size) for _ in range(FLITS))
    cycles = 0
    while any(len(sink.received) < FLITS for sink in sinks):
        await RisingEdge(dut.clk)
        cycles += 1
        assert cycles < FLITS + 2 * PARAMETERS.replay_flits


def test_news_waits_for_the_wire():
    """What came is acknowledged as soon as a physical layer that stood still moves again."""
    simulate(LinkLayer(PARAMETERS), module=__name__, case="check_news", seed=1)


@cocotb.test()
async def check_news(dut):
    rng, model = random.Random(cocotb.RANDOM_SEED), LinkModel(PARAMETERS)
    dut.transmit__valid.value, dut.receive__ready.value = 0, 1
    words = Source(dut, "i", "none", rng)
    dut.o__ready.value = 1
    await start_clock(dut)
    sent = 0
    for _ in range(20):
        dut.o__ready.value = 0
        # The first news waits in the output register, those that follow behind it.
        for _ in range(rng.randrange(1, 4)):
            model.send(rng.getrandbits(FLIT.size))
            words.queue.append(model.word())
            sent += 1
            for _ in range(rng.randrange(10, 20)):
                await RisingEdge(dut.clk)
        dut.o__ready.value = 1
        told = set()
        for _ in range(4):
            await RisingEdge(dut.clk)
            if dut.o__valid.value:
                word = int(dut.o__payload.value)
                told.add(unpack(PARAMETERS.word, word)["acknowledge"])
                model.hear(word)
        assert sent % (1 << PARAMETERS.sequence_bits) in told, (sent, told)


def test_an_idle_link_is_quiet():
    """A word every ``repeat_cycles``, so that the far end knows it is alive; no more."""
    simulate(Pair(), module=__name__, case="check_quiet", seed=1)


@cocotb.test()
async def check_quiet(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    cocotb.start_soon(wire(dut, "near_o", "far_i", {}, rng, "none"))
    cocotb.start_soon(wire(dut, "far_o", "near_i", {}, rng, "none"))
    source = Source(dut, "near_transmit", "none", rng)
    sinks = [Sink(dut, f"{end}_receive", "none", rng) for end in ("far", "near")]
    Source(dut, "far_transmit", "none", rng)
    await start_clock(dut)
    source.queue.extend(rng.getrandbits(FLIT.size) for _ in range(FLITS))
    await wait_until(dut, lambda: len(sinks[0].received) == FLITS, "every flit", 60_000)
    for _ in range(4 * PARAMETERS.repeat_cycles):
        await RisingEdge(dut.clk)
    words, periods = [0, 0], 20
    for _ in range(periods * (PARAMETERS.repeat_cycles + 1)):
        await RisingEdge(dut.clk)
        for index, end in enumerate(("near", "far")):
            words[index] += int(getattr(dut, f"{end}_o__valid").value)
    assert all(periods - 1 <= count <= periods + 1 for count in words), words


@pytest.mark.parametrize("faults", ["none", "everything"])
@pytest.mark.parametrize("seed", [1, 2])
def test_against_the_model(faults, seed):
    simulate(LinkLayer(PARAMETERS), module=__name__, case="check_model", seed=seed, faults=faults)


@cocotb.test()
async def check_model(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    faults = FAULTS[parameters_of_test()["faults"]] | {"down": (0, 0)}
    model = LinkModel(PARAMETERS)
    source = Source(dut, "transmit", "bursts", rng)
    out = Sink(dut, "o", "10%", rng)
    sink = Sink(dut, "receive", "none", rng)
    wires = Source(dut, "i", "none", rng)
    await start_clock(dut)
    down, up = ([rng.getrandbits(FLIT.size) for _ in range(FLITS)] for _ in range(2))
    source.queue.extend(up)
    for flit in down:
        model.send(flit)
    arrived, heard = [], 0

    def carry():
        nonlocal heard
        for word in out.received[heard:]:
            heard += 1
            for copy in damaged(word, faults, rng, 0):
                flit = model.hear(copy)
                if flit is not None:
                    arrived.append(flit)
        if len(wires.queue) < 4:
            wires.queue.extend(damaged(model.word(), faults, rng, 0))
        return len(sink.received) >= FLITS and len(arrived) >= FLITS

    await wait_until(dut, carry, "every flit", 60_000)
    assert arrived == up
    assert sink.received == down


def test_silence():
    """The link is down ``silence_cycles`` after the last good word, no sooner, until the next."""
    simulate(LinkLayer(PARAMETERS), module=__name__, case="check_silence", seed=1)


@cocotb.test()
async def check_silence(dut):
    rng, model = random.Random(cocotb.RANDOM_SEED), LinkModel(PARAMETERS)
    dut.transmit__valid.value, dut.receive__ready.value, dut.o__ready.value = 0, 1, 1
    words = Source(dut, "i", "none", rng)
    await start_clock(dut)

    def up():
        return unpack(LinkEvents, int(dut.events.value))["up"]

    for _ in range(3):
        for _ in range(PARAMETERS.silence_cycles + 10):
            await RisingEdge(dut.clk)
        assert not up()
        words.queue.append(model.word())
        await wait_until(dut, up, "the link to be up", 10)
        for _ in range(PARAMETERS.silence_cycles - 1):
            await RisingEdge(dut.clk)
            assert up()
        await wait_until(dut, lambda: not up(), "the link to be down", 2)


VECTOR, CHECK_VALUE = b"123456789", 0xD2C22F51
"""CRC-32/MEF of the reveng catalogue."""


def test_checksum():
    """Against the catalogue's check value, and Amaranth's library."""
    assert CHECKSUM(8).compute(VECTOR) == CHECK_VALUE
    # Nine bytes in one word, the first in its low bits, as a CRC that reflects its input reads.
    word = int.from_bytes(VECTOR, "little")
    assert CHECKSUM(8 * len(VECTOR)).compute([word]) == CHECK_VALUE
    for width in (8 * len(VECTOR), PARAMETERS.word.size - CHECKSUM.crc_width):
        simulate(
            Checksum(CHECKSUM, width=width),
            module=__name__,
            case="check_checksum",
            seed=1,
            width=width,
        )


@cocotb.test()
async def check_checksum(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    width = parameters_of_test()["width"]
    words = [0, 1, (1 << width) - 1, *(rng.getrandbits(width) for _ in range(100))]
    if width == 8 * len(VECTOR):
        words.append(int.from_bytes(VECTOR, "little"))
    for word in words:
        dut.data.value = word
        await Timer(1, "ns")
        assert int(dut.crc.value) == CHECKSUM(width).compute([word])
    assert int(dut.crc.value) == CHECK_VALUE or width != 8 * len(VECTOR)


HAMMING_7_4 = {
    0b0000: 0b000,
    0b0001: 0b011,
    0b0010: 0b101,
    0b0100: 0b110,
    0b1000: 0b111,
    0b1011: 0b001,
    0b1111: 0b111 ^ 0b110 ^ 0b101 ^ 0b011,
}
"""Data bits at places 3, 5, 6, 7, by hand, and the check bits at 1, 2, 4."""


def test_hamming_code():
    assert places(4) == [3, 5, 6, 7]
    assert [check_bits(bits) for bits in (1, 4, 5, 11, 12, 26, 27, 318)] == [2, 3, 4, 4, 5, 5, 6, 9]
    for word, check in HAMMING_7_4.items():
        assert check_of(word, 4) == check


def test_correction():
    """Of words as the sender seals them any bit is flipped, or none: they come out as they were."""
    simulate(Correction(width=COVERED), module=__name__, case="check_correction", seed=1)


COVERED = WORD_BITS - PARAMETERS.word["crc"].offset


@cocotb.test()
async def check_correction(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    check = WORD_BITS - COVERED
    for place in [None, *range(WORD_BITS)]:
        model = LinkModel(PARAMETERS)
        model.send(rng.getrandbits(FLIT.size))
        word = model.word()
        came = word if place is None else word ^ 1 << place
        dut.data.value, dut.check.value = came >> check, came & (1 << check) - 1
        await Timer(1, "ns")
        assert int(dut.corrected.value) == word >> check, place
        assert bool(dut.flipped.value) == (place is not None), place


def test_seal():
    """Checksum and check bits are those of the model's words."""
    simulate(Seal(PARAMETERS), module=__name__, case="check_seal", seed=1)


@cocotb.test()
async def check_seal(dut):
    rng, model = random.Random(cocotb.RANDOM_SEED), LinkModel(PARAMETERS)
    added = WORD_BITS - PARAMETERS.body_bits
    for _ in range(100):
        model.send(rng.getrandbits(FLIT.size))
        word = model.word()
        dut.body.value = word >> added
        await Timer(1, "ns")
        assert int(dut.redundancy.value) == word & (1 << added) - 1
        model.sent, model.oldest = 0, rng.getrandbits(PARAMETERS.sequence_bits)
