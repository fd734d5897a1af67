"""Golden twin of one end of a link layer, word by word and without time.

When a word is sent is the hardware's choice; what it says is not. Flits and words are integers.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hw.spec.link import LinkParameters, check_of, places
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
    """Of these, how many have been sent since the last replay began."""
    replay_epoch: int = 0
    acknowledge: int = 0
    nak_epoch: int = 0

    def send(self, flit: int) -> None:
        self.kept.append(flit)

    def word(self) -> int:
        """With the next flit, unless as many as may be are under way, or none is left."""
        valid = self.sent < min(len(self.kept), self.parameters.replay_flits)
        fields = {
            "sequence": (self.oldest + self.sent) % self._numbers,
            "replay_epoch": self.replay_epoch,
            "acknowledge": self.acknowledge,
            "nak_epoch": self.nak_epoch,
            "valid": valid,
            "flit": self.kept[self.sent] if valid else 0,
        }
        self.sent += valid
        return self._sealed(pack(self.parameters.word, fields))

    def hear(self, word: int) -> int | None:
        word = self._corrected(word)
        found = unpack(self.parameters.word, word)
        if found["crc"] != self._crc(word >> self._above_crc):
            return None
        self._release(found["acknowledge"], found["nak_epoch"])
        if found["replay_epoch"] != self.nak_epoch:
            return None
        if found["sequence"] != self.acknowledge:
            self.nak_epoch = (self.nak_epoch + 1) % (1 << self.parameters.epoch_bits)
            return None
        if not found["valid"]:
            return None
        self.acknowledge = (self.acknowledge + 1) % self._numbers
        flit: int = found["flit"]
        return flit

    @property
    def _numbers(self) -> int:
        count: int = 1 << self.parameters.sequence_bits
        return count

    @property
    def _above_crc(self) -> int:
        bits: int = self.parameters.word.size - self.parameters.body_bits
        return bits

    def _crc(self, body: int) -> int:
        algorithm = self.parameters.checksum
        assert algorithm is not None
        checksum: int = algorithm(self.parameters.body_bits).compute([body])
        return checksum

    def _sealed(self, word: int) -> int:
        """``word`` with its checksum, and then its check bits."""
        layout = self.parameters.word
        word |= self._crc(word >> self._above_crc) << layout["crc"].offset
        return word | self._misfit(word)

    def _corrected(self, word: int) -> int:
        """A flipped bit flipped back."""
        wrong = self._misfit(word)
        known = places(self.parameters.crc_bits + self.parameters.body_bits)
        if wrong not in known:
            return word
        check: int = self.parameters.word["crc"].offset
        return word ^ 1 << check + known.index(wrong)

    def _misfit(self, word: int) -> int:
        """What the places of all bits that are set add up to."""
        bits = self.parameters.crc_bits + self.parameters.body_bits
        check: int = self.parameters.word["crc"].offset
        return check_of(word >> check, bits) ^ word & (1 << check) - 1

    def _release(self, acknowledge: int, nak_epoch: int) -> None:
        """Forget what has arrived; go back if the far end asks for it."""
        arrived = (acknowledge - self.oldest) % self._numbers
        if arrived <= self.sent:
            for _ in range(arrived):
                self.kept.popleft()
            self.oldest, self.sent = acknowledge, self.sent - arrived
        if nak_epoch != self.replay_epoch:
            self.replay_epoch, self.sent = nak_epoch, 0
