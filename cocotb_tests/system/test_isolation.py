"""Tenants, one wave controller each: what one may not read, write, use, delay or learn."""

from dataclasses import replace

import numpy as np
import pytest

from cocotb_tests.system.bench import (
    AS_ON_BOARDS,
    WITH_LINK_LAYER,
    collective,
    open_system,
    quantized,
)
from hw.spec.fault import Disturbance, Fault
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import Opcode, ReduceOp
from hw.spec.status import Status
from models.dma.engine import EngineModel
from models.endpoint.endpoint import Window
from models.isa.isa import execute
from scin.host import dma_commands as dma
from scin.host.dma_commands import Place
from scin.host.dma_engine import EngineDriver

SIZE = 32768
HALF = SIZE // 2
FIRST, SECOND = 0, 1
"""Tenants; the first owns the lower half of every memory, the second the upper."""


def refusing(base, tenant, **permissions):
    return Window(base, HALF, refused_tenants=1 << tenant, **permissions)


def divided(**overrides):
    """Each half open to its tenant alone, in hardware and model."""
    system = open_system(**{"isa__timeout_cycles": 3000} | overrides)
    system.fill(np.random.default_rng(1), SIZE)
    windows = [refusing(0, SECOND), refusing(HALF, FIRST)]
    for endpoint, model in enumerate(system.models):
        for index, window in enumerate(windows):
            system.driver.set_window(endpoint, index, window)
        model.windows = windows
    return system


@pytest.mark.parametrize("tenant", [FIRST, SECOND])
@pytest.mark.parametrize("access", ["own", "reads", "writes"])
def test_memory_of_another_tenant(access, tenant):
    """Reading or writing the other half is refused, and touches nothing."""
    with (system := divided()).simulator:
        own, other = (0, HALF) if tenant == FIRST else (HALF, 0)
        addresses = {"own": [own, own], "reads": [other, own], "writes": [own, other]}[access]
        instruction = collective(
            system.config,
            4096,
            addresses=addresses,
            sources=1,
            destinations=2,
            reduce_op=ReduceOp.BYPASS,
        )
        expected, culprit = execute(system.config, instruction, system.models, tenant=tenant)
        record = system.run(instruction, tenant)
        assert record.status == expected
        assert expected == (Status.OK if access == "own" else Status.WINDOW_VIOLATION)
        if culprit is not None:
            assert record.endpoint == culprit
        if access != "reads":
            # A refused read leaves the destination undefined, which is the tenant's own.
            system.check_memories()


@pytest.mark.parametrize("refused", ["source", "tenant", "nobody"])
@pytest.mark.parametrize("kind", ["push", "pull", "own memory"])
def test_dma_of_another(kind, refused):
    """Windows tell endpoints apart, and tenants of their engines; the own memory's too."""
    with (system := open_system()).simulator:
        system.fill(np.random.default_rng(2), SIZE)
        config, asker, owner = system.config, 0, 1
        window = Window(
            0,
            SIZE,
            refused_sources=(refused == "source") << asker,
            refused_tenants=(refused == "tenant") << SECOND,
        )
        guarded = asker if kind == "own memory" else owner
        system.driver.set_window(guarded, 0, window)
        system.models[guarded].windows = [window]
        engine = EngineDriver(system.driver, asker, 0, system.simulator.memory[asker])
        engine.write("TENANT", SECOND)
        here, there = Place(asker, 0), Place(owner, HALF)
        # The engine's ring lies outside what the window refuses.
        pair = {"push": (here, there), "pull": (there, here), "own memory": (here, there)}[kind]
        command = dma.copy(*pair, 600)
        golden = EngineModel(config, asker, system.models, tenant=SECOND)
        expected = golden.execute([command]).status
        assert (expected == Status.OK) == (refused == "nobody")
        assert engine.run([command]).status == expected
        system.check_memories()


def test_barrier_of_another_tenant():
    with (system := open_system()).simulator:
        system.fill(np.random.default_rng(7), SIZE)
        system.driver.write_switch("SYNC_REFUSED", 1 << SECOND, 2)
        instruction = collective(system.config, 256, barrier=1, notify=1, sync_id=2)
        expected, _ = execute(
            system.config, instruction, system.models, tenant=SECOND, sync_refused=1 << 2
        )
        record = system.run(instruction, SECOND)
        assert record.status == expected == Status.BAD_MASK
        for endpoint in range(system.config.system.endpoints):
            system.driver.arrive(endpoint, 2)
        assert system.run(instruction, FIRST).status == Status.OK


