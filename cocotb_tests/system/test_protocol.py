"""Random sequences of everything that has to do with barriers, against the golden protocol.

The seed is in the name of the test and in what fails; the same seed replays the same sequence.
"""

import random
from collections import Counter
from dataclasses import replace

import pytest

from cocotb_tests.system.bench import System, collective, open_system
from hw.spec.instruction import Opcode
from hw.spec.status import Status
from models.isa.barrier import ROUNDS
from models.isa.protocol import ProtocolModel
from scin.errors import RefusedError
from scin.host.driver import Driver

EVENTS = 200
LENGTH = 64
SETTLE_CYCLES = 450
"""Longer than an instruction of so few bytes takes, its flag and the polls of it."""
BARRIER_TIMEOUT = 100


class Sequence:
    """One event after another, on the system and on the model."""

    def __init__(self, system: System, rng: random.Random) -> None:
        self.system, self.rng = system, rng
        self.model = ProtocolModel(system.config)
        self.outcomes: Counter[str] = Counter()
        system.driver.write_switch("BARRIER_TIMEOUT", 0)
        self.number = 0

    def reset(self) -> None:
        """Seldom, the system forgets everything, but flags stay in memory, where software may
        clear them or not."""
        if self.rng.random() < 0.7:
            return
        flags = self.model.flags
        self.model = ProtocolModel(self.system.config)
        self.model.flags = flags
        self.outcomes["reset"] += 1
        self.system.simulator.reset()
        self.system.driver = Driver(self.system.simulator, self.system.config)
        self.system.driver.configure()
        self.system.driver.open_whole_memory()
        self.system.driver.write_switch("BARRIER_TIMEOUT", 0)
        if self.rng.random() < 0.5:
            for endpoint in range(self.system.config.system.endpoints):
                for s in range(self.system.config.isa.sync_ids):
                    self.clear_flag(endpoint, s)

    def near(self, sync_id: int) -> int:
        """A round, mostly one that is open."""
        current = self.model.barriers[sync_id].current
        ahead = self.rng.choice([-2, -1, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 900])
        return (current + ahead) % ROUNDS

    def anywhere(self) -> tuple[int, int]:
        """An endpoint and a barrier."""
        config = self.system.config
        return (
            self.rng.randrange(config.system.endpoints),
            self.rng.randrange(config.isa.sync_ids),
        )

    def accepted(self, access, *arguments) -> bool:
        """Does the register accept it?"""
        try:
            access(*arguments)
        except RefusedError:
            return False
        return True

    def arrive(self) -> None:
        endpoint, s = self.anywhere()
        waiting = [item for item in self.model.waiting if item is not None]
        if waiting and self.rng.random() < 0.5:
            # For an instruction that waits.
            item = self.rng.choice(waiting)
            s, number = item.sync_id, item.round
        elif self.rng.random() < 0.05:
            s, number = self.system.config.isa.sync_ids, 0
        else:
            number = self.near(s)
        driver = self.system.driver
        if any((item.sync_id, item.round) == (s, number) for item in waiting):
            # An old flag of this round would be seen before or after the new one is written.
            self.clear_flag(endpoint, s)
        if s < self.system.config.isa.sync_ids and self.rng.random() < 0.7:
            # Mostly it does not wait there.
            self.accepted(driver.cancel, endpoint, s)
            self.model.endpoints[endpoint].cancel(s)
        taken = self.accepted(driver.write_endpoint, endpoint, "ARRIVE", s | number << 16)
        assert self.model.arrive(endpoint, s, number) == taken
        self.outcomes["arrival" if taken else "refused arrival"] += 1

    def instruct(self) -> None:
        config, rng = self.system.config, self.rng
        idle = [c for c, waits in enumerate(self.model.waiting) if waits is None]
        if not idle:
            return
        controller, (_, s) = rng.choice(idle), self.anywhere()
        self.number += 1
        fields = {
            "identifier": self.number,
            "sync_id": s,
            "round": self.near(s),
            "barrier": int(rng.random() < 0.9),
            "notify": int(rng.random() < 0.8),
            "no_record": int(rng.random() < 0.2),
            "participants": rng.randrange(1, 1 << config.system.endpoints),
        }
        fields |= rng.choice(
            [{}] * 6
            + [{"length": 0}, {"participants": 0}, {"sync_id": config.isa.sync_ids}]
            # Any opcode, good or not; NOP waits at no barrier.
            + [{"opcode": opcode} for opcode in (Opcode.NOP, Opcode.SCALES, 9)]
        )
        item = replace(collective(config, LENGTH, LENGTH * controller), **fields)
        self.system.driver.submit(item, controller)
        self.model.submit(item, controller)

    def expire(self) -> None:
        driver = self.system.driver
        driver.write_switch("BARRIER_TIMEOUT", BARRIER_TIMEOUT)
        self.system.simulator.step(2 * BARRIER_TIMEOUT)
        driver.write_switch("BARRIER_TIMEOUT", 0)
        self.model.time_out()

    def cancel(self) -> None:
        endpoint, s = self.anywhere()
        taken = self.accepted(self.system.driver.cancel, endpoint, s)
        assert self.model.endpoints[endpoint].cancel(s) == taken

    def clear(self) -> None:
        self.clear_flag(*self.anywhere())

    def clear_flag(self, endpoint: int, s: int) -> None:
        place = self.system.config.flag_base + 8 * s
        self.system.simulator.memory[endpoint][place : place + 8] = 0
        self.model.clear_flag(endpoint, s)

    def begin(self) -> None:
        _, s = self.anywhere()
        number = self.rng.randrange(ROUNDS)
        taken = self.accepted(self.system.driver.write_switch, "ROUND", number, s)
        assert self.model.begin(s, number) == taken
        self.outcomes["begin" if taken else "refused begin"] += 1

    def refuse(self) -> None:
        """Which controllers may use a barrier; one that waits there stays."""
        _, s = self.anywhere()
        mask = self.rng.choice([0, 0, 0b01, 0b10])
        self.system.driver.write_switch("SYNC_REFUSED", mask, s)
        for c in range(self.system.config.isa.wave_controllers):
            bits = self.model.sync_refused[c] & ~(1 << s)
            self.model.sync_refused[c] = bits | (mask >> c & 1) << s

    def read_records(self) -> None:
        c = self.rng.randrange(self.system.config.isa.wave_controllers)
        while self.model.records[c].waiting:
            record = self.system.driver.wait_completion(c)
            expected = self.model.records[c].waiting.popleft()
            assert (record.identifier, record.status) == expected
            self.outcomes[record.status.name] += 1
        self.outcomes["lost record"] += self.model.records[c].lost

    def compare(self) -> None:
        driver, model = self.system.driver, self.model
        for c, records in enumerate(model.records):
            assert driver.read_switch("RECORDS", c) == len(records.waiting), c
            assert driver.read_switch("RECORDS_LOST", c) == records.lost, c
        for s, barrier in enumerate(model.barriers):
            word = driver.read_switch("ROUND", s)
            assert (word & 0xFFFF, word >> 16) == barrier.register(), s
        names = ("LATE_ARRIVALS", "DOUBLED_ARRIVALS", "STRAY_ARRIVALS")
        found = [driver.read_switch(name) for name in names]
        assert found == [model.counts.late, model.counts.doubled, model.counts.stray]
        base = self.system.config.flag_base
        for endpoint, expected in enumerate(model.flags):
            flags = self.system.simulator.memory[endpoint][base : base + 8 * len(expected)]
            assert flags.view("<u8").tolist() == expected, endpoint
        for endpoint, waits in enumerate(model.endpoints):
            for s, wait in enumerate(waits.waits):
                state = driver.read_endpoint(endpoint, "SYNC_STATE", s)
                assert state & 1 == wait.waiting, (endpoint, s)
                assert state >> 4 & 0x1F == wait.status, (endpoint, s)
                assert state >> 16 == wait.round, (endpoint, s)
                assert driver.flag_identifier(endpoint, s) == wait.identifier, (endpoint, s)


