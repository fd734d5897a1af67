"""Golden endpoint: memory behind windows, and its answers to packets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hw.spec.config import Config
from hw.spec.packet import FlagWord, MessageClass, Operation
from hw.spec.packing import pack
from hw.spec.status import Status


@dataclass(frozen=True)
class Window:
    """``bytes`` of memory from ``base``, open to the fabric for reading or writing."""

    base: int
    bytes: int
    read: bool = True
    write: bool = True

    def holds(self, address: int, length: int) -> bool:
        return self.base <= address and address + length <= self.base + self.bytes


@dataclass
class EndpointModel:
    config: Config
    memory: np.ndarray
    windows: list[Window] = field(default_factory=list)

    def readable(self, address: int, length: int) -> bool:
        return any(window.read and window.holds(address, length) for window in self.windows)

    def writable(self, address: int, length: int) -> bool:
        return any(window.write and window.holds(address, length) for window in self.windows)

    def read(self, address: int, length: int) -> np.ndarray:
        return self.memory[address : address + length]

    def write(self, address: int, payload: np.ndarray) -> None:
        self.memory[address : address + len(payload)] = payload

    def answer(self, request: dict[str, Any], payload: bytes = b"") -> list[dict[str, Any]]:
        """Response headers to one request, each with its ``payload``, in memory order."""
        response = {
            "inc": request["inc"],
            "operation": request["operation"],
            "destination": request["source"],
            "tag": request["tag"],
        }
        if request["message_class"] == MessageClass.READ_REQUEST:
            return self._answer_read(request, response)
        return self._answer_write(request, response, payload)

    def _answer_read(self, request, response) -> list[dict[str, Any]]:
        response |= {"message_class": MessageClass.READ_RESPONSE, "operation": Operation.READ}
        status = self._check(request, request["operation"] == Operation.READ, write=False)
        if status != Status.OK:
            return [response | {"status": status, "length": 0, "address": 0, "payload": b""}]
        limit = self.config.fabric.max_payload_bytes
        packets = []
        for offset in range(0, request["length"], limit):
            length = min(limit, request["length"] - offset)
            payload = self.read(request["address"] + offset, length).tobytes()
            packets.append(
                response
                | {"status": Status.OK, "length": length, "address": offset, "payload": payload}
            )
        return packets

    def _answer_write(self, request, response, payload: bytes) -> list[dict[str, Any]]:
        if request["operation"] == Operation.WRITE_NOTIFY:
            if self.writable(request["address"], 8):
                word = pack(
                    FlagWord,
                    {"identifier": request["tag"], "status": request["status"], "valid": 1},
                )
                self.write(request["address"], np.frombuffer(word.to_bytes(8, "little"), np.uint8))
            return []
        status = self._check(request, request["operation"] == Operation.WRITE, write=True)
        if status == Status.OK:
            self.write(
                request["address"], np.frombuffer(payload[: request["length"]], dtype=np.uint8)
            )
        if not request["acknowledge"]:
            return []
        response |= {"message_class": MessageClass.WRITE_RESPONSE, "operation": Operation.WRITE}
        return [response | {"status": status, "length": 0, "address": 0, "payload": b""}]

    def _check(self, request, known: bool, *, write: bool) -> Status:
        if not known:
            return Status.BAD_OPERATION
        if request["address"] % self.config.fabric.flit_bytes:
            return Status.MISALIGNED
        allowed = self.writable if write else self.readable
        if not allowed(request["address"], request["length"]):
            return Status.WINDOW_VIOLATION
        return Status.OK
