"""Every way a command can go wrong: a status, a halted engine, and no other one disturbed."""

import operator
from dataclasses import replace

import numpy as np
import pytest

from cocotb_tests.system.bench import open_system
from hw.spec.dma import MAX_RING_COMMANDS, Command, Compare, DmaOpcode, EngineState, SignalKind
from hw.spec.fault import Fault
from hw.spec.status import Status
from models.dma.engine import EngineModel
from models.endpoint.endpoint import Window
from scin.host import dma_commands as dma
from scin.host.dma_commands import Place, Signal
from scin.host.dma_engine import EngineDriver

SIZE = 16384
RING = SIZE
OWN, OTHER = 0, 1
LAST = 1 << 48
SIGNAL = Place(OWN, 0x3F00)
FAULT_OF_CORE = 1 << 8
CLOSED = [Window(0, 0x2000), Window(0x2000, 0x1000, write=False)]
"""0 … 0x2000 open, 0x2000 … 0x3000 to readers only, nothing beyond."""


@pytest.fixture
def system():
    system = open_system(dma__engines=2)
    rng = np.random.default_rng(3)
    with system.simulator:
        system.fill(rng, SIZE)
        yield system


def engines(system):
    return [
        EngineDriver(system.driver, OWN, e, system.simulator.memory[OWN], ring_base=RING + 4096 * e)
        for e in range(2)
    ]


def here(address):
    return Place(OWN, address)


def there(address):
    return Place(OTHER, address)


ILL_FORMED = {
    "unknown opcode": (Command(opcode=99), Status.BAD_OPCODE),
    "unknown signal": (replace(dma.copy(here(0), there(0), 8), signal_kind=3), Status.BAD_OPCODE),
    "unknown comparison": (Command(opcode=DmaOpcode.POLL, compare=7), Status.BAD_OPCODE),
    "nobody": (dma.multicast(here(0), 0, 0, 8), Status.EMPTY_MASK),
    "absent target": (dma.multicast(here(0), 0b110, 0x100, 8), Status.BAD_MASK),
    "absent source": (dma.copy(Place(2, 0), there(0), 8), Status.BAD_MASK),
    "absent destination": (dma.copy(here(0), Place(63, 0), 8), Status.BAD_MASK),
    "absent second": (dma.broadcast(here(0), there(0), Place(9, 0), 8), Status.BAD_MASK),
    "absent signal": (dma.copy(here(0), there(0), 8, Signal(Place(5, 0))), Status.BAD_MASK),
    "absent fence": (dma.fence(Place(3, 0), 1), Status.BAD_MASK),
    "poll elsewhere": (dma.poll(there(0), Compare.ALWAYS, 0), Status.BAD_MASK),
    "length 0": (dma.copy(here(0), there(0), 0), Status.BAD_LENGTH),
    "swap of nothing": (dma.swap(here(0), there(0), 0), Status.BAD_LENGTH),
    "atomic": (dma.atomic_add(here(4), 1), Status.MISALIGNED),
    "fence": (dma.fence(here(2), 1), Status.MISALIGNED),
    "timestamp": (dma.timestamp(there(12)), Status.MISALIGNED),
    "poll": (dma.poll(here(4), Compare.ALWAYS, 0), Status.MISALIGNED),
    "signal add": (dma.copy(here(0), there(0), 8, Signal(here(0x14))), Status.MISALIGNED),
    "signal write": (
        dma.copy(here(0), there(0), 8, Signal(here(0x12), 0, SignalKind.WRITE)),
        Status.MISALIGNED,
    ),
    "broadcast onto itself": (dma.broadcast(here(0), there(0), here(7), 8), Status.OVERLAP),
    "swap with itself": (dma.swap(here(0), here(7), 8), Status.OVERLAP),
    "past the last address": (dma.copy(here(LAST - 64), there(0), 65), Status.WINDOW_VIOLATION),
    "to past the last address": (dma.copy(here(0), there(LAST - 8), 9), Status.WINDOW_VIOLATION),
    "second past the last address": (
        dma.broadcast(here(0), there(0), there(LAST - 8), 9),
        Status.WINDOW_VIOLATION,
    ),
    "multicast onto itself": (dma.multicast(here(0), 0b11, 4, 8), Status.OVERLAP),
    "poll in vain": (
        dma.poll(here(0x800), Compare.NOT_EQUAL, 0, mask=0, timeout=200),
        Status.POLL_TIMEOUT,
    ),
}


