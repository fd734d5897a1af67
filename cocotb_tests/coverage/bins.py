"""Functional bins: which combinations a system under test must have been through."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cocotb_tests.coverage import events
from cocotb_tests.coverage.events import OFF_ON, ORDINARY, QUANTIZED, Event
from hw.spec.config import load
from hw.spec.dma import COPIES, DmaOpcode, SignalKind
from hw.spec.fault import Disturbance
from hw.spec.formats import block_formats
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from hw.spec.registers import FEATURE_BITS
from hw.spec.status import Status

SUMMED = (DataType.FP16, DataType.BF16)
"""Formats of ordinary instructions; the others are block-scaled."""

OF_INSTRUCTIONS = tuple(
    status.name
    for status in Status
    if status
    not in (
        Status.BAD_OPERATION,
        Status.OVERLAP,
        Status.POLL_TIMEOUT,
        Status.BAD_RING,
        Status.RING_OVERRUN,
        Status.UNREACHABLE,
        Status.FLAG_TIMEOUT,
        Status.CANCELLED,
    )
)
OF_COMMANDS = (
    Status.OK,
    Status.BAD_OPCODE,
    Status.BAD_MASK,
    Status.EMPTY_MASK,
    Status.MISALIGNED,
    Status.BAD_LENGTH,
    Status.WINDOW_VIOLATION,
    Status.POISONED,
    Status.TIMEOUT,
    Status.OVERLAP,
    Status.POLL_TIMEOUT,
    Status.BAD_RING,
    Status.RING_OVERRUN,
    Status.UNREACHABLE,
)
FROM_ENDPOINTS = (
    Status.WINDOW_VIOLATION,
    Status.POISONED,
    Status.TIMEOUT,
    Status.DUPLICATE_RESPONSE,
    Status.UNKNOWN_TAG,
)
"""What a request of the accelerator can come back with."""


def names(codes: Iterable) -> tuple[str, ...]:
    return tuple(code.name for code in codes)


@dataclass(frozen=True)
class Cross:
    """Every combination of the values of some axes, among the events that ``only`` admits."""

    axes: dict[str, tuple[str, ...]]
    only: Event
    needless: Callable[[Event], bool] = field(default=lambda combination: False)
    """Combinations that cannot be."""

    @property
    def name(self) -> str:
        return f"{self.only['of']}: " + " by ".join(self.axes)

    def bins(self) -> list[tuple[str, ...]]:
        combinations = itertools.product(*self.axes.values())
        return [
            values
            for values in combinations
            if not self.needless(dict(zip(self.axes, values, strict=True)))
        ]

    def reached(self, seen: Iterable[Event]) -> set[tuple[str, ...]]:
        wanted = set(self.bins())
        found = {
            tuple(event.get(axis, "") for axis in self.axes)
            for event in seen
            if all(event.get(name) == value for name, value in self.only.items())
        }
        return wanted & found


FORMATS = names(DataType)
KINDS = (ORDINARY, QUANTIZED)
WELL = {"of": "instruction", "status": "OK", "opcode": "COLLECTIVE"}
ANY = {"of": "instruction"}
COPIED = {"of": "command", "status": "OK"}


def no_such_operation(combination: Event) -> bool:
    """Blocks are only summed."""
    return combination["format"] not in names(SUMMED) and combination["operation"] != "SUM"


TINY = load("tiny")
LONG_BLOCKS = names(
    entry.code for entry in block_formats(TINY) if entry.block_bytes > TINY.fabric.flit_bytes
)


def too_short(combination: Event) -> bool:
    """Blocks fill whole rows, some of them several."""
    shorter = events.SIZES[: 1 + (combination["format"] in LONG_BLOCKS)]
    return combination["format"] not in names(SUMMED) and combination["size"] in shorter


CROSSES = (
    Cross({"format": FORMATS, "operation": names(ReduceOp)}, WELL, no_such_operation),
    Cross({"format": FORMATS, "size": events.SIZES}, WELL, too_short),
    Cross({"format": FORMATS, "sources": events.SHARES, "destinations": events.SHARES}, WELL),
    Cross({"format": FORMATS, "stalls": events.STALLS}, WELL),
    Cross({"format": FORMATS, "endpoints": ("2", "4", "8")}, WELL),
    Cross({"format": FORMATS, "lanes": ("a row", "folded")}, WELL),
    *(Cross({"format": FORMATS, name: OFF_ON}, WELL) for name in FEATURE_BITS),
    *(Cross({"size": events.SIZES, name: OFF_ON}, WELL) for name in FEATURE_BITS),
    Cross({"kind": KINDS, **dict.fromkeys(FEATURE_BITS, OFF_ON)}, WELL),
    Cross({"kind": KINDS, "barrier": OFF_ON, "notify": OFF_ON, "fence": OFF_ON}, WELL),
    Cross(
        {"kind": KINDS, "size": events.SIZES, "stalls": events.STALLS},
        WELL,
        lambda c: c["kind"] == QUANTIZED and c["size"] == events.SIZES[0],
    ),
    Cross({"kind": KINDS, "controller": ("0", "1")}, WELL),
    Cross({"status": OF_INSTRUCTIONS}, ANY),
    Cross({"status": names(FROM_ENDPOINTS), "kind": KINDS}, ANY),
    *(Cross({"status": names(FROM_ENDPOINTS), name: OFF_ON}, ANY) for name in FEATURE_BITS),
    Cross({"command": names(DmaOpcode)}, COPIED),
    Cross({"command": names(COPIES), "reach": events.REACHES}, COPIED),
    Cross({"command": names(COPIES), "command_size": events.COMMAND_SIZES}, COPIED),
    Cross({"command": names(COPIES), "alignment": events.ALIGNMENTS}, COPIED),
    Cross({"command": names(COPIES), "signal": names(SignalKind)}, COPIED),
    Cross({"command": names(COPIES), "stalls": events.STALLS}, COPIED),
    Cross({"status": names(OF_COMMANDS)}, {"of": "command"}),
    Cross({"disturbance": names(Disturbance)}, {"of": "disturbance"}),
    Cross(
        {"disturbance": names(Disturbance), "and": names(Disturbance)},
        {"of": "disturbance"},
        lambda c: (
            list(names(Disturbance)).index(c["disturbance"])
            >= list(names(Disturbance)).index(c["and"])
        ),
    ),
)
