"""Golden check of DMA commands."""

from __future__ import annotations

from typing import Any

from hw.spec.config import Config
from hw.spec.dma import COPIES, Compare, DmaOpcode, SignalKind
from hw.spec.packet import ADDRESS_BITS
from hw.spec.status import Status

WORD_OPCODES = {DmaOpcode.ATOMIC_ADD: 8, DmaOpcode.TIMESTAMP: 8, DmaOpcode.FENCE: 4}
ADDRESS_SPACE = 1 << ADDRESS_BITS
SIGNAL_BYTES = {SignalKind.ADD: 8, SignalKind.WRITE: 4}


def overlap(command: dict[str, Any], which: str = "destination") -> bool:
    """Do source and destination share bytes of one memory?"""
    source_node, source = command.get("source_node", 0), command.get("source", 0)
    if command["opcode"] == DmaOpcode.MULTICAST:
        same = bool(command["targets"] >> source_node & 1)
    else:
        same = source_node == command.get(f"{which}_node", 0)
    return same and abs(source - command.get(which, 0)) < command["length"]


def check(config: Config, command: dict[str, Any], identity: int) -> Status:
    """The first thing wrong with ``command`` at endpoint ``identity``."""
    endpoints = config.system.endpoints
    opcode = command["opcode"]
    copies = opcode in COPIES
    kind = command.get("signal_kind", SignalKind.NONE)
    known = opcode in list(DmaOpcode)
    bad_kind = copies and kind not in list(SignalKind)
    bad_compare = opcode == DmaOpcode.POLL and command.get("compare", 0) not in list(Compare)
    if not known or bad_kind or bad_compare:
        return Status.BAD_OPCODE
    targets = command.get("targets", 0)
    if opcode == DmaOpcode.MULTICAST and targets == 0:
        return Status.EMPTY_MASK

    nodes = []
    if copies:
        nodes.append(command.get("source_node", 0))
    if (copies and opcode != DmaOpcode.MULTICAST) or opcode in WORD_OPCODES:
        nodes.append(command.get("destination_node", 0))
    if opcode == DmaOpcode.BROADCAST:
        nodes.append(command.get("second_node", 0))
    if copies and kind != SignalKind.NONE:
        nodes.append(command.get("signal_node", 0))
    foreign_poll = opcode == DmaOpcode.POLL and command.get("source_node", 0) != identity
    too_many = opcode == DmaOpcode.MULTICAST and targets >> endpoints
    if any(node >= endpoints for node in nodes) or foreign_poll or too_many:
        return Status.BAD_MASK

    if copies and command.get("length", 0) == 0:
        return Status.BAD_LENGTH
    words = []
    if opcode in WORD_OPCODES:
        words.append((command.get("destination", 0), WORD_OPCODES[opcode]))
    if opcode == DmaOpcode.POLL:
        words.append((command.get("source", 0), 8))
    if copies and kind in SIGNAL_BYTES:
        words.append((command.get("signal", 0), SIGNAL_BYTES[kind]))
    if any(address % size for address, size in words):
        return Status.MISALIGNED
    if copies and opcode != DmaOpcode.COPY:
        second = opcode == DmaOpcode.BROADCAST and overlap(command, "second")
        if overlap(command) or second:
            return Status.OVERLAP
    starts = ["source", "destination"] + ["second"] * (opcode == DmaOpcode.BROADCAST)
    if copies and any(command.get(name, 0) + command["length"] > ADDRESS_SPACE for name in starts):
        return Status.WINDOW_VIOLATION
    return Status.OK
