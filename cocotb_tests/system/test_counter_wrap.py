"""Times across the end of 32 bits: whatever measures gives what it gives at any other time."""

import itertools

import numpy as np
import pytest

from cocotb_tests.system.bench import open_system
from fpga.host import BoardSystem
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from hw.spec.registers import SWITCH
from models.simulator.explain import measured_spans
from scin.collectives.dma_plans import build
from scin.collectives.dma_runner import DmaRunner
from scin.collectives.runner import CollectiveRunner
from scin.collectives.steps import measured_steps
from scin.collectives.tensors import random_tensors
from scin.soak.load import SoakLoad

END = 1 << 32
BYTES = 128
PLACES = (400, 300, 250, 230, 210, 190, 170, 150, 130, 110, 90, 60, 30)
"""Cycles before the end at which a measurement begins: it comes at every step of some."""


@pytest.fixture(scope="module")
def system():
    system = open_system()
    with system.simulator:
        yield system


def across(system, measure):
    """``measure`` once far from the end, and then from each of the places before it."""
    system.simulator.start_counters(1_000_000)
    expected = measure()
    for place in PLACES:
        system.simulator.start_counters(END - place)
        found = measure()
        assert found == expected, (place, found, expected)
        assert system.driver.read_switch("CYCLES") > END - place
    return expected


@pytest.mark.parametrize("synchronise", [True, False])
def test_collective(system, synchronise):
    """The runner's cycles, the steps of ``--steps``, the spans of ``explain``, and the record."""
    config = system.config
    runner = CollectiveRunner(config, system.simulator, system.driver)
    inputs = random_tensors(DataType.FP16, BYTES // 2, config.system.endpoints, 1)
    rows = BYTES // config.fabric.flit_bytes
    crossed = set()

    def measure():
        outcome = runner.run(
            "allreduce", inputs, DataType.FP16, ReduceOp.SUM, synchronise=synchronise
        )
        item = outcome.measurement
        (record,) = item.counters
        times = [record[name] for name in ("fetched", "first_read", "last_response", "done")]
        assert times == sorted(times)
        crossed.update(
            index for index, (a, b) in enumerate(itertools.pairwise(times)) if a < END <= b
        )
        spans = []
        if synchronise:
            spans = measured_spans(config, item.arrived, record, item.visible, rows)
        return (
            item.cycles,
            item.time_s,
            [cycles for *_, cycles in measured_steps(config, item)],
            [(span.name, span.start, span.end) for span in spans],
            item.payload_flits_sent,
            item.wrong,
        )

    expected = across(system, measure)
    assert expected[0] > 0
    assert all(step > 0 for step in expected[2])
    assert 1 in crossed, "the end came within no record"


def test_dma(system):
    """Phases of a copy between endpoints."""

    def measure():
        runner = DmaRunner(system.config, system.simulator, system.driver)
        item = runner.run(build(system.config, "p2p", "pcpy", 1024))
        assert item.wrong == 0
        return item.phases

    # A host that polls now and then sees a signal a cycle sooner or later.
    cycle = 1e-6 / system.config.isa.clock_MHz
    expected = pytest.approx(measure().as_tuple(), abs=2.5 * cycle)
    for place in PLACES:
        system.simulator.start_counters(END - place)
        assert measure().as_tuple() == expected, place


def test_soak(system):
    """Rounds of the load, every memory checked."""
    load = SoakLoad(system.config, system.simulator, system.driver, seed=3)
    for place in (5000, 1000):
        system.simulator.start_counters(END - place)
        load.round()
    assert system.driver.read_switch("CYCLES") > END
    assert (load.tally.wrong, load.tally.lost, load.tally.duplicated) == (0, 0, 0)
    assert set(load.tally.statuses) == {"OK"}


class SlowRegister(BoardSystem):
    """Boards of which a register never changes while the counter runs."""

    def __init__(self, start: int, step: int) -> None:
        self.now, self._step = start, step

    def read(self, address: int) -> int:
        self.now += self._step
        for word in range(2):
            if address == SWITCH["CYCLES"].address(word):
                return self.now >> 32 * word & (END - 1)
        return 0


@pytest.mark.parametrize(
    ("start", "step", "limit"), [(END - 50, 7, 1000), (10, 1 << 20, 3 * END), (END - 1, 1, 100)]
)
def test_host_tool(start, step, limit):
    """It waits as long as it is told, however far that is beyond 32 bits."""
    boards = SlowRegister(start, step)
    assert not boards.wait_while(0x200, 0xFFFFFFFF, 0, limit=limit)
    assert limit < boards.now - start <= limit + 20 * step
    assert boards.wait_while(0x200, 0xFFFFFFFF, 1, limit=limit)


def test_counters_are_whole(system):
    """Every flit and byte is counted on from 32 bits, and the driver reads all of them."""
    before = [system.driver.read_endpoint(i, "CYCLES") for i in range(2)]
    system.simulator.start_counters(5 * END + 17)
    after = [system.driver.read_endpoint(i, "CYCLES") for i in range(2)]
    assert all(now >= 5 * END + 17 > then for now, then in zip(after, before, strict=True))
    assert np.ptp(after) < 100
