"""Every way an instruction can fail: its own status, everything freed, the next one right."""

from dataclasses import replace

import numpy as np
import pytest

from cocotb_tests.system.bench import collective, feature_set, open_system
from hw.spec.fault import Fault
from hw.spec.instruction import MAX_LENGTH, ReduceOp
from hw.spec.status import Status
from models.endpoint.endpoint import Window
from models.isa.check import check

SIZE = 16384
culprits = pytest.mark.parametrize("culprit", [0, 1])
TIMEOUT = 3000


def opened(features: int = 0b1111, **overrides):
    switches = {name.replace(".", "__"): on for name, on in feature_set(features).items()}
    system = open_system(**{"isa__timeout_cycles": TIMEOUT} | switches | overrides)
    system.fill(np.random.default_rng(features), SIZE)
    return system


def assert_healthy(system):
    """More waves than there are table entries, twice, on both controllers."""
    driver = system.driver
    system.fill(np.random.default_rng(99), SIZE)
    waves = 2 * system.config.isa.waves
    for controller in (0, 1, 0, 1):
        instruction = collective(system.config, waves * system.config.isa.wave_bytes)
        assert system.expect(instruction) == Status.OK
        record = system.run(instruction, controller)
        assert record.status == Status.OK, record
        system.check_memories()
    assert driver.read_switch("COMPLETIONS") == 0


BAD_INSTRUCTIONS = {
    "opcode": ({"opcode": 9}, Status.BAD_OPCODE),
    "data_type": ({"data_type": 7}, Status.BAD_FORMAT),
    "reduce_op": ({"reduce_op": 9}, Status.BAD_FORMAT),
    "quantize": ({"quantize": 1}, Status.MISSING_SCALES),
    "no source": ({"sources": 0}, Status.EMPTY_MASK),
    "no destination": ({"destinations": 0}, Status.EMPTY_MASK),
    "no participant": ({"barrier": 1, "participants": 0}, Status.EMPTY_MASK),
    "absent source": ({"sources": 0b100}, Status.BAD_MASK),
    "absent destination": ({"destinations": 0b111}, Status.BAD_MASK),
    "absent participant": ({"participants": 0x8000}, Status.BAD_MASK),
    "absent barrier": ({"sync_id": 4}, Status.BAD_MASK),
    "copy of several": ({"reduce_op": ReduceOp.BYPASS}, Status.BAD_MASK),
    "address": ({"addresses": (0, 8)}, Status.MISALIGNED),
    "length odd": ({"length": 255}, Status.MISALIGNED),
    "length zero": ({"length": 0}, Status.BAD_LENGTH),
    "too long": ({"length": MAX_LENGTH + 2}, Status.BAD_LENGTH),
}


def test_bad_instructions():
    """Hardware and golden check agree on the status; memory is untouched."""
    with (system := opened()).simulator:
        for name, (fields, expected) in BAD_INSTRUCTIONS.items():
            instruction = replace(collective(system.config, 256), **fields)
            assert check(system.config, instruction) == expected, name
            record = system.run(instruction)
            assert record.status == expected, f"{name}: {record.status.name}"
            system.check_memories()
        assert_healthy(system)


@pytest.mark.parametrize("features", [0b0000, 0b1111])
@pytest.mark.parametrize("access", ["read", "write"])
@culprits
def test_window_violation(access, features, culprit):
    """One endpoint refuses; nothing outside its window is touched."""
    with (system := opened(features)).simulator:
        driver, memory = system.driver, system.simulator.memory[culprit]
        inside = 1024
        for index in range(system.config.endpoint.windows):
            driver.set_window(culprit, index, Window(0, 0))
        if access == "write":
            driver.set_window(culprit, 0, Window(0, SIZE, write=False))
            driver.set_window(culprit, 1, Window(0, inside, read=False))
        else:
            driver.set_window(culprit, 0, Window(0, inside))
        before = memory[inside:SIZE].copy()
        record = system.run(collective(system.config, 4096))
        assert record.status == Status.WINDOW_VIOLATION
        assert record.endpoint == culprit
        assert (memory[inside:SIZE] == before).all()
        driver.open_whole_memory()
        assert_healthy(system)


