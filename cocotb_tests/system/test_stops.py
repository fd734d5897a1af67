"""What fails, stops: an instruction that is refused ends soon, however long it was to be."""

import pytest

from cocotb_tests.system.bench import (
    BUILDS,
    collective,
    open_system,
    quantized,
)
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import MAX_LENGTH, ReduceOp
from hw.spec.status import Status

LENGTHS = (256, 4096, 64 << 10, 1 << 20, MAX_LENGTH)
MOST_CYCLES = {"plain": 800, "as on boards": 1600, "reliable links": 1000}
"""From the submission to the record: a round trip, and the waves that are under way by then."""
BAD = 1 << 32
CAUSES = {"window": Status.WINDOW_VIOLATION, "memory": Status.POISONED}
WHERE = {"source": 0, "destination": 1}


@pytest.fixture(scope="module", params=BUILDS)
def built(request):
    system = open_system(**BUILDS[request.param])
    with system.simulator:
        yield system, MOST_CYCLES[request.param]


@pytest.fixture
def system(built):
    return built[0]


@pytest.fixture
def most_cycles(built):
    return built[1]


def cycles_to_fail(system, parts, status):
    start = system.simulator.cycle
    for part in parts:
        system.driver.submit(part)
    record = system.driver.wait_completion()
    assert record.status == status
    return system.simulator.cycle - start


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("where", WHERE)
def test_instruction(system, most_cycles, where, cause):
    """A copy from one endpoint to the other, of which one is refused."""
    system.fill_for_failure(cause)
    for length in LENGTHS:
        addresses = [0, 0]
        addresses[WHERE[where]] = BAD
        refused = collective(
            system.config,
            length,
            sources=0b01,
            destinations=0b10,
            addresses=tuple(addresses),
            reduce_op=ReduceOp.BYPASS,
        )
        taken = cycles_to_fail(system, [refused], CAUSES[cause])
        assert taken <= most_cycles, (length, taken)
        assert system.run(collective(system.config, 256)).status == Status.OK


def test_quantized(system, most_cycles):
    system.fill_for_failure("window")
    for blocks in (64, 1 << 14, 1 << 24):
        parts = quantized(system.config, DataType.INT8, blocks, BAD, BAD << 2)
        taken = cycles_to_fail(system, parts, CAUSES["window"])
        assert taken <= most_cycles, (blocks, taken)
        assert system.run(collective(system.config, 256)).status == Status.OK
