"""A cyclic redundancy check of whole link flits."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.crc import Algorithm
from amaranth.lib.wiring import In, Out


class Checksum(wiring.Component):
    """Parameters: ``algorithm``; ``width`` of a word.

    Ports
    -----
    data : in, a word, counted while ``valid``
    start : in, that word is the first
    crc : out, of all words up to the one of the cycle before

    Equal to ``algorithm(width).create()`` of Amaranth's library, bit for bit. Every bit of the
    new checksum is the parity of a masked word here, not a chain of single bits: a simulator
    takes a fraction of the time.
    """

    def __init__(self, algorithm: Algorithm, *, width: int):
        self._algorithm = algorithm
        self._width = width
        super().__init__(
            {
                "data": In(width),
                "start": In(1),
                "valid": In(1),
                "crc": Out(algorithm.crc_width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        algorithm, width = self._algorithm, self._width
        bits = algorithm.crc_width
        state, before = Signal(bits, init=algorithm.initial_crc), Signal(bits)
        of_state, of_data = self._masks()
        parity = [
            (before & Const(of_state[bit], bits)).xor() ^ (self.data & Const(mask, width)).xor()
            for bit, mask in enumerate(of_data)
        ]
        m.d.comb += before.eq(Mux(self.start, Const(algorithm.initial_crc, bits), state))
        with m.If(self.valid):
            m.d.sync += state.eq(Cat(parity))
        shown = state[::-1] if algorithm.reflect_output else state
        m.d.comb += self.crc.eq(shown ^ Const(algorithm.xor_output, bits))
        return m

    def _masks(self) -> tuple[list[int], list[int]]:
        """Per bit of the new checksum: which bits of the old one, and of the word, it sums up."""
        bits = self._algorithm.crc_width

        def response(initial: int, word: int) -> int:
            linear = Algorithm(
                crc_width=bits,
                polynomial=self._algorithm.polynomial,
                initial_crc=initial,
                reflect_input=self._algorithm.reflect_input,
                reflect_output=False,
                xor_output=0,
            )
            return linear(self._width).compute([word])

        states = [response(1 << i, 0) for i in range(bits)]
        words = [response(0, 1 << i) for i in range(self._width)]
        return _columns(states, bits), _columns(words, bits)


def _columns(rows: list[int], bits: int) -> list[int]:
    return [sum((row >> bit & 1) << i for i, row in enumerate(rows)) for bit in range(bits)]
