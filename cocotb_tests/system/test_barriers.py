"""Barriers, rounds and records of a whole system, and what another user of it sees."""

from dataclasses import replace

import numpy as np
import pytest

from cocotb_tests.system.bench import System, collective, open_system
from hw.spec.packet import FlagWord
from hw.spec.status import Status
from scin.errors import RefusedError

LENGTH = 512
SHORT = 64


def put(system: System, endpoint: int, value: float, address: int = 0) -> None:
    system.simulator.memory[endpoint][address : address + LENGTH].view(np.float16)[:] = value


def clear_flags(system: System) -> None:
    base = system.config.flag_base
    for memory in system.simulator.memory:
        memory[base : base + 8 * system.config.isa.sync_ids] = 0


def result(system: System, endpoint: int) -> float:
    return float(system.simulator.memory[endpoint][:LENGTH].view(np.float16)[0])


def counts(system: System) -> tuple[int, int, int]:
    names = ("LATE_ARRIVALS", "DOUBLED_ARRIVALS", "STRAY_ARRIVALS")
    return tuple(system.driver.read_switch(name) for name in names)


def finish(system: System, late: int, n: int) -> None:
    """One collective whose endpoint ``late`` brings its operand after the other one arrived."""
    driver, early = system.driver, 1 - late
    put(system, late, -1)
    put(system, early, 10 * n)
    clear_flags(system)
    driver.submit(collective(system.config, LENGTH, barrier=1, notify=1, identifier=n))
    driver.arrive(early, 0)
    system.simulator.step(1000)
    assert driver.read_switch("COMPLETIONS") == 0, "it did not wait"
    put(system, late, n)
    driver.arrive(late, 0)
    record = driver.wait_completion()
    assert (record.identifier, record.status) == (n, Status.OK)
    for endpoint in (0, 1):
        assert driver.wait_flag(endpoint) == Status.OK
        assert result(system, endpoint) == 11 * n


def fail_by_timeout(system: System) -> None:
    """Endpoint 1 does not come."""
    driver = system.driver
    driver.submit(collective(system.config, LENGTH, barrier=1, notify=1))
    driver.arrive(0, 0)
    assert driver.wait_completion().status == Status.BARRIER_TIMEOUT
    assert driver.wait_flag(0) == Status.BARRIER_TIMEOUT


def fail_by_a_rule(system: System) -> None:
    """Both arrive for an instruction that is refused."""
    driver = system.driver
    driver.arrive(0, 0)
    driver.submit(collective(system.config, LENGTH, barrier=1, notify=1, addresses=(8, 8)))
    assert driver.wait_completion().status == Status.MISALIGNED
    assert driver.wait_flag(0) == Status.MISALIGNED
    driver.arrive(1, 0)
    assert driver.wait_flag(1) == Status.MISALIGNED


def fail_without_scales(system: System) -> None:
    """A quantized instruction fails before it comes to its barrier."""
    driver = system.driver
    driver.arrive(0, 0)
    driver.submit(collective(system.config, LENGTH, barrier=1, notify=1, quantize=1, data_type=2))
    driver.submit(collective(system.config, LENGTH, identifier=2, address=4096))
    assert driver.wait_completion().status == Status.MISSING_SCALES
    assert driver.wait_completion().status == Status.OK
    assert driver.wait_flag(0) == Status.MISSING_SCALES


@pytest.mark.parametrize("fails", [fail_by_timeout, fail_by_a_rule, fail_without_scales])
@pytest.mark.parametrize("late", [0, 1])
def test_no_arrival_outlives_its_collective(fails, late):
    """Whatever becomes of a collective, the ones behind it wait for every endpoint, each time."""
    with (system := open_system(isa__barrier_timeout_cycles=3000)).simulator:
        fails(system)
        for n in (2, 3, 4):
            finish(system, late, n)


def test_late_arrival():
    """An endpoint that comes after the timeout finds the flag that says so, and counts for no
    later round."""
    with (system := open_system(isa__barrier_timeout_cycles=3000)).simulator:
        fail_by_timeout(system)
        system.driver.arrive(1, 0)
        assert system.driver.wait_flag(1) == Status.BARRIER_TIMEOUT
        assert counts(system) == (1, 0, 0)
        for n in (2, 3):
            finish(system, 1, n)
        assert counts(system) == (1, 0, 0)


