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
from hw.spec.instruction import Instruction, Opcode, ReduceOp
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
    pending: list[deque[Instruction]] = field(default_factory=list)
    without_scales: set[int] = field(default_factory=set)
    """Controllers whose latest instruction is quantized and lacks its scales."""

    def submitted(self, instruction: Instruction, controller: int) -> None:
        while len(self.pending) <= controller:
            self.pending.append(deque())
        if instruction.opcode == Opcode.SCALES and controller in self.without_scales:
            self.without_scales.discard(controller)
            return
        self.pending[controller].append(instruction)
        self.without_scales.discard(controller)
        if instruction.quantize and instruction.opcode == Opcode.COLLECTIVE:
            self.without_scales.add(controller)

    def ended(self, controller: int, identifier: int, status: Status) -> Event | None:
        """The event of a record."""
        queue = self.pending[controller] if controller < len(self.pending) else deque()
        for instruction in queue:
            if instruction.identifier == identifier:
                queue.remove(instruction)
                return self._event(instruction, controller, status)
        return None

    def _event(self, instruction: Instruction, controller: int, status: Status) -> Event:
        endpoints = self.config.system.endpoints
        quantized = QUANTIZED if instruction.quantize else ORDINARY
        return self.around | {
            "of": "instruction",
            "opcode": code_of(Opcode, instruction.opcode),
            "format": code_of(DataType, instruction.data_type),
            "operation": code_of(ReduceOp, instruction.reduce_op),
            "kind": quantized,
            "size": size_of(instruction.length, self.config),
            "sources": share(instruction.sources, endpoints),
            "destinations": share(instruction.destinations, endpoints),
            "controller": str(controller),
            "status": status.name,
            **{
                name: OFF_ON[bool(getattr(instruction, name))]
                for name in ("barrier", "notify", "fence")
            },
        }


def command_event(
    command: Command, endpoint: int, config: Config, around: Event, status: Status
) -> Event:
    """Of a DMA command of the engine at ``endpoint``."""
    length, flit = command.length, config.fabric.flit_bytes
    reads, writes = command.source_node == endpoint, command.destination_node == endpoint
    alike = command.source % flit == command.destination % flit
    packet = config.fabric.max_payload_bytes
    return around | {
        "of": "command",
        "command": code_of(DmaOpcode, command.opcode),
        "signal": code_of(SignalKind, command.signal_kind),
        "reach": REACHES[2 * (not reads) + (not writes)],
        "command_size": COMMAND_SIZES[0 if length < flit else 1 if length <= packet else 2],
        "alignment": ALIGNMENTS[not alike],
        "status": status.name,
    }
