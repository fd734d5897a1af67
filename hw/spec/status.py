"""Outcomes. One code for packets, instructions, DMA commands and completion flags."""

from collections.abc import Iterable

from hw.spec.enums import IntEnum


class Status(IntEnum, shape=5):
    OK = 0
    BAD_OPCODE = 1
    BAD_FORMAT = 2
    EMPTY_MASK = 3
    BAD_MASK = 4
    MISALIGNED = 5
    BAD_LENGTH = 6
    WINDOW_VIOLATION = 7
    POISONED = 8
    TIMEOUT = 9
    BARRIER_TIMEOUT = 10
    DUPLICATE_RESPONSE = 11
    UNKNOWN_TAG = 12
    BAD_OPERATION = 13
    MISSING_SCALES = 14
    OVERLAP = 15
    POLL_TIMEOUT = 16
    BAD_RING = 17
    RING_OVERRUN = 18
    BAD_ROUND = 19
    FLAG_TIMEOUT = 20
    CANCELLED = 21
    UNREACHABLE = 22


STATUS_DOC = {
    Status.OK: "done, every byte written",
    Status.BAD_OPCODE: "unknown instruction or command",
    Status.BAD_FORMAT: "no such number format, or the reduction does not exist for it",
    Status.EMPTY_MASK: "no source, no destination, or a barrier without participants",
    Status.BAD_MASK: "names an absent port, a barrier that is absent or refused to its "
    "controller, or several sources of a copy",
    Status.MISALIGNED: "an instruction's address is no multiple of the flit, or its length not "
    "one of the element or block; a flag, signal or operand is not naturally aligned",
    Status.BAD_LENGTH: "zero or too long, or scales that do not match their elements; on a read "
    "response: not the bytes asked for",
    Status.WINDOW_VIOLATION: "outside the windows that the endpoint opened, or past the last "
    "address",
    Status.POISONED: "the endpoint's memory answered with an error",
    Status.TIMEOUT: "an endpoint made no progress in time",
    Status.BARRIER_TIMEOUT: "an endpoint did not arrive in time",
    Status.DUPLICATE_RESPONSE: "an endpoint answered the same request twice",
    Status.UNKNOWN_TAG: "an endpoint answered a request that was never made",
    Status.BAD_OPERATION: "the endpoint does not know the operation",
    Status.MISSING_SCALES: "a quantized instruction without its scales, or scales without one",
    Status.OVERLAP: "source and destination overlap where only a linear copy may",
    Status.POLL_TIMEOUT: "the polled word did not meet the condition before the poll's timeout",
    Status.BAD_RING: "ring size no power of two or too large, or base not aligned",
    Status.RING_OVERRUN: "more commands announced than the ring, or the engine, has room for",
    Status.BAD_ROUND: "the round of the barrier is over, too far ahead, or another instruction's",
    Status.FLAG_TIMEOUT: "of a wait for a flag: it did not come in time",
    Status.CANCELLED: "of a wait for a flag: software cancelled it",
    Status.UNREACHABLE: "the switch answers for an endpoint that is absent, or was declared dead",
}


def first_failure(statuses: Iterable[Status]) -> Status:
    """OK if nothing has failed."""
    return next((status for status in statuses if status != Status.OK), Status.OK)
