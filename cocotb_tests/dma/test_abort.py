"""What fails, stops: a copy that is refused ends soon, however long it was to be."""

import numpy as np
import pytest

from cocotb_tests.system.bench import BUILDS, open_system
from hw.spec.dma import Command, EngineState
from hw.spec.fault import Fault
from hw.spec.status import Status
from models.cache import REPOSITORY
from scin.host import dma_commands as dma
from scin.host.dma_commands import Place, Signal
from scin.host.dma_engine import EngineDriver

LENGTHS = (128, 4096, 64 << 10, 1 << 20, 4 << 20)
MOST_CYCLES = {"plain": 700, "as on boards": 2000, "reliable links": 1000}
"""From the doorbell to the report: a round trip, and the packets that are under way by then."""
OPEN, SOURCE = 0x20000, 0x40000
"""Where windows allow everything, for as far as memory goes."""
BAD = 1 << 25
"""Outside the windows; or, where they reach further than memory, outside that."""
SIGNAL = Place(0, 0x100)


def here(address):
    return Place(0, address)


def there(address):
    return Place(1, address)


CAUSES = {"window": Status.WINDOW_VIOLATION, "memory": Status.POISONED}
COMMANDS = {
    "push": lambda bad, n: dma.copy(here(SOURCE), there(bad), n),
    "pull": lambda bad, n: dma.copy(there(bad), here(OPEN), n),
    "pull to a bad place": lambda bad, n: dma.copy(there(SOURCE), here(bad), n),
    "push from a bad place": lambda bad, n: dma.copy(here(bad), there(OPEN), n),
    "at home": lambda bad, n: dma.copy(here(SOURCE), here(bad), n),
    "elsewhere": lambda bad, n: dma.copy(there(SOURCE), there(bad), n),
    "over itself": lambda bad, n: dma.copy(there(bad), there(bad + n // 2), n),
    "broadcast, first": lambda bad, n: dma.broadcast(here(SOURCE), there(bad), there(OPEN), n),
    "broadcast, second": lambda bad, n: dma.broadcast(there(SOURCE), here(OPEN), there(bad), n),
    "broadcast, source": lambda bad, n: dma.broadcast(there(bad), here(OPEN), there(OPEN), n),
    "multicast": lambda bad, n: dma.multicast(here(SOURCE), 0b11, bad, n),
    "multicast, source": lambda bad, n: dma.multicast(there(bad), 0b11, OPEN, n),
    "swap": lambda bad, n: dma.swap(here(SOURCE), there(bad), n),
    "swap, first": lambda bad, n: dma.swap(here(bad), there(SOURCE), n),
}


@pytest.fixture(scope="module", params=BUILDS)
def built(request):
    """A system and its bound; one for all: every test leaves its engines as they were."""
    system = open_system(**BUILDS[request.param])
    with system.simulator:
        yield system, MOST_CYCLES[request.param]


@pytest.fixture
def system(built):
    return built[0]


@pytest.fixture
def most_cycles(built):
    return built[1]


def prepare(system, cause):
    """An engine, on a system where a copy is to fail by ``cause``."""
    system.fill_for_failure(cause)
    return EngineDriver(system.driver, 0, 0, system.simulator.memory[0])


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("name", COMMANDS)
def test_refused(system, most_cycles, name, cause):
    """However long the copy, its end is told soon, and what comes after the reset is not met by
    what is late of it."""
    engine = prepare(system, cause)
    random = np.random.default_rng(len(name))
    for length in LENGTHS:
        if "over itself" in name and length < 4096:
            continue
        start = system.simulator.cycle
        outcome = engine.run([COMMANDS[name](BAD, length), dma.fence(SIGNAL, 1)])
        taken = system.simulator.cycle - start
        assert (outcome.status, outcome.failed) == (CAUSES[cause], 0), length
        assert taken <= most_cycles, (length, taken)
        engine.reset()
        check_next(system, engine, random)


def check_next(system, engine, random):
    """A push and a pull right after the reset."""
    memory, far = system.simulator.memory[:2]
    content = random.integers(0, 256, 512, dtype=np.uint8)
    memory[0x1000 : 0x1000 + 512], far[0x2000 : 0x2000 + 512] = content, content[::-1]
    commands = [dma.copy(here(0x1000), there(0x3000), 512)]
    commands += [dma.copy(there(0x2000), here(0x4000), 512), dma.fence(SIGNAL, 7)]
    assert engine.run(commands).status == Status.OK
    assert (far[0x3000 : 0x3000 + 512] == content).all()
    assert (memory[0x4000 : 0x4000 + 512] == content[::-1]).all()
    assert engine.read("STATE") & 3 == EngineState.IDLE
    engine.reset()


@pytest.mark.parametrize("fault", [Fault.SILENT_READ, Fault.UNKNOWN_READ])
def test_silent(system, most_cycles, fault):
    """An endpoint that does not answer a read: the copy ends one timeout later."""
    engine = prepare(system, "window")
    for length in LENGTHS[:-2]:
        engine.write("TIMEOUT", 300)
        system.driver.write_endpoint(1, "FAULT", int(fault) | 1 << 8)
        start = system.simulator.cycle
        outcome = engine.run([dma.copy(there(0x10000), here(0x20000), length)])
        assert outcome.status == Status.TIMEOUT
        assert system.simulator.cycle - start <= most_cycles + 2 * 300
        engine.reset()
        check_next(system, engine, np.random.default_rng(length))


def test_other_engines_go_on(system, most_cycles):
    """Two endpoints' engines: one is refused, the other's copy is whole and as fast."""
    engine = prepare(system, "window")
    other = EngineDriver(system.driver, 1, 0, system.simulator.memory[1])
    memory = system.simulator.memory
    memory[1][0x10000:0x20000] = np.random.default_rng(5).integers(0, 256, 0x10000, dtype=np.uint8)

    def run(bad):
        memory[1][0x40000:0x50000] = 0
        start = system.simulator.cycle
        other.submit([dma.copy(there(0x10000), there(0x40000), 0x10000, Signal(there(0x200)))])
        if bad:
            refused = engine.run([dma.copy(here(0), there(BAD), 1 << 20)])
            assert refused.status == Status.WINDOW_VIOLATION
        assert other.wait().status == Status.OK
        assert (memory[1][0x40000:0x50000] == memory[1][0x10000:0x20000]).all()
        return system.simulator.cycle - start

    assert run(bad=True) <= run(bad=False) + most_cycles


@pytest.mark.slow
def test_number_beyond_16_bits(system):
    """The number of a failed command is whole, after more of them than 16 bits count."""
    engine, before = prepare(system, "window"), 65_600
    for done in range(0, before, 800):
        engine.submit([Command()] * min(800, before - done))
    assert engine.wait().status == Status.OK
    assert engine.read("STARTED") == before
    outcome = engine.run([Command()] * 5 + [dma.copy(here(0), there(0), 0), Command()])
    assert (outcome.status, outcome.failed) == (Status.BAD_LENGTH, before + 5)


def test_documented():
    text = " ".join((REPOSITORY / "docs/dma.md").read_text().split())
    for cycles in MOST_CYCLES.values():
        assert f"within {cycles} cycles" in text
