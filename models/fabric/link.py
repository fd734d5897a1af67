"""Golden twin of one end of a link layer, flit by flit and without time.

What it sends is a legal choice of the hardware: where runs end is free, what a check flit says
is not. Flits are integers.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hw.spec.link import Control, LinkParameters
from hw.spec.packing import pack, unpack


@dataclass
class LinkModel:
    """One end: :meth:`send` flits, :meth:`run` makes words for the wire, :meth:`hear` takes
    those of the far end and returns the flits that may be passed on."""

    parameters: LinkParameters
    kept: deque[int] = field(default_factory=deque)
    """Flits that are not acknowledged, the oldest first."""
    oldest: int = 0
    """Number of the first of them."""
    sent: int = 0
    """Of these, how many have been sent in this round."""
    round: int = 0
    acknowledge: int = 0
    wanted: int = 0
    in_step: bool = True
    _heard: list[int] = field(default_factory=list)
    _flits: list[int] = field(default_factory=list)

    def send(self, flit: int) -> None:
        self.kept.append(flit)

    def run(self, flits: int) -> list[int]:
        """Up to so many of the flits that are to be sent, and the check flit behind them."""
        words = [self.kept[index] for index in range(self.sent, len(self.kept))][:flits]
        self.sent += len(words)
        return [*words, self._check_flit(words)]

    def _check_flit(self, words: list[int]) -> int:
        parameters = self.parameters
        numbers = 1 << parameters.sequence_bits
        fields = {
            "sequence": (self.oldest + self.sent) % numbers,
            "round": self.round,
            "acknowledge": self.acknowledge,
            "wanted": self.wanted,
        }
        flit = self._control(fields)
        return self._control(fields | {"crc": self._crc([*words, flit])})

    def _control(self, fields: dict[str, int]) -> int:
        flit = {"data": pack(self.parameters.check, fields)}
        layout = self.parameters.flit
        inner = pack(layout["flit"].shape, flit)
        return pack(layout, {"flit": inner, "channel": Control.CHECK.value, "credit": 1})

    def _crc(self, words: list[int]) -> int:
        algorithm = self.parameters.checksum
        assert algorithm is not None
        return algorithm(self.parameters.flit.size).compute(words)

    def hear(self, word: int) -> list[int]:
        """A word of the wire; after a check flit, the flits that it proves."""
        parameters = self.parameters
        outer = unpack(parameters.flit, word)
        if not (outer["credit"] and outer["channel"] == Control.CHECK.value):
            self._heard.append(word)
            return []
        flits, self._heard = self._heard, []
        body = unpack(parameters.flit["flit"].shape, outer["flit"])["data"]
        check = unpack(parameters.check, body & ((1 << parameters.check.size) - 1))
        crc_offset = parameters.flit["flit"].offset + parameters.check["crc"].offset
        blank = word & ~(((1 << parameters.check["crc"].width) - 1) << crc_offset)
        if self._crc([*flits, blank]) != check["crc"]:
            if self.in_step:
                self._complain()
            return []
        self._release(check["acknowledge"], check["wanted"])
        numbers = 1 << parameters.sequence_bits
        if check["round"] != self.wanted:
            return []
        if check["sequence"] != (self.acknowledge + len(flits)) % numbers:
            self._complain()
            return []
        self.acknowledge, self.in_step = check["sequence"], True
        return flits

    def _complain(self) -> None:
        self.wanted = (self.wanted + 1) % (1 << self.parameters.round_bits)
        self.in_step = False

    def _release(self, acknowledge: int, wanted: int) -> None:
        """Forget what has arrived; go back if the far end asks for it."""
        arrived = (acknowledge - self.oldest) % (1 << self.parameters.sequence_bits)
        if arrived <= self.sent:
            for _ in range(arrived):
                self.kept.popleft()
            self.oldest, self.sent = acknowledge, self.sent - arrived
        if wanted != self.round:
            self.round, self.sent = wanted, 0
