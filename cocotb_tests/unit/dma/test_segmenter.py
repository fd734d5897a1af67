"""hw/dma/segmenter.py: what it cuts a command into does what the command says."""

import random
from dataclasses import replace

import cocotb
import pytest
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import PROFILES, Sink, Source, start_clock, wait_until
from hw.dma.jobs import ITEM_BITS, JobKind, read_layout, write_job_layout
from hw.dma.segmenter import Segmenter
from hw.dma.sequencer import STARTED_LAYOUT
from hw.memory.windows import window_layout
from hw.spec.config import load, replace_field
from hw.spec.dma import COPIES, Command, DmaOpcode, SignalKind
from hw.spec.packet import WORD_BYTES
from hw.spec.packing import pack, unpack
from hw.spec.status import Status

CONFIG = load("fpga4", {"fabric.max_payload_bytes": 256, "isa.wave_bytes": 1024})
LIMIT = CONFIG.fabric.max_payload_bytes
ME = 1
OPEN_BYTES = 1 << 16
"""Own memory is open below; addresses are drawn up to twice that."""

COMMANDS = 60
WORDS = (DmaOpcode.ATOMIC_ADD, DmaOpcode.FENCE, DmaOpcode.TIMESTAMP)


@pytest.mark.parametrize("registered", [False, True])
@pytest.mark.parametrize("pause", PROFILES)
def test_segmenter(pause, registered):
    simulate(
        Segmenter(replace_field(CONFIG, "fabric.registered", registered), identity=ME),
        module=__name__,
        case="check_segments",
        seed=PROFILES.index(pause) + 1,
        pause=pause,
    )


