"""Golden waits of an endpoint: one per barrier, each until its flag, its timeout or its end."""

from __future__ import annotations

from dataclasses import dataclass, field

from hw.spec.packet import FlagWord
from hw.spec.status import Status


@dataclass
class Wait:
    """The latest wait at one barrier."""

    waiting: bool = False
    round: int = 0
    status: Status = Status.OK
    identifier: int = 0


@dataclass
class SyncModel:
    """The waits of one endpoint. ``sent`` are its arrivals: (barrier, round), in any order."""

    barriers: int
    waits: list[Wait] = field(init=False)
    sent: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.waits = [Wait() for _ in range(self.barriers)]

    def arrive(self, sync_id: int, number: int) -> bool:
        """False if it is refused: there is no such barrier, or it waits there already."""
        if sync_id >= self.barriers or self.waits[sync_id].waiting:
            return False
        wait = self.waits[sync_id]
        wait.waiting, wait.round = True, number
        self.sent.append((sync_id, number))
        return True

    def cancel(self, sync_id: int) -> bool:
        """False if it is refused: it does not wait there."""
        return self._end(sync_id, Status.CANCELLED)

    def expire(self, sync_id: int) -> bool:
        """The timeout of a wait."""
        return self._end(sync_id, Status.FLAG_TIMEOUT)

    def _end(self, sync_id: int, status: Status) -> bool:
        if sync_id >= self.barriers or not self.waits[sync_id].waiting:
            return False
        self.waits[sync_id].waiting = False
        self.waits[sync_id].status = status
        return True

    def look(self, sync_id: int, word: int) -> bool:
        """A poll reads the flag ``word``: does that end the wait?"""
        wait, flag = self.waits[sync_id], FlagWord.unpack(word)
        if not (wait.waiting and flag.valid and flag.round == wait.round):
            return False
        wait.waiting = False
        wait.status, wait.identifier = Status(flag.status), flag.identifier
        return True
