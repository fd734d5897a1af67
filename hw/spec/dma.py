"""Commands and registers of the DMA engines.

A command is 64 bytes in a ring in memory, or written whole to the doorbell. Engine, driver,
golden model and the tables in ``docs/dma.md`` derive from the layouts below. The command set
is that of the engines measured in "DMA-Latte" (arXiv 2511.06605), plus the multicast copy and
a completion carried in the copy itself.
"""

from dataclasses import dataclass

from hw.spec.config import AXI_BOUNDARY_BYTES, MAX_ENDPOINTS, TAG_BITS
from hw.spec.enums import IntEnum
from hw.spec.packed import Packed, member
from hw.spec.packet import ADDRESS_BITS, NODE_BITS, WORD_BITS
from hw.spec.registers import Field, Kind, Register, counter, moment, register_map, state
from hw.spec.status import Status

COMMAND_BYTES = 64
MAX_RING_COMMANDS = 1 << 16
"""Of the largest ring."""


class DmaOpcode(IntEnum, shape=8):
    NOP = 0
    COPY = 1
    BROADCAST = 2
    MULTICAST = 3
    SWAP = 4
    ATOMIC_ADD = 5
    FENCE = 6
    POLL = 7
    TIMESTAMP = 8


OPCODE_DOC = {
    DmaOpcode.NOP: "nothing",
    DmaOpcode.COPY: "`length` bytes from `source` to `destination`; they may overlap",
    DmaOpcode.BROADCAST: "`length` bytes from `source`, read once, to `destination` and `second`",
    DmaOpcode.MULTICAST: "`length` bytes from `source` to `destination` at every endpoint of "
    "`targets`; crosses the link once, the switch replicates",
    DmaOpcode.SWAP: "exchange `length` bytes at `source` and `destination`",
    DmaOpcode.ATOMIC_ADD: "add `operand` to the 64-bit word at `destination`",
    DmaOpcode.FENCE: "write the low 32 bits of `operand` at `destination`",
    DmaOpcode.POLL: "wait until (64-bit word at `source` AND `mask`) compares with `operand`",
    DmaOpcode.TIMESTAMP: "write the engine's 64-bit cycle counter at `destination`",
}


class SignalKind(IntEnum, shape=2):
    """What a copy does once it is complete."""

    NONE = 0
    ADD = 1
    WRITE = 2


SIGNAL_DOC = {
    SignalKind.NONE: "nothing",
    SignalKind.ADD: "add `operand` to the 64-bit word at `signal`, as ATOMIC_ADD",
    SignalKind.WRITE: "write the low 32 bits of `operand` at `signal`, as FENCE",
}


class Compare(IntEnum, shape=3):
    """(memory AND mask) against the operand, unsigned."""

    ALWAYS = 0
    LESS = 1
    LESS_EQUAL = 2
    EQUAL = 3
    NOT_EQUAL = 4
    GREATER_EQUAL = 5
    GREATER = 6


@dataclass(frozen=True)
class Command(Packed):
    """A command of a DMA engine as it lies in the ring, least significant byte first."""

    opcode: int = member(DmaOpcode, "what to do")
    signal_kind: int = member(SignalKind, "copies: what follows the data")
    compare: int = member(Compare, "POLL: comparison")
    reserved_0: int = member(3, "zero")
    targets: int = member(MAX_ENDPOINTS, "MULTICAST: one bit per endpoint")
    length: int = member(32, "copies: bytes, 1 … 4 GiB less one")
    source_node: int = member(NODE_BITS, "endpoint whose memory `source` is in")
    destination_node: int = member(NODE_BITS, "endpoint whose memory `destination` is in")
    second_node: int = member(NODE_BITS, "endpoint whose memory `second` is in")
    signal_node: int = member(NODE_BITS, "endpoint whose memory `signal` is in")
    interval: int = member(16, "POLL: cycles between two looks")
    reserved_1: int = member(24, "zero")
    source: int = member(ADDRESS_BITS, "byte address")
    destination: int = member(ADDRESS_BITS, "byte address")
    second: int = member(ADDRESS_BITS, "BROADCAST: byte address of the second destination")
    signal: int = member(ADDRESS_BITS, "byte address of the signal")
    operand: int = member(WORD_BITS, "ATOMIC_ADD, FENCE, signals: the value; POLL: the reference")
    mask: int = member(WORD_BITS, "POLL: bits that count")
    timeout: int = member(32, "POLL: cycles until it fails; 0: never")
    reserved_2: int = member(32, "zero")