def random_command(rng, number):
    command = Command(
        opcode=rng.choice([*COPIES, *WORDS]),
        length=rng.choice([1, LIMIT, rng.randrange(1, LIMIT), rng.randrange(1, 8 * LIMIT)]),
        **{name: rng.randrange(2 * OPEN_BYTES) for name in ("source", "destination", "second")},
        signal=WORD_BYTES * rng.randrange(2 * OPEN_BYTES // WORD_BYTES),
        operand=rng.getrandbits(64),
        **{
            f"{name}_node": rng.randrange(4)
            for name in ("source", "destination", "second", "signal")
        },
        targets=rng.randrange(1, 16),
        signal_kind=rng.choice(list(SignalKind)),
    )
    if command.opcode == DmaOpcode.MULTICAST:
        command = replace(command, source_node=ME)
    descending = command.opcode == DmaOpcode.COPY and rng.random() < 0.3
    return {"command": command, "number": number, "descending": descending}


@cocotb.test()
async def check_segments(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    pause = parameters_of_test()["pause"]
    window = {"base": 0, "end": OPEN_BYTES, "read": 1, "write": 1}
    dut.windows.value = pack(window_layout(CONFIG), window)
    dut.stop.value = dut.word_done.value = 0
    commands = Source(dut, "i", rng.choice(PROFILES[:4]), rng)
    reads, jobs = (Sink(dut, name, pause, rng, like_queue=True) for name in ("read", "job"))
    await start_clock(dut)
    for number in range(COMMANDS):
        started = random_command(rng, number)
        dut.clock.value = rng.getrandbits(64)
        fields = started | {"command": started["command"].pack()}
        commands.queue.append(pack(STARTED_LAYOUT, fields))
        await wait_until(dut, lambda: commands.idle, "the command to be taken")
        await RisingEdge(dut.clk)
        await wait_until(dut, lambda: dut.busy.value == 0, "the command to be cut")
        for _ in range(3):
            await RisingEdge(dut.clk)
        found = [unpack(read_layout(CONFIG), word) for word in reads.received]
        done = [unpack(write_job_layout(CONFIG), word) for word in jobs.received]
        reads.received.clear()
        jobs.received.clear()
        check(dut, started, found, done)
        if any(job["kind"] != JobKind.DATA for job in done):
            dut.word_done.value = 1
            await RisingEdge(dut.clk)
            dut.word_done.value = 0


def check(dut, started, reads, jobs):
    """Every byte is read once, within aligned segments, and goes to every destination once."""
    command, opcode = started["command"], started["command"].opcode
    data = [job for job in jobs if job["kind"] == JobKind.DATA]
    for item in [*reads, *jobs]:
        assert item["command"] == started["number"] % (1 << ITEM_BITS)
    if opcode not in COPIES:
        assert not reads
        assert not data
        check_word(dut, started, jobs)
        return
    sides = [(command.source_node, command.source)]
    if opcode == DmaOpcode.SWAP:
        sides.append((command.destination_node, command.destination))
    covered = [[] for _ in sides]
    for position, read in enumerate(reads):
        side = position % len(sides)
        node, base = sides[side]
        start = read["address"] - base
        assert read["node"] == node
        assert read["local"] == (node == ME)
        assert 0 < read["length"] <= LIMIT
        assert read["address"] // LIMIT == (read["address"] + read["length"] - 1) // LIMIT
        covered[side].append((start, start + read["length"]))
        fits = read["address"] + read["length"] <= OPEN_BYTES
        bad = read["local"] and not fits
        assert read["status"] == (Status.WINDOW_VIOLATION if bad else Status.OK)
    for pieces in covered:
        assert pieces == sorted(pieces, reverse=started["descending"])
        ends = [0, *(end for _, end in sorted(pieces))]
        assert [start for start, _ in sorted(pieces)] == ends[:-1]
        assert ends[-1] == command.length
    check_destinations(command, opcode, reads, data, len(sides))
    if command.signal_kind == SignalKind.NONE:
        assert len(jobs) == len(data)
    else:
        assert jobs[:-1] == data, "the signal comes last"
        check_word(dut, started, jobs[-1:])


def check_destinations(command, opcode, reads, data, sides):
    """The jobs of each read, in turn."""
    expected = []
    for position, read in enumerate(reads):
        offset = read["address"] - command.source
        if opcode == DmaOpcode.SWAP:
            if position % sides:
                offset = read["address"] - command.destination
                expected.append((read, 1 << command.source_node, command.source + offset))
            else:
                node = 1 << command.destination_node
                expected.append((read, node, command.destination + offset))
            continue
        here = command.destination + offset
        if opcode == DmaOpcode.MULTICAST:
            others = command.targets & ~(1 << ME)
            if others:
                expected.append((read, others, here))
            if command.targets >> ME & 1 or not others:
                expected.append((read, 1 << ME, here))
        else:
            expected.append((read, 1 << command.destination_node, here))
        if opcode == DmaOpcode.BROADCAST:
            expected.append((read, 1 << command.second_node, command.second + offset))
    assert len(data) == len(expected)
    released = set()
    for job, (read, nodes, address) in zip(data, expected, strict=True):
        assert job["multicast"] or nodes == 1 << job["node"]
        assert not job["multicast"] or nodes == job["node"]
        assert job["local"] == (nodes == 1 << ME)
        assert job["address"] == address
        assert job["length"] == read["length"]
        assert job["segment"] == read["segment"]
        assert job["offset"] == read["address"] % CONFIG.fabric.flit_bytes
        bad = job["local"] and address + job["length"] > OPEN_BYTES
        assert job["status"] == (Status.WINDOW_VIOLATION if bad else Status.OK)
        if job["release"]:
            released.add(id(read))
    assert released == {id(read) for read in reads}, "each segment is released by its last job"


def check_word(dut, started, jobs):
    """One word or addition, where and what the command says."""
    command, opcode = started["command"], started["command"].opcode
    (job,) = jobs
    copies = opcode in COPIES
    adds = command.signal_kind == SignalKind.ADD if copies else opcode == DmaOpcode.ATOMIC_ADD
    assert job["kind"] == (JobKind.ADD if adds else JobKind.WORD)
    place = (command.destination_node, command.destination)
    if copies:
        place = (command.signal_node, command.signal)
    assert (job["node"], job["address"]) == place
    wide = adds or opcode == DmaOpcode.TIMESTAMP
    assert job["length"] == (WORD_BYTES if wide else WORD_BYTES // 2)
    operand = int(dut.clock.value) if opcode == DmaOpcode.TIMESTAMP else command.operand
    assert int(dut.word.value) == operand
