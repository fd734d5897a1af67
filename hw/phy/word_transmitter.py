"""Link flits into words for a transceiver."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.fabric.phy import wire_signature
from hw.phy.frame import FrameKind
from hw.phy.serializer import Sending
from hw.phy.words import CHECK, WORD_BITS, Word, body_words, header
from hw.spec.config import Config


class WordTransmitter(wiring.Component):
    """Send headers; with ``sending`` at ``FLITS`` a flit behind one when there is one.

    Ports
    -----
    i : link in; a flit is taken with its header
    sending : in
    word : out, a register

    Runs on the transceiver's clock, a word per cycle; a flit takes ``frame_words`` cycles, its
    header leaves a cycle after it is taken.
    """

    def __init__(self, config: Config):
        self._config = config
        super().__init__(
            {"i": In(wire_signature(config)), "sending": In(Sending), "word": Out(Word)}
        )

    def elaborate(self, platform):
        m = Module()
        count = body_words(self._config)
        body = Signal(count * WORD_BITS)
        left = Signal(range(count + 2))
        m.submodules.check = check = CHECK(data_width=WORD_BITS).create()
        kind = Signal(FrameKind)
        with m.Switch(self.sending):
            with m.Case(Sending.FLITS):
                m.d.comb += kind.eq(Mux(self.i.valid, FrameKind.FLIT, FrameKind.IDLE))
            with m.Case(Sending.TRAINED):
                m.d.comb += kind.eq(FrameKind.TRAINED)
            with m.Default():
                m.d.comb += kind.eq(FrameKind.UNTRAINED)
        m.d.comb += [
            check.data.eq(body[:WORD_BITS]),
            check.start.eq(left == count + 1),
            check.valid.eq(left > 1),
        ]
        with m.If(left == 0):
            m.d.comb += self.i.ready.eq(self.sending == Sending.FLITS)
            with m.Switch(kind):
                for value in FrameKind:
                    with m.Case(value):
                        m.d.sync += self.word.data.eq(header(value))
            m.d.sync += self.word.control.eq(1)
            m.d.sync += body.eq(self.i.payload)
            with m.If(kind == FrameKind.FLIT):
                m.d.sync += left.eq(count + 1)
        with m.Else():
            m.d.sync += [
                self.word.data.eq(Mux(left == 1, check.crc, body[:WORD_BITS])),
                self.word.control.eq(0),
                body.eq(body >> WORD_BITS),
                left.eq(left - 1),
            ]
        return m
