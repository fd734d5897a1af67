"""How a host speaks with a board: commands over a serial port, and one address space.

Little-endian throughout. A command is opcode, number of words (1 to 255), 32-bit address and,
for a write, the words. A write is answered by one status byte, a read by the words and then the
status byte. Bytes that are no opcode are skipped where a command begins, so a host that lost
step sends zeros, then waits. A command of which no further byte comes is forgotten after
``COMMAND_TIMEOUT_CYCLES``.

Addresses below ``MEMORY`` are the registers of the board: pages as in
:mod:`hw.spec.registers`, counting the endpoints that are on this board, and the board's own
page. From ``MEMORY`` on lie the memories of its endpoints, ``MEMORY_SPAN`` apart.
"""

from __future__ import annotations

import hashlib
import json

from hw.spec.config import Config
from hw.spec.enums import IntEnum
from hw.spec.registers import Field, Register, register_map, state

ADDRESS_BITS = 32
REGISTER_BITS = 31
"""Of an address below ``MEMORY``."""
MEMORY = 1 << REGISTER_BITS
MEMORY_SPAN_BITS = 26
MEMORY_SPAN = 1 << MEMORY_SPAN_BITS
MOST_MEMORIES = MEMORY // MEMORY_SPAN
MOST_WORDS = 255
COMMAND_TIMEOUT_CYCLES = 1 << 22

BOARD_IDENTITY = 0x5C1EB0A2
MOST_LINKS = 16
MOST_LANES = 8
"""Of a link, whose eyes two words hold."""


class HostCommand(IntEnum, shape=8):
    """First byte of a command."""

    READ = 0x52
    WRITE = 0x57


class HostStatus(IntEnum, shape=8):
    """Last byte of an answer."""

    OK = 0x4B
    ERROR = 0x45
    """Nothing is at one of the addresses."""
    REFUSED = 0x4E
    """A register does not accept what was written, or cannot be read or written: nothing
    happened at its address. ERROR where both apply."""


BOARD = register_map(
    state("IDENTITY", 0x000, f"reads {BOARD_IDENTITY:#010x}"),
    state(
        "ROLE",
        0x004,
        "what is on the board",
        fields={
            "switch": Field(0, 1, "the switch is here"),
            "endpoints": Field(8, 8, "endpoints here"),
            "links": Field(16, 8, "links to other boards"),
            "lanes": Field(24, 8, "lanes of a link"),
        },
    ),
    state("CONFIGURATION", 0x008, "fingerprint of the configuration it was built from"),
    state("CLOCK", 0x00C, "clock in kHz"),
    Register("NODE", 0x040, "rw", "id of each endpoint here; their places here at reset", 16),
    state("LINK_STATUS", 0x080, "of each link, see the layout `LinkStatus`", MOST_LINKS),
    state(
        "LINK_EYE",
        0x100,
        "of each link, two words: per lane a byte, delay steps that were good in training",
        2 * MOST_LINKS,
    ),
)


BOARD_PAGE = 0x7F
"""The board's own page: where a host looks before it knows what is there."""


def fingerprint(config: Config) -> int:
    """32 bits that tell configurations with different hardware apart."""
    text = json.dumps(config.hardware_dict(), sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
