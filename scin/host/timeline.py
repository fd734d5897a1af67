"""The host beside a simulated system: what launching and waiting cost it, and when.

Events happen at given cycles of the simulation; the registers are reached over the one
AXI4-Lite port, so that doorbells of several hosts that fall together follow each other.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from hw.spec.config import Config
from scin.errors import HangError
from scin.host.simulator import Simulator


@dataclass(frozen=True)
class HostModel:
    """``command_ns``: to create a command and put it into the ring, or the doorbell.
    ``access_ns``: one access to memory: from one poll to the next, or to release what was
    launched ahead."""

    command_ns: float = 100.0
    access_ns: float = 50.0

    def command_cycles(self, config: Config) -> float:
        return self.command_ns * config.isa.clock_MHz / 1000

    def access_cycles(self, config: Config) -> float:
        return self.access_ns * config.isa.clock_MHz / 1000


@dataclass
class Timeline:
    """Runs the simulation from event to event. Times are cycles since the timeline's start."""

    simulator: Simulator
    origin: int = field(init=False)
    _events: list[tuple[float, int, Callable[[], object]]] = field(default_factory=list)
    _order: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.origin = self.simulator.cycle

    @property
    def now(self) -> int:
        return self.simulator.cycle - self.origin

    def at(self, time: float, event: Callable[[], object]) -> None:
        heapq.heappush(self._events, (time, next(self._order), event))

    def run(self, *, limit: int) -> None:
        """Until nothing is left to happen."""
        while self._events:
            time, _, event = heapq.heappop(self._events)
            if time > limit:
                raise HangError(f"waited {limit} cycles for the DMA engines' signals")
            if time > self.now:
                self.simulator.step(round(time) - self.now)
            event()
