"""Commands of the in-switch accelerator and what it reports about each.

An instruction moves ``length`` bytes: read at ``addresses[i]`` of every source, reduced,
written at ``addresses[j]`` of every destination. With ``quantize`` the elements are
block-scaled, and a second instruction carries length and addresses of their scales.
"""

from amaranth.lib import data, enum
from amaranth.utils import ceil_log2

from hw.spec.config import MAX_ENDPOINTS, Config
from hw.spec.formats.data_type import DataType
from hw.spec.packet import ADDRESS_BITS, NODE_BITS, ROUND_BITS, SYNC_BITS
from hw.spec.status import Status

MAX_LENGTH = 1 << 31
"""Longest instruction in bytes."""


class Opcode(enum.IntEnum, shape=4):
    NOP = 0
    COLLECTIVE = 1
    SCALES = 2
    """Addresses and length of the scales that belong to the quantized instruction before."""


class ReduceOp(enum.IntEnum, shape=4):
    SUM = 0
    MAX = 1
    MIN = 2
    BYPASS = 3
    """Copy the one source bit for bit."""
    AVG = 4
    """The sum divided by the number of sources, rounded once."""


def instruction_layout(config: Config) -> data.StructLayout:
    """An instruction as it is written through the registers, least significant word first."""
    return data.StructLayout(
        {
            "opcode": Opcode,
            "data_type": DataType,
            "reduce_op": ReduceOp,
            "barrier": 1,
            "notify": 1,
            "fence": 1,
            "quantize": 1,
            "sync_id": SYNC_BITS,
            "no_record": 1,
            "round": ROUND_BITS,
            "identifier": 16,
            "participants": MAX_ENDPOINTS,
            "sources": MAX_ENDPOINTS,
            "destinations": MAX_ENDPOINTS,
            "length": 32,
            "addresses": data.ArrayLayout(ADDRESS_BITS, config.system.endpoints),
        }
    )


INSTRUCTION_DOC = {
    "opcode": "what to do",
    "data_type": "number format of the elements",
    "reduce_op": "reduction; BYPASS copies the one source",
    "barrier": "wait until every participant has arrived at `sync_id`",
    "notify": "write every participant's completion flag at the end",
    "fence": "start after all earlier instructions of this controller are complete",
    "quantize": "block-scaled elements: the next instruction, SCALES, names the scales",
    "sync_id": "barrier to wait at; also selects the flag",
    "no_record": "leave no completion record, for a host that looks at flags only",
    "round": "round at the barrier; it is copied into the flag",
    "identifier": "returned in the completion record and the flag",
    "participants": "endpoints that arrive and are notified",
    "sources": "endpoints read from",
    "destinations": "endpoints written to",
    "length": "bytes",
    "addresses": "byte address in each endpoint's memory, multiples of the flit",
}

RECORD_TIMES = (
    "fetched",
    "barrier_met",
    "first_read",
    "table_wait",
    "last_write",
    "last_response",
    "done",
)


class Completion(data.Struct):
    """What the accelerator reports of an instruction. Times are the low 32 bits of its cycle
    counter; ``table_wait`` is a duration, which stays at its largest value."""

    identifier: 16
    status: Status
    endpoint: NODE_BITS
    controller: 2
    reserved: 3
    fetched: 32
    barrier_met: 32
    first_read: 32
    table_wait: 32
    last_write: 32
    last_response: 32
    done: 32


COMPLETION_DOC = {
    "identifier": "of the instruction",
    "status": "outcome",
    "endpoint": "the endpoint at fault, when status says so",
    "controller": "wave controller that ran it",
    "reserved": "zero",
    "fetched": "taken from the queue",
    "barrier_met": "all participants had arrived",
    "first_read": "first read request left the controller",
    "table_wait": "cycles the controller waited for a free table entry",
    "last_write": "last row entered the reduction",
    "last_response": "last write response came back",
    "done": "record written",
}


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
