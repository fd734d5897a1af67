"""Golden endpoint: memory behind windows, and its answers to packets."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from hw.spec.config import Config
from hw.spec.packet import ROUND_BITS, WORD_BYTES, FlagWord, Header, MessageClass, Operation
from hw.spec.status import Status


class Requester(NamedTuple):
    """What asks for memory: an endpoint, or the accelerator if ``source`` is None, for a tenant."""

    source: int | None = None
    tenant: int = 0


ACCELERATOR = Requester()


class Packet(NamedTuple):
    header: Header
    payload: bytes = b""


@dataclass(frozen=True)
class Window:
    """``bytes`` of memory from ``base``, open to the fabric for reading or writing, but not to
    the endpoints and tenants of the two masks."""

    base: int
    bytes: int
    read: bool = True
    write: bool = True
    refused_sources: int = 0
    refused_tenants: int = 0

    def holds(self, address: int, length: int, requester: Requester) -> bool:
        if self.refused_tenants >> requester.tenant & 1:
            return False
        if requester.source is not None and self.refused_sources >> requester.source & 1:
            return False
        return self.base <= address and address + length <= self.base + self.bytes


@dataclass
class EndpointModel:
    config: Config
    memory: np.ndarray
    windows: list[Window] = field(default_factory=list)
    unreported: dict[int, Status] = field(default_factory=dict)
    """Per queue set, the error of a write that asked for no answer."""
    flag_status: dict[int, Status] = field(default_factory=dict)
    """Per queue set, the first error since the last flag."""

    def readable(self, address: int, length: int, requester: Requester = ACCELERATOR) -> bool:
        return any(w.read and w.holds(address, length, requester) for w in self.windows)

    def writable(self, address: int, length: int, requester: Requester = ACCELERATOR) -> bool:
        return any(w.write and w.holds(address, length, requester) for w in self.windows)

    def read(self, address: int, length: int) -> np.ndarray:
        return self.memory[address : address + length]

    def write(self, address: int, payload: np.ndarray) -> None:
        self.memory[address : address + len(payload)] = payload

    def add(self, address: int, operand: int) -> None:
        """Atomic addition to a 64-bit word."""
        total = int.from_bytes(self.read(address, WORD_BYTES).tobytes(), "little") + operand
        word = (total % (1 << 64)).to_bytes(WORD_BYTES, "little")
        self.write(address, np.frombuffer(word, np.uint8))

    def answer(self, request: Header, payload: bytes = b"") -> list[Packet]:
        """Responses to one request, in memory order.

        Payload is given and returned without the bytes before its address in its flit."""
        response = Header(
            inc=request.inc,
            operation=request.operation,
            destination=request.source,
            tag=request.tag,
        )
        if request.message_class == MessageClass.READ_REQUEST:
            return self._answer_read(request, response)
        return self._answer_write(request, response, payload)

    def _answer_read(self, request: Header, response: Header) -> list[Packet]:
        response = replace(
            response, message_class=MessageClass.READ_RESPONSE, operation=Operation.READ
        )
        status = self._check(request, request.operation == Operation.READ, write=False)
        if request.length == 0 and status != Status.BAD_OPERATION:
            status = Status.BAD_LENGTH
        if status != Status.OK:
            return [Packet(replace(response, status=status))]
        limit = self.config.fabric.max_payload_bytes
        skipped = request.address % self.config.fabric.flit_bytes
        starts = [0, *range(limit - skipped, request.length, limit)]
        packets = []
        for offset, end in itertools.pairwise([*starts, request.length]):
            length = end - offset
            payload = self.read(request.address + offset, length).tobytes()
            packets.append(Packet(replace(response, length=length, address=offset), payload))
        return packets

    def _answer_write(self, request: Header, response: Header, payload: bytes) -> list[Packet]:
        queue_set = request.inc
        if request.operation == Operation.WRITE_NOTIFY:
            self._store_flag(request, queue_set)
            return []
        adds = request.operation == Operation.ATOMIC_ADD
        known = adds or request.operation == Operation.WRITE
        status = self._check(request, known, write=True)
        if adds and request.address % WORD_BYTES:
            status = Status.MISALIGNED
        if status == Status.OK and adds:
            self.add(request.address, int.from_bytes(payload[:WORD_BYTES], "little"))
        elif status == Status.OK:
            self.write(request.address, np.frombuffer(payload[: request.length], dtype=np.uint8))
        self._note(queue_set, status)
        if not request.acknowledge:
            return []
        reported = self.unreported.pop(queue_set, Status.OK)
        status = reported if status == Status.OK else status
        return [
            Packet(
                replace(
                    response,
                    message_class=MessageClass.WRITE_RESPONSE,
                    operation=Operation.WRITE,
                    status=status,
                )
            )
        ]

    def _store_flag(self, request: Header, queue_set: int) -> None:
        if not self.writable(request.address, 8, _requester(request)) or request.address % 8:
            status = Status.MISALIGNED if request.address % 8 else Status.WINDOW_VIOLATION
            self._note(queue_set, status)
            return
        flag = FlagWord(
            identifier=request.tag,
            status=request.status or self.flag_status.get(queue_set, Status.OK),
            valid=1,
            round=request.length % (1 << ROUND_BITS),
        )
        self.flag_status[queue_set] = Status.OK
        self.write(request.address, np.frombuffer(flag.pack().to_bytes(8, "little"), np.uint8))

    def _note(self, queue_set: int, status: Status) -> None:
        if status != Status.OK:
            self.unreported.setdefault(queue_set, status)
            if self.flag_status.get(queue_set, Status.OK) == Status.OK:
                self.flag_status[queue_set] = status

    def _check(self, request: Header, known: bool, *, write: bool) -> Status:
        if not known:
            return Status.BAD_OPERATION
        allowed = self.writable if write else self.readable
        length = WORD_BYTES if request.operation == Operation.ATOMIC_ADD else request.length
        if not allowed(request.address, length, _requester(request)):
            return Status.WINDOW_VIOLATION
        return Status.OK


def _requester(request: Header) -> Requester:
    return Requester(None if request.inc else request.source, request.tenant)