COPIES = (DmaOpcode.COPY, DmaOpcode.BROADCAST, DmaOpcode.MULTICAST, DmaOpcode.SWAP)


class EngineState(IntEnum, shape=2):
    IDLE = 0
    RUNNING = 1
    HALTED = 2


STATE_DOC = {
    EngineState.IDLE: "every command it knows of is complete",
    EngineState.RUNNING: "commands are under way, or wait for a poll",
    EngineState.HALTED: "a command failed; nothing moves until the engine is reset",
}


TAG_ENGINE_BITS = 5
TRAFFIC_ENGINE = 1 << (TAG_ENGINE_BITS - 1)
"""Engine number in the tags of ordinary traffic that no engine makes."""


@dataclass(frozen=True)
class RequestTag(Packed):
    """Tag of an endpoint's own requests."""

    item: int = member(8, "the segment of a read, the command of a write")
    generation: int = member(TAG_BITS - 8 - TAG_ENGINE_BITS, "of the engine, changed by an abort")
    engine: int = member(TAG_ENGINE_BITS, "number of the engine")


ENGINE_BYTES = AXI_BOUNDARY_BYTES // MAX_ENDPOINTS
"""An engine's part of the endpoint's DMA register page."""


def _index(name: str, offset: int, doc: str) -> Register:
    """A number of commands, or of one of them, since reset."""
    return Register(name, offset, "r", doc, kind=Kind.MODULO)


ENGINE = register_map(
    state(
        "STATE",
        0x00,
        "what the engine does",
        fields={
            "state": Field(0, EngineState, "state"),
            "status": Field(4, Status, "status of what failed"),
        },
    ),
    Register("RESET", 0x04, "w", "forget a failure and every command; zero the pointers"),
    Register("RING_BASE", 0x08, "rw", "address of the ring, 64-byte aligned, low and high word", 2),
    Register("RING_SIZE", 0x10, "rw", "commands in the ring, a power of two"),
    Register(
        "DOORBELL",
        0x14,
        "rw",
        "commands ever put into the ring; writing starts them; refused while HALTED or in a reset",
        kind=Kind.MODULO,
    ),
    _index("FETCHED", 0x18, "commands ever taken out of the ring: their places are free"),
    _index("STARTED", 0x1C, "commands begun since reset"),
    _index("COMPLETED", 0x20, "commands known complete; equals STARTED when idle"),
    Register("TIMEOUT", 0x24, "rw", "cycles without progress of the fabric until it fails"),
    moment("RUNG_AT", 0x28, "cycle of the latest doorbell"),
    moment("FETCHED_AT", 0x2C, "cycle the first command after the latest doorbell was begun"),
    moment("FIRST_READ_AT", 0x30, "cycle the first read after the latest doorbell was issued"),
    moment("LAST_WRITE_AT", 0x34, "cycle the latest write was acknowledged"),
    moment("SIGNALLED_AT", 0x38, "cycle the latest signal was visible"),
    _index("FAILED", 0x3C, "number of the command that failed, the first since reset is 0"),
    Register("TENANT", 0x80, "rw", "tenant of the engine's requests, for the windows of memories"),
    Register("INLINE", 0x40, "w", "a whole command; the last word starts it, as DOORBELL", 16),
    counter("BUSY_CYCLES", 0x88, "cycles data left for a memory, since reset"),
)
