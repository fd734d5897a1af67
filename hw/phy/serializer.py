"""Link flits into words for the lanes."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from hw.fabric.phy import wire_signature
from hw.phy.frame import CHECK, FrameKind, Framing


class Sending(enum.IntEnum, shape=2):
    """What frames a link sends."""

    UNTRAINED = 0
    TRAINED = 1
    FLITS = 2


class Serializer(wiring.Component):
    """Send a frame every ``framing.symbols`` cycles.

    Ports
    -----
    i : link in; a flit is taken when a frame begins, if ``sending`` allows flits
    sending : in
    word : out, a register, ``framing.word_bits``, one symbol of every lane

    A flit waits for the next frame; its first symbol leaves one cycle after it is taken.
    """

    def __init__(self, framing: Framing):
        self._framing = framing
        super().__init__(
            {
                "i": In(wire_signature(framing.config)),
                "sending": In(Sending),
                "word": Out(framing.word_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        framing = self._framing
        m.submodules.check = check = CHECK(data_width=framing.body_bits).create()
        position = Signal(range(framing.symbols))
        begins, inserts = Signal(), Signal()
        frame = Signal(framing.bits)
        kind = Signal(FrameKind)
        body = Cat(kind, Mux(kind == FrameKind.FLIT, self.i.payload.as_value(), 0))
        training = [
            Const(framing.training_frame(trained=trained), framing.bits)
            for trained in (False, True)
        ]
        flits = self.sending == Sending.FLITS
        m.d.comb += [
            begins.eq(position == framing.symbols - 1),
            kind.eq(Mux(self.i.valid, FrameKind.FLIT, FrameKind.IDLE)),
            self.i.ready.eq(begins & flits),
            check.start.eq(1),
            check.valid.eq(begins & flits),
            check.data.eq(body),
            self.word.eq(frame[: framing.word_bits]),
        ]
        m.d.sync += [
            position.eq(Mux(begins, 0, position + 1)),
            inserts.eq(begins & flits),
            frame.eq(frame >> framing.word_bits),
        ]
        with m.If(begins):
            with m.Switch(self.sending):
                with m.Case(Sending.UNTRAINED):
                    m.d.sync += frame.eq(training[0])
                with m.Case(Sending.TRAINED):
                    m.d.sync += frame.eq(training[1])
                with m.Default():
                    m.d.sync += frame.eq(body)
        # The checksum is there a cycle after its frame has begun.
        place = data.Layout.cast(framing.layout)["check"].offset - framing.word_bits
        with m.If(inserts):
            m.d.sync += frame[place : place + CHECK.crc_width].eq(check.crc)
        return m