FLAGS_NOT_ALLOWED = {
    "waits": ({"barrier": 1}, Status.BAD_MASK),
    "only notifies": ({}, Status.BAD_MASK),
    "breaks a rule": ({"barrier": 1, "length": 0}, Status.BAD_MASK),
    "only notifies, and breaks a rule": ({"data_type": 15}, Status.BAD_FORMAT),
    "does nothing": ({"opcode": Opcode.NOP}, Status.OK),
    "waits for scales": ({"quantize": 1, "data_type": DataType.INT8}, Status.MISSING_SCALES),
    "names scales": ({"opcode": Opcode.SCALES}, Status.MISSING_SCALES),
    "is unknown": ({"opcode": 9}, Status.BAD_OPCODE),
}
"""Instructions with ``notify`` of a tenant that may not use the barrier, and their statuses."""


def test_no_flag_at_a_barrier_of_another_tenant():
    """An instruction with a flag there ends no wait: its record tells what became of it, and
    the tenant's next flag, at a barrier of its own, tells the first error."""
    with (system := open_system()).simulator as simulator:
        system.fill(np.random.default_rng(7), SIZE)
        driver, config = system.driver, system.config
        driver.write_switch("SYNC_REFUSED", 1 << SECOND, 2)
        flags = slice(config.flag_base, config.flag_base + 8 * config.isa.sync_ids)
        for memory in simulator.memory:
            memory[flags] = 0
        driver.arrive(0, 2)
        for what, (fields, status) in FLAGS_NOT_ALLOWED.items():
            item = replace(collective(config, 256, notify=1, sync_id=2, round=0), **fields)
            driver.submit(item, SECOND)
            if status == Status.MISSING_SCALES and item.opcode == Opcode.COLLECTIVE:
                driver.submit(collective(config, 256, SIZE), SECOND)
                assert driver.wait_completion(SECOND).status == status, what
                status = Status.OK
            assert driver.wait_completion(SECOND).status == status, what
            simulator.step(500)
            assert driver.read_endpoint(0, "SYNC_STATE", 2) & 1, what
            assert not any(memory[flags].any() for memory in simulator.memory), what
        driver.submit(collective(config, 256, barrier=1, notify=1, sync_id=2), FIRST)
        driver.submit(collective(config, 256, SIZE, barrier=1, notify=1, sync_id=1), SECOND)
        driver.arrive(1, 2)
        for endpoint in (0, 1):
            driver.arrive(endpoint, 1)
        assert [driver.wait_flag(endpoint, 2) for endpoint in (0, 1)] == [Status.OK] * 2
        assert [driver.wait_flag(endpoint, 1) for endpoint in (0, 1)] == [Status.BAD_MASK] * 2
        assert [driver.wait_completion().status for _ in "ab"] == [Status.OK] * 2


LONG = 64 << 10


@pytest.mark.parametrize("other", ["sums", "quantized", "silent"])
def test_share_of_time(other):
    """However much the second tenant asks for, and if its endpoint stops answering, the first
    takes little more than twice the time it takes alone."""
    with (system := open_system(isa__timeout_cycles=3000)).simulator:
        config, driver = system.config, system.driver
        system.fill(np.random.default_rng(3), 4 * LONG)
        mine = collective(config, LONG)
        alone = system.run(mine, FIRST)
        if other == "quantized":
            blocks = 2 * LONG // 64
            theirs = list(quantized(config, DataType.INT8, blocks, LONG, 3 * LONG))
        else:
            theirs = [collective(config, 2 * LONG, LONG)]
        if other == "silent":
            driver.write_endpoint(1, "FAULT", int(Fault.SILENT_READ))
            driver.submit(theirs[0], SECOND)
            driver.submit(mine, FIRST)
        else:
            for instruction in theirs:
                driver.submit(instruction, SECOND)
            driver.submit(mine, FIRST)
        records = {record.controller: record for record in (driver.wait_completion() for _ in "ab")}
        assert records[FIRST].status == Status.OK
        assert records[SECOND].status == (Status.TIMEOUT if other == "silent" else Status.OK)
        together = records[FIRST].last_response - records[FIRST].first_read
        limit = 2.3 * (alone.last_response - alone.first_read)
        assert together <= limit, (together, limit)


