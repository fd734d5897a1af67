"""Random command lists on RTL against the golden engine, several engines at once."""

import numpy as np
import pytest

from cocotb_tests.support.dma import CLOCK_BYTES, Traffic
from cocotb_tests.system.bench import AS_ON_BOARDS, open_system
from hw.spec.status import Status
from models.dma.engine import EngineModel
from scin.host.dma_engine import EngineDriver

LISTS = 1000
SPAN = 4096
LONGEST = 600


@pytest.mark.parametrize(
    ("seed", "built"),
    [*((seed, {}) for seed in range(10)), (10, AS_ON_BOARDS), (12, AS_ON_BOARDS)],
)
def test_random_lists(seed, built):
    """Half of the seeds run 2 endpoints of two engines, half 4 of one; every engine works on
    bytes of its own, so that what they do together has one outcome. Lists of 1 … 12 commands, any
    alignment, overlapping each other and themselves, wrapping around a ring of 16."""
    rng = np.random.default_rng(seed)
    system = open_system(
        seed=seed + 1,
        jitter=int(rng.integers(0, 40)),
        stall=int(rng.integers(0, 50)),
        system__endpoints=2 if seed % 2 else 4,
        dma__engines=2 if seed % 2 else 1,
        **built,
    )
    config = system.config
    endpoints, engines = config.system.endpoints, config.dma.engines
    count = endpoints * engines
    with system.simulator as simulator:
        system.fill(rng, SPAN * count)
        drivers = [
            EngineDriver(
                system.driver,
                i,
                e,
                simulator.memory[i],
                ring_base=SPAN * (count + e),
                ring_commands=16,
            )
            for i in range(endpoints)
            for e in range(engines)
        ]
        done = 0
        while done < LISTS:
            for number, driver in enumerate(drivers):
                traffic = Traffic(rng, driver.endpoint, endpoints, SPAN * number, SPAN, LONGEST)
                commands = [traffic.command() for _ in range(1 + int(rng.integers(12)))]
                golden = EngineModel(config, driver.endpoint, system.models)
                assert golden.execute(commands).status == Status.OK
                driver.submit(commands)
                done += 1
            for driver in drivers:
                assert driver.wait().status == Status.OK, (driver.endpoint, driver.engine)
            compare(system, count)


def compare(system, count):
    """All memories equal, but for the clocks, which only ever grow."""
    for index, model in enumerate(system.models):
        found = system.simulator.memory[index][: len(model.memory)]
        for number in range(count):
            clocks = slice(SPAN * number, SPAN * number + CLOCK_BYTES)
            model.memory[clocks] = found[clocks]
        wrong = np.flatnonzero(found != model.memory)
        assert wrong.size == 0, (
            f"endpoint {index}: {wrong.size} bytes wrong, first at {wrong[0]:#x}"
        )
