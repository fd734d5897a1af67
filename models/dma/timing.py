"""Timing model of DMA collectives.

The host launches one engine after the other; engines run in parallel, each its commands in
order. Copies of one engine overlap but for their bytes and an occupancy per destination. The
host looks at its signals one by one. Everything else is in the platform's parameters
(:mod:`models.dma.platform`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from models.dma.phases import Phases
from models.dma.platform import Platform

MICRO = 1e-6


class VariantError(ValueError):
    """A variant that an operation, or a platform, does not have."""


@dataclass(frozen=True)
class Shape:
    """A collective as the timing sees it, at each endpoint: ``engines`` engines with
    ``commands`` commands each, of ``destinations`` destinations; ``chunk`` bytes per
    destination; ``arriving`` chunks come to each endpoint; ``swaps``: commands exchange."""

    engines: int
    commands: int
    destinations: int
    arriving: int
    chunk: int
    swaps: bool = False


def shape(platform: Platform, operation: str, variant: str, size: int) -> Shape:
    """Of ``variant`` of a collective of ``size`` bytes, rounded up to whole chunks."""
    if operation == "p2p":
        return Shape(1, 1, 1, 1, size, swaps=variant == "swap")
    others = platform.endpoints - 1
    chunk = -(-size // platform.endpoints)
    if variant == "pcpy":
        return Shape(others, 1, 1, others, chunk)
    if variant == "b2b":
        return Shape(1, others, 1, others, chunk)
    if variant == "bcst":
        return Shape(-(-others // 2), 1, 2, others, chunk)
    if variant == "mcast" and platform.switched:
        return Shape(1, 1, 1, others, chunk)
    if variant == "swap":
        return Shape(-(-others // 2), 1, 1, others, chunk, swaps=True)
    raise VariantError(f"variant {variant!r} of {operation}: not on platform {platform.name}")


def predict(
    platform: Platform, operation: str, variant: str, size: int, *, prelaunch: bool = False
) -> Phases:
    """Phases of the engine that ends last."""
    work = shape(platform, operation, variant, size)
    each = platform.host * work.commands + platform.doorbell
    # What was launched ahead is released by one access to memory.
    rung = [platform.poll if prelaunch else each * (index + 1) for index in range(work.engines)]
    schedule = platform.release if prelaunch else platform.fetch
    begun = [time + schedule for time in rung]
    done = _last_writes(platform, work, variant, begun)
    seen = _host_sees(platform, done, rung[-1])
    ringing = 0.0 if prelaunch else platform.doorbell
    return Phases(
        (rung[-1] - ringing) * MICRO,
        (schedule + ringing) * MICRO,
        (done[-1] - begun[-1]) * MICRO,
        (seen - done[-1]) * MICRO,
    )


def _last_writes(platform: Platform, work: Shape, variant: str, begun: list[float]) -> list[float]:
    """When each engine's last write is acknowledged, given when it first reads."""
    wire = platform.wire_time(work.chunk)
    first = platform.wire_time(min(work.chunk, platform.packet_bytes))
    start = platform.swap_start if work.swaps else platform.start
    if work.swaps and work.chunk > platform.packet_bytes:
        # A segment is written once its partner is there, while the next ones come.
        start += first
    fixed = start + platform.occupancy * work.destinations * work.commands
    if not platform.switched:
        rate = platform.swap_rate if work.swaps else 1.0
        if variant == "bcst":
            rate = platform.broadcast_rate
        return [time + fixed + work.commands * wire / rate for time in begun]
    if variant == "mcast":
        # A chunk is sent once, but every endpoint receives from all others; and where all begin at
        # a time, some wait for the first packets of the others.
        return [begun[0] + fixed + work.arriving * wire + first]
    rate = platform.swap_rate if work.swaps else 1.0
    loads, left = [], work.arriving
    for _ in begun:
        chunks = min(left, work.commands * work.destinations)
        loads.append(chunks * wire / rate)
        left -= chunks
    return [fixed + time for time in _shared_link(begun, loads)]


def _shared_link(begun: list[float], loads: list[float]) -> list[float]:
    """When each load has passed a link that those under way share equally; the loads begin
    in order and are given as times on the link alone."""
    left = dict(enumerate(loads))
    now, ends = begun[0], [0.0] * len(loads)
    while left:
        active = [index for index in left if begun[index] <= now]
        later = [begun[index] for index in left if begun[index] > now]
        if not active:
            now = min(later)
            continue
        step = min(left[index] for index in active) * len(active)
        if later:
            step = min(step, min(later) - now)
        now += step
        for index in active:
            left[index] -= step / len(active)
            if left[index] <= 1e-12:
                ends[index] = now
                del left[index]
    return ends


def _host_sees(platform: Platform, done: list[float], launched: float) -> float:
    """The host has launched everything and now looks at one signal after the other."""
    now = launched
    for time in sorted(done):
        if platform.poll:
            # Looks come at fixed times.
            visible = time + platform.signal
            now += max(1, math.ceil((visible - now) / platform.poll)) * platform.poll
        else:
            now = max(now, time) + platform.next_signal
    return now if platform.poll else now + platform.signal


@dataclass(frozen=True)
class Fetch:
    """How scattered blocks are fetched: ``chained``: all by one doorbell, with one signal at
    the end; ``prelaunch``: queued beforehand, behind a poll."""

    name: str
    chained: bool
    prelaunch: bool = False


FETCHES = (
    Fetch("one by one", chained=False),
    Fetch("b2b", chained=True),
    Fetch("b2b launched ahead", chained=True, prelaunch=True),
)


def fetch_time(platform: Platform, blocks: int, block_bytes: int, how: Fetch) -> float:
    """Seconds until the host knows that ``blocks`` blocks have come, by one engine."""
    each = platform.occupancy + platform.wire_time(block_bytes)
    if how.chained:
        launched = 0.0 if how.prelaunch else platform.host * blocks + platform.doorbell
        begun = launched + (platform.release if how.prelaunch else platform.fetch)
        done = [begun + platform.start + blocks * each]
        return _host_sees(platform, done, launched) * MICRO
    cost = platform.host + platform.doorbell
    end, done = 0.0, []
    for index in range(blocks):
        end = max(end, cost * (index + 1) + platform.fetch) + each
        done.append(end + platform.start)
    return _host_sees(platform, done, cost * blocks) * MICRO
