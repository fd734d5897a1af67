"""Redundancy of a word: checksums, and a code that puts a flipped bit right."""

from __future__ import annotations

from collections.abc import Callable

from amaranth import Cat, Const, Module, Signal
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.lib.crc import Algorithm
from amaranth.lib.wiring import In, Out

from hw.spec.checks import at_least
from hw.spec.link import LinkParameters, check_bits, check_of, places


def parities(word, function: Callable[[int], int], bits: int) -> Value:
    """``function`` of ``word``, for one whose ``bits`` bits of result are each the parity of some
    bits of the word, or the opposite.

    Every bit is the parity of a masked word, which takes a simulator a fraction of the time that
    a chain of single bits does.
    """
    width = len(word)
    of_nothing = function(0)
    responses = [function(1 << place) ^ of_nothing for place in range(width)]
    result = []
    for bit in range(bits):
        mask = sum((response >> bit & 1) << place for place, response in enumerate(responses))
        result.append((word & Const(mask, width)).xor())
    return Cat(result) ^ Const(of_nothing, bits)


class Checksum(wiring.Component):
    """Parameters: ``algorithm``; ``width`` of the word, at least 1.

    Ports: ``data`` in; ``crc`` out, in the same cycle.

    Equal to what ``algorithm(width).compute([data])`` of Amaranth's library says.
    """

    def __init__(self, algorithm: Algorithm, *, width: int):
        self._algorithm = algorithm
        self._width = at_least("width", width, 1)
        super().__init__({"data": In(width), "crc": Out(algorithm.crc_width)})

    def elaborate(self, platform):
        m = Module()
        compute = self._algorithm(self._width).compute
        m.d.comb += self.crc.eq(parities(self.data, lambda word: compute([word]), len(self.crc)))
        return m


class Seal(wiring.Component):
    """What the sender adds to a link word.

    Parameters: ``parameters`` of the link; with neither checksum nor correction there is nothing
    to add.

    Ports: ``body`` in, the word above its redundancy; ``redundancy`` out, in the same cycle: the
    fields ``check`` and ``crc`` of the word.

    Check bits cover the CRC, but are computed beside it, not from it.
    """

    def __init__(self, parameters: LinkParameters):
        self._parameters = parameters
        added = parameters.word.size - parameters.body_bits
        super().__init__({"body": In(parameters.body_bits), "redundancy": Out(added)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.redundancy.eq(parities(self.body, self._of, len(self.redundancy)))
        return m

    def _of(self, body: int) -> int:
        parameters = self._parameters
        crc, bits = 0, parameters.crc_bits
        if parameters.checksum is not None:
            crc = parameters.checksum(parameters.body_bits).compute([body])
        if not parameters.corrects:
            return crc
        covered = bits + parameters.body_bits
        return check_of(body << bits | crc, covered) | crc << check_bits(covered)


class Correction(wiring.Component):
    """Put one flipped bit of a word right.

    Parameters: ``width`` of the word, check bits not counted; at least 1.

    Ports: ``data``, ``check`` in, as received; ``corrected`` out, the data with the bit flipped
    back; ``flipped`` out, a bit was flipped, which may be a check bit. In the same cycle.

    Two flipped bits are taken for a third one, or for none of them: only a checksum over
    ``corrected`` can tell.
    """

    def __init__(self, *, width: int):
        self._width = at_least("width", width, 1)
        super().__init__(
            {
                "data": In(width),
                "check": In(check_bits(width)),
                "corrected": Out(width),
                "flipped": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bits = len(self.check)
        place, at = Signal(bits), Signal(1 << bits)
        expected = parities(self.data, lambda word: check_of(word, self._width), bits)
        m.d.comb += [
            place.eq(expected ^ self.check),
            at.eq(Const(1) << place),
            self.flipped.eq(place != 0),
            self.corrected.eq(self.data ^ Cat(_runs(at, places(self._width)))),
        ]
        return m


def _runs(value, indices: list[int]) -> list[Value]:
    """Bits ``indices`` of ``value``, neighbours in one piece."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and runs[-1][1] == index:
            runs[-1][1] = index + 1
        else:
            runs.append([index, index + 1])
    return [value[first:last] for first, last in runs]