@pytest.mark.parametrize("name", ILL_FORMED)
def test_malformed(system, name):
    """The commands before are carried out, the ones after are not; the other engine goes on;
    after a reset this one does, too."""
    bad, status = ILL_FORMED[name]
    engine, other = engines(system)
    long = dma.copy(there(0x1000), here(0x1800), 0x700, Signal(here(0x3F08), 5))
    before = dma.copy(here(0x100), there(0x205), 333, Signal(SIGNAL, 1))
    after = dma.copy(here(0x100), there(0x400), 100, Signal(here(0x3F10), 1))
    assert EngineModel(system.config, OWN, system.models).execute([long]).status == Status.OK
    golden = EngineModel(system.config, OWN, system.models).execute([before, bad, after])
    assert (golden.status, golden.failed) == (status, 1)
    other.submit([long])
    outcome = engine.run([before, bad, after])
    assert (outcome.status, outcome.failed) == (status, 1)
    assert other.wait().status == Status.OK
    system.check_memories()
    assert engine.read("STATE") & 3 == EngineState.HALTED
    engine.reset()
    recovered = dma.copy(here(0x300), there(0x600), 50, Signal(SIGNAL, 7))
    EngineModel(system.config, OWN, system.models).execute([recovered])
    assert engine.run([recovered]).status == Status.OK
    system.check_memories()


@pytest.mark.parametrize("timeout", [0, 400, 1200, 20_000])
def test_a_poll_waits_as_long_as_it_is_told(system, timeout):
    """The word changes after 800 cycles or so; a timeout of 0 is none."""
    engine, _ = engines(system)
    memory, number = system.simulator.memory[OWN], 0x1234
    memory[0x800:0x808] = 0
    engine.submit([dma.poll(here(0x800), Compare.EQUAL, number, interval=30, timeout=timeout)])
    system.simulator.step(250)
    assert engine.state == EngineState.RUNNING
    system.simulator.step(500)
    in_time = timeout == 0 or timeout > 900
    assert engine.state == (EngineState.RUNNING if in_time else EngineState.HALTED)
    memory[0x800:0x802] = np.array([number], dtype="<u2").view(np.uint8)
    assert engine.wait().status == (Status.OK if in_time else Status.POLL_TIMEOUT)


COMPARISONS = {
    Compare.ALWAYS: lambda word, reference: True,
    Compare.LESS: operator.lt,
    Compare.LESS_EQUAL: operator.le,
    Compare.EQUAL: operator.eq,
    Compare.NOT_EQUAL: operator.ne,
    Compare.GREATER_EQUAL: operator.ge,
    Compare.GREATER: operator.gt,
}


def test_every_comparison(system):
    """Of the masked word with the reference, below, at and above it, unsigned in 64 bits."""
    engine, _ = engines(system)
    memory, mask = system.simulator.memory[OWN], 0xFFFF_0000_FFFF_FFFF
    reference = 0x8000_0000_1234_5678
    for compare, holds in COMPARISONS.items():
        for word in (reference - 1, reference, reference + 1, 5, 0x7FFF_FFFF_FFFF_FFFF):
            memory[0x800:0x808] = np.array([word], dtype="<u8").view(np.uint8)
            poll = dma.poll(here(0x800), compare, reference, mask=mask, timeout=100)
            expected = Status.OK if holds(word & mask, reference) else Status.POLL_TIMEOUT
            assert engine.run([poll]).status == expected, (compare.name, hex(word))
            if expected != Status.OK:
                engine.reset()


def test_a_poll_looks_again_after_its_interval(system):
    engine, _ = engines(system)
    memory = system.simulator.memory[OWN]
    memory[0x800:0x808] = 0
    engine.submit([dma.poll(here(0x800), Compare.NOT_EQUAL, 0, interval=1000)])
    system.simulator.step(300)
    memory[0x800] = 1
    system.simulator.step(300)
    assert engine.state == EngineState.RUNNING
    system.simulator.step(800)
    assert engine.state == EngineState.IDLE