@pytest.mark.parametrize("seed", range(1, 11))
def test_protocol(seed):
    """Two tenants, arrivals in time, late, early, doubled and stray, at barriers that are there
    or not, instructions good, refused and timing out, flags cleared or not, waits cancelled,
    barriers begun anew, resets, records read or left: after each event all is as it should be."""
    rng = random.Random(seed)
    with (system := open_system(seed=seed)).simulator:
        sequence = Sequence(system, rng)
        events = (
            [sequence.arrive] * 10
            + [sequence.instruct] * 8
            + [sequence.clear] * 2
            + [sequence.expire, sequence.cancel, sequence.begin, sequence.refuse]
            + [sequence.reset]
            + [sequence.read_records]
        )
        history = []
        for _ in range(EVENTS):
            event = rng.choice(events)
            history.append(event.__name__)
            event()
            system.simulator.step(SETTLE_CYCLES)
            try:
                sequence.compare()
            except AssertionError as error:
                raise AssertionError(
                    f"seed {seed}, event {len(history)}: {history[-5:]}"
                ) from error
        for _ in range(3):
            sequence.read_records()
        for name in ("arrival", "refused arrival", "begin", Status.OK.name, Status.BAD_ROUND.name):
            assert sequence.outcomes[name], sequence.outcomes
