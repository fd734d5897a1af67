"""Golden protocol around collectives: barriers, instructions, flags, records, and their waits.

Order is all that counts here; nothing takes time, and what can happen at once has happened.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hw.spec.config import Config
from hw.spec.instruction import Instruction, Opcode
from hw.spec.packet import FlagWord
from hw.spec.status import Status
from models.endpoint.sync import SyncModel
from models.isa.barrier import BarrierModel, Counts
from models.isa.check import check


@dataclass
class RecordsModel:
    """Completion records of one controller: (identifier, status)."""

    depth: int
    waiting: deque[tuple[int, Status]] = field(default_factory=deque)
    lost: int = 0

    def add(self, identifier: int, status: Status) -> None:
        if len(self.waiting) < self.depth:
            self.waiting.append((identifier, status))
        else:
            self.lost += 1


class ProtocolModel:
    """A switch and its endpoints, as far as they synchronise."""

    def __init__(self, config: Config) -> None:
        self.config = config
        endpoints, controllers = config.system.endpoints, config.isa.wave_controllers
        barriers = config.isa.sync_ids
        self.counts = Counts()
        self.barriers = [BarrierModel(self.counts) for _ in range(barriers)]
        self.endpoints = [SyncModel(barriers) for _ in range(endpoints)]
        self.flags = [[0] * barriers for _ in range(endpoints)]
        self.records = [RecordsModel(config.records) for _ in range(controllers)]
        self.waiting: list[Instruction | None] = [None] * controllers
        """The instruction that a controller holds at its barrier."""
        self.sync_refused = [0] * controllers
        self.earlier_error = [Status.OK] * controllers
        """The first error of a controller since its latest flag."""

    def arrive(self, endpoint: int, sync_id: int, number: int) -> bool:
        """False if the endpoint's register refuses it."""
        if not self.endpoints[endpoint].arrive(sync_id, number):
            return False
        barrier = self.barriers[sync_id]
        barrier.step(arrivals=[(endpoint, number)])
        for controller, instruction in enumerate(self.waiting):
            if instruction is None or instruction.sync_id != sync_id:
                continue
            if not barrier.missing(controller, _members(instruction.participants)):
                self._leave(controller, Status.OK)
        self._poll(endpoint, sync_id)
        return True

    def submit(self, instruction: Instruction, controller: int) -> None:
        """An instruction of a controller that waits for nothing."""
        assert self.waiting[controller] is None, "one at a time"
        refused, sync_id = self.sync_refused[controller], instruction.sync_id
        status = check(self.config, instruction, sync_refused=refused)
        allowed = sync_id < self.config.isa.sync_ids and not refused >> sync_id & 1
        without_barrier = instruction.opcode in (Opcode.NOP, Opcode.SCALES)
        if not instruction.barrier:
            self._end(controller, instruction, status, tells=allowed)
        elif without_barrier or not allowed:
            self._end(controller, instruction, status, tells=False)
        elif status != Status.OK:
            own = self._end_round(controller, instruction)
            self._end(controller, instruction, status, tells=own)
        else:
            self._claim(controller, instruction)

    def _claim(self, controller: int, instruction: Instruction) -> None:
        barrier = self.barriers[instruction.sync_id]
        barrier.step(claims={controller: _round(instruction)})
        if controller not in barrier.holders:
            self._end(controller, instruction, Status.BAD_ROUND, tells=False)
            return
        self.waiting[controller] = instruction
        if not barrier.missing(controller, _members(instruction.participants)):
            self._leave(controller, Status.OK)

    def time_out(self) -> None:
        """Every instruction that waits at a barrier does so for too long."""
        for controller, instruction in enumerate(self.waiting):
            if instruction is not None:
                self._leave(controller, Status.BARRIER_TIMEOUT)

    def begin(self, sync_id: int, number: int) -> bool:
        """False if the register refuses it."""
        if self.barriers[sync_id].holders:
            return False
        self.barriers[sync_id].step(begin=number)
        return True

    def clear_flag(self, endpoint: int, sync_id: int) -> None:
        self.flags[endpoint][sync_id] = 0

    def _leave(self, controller: int, status: Status) -> None:
        instruction = self.waiting[controller]
        assert instruction is not None
        own = self._end_round(controller, instruction)
        self.waiting[controller] = None
        self._end(controller, instruction, status, tells=own)

    def _end_round(self, controller: int, instruction: Instruction) -> bool:
        """False if the round was not this instruction's to end."""
        barrier = self.barriers[instruction.sync_id]
        ends = _round(instruction), _members(instruction.participants)
        ended = barrier.step(ends={controller: ends})
        barrier.settle()
        return controller in ended

    def _end(
        self, controller: int, instruction: Instruction, status: Status, *, tells: bool
    ) -> None:
        """``tells``: it may write flags at its barrier."""
        sync_id, present = instruction.sync_id, range(self.config.system.endpoints)
        tells = tells and bool(instruction.notify)
        outcome = self.earlier_error[controller] or status
        self.earlier_error[controller] = Status.OK if tells else outcome
        if tells:
            word = FlagWord(
                identifier=instruction.identifier,
                status=outcome,
                valid=1,
                round=_round(instruction),
            ).pack()
            for endpoint in _members(instruction.participants) & set(present):
                self.flags[endpoint][sync_id] = word
                self._poll(endpoint, sync_id)
        if not instruction.no_record:
            self.records[controller].add(instruction.identifier, status)

    def _poll(self, endpoint: int, sync_id: int) -> None:
        self.endpoints[endpoint].look(sync_id, self.flags[endpoint][sync_id])


def _round(instruction: Instruction) -> int:
    return instruction.round or 0


def _members(mask: int) -> set[int]:
    return {endpoint for endpoint in range(mask.bit_length()) if mask >> endpoint & 1}
