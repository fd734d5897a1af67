"""Which round of a barrier an instruction waits for, and which one an endpoint arrives for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hw.spec.packet import ROUND_BITS
from hw.spec.registers import SWITCH

ROUNDS = 1 << ROUND_BITS
REMEMBERED = 64
"""Rounds of a barrier whose arrivals a host remembers: enough to tell a late arrival."""


def ahead(number: int, current: int) -> int:
    """How far a round is ahead of the current one; negative: behind."""
    distance: int = (number - current) % ROUNDS
    return distance - ROUNDS if distance >= ROUNDS // 2 else distance


@dataclass
class Round:
    """A round that an instruction was submitted for, or that an endpoint has arrived for."""

    number: int
    participants: int
    arrived: set[int] = field(default_factory=set)


class BarrierRounds:
    """A host's count of the rounds of one barrier. ``read`` reads its register ROUND."""

    def __init__(self, read: Callable[[], int]) -> None:
        self._read = read
        current, over = self._state()
        self.next = current
        while over >> ahead(self.next, current) & 1:
            self.next = (self.next + 1) % ROUNDS
        self._submitted: deque[Round] = deque(maxlen=REMEMBERED)
        self._early: dict[int, set[int]] = {}
        """Endpoints that have arrived for rounds to come."""

    def _state(self) -> tuple[int, int]:
        """The current round, and a mask of those from it on that are over."""
        state = SWITCH["ROUND"].unpack(self._read())
        return state["current"], state["over"]

    def submit(self, participants: int, number: int | None = None) -> int:
        """The round of an instruction, by default the one after the latest."""
        number = self.next if number is None else number
        self.next = (number + 1) % ROUNDS
        arrived = self._early.pop(number, set())
        self._submitted.append(Round(number, participants, arrived))
        return number

    def latest(self) -> int:
        """The round of the latest instruction, for one that only tells of its end; the next one
        if there was none."""
        return self._submitted[-1].number if self._submitted else self.next

    def arrive(self, endpoint: int, number: int | None = None) -> int:
        """The round that ``endpoint`` arrives for. By default the oldest one submitted that is
        not over and that it has not arrived for; else the latest one that is over without it,
        which is a late arrival; else the next one to come."""
        if number is None:
            number = self._missing(endpoint)
        for item in self._submitted:
            if item.number == number:
                item.arrived.add(endpoint)
                return number
        self._early.setdefault(number, set()).add(endpoint)
        return number

    def _missing(self, endpoint: int) -> int:
        expected = [
            item.number
            for item in self._submitted
            if item.participants >> endpoint & 1 and endpoint not in item.arrived
        ]
        if expected:
            current, over = self._state()
            distances = {number: ahead(number, current) for number in expected}
            is_open = [
                number
                for number in expected
                if distances[number] >= 0 and not over >> distances[number] & 1
            ]
            return is_open[0] if is_open else expected[-1]
        number = self.next
        while endpoint in self._early.get(number, ()):
            number = (number + 1) % ROUNDS
        return number

    def restart(self, number: int) -> None:
        """The barrier was told to begin anew with this round."""
        self.next = number
        self._submitted.clear()
        self._early.clear()
