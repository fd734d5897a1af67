"""All-Reduce without the in-switch accelerator: closed forms.

Every algorithm below sends in permutations or in even all-to-all patterns, which this switch
forwards at full rate on all ports, so a step is its latency and its bytes over a rate. N
accelerators, message of S bytes per accelerator, N = 1 excluded.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from models.baselines.fabric import Fabric
from models.baselines.parameters import Parameters

ISSUE_CYCLES = 2
"""Of a ld_reduce in the switch: take the load, start the reads."""

SWITCH_REDUCE_CYCLES = 20
"""Compute latency in the switch (arXiv 2603.28239, 4.1)."""

SMALLEST_SLICE = 1024
SLICE_STEPS = 12
"""Sizes of slice tried: from the smallest on, each twice the one before."""


def ring(fabric: Fabric, given: Parameters, size: int) -> float:
    """2 (N - 1) steps of a chunk of S / N: data, fence, flag; half of them also add."""
    n = fabric.accelerators
    chunk = size / n
    steps = 2 * (n - 1)
    data = chunk / fabric.rate()
    adding = given.adding((n - 1) * chunk)
    return steps * (fabric.step(given.fence) + data) + adding + given.software


def oneshot(fabric: Fabric, given: Parameters, size: int) -> float:
    """Each accelerator writes all of its data to every other, then a flag, and adds N messages."""
    others = fabric.accelerators - 1
    adding = given.adding(others * size)
    data = others * size / fabric.rate()
    return fabric.step(given.fence) + data + adding + given.software


def twoshot(fabric: Fabric, given: Parameters, size: int) -> float:
    """Reduce-scatter and all-gather, each by direct writes of S / N to every other accelerator."""
    n = fabric.accelerators
    chunk = size / n
    data = (n - 1) * chunk / fabric.rate()
    adding = given.adding((n - 1) * chunk)
    return 2 * (fabric.step(given.fence) + data) + adding + given.software


def direct(fabric: Fabric, given: Parameters, size: int) -> float:
    """One shot for small messages, two for large ones: whichever is faster, as inference engines
    choose by size."""
    return min(oneshot(fabric, given, size), twoshot(fabric, given, size))


def nvls(fabric: Fabric, given: Parameters, size: int) -> float:
    """Barrier between accelerators; each loads S / N reduced (to the switch, to all memories,
    back to the switch, back to the caller) and stores it to all; barrier.

    Per byte of S a link carries up a byte of operands and 1/N of results, down 1/N of reduced
    data and a byte of results, and for each byte of results an answer.
    """
    n = fabric.accelerators
    barrier = fabric.write
    load = 4 * fabric.link + fabric.memory + (ISSUE_CYCLES + SWITCH_REDUCE_CYCLES) * fabric.cycle
    store = fabric.write
    wire = size / fabric.rate(data=1 + 1 / n, requests=1 + 1 / n, answers=1.0)
    issue = size / n / given.nvls_outstanding_bytes * load
    return 2 * barrier + load + store + max(wire, issue) + given.software


def tree_load(accelerators: int) -> float:
    """Times a message crosses the busiest link of a double binary tree: a node that has two
    children in one tree sends half of it up and twice half down, and half up as a leaf of the
    other; with two or three nodes the busiest is a root."""
    return {2: 1.0, 3: 1.5}.get(accelerators, 2.0)


def tree(fabric: Fabric, given: Parameters, size: int) -> float:
    """Double binary tree: two trees, half of the data each; a node of one is a leaf of the
    other. Slices go up adding and down again. Best slice size."""
    depth = math.ceil(math.log2(fabric.accelerators))
    step = fabric.step(given.fence)
    load = tree_load(fabric.accelerators)
    best = math.inf
    for exponent in range(SLICE_STEPS):
        piece = min(size / 2, SMALLEST_SLICE << exponent)
        adding = given.adding(2 * piece)
        hops = 2 * depth * (step + piece / fabric.rate() + adding)
        # Behind the first slice of each tree, whatever is longer: the link's share, or adding.
        rest = (size / 2 / piece - 1) * max(2 * load * piece / fabric.rate(), adding)
        best = min(best, hops + max(rest, 0.0))
    return max(best, load * size / fabric.rate()) + given.software


def dma_ring(fabric: Fabric, given: Parameters, size: int) -> float:
    """The ring by DMA engines: every copy queued ahead behind a poll; an engine signals when its
    data are acknowledged by the endpoint; an adder beside the memory keeps up with the link."""
    n = fabric.accelerators
    chunk = size / n
    step = given.dma_start_ns * 1e-9 + fabric.step("endpoint") + chunk / fabric.rate()
    return 2 * (n - 1) * step + given.engine_software


def ring_bytes(accelerators: int, size: int) -> int:
    """What an accelerator sends in all steps of a ring, or to all others in two shots."""
    return 2 * (accelerators - 1) * _chunk(accelerators, size)


def oneshot_bytes(accelerators: int, size: int) -> int:
    return (accelerators - 1) * size


def nvls_bytes(accelerators: int, size: int) -> int:
    return size + _chunk(accelerators, size)


def tree_bytes(accelerators: int, size: int) -> int:
    return round(tree_load(accelerators) * size)


def _chunk(accelerators: int, size: int) -> int:
    return -(-size // accelerators)


def direct_bytes(fabric: Fabric, given: Parameters, size: int) -> int:
    """Of the exchange that is faster."""
    n = fabric.accelerators
    one_is_faster = oneshot(fabric, given, size) < twoshot(fabric, given, size)
    return oneshot_bytes(n, size) if one_is_faster else ring_bytes(n, size)


Bytes = Callable[[Fabric, Parameters, int], int]


def _by_number(count: Callable[[int, int], int]) -> Bytes:
    """``count`` takes the number of accelerators and the size."""
    return lambda fabric, _, size: count(fabric.accelerators, size)


@dataclass(frozen=True)
class Baseline:
    """An algorithm: time in seconds of a message of so many bytes per accelerator, and what of it
    the busiest link carries in one direction, headers aside."""

    seconds: Callable[[Fabric, Parameters, int], float]
    link_bytes: Bytes


BASELINES = {
    "ring": Baseline(ring, _by_number(ring_bytes)),
    "direct": Baseline(direct, direct_bytes),
    "oneshot": Baseline(oneshot, _by_number(oneshot_bytes)),
    "twoshot": Baseline(twoshot, _by_number(ring_bytes)),
    "nvls": Baseline(nvls, _by_number(nvls_bytes)),
    "tree": Baseline(tree, _by_number(tree_bytes)),
    "dma-ring": Baseline(dma_ring, _by_number(ring_bytes)),
}
"""Adding one here adds it to every command that compares."""
