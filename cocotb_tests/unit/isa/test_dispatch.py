"""hw/isa/dispatch.py: what controllers and scheduler hand out reaches every port that it names."""

import random

import cocotb
import pytest
from amaranth.lib import data
from cocotb.triggers import RisingEdge, Timer

from cocotb_tests.support.build import simulate
from cocotb_tests.support.streams import PROFILES, Sink, Source, start_clock, wait_until
from hw.isa.dispatch import Behind, ReadDispatch, StartDispatch, ToPorts, WriteDispatch
from hw.isa.jobs import (
    allocation_layout,
    expectation_layout,
    opening_layout,
    operand_layout,
    operands_layout,
    read_job_layout,
    write_job_layout,
)
from hw.spec.config import load
from hw.spec.packet import ADDRESS_BITS
from hw.spec.packing import pack, unpack

FIELDS = {"system.endpoints": 3}
CONFIG = load("tiny", FIELDS)
PORTS, CONTROLLERS = CONFIG.system.endpoints, CONFIG.isa.wave_controllers
ITEM = data.StructLayout({"ports": PORTS, "number": 16})
ITEMS = 150


def built(registered):
    return load("tiny", FIELDS | {"fabric.registered": registered})


def test_to_ports():
    simulate(ToPorts(ITEM), module=__name__, case="check_to_ports", seed=1)


@cocotb.test()
async def check_to_ports(dut):
    """An item is taken when all of its ports are ready, and reaches those ports and no others."""
    rng = random.Random(cocotb.RANDOM_SEED)
    taken = 0
    for _ in range(1000):
        ports, offers = rng.getrandbits(PORTS), rng.randrange(2)
        item = pack(ITEM, {"ports": ports, "number": rng.getrandbits(16)})
        dut.i__payload.value, dut.i__valid.value = item, offers
        ready = [rng.random() < 0.7 for _ in range(PORTS)]
        for i, is_ready in enumerate(ready):
            getattr(dut, f"o__{i}__ready").value = int(is_ready)
        await Timer(1, "ns")
        moves = offers and all(ready[i] for i in range(PORTS) if ports >> i & 1)
        assert bool(dut.i__valid.value and dut.i__ready.value) == bool(moves)
        for i in range(PORTS):
            goes = bool(getattr(dut, f"o__{i}__valid").value)
            assert goes == bool(moves and ports >> i & 1)
            assert not goes or int(getattr(dut, f"o__{i}__payload").value) == item
        taken += bool(moves)
    assert 100 < taken < 900


def test_behind():
    simulate(Behind(16), module=__name__, case="check_behind", seed=1)


@cocotb.test()
async def check_behind(dut):
    """Nothing is offered anew while it is held; the sink checks that what was offered stays."""
    rng = random.Random(cocotb.RANDOM_SEED)
    dut.held.value = 0
    source, sink = Source(dut, "i", "10%", rng), Sink(dut, "o", "50%", rng)
    await start_clock(dut)
    source.queue.extend(range(ITEMS))
    offered_before = held = 0
    while len(sink.received) < ITEMS:
        dut.held.value = rng.randrange(2)
        await RisingEdge(dut.clk)
        held, offers = int(dut.held.value), bool(dut.o__valid.value)
        assert not (held and offers and not offered_before)
        offered_before = offers and not dut.o__ready.value
    assert sink.received == list(range(ITEMS))


def test_start():
    simulate(StartDispatch(CONFIG), module=__name__, case="check_start", seed=1)


@cocotb.test()
async def check_start(dut):
    """The highest controller that begins is told to every port, with its operand's address."""
    rng = random.Random(cocotb.RANDOM_SEED)
    for _ in range(500):
        starts = []
        for c in range(CONTROLLERS):
            opening = {"context": rng.randrange(CONFIG.contexts), "generation": rng.getrandbits(8)}
            start = {
                "opening": pack(opening_layout(CONFIG), opening),
                "addresses": [rng.getrandbits(ADDRESS_BITS) for _ in range(PORTS)],
                "scale_addresses": [rng.getrandbits(ADDRESS_BITS) for _ in range(PORTS)],
            }
            getattr(dut, f"i__{c}__payload").value = pack(operands_layout(CONFIG), start)
            starts.append((rng.random() < 0.6, start))
            getattr(dut, f"i__{c}__valid").value = int(starts[c][0])
        await Timer(1, "ns")
        begins = [c for c, (valid, _) in enumerate(starts) if valid]
        for c in begins:
            assert bool(getattr(dut, f"i__{c}__ready").value) == (c == begins[-1])
        for i in range(PORTS):
            assert bool(getattr(dut, f"o__{i}__valid").value) == bool(begins)
            if begins:
                start = starts[begins[-1]][1]
                expected = {
                    "opening": start["opening"],
                    "address": start["addresses"][i],
                    "scale_address": start["scale_addresses"][i],
                }
                found = unpack(operand_layout(CONFIG), int(getattr(dut, f"o__{i}__payload").value))
                assert found == expected


