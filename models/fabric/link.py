"""Golden twin of one end of a link layer, word by word and without time.

When a word is sent is the hardware's choice; what it says is not. Flits and words are integers.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hw.spec.link import LinkParameters
from hw.spec.packing import pack, unpack


@dataclass
class LinkModel:
    """One end: :meth:`send` flits, :meth:`word` makes the next word, :meth:`hear` takes one of
    the far end and returns the flit to be passed on."""

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

    def send(self, flit: int) -> None:
        self.kept.append(flit)

    def word(self) -> int:
        """With the next flit, unless as many as may be are under way, or none is left."""
        valid = self.sent < min(len(self.kept), self.parameters.replay_flits)
        fields = {
            "sequence": (self.oldest + self.sent) % self._numbers,
            "round": self.round,
            "acknowledge": self.acknowledge,
            "wanted": self.wanted,
            "valid": valid,
            "flit": self.kept[self.sent] if valid else 0,
        }
        self.sent += valid
        word = pack(self.parameters.word, fields)
        return word | self._crc(word)

    def hear(self, word: int) -> int | None:
        found = unpack(self.parameters.word, word)
        if found["crc"] != self._crc(word):
            return None
        self._release(found["acknowledge"], found["wanted"])
        if found["round"] != self.wanted:
            return None
        if found["sequence"] != self.acknowledge:
            self.wanted = (self.wanted + 1) % (1 << self.parameters.round_bits)
            return None
        if not found["valid"]:
            return None
        self.acknowledge = (self.acknowledge + 1) % self._numbers
        return found["flit"]

    @property
    def _numbers(self) -> int:
        return 1 << self.parameters.sequence_bits

    def _crc(self, word: int) -> int:
        """Of everything above the field of the checksum."""
        algorithm = self.parameters.checksum
        assert algorithm is not None
        width = self.parameters.word.size - algorithm.crc_width
        return algorithm(width).compute([word >> algorithm.crc_width])

    def _release(self, acknowledge: int, wanted: int) -> None:
        """Forget what has arrived; go back if the far end asks for it."""
        arrived = (acknowledge - self.oldest) % self._numbers
        if arrived <= self.sent:
            for _ in range(arrived):
                self.kept.popleft()
            self.oldest, self.sent = acknowledge, self.sent - arrived
        if wanted != self.round:
            self.round, self.sent = wanted, 0
