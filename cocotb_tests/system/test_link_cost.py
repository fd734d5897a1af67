"""What the link layer costs: some cycles of latency, no bandwidth. The simulator knows both."""

import pytest

from hw.formats.data_type import DataType
from hw.spec.config import load, replace_field
from hw.spec.link import LATENCY_CYCLES
from models.simulator.work import Instruction
from scin.simulator import Simulator
from scin.soak.run import with_faults
from scin.validation.cases import Case
from scin.validation.cli import predict
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


def bare(config):
    return replace_field(config, "link.reliable", False)


@pytest.mark.parametrize("size", [64, 4096, 65536])
def test_cost(size):
    """Hardware with a link layer, equal to the cycle to the simulator; and what that says of
    the same without."""
    config = with_faults(load("tiny"), {})
    case, seen = measure(config, size)
    assert predict(case, seen) == seen.cycles
    without = predict(Case(bare(config), case.what, "", size, case.instructions), seen)
    assert LATENCY_CYCLES <= MOST_LATENCY
    if size == 64:
        assert seen.cycles - without == HOPS * LATENCY_CYCLES
    if size == 65536:
        assert without / seen.cycles >= 1 - MOST_LOSS


@pytest.mark.slow
def test_cost_on_the_prototype():
    """16 MiB with the published prototype's packets: bandwidth lost to the link layer."""
    config = load("fpga4", {"link.reliable": True})
    case, seen = measure(config, 16 << 20)
    without = predict(Case(bare(config), case.what, "", case.size, case.instructions), seen)
    assert predict(case, seen) == pytest.approx(seen.cycles, rel=0.001)
    assert without / seen.cycles >= 1 - MOST_LOSS
