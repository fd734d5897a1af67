"""Instructions of one controller, and of two, that fail or are answered in the same cycle: each has
the status of its own failure and its own times."""

import numpy as np
import pytest

from cocotb_tests.system.bench import collective, feature_set, open_system
from hw.spec.instruction import ReduceOp
from hw.spec.status import Status
from models.endpoint.endpoint import Window

INSIDE = 0x1000
"""Of every memory, what its window opens."""
OUTSIDE = 0x8000
PAIRS = 60


@pytest.fixture(scope="module", params=[0b0000, 0b1111], ids=["plain", "features"])
def system(request):
    switches = {name.replace(".", "__"): on for name, on in feature_set(request.param).items()}
    with (opened := open_system(**switches)).simulator:
        driver = opened.driver
        for endpoint in range(opened.config.system.endpoints):
            for index in range(opened.config.endpoint.windows):
                driver.set_window(endpoint, index, Window(0, 0))
            driver.set_window(endpoint, 0, Window(0, INSIDE))
            driver.set_window(endpoint, 1, Window(opened.config.flag_base, 4096))
        yield opened


def drawn(rng, config, identifier):
    """A copy or a sum, where all is open or one endpoint refuses; and its number, None if all
    is open."""
    length = 16 * int(rng.choice([1, 2, 8, int(rng.integers(1, 64))]))
    addresses = [INSIDE // 2 * int(rng.integers(2)) for _ in range(2)]
    source, destination = (int(rng.integers(2)) for _ in range(2))
    culprit = None
    if rng.random() < 0.6:
        culprit = int(rng.integers(2))
        addresses[culprit] = OUTSIDE
    copies = rng.random() < 0.7
    fields = {
        "identifier": identifier,
        "addresses": tuple(addresses),
        "reduce_op": ReduceOp.BYPASS if copies else ReduceOp.SUM,
        "sources": 1 << source if copies else 0b11,
        "destinations": 1 << destination,
    }
    involved = {source, destination} if copies else {0, 1}
    return collective(config, length, **fields), culprit if culprit in involved else None


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("controllers", [(0, 0), (0, 1)], ids=["one", "two"])
def test_statuses_and_times(system, controllers, seed):
    rng = np.random.default_rng([seed, *controllers])
    driver = system.driver
    failures = 0
    for number in range(PAIRS):
        pair = [drawn(rng, system.config, 2 * number + part) for part in range(2)]
        for (instruction, _), controller in zip(pair, controllers, strict=True):
            driver.submit(instruction, controller)
            system.simulator.step(int(rng.integers(1, 40)))
        for (instruction, culprit), controller in zip(pair, controllers, strict=True):
            record = driver.wait_completion(controller)
            assert record.identifier == instruction.identifier
            expected = Status.OK if culprit is None else Status.WINDOW_VIOLATION
            assert record.status == expected, (instruction, record)
            if culprit is None:
                times = (record.fetched, record.first_read, record.last_write)
                times += (record.last_response, record.done)
                assert list(times) == sorted(times), (instruction, record)
            else:
                failures += 1
                assert record.endpoint == culprit, (instruction, record)
    assert failures > PAIRS // 4


def test_two_controllers_answered_at_once(system):
    """The times of one do not depend on when the other, in another context, is answered."""
    driver = system.driver
    copy = {"reduce_op": ReduceOp.BYPASS, "addresses": (0, 0)}
    for number, length in enumerate(range(16, 513, 16)):
        for gap in range(6):
            if (number + gap) % 2 == 0:
                # So that the controllers do not use the same context.
                system.run(collective(system.config, 16, sources=1, **copy), 1)
            mine = collective(system.config, length, sources=1, destinations=1, **copy)
            driver.submit(mine, 0)
            if gap:
                system.simulator.step(gap)
            other = collective(system.config, 16, sources=2, destinations=2, **copy)
            driver.submit(other, 1)
            for controller in (0, 1):
                record = driver.wait_completion(controller)
                assert record.status == Status.OK
                assert record.last_write <= record.last_response <= record.done, record
