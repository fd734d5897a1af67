"""What the link layer costs: some cycles of latency, no bandwidth. The simulator knows both."""

import pytest

from hw.spec.config import load
from hw.spec.formats.data_type import DataType
from hw.spec.link import added_cycles
from models.simulator.simulation import simulate
from models.simulator.work import Instruction
from scin.host.simulator import Simulator
from scin.soak.run import with_faults
from scin.validation.cases import Case
from scin.validation.comparison import predict
from scin.validation.rtl import Observation, observe

HOPS = 4
"""Read request, its data, the result, its answer."""
MOST_LATENCY, MOST_LOSS = 12, 0.03
"""Of one way, in cycles; of bandwidth."""


def measure(config, size) -> tuple[Case, Observation]:
    item = Instruction(size, DataType.FP16, synchronised=False)
    case = Case(config, "fp16, no sync", "all on", size, (item,))
    with Simulator(config, report=lambda text: None) as simulator:
        return case, observe(simulator, case)


def simulated(config, size):
    return simulate(config, [Instruction(size, DataType.FP16, synchronised=False)]).unsynchronised


@pytest.mark.parametrize("size", [64, 4096, 65536])
def test_the_simulator_knows_it(size):
    """Hardware with a link layer, equal to the cycle."""
    case, seen = measure(with_faults(load("tiny"), {}), size)
    assert predict(case, seen) == seen.cycles


def test_cost():
    """On the published prototype's configuration, by the simulator that equals the RTL."""
    bare, uncorrected, reliable = (
        load("fpga4", {"link.reliable": on, "link.correction": corrects})
        for on, corrects in ((False, False), (True, False), (True, True))
    )
    assert [added_cycles(config) for config in (bare, uncorrected, reliable)] == [0, 5, 6]
    assert added_cycles(reliable) <= MOST_LATENCY
    for config in (uncorrected, reliable):
        assert simulated(config, 64) - simulated(bare, 64) == HOPS * added_cycles(config)
        assert simulated(bare, 1 << 20) / simulated(config, 1 << 20) >= 1 - MOST_LOSS
    assert [simulated(config, 4096) for config in (bare, uncorrected, reliable)] == [527, 547, 551]


@pytest.mark.slow
def test_cost_on_rtl():
    """16 MiB on RTL."""
    config = load("fpga4", {"link.reliable": True})
    case, seen = measure(config, 16 << 20)
    assert predict(case, seen) == pytest.approx(seen.cycles, rel=0.001)
    assert simulated(load("fpga4"), 16 << 20) / seen.cycles >= 1 - MOST_LOSS
