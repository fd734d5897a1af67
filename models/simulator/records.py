"""What the accelerator remembers: of instructions, controllers, ports and wave tables.

Twin of ``hw/isa/``: context, jobs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.simulator.compiled import compiled
from models.simulator.timing import Timing

MAX_PORTS = 72
MAX_CONTEXTS = 32
NEVER = -1

INSTRUCTION = np.dtype(
    [
        ("controller", np.int64),
        ("rows", np.int64),
        ("ratio", np.int64),  # bytes of elements per byte of scales; 0: no scales
        ("lead", np.int64),  # by how many cycles its results come later than those of a sum
        ("run", np.int64),  # slices that cannot pause between them
        ("sources", np.int8, (MAX_PORTS,)),
        ("destinations", np.int8, (MAX_PORTS,)),
        ("participants", np.int8, (MAX_PORTS,)),
        ("notify", np.int64),
        ("barrier", np.int64),  # when it is met
        ("first_read", np.int64),
        ("first_data", np.int64),  # of a read response, at the table
        ("first_row", np.int64),
        ("last_write", np.int64),
        ("last_response", np.int64),
        ("done", np.int64),
    ],
    align=True,
)

CONTROLLER = np.dtype(
    [
        ("state", np.int64),
        ("following", np.int64),  # next instruction to fetch
        ("current", np.int64),
        ("slot", np.int64),
        ("newest", np.int64),
        ("oldest", np.int64),
        ("live", np.int64, (MAX_CONTEXTS,)),
        ("issued", np.int64, (MAX_CONTEXTS,)),
        ("pending", np.int64, (MAX_CONTEXTS,)),
        ("instruction", np.int64, (MAX_CONTEXTS,)),
        ("left", np.int64),
        ("position", np.int64),
        ("in_use", np.int64),
        ("wave_queue", np.int64),
        ("retiring", np.int64),
        ("notified", np.int64),
        ("wants_notify", np.int64),
    ],
    align=True,
)

PORT = np.dtype(
    [
        # Read requests under way.
        ("left", np.int64),
        ("entry", np.int64),
        ("packet", np.int64),
        ("elements", np.int64),  # rows of elements that follow the scales
        # The response that is arriving.
        ("fill_entry", np.int64),
        ("fill_packet", np.int64),
        # Write-back.
        ("room", np.int64),
        ("jobs", np.int64),
        ("rows", np.int64),
        ("pending", np.int64),
        ("job", np.int64),
        ("remaining", np.int64),
        ("payload", np.int64),
        # Write responses.
        ("outstanding", np.int64, (MAX_CONTEXTS,)),
        ("answered", np.int64, (MAX_CONTEXTS,)),
    ],
    align=True,
)


class Tables(NamedTuple):
    """Wave tables: by port and entry, and by packet."""

    filled: np.ndarray
    remaining: np.ndarray
    scales_remaining: np.ndarray


# A wave in its controller's queue.
WAVE_SLOT, WAVE_ENTRY, WAVE_ROWS, WAVE_SCALES = 0, 8, 16, 40
WAVE_ROWS_BITS = 24


@compiled
def scale_rows(rows: int, ratio: int) -> int:
    return -(-rows // ratio) if ratio else 0


@compiled
def packets_of(rows: int, timing: Timing) -> int:
    return -(-rows // min(timing.packet_rows, timing.wave_rows))