async def events(dut, name, layout, found):
    """Append every event of port ``name`` to ``found``, as a dictionary."""
    while True:
        await RisingEdge(dut.clk)
        if getattr(dut, f"{name}__valid").value:
            found.append(unpack(layout, int(getattr(dut, f"{name}__payload").value)))


@pytest.mark.parametrize("registered", [False, True])
def test_reads(registered):
    component = ReadDispatch(built(registered))
    simulate(component, module=__name__, case="check_reads", seed=1, registered=registered)


@cocotb.test()
async def check_reads(dut):
    """Each controller's waves in order, at every port that they are read from, and their entries
    there are told of their bytes."""
    rng = random.Random(cocotb.RANDOM_SEED)
    layout, names = read_job_layout(CONFIG), ("entry", "generation", "length", "scale_length")
    sources = [Source(dut, f"i__{c}", rng.choice(PROFILES), rng) for c in range(CONTROLLERS)]
    sinks = [Sink(dut, f"o__{i}", "50%", rng, like_queue=True) for i in range(PORTS)]
    told = [[] for _ in range(PORTS)]
    await start_clock(dut)
    for i in range(PORTS):
        name = f"allocate__{i}"
        cocotb.start_soon(events(dut, name, allocation_layout(CONFIG), told[i]))
    jobs = []
    for c, source in enumerate(sources):
        for _ in range(ITEMS):
            job = unpack(layout, rng.getrandbits(layout.size))
            # Which controller a job is of can be told from its context.
            job |= {"context": c, "ports": rng.randrange(1, 1 << PORTS)}
            source.queue.append(pack(layout, job))
            jobs.append(job)
    await wait_until(dut, lambda: all(s.idle for s in sources), "every wave", 50_000)
    for _ in range(300):
        await RisingEdge(dut.clk)
    for i, sink in enumerate(sinks):
        found = [unpack(layout, word) for word in sink.received]
        for c in range(CONTROLLERS):
            mine = [job for job in jobs if job["context"] == c and job["ports"] >> i & 1]
            assert [job for job in found if job["context"] == c] == mine
        assert told[i] == [{name: job[name] for name in names} for job in found]


@pytest.mark.parametrize("registered", [False, True])
def test_writes(registered):
    component = WriteDispatch(built(registered))
    simulate(component, module=__name__, case="check_writes", seed=1, registered=registered)


@cocotb.test()
async def check_writes(dut):
    """Waves and flags at every port that they name, each source's in order; a flag behind the
    waves that came before it; ports expect a response per packet, or per wave."""
    rng = random.Random(cocotb.RANDOM_SEED)
    layout, limit = write_job_layout(CONFIG), CONFIG.fabric.max_payload_bytes
    coalesce = dut.coalesce.value = rng.randrange(2)
    waves = Source(dut, "wave", "50%", rng)
    flags = [Source(dut, f"notify__{c}", "50%", rng) for c in range(CONTROLLERS)]
    sinks = [Sink(dut, f"o__{i}", "50%", rng, like_queue=True) for i in range(PORTS)]
    told = [[] for _ in range(PORTS)]
    await start_clock(dut)
    for i in range(PORTS):
        name = f"expect__{i}"
        cocotb.start_soon(events(dut, name, expectation_layout(CONFIG), told[i]))
    jobs = []
    for number in range(ITEMS):
        job = unpack(layout, rng.getrandbits(layout.size))
        job |= {"ports": rng.randrange(1, 1 << PORTS), "notify": number % 3 == 0, "status": 0}
        job |= {"identifier": number}
        source = rng.choice(flags) if job["notify"] else waves
        if job["notify"]:
            # What has been taken came before it.
            await wait_until(dut, lambda: waves.idle, "the waves", 5000)
        source.queue.append(pack(layout, job))
        jobs.append((source, job))
    await wait_until(dut, lambda: waves.idle and all(s.idle for s in flags), "every job", 50_000)
    for _ in range(300):
        await RisingEdge(dut.clk)
    for i, sink in enumerate(sinks):
        found = [unpack(layout, word) for word in sink.received]
        mine = [job for _, job in jobs if job["ports"] >> i & 1]
        of_waves = [job for job in mine if not job["notify"]]
        assert [job for job in found if not job["notify"]] == of_waves
        for source in flags:
            own = [job for s, job in jobs if s is source and job["ports"] >> i & 1]
            numbers = {job["identifier"] for job in own}
            assert [job for job in found if job["identifier"] in numbers] == own
        order = [job["identifier"] for job in found]
        for place, job in enumerate(found):
            if job["notify"]:
                earlier = {w["identifier"] for w in of_waves if w["identifier"] < job["identifier"]}
                assert earlier <= set(order[:place]), "a flag overtook a wave"
        expected = []
        for job in of_waves:
            count = 1 - job["more"] if coalesce else -(-job["length"] // limit)
            expected.append({"context": job["context"], "count": count})
        assert told[i] == expected
