"""The figures this design promises, in exact cycles, on preset fpga4.

Published values and the paper they come from: ``docs/microarchitecture.md``. Cycles do not
depend on the machine, so these bounds hold anywhere.
"""

from dataclasses import replace

import numpy as np
import pytest

from cocotb_tests.system.bench import feature_set, open_system
from hw.spec.config import from_dict
from hw.spec.instruction import DataType, ReduceOp
from hw.spec.status import Status
from scin.collectives.programs import build
from scin.collectives.runner import CollectiveRunner
from scin.collectives.tensors import random_tensors
from scin.host.driver import Driver

ALL_OFF, ALL_ON, NOT_FUSED = 0b0000, 0b1111, 0b0111
TRAFFIC_BASE = 64 << 20


@pytest.fixture(scope="module")
def system():
    with (opened := open_system(preset="fpga4")).simulator:
        yield opened


def measure(system, size, features, *, synchronise):
    tree = system.config.as_dict()
    name = tree.pop("name")
    for field, on in feature_set(features).items():
        section, item = field.split(".")
        tree[section][item] = on
    config = replace(from_dict(tree), name=name)
    runner = CollectiveRunner(config, system.simulator, Driver(system.simulator, config))
    inputs = random_tensors(DataType.FP16, size // 2, config.system.endpoints, seed=1)
    result = runner.run(
        "allreduce", inputs, DataType.FP16, ReduceOp.SUM, synchronise=synchronise
    ).measurement
    assert (result.wrong, result.status) == (0, "OK")
    return result


@pytest.mark.parametrize(
    ("features", "synchronise", "limit"),
    [
        (ALL_OFF, False, 655),  # the published prototype: 655
        (ALL_ON, False, 540),
        (ALL_ON, True, 550),
        (NOT_FUSED, True, 730),
    ],
)
def test_latency_of_4_kib(system, features, synchronise, limit):
    assert measure(system, 4096, features, synchronise=synchronise).cycles <= limit


def test_each_improvement_helps_or_costs_nothing(system):
    """4 KiB, synchronised: switching any one off never makes it faster."""
    best = measure(system, 4096, ALL_ON, synchronise=True).cycles
    for bit in range(4):
        assert measure(system, 4096, ALL_ON ^ 1 << bit, synchronise=True).cycles >= best


def test_utilisation(system):
    """At 1 MiB in steady state, so that CI stays short; 16 MiB: `test_utilisation_16_mib`."""
    small = measure(system, 512 << 10, ALL_ON, synchronise=False)
    large = measure(system, 1 << 20, ALL_ON, synchronise=False)
    flits = (large.size_bytes - small.size_bytes) / system.config.fabric.flit_bytes
    assert flits / (large.cycles - small.cycles) >= 0.975


@pytest.mark.slow
def test_utilisation_16_mib(system):
    assert measure(system, 16 << 20, ALL_ON, synchronise=False).util >= 0.975


def start_traffic(driver, endpoint, destination):
    driver.start_traffic(
        endpoint, destination, address=TRAFFIC_BASE, packet_bytes=4096, span=1 << 16
    )


def stop_traffic(system):
    for endpoint in range(4):
        system.driver.stop_traffic(endpoint)
    system.simulator.step(5000)


def shares(system, names, cycles):
    """Payload each endpoint receives, as a share of its link."""
    driver, flit = system.driver, system.config.fabric.flit_bytes
    system.simulator.step(4000)

    def look():
        return np.array([[driver.read_endpoint(i, n) for i in range(4)] for n in names]), (
            system.simulator.cycle
        )

    before, start = look()
    system.simulator.step(cycles)
    after, end = look()
    return (after - before) / flit / (end - start)


@pytest.mark.parametrize("destinations", [(1, 2, 3, 0), (2, 3, 0, 1), (1, 0, 3, 2), (0, 1, 2, 3)])
def test_ordinary_permutation(system, destinations):
    for endpoint, destination in enumerate(destinations):
        start_traffic(system.driver, endpoint, destination)
    share = shares(system, ("CORE_BYTES",), 20_000)
    stop_traffic(system)
    assert (share >= 0.97).all(), share


def test_contention_is_fair(system):
    """Every endpoint writes to endpoint 0: its link is full, and shared equally."""
    driver = system.driver
    for endpoint in range(4):
        start_traffic(driver, endpoint, 0)
    system.simulator.step(10_000)
    before = [driver.read_endpoint(i, "TRAFFIC_ANSWERED") for i in range(4)]
    system.simulator.step(60_000)
    answered = [driver.read_endpoint(i, "TRAFFIC_ANSWERED") - before[i] for i in range(4)]
    stop_traffic(system)
    assert sum(answered) * 129 >= 0.97 * 60_000
    assert max(answered) - min(answered) <= 2, answered


def test_ordinary_and_collective_share_evenly(system):
    """Both want all of every link: half each; alone, either gets all of it."""
    driver, config = system.driver, system.config
    program = build(config, "allreduce", 16 << 20, DataType.FP16, ReduceOp.SUM, synchronise=False)
    driver.configure()
    driver.submit(program.instructions[0])
    alone = shares(system, ("ISA_BYTES",), 20_000)
    for endpoint in range(4):
        start_traffic(driver, endpoint, (endpoint + 1) % 4)
    together = shares(system, ("CORE_BYTES", "ISA_BYTES"), 40_000)
    stop_traffic(system)
    assert driver.wait_completion().status == Status.OK
    assert (alone >= 0.97).all(), alone
    relative = together / together.sum(axis=0)
    assert (abs(relative - 0.5) <= 0.03).all(), together
    assert (together.sum(axis=0) >= 0.97).all(), together
