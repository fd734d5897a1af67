"""Build DMA commands.

A command is a dictionary of :class:`hw.spec.dma.Command`'s fields; a place is an endpoint and
a byte address in its memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from hw.spec.dma import Compare, DmaOpcode, SignalKind

Command = dict[str, Any]
ALL_BITS = (1 << 64) - 1


class Place(NamedTuple):
    node: int
    address: int


@dataclass(frozen=True)
class Signal:
    """What a copy does when it is complete: add to, or write, the word at ``place``."""

    place: Place
    operand: int = ALL_BITS
    kind: SignalKind = SignalKind.ADD


def copy(source: Place, destination: Place, length: int, signal: Signal | None = None) -> Command:
    return _copy(DmaOpcode.COPY, source, length, signal) | _fields("destination", destination)


def broadcast(
    source: Place, first: Place, second: Place, length: int, signal: Signal | None = None
) -> Command:
    """One read, two destinations."""
    command = _copy(DmaOpcode.BROADCAST, source, length, signal)
    return command | _fields("destination", first) | _fields("second", second)


def multicast(
    source: Place, targets: int, address: int, length: int, signal: Signal | None = None
) -> Command:
    """To ``address`` at every endpoint of the mask ``targets``."""
    command = _copy(DmaOpcode.MULTICAST, source, length, signal)
    return command | {"targets": targets, "destination": address}


def swap(first: Place, second: Place, length: int, signal: Signal | None = None) -> Command:
    return _copy(DmaOpcode.SWAP, first, length, signal) | _fields("destination", second)


def atomic_add(place: Place, operand: int) -> Command:
    return _word(DmaOpcode.ATOMIC_ADD, place, operand & ALL_BITS)


def fence(place: Place, value: int) -> Command:
    """After everything before it: a 32-bit write."""
    return _word(DmaOpcode.FENCE, place, value)


def timestamp(place: Place) -> Command:
    return _word(DmaOpcode.TIMESTAMP, place, 0)


def poll(
    place: Place,
    compare: Compare,
    reference: int,
    *,
    mask: int = ALL_BITS,
    interval: int = 0,
    timeout: int = 0,
) -> Command:
    """``interval`` and ``timeout`` in cycles; a timeout of 0 waits for ever."""
    return _fields("source", place) | {
        "opcode": DmaOpcode.POLL,
        "compare": compare,
        "operand": reference,
        "mask": mask,
        "interval": interval,
        "timeout": timeout,
    }


def with_signal(command: Command, signal: Signal) -> Command:
    """A copy that gives a signal when it, and all before it, is complete."""
    fields = {"signal_kind": signal.kind, "operand": signal.operand}
    return command | fields | _fields("signal", signal.place)


def nop() -> Command:
    return {"opcode": DmaOpcode.NOP}


def _fields(name: str, place: Place) -> Command:
    return {f"{name}_node": place.node, name: place.address}


def _copy(opcode: DmaOpcode, source: Place, length: int, signal: Signal | None) -> Command:
    command = {"opcode": opcode, "length": length} | _fields("source", source)
    return command if signal is None else with_signal(command, signal)


def _word(opcode: DmaOpcode, place: Place, operand: int) -> Command:
    return {"opcode": opcode, "operand": operand} | _fields("destination", place)
