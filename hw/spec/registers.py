"""Register maps. Decoder, driver and the tables in ``docs/protocol.md`` derive from these.

Every block has a 4 KiB page of 32-bit registers: the switch page 0, endpoint *i* page
``1 + i``; after the endpoints come the pages of their DMA engines (:mod:`hw.spec.dma`), in
the same order.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from amaranth import Shape
from amaranth.lib import data

from hw.spec.config import MAX_BARRIERS, MAX_ENDPOINTS
from hw.spec.fault import Fault
from hw.spec.packet import ADDRESS_BITS, ROUND_BITS, ROUNDS_AHEAD, TENANT_BITS
from hw.spec.packing import pack, unpack
from hw.spec.status import Status

PAGE_BYTES = 4096
IDENTITY = 0x5C1E0001
POLL_INTERVAL = 16
MAX_CONTROLLERS = 4
RECORD_WORDS = 8
WORD_BITS = 32


class Kind(enum.Enum):
    """What a register holds, and so what becomes of a number that grows.

    No number is cut in silence: it is wide enough for ever, or stays at its largest value, or
    is one of which only differences modulo 2^32 have a meaning.
    """

    SETTING = "what was written"
    ACTION = "nothing: writing it does something"
    STATE = "a present state, not a count"
    COUNTER = "64 bits, low and high word"
    TALLY = "stays at 2^32 - 1"
    MODULO = "modulo 2^32"


_KIND_OF_ACCESS = {"rw": Kind.SETTING, "w": Kind.ACTION}


@dataclass(frozen=True)
class Field:
    """Bits of a register, from ``bit`` on."""

    bit: int
    shape: Any
    doc: str

    @property
    def last_bit(self) -> int:
        width: int = Shape.cast(self.shape).width
        return self.bit + width - 1


@dataclass(frozen=True)
class Register:
    """One register, or ``count`` of them in a row.

    ``access``: "r", "w" or "rw"; one that is only read must tell its ``kind``. A counter is a
    low and a high word. ``fields``: parts of its word by name, if it has more than one; entries
    of several words in a row count their bits on from word to word.
    """

    name: str
    offset: int
    access: str
    doc: str
    count: int = 1
    kind: Kind | None = None
    fields: Mapping[str, Field] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind is None:
            if self.access not in _KIND_OF_ACCESS:
                raise ValueError(f"{self.name}: what is only read needs a kind")
            object.__setattr__(self, "kind", _KIND_OF_ACCESS[self.access])
        if self.kind is Kind.COUNTER and self.count != COUNTER_WORDS:
            raise ValueError(f"{self.name}: a counter has {COUNTER_WORDS} words")

    def address(self, index: int = 0) -> int:
        if not 0 <= index < self.count:
            raise IndexError(f"{self.name}[{index}]: must be below {self.count}")
        return self.offset + 4 * index

    @property
    def words(self) -> int:
        """Words of an entry."""
        last = max((part.last_bit for part in self.fields.values()), default=0)
        return last // WORD_BITS + 1

    @property
    def bits(self) -> int:
        """From bit 0 to the last one of the fields."""
        return max(part.last_bit for part in self.fields.values()) + 1

    @cached_property
    def layout(self) -> data.FlexibleLayout:
        """The fields of an entry."""
        parts = {name: data.Field(part.shape, part.bit) for name, part in self.fields.items()}
        return data.FlexibleLayout(WORD_BITS * self.words, parts)

    def pack(self, **values: int) -> int:
        """What to write for these values of the fields; those left out are zero."""
        return pack(self.layout, values)

    def unpack(self, word: int) -> dict[str, int]:
        """The fields of what was read."""
        return unpack(self.layout, word)

    def mask(self, name: str) -> int:
        """The bits of a field."""
        return self.pack(**{name: (1 << Shape.cast(self.fields[name].shape).width) - 1})


COUNTER_BITS = 64
COUNTER_WORDS = 2
MOMENT_BITS = 32


def extended(moment: int, now: int) -> int:
    """The cycle of which ``moment`` is the low 32 bits.

    ``now``: a cycle of the same counter, at most 2^32 - 1 cycles later.
    """
    return now - (now - moment) % (1 << MOMENT_BITS)


def counter(name: str, offset: int, doc: str) -> Register:
    """A counter of 64 bits, more than any system counts while it runs."""
    return Register(name, offset, "r", doc, COUNTER_WORDS, Kind.COUNTER)


def tally(name: str, offset: int, doc: str, count: int = 1) -> Register:
    """A count of rare events that stays at its largest value."""
    return Register(name, offset, "r", doc, count, Kind.TALLY)


def moment(name: str, offset: int, doc: str) -> Register:
    """The low 32 bits of the cycle counter when something happened."""
    return Register(name, offset, "r", doc, kind=Kind.MODULO)


def state(
    name: str, offset: int, doc: str, count: int = 1, *, fields: Mapping[str, Field] | None = None
) -> Register:
    return Register(name, offset, "r", doc, count, Kind.STATE, fields or {})


def register_map(*registers: Register) -> dict[str, Register]:
    return {register.name: register for register in registers}


SWITCH = register_map(
    state("IDENTITY", 0x000, f"reads {IDENTITY:#010x}"),
    Register("FEATURES", 0x004, "rw", "improvements switched on, see the feature bits"),
    Register("TIMEOUT", 0x008, "rw", "cycles without progress until an instruction fails"),
    Register("BARRIER_TIMEOUT", 0x00C, "rw", "cycles at a barrier until it fails; 0: never"),
    Register("FLAG_BASE", 0x010, "rw", "address of flag 0 in every endpoint, low and high word", 2),
    Register(
        "SUBMIT",
        0x01C,
        "w",
        "queue the staged instruction at controller <value>; refused if its queue is full",
    ),
    state("QUEUE_SPACE", 0x020, "free instruction slots of each controller", MAX_CONTROLLERS),
    state("COMPLETIONS", 0x030, "completion records waiting, of all controllers"),
    tally("LATE_RESPONSES", 0x038, "answers dropped because their request had timed out"),
    tally("STRAY_RESPONSES", 0x03C, "duplicate or unknown answers, all instructions"),
    tally(
        "MISROUTED",
        0x040,
        "ordinary packets that named an absent or dead endpoint, and flits of unknown channels",
    ),
    state("DEAD_PEERS", 0x044, "bit i: endpoint i accepts no flits and was declared dead"),
    tally("LATE_ARRIVALS", 0x048, "arrivals for a round that was over"),
    tally("DOUBLED_ARRIVALS", 0x04C, "arrivals of an endpoint that had arrived"),
    tally(
        "STRAY_ARRIVALS",
        0x050,
        "arrivals too far ahead, at an absent barrier, or of an endpoint that is no participant; "
        "other packets to a barrier",
    ),
    counter("CYCLES", 0x078, "cycles since reset"),
    Register(
        "SYNC_REFUSED", 0x0C0, "rw", "per barrier: controllers that may not use it", MAX_BARRIERS
    ),
    Register("INSTRUCTION", 0x100, "w", "staging area of one instruction, words", 64),
    state(
        "RECORD",
        0x200,
        "per controller: its oldest completion record, words",
        MAX_CONTROLLERS * RECORD_WORDS,
    ),
    state("RECORDS", 0x280, "per controller: completion records waiting", MAX_CONTROLLERS),
    Register(
        "RECORD_POP",
        0x290,
        "w",
        "per controller: drop its oldest completion record; refused if there is none",
        MAX_CONTROLLERS,
    ),
    tally(
        "RECORDS_LOST",
        0x2A0,
        "per controller: completion records dropped because so many were waiting",
        MAX_CONTROLLERS,
    ),
    Register(
        "ROUND",
        0x2C0,
        "rw",
        "per barrier; writing a round begins the barrier anew, refused while an instruction waits "
        "there",
        MAX_BARRIERS,
        fields={
            "current": Field(0, ROUND_BITS, "current round"),
            "over": Field(16, ROUNDS_AHEAD, "bit k: the round current + k is over"),
        },
    ),
)

FEATURE_BITS = (
    "streaming_reduction",
    "burst_reads",
    "coalesced_write_responses",
    "fused_notify",
)
"""Bit n of FEATURES; the names are those of the fields in the configuration."""

ENDPOINT = register_map(
    state("IDENTITY", 0x000, f"reads {IDENTITY:#010x}"),
    Register(
        "ARRIVE",
        0x008,
        "w",
        "arrive at a barrier, then poll its flag; refused where it waits already",
        fields={"barrier": Field(0, 8, "barrier"), "round": Field(16, ROUND_BITS, "round")},
    ),
    Register("FLAG_BASE", 0x00C, "rw", "address of flag 0 in this memory, low and high word", 2),
    Register(
        "WAIT_TIMEOUT",
        0x014,
        "rw",
        f"cycles until a wait for a flag ends, at most 2^32 - {MAX_BARRIERS}; 0: never",
    ),
    Register(
        "CANCEL", 0x018, "w", "end the wait at barrier <value>; refused where it does not wait"
    ),
    moment("ARRIVED_AT", 0x01C, "cycle the latest arrival left"),
    moment("VISIBLE_AT", 0x020, "cycle the latest flag was visible in memory"),
    moment("POLLED_AT", 0x024, "cycle a poll saw the latest flag"),
    Register("POLL_INTERVAL", 0x028, "rw", f"cycles between polls, {POLL_INTERVAL} at reset"),
    Register(
        "TRAFFIC_CONTROL",
        0x040,
        "rw",
        "what ordinary traffic does",
        fields={"send": Field(0, 1, "send"), "multicast": Field(1, 1, "to a mask of endpoints")},
    ),
    Register("TRAFFIC_DESTINATION", 0x044, "rw", "endpoint id, or mask"),
    Register("TRAFFIC_ADDRESS", 0x048, "rw", "address written to, low and high word", 2),
    Register(
        "TRAFFIC_BYTES",
        0x050,
        "rw",
        "payload of a packet: whole flits, at most `fabric.max_payload_bytes`; a flit at reset",
    ),
    Register("TRAFFIC_SPAN", 0x054, "rw", "bytes after which the address starts over"),
    Register("TRAFFIC_LIMIT", 0x058, "rw", "packets to send; 0: no limit"),
    tally("TRAFFIC_ERRORS", 0x064, "responses whose status was not OK"),
    Register(
        "FAULT",
        0x068,
        "rw",
        "misbehaviour for the next read or write; written with `endpoint.fault_injection` only",
        fields={
            "fault": Field(0, Fault, "see Fault"),
            "core": Field(8, 1, "the fault is one of ordinary traffic, not of the accelerator's"),
        },
    ),
    state(
        "LINK_STATE",
        0x088,
        "the far end of the link",
        fields={
            "heard": Field(0, 1, "it is heard"),
            "dead": Field(1, 1, "it accepts no flits and was declared dead"),
        },
    ),
    tally("LINK_REPLAYS", 0x08C, "times this end went back to send flits again"),
    tally("LINK_DAMAGED", 0x090, "words received whose CRC was wrong, and dropped"),
    tally("LINK_REJECTS", 0x094, "times the far end was asked to go back"),
    tally("LINK_DROPS", 0x098, "times the far end fell silent"),
    tally("LINK_CORRECTED", 0x09C, "words received of which one bit was put right"),
    counter("CYCLES", 0x0A0, "cycles since reset"),
    counter("TRAFFIC_SENT", 0x0A8, "packets sent since last switched on"),
    counter("TRAFFIC_ANSWERED", 0x0B0, "responses received since last switched on"),
    counter("TRANSMITTED", 0x0B8, "flits sent on the link, credit flits included"),
    counter("RECEIVED", 0x0C0, "flits received from the link, credit flits included"),
    counter("PAYLOAD_TRANSMITTED", 0x0C8, "of these, flits that are no header or credit"),
    counter("PAYLOAD_RECEIVED", 0x0D0, "of these, flits that are no header or credit"),
    counter("CORE_BYTES", 0x0D8, "ordinary bytes written into this memory"),
    counter("ISA_BYTES", 0x0E0, "bytes written into this memory by the accelerator"),
    counter(
        "UNKNOWN", 0x0E8, "flits received on channels that this end does not have, and dropped"
    ),
    state(
        "SYNC_STATE",
        0x200,
        "per barrier",
        MAX_BARRIERS,
        fields={
            "waiting": Field(0, 1, "waiting for the flag"),
            "status": Field(4, Status, "its status, or why the wait ended"),
            "round": Field(16, ROUND_BITS, "round"),
        },
    ),
    state("FLAG_IDENTIFIER", 0x240, "per barrier: identifier found in the flag", MAX_BARRIERS),
    Register(
        "WINDOW",
        0x100,
        "rw",
        "per window, four words",
        64,
        fields={
            "base": Field(0, ADDRESS_BITS, "base"),
            "refused_sources": Field(48, MAX_ENDPOINTS, "endpoints refused"),
            "bytes": Field(64, ADDRESS_BITS, "bytes"),
            "refused_tenants": Field(112, 1 << TENANT_BITS, "tenants refused"),
            "read": Field(126, 1, "open to reads"),
            "write": Field(127, 1, "open to writes"),
        },
    ),
)


def pages(endpoints: int) -> int:
    """Register pages of a system."""
    return 1 + 2 * endpoints


def endpoint_page(endpoint: int) -> int:
    return 1 + endpoint


def dma_page(endpoints: int, endpoint: int) -> int:
    return 1 + endpoints + endpoint
