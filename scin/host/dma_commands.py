"""Build DMA commands. A place is an endpoint and a byte address in its memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from hw.spec.checks import fits, within
from hw.spec.dma import Command, Compare, DmaOpcode, SignalKind

ALL_BITS = (1 << 64) - 1


class Place(NamedTuple):
    node: int
    address: int


@dataclass(frozen=True)
class Signal:
    """What a copy does when it is complete: add ``operand`` to the 64-bit word at ``place``, or
    write the 32-bit word there."""

    place: Place
    operand: int = ALL_BITS
    kind: SignalKind = SignalKind.ADD

    def __post_init__(self) -> None:
        fits("operand", self.operand, 32 if self.kind == SignalKind.WRITE else 64)


def copy(source: Place, destination: Place, length: int, signal: Signal | None = None) -> Command:
    return _copy(DmaOpcode.COPY, source, destination, length, signal)


def broadcast(
    source: Place, first: Place, second: Place, length: int, signal: Signal | None = None
) -> Command:
    """One read, two destinations."""
    command = _copy(DmaOpcode.BROADCAST, source, first, length, signal)
    return replace(command, second_node=second.node, second=second.address)


def multicast(
    source: Place, targets: int, address: int, length: int, signal: Signal | None = None
) -> Command:
    """To ``address`` at every endpoint of the mask ``targets``."""
    command = _copy(DmaOpcode.MULTICAST, source, Place(0, address), length, signal)
    return replace(command, targets=targets)


def swap(first: Place, second: Place, length: int, signal: Signal | None = None) -> Command:
    return _copy(DmaOpcode.SWAP, first, second, length, signal)


def atomic_add(place: Place, operand: int) -> Command:
    """Add to a 64-bit word; a negative ``operand`` is subtracted."""
    within("operand", operand, -(1 << 63), ALL_BITS)
    return _word(DmaOpcode.ATOMIC_ADD, place, operand & ALL_BITS)


def fence(place: Place, value: int) -> Command:
    """After everything before it: a 32-bit write."""
    return _word(DmaOpcode.FENCE, place, fits("value", value, 32))


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
    return Command(
        opcode=DmaOpcode.POLL,
        source_node=place.node,
        source=place.address,
        compare=compare,
        operand=reference,
        mask=mask,
        interval=interval,
        timeout=timeout,
    )


def with_signal(command: Command, signal: Signal) -> Command:
    """A copy that gives a signal when it, and all before it, is complete."""
    return replace(
        command,
        signal_kind=signal.kind,
        operand=signal.operand,
        signal_node=signal.place.node,
        signal=signal.place.address,
    )


def _copy(
    opcode: DmaOpcode, source: Place, destination: Place, length: int, signal: Signal | None
) -> Command:
    command = Command(
        opcode=opcode,
        length=length,
        source_node=source.node,
        source=source.address,
        destination_node=destination.node,
        destination=destination.address,
    )
    return command if signal is None else with_signal(command, signal)


def _word(opcode: DmaOpcode, place: Place, operand: int) -> Command:
    return Command(
        opcode=opcode, operand=operand, destination_node=place.node, destination=place.address
    )