@pytest.mark.parametrize("controller", [0, 1])
def test_waiting_long_is_no_error(controller):
    """An instruction that waits at a barrier for longer than its timeout goes on as any other."""
    with (system := open_system(isa__timeout_cycles=300)).simulator:
        driver = system.driver
        put(system, 0, 1)
        put(system, 1, 2)
        driver.submit(collective(system.config, LENGTH, barrier=1, notify=1), controller)
        driver.arrive(0, 0)
        system.simulator.step(2000)
        driver.arrive(1, 0)
        assert driver.wait_completion().status == Status.OK
        assert [driver.wait_flag(endpoint) for endpoint in (0, 1)] == [Status.OK] * 2
        assert result(system, 0) == 3


def test_early_arrivals():
    """An arrival before its instruction counts for it, and for no other."""
    with (system := open_system()).simulator:
        driver = system.driver
        for n in range(6):
            put(system, 0, 1)
            put(system, 1, 2)
            clear_flags(system)
            for endpoint in (0, 1):
                driver.arrive(endpoint, 0)
            driver.submit(collective(system.config, LENGTH, barrier=1, notify=1, identifier=n))
            assert driver.wait_completion().status == Status.OK
            for endpoint in (0, 1):
                assert driver.wait_flag(endpoint) == Status.OK
                assert result(system, endpoint) == 3
        assert counts(system) == (0, 0, 0)


def test_stray_and_doubled_arrivals():
    """Each kind is counted as what it is, and starts nothing."""
    with (system := open_system()).simulator:
        driver = system.driver

        def arrives(endpoint: int, number: int) -> tuple[int, int, int]:
            driver.arrive(endpoint, 0, number)
            system.simulator.step(200)
            driver.cancel(endpoint, 0)
            return counts(system)

        assert arrives(0, 0) == (0, 0, 0)
        assert arrives(0, 0) == (0, 1, 0)
        assert arrives(0, 4) == (0, 1, 1)
        assert arrives(1, 2047) == (1, 1, 1)
        assert arrives(1, 1000) == (1, 1, 2)
        alone = collective(system.config, SHORT, barrier=1, sources=2, participants=2, round=0)
        driver.submit(alone)
        system.simulator.step(500)
        assert driver.read_switch("COMPLETIONS") == 0
        # Endpoint 0 had arrived for this round, which does not name it.
        assert arrives(1, 0) == (1, 1, 3)
        assert driver.wait_completion().status == Status.OK
        assert driver.read_switch("ROUND", 0) == 1
        assert arrives(0, 0) == (2, 1, 3)


def test_bad_rounds():
    """Rounds that are over, far ahead or another's are refused; a barrier can begin anew."""
    with (system := open_system()).simulator:
        driver, config = system.driver, system.config

        def run(controller=0, **fields):
            driver.submit(replace(collective(config, SHORT, barrier=1), **fields), controller)
            return driver.wait_completion(controller).status

        driver.submit(collective(config, SHORT, barrier=1, round=0), 1)
        system.simulator.step(100)
        assert run(round=0) == Status.BAD_ROUND
        assert run(round=4) == Status.BAD_ROUND
        assert run(round=2047) == Status.BAD_ROUND
        with pytest.raises(RefusedError, match=r"ROUND\[0\] of the switch"):
            driver.write_switch("ROUND", 7, 0)
        # Refused for another reason it ends its own round, not that of the other controller.
        assert run(round=0, length=0) == Status.BAD_LENGTH
        assert run(round=2, length=0) == Status.BAD_LENGTH
        assert driver.read_switch("ROUND", 0) == 0 | 1 << (16 + 2)
        for endpoint in (0, 1):
            driver.arrive(endpoint, 0, 0)
        assert driver.wait_completion(1).status == Status.OK
        assert driver.read_switch("ROUND", 0) == 1 | 1 << (16 + 1)
        driver.begin_round(0, 2040)
        assert driver.read_switch("ROUND", 0) == 2040
        for endpoint in (0, 1):
            driver.cancel(endpoint, 0)
        for _ in range(12):
            for endpoint in (0, 1):
                driver.arrive(endpoint, 0)
            assert run(1, notify=1) == Status.OK
            for endpoint in (0, 1):
                assert driver.wait_flag(endpoint) == Status.OK
            clear_flags(system)
        assert driver.read_switch("ROUND", 0) == (2040 + 12) % 2048
        assert counts(system) == (0, 0, 0)


