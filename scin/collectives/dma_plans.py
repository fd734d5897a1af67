"""DMA collectives as lists of commands per engine.

A new collective is a function that returns a :class:`Plan`; see ``docs/dma.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hw.spec.config import AXI_BOUNDARY_BYTES, Config
from hw.spec.dma import Command, Compare
from models.dma.timing import VariantError
from scin.collectives.programs import Pieces
from scin.host import dma_commands as dma
from scin.host.dma_commands import Place, Signal

LINE_BYTES = 64
"""Signals of different copies do not share a line."""


@dataclass(frozen=True)
class Layout:
    """Where things lie in every endpoint's memory: data below ``room``, then the word that
    releases what was launched ahead, and the signals."""

    room: int

    @classmethod
    def of(cls, config: Config) -> Layout:
        """Below the rings of the engines, a page each, which are below the flags."""
        return cls(config.flag_base - AXI_BOUNDARY_BYTES * (config.dma.engines + 1))

    @property
    def release(self) -> int:
        return self.room

    def signal(self, index: int) -> int:
        return self.room + LINE_BYTES * (1 + index)


@dataclass(frozen=True)
class Work:
    """Commands of one engine, in order."""

    endpoint: int
    engine: int
    commands: list[Command]


@dataclass(frozen=True)
class Plan:
    """``inputs`` and ``outputs``: (address, length) pieces of each endpoint's memory.
    ``origins``: for each output piece, the endpoint and input piece it must equal.
    ``signals``: addresses of each endpoint's signals, 1 until their copies are complete."""

    operation: str
    variant: str
    size: int
    works: list[Work]
    inputs: list[Pieces]
    outputs: list[Pieces]
    origins: list[list[tuple[int, int]]]
    signals: list[list[int]]
    footprint: int


