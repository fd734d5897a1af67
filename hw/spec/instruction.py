"""Commands of the in-switch accelerator and what it reports about each.

An instruction moves ``length`` bytes: read at ``addresses[i]`` of every source, reduced,
written at ``addresses[j]`` of every destination. With ``quantize`` the elements are
block-scaled, and a second instruction carries length and addresses of their scales.
"""

from dataclasses import dataclass

from amaranth.lib import data
from amaranth.utils import ceil_log2

from hw.spec.config import MAX_ENDPOINTS, Config
from hw.spec.enums import IntEnum
from hw.spec.formats.data_type import DataType
from hw.spec.packed import Packed, PerEndpoint, member
from hw.spec.packet import ADDRESS_BITS, NODE_BITS, ROUND_BITS, SYNC_BITS
from hw.spec.status import Status

MAX_LENGTH = 1 << 31
"""Longest instruction in bytes."""


class Opcode(IntEnum, shape=4):
    NOP = 0
    COLLECTIVE = 1
    SCALES = 2
    """Addresses and length of the scales that belong to the quantized instruction before."""


class ReduceOp(IntEnum, shape=4):
    SUM = 0
    MAX = 1
    MIN = 2
    BYPASS = 3
    """Copy the one source bit for bit."""
    AVG = 4
    """The sum divided by the number of sources, rounded once."""


@dataclass(frozen=True)
class Instruction(Packed):
    """An instruction as it is written through the registers, least significant word first.

    A ``round`` of None is chosen by the driver: the next one of the barrier.
    """

    opcode: int = member(Opcode, "what to do")
    data_type: int = member(DataType, "number format of the elements")
    reduce_op: int = member(ReduceOp, "reduction; BYPASS copies the one source")
    barrier: int = member(1, "wait until every participant has arrived at `sync_id`")
    notify: int = member(1, "write every participant's completion flag at the end")
    fence: int = member(1, "start after all earlier instructions of this controller are complete")
    quantize: int = member(
        1, "block-scaled elements: the next instruction, SCALES, names the scales"
    )
    sync_id: int = member(SYNC_BITS, "barrier to wait at; also selects the flag")
    no_record: int = member(1, "leave no completion record, for a host that looks at flags only")
    round: int | None = member(
        ROUND_BITS, "round at the barrier; it is copied into the flag", default=None
    )
    identifier: int = member(16, "returned in the completion record and the flag")
    participants: int = member(MAX_ENDPOINTS, "endpoints that arrive and are notified")
    sources: int = member(MAX_ENDPOINTS, "endpoints read from")
    destinations: int = member(MAX_ENDPOINTS, "endpoints written to")
    length: int = member(32, "bytes")
    addresses: tuple[int, ...] = member(
        PerEndpoint(ADDRESS_BITS),
        "byte address in each endpoint's memory, multiples of the flit",
        default=(),
    )


RECORD_TIMES = (
    "fetched",
    "barrier_met",
    "first_read",
    "table_wait",
    "last_write",
    "last_response",
    "done",
)


@dataclass(frozen=True)
class Completion(Packed):
    """What the accelerator reports of an instruction. Times are the low 32 bits of its cycle
    counter; ``table_wait`` is a duration, which stays at its largest value."""

    identifier: int = member(16, "of the instruction")
    status: int = member(Status, "outcome")
    endpoint: int = member(NODE_BITS, "the endpoint at fault, when status says so")
    controller: int = member(2, "wave controller that ran it")
    reserved: int = member(3, "zero")
    fetched: int = member(32, "taken from the queue")
    barrier_met: int = member(32, "all participants had arrived")
    first_read: int = member(32, "first read request left the controller")
    table_wait: int = member(32, "cycles the controller waited for a free table entry")
    last_write: int = member(32, "last row entered the reduction")
    last_response: int = member(32, "last write response came back")
    done: int = member(32, "record written")


def read_tag_layout(config: Config) -> data.StructLayout:
    """Tag of the accelerator's reads: packet of the wave, table entry, generation.

    The packets of a wave's scales are numbered after those of its elements.
    """
    packets = config.packets_per_wave + config.scale_packets_per_wave
    packet = ceil_log2(packets)
    entry = ceil_log2(config.isa.waves)
    return data.StructLayout({"packet": packet, "entry": entry, "generation": 16 - packet - entry})


def write_tag_layout(config: Config) -> data.StructLayout:
    """Tag of the accelerator's writes: instruction context, generation."""
    context = ceil_log2(config.contexts)
    return data.StructLayout({"context": context, "generation": 16 - context})
