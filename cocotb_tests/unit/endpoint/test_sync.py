"""hw/endpoint/sync.py: arrive, poll, and tell what the flag says, at every barrier by itself."""

import random
from collections import Counter, deque
from dataclasses import replace

import cocotb
import pytest
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import PROFILES, FlitCodec, Sink, Source, start_clock, wait_until
from hw.endpoint.sync import Sync
from hw.memory.axi import BURST_LAYOUT, read_beat_layout
from hw.spec.config import LONGEST_WAIT_CYCLES, load
from hw.spec.packet import ROUND_BITS, WORD_BYTES, FlagWord, MessageClass, Operation
from hw.spec.packing import pack, unpack
from hw.spec.status import Status
from models.endpoint.sync import SyncModel

CONFIG = load("tiny")
FLIT = CONFIG.fabric.flit_bytes
IDS = CONFIG.isa.sync_ids
IDENTITY = 9
ARRIVALS = 60
CYCLES = 5_000
WORD_BITS = 8 * WORD_BYTES


def check_arrival(header, payload, sync_id, number):
    assert (header.inc, header.source, header.length) == (1, IDENTITY, WORD_BYTES)
    assert (header.address, header.tag) == (WORD_BYTES * sync_id, number)
    assert header.operation == Operation.ATOMIC_ADD
    assert header.message_class == MessageClass.WRITE_REQUEST
    assert int.from_bytes(payload, "little") == 1


def quiet(dut):
    for name in ("start", "cancel", "cycles", "timeout"):
        getattr(dut, name).value = 0


@pytest.mark.parametrize("seed", [1, 2])
def test_sync(seed):
    simulate(Sync(CONFIG, identity=IDENTITY), module=__name__, case="check_sync", seed=seed)


@cocotb.test()
async def check_sync(dut):
    """One wait at a time: flags anywhere; words without the valid bit, or of another round,
    whatever else they hold, are read again."""
    rng, codec = random.Random(cocotb.RANDOM_SEED), FlitCodec(CONFIG)
    quiet(dut)
    arrivals = Sink(dut, "o", rng.choice(PROFILES), rng)
    bursts = Sink(dut, "burst", rng.choice(PROFILES), rng)
    beats = Source(dut, "beat", "10%", rng)
    await start_clock(dut)
    for _ in range(ARRIVALS):
        sync_id, base = rng.randrange(IDS), rng.getrandbits(48) & ~(WORD_BYTES - 1)
        number = rng.getrandbits(ROUND_BITS)
        dut.interval.value = interval = rng.choice([0, 1, 20])
        dut.start.value, dut.sync_id.value, dut.flag_base.value = 1, sync_id, base
        dut.round.value = number
        await RisingEdge(dut.clk)
        # What was asked for when it started counts.
        dut.start.value = 0
        dut.sync_id.value, dut.round.value = rng.randrange(IDS), rng.getrandbits(ROUND_BITS)
        arrivals.received.clear()
        await wait_until(dut, lambda: len(arrivals.received) == 2, "the arrival")
        ((header, payload),) = codec.packets(arrivals.received)
        check_arrival(header, payload, sync_id, number)
        flag = (base + WORD_BYTES * sync_id) % (1 << 48)
        for last in [False] * rng.randrange(4) + [True]:
            assert int(dut.waiting.value) == 1 << sync_id
            bursts.received.clear()
            await wait_until(dut, lambda: len(bursts.received) == 1, "a poll")
            burst = unpack(BURST_LAYOUT, bursts.received[0])
            assert (burst["address"], burst["beats"]) == (flag & ~(FLIT - 1), 1)
            word = replace(FlagWord.unpack(rng.getrandbits(WORD_BITS)), valid=1, round=number)
            if not last and rng.random() < 0.5:
                word = replace(word, valid=0)
            elif not last:
                word = replace(word, round=number ^ 1 << rng.randrange(ROUND_BITS))
            row = rng.getrandbits(8 * FLIT)
            shift = 8 * (flag % FLIT)
            row &= ~((1 << WORD_BITS) - 1 << shift)
            row |= word.pack() << shift
            beats.queue.append(pack(read_beat_layout(CONFIG), {"data": row}))
            await wait_until(dut, lambda: beats.idle, "the flag to be taken")
        for _ in range(interval + 3):
            await RisingEdge(dut.clk)
        assert int(dut.waiting.value) == 0
        assert int(getattr(dut, f"rounds__{sync_id}").value) == number
        assert int(getattr(dut, f"statuses__{sync_id}").value) == word.status
        assert int(getattr(dut, f"identifiers__{sync_id}").value) == word.identifier
        assert len(bursts.received) == 1, "it polls on"


