"""What the parts of a DMA engine hand to each other."""

from amaranth.lib import data, enum
from amaranth.utils import ceil_log2, exact_log2

from hw.memory.axi import BURST_LAYOUT
from hw.spec.config import MAX_ENDPOINTS, Config
from hw.spec.dma import RequestTag
from hw.spec.packet import ADDRESS_BITS, LENGTH_BITS, NODE_BITS
from hw.spec.status import Status

NUMBER_BITS = 32
"""Commands are numbered from reset on, modulo 2^32."""

ITEM_BITS = RequestTag.layout()["item"].width

FAILURE_LAYOUT = data.StructLayout({"status": Status, "command": ITEM_BITS})
"""What went wrong, with the low bits of the command's number."""


class JobKind(enum.IntEnum, shape=2):
    DATA = 0
    WORD = 1
    """Write the signal's operand."""
    ADD = 2
    """Add the signal's operand."""


def segment_bits(config: Config) -> int:
    return ceil_log2(config.dma.segments)


def read_layout(config: Config) -> data.StructLayout:
    """A segment to read: at most one packet's payload, within an aligned block of that size.
    ``status``: not to be read after all."""
    return data.StructLayout(
        {
            "node": NODE_BITS,
            "local": 1,
            "address": ADDRESS_BITS,
            "length": LENGTH_BITS,
            "segment": segment_bits(config),
            "command": ITEM_BITS,
            "status": Status,
        }
    )


def segment_burst_layout(config: Config) -> data.StructLayout:
    """A burst of own memory, and the segment its data are for."""
    return data.StructLayout({"burst": BURST_LAYOUT, "segment": segment_bits(config)})


def write_job_layout(config: Config) -> data.StructLayout:
    """A segment, or a signal, to write.

    ``offset``: where in its first row the segment begins. ``whole``: wait until all of it is
    there; ``paired``: and all of the segment after it, whose job ``follows``: a swap writes
    both or neither. ``release``: no other job needs the segment. ``status``: not to be written
    after all.
    """
    return data.StructLayout(
        {
            "kind": JobKind,
            "local": 1,
            "multicast": 1,
            "node": MAX_ENDPOINTS,
            "address": ADDRESS_BITS,
            "length": LENGTH_BITS,
            "command": ITEM_BITS,
            "status": Status,
            "segment": segment_bits(config),
            "offset": exact_log2(config.fabric.flit_bytes),
            "whole": 1,
            "paired": 1,
            "follows": 1,
            "release": 1,
        }
    )
