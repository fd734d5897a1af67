"""Bytes that an operation by the switch, or by DMA engines, puts on the busiest link.

Payload only: headers, requests, answers and credits are what keeps a link from carrying more of
it. "Busiest link" is one direction of one accelerator's connection to the fabric; where a message
is striped over several switches, their links count as one. Sizes follow nccl-tests: the whole
vector for all-gather and reduce-scatter, what each accelerator holds otherwise.
"""

from __future__ import annotations

from hw.spec.formats.block import BlockFormat
from models.collective import OPERATIONS, Collective

ELEMENT_BYTES = 2


def bus_factor(operation: str, endpoints: int) -> float:
    """busbw ÷ algbw, as nccl-tests defines it."""
    return OPERATIONS[operation].bus_factor(endpoints)


def quantized_bytes(size: int, entry: BlockFormat) -> int:
    """Of ``size`` bytes of 16-bit elements, what is left as whole blocks of ``entry``: elements
    and scales."""
    blocks = -(-size // ELEMENT_BYTES // entry.block)
    return blocks * (entry.block_bytes + entry.scale_bytes)


def busiest_link_bytes(
    operation: str,
    algorithm: str,
    endpoints: int,
    size: int,
    *,
    entry: BlockFormat | None = None,
    switched: bool = True,
) -> int:
    """``entry``: what ``scin-inq`` quantizes ``size`` bytes of 16-bit elements to. Not
    ``switched``: every pair of endpoints has a link of its own.

    The in-switch accelerator reads and writes an endpoint's own share as well, so its
    all-gather and reduce-scatter carry the whole vector; DMA engines leave it where it is.
    """
    item = OPERATIONS[operation]
    if entry is not None:
        shards = item.shards(endpoints) if isinstance(item, Collective) else 1
        size = quantized_bytes(size // shards, entry) * shards
    if algorithm in ("scin", "scin-inq"):
        return size
    if algorithm != "dma":
        raise ValueError(f"algorithm {algorithm!r}: must be scin, scin-inq or dma")
    if item.whole_vector:
        return -(-size // endpoints) * (endpoints - 1 if switched else 1)
    return size
