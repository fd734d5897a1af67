"""Bytes that a collective puts on the busiest link, by operation and algorithm.

Payload only: headers, requests, answers and credits are what keeps a link from carrying more of
it. "Busiest link" is one direction of one accelerator's connection to the fabric; where a message
is striped over several switches, their links count as one. Sizes follow nccl-tests: the whole
vector for all-gather and reduce-scatter, what each accelerator holds otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

from hw.spec.formats.block import BlockFormat
from models.baselines.algorithms import tree_load

ELEMENT_BYTES = 2

WHOLE_VECTOR = ("allgather", "reducescatter", "alltoall")
"""Operations whose bus bandwidth leaves out the share that stays where it is."""


def bus_factor(operation: str, endpoints: int) -> float:
    """busbw ÷ algbw, as nccl-tests defines it."""
    if operation == "allreduce":
        return 2 * (endpoints - 1) / endpoints
    if operation in WHOLE_VECTOR:
        return (endpoints - 1) / endpoints
    return 1.0


def quantized_bytes(size: int, entry: BlockFormat) -> int:
    """Of ``size`` bytes of 16-bit elements, what is left as whole blocks of ``entry``: elements
    and scales."""
    blocks = -(-size // ELEMENT_BYTES // entry.block)
    return blocks * (entry.block_bytes + entry.scale_bytes)


def _chunk(size: int, endpoints: int) -> int:
    return -(-size // endpoints)


Bytes = Callable[[int, int], int]
"""Of endpoints and size."""

_ALLREDUCE: dict[str, Bytes] = {
    "scin": lambda n, size: size,
    "scin-inq": lambda n, size: size,
    "ring": lambda n, size: 2 * (n - 1) * _chunk(size, n),
    "dma-ring": lambda n, size: 2 * (n - 1) * _chunk(size, n),
    "twoshot": lambda n, size: 2 * (n - 1) * _chunk(size, n),
    "oneshot": lambda n, size: (n - 1) * size,
    "nvls": lambda n, size: size + _chunk(size, n),
    "tree": lambda n, size: round(tree_load(n) * size),
}


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
    if entry is not None:
        shards = endpoints if operation == "reducescatter" else 1
        size = quantized_bytes(size // shards, entry) * shards
    if algorithm == "dma":
        if operation in WHOLE_VECTOR:
            return _chunk(size, endpoints) * (endpoints - 1 if switched else 1)
        return size
    if operation == "allreduce":
        return _ALLREDUCE[algorithm](endpoints, size)
    if algorithm in ("scin", "scin-inq"):
        return size
    raise ValueError(f"operation {operation!r} by {algorithm!r}: not known")
