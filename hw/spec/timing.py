"""Latencies and depths that the gates are built to, and that the simulator mirrors.

Cycles, items or slices. A component's own latency is also its class's ``LATENCY``.
"""

from __future__ import annotations

from amaranth.utils import ceil_log2

from hw.spec.config import Config
from hw.spec.formats import block_formats
from hw.spec.formats.block import NARROW_BITS, groups

QUEUE_CYCLES = 2
"""From an item's entry into an empty queue until it is offered."""
BUFFER_ITEMS = 2
"""What a buffer holds: its output register and a spare."""

# An endpoint.
READ_HEADERS = 8
"""Responses of a read server that wait for their data or their turn."""
BEATS_AHEAD = 16
"""A read server fetches so many beats more than two packets."""
READS_UNDER_WAY = 15
"""Bursts that the simulated memory, ``rtl/sim/axi_memory.sv``, takes before it answers one."""
ANSWERS_WAITING = 8
"""Writes of a write server whose answer has not left."""
SHUFFLE_SEED, SHUFFLE_TAPS = 0xACE1, 0xB400
"""Galois LFSR, x^16 + x^14 + x^13 + x^11 + 1, that shuffles reads."""

# The accelerator.
WRITEBACK_JOBS = 4
"""Jobs that wait at a port's write-back."""
TABLE_CYCLES = 2
"""From the address of a row in a wave table to the row."""
REDUCE_CYCLES = 8
"""From a slice to its result, of all operators but AVG."""
DIVISOR_LAG = 7
"""A lane wants the divisor of a slice so much later than the slice."""
DIVIDE_CYCLES = 3
"""From the normalised sum and its divisor to the average."""
AVERAGE_CYCLES = DIVISOR_LAG + DIVIDE_CYCLES

# The quantizing datapath, in the order of its stages.
SELECT_CYCLES = 1
SCALES_TO_TOP = 2
"""From the scales of a slice to their largest exponent, without the wait for other slices."""
SCALE_LAG = 1
"""A lane wants the scale of an element so much later than the element."""
DEQUANTIZE_CYCLES = 6
SCALE_CYCLES = 8
"""From the largest magnitude of a block to its new scale."""
QUANTIZE_CYCLES = 5
OUTPUT_CYCLES = 1


def average_lead(config: Config) -> int:
    """So much later an average arrives than other results."""
    return AVERAGE_CYCLES - REDUCE_CYCLES if config.isa.average else 0


def read_beats(config: Config) -> int:
    """Beats that a read server has room for."""
    return 2 * config.rows_per_packet + BEATS_AHEAD


def longest_block(config: Config) -> int:
    """Slices of elements that share a scale."""
    width = config.slice_bytes
    return max((entry.slices_per_block(width) for entry in block_formats(config)), default=1)


def longest_run(config: Config) -> int:
    """Slices that are reduced without a pause: of a block, or of a row."""
    return max(longest_block(config), config.isa.cycles_per_row)


def nonzero_hold(config: Config) -> int:
    """A slice waits until the last one of the longest block is there whose window its scale
    decides."""
    aligned = (entry for entry in block_formats(config) if entry.scale.aligned)
    return max((entry.slices_per_block(config.slice_bytes) - 1 for entry in aligned), default=0)


def scale_top_cycles(config: Config) -> int:
    """From the scales of a slice to their largest exponent."""
    return SCALES_TO_TOP + nonzero_hold(config)


def scale_decode_cycles(config: Config) -> int:
    """From the scales of a slice to how far below the top of the window each product lies."""
    return scale_top_cycles(config) + 1


def elements_wait(config: Config) -> int:
    """Elements enter the lanes so much later than their scales are decoded."""
    return scale_decode_cycles(config) - SCALE_LAG


def totals_at(config: Config) -> int:
    """Cycles from a slice to its sums."""
    return elements_wait(config) + DEQUANTIZE_CYCLES


def bytes_per_group(config: Config) -> int:
    return config.slice_bytes // groups(config.slice_bytes)


def group_levels(config: Config) -> int:
    """Cycles it takes to compare all elements of a group."""
    levels: int = ceil_log2(8 // NARROW_BITS * bytes_per_group(config))
    return levels


def maximum_hold(config: Config) -> int:
    """A slice waits until the last one of the longest block is there."""
    return longest_block(config) - 1


def block_maximum_cycles(config: Config) -> int:
    """From the sums of a slice to the largest magnitude of each block."""
    levels: int = ceil_log2(groups(config.slice_bytes))
    return group_levels(config) + levels + 1 + maximum_hold(config)


def scale_at(config: Config) -> int:
    """Cycles from a slice to the largest magnitudes of its blocks."""
    return totals_at(config) + block_maximum_cycles(config)


def quantize_at(config: Config) -> int:
    """Cycles from a slice to the new scales of its blocks."""
    return scale_at(config) + SCALE_CYCLES


def block_reduce_cycles(config: Config) -> int:
    """From a slice to its result."""
    return quantize_at(config) + QUANTIZE_CYCLES


def quantized_cycles(config: Config) -> int:
    """From a slice, or the slot of a row of scales, to its result."""
    return SELECT_CYCLES + block_reduce_cycles(config) + OUTPUT_CYCLES


def lead_cycles(config: Config) -> int:
    """So much later a quantized row arrives than an ordinary one."""
    return quantized_cycles(config) - REDUCE_CYCLES if block_formats(config) else 0