@pytest.mark.parametrize("features", [0b0000, 0b1111])
@culprits
def test_memory_error_poisons(features, culprit):
    """A window that promises more memory than there is: AXI answers SLVERR."""
    with (system := opened(features)).simulator:
        end = system.config.endpoint.memory_bytes
        system.driver.set_window(culprit, 0, Window(0, 2 * end))
        addresses, other = [0, 0], 1 << (1 - culprit)
        addresses[culprit] = end
        record = system.run(collective(system.config, 512, addresses=addresses, destinations=other))
        assert (record.status, record.endpoint) == (Status.POISONED, culprit)
        record = system.run(collective(system.config, 512, addresses=addresses, sources=other))
        assert (record.status, record.endpoint) == (Status.POISONED, culprit)
        assert_healthy(system)


FAULTS = {
    Fault.SILENT_READ: Status.TIMEOUT,
    Fault.SILENT_WRITE: Status.TIMEOUT,
    Fault.DUPLICATE_READ: Status.DUPLICATE_RESPONSE,
    Fault.DUPLICATE_WRITE: Status.DUPLICATE_RESPONSE,
    Fault.UNKNOWN_READ: Status.UNKNOWN_TAG,
    Fault.UNKNOWN_WRITE: Status.UNKNOWN_TAG,
    Fault.SHORT_READ: Status.BAD_LENGTH,
}


@pytest.mark.parametrize("features", [0b0000, 0b0101, 0b1111])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@culprits
def test_misbehaving_endpoint(fault, features, culprit):
    """The endpoint at fault is named; the flag tells the participants."""
    with (system := opened(features)).simulator:
        driver = system.driver
        driver.write_endpoint(culprit, "FAULT", int(fault))
        # Only a request of a single packet can be answered twice.
        length = 128 if fault == Fault.DUPLICATE_READ else 4096
        instruction = collective(
            system.config, length, barrier=1, notify=1, sync_id=2, identifier=77
        )
        driver.submit(instruction)
        for endpoint in range(system.config.system.endpoints):
            driver.arrive(endpoint, 2)
        record = driver.wait_completion()
        assert record.status == FAULTS[fault], record
        assert record.endpoint == culprit
        for endpoint in range(system.config.system.endpoints):
            status = driver.wait_flag(endpoint)
            assert driver.flag_identifier(endpoint, 2) == 77
            if features == 0:
                assert status == FAULTS[fault], "without fused notify the flag waits for all"
        assert driver.read_endpoint(culprit, "FAULT") == Fault.NONE
        assert_healthy(system)


def test_late_answers_are_dropped():
    """An endpoint slower than the timeout: its answers come later and disturb nothing."""
    with (system := opened(isa__timeout_cycles=40, jitter=400)).simulator:
        record = system.run(collective(system.config, 1024))
        assert record.status == Status.TIMEOUT
        system.simulator.step(2000)
        assert system.driver.read_switch("LATE_RESPONSES") > 0
        assert system.driver.read_switch("STRAY_RESPONSES") == 0
        system.driver.write_switch("TIMEOUT", TIMEOUT)
        assert_healthy(system)


def test_barrier_timeout_names_the_missing():
    with (system := opened(isa__barrier_timeout_cycles=2000)).simulator:
        driver = system.driver
        driver.submit(collective(system.config, 256, barrier=1, notify=1, sync_id=1))
        driver.arrive(0, 1)
        record = driver.wait_completion()
        assert (record.status, record.endpoint) == (Status.BARRIER_TIMEOUT, 1)
        assert driver.wait_flag(0) == Status.BARRIER_TIMEOUT
        assert_healthy(system)


def test_error_in_a_chain_reaches_the_flag():
    """Of a program of several instructions only the last notifies: it tells of the first."""
    with (system := opened()).simulator:
        driver = system.driver
        driver.submit(collective(system.config, 256, barrier=1, sync_id=1, addresses=(8, 8)))
        driver.submit(collective(system.config, 256, notify=1, sync_id=1, identifier=2))
        for endpoint in range(system.config.system.endpoints):
            driver.arrive(endpoint, 1)
        assert driver.wait_completion().status == Status.MISALIGNED
        assert driver.wait_completion().status == Status.OK
        for endpoint in range(system.config.system.endpoints):
            assert driver.wait_flag(endpoint) == Status.MISALIGNED
        assert_healthy(system)