def allgather(config: Config, variant: str, size: int) -> Plan:
    """Each endpoint's chunk to every other one, at the same address everywhere."""
    endpoints = config.system.endpoints
    chunk = -(-size // endpoints)
    pieces = [(chunk * i, chunk) for i in range(endpoints)]
    commands = []
    for rank in range(endpoints):
        source = Place(rank, chunk * rank)
        others = _others(rank, endpoints)
        places = [Place(other, source.address) for other in others]
        if variant == "mcast":
            mask = sum(1 << other for other in others)
            commands.append([dma.multicast(source, mask, source.address, chunk)])
        elif variant == "bcst":
            pairs = [places[i : i + 2] for i in range(0, len(places), 2)]
            commands.append([_to_one_or_two(source, pair, chunk) for pair in pairs])
        else:
            commands.append([dma.copy(source, place, chunk) for place in places])
    plan = Plan(
        operation="allgather",
        variant=variant,
        size=chunk * endpoints,
        works=[],
        inputs=[[piece] for piece in pieces],
        outputs=[pieces] * endpoints,
        origins=[[(rank, 0) for rank in range(endpoints)]] * endpoints,
        signals=[],
        footprint=chunk * endpoints,
    )
    return _assign(config, plan, commands, chained=variant == "b2b")


def alltoall(config: Config, variant: str, size: int) -> Plan:
    """Chunk j of endpoint i to place i of endpoint j: into a second buffer, or, by swaps, in
    place. A chunk for oneself stays where it is."""
    endpoints = config.system.endpoints
    chunk = -(-size // endpoints)
    total = chunk * endpoints
    pieces = [(chunk * i, chunk) for i in range(endpoints)]
    commands, outputs = [], []
    for rank in range(endpoints):
        others = _others(rank, endpoints)
        if variant == "swap":
            commands.append(
                [
                    dma.swap(Place(rank, chunk * other), Place(other, chunk * rank), chunk)
                    for other in others
                    if _swaps(rank, other, endpoints)
                ]
            )
            outputs.append(pieces)
        else:
            commands.append(
                [
                    dma.copy(Place(rank, chunk * other), Place(other, total + chunk * rank), chunk)
                    for other in others
                ]
            )
            outputs.append(
                [(chunk * i + (0 if i == rank else total), chunk) for i in range(endpoints)]
            )
    plan = Plan(
        operation="alltoall",
        variant=variant,
        size=total,
        works=[],
        inputs=[pieces] * endpoints,
        outputs=outputs,
        origins=[[(i, rank) for i in range(endpoints)] for rank in range(endpoints)],
        signals=[],
        footprint=2 * total,
    )
    return _assign(config, plan, commands, chained=variant == "b2b")


def p2p(config: Config, variant: str, size: int) -> Plan:
    """From endpoint 0 to its neighbour; ``swap`` exchanges."""
    here, there = Place(0, 0), Place(1, 0)
    idle: list[list[Any]] = [[] for _ in range(config.system.endpoints - 2)]
    swaps = variant == "swap"
    command = dma.swap(here, there, size) if swaps else dma.copy(here, there, size)
    pieces = [[(0, size)], [(0, size)], *idle]
    plan = Plan(
        operation="p2p",
        variant=variant,
        size=size,
        works=[],
        inputs=pieces,
        outputs=pieces,
        origins=[[(1 if swaps else 0, 0)], [(0, 0)], *idle],
        signals=[],
        footprint=size,
    )
    return _assign(config, plan, [[command], [], *idle], chained=False)


OPERATIONS: dict[str, tuple[Callable[[Config, str, int], Plan], tuple[str, ...]]] = {
    "allgather": (allgather, ("pcpy", "bcst", "b2b", "mcast")),
    "alltoall": (alltoall, ("pcpy", "swap", "b2b")),
    "p2p": (p2p, ("pcpy", "swap")),
}
"""Each with its variants, the one others are compared with first."""


def build(config: Config, operation: str, variant: str, size: int) -> Plan:
    """The plan of a collective of ``size`` bytes, rounded up to whole chunks."""
    make, variants = OPERATIONS[operation]
    if variant not in variants:
        raise VariantError(f"variant {variant!r}: {operation} has {', '.join(variants)}")
    return make(config, variant, size)


def launched_ahead(config: Config, plan: Plan) -> Plan:
    """The plan with every engine waiting for its endpoint's release word."""
    word = Layout.of(config).release
    works = [
        replace(
            work,
            commands=[dma.poll(Place(work.endpoint, word), Compare.EQUAL, 1), *work.commands],
        )
        for work in plan.works
    ]
    return replace(plan, works=works)


def _others(rank: int, endpoints: int) -> list[int]:
    """The other ranks, from the next one on, so that no rank comes first for all of them."""
    return [(rank + step) % endpoints for step in range(1, endpoints)]


def _swaps(rank: int, other: int, endpoints: int) -> bool:
    """Of every pair one swaps; each endpoint about as often."""
    distance = (other - rank) % endpoints
    return 2 * distance < endpoints or (2 * distance == endpoints and rank < other)


def _to_one_or_two(source: Place, places: list[Place], length: int) -> Command:
    if len(places) == 1:
        return dma.copy(source, places[0], length)
    return dma.broadcast(source, places[0], places[1], length)


def _assign(config: Config, plan: Plan, commands: list[list[Command]], *, chained: bool) -> Plan:
    """Commands of each endpoint onto its engines: all on one with a signal at the end, or one
    after the other on all engines with a signal each."""
    layout, engines = Layout.of(config), config.dma.engines
    works, signals = [], []
    for endpoint, mine in enumerate(commands):
        ending = mine[-1:] if chained else mine
        addresses = [layout.signal(index) for index in range(len(ending))]
        signals.append(addresses)
        signalled = [
            dma.with_signal(command, Signal(Place(endpoint, address)))
            for command, address in zip(ending, addresses, strict=True)
        ]
        if chained and mine:
            works.append(Work(endpoint, 0, [*mine[:-1], *signalled]))
        else:
            works += [
                Work(endpoint, engine, signalled[engine::engines])
                for engine in range(min(engines, len(signalled)))
            ]
    return replace(plan, works=works, signals=signals)