def test_a_refused_tenant_ends_no_round():
    """A tenant that may not use a barrier can consume neither an arrival nor a round of it."""
    with (system := open_system()).simulator:
        driver, config = system.driver, system.config
        driver.write_switch("SYNC_REFUSED", 0b10, 0)
        for endpoint in (0, 1):
            driver.arrive(endpoint, 0)
        for number in range(4):
            for fields in ({}, {"length": 0}, {"participants": 0}):
                item = replace(collective(config, SHORT, barrier=1, round=number), **fields)
                driver.submit(item, 1)
                assert driver.wait_completion().status != Status.OK
        assert driver.read_switch("ROUND", 0) == 0
        driver.submit(collective(config, SHORT, barrier=1, notify=1), 0)
        assert driver.wait_completion().status == Status.OK


def test_no_flag_for_a_round_of_another():
    """An instruction that claims a round of another, one that is over, or an absent barrier writes
    no flag there; the next flag of its controller tells the first error."""
    with (system := open_system()).simulator:
        driver, config = system.driver, system.config
        base, flags = config.flag_base, 8 * (config.isa.sync_ids + 1)
        for memory in system.simulator.memory:
            memory[base : base + flags] = 0
        synchronised = collective(config, SHORT, barrier=1, notify=1)
        driver.submit(synchronised, 0)
        driver.arrive(0, 0)
        absent = {"sync_id": config.isa.sync_ids}
        for fields, status in (
            ({"round": 0}, Status.BAD_ROUND),
            ({"round": 0, "length": 0}, Status.BAD_LENGTH),
            ({"round": 2047}, Status.BAD_ROUND),
            ({"round": 9, "opcode": 9}, Status.BAD_OPCODE),
            (absent, Status.BAD_MASK),
            (absent | {"barrier": 0}, Status.BAD_MASK),
        ):
            driver.submit(replace(synchronised, **fields), 1)
            assert driver.wait_completion(1).status == status
            system.simulator.step(500)
            assert driver.read_endpoint(0, "SYNC_STATE", 0) & 1
            assert not any(memory[base : base + flags].any() for memory in system.simulator.memory)
        driver.arrive(1, 0)
        for endpoint in (0, 1):
            assert driver.wait_flag(endpoint) == Status.OK
            driver.arrive(endpoint, 1)
        driver.submit(replace(synchronised, sync_id=1, length=0), 1)
        for endpoint in (0, 1):
            assert driver.wait_flag(endpoint, 1) == Status.BAD_ROUND


def test_flags_of_another_round():
    """A flag that was not cleared does not pass for the one of the next collective."""
    with (system := open_system()).simulator:
        driver, config = system.driver, system.config
        for n in range(3):
            for endpoint in (0, 1):
                driver.arrive(endpoint, 1)
            system.simulator.step(500)
            states = [driver.read_endpoint(e, "SYNC_STATE", 1) for e in (0, 1)]
            assert states == [1 | n << 16] * 2, "it took the flag of an earlier round"
            fields = {"sync_id": 1, "identifier": 50 + n, "barrier": 1, "notify": 1}
            driver.submit(collective(config, SHORT, **fields))
            for endpoint in (0, 1):
                assert driver.wait_flag(endpoint, 1) == Status.OK
                assert driver.flag_identifier(endpoint, 1) == 50 + n
                word = system.simulator.memory[endpoint][config.flag_base + 8 :][:8]
                flag = FlagWord.unpack(int.from_bytes(word.tobytes(), "little"))
                assert (flag.round, flag.identifier, flag.valid) == (n, 50 + n, 1)
            driver.wait_completion()


def test_waits_at_every_barrier():
    """Every endpoint waits everywhere at once; the collectives end in any order."""
    with (system := open_system()).simulator:
        driver, config = system.driver, system.config
        system.fill(np.random.default_rng(1), 8192)
        barriers = range(config.isa.sync_ids)
        for s in barriers:
            for endpoint in (0, 1):
                driver.arrive(endpoint, s)
        for endpoint in (0, 1):
            with pytest.raises(RefusedError, match=f"ARRIVE of endpoint {endpoint}"):
                driver.arrive(endpoint, 2)
            with pytest.raises(RefusedError, match="write of 0x4 refused"):
                driver.arrive(endpoint, 4)
        assert [driver.read_endpoint(0, "SYNC_STATE", s) & 1 for s in barriers] == [1] * 4
        for s in (2, 0, 3, 1):
            fields = {"barrier": 1, "notify": 1, "sync_id": s, "identifier": 10 + s}
            driver.submit(collective(config, LENGTH, 1024 * s, **fields), s % 2)
            for endpoint in (0, 1):
                assert driver.wait_flag(endpoint, s) == Status.OK
                assert driver.flag_identifier(endpoint, s) == 10 + s
        assert counts(system) == (0, 0, 0)


