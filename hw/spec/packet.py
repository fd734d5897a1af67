"""Packets, flits and channels: the transaction layer of the fabric.

A packet is one header flit and, for read responses and write requests that carry data,
payload flits. ``docs/protocol.md`` prints its field table from :class:`Header`.
"""

from dataclasses import dataclass

from amaranth.lib import data

from hw.spec.config import MAX_ENDPOINTS, TAG_BITS, Config
from hw.spec.enums import IntEnum
from hw.spec.packed import Packed, member
from hw.spec.status import Status

ADDRESS_BITS = 48
LENGTH_BITS = 17
NODE_BITS = 6
TENANT_BITS = 2
"""As many as there may be wave controllers: each serves one tenant."""
WORD_BITS = 64
"""What an atomic addition, a signal or a poll works on."""
WORD_BYTES = WORD_BITS // 8
SYNC_BITS = 4
"""Number of a barrier, see ``isa.sync_ids``."""
ROUND_BITS = 11
"""Number of a round of a barrier, modulo 2^11."""
ROUNDS_AHEAD = 4
"""Rounds of a barrier that are open at a time: the current one, and those one may arrive for or
wait for ahead of it. A power of two."""


class MessageClass(IntEnum, shape=2):
    """The four message classes; each has its own queues and credits."""

    READ_REQUEST = 0
    WRITE_REQUEST = 1
    READ_RESPONSE = 2
    WRITE_RESPONSE = 3


class Operation(IntEnum, shape=3):
    """What a request asks for; a response repeats its request's operation."""

    READ = 0
    WRITE = 1
    ATOMIC_ADD = 2
    """Add the 64-bit payload; at the switch with INC set: arrive at barrier ``address / 8`` for
    the round in ``tag``."""
    WRITE_NOTIFY = 3
    """Store a completion flag after all earlier writes of the same source are visible; its
    identifier is the ``tag``, its round the ``length``."""


class QueueSet(IntEnum, shape=1):
    """The two independent sets of queues of a port; the INC bit chooses."""

    CORE = 0
    ISA = 1


@dataclass(frozen=True)
class Header(Packed):
    """Header of a packet, the low 128 bits of its first flit; the rest is zero."""

    inc: int = member(1, "from or to the in-switch accelerator")
    message_class: int = member(MessageClass, "queue the packet travels in")
    operation: int = member(Operation, "what the request asks for")
    acknowledge: int = member(
        1,
        "write request: answer with one response for this and all earlier writes "
        "of the same source that asked for none",
    )
    multicast: int = member(1, "`destination` is a mask instead of an id")
    status: int = member(Status, "response and completion flag: outcome")
    source: int = member(
        NODE_BITS, "id of the sending endpoint; the switch's accelerator sends its port's id"
    )
    destination: int = member(MAX_ENDPOINTS, "endpoint id, or one bit per endpoint")
    tag: int = member(
        TAG_BITS,
        "chosen by the requester, returned in every response; of a flag: its identifier; "
        "of an arrival: its round",
    )
    length: int = member(LENGTH_BITS, "bytes asked for or carried; of a flag: its round")
    address: int = member(
        ADDRESS_BITS,
        "request: byte address; read response: offset of its first byte in the request",
    )
    tenant: int = member(
        TENANT_BITS, "tenant of the request: number of the wave controller, or the engine's TENANT"
    )
    reserved: int = member(10, "zero")


@dataclass(frozen=True)
class FlagWord(Packed):
    """The 64-bit completion flag an endpoint polls."""

    identifier: int = member(16, "of the instruction")
    status: int = member(Status, "outcome: the first error since the flag before")
    reserved: int = member(10, "zero")
    valid: int = member(1, "one; software clears it")
    round: int = member(
        ROUND_BITS, "of the instruction: a flag of another round is not the one waited for"
    )
    padding: int = member(32 - ROUND_BITS, "zero")


class Channel(IntEnum, shape=3):
    """A virtual channel: one message class of one queue set."""

    CORE_READ_REQUEST = 0
    CORE_WRITE_REQUEST = 1
    CORE_READ_RESPONSE = 2
    CORE_WRITE_RESPONSE = 3
    ISA_READ_REQUEST = 4
    ISA_WRITE_REQUEST = 5
    ISA_READ_RESPONSE = 6
    ISA_WRITE_RESPONSE = 7


CORE_CHANNELS = tuple(channel for channel in Channel if channel.value < 4)

TO_SWITCH = (
    *CORE_CHANNELS,
    Channel.ISA_WRITE_REQUEST,
    Channel.ISA_READ_RESPONSE,
    Channel.ISA_WRITE_RESPONSE,
)
"""Channels from an endpoint to the switch; endpoints never read from the accelerator."""

FROM_ACCELERATOR = (Channel.ISA_READ_REQUEST, Channel.ISA_WRITE_REQUEST)

TO_ENDPOINT = (*CORE_CHANNELS, *FROM_ACCELERATOR)
"""Channels from the switch to an endpoint; the accelerator sends requests, and no responses."""

_CARRY_DATA = {
    Channel.CORE_WRITE_REQUEST,
    Channel.CORE_READ_RESPONSE,
    Channel.ISA_WRITE_REQUEST,
    Channel.ISA_READ_RESPONSE,
}


def queue_set(channel: Channel) -> QueueSet:
    return QueueSet(channel.value >> 2)


def message_class(channel: Channel) -> MessageClass:
    return MessageClass(channel.value & 3)


def queue_flits(config: Config, channel: Channel) -> int:
    """Depth of a channel's receive queue, which is the number of its credits."""
    if channel in _CARRY_DATA:
        return config.fabric.data_queue_flits
    return config.fabric.control_queue_flits


def flit_layout(config: Config) -> data.StructLayout:
    """A flit with its framing. ``poison`` counts on the last flit: the payload is bad."""
    return data.StructLayout({"data": config.flit_bits, "first": 1, "last": 1, "poison": 1})


CREDIT_BITS = 14
"""Width of one channel's count in a credit flit; nine 14-bit counts fit 128 bits."""


def credit_layout() -> data.ArrayLayout:
    """Payload of a credit flit: credits returned, per channel."""
    return data.ArrayLayout(CREDIT_BITS, len(Channel))


def link_flit_layout(config: Config) -> data.StructLayout:
    """What crosses a link in one cycle: a flit of one channel, or returned credits."""
    return data.StructLayout({"flit": flit_layout(config), "channel": Channel, "credit": 1})
