"""A cyclic redundancy check of one word."""

from __future__ import annotations

from amaranth import Cat, Const, Module
from amaranth.lib import wiring
from amaranth.lib.crc import Algorithm
from amaranth.lib.wiring import In, Out


class Checksum(wiring.Component):
    """Parameters: ``algorithm``; ``width`` of the word.

    Ports: ``data`` in; ``crc`` out, in the same cycle.

    Equal to what ``algorithm(width).compute([data])`` of Amaranth's library says. Every bit of
    the checksum is the parity of a masked word, which takes a simulator a fraction of the time
    that the library's chain of single bits does.
    """

    def __init__(self, algorithm: Algorithm, *, width: int):
        self._algorithm = algorithm
        self._width = width
        super().__init__({"data": In(width), "crc": Out(algorithm.crc_width)})

    def elaborate(self, platform):
        m = Module()
        compute = self._algorithm(self._width).compute
        of_nothing = compute([0])
        # A checksum is linear in the word, but for what it says of zero.
        responses = [compute([1 << place]) ^ of_nothing for place in range(self._width)]
        parities = []
        for bit in range(self._algorithm.crc_width):
            mask = sum((word >> bit & 1) << place for place, word in enumerate(responses))
            parities.append((self.data & Const(mask, self._width)).xor())
        m.d.comb += self.crc.eq(Cat(parities) ^ Const(of_nothing, len(parities)))
        return m
