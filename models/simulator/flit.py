"""Flits as integers; compiled.

The lowest bits frame a packet; what is above them in a header depends on the channel. Payload
has nothing above them.
"""

from __future__ import annotations

from models.simulator.compiled import compiled

NOTHING = -1
FIRST, LAST = 1, 2
FIELDS = 2

# Read requests and their responses.
ENTRY, ENTRY_BITS = FIELDS, 8
PACKET, PACKET_BITS = ENTRY + ENTRY_BITS, 16
ROWS, ROWS_BITS = PACKET + PACKET_BITS, 24

# Write requests and their responses.
ACKNOWLEDGE, IS_NOTIFY = FIELDS, FIELDS + 1
CONTEXT, CONTEXT_BITS = FIELDS + 2, 8
SOURCE, NODE_BITS = CONTEXT + CONTEXT_BITS, 8
DESTINATION = SOURCE + NODE_BITS


@compiled
def field(flit: int, shift: int, bits: int) -> int:
    return (flit >> shift) & ((1 << bits) - 1)
