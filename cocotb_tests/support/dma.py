"""Random DMA commands, and memories that golden and simulated engines share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw.spec.dma import Command, Compare, SignalKind
from scin.host import dma_commands as dma
from scin.host.dma_commands import Place, Signal

CLOCK_BYTES = 256
"""At the start of the region: where timestamps go; nothing else touches it."""


@dataclass
class Traffic:
    """Random commands of one engine at ``identity`` on ``span`` bytes from ``base`` of every
    endpoint's memory; the first ``CLOCK_BYTES`` are for timestamps."""

    rng: np.random.Generator
    identity: int
    endpoints: int
    base: int
    span: int
    longest: int

    def _number(self, bound: int) -> int:
        return int(self.rng.integers(bound))

    def _place(self, length: int, align: int = 1) -> Place:
        room = self.span - CLOCK_BYTES - length
        address = self.base + CLOCK_BYTES + self._number(room + 1) // align * align
        return Place(self._number(self.endpoints), address)

    def _signal(self) -> Signal | None:
        if self.rng.random() < 0.6:
            return None
        kind = SignalKind(1 + self._number(2))
        operand = int(self.rng.integers(1 << (62 if kind == SignalKind.ADD else 32)))
        return Signal(self._place(8, align=8), operand, kind)

    def _copied(self, length: int, source: Place, how_many: int) -> list[Place] | None:
        """Destinations that do not overlap the source."""
        places = [self._place(length) for _ in range(how_many)]
        clear = all(
            p.node != source.node or abs(p.address - source.address) >= length for p in places
        )
        return places if clear else None

    def command(self) -> Command:
        kind = self.rng.choice(
            ["copy"] * 8
            + ["broadcast", "multicast", "swap"] * 2
            + ["atomic", "fence", "poll", "timestamp", "nop"]
        )
        if kind in ("copy", "broadcast", "multicast", "swap"):
            return self._copy(kind)
        if kind == "atomic":
            return dma.atomic_add(self._place(8, align=8), int(self.rng.integers(1 << 62)))
        if kind == "fence":
            return dma.fence(self._place(4, align=4), self._number(1 << 32))
        if kind == "poll":
            place = Place(self.identity, self._place(8, align=8).address)
            return dma.poll(place, Compare.GREATER_EQUAL, 0, interval=self._number(20))
        if kind == "timestamp":
            where = self.base + 8 * self._number(CLOCK_BYTES // 8)
            return dma.timestamp(Place(self._number(self.endpoints), where))
        return Command()

    def _copy(self, kind: str) -> Command:
        limit = int(self.rng.choice([8, 64, self.longest]))
        length = 1 + self._number(limit)
        source = self._place(length)
        if kind == "copy":
            destination = self._place(length)
            if self.rng.random() < 0.2:
                # Over itself, up or down.
                low = self.base + CLOCK_BYTES
                near = source.address + self._number(2 * length + 1) - length
                top = self.base + self.span - length
                destination = Place(source.node, max(low, min(top, near)))
            return dma.copy(source, destination, length, self._signal())
        if kind == "multicast":
            targets = 1 + self._number((1 << self.endpoints) - 1)
            (place,) = self._copied(length, source, 1) or (None,)
            meets = targets >> source.node & 1
            if place is None or (meets and abs(place.address - source.address) < length):
                return Command()
            return dma.multicast(source, targets, place.address, length, self._signal())
        places = self._copied(length, source, 2)
        if places is None:
            return Command()
        if kind == "swap":
            return dma.swap(source, places[0], length, self._signal())
        return dma.broadcast(source, *places, length, self._signal())