def test_nothing_of_another_tenant_is_left_in_the_buffers():
    """The second tenant's read is cut short: what it gets in place of the rest was never the
    first tenant's."""
    with (system := divided()).simulator:
        config, driver = system.config, system.driver
        secret = np.frombuffer(b"secret!!", np.uint8)
        for memory, model in zip(system.simulator.memory, system.models, strict=True):
            memory[:HALF] = np.tile(secret, HALF // len(secret))
            model.memory[:HALF] = memory[:HALF]
        copies = {"sources": 1, "destinations": 3, "reduce_op": ReduceOp.BYPASS}
        for _ in range(2):
            assert system.run(collective(config, HALF, 0, **copies), FIRST).status == Status.OK
        driver.write_endpoint(0, "FAULT", int(Fault.SHORT_READ))
        record = system.run(collective(config, 4096, HALF, **copies), SECOND)
        assert record.status == Status.BAD_LENGTH
        for memory in system.simulator.memory:
            assert secret.tobytes() not in memory[HALF:SIZE].tobytes()


def test_nobody_passes_for_another():
    """The switch writes the sender into a packet: an endpoint cannot pass for another."""
    with (system := open_system()).simulator:
        system.fill(np.random.default_rng(4), SIZE)
        driver = system.driver
        window = Window(0, SIZE, refused_sources=1 << 0)
        driver.set_window(1, 0, window)
        driver.start_traffic(0, 1, address=0, packet_bytes=64, span=64, packets=4)
        system.simulator.step(2000)
        assert driver.read_endpoint(0, "TRAFFIC_ERRORS") == 4
        system.check_memories()


def declare_dead(system):
    """Cut the link of endpoint 1 with packets under way, and wait until both ends know."""
    config, driver, simulator = system.config, system.driver, system.simulator
    system.fill(np.random.default_rng(5), SIZE)
    driver.submit(collective(config, SIZE), FIRST)
    simulator.step(500)
    simulator.disturb(Disturbance.CUT, 1, 1)
    record = driver.wait_completion()
    assert (record.status, record.endpoint) == (Status.TIMEOUT, 1)
    simulator.step(2 * config.link.dead_peer_cycles)
    assert driver.read_switch("DEAD_PEERS") == 1 << 1
    assert driver.read_endpoint(1, "LINK_STATE") >> 1 == 1


def test_a_dead_endpoint_blocks_nobody():
    """Its link is cut with packets under way: they end in a status, and the rest goes on."""
    with (system := open_system(**WITH_LINK_LAYER)).simulator:
        config = system.config
        declare_dead(system)
        system.fill(np.random.default_rng(6), SIZE)
        rest = collective(config, SIZE, sources=0b01, destinations=0b01, participants=0b01)
        for controller in (FIRST, SECOND, FIRST, SECOND):
            assert system.expect(rest) == Status.OK
            assert system.run(rest, controller).status == Status.OK
        system.check_memories()


AWAY = Place(1, 0)
HERE = Place(0, 0)
TO_THE_DEAD = {
    "read": dma.copy(AWAY, HERE, 1024),
    "write": dma.copy(HERE, AWAY, 1024),
    "atomic": dma.atomic_add(AWAY, 1),
    "word": dma.fence(AWAY, 1),
    "multicast": dma.multicast(HERE, 0b11, 2048, 1024),
    "signal": dma.copy(HERE, Place(0, 2048), 64, dma.Signal(AWAY, 1)),
}


def test_a_dead_endpoint_is_answered_for():
    """What asks it for something ends within a round trip, not with a timeout; the next command
    of the engine is carried out."""
    with (system := open_system(**WITH_LINK_LAYER)).simulator as simulator:
        declare_dead(system)
        system.fill(np.random.default_rng(6), SIZE)
        driver, config = system.driver, system.config
        engine = EngineDriver(driver, 0, 0, simulator.memory[0], ring_base=SIZE)
        misrouted = driver.read_switch("MISROUTED")
        for name, command in TO_THE_DEAD.items():
            start = simulator.cycle
            outcome = engine.run([command])
            assert outcome.status == Status.UNREACHABLE, name
            assert simulator.cycle - start < config.dma.timeout_cycles / 4, name
            engine.reset()
            local = dma.copy(HERE, Place(0, 4096), 256)
            assert engine.run([local]).status == Status.OK
        assert driver.read_switch("MISROUTED") - misrouted >= len(TO_THE_DEAD)


@pytest.mark.parametrize("registered", [False, True], ids=["direct", "registered"])
def test_absent_endpoints_are_answered_for(registered):
    """Ordinary writes to an endpoint that is absent, to masks that name some, to none; each
    destination is answered for, those that are present get the data."""
    built = AS_ON_BOARDS if registered else {}
    with (system := open_system(system__endpoints=4, **built)).simulator as simulator:
        system.fill(np.random.default_rng(8), SIZE)
        driver, packets, base = system.driver, 4, 0x100
        cases = [(4, False, 1), (63, False, 1), (0b1111111111110010, True, 13), (0x70, True, 3)]
        for destination, multicast, answers in [*cases, (0, True, 1)]:
            before = driver.read_switch("MISROUTED")
            driver.start_traffic(
                0,
                destination,
                address=base,
                packet_bytes=64,
                span=64 * packets,
                packets=packets,
                multicast=multicast,
            )
            simulator.step(3000)
            reached = multicast and destination >> 1 & 1
            assert driver.read_endpoint(0, "TRAFFIC_ANSWERED") == packets * answers
            assert driver.read_endpoint(0, "TRAFFIC_ERRORS") == packets * (answers - reached)
            assert driver.read_switch("MISROUTED") - before == packets
            if reached:
                count = np.arange(64 * packets // 16, dtype=np.uint32)
                system.models[1].memory[base : base + 64 * packets] = np.repeat(count, 4).view(
                    np.uint8
                )
            system.check_memories()
