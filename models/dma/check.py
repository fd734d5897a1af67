"""Golden check of DMA commands."""

from __future__ import annotations

from hw.spec.config import Config
from hw.spec.dma import COPIES, Command, Compare, DmaOpcode, SignalKind
from hw.spec.packet import ADDRESS_BITS
from hw.spec.status import Status

WORD_OPCODES: dict[int, int] = {DmaOpcode.ATOMIC_ADD: 8, DmaOpcode.TIMESTAMP: 8, DmaOpcode.FENCE: 4}
ADDRESS_SPACE = 1 << ADDRESS_BITS
SIGNAL_BYTES: dict[int, int] = {SignalKind.ADD: 8, SignalKind.WRITE: 4}


def overlap(command: Command, *, second: bool = False) -> bool:
    """Do source and destination, or ``second`` destination, share bytes of one memory?"""
    node, address = command.destination_node, command.destination
    if second:
        node, address = command.second_node, command.second
    if command.opcode == DmaOpcode.MULTICAST:
        same = bool(command.targets >> command.source_node & 1)
    else:
        same = command.source_node == node
    return same and abs(command.source - address) < command.length


def check(config: Config, command: Command, identity: int) -> Status:
    """The first thing wrong with ``command`` at endpoint ``identity``."""
    endpoints = config.system.endpoints
    opcode = command.opcode
    copies = opcode in COPIES
    kind = command.signal_kind
    known = opcode in list(DmaOpcode)
    bad_kind = copies and kind not in list(SignalKind)
    bad_compare = opcode == DmaOpcode.POLL and command.compare not in list(Compare)
    if not known or bad_kind or bad_compare:
        return Status.BAD_OPCODE
    targets = command.targets
    if opcode == DmaOpcode.MULTICAST and targets == 0:
        return Status.EMPTY_MASK

    nodes = []
    if copies:
        nodes.append(command.source_node)
    if (copies and opcode != DmaOpcode.MULTICAST) or opcode in WORD_OPCODES:
        nodes.append(command.destination_node)
    if opcode == DmaOpcode.BROADCAST:
        nodes.append(command.second_node)
    if copies and kind != SignalKind.NONE:
        nodes.append(command.signal_node)
    foreign_poll = opcode == DmaOpcode.POLL and command.source_node != identity
    too_many = opcode == DmaOpcode.MULTICAST and targets >> endpoints
    if any(node >= endpoints for node in nodes) or foreign_poll or too_many:
        return Status.BAD_MASK

    if copies and command.length == 0:
        return Status.BAD_LENGTH
    words = []
    if opcode in WORD_OPCODES:
        words.append((command.destination, WORD_OPCODES[opcode]))
    if opcode == DmaOpcode.POLL:
        words.append((command.source, 8))
    if copies and kind in SIGNAL_BYTES:
        words.append((command.signal, SIGNAL_BYTES[kind]))
    if any(address % size for address, size in words):
        return Status.MISALIGNED
    if copies and opcode != DmaOpcode.COPY:
        second = opcode == DmaOpcode.BROADCAST and overlap(command, second=True)
        if overlap(command) or second:
            return Status.OVERLAP
    starts = [command.source, command.destination]
    if opcode == DmaOpcode.BROADCAST:
        starts.append(command.second)
    if copies and any(start + command.length > ADDRESS_SPACE for start in starts):
        return Status.WINDOW_VIOLATION
    return Status.OK
