"""What the tests made the system do, in the words of the functional bins.

An event is a dictionary from axis to value: an instruction with its outcome, a DMA command with
its outcome, or a run under disturbances.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hw.spec.config import Config
from hw.spec.dma import Command, DmaOpcode, SignalKind
from hw.spec.fault import Disturbance
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import Opcode, ReduceOp
from hw.spec.registers import FEATURE_BITS
from hw.spec.status import Status

Event = dict[str, str]
OFF_ON = ("off", "on")

SHARES = ("one", "some", "all")
STALLS = ("none", "irregular", "frozen")
ORDINARY, QUANTIZED = "ordinary", "quantized"
SIZES = ("less than a row", "a row", "to a packet", "to a wave", "several waves")
COMMAND_SIZES = ("less than a row", "to a packet", "several packets")
REACHES = ("local", "push", "pull", "between others")
ALIGNMENTS = ("alike", "shifted")


def share(mask: int, endpoints: int) -> str:
    """How many of the endpoints a mask names."""
    count = (mask & (1 << endpoints) - 1).bit_count()
    return "one" if count == 1 else "all" if count == endpoints else "some" if count else "none"


def size_of(length: int, config: Config) -> str:
    flit, packet = config.fabric.flit_bytes, config.fabric.max_payload_bytes
    if length < flit:
        return SIZES[0]
    if length == flit:
        return SIZES[1]
    if length <= packet:
        return SIZES[2]
    return SIZES[3] if length <= config.isa.wave_bytes else SIZES[4]


def code_of(kind: type, value: int) -> str:
    """Name of a code, also of one that means nothing."""
    return kind(value).name if value in set(kind) else "unknown"


def environment(config: Config, jitter: int, stall: int, faults: Iterable[Any]) -> Event:
    stalls = STALLS[2] if Disturbance.STALL in faults else STALLS[bool(jitter or stall)]
    features = {name: OFF_ON[getattr(config.isa, name)] for name in FEATURE_BITS}
    return {
        "stalls": stalls,
        "lanes": "folded" if config.isa.cycles_per_row > 1 else "a row",
        "endpoints": str(config.system.endpoints),
        **features,
    }


@dataclass
class Instructions:
    """Those of one driver that have no record yet."""

    config: Config
    around: Event
    pending: list[deque[dict[str, Any]]] = field(default_factory=list)

    def submitted(self, instruction: dict[str, Any], controller: int) -> None:
        while len(self.pending) <= controller:
            self.pending.append(deque())
        queue = self.pending[controller]
        wanted = queue and queue[-1].get("quantize") and queue[-1]["opcode"] == Opcode.COLLECTIVE
        if instruction.get("opcode") == Opcode.SCALES and wanted and "scales" not in queue[-1]:
            queue[-1]["scales"] = instruction
        else:
            queue.append({"opcode": Opcode.NOP} | instruction)

    def ended(self, controller: int, identifier: int, status: Status) -> Event | None:
        """The event of a record."""
        queue = self.pending[controller] if controller < len(self.pending) else deque()
        for instruction in queue:
            if instruction.get("identifier", 0) == identifier:
                queue.remove(instruction)
                return self._event(instruction, controller, status)
        return None

    def _event(self, instruction: dict[str, Any], controller: int, status: Status) -> Event:
        endpoints = self.config.system.endpoints
        quantized = QUANTIZED if instruction.get("quantize") else ORDINARY
        return self.around | {
            "of": "instruction",
            "opcode": code_of(Opcode, instruction["opcode"]),
            "format": code_of(DataType, instruction.get("data_type", 0)),
            "operation": code_of(ReduceOp, instruction.get("reduce_op", 0)),
            "kind": quantized,
            "size": size_of(instruction.get("length", 0), self.config),
            "sources": share(instruction.get("sources", 0), endpoints),
            "destinations": share(instruction.get("destinations", 0), endpoints),
            "controller": str(controller),
            "status": status.name,
            **{
                name: OFF_ON[bool(instruction.get(name, 0))]
                for name in ("barrier", "notify", "fence")
            },
        }


def command_event(
    command: dict[str, Any], endpoint: int, config: Config, around: Event, status: Status
) -> Event:
    """Of a DMA command of the engine at ``endpoint``."""
    values = dict.fromkeys(Command.as_shape().members, 0) | command
    length, flit = values["length"], config.fabric.flit_bytes
    reads, writes = values["source_node"] == endpoint, values["destination_node"] == endpoint
    alike = values["source"] % flit == values["destination"] % flit
    packet = config.fabric.max_payload_bytes
    return around | {
        "of": "command",
        "command": code_of(DmaOpcode, values["opcode"]),
        "signal": code_of(SignalKind, values["signal_kind"]),
        "reach": REACHES[2 * (not reads) + (not writes)],
        "command_size": COMMAND_SIZES[0 if length < flit else 1 if length <= packet else 2],
        "alignment": ALIGNMENTS[not alike],
        "status": status.name,
    }
