"""Words from a transceiver into link flits: alignment, and supervision of it."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.phy.frame import FrameKind
from hw.phy.supervisor import BEAT_BITS
from hw.phy.words import BYTE_BITS, CHECK, COMMA, WORD_BITS, WORD_BYTES, Word, body_words, header
from hw.spec.config import Config
from hw.spec.link import wire_layout

STREAK = 64
"""Headers in a row, without an error between them, after which the link counts as aligned."""

MOST_BAD = 4
"""Bad frames in a row after which it does not any more."""


class WordReceiver(wiring.Component):
    """Runs on the clock that the transceiver recovers.

    Ports
    -----
    word : in; bad : in, per byte, it was no symbol of the code
    flit_valid, flit : out, a link flit, at most one per frame
    aligned : out; far_trained : out, the far end says that its receiver is trained
    error : out, toggles with a bad frame while aligned; beat : out, toggles as time passes

    The transceiver finds symbols; here the two bytes of a word are put together as they were
    sent, by where the comma is. A frame is bad, and dropped, if its header is none, a byte of it
    is no symbol or a control symbol, or its CRC is wrong. Latency 4 cycles from a frame's last
    word.
    """

    def __init__(self, config: Config):
        self._config = config
        super().__init__(
            {
                "word": In(Word),
                "bad": In(WORD_BYTES),
                "flit_valid": Out(1),
                "flit": Out(wire_layout(config)),
                "aligned": Out(1),
                "far_trained": Out(1),
                "error": Out(1),
                "beat": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        beat = Signal(BEAT_BITS + 1)
        m.d.sync += [beat.eq(beat + 1), self.beat.eq(beat[-1])]
        word, wrong = self._put_together(m)

        kind, is_header = Signal(FrameKind), Signal()
        for value in FrameKind:
            with m.If((word.data == header(value)) & (word.control == 1) & ~wrong):
                m.d.comb += [kind.eq(value), is_header.eq(1)]

        count = body_words(self._config)
        body = Signal(count * WORD_BITS)
        left = Signal(range(count + 2))
        spoiled = Signal()
        m.submodules.check = check = CHECK(data_width=WORD_BITS).create()
        good, failed, closes, last = Signal(), Signal(), Signal(), Signal(WORD_BITS)
        ends, astray = Signal(), Signal()
        # A frame whose header is lost counts once, not once for each of its words.
        lost = Signal(range(count + 2))
        m.d.comb += [
            check.data.eq(word.data),
            check.start.eq(left == count + 1),
            check.valid.eq(left > 1),
            ends.eq(closes & ~spoiled & (check.crc == last)),
            astray.eq((left == 0) & ~is_header & (lost == 0)),
            failed.eq(astray | (closes & ~ends)),
            good.eq(ends | (is_header & (left == 0) & (kind != FrameKind.FLIT))),
        ]
        # The checksum is known a cycle after the last word of the body.
        m.d.sync += [closes.eq(left == 1), last.eq(word.data), self.flit_valid.eq(ends)]
        with m.If(left != 0):
            m.d.sync += [left.eq(left - 1), spoiled.eq(spoiled | wrong | word.control.any())]
        with m.Elif(is_header):
            m.d.sync += spoiled.eq(0)
            with m.If((kind == FrameKind.FLIT) & self.aligned):
                m.d.sync += left.eq(count + 1)
            with m.Else():
                m.d.sync += self.far_trained.eq(kind != FrameKind.UNTRAINED)
        with m.If(astray):
            m.d.sync += lost.eq(count + 1)
        with m.Elif((left == 0) & is_header):
            m.d.sync += lost.eq(0)
        with m.Elif(lost != 0):
            m.d.sync += lost.eq(lost - 1)
        with m.If(left > 1):
            m.d.sync += body.eq(Cat(body[WORD_BITS:], word.data))
        with m.If(ends):
            m.d.sync += self.flit.eq(body[: wire_layout(self._config).size])
        self._judge(m, good, failed)
        return m

    def _put_together(self, m):
        """The words as they were sent, a cycle later, and whether a byte was no symbol."""
        first, second = self.word.data[:BYTE_BITS], self.word.data[BYTE_BITS:]
        comma_first, comma_second, swapped = Signal(), Signal(), Signal()
        kept, kept_control, kept_bad = Signal(BYTE_BITS), Signal(), Signal()
        word, wrong = Signal(Word), Signal()
        m.d.comb += [
            comma_first.eq(self.word.control[0] & (first == COMMA) & ~self.bad[0]),
            comma_second.eq(self.word.control[1] & (second == COMMA) & ~self.bad[1]),
        ]
        with m.If(~self.aligned & (comma_first | comma_second)):
            m.d.sync += swapped.eq(comma_second)
        m.d.sync += [
            kept.eq(second),
            kept_control.eq(self.word.control[1]),
            kept_bad.eq(self.bad[1]),
            word.data.eq(Mux(swapped, Cat(kept, first), self.word.data)),
            word.control.eq(
                Mux(swapped, Cat(kept_control, self.word.control[0]), self.word.control)
            ),
            wrong.eq(Mux(swapped, kept_bad | self.bad[0], self.bad.any())),
        ]
        return word, wrong

    def _judge(self, m, good, failed):
        streak, bad = Signal(range(STREAK)), Signal(range(MOST_BAD))
        with m.If(~self.aligned):
            m.d.sync += bad.eq(0)
            with m.If(failed):
                m.d.sync += streak.eq(0)
            with m.Elif(good):
                m.d.sync += streak.eq(streak + 1)
                with m.If(streak == STREAK - 1):
                    m.d.sync += [self.aligned.eq(1), streak.eq(0)]
        with m.Elif(failed):
            m.d.sync += [bad.eq(bad + 1), self.error.eq(~self.error)]
            with m.If(bad == MOST_BAD - 1):
                m.d.sync += self.aligned.eq(0)
        with m.Elif(good):
            m.d.sync += bad.eq(0)
