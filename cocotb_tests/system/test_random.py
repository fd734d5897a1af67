"""Random programs on irregular memories, with ordinary traffic beside them."""

import numpy as np
import pytest

from cocotb_tests.system.bench import AS_ON_BOARDS, System, collective, feature_set, open_system
from hw.spec.instruction import DataType, ReduceOp
from hw.spec.status import Status

REGION = 8192
INSTRUCTIONS = 24
TRAFFIC_BASE = 512 << 10
TRAFFIC_BYTES = 64 << 10


def random_instruction(rng: np.random.Generator, system: System, number: int) -> dict:
    """Somewhere in region ``number``, so that instructions in flight never overlap."""
    config = system.config
    endpoints, flit = config.system.endpoints, config.fabric.flit_bytes
    everyone = (1 << endpoints) - 1
    operation = ReduceOp(int(rng.integers(len(ReduceOp))))
    sources = int(rng.integers(1, everyone + 1))
    if operation == ReduceOp.BYPASS:
        sources = 1 << int(rng.integers(endpoints))
    limit = REGION // 2 if rng.random() < 0.5 else 64
    addresses = rng.integers(0, REGION // 2 // flit, endpoints) * flit + number * REGION
    return collective(
        config,
        2 * int(rng.integers(1, limit // 2)),
        addresses=tuple(int(address) for address in addresses),
        identifier=number,
        data_type=DataType(int(rng.integers(2))),
        reduce_op=operation,
        sources=sources,
        destinations=int(rng.integers(1, everyone + 1)),
    )


def start_traffic(system: System, rng: np.random.Generator) -> None:
    endpoints = system.config.system.endpoints
    for endpoint in range(endpoints):
        multicast = bool(rng.integers(2))
        target = int(rng.integers(1, 1 << endpoints)) if multicast else int(rng.integers(endpoints))
        system.driver.start_traffic(
            endpoint,
            target,
            address=TRAFFIC_BASE + endpoint * TRAFFIC_BYTES,
            packet_bytes=system.config.fabric.max_payload_bytes,
            span=TRAFFIC_BYTES,
            multicast=multicast,
        )


@pytest.mark.parametrize(
    ("seed", "built"), [*((seed, {}) for seed in range(10)), (10, AS_ON_BOARDS), (16, AS_ON_BOARDS)]
)
def test_random_programs(seed, built):
    """Two controllers, any masks, formats, operations, lengths; every improvement on or off.

    Half of the seeds run 2 endpoints, half 4. Responses come in any order (the endpoints
    shuffle packets), after irregular times, against back-pressure.
    """
    rng = np.random.default_rng(seed)
    system = open_system(
        seed=seed + 1,
        jitter=int(rng.integers(0, 60)),
        stall=int(rng.integers(0, 60)),
        system__endpoints=2 if seed % 2 else 4,
        **built,
        **{name.replace(".", "__"): on for name, on in feature_set(seed * 7 + 5).items()},
    )
    with system.simulator:
        system.fill(rng, INSTRUCTIONS * REGION)
        start_traffic(system, rng)
        program = [random_instruction(rng, system, n) for n in range(INSTRUCTIONS)]
        for number, instruction in enumerate(program):
            assert system.expect(instruction) == Status.OK
            system.driver.submit(instruction, number % 2)
        records = [system.driver.wait_completion() for _ in program]
        assert {record.identifier for record in records} == set(range(INSTRUCTIONS))
        for record in records:
            assert record.status == Status.OK, record
        for controller in range(2):
            order = [r.identifier for r in records if r.controller == controller]
            assert order == sorted(order), "a controller reported out of order"
        system.check_memories()
        for endpoint in range(system.config.system.endpoints):
            assert system.driver.read_endpoint(endpoint, "TRAFFIC_ANSWERED") > 0
            assert system.driver.read_endpoint(endpoint, "TRAFFIC_ERRORS") == 0
        assert system.driver.read_switch("LATE_RESPONSES") == 0
        assert system.driver.read_switch("STRAY_RESPONSES") == 0


def test_fence_orders_dependent_instructions():
    """Each All-Reduce reads what the one before wrote."""
    system = open_system(jitter=30, stall=30)
    rng = np.random.default_rng(0)
    with system.simulator:
        system.fill(rng, REGION)
        program = [
            collective(system.config, 1024, fence=1, identifier=n, reduce_op=ReduceOp.MAX)
            if n % 2
            else collective(system.config, 1024, fence=1, identifier=n)
            for n in range(6)
        ]
        for instruction in program:
            system.expect(instruction)
            system.driver.submit(instruction)
        for _ in program:
            assert system.driver.wait_completion().status == Status.OK
        system.check_memories()


@pytest.mark.parametrize("features", [0b0000, 0b1111])
def test_barriers_of_two_tenants(features):
    """Two synchronisation ids: the second tenant finishes while the first still waits."""
    system = open_system(
        **{name.replace(".", "__"): on for name, on in feature_set(features).items()}
    )
    rng = np.random.default_rng(1)
    with system.simulator:
        system.fill(rng, 2 * REGION)
        waiting = collective(system.config, 1024, barrier=1, notify=1, sync_id=0, identifier=10)
        running = collective(
            system.config, 1024, REGION, barrier=1, notify=1, sync_id=3, identifier=11
        )
        system.driver.submit(waiting, 0)
        system.driver.submit(running, 1)
        endpoints = range(system.config.system.endpoints)
        system.driver.arrive(0, 0)
        assert system.driver.read_endpoint(0, "SYNC_STATE") & 1
        # Endpoint 0 still polls flag 0, so tenant 1 takes endpoint 0's arrival second.
        system.driver.arrive(1, 3)
        system.simulator.step(2000)
        assert system.driver.read_switch("COMPLETIONS") == 0
        system.simulator.memory[0][system.config.flag_base + 3] |= 0x80
        assert system.driver.wait_flag(0) == Status.OK
        system.simulator.memory[0][system.config.flag_base : system.config.flag_base + 8] = 0
        system.driver.arrive(0, 3)
        assert system.driver.wait_completion().identifier == 11
        for endpoint in endpoints:
            assert system.driver.wait_flag(endpoint) == Status.OK
            assert system.driver.flag_identifier(endpoint, 3) == 11
        system.driver.arrive(1, 0)
        assert system.driver.wait_completion().identifier == 10
        system.expect(running)
        system.expect(waiting)
        system.check_memories()
