"""Golden DMA engine: what a list of commands makes of the endpoints' memories.

Commands take effect one after the other, each whole before the next.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from hw.spec.config import Config
from hw.spec.dma import COPIES, Command, Compare, DmaOpcode, SignalKind
from hw.spec.status import Status
from models.dma.check import check, overlap
from models.endpoint.endpoint import EndpointModel, Requester

COMPARISONS: dict[Compare, Callable[[int, int], bool]] = {
    Compare.ALWAYS: lambda found, reference: True,
    Compare.LESS: lambda found, reference: found < reference,
    Compare.LESS_EQUAL: lambda found, reference: found <= reference,
    Compare.EQUAL: lambda found, reference: found == reference,
    Compare.NOT_EQUAL: lambda found, reference: found != reference,
    Compare.GREATER_EQUAL: lambda found, reference: found >= reference,
    Compare.GREATER: lambda found, reference: found > reference,
}


class Deadlock(RuntimeError):  # noqa: N818
    """A poll without timeout waits for something that is never written."""


@dataclass
class Outcome:
    """``failed`` is the number of the command that did not end with OK, if any."""

    status: Status = Status.OK
    failed: int | None = None
    undefined: list[tuple[int, int, int]] = field(default_factory=list)
    """Where a failed copy may write before it stops: (endpoint, address, length) of each of its
    segments that windows allow. In memory is what it copies; hardware may have left any of
    them as they were."""


@dataclass
class EngineModel:
    """One engine of endpoint ``identity``. A failed command is carried out as far as windows
    allow, see :attr:`Outcome.undefined`; nothing after it is."""

    config: Config
    identity: int
    endpoints: list[EndpointModel]
    tenant: int = 0

    @property
    def requester(self) -> Requester:
        return Requester(self.identity, self.tenant)

    def execute(self, commands: Iterable[Command]) -> Outcome:
        outcome = Outcome()
        for number, command in enumerate(commands):
            status = check(self.config, command, self.identity)
            if status == Status.OK:
                status = self._carry_out(command, outcome)
            if status != Status.OK:
                outcome.status, outcome.failed = status, number
                break
        return outcome

    def _carry_out(self, command: Command, outcome: Outcome) -> Status:
        opcode = DmaOpcode(command.opcode)
        if opcode == DmaOpcode.NOP:
            return Status.OK
        if opcode == DmaOpcode.POLL:
            return self._poll(command)
        node, address = command.destination_node, command.destination
        operand = command.operand
        if opcode == DmaOpcode.ATOMIC_ADD:
            return self._add(node, address, operand)
        if opcode == DmaOpcode.FENCE:
            return self._store(node, address, operand, 4)
        if opcode == DmaOpcode.TIMESTAMP:
            return self._store(node, address, 0, 8)
        assert opcode in COPIES
        status, written = self._copy(command, opcode)
        if status != Status.OK:
            outcome.undefined = written
        kind = command.signal_kind
        if status != Status.OK or kind == SignalKind.NONE:
            return status
        node, address = command.signal_node, command.signal
        if kind == SignalKind.ADD:
            return self._add(node, address, operand)
        return self._store(node, address, operand, 4)

    def _poll(self, command: Command) -> Status:
        address = command.source
        word = int.from_bytes(self.endpoints[self.identity].read(address, 8).tobytes(), "little")
        compare = COMPARISONS[Compare(command.compare)]
        if compare(word & command.mask, command.operand):
            return Status.OK
        if not command.timeout:
            raise Deadlock(f"poll of {address:#x} at endpoint {self.identity}")
        return Status.POLL_TIMEOUT

    def _store(self, node: int, address: int, value: int, size: int) -> Status:
        endpoint = self.endpoints[node]
        if not endpoint.writable(address, size, self.requester):
            return Status.WINDOW_VIOLATION
        raw = (value % (1 << 8 * size)).to_bytes(size, "little")
        endpoint.write(address, np.frombuffer(raw, np.uint8))
        return Status.OK

    def _add(self, node: int, address: int, operand: int) -> Status:
        if not self.endpoints[node].writable(address, 8, self.requester):
            return Status.WINDOW_VIOLATION
        self.endpoints[node].add(address, operand)
        return Status.OK

    def _copy(
        self, command: Command, opcode: DmaOpcode
    ) -> tuple[Status, list[tuple[int, int, int]]]:
        """How it ends, and (endpoint, address, length) of what it writes."""
        status, written = Status.OK, []
        targets = self._targets(command, opcode)
        source_node, source = command.source_node, command.source
        for offset, length in self._segments(command, opcode):
            here = (source_node, source + offset)
            if opcode == DmaOpcode.SWAP:
                there = (targets[0][0], targets[0][1] + offset)
                moves = [(here, there), (there, here)]
            else:
                moves = [(here, (node, address + offset)) for node, address in targets]
            readable = [
                self.endpoints[node].readable(address, length, self.requester)
                for (node, address), _ in moves
            ]
            if not all(readable):
                status = status or Status.WINDOW_VIOLATION
                continue
            contents = [
                self.endpoints[node].read(address, length).copy() for (node, address), _ in moves
            ]
            for (_, (node, address)), content in zip(moves, contents, strict=True):
                if self.endpoints[node].writable(address, length, self.requester):
                    self.endpoints[node].write(address, content)
                    written.append((node, address, length))
                else:
                    status = status or Status.WINDOW_VIOLATION
        return status, written

    def _targets(self, command: Command, opcode: DmaOpcode) -> list[tuple[int, int]]:
        address = command.destination
        if opcode == DmaOpcode.MULTICAST:
            mask = command.targets
            return [(node, address) for node in range(len(self.endpoints)) if mask >> node & 1]
        targets = [(command.destination_node, address)]
        if opcode == DmaOpcode.BROADCAST:
            targets.append((command.second_node, command.second))
        return targets

    def _segments(self, command: Command, opcode: DmaOpcode) -> Iterator[tuple[int, int]]:
        """(offset, length) in the order they are moved."""
        limit = self.config.fabric.max_payload_bytes
        source, destination = command.source, command.destination
        borders = {0, command.length}
        for start in {source, destination} if opcode == DmaOpcode.SWAP else {source}:
            borders |= set(range(-start % limit, command.length, limit))
        ordered = sorted(borders)
        segments = [(low, high - low) for low, high in itertools.pairwise(ordered)]
        upwards = opcode == DmaOpcode.COPY and overlap(command) and destination > source
        return iter(segments[::-1] if upwards else segments)