async def arrived(dut, sink, count):
    await wait_until(dut, lambda: len(sink.received) >= 2 * count, "every arrival")


def test_arrivals_behind_a_busy_link():
    simulate(Sync(CONFIG, identity=IDENTITY), module=__name__, case="check_busy_link", seed=1)


@cocotb.test()
async def check_busy_link(dut):
    """While one arrival cannot leave, others are asked for in any order, and some are cancelled:
    those that are left leave once each, in turn from the one that left."""
    rng, codec = random.Random(cocotb.RANDOM_SEED), FlitCodec(CONFIG)
    quiet(dut)
    dut.interval.value = dut.beat__valid.value = dut.burst__ready.value = 0
    dut.flag_base.value = 0
    sink = Sink(dut, "o", "none", rng)
    await start_clock(dut)
    for _ in range(ARRIVALS):
        order = rng.sample(range(IDS), IDS)
        sink.stop()
        numbers = [rng.getrandbits(ROUND_BITS) for _ in range(IDS)]
        for s in order:
            dut.start.value, dut.sync_id.value, dut.round.value = 1, s, numbers[s]
            await RisingEdge(dut.clk)
        dut.start.value = 0
        gone = {s for s in order[1:] if rng.random() < 0.3}
        for s in gone:
            dut.cancel.value, dut.cancel_id.value = 1, s
            await RisingEdge(dut.clk)
        dut.cancel.value = 0
        sink.received.clear()
        sink.go_on()
        left = [s for s in sorted(order, key=lambda s: (s - order[0]) % IDS) if s not in gone]
        await arrived(dut, sink, len(left))
        for _ in range(10):
            await RisingEdge(dut.clk)
        packets = codec.packets(sink.received)
        found = [(header.address // WORD_BYTES, header.tag) for header, _ in packets]
        assert found == [(s, numbers[s]) for s in left]
        for s in left:
            dut.cancel.value, dut.cancel_id.value = 1, s
            await RisingEdge(dut.clk)
        dut.cancel.value = 0
        await RisingEdge(dut.clk)


def test_the_longest_timeout():
    simulate(Sync(CONFIG, identity=IDENTITY), module=__name__, case="check_longest", seed=1)


@cocotb.test()
async def check_longest(dut):
    """It is noticed at every barrier, whichever of them the hardware looks at in that cycle."""
    quiet(dut)
    dut.interval.value = dut.beat__valid.value = dut.burst__ready.value = dut.flag_base.value = 0
    dut.o__ready.value = 1
    dut.timeout.value = LONGEST_WAIT_CYCLES
    await start_clock(dut)
    for _ in range(IDS):
        # Another phase of the turn each time.
        await RisingEdge(dut.clk)
        for s in range(IDS):
            dut.start.value, dut.sync_id.value = 1, s
            await RisingEdge(dut.clk)
        dut.start.value = 0
        await RisingEdge(dut.clk)
        for cycle in range(LONGEST_WAIT_CYCLES - 2 * IDS, 1 << 32):
            assert int(dut.waiting.value) == (1 << IDS) - 1 or cycle > LONGEST_WAIT_CYCLES
            dut.cycles.value = cycle
            await RisingEdge(dut.clk)
        assert int(dut.waiting.value) == 0
        assert int(dut.statuses__0.value) == Status.FLAG_TIMEOUT
        dut.cycles.value = 0
        await RisingEdge(dut.clk)


@pytest.mark.parametrize("seed", range(1, 11))
def test_many_waits(seed):
    simulate(
        Sync(CONFIG, identity=IDENTITY),
        module=__name__,
        case="check_many_waits",
        seed=seed,
        timeout=400 * (seed % 2),
    )


@cocotb.test()
async def check_many_waits(dut):
    """Waits at every barrier at once, flags in time, late and of other rounds, cancelled and
    expired waits: each ends once, for a reason that the golden twin knows; none is lost."""
    rng, codec = random.Random(cocotb.RANDOM_SEED), FlitCodec(CONFIG)
    timeout = parameters_of_test()["timeout"]
    quiet(dut)
    dut.timeout.value, dut.interval.value = timeout, rng.choice([0, 3, 9])
    dut.flag_base.value = base = WORD_BYTES * rng.randrange(1 << 20)
    arrivals = Sink(dut, "o", rng.choice(("none", "50%", "bursts")), rng)
    bursts = Sink(dut, "burst", "10%", rng)
    beats = Source(dut, "beat", "10%", rng)
    await start_clock(dut)
    model = SyncModel(IDS)
    flags = [0] * IDS
    polled = deque()
    """What was in memory when the poll on its way read it: barrier and word."""
    started, outcomes = [0] * IDS, Counter()
    recent = dict.fromkeys(range(IDS), False)
    """Was the wait cancelled in the cycle before?"""

    async def memory():
        while True:
            await RisingEdge(dut.clk)
            while bursts.received:
                address = unpack(BURST_LAYOUT, bursts.received.pop(0))["address"]
                row = sum(
                    flags[s] << 8 * ((base + WORD_BYTES * s) - address)
                    for s in range(IDS)
                    if 0 <= base + WORD_BYTES * s - address < FLIT
                )
                polled.append(list(flags))
                beats.queue.append(pack(read_beat_layout(CONFIG), {"data": row}))

    cocotb.start_soon(memory())
    for cycle in range(CYCLES):
        dut.cycles.value = cycle
        dut.start.value = dut.cancel.value = 0
        s, number = rng.randrange(IDS), rng.getrandbits(2)
        action = rng.random()
        if action < 0.02 and not model.waits[s].waiting:
            assert model.arrive(s, number)
            started[s] = cycle
            dut.start.value, dut.sync_id.value, dut.round.value = 1, s, number
        elif action < 0.024 and model.waits[s].waiting and cycle > started[s] + 1:
            dut.cancel.value, dut.cancel_id.value = 1, s
        elif action < 0.04:
            word = replace(
                FlagWord.unpack(rng.getrandbits(WORD_BITS)),
                valid=int(rng.random() < 0.8),
                round=rng.getrandbits(2),
                status=rng.choice(list(Status)),
            )
            flags[s] = word.pack()
        await RisingEdge(dut.clk)
        cancelled = s if dut.cancel.value else None
        for s, wait in enumerate(model.waits):
            if not wait.waiting or cycle <= started[s] + 1:
                continue
            if int(dut.waiting.value) >> s & 1:
                assert timeout == 0 or cycle - started[s] <= timeout + IDS + 4, "too long a wait"
                continue
            # The reason why it ended is one of those that there were.
            status = int(getattr(dut, f"statuses__{s}").value)
            identifier = int(getattr(dut, f"identifiers__{s}").value)
            found = {"status": status, "identifier": identifier}
            words = [words[s] for words in list(polled)[-3:]]
            same = [w for w in words if found.items() <= vars(FlagWord.unpack(w)).items()]
            if status == Status.CANCELLED and recent[s]:
                assert model.cancel(s)
                outcomes["cancelled"] += 1
            elif any(model.look(s, word) for word in same):
                outcomes["seen"] += 1
            else:
                assert status == Status.FLAG_TIMEOUT
                assert timeout
                assert cycle - started[s] >= timeout
                assert model.expire(s)
                outcomes["expired"] += 1
        recent = {s: s == cancelled for s in range(IDS)}
    dut.start.value = dut.cancel.value = 0
    await wait_until(dut, lambda: len(arrivals.received) % 2 == 0, "the last arrival")
    packets = codec.packets(arrivals.received)
    sent = [(header.address // WORD_BYTES, header.tag) for header, _ in packets]
    for header, payload in packets:
        check_arrival(header, payload, header.address // WORD_BYTES, header.tag)
    # An arrival whose wait ended before it left may be missing, in order per barrier.
    for s in range(IDS):
        mine, expected = ([r for b, r in those if b == s] for those in (sent, model.sent))
        remaining = iter(expected)
        assert all(number in remaining for number in mine)
        assert len(mine) >= len(expected) - outcomes["cancelled"] - outcomes["expired"] - 1
    assert outcomes["seen"] > 8, outcomes
    assert (outcomes["expired"] > 0) == bool(timeout), outcomes
