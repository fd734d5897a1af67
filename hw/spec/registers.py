"""Register maps. Decoder, driver and the tables in ``docs/protocol.md`` derive from these.

Every block has a 4 KiB page of 32-bit registers: the switch page 0, endpoint *i* page
``1 + i``; after the endpoints come the pages of their DMA engines (:mod:`hw.spec.dma`), in
the same order.
"""

from __future__ import annotations

from dataclasses import dataclass

PAGE_BYTES = 4096
IDENTITY = 0x5C1E0001
POLL_INTERVAL = 16


@dataclass(frozen=True)
class Register:
    """One register, or ``count`` of them in a row."""

    name: str
    offset: int
    access: str
    doc: str
    count: int = 1

    def address(self, index: int = 0) -> int:
        if not 0 <= index < self.count:
            raise IndexError(f"{self.name}[{index}]: must be below {self.count}")
        return self.offset + 4 * index


def register_map(*registers: Register) -> dict[str, Register]:
    return {register.name: register for register in registers}


SWITCH = register_map(
    Register("IDENTITY", 0x000, "r", f"reads {IDENTITY:#010x}"),
    Register("FEATURES", 0x004, "rw", "improvements switched on, see the feature bits"),
    Register("TIMEOUT", 0x008, "rw", "cycles without progress until an instruction fails"),
    Register("BARRIER_TIMEOUT", 0x00C, "rw", "cycles at a barrier until it fails; 0: never"),
    Register("FLAG_BASE", 0x010, "rw", "address of flag 0 in every endpoint, low and high word", 2),
    Register("CYCLES", 0x018, "r", "free-running cycle counter"),
    Register("SUBMIT", 0x01C, "w", "queue the staged instruction at controller <value>"),
    Register("QUEUE_SPACE", 0x020, "r", "free instruction slots of each controller", 4),
    Register("COMPLETIONS", 0x030, "r", "completion records waiting"),
    Register("COMPLETION_POP", 0x034, "w", "drop the oldest completion record"),
    Register("LATE_RESPONSES", 0x038, "r", "answers dropped because their request had timed out"),
    Register("STRAY_RESPONSES", 0x03C, "r", "duplicate or unknown answers, all instructions"),
    Register("MISROUTED", 0x040, "r", "ordinary packets dropped for naming no present endpoint"),
    Register("GIVEN_UP", 0x044, "r", "bit i: endpoint i takes nothing, and is given up"),
    Register("COMPLETION", 0x080, "r", "oldest completion record, words", 8),
    Register("SYNC_REFUSED", 0x0C0, "rw", "per barrier: controllers that may not use it", 16),
    Register("INSTRUCTION", 0x100, "w", "staging area of one instruction, words", 64),
)

FEATURE_BITS = (
    "streaming_reduction",
    "burst_reads",
    "coalesced_write_responses",
    "fused_notify",
)
"""Bit n of FEATURES; the names are those of the fields in the configuration."""

ENDPOINT = register_map(
    Register("IDENTITY", 0x000, "r", f"reads {IDENTITY:#010x}"),
    Register("CYCLES", 0x004, "r", "free-running cycle counter"),
    Register("ARRIVE", 0x008, "w", "arrive at barrier <value>, then poll its flag"),
    Register("FLAG_BASE", 0x00C, "rw", "address of flag 0 in this memory, low and high word", 2),
    Register("SYNC_STATE", 0x014, "r", "bit 0: waiting for the flag; bits 8..4: its status"),
    Register("FLAG_IDENTIFIER", 0x018, "r", "identifier found in the flag"),
    Register("ARRIVED_AT", 0x01C, "r", "cycle the arrival left"),
    Register("VISIBLE_AT", 0x020, "r", "cycle the latest flag was visible in memory"),
    Register("POLLED_AT", 0x024, "r", "cycle the poll saw the flag"),
    Register("POLL_INTERVAL", 0x028, "rw", f"cycles between polls, {POLL_INTERVAL} at reset"),
    Register("TRAFFIC_CONTROL", 0x040, "rw", "bit 0: send; bit 1: multicast"),
    Register("TRAFFIC_DESTINATION", 0x044, "rw", "endpoint id, or mask"),
    Register("TRAFFIC_ADDRESS", 0x048, "rw", "address written to, low and high word", 2),
    Register("TRAFFIC_BYTES", 0x050, "rw", "payload of a packet"),
    Register("TRAFFIC_SPAN", 0x054, "rw", "bytes after which the address starts over"),
    Register("TRAFFIC_LIMIT", 0x058, "rw", "packets to send; 0: no limit"),
    Register("TRAFFIC_SENT", 0x05C, "r", "packets sent since last switched on"),
    Register("TRAFFIC_ANSWERED", 0x060, "r", "responses received since last switched on"),
    Register("TRAFFIC_ERRORS", 0x064, "r", "responses whose status was not OK"),
    Register(
        "FAULT",
        0x068,
        "rw",
        "misbehaviour for the next ISA read or write, see Fault; bit 8: core",
    ),
    Register("TRANSMITTED", 0x070, "r", "flits sent on the link, credit flits included"),
    Register("RECEIVED", 0x074, "r", "flits received from the link, credit flits included"),
    Register("PAYLOAD_TRANSMITTED", 0x080, "r", "of these, flits that are no header or credit"),
    Register("PAYLOAD_RECEIVED", 0x084, "r", "of these, flits that are no header or credit"),
    Register(
        "LINK_STATE",
        0x088,
        "r",
        "bit 0: the far end is heard; bit 1: it takes nothing, and is given up",
    ),
    Register("LINK_REPLAYS", 0x08C, "r", "times this end went back to send flits again"),
    Register("LINK_DAMAGED", 0x090, "r", "words received whose CRC was wrong"),
    Register("LINK_REJECTS", 0x094, "r", "times the far end was asked to go back"),
    Register("LINK_DROPS", 0x098, "r", "times the far end fell silent"),
    Register("CORE_BYTES", 0x078, "r", "ordinary bytes written into this memory"),
    Register("ISA_BYTES", 0x07C, "r", "bytes written into this memory by the accelerator"),
    Register(
        "WINDOW",
        0x100,
        "rw",
        "per window: base low; base high, bits 31..16: endpoints refused; bytes low; bytes high, "
        "bits 19..16: tenants refused, bit 30: read, bit 31: write",
        64,
    ),
)

WINDOW_WORDS = 4
WINDOW_REFUSED_SHIFT = 16
"""Of both masks of whom a window refuses, in its second and fourth word."""
WINDOW_READ = 1 << 30
WINDOW_WRITE = 1 << 31


def pages(endpoints: int) -> int:
    """Register pages of a system."""
    return 1 + 2 * endpoints


def endpoint_page(endpoint: int) -> int:
    return 1 + endpoint


def dma_page(endpoints: int, endpoint: int) -> int:
    return 1 + endpoints + endpoint
