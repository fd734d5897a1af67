"""Golden barrier: rounds, the arrivals for each, and what becomes of every arrival."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hw.spec.packet import ROUND_BITS, ROUNDS_AHEAD

ROUNDS = 1 << ROUND_BITS


@dataclass
class Counts:
    """Arrivals that started nothing, by kind."""

    late: int = 0
    doubled: int = 0
    stray: int = 0


@dataclass
class BarrierModel:
    """One barrier. Rounds are counted without end here, and named modulo ``ROUNDS`` outside.

    A caller takes one step per cycle, or, where order is all that counts, one per event with
    steps without events between them.
    """

    counts: Counts = field(default_factory=Counts)
    current: int = 0
    over: set[int] = field(default_factory=set)
    present: dict[int, set[int]] = field(default_factory=dict)
    """Endpoints that have arrived, by round."""
    holders: dict[int, int] = field(default_factory=dict)
    """The round that a controller holds."""

    def _absolute(self, number: int) -> int:
        """The round of this name that is nearest to the current one."""
        distance: int = (number - self.current) % ROUNDS
        return self.current + (distance if distance < ROUNDS // 2 else distance - ROUNDS)

    def _free(self, wanted: int) -> bool:
        """May an instruction claim this round?"""
        in_window = self.current <= wanted < self.current + ROUNDS_AHEAD
        return in_window and wanted not in self.over and wanted not in self.holders.values()

    def missing(self, controller: int, participants: set[int]) -> set[int]:
        """Participants that the instruction of ``controller``, which holds a round, waits for."""
        return participants - self.present.get(self.holders[controller], set())

    def step(
        self,
        *,
        arrivals: Iterable[tuple[int, int]] = (),
        claims: dict[int, int] | None = None,
        ends: dict[int, tuple[int, set[int]]] | None = None,
        begin: int | None = None,
    ) -> set[int]:
        """One cycle. ``arrivals``: (endpoint, round); ``claims``: round by controller; ``ends``:
        (round, participants) by controller, of an instruction that passes, fails, or was refused
        before it claimed its round; ``begin``: all is forgotten, and this round is current. Returns
        the controllers whose end is also their round's."""
        claims, ends = claims or {}, ends or {}
        leaves = self.current in self.over
        ending: dict[int, set[int]] = {}
        ended = set()
        for controller, (number, participants) in sorted(ends.items()):
            wanted = self._absolute(number)
            claimed = wanted in {self._absolute(other) for other in claims.values()}
            if controller in self.holders:
                wanted = self.holders[controller]
            elif not self._free(wanted) or claimed or wanted in ending:
                continue
            ending[wanted] = participants
            ended.add(controller)
        granted: dict[int, int] = {}
        for controller, number in sorted(claims.items()):
            wanted = self._absolute(number)
            if begin is None and self._free(wanted) and wanted not in granted.values():
                granted[controller] = wanted
        for endpoint, number in arrivals:
            self._arrive(endpoint, self._absolute(number), ending, begins=begin is not None)
        for controller in ends:
            self.holders.pop(controller, None)
        for wanted, participants in ending.items():
            self.counts.stray += len(self.present.pop(wanted, set()) - participants)
            self.over.add(wanted)
        self.holders |= granted
        if leaves:
            self.over.remove(self.current)
            self.current += 1
        if begin is not None:
            self.current = begin
            self.over, self.present = set(), {}
        return ended

    def _arrive(
        self, endpoint: int, wanted: int, ending: dict[int, set[int]], *, begins: bool
    ) -> None:
        there = self.present.get(wanted, set())
        if begins or wanted >= self.current + ROUNDS_AHEAD:
            self.counts.stray += 1
        elif endpoint in there:
            self.counts.doubled += 1
        elif wanted < self.current or wanted in self.over or wanted in ending:
            self.counts.late += 1
        else:
            self.present[wanted] = there | {endpoint}

    def settle(self) -> None:
        """Until every round that is over at the beginning of the window has left it."""
        while self.current in self.over:
            self.step()

    def register(self) -> tuple[int, int]:
        """The current round, and a mask of the open ones, from it on, that are over."""
        mask = sum(1 << wanted - self.current for wanted in self.over)
        return self.current % ROUNDS, mask