def test_a_wait_ends():
    """By its own timeout, or because software cancels it; and the endpoint can arrive again."""
    with (system := open_system(endpoint__wait_timeout_cycles=2000)).simulator:
        driver, config = system.driver, system.config
        driver.arrive(0, 1)
        driver.arrive(0, 2)
        driver.cancel(0, 2)
        assert driver.wait_flag(0, 2) == Status.CANCELLED
        with pytest.raises(RefusedError, match="CANCEL of endpoint 0: write of 0x2 refused"):
            driver.cancel(0, 2)
        assert driver.read_endpoint(0, "SYNC_STATE", 1) & 1
        start = system.simulator.cycle
        assert driver.wait_flag(0, 1) == Status.FLAG_TIMEOUT
        assert system.simulator.cycle - start <= 2000 + 100
        # It had arrived; the collective waits for the other one alone, and the flag is there.
        driver.arrive(1, 1)
        driver.submit(collective(config, SHORT, barrier=1, notify=1, sync_id=1))
        assert driver.wait_completion().status == Status.OK
        assert driver.wait_flag(1, 1) == Status.OK
        driver.arrive(0, 1, 0)
        assert driver.wait_flag(0, 1) == Status.OK
        assert counts(system) == (1, 0, 0)


def run_flags_only(system: System, rounds: int, *, controller: int, **fields) -> None:
    """A tenant that looks at its flags and never at a record."""
    driver = system.driver
    for number in range(rounds):
        clear_flags(system)
        item = collective(system.config, SHORT, barrier=1, notify=1, identifier=number, **fields)
        driver.submit(item, controller)
        for endpoint in (0, 1):
            driver.arrive(endpoint, 0)
        for endpoint in (0, 1):
            assert driver.wait_flag(endpoint) == Status.OK


def test_nobody_waits_for_unread_records():
    """Neither the tenant that leaves them, nor the other; what is lost is counted."""
    with (system := open_system()).simulator:
        driver, config = system.driver, system.config
        depth, rounds = config.records, config.records + 9
        run_flags_only(system, rounds, controller=1)
        system.simulator.step(500)
        assert driver.read_switch("RECORDS", 1) == depth
        assert [driver.read_switch("RECORDS_LOST", c) for c in (0, 1)] == [0, 9]
        driver.submit(collective(config, SHORT, 1024, identifier=99), 0)
        record = driver.wait_completion(0)
        assert (record.identifier, record.controller, record.status) == (99, 0, Status.OK)
        assert driver.read_switch("RECORDS_LOST", 0) == 0
        # The oldest are kept, and found in order.
        found = [driver.wait_completion() for _ in range(depth)]
        assert [item.identifier for item in found] == list(range(depth))
        assert driver.read_switch("COMPLETIONS") == 0


def test_no_record_was_asked_for():
    with (system := open_system()).simulator:
        driver, config = system.driver, system.config
        run_flags_only(system, config.records + 3, controller=1, no_record=1)
        assert driver.read_switch("COMPLETIONS") == 0
        assert driver.read_switch("RECORDS_LOST", 1) == 0
        # Its errors are told by the flag alone.
        clear_flags(system)
        driver.submit(collective(config, 0, barrier=1, notify=1, no_record=1), 1)
        driver.submit(collective(config, SHORT, identifier=7), 1)
        driver.arrive(0, 0)
        assert driver.wait_flag(0) == Status.BAD_LENGTH
        assert driver.wait_completion().identifier == 7


def test_records_in_the_order_of_their_ends():
    """Also where the cycle counter has wrapped in between."""
    with (system := open_system()).simulator:
        driver, config = system.driver, system.config
        order = [0, 1, 1, 0, 1, 0]
        for number, controller in enumerate(order):
            driver.submit(collective(config, SHORT, identifier=number), controller)
            system.simulator.step(1000)
        records = [driver.wait_completion() for _ in order]
        assert [record.identifier for record in records] == list(range(len(order)))
        assert [record.controller for record in records] == order