FORBIDDEN = {
    "read here": dma.copy(here(0x2FF0), there(0), 0x20),
    "read there": dma.copy(there(0x2FF0), here(0), 0x20),
    "write here": dma.copy(there(0), here(0x1FF0), 0x20),
    "write there": dma.copy(here(0), there(0x1FF0), 0x20),
    "long write there": dma.copy(here(3), there(0x1800), 0x900),
    "long write here": dma.copy(there(3), here(0x1800), 0x900),
    "long read there": dma.copy(there(0x2E01), here(0x100), 0x400),
    "one of two": dma.broadcast(here(0), there(0x100), there(0x2100), 0x200),
    "multicast": dma.multicast(here(0), 0b10, 0x2100, 0x200),
    "multicast home": dma.multicast(here(0), 0b11, 0x1F80, 0x200),
    "swap": dma.swap(here(0x1F00), there(0x100), 0x200),
    "swap unread": dma.swap(here(0x2F00), there(0x100), 0x200),
    "upwards": dma.copy(here(0x1E00), here(0x1E40), 0x300),
    "fence here": dma.fence(here(0x2000), 1),
    "fence there": dma.fence(there(0x2000), 1),
    "atomic here": dma.atomic_add(here(0x2000), 1),
    "atomic there": dma.atomic_add(there(0x3008), 1),
    "signal here": dma.copy(here(0), there(0), 99, Signal(here(0x2000))),
    "signal there": dma.copy(here(0), there(0), 99, Signal(there(0x3000))),
    "signal after a failure": dma.copy(here(0x2FF0), there(0), 0x20, Signal(here(0x100))),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_windows(system, name):
    """Nothing outside a window is touched, at either end; of what lies inside some may be done."""
    for endpoint in (OWN, OTHER):
        system.models[endpoint].windows = CLOSED
        for index, window in enumerate(CLOSED):
            system.driver.set_window(endpoint, index, window)
    engine, other = engines(system)
    good = dma.copy(here(0x10), there(0x20), 100)
    commands = [good, FORBIDDEN[name], dma.fence(here(0x30), 1)]
    before = [model.memory.copy() for model in system.models]
    golden = EngineModel(system.config, OWN, system.models).execute(commands)
    assert (golden.status, golden.failed) == (Status.WINDOW_VIOLATION, 1)
    outcome = engine.run(commands)
    assert (outcome.status, outcome.failed) == (Status.WINDOW_VIOLATION, 1)
    for endpoint, address, length in golden.undefined:
        part = slice(address, address + length)
        found = system.simulator.memory[endpoint][part]
        if (found == before[endpoint][part]).all():
            system.models[endpoint].memory[part] = found
    system.check_memories()
    assert other.run([good]).status == Status.OK


RINGS = {
    "no power of two": {"ring_commands": 12},
    "empty": {"ring_commands": 0},
    "too large": {"ring_commands": 2 * MAX_RING_COMMANDS},
    "not aligned": {"ring_base": RING + 32},
}


@pytest.mark.parametrize("name", RINGS)
def test_bad_ring(system, name):
    engine, other = engines(system)
    for register, value in (
        ("RING_SIZE", RINGS[name].get("ring_commands", 16)),
        ("RING_BASE", RINGS[name].get("ring_base", RING)),
        ("DOORBELL", 1),
    ):
        engine.write(register, value)
    assert engine.wait().status == Status.BAD_RING
    assert other.run([Command()]).status == Status.OK
    engine.reset()
    assert engine.run([Command()]).status == Status.OK


@pytest.mark.parametrize("announced", [17, 1 << 31, (1 << 32) - 1])
def test_ring_overrun(system, announced):
    """More commands than the ring holds, or a write pointer that went back."""
    engine, other = engines(system)
    engine.write("RING_SIZE", 16)
    engine.write("DOORBELL", announced)
    assert engine.wait().status == Status.RING_OVERRUN
    assert other.run([Command()]).status == Status.OK


def test_inline_overrun(system):
    """Inline commands behind a poll that waits: one more than the engine holds."""
    engine, _ = engines(system)
    stuck = dma.poll(here(0x800), Compare.NOT_EQUAL, 0, mask=0)
    # One is being looked at, `prefetch` wait.
    for _ in range(1 + system.config.dma.prefetch):
        engine.submit_inline(stuck)
        system.simulator.step(20)
        assert engine.read("STATE") & 3 == EngineState.RUNNING
    engine.submit_inline(stuck)
    assert engine.wait().status == Status.RING_OVERRUN


def test_memory_error(system):
    """A window that promises more than there is memory: the error of AXI4 comes back."""
    top = system.config.endpoint.memory_bytes
    wide = Window(0, 2 * top)
    for endpoint in (OWN, OTHER):
        system.driver.set_window(endpoint, 0, wide)
    engine, other = engines(system)
    for command in (
        dma.copy(here(top), there(0), 64),
        dma.copy(there(top), here(0), 64),
        dma.copy(here(0), there(top), 64),
        dma.copy(there(0), here(top), 64),
        dma.atomic_add(here(top), 1),
        dma.atomic_add(there(top), 1),
        dma.fence(here(top), 1),
        dma.poll(here(top), Compare.ALWAYS, 0),
    ):
        outcome = engine.run([Command(), command, dma.fence(SIGNAL, 1)])
        assert (outcome.status, outcome.failed) == (Status.POISONED, 1), command
        engine.reset()
    engine.write("RING_BASE", top)
    engine.write("DOORBELL", 1)
    assert engine.wait().status == Status.POISONED
    assert other.run([Command()]).status == Status.OK


@pytest.mark.parametrize(
    "fault", [Fault.SILENT_READ, Fault.UNKNOWN_READ, Fault.SILENT_WRITE, Fault.UNKNOWN_WRITE]
)
def test_silent_endpoint(system, fault):
    """An endpoint that never answers: TIMEOUT; late answers and the other engine unharmed."""
    engine, other = engines(system)
    engine.write("TIMEOUT", 300)
    system.driver.write_endpoint(OTHER, "FAULT", int(fault) | FAULT_OF_CORE)
    reads = fault in (Fault.SILENT_READ, Fault.UNKNOWN_READ)
    source, target = (there(0), here(0x1000)) if reads else (here(0), there(0x1000))
    outcome = engine.run([dma.copy(source, target, 64, Signal(SIGNAL, 1))])
    assert outcome.status == Status.TIMEOUT
    assert system.driver.read_endpoint(OTHER, "FAULT") == Fault.NONE
    engine.reset()
    again = dma.copy(there(0x100), here(0x1400), 1000, Signal(SIGNAL, 1))
    for driver in (engine, other):
        EngineModel(system.config, OWN, system.models).execute([again])
        assert driver.run([again]).status == Status.OK
    found = system.simulator.memory[OWN][0x1400 : 0x1400 + 1000]
    assert (found == system.models[OWN].memory[0x1400 : 0x1400 + 1000]).all()


@pytest.mark.parametrize("fault", [Fault.DUPLICATE_READ, Fault.DUPLICATE_WRITE])
def test_answered_twice(system, fault):
    """An answer more than asked for is dropped, even when its segment is in use again."""
    engine, _ = engines(system)
    commands = [dma.copy(there(0x10), here(0x1000), 128), dma.copy(here(0x10), there(0x1000), 128)]
    commands += [dma.copy(there(0x400 + 128 * n), here(0x1400 + 128 * n), 128) for n in range(16)]
    for _ in range(3):
        system.driver.write_endpoint(OTHER, "FAULT", int(fault) | FAULT_OF_CORE)
        EngineModel(system.config, OWN, system.models).execute(commands)
        assert engine.run(commands).status == Status.OK
        system.check_memories()


def test_reset_in_the_middle(system):
    """A reset while data move and while a poll waits: the engine comes back empty."""
    engine, other = engines(system)
    commands = [
        dma.copy(here(0), there(0x1000), 0x1000),
        dma.poll(here(0x800), Compare.NOT_EQUAL, 0, mask=0),
    ]
    for pause in (0, 30, 60, 200):
        engine.submit(commands)
        system.simulator.step(pause)
        engine.reset()
        assert engine.read("STARTED") == 0
        assert engine.run([dma.fence(SIGNAL, pause + 1)]).status == Status.OK
        word = system.simulator.memory[OWN][SIGNAL.address : SIGNAL.address + 4].view("<u4")
        assert word[0] == pause + 1
    assert other.run([Command()]).status == Status.OK
