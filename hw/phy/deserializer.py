"""Words from the lanes into link flits: word alignment, and supervision of it."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.phy.frame import BITS_PER_SYMBOL, CHECK, FrameKind, Framing
from hw.phy.supervisor import BEAT_BITS
from hw.spec.link import wire_layout

STREAK = 8
"""Training frames in a row after which a lane counts as good."""

MOST_BAD = 4
"""Bad frames in a row after which alignment is lost."""


class Deserializer(wiring.Component):
    """Runs on the clock that comes with the data.

    Ports
    -----
    word : in, one symbol of every lane
    flit_valid, flit : out, a link flit, at most one per frame
    aligned : out, frames begin where they are looked for
    far_trained : out, the far end says that its receiver is trained
    lane_good : out, per lane, the last ``STREAK`` frames were training frames without an error
    error : out, toggles with a bad frame while aligned
    beat : out, toggles every ``2 ** BEAT_BITS`` cycles, to tell that the clock runs

    Alignment is found in training frames that all lanes show at once, so the lanes may differ
    by less than a symbol, and lost after ``MOST_BAD`` bad frames in a row: frames whose kind or
    checksum is wrong. Latency 3 cycles from the last word of a frame.
    """

    def __init__(self, framing: Framing):
        self._framing = framing
        super().__init__(
            {
                "word": In(framing.word_bits),
                "flit_valid": Out(1),
                "flit": Out(wire_layout(framing.config)),
                "aligned": Out(1),
                "far_trained": Out(1),
                "lane_good": Out(framing.lanes),
                "error": Out(1),
                "beat": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        framing = self._framing
        history = Signal(framing.bits)
        beat = Signal(BEAT_BITS + 1)
        m.d.sync += [
            history.eq(Cat(history[framing.word_bits :], self.word)),
            beat.eq(beat + 1),
            self.beat.eq(beat[-1]),
        ]
        untrained, trained = Signal(framing.lanes), Signal(framing.lanes)
        for lane in range(framing.lanes):
            self._watch_lane(m, history, lane, untrained[lane], trained[lane])
        all_untrained, all_trained = untrained.all(), trained.all()

        # A frame is whole in `history` when `phase` is 0, and judged a cycle later.
        phase = Signal(range(framing.symbols))
        m.d.sync += phase.eq(Mux(phase == framing.symbols - 1, 0, phase + 1))
        whole, judged = Signal(), Signal()
        m.submodules.check = check = CHECK(data_width=framing.body_bits).create()
        frame = data.View(framing.layout, history)
        taken = Signal(framing.layout)
        m.d.comb += [
            whole.eq(self.aligned & (phase == 0)),
            check.start.eq(1),
            check.valid.eq(whole),
            check.data.eq(history[: framing.body_bits]),
        ]
        m.d.sync += judged.eq(whole)
        with m.If(whole):
            m.d.sync += taken.eq(frame)
        intact, flit, speaks, good = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            intact.eq(check.crc == taken.check),
            flit.eq(intact & (taken.kind == FrameKind.FLIT)),
            speaks.eq(flit | (intact & (taken.kind == FrameKind.IDLE)) | all_trained),
            good.eq(speaks | all_untrained),
        ]
        m.d.sync += self.flit_valid.eq(judged & flit)
        with m.If(judged):
            m.d.sync += self.flit.eq(taken.flit)

        bad = Signal(range(MOST_BAD))
        with m.If(~self.aligned):
            m.d.sync += [bad.eq(0), self.far_trained.eq(0)]
            with m.If(all_untrained | all_trained):
                # The frame was whole a cycle ago.
                m.d.sync += [self.aligned.eq(1), phase.eq(2)]
        with m.Elif(judged):
            with m.If(good):
                m.d.sync += [bad.eq(0), self.far_trained.eq(speaks)]
            with m.Else():
                m.d.sync += [bad.eq(bad + 1), self.error.eq(~self.error)]
                with m.If(bad == MOST_BAD - 1):
                    m.d.sync += self.aligned.eq(0)
        return m

    def _watch_lane(self, m, history, lane, untrained, trained):
        """Does one lane show a training frame now, and has it done so again and again?"""
        framing = self._framing
        symbols = [
            history.word_select(k * framing.lanes + lane, BITS_PER_SYMBOL)
            for k in range(framing.symbols)
        ]
        for found, is_trained in ((untrained, False), (trained, True)):
            expected = framing.training_symbols(trained=is_trained)
            m.d.sync += found.eq(
                Cat(s == value for s, value in zip(symbols, expected, strict=True)).all()
            )
        since = Signal(range(framing.symbols + 1), name=f"since_{lane}")
        streak = Signal(range(STREAK + 1), name=f"streak_{lane}")
        seen = untrained | trained
        with m.If(seen):
            m.d.sync += since.eq(0)
            with m.If(since != framing.symbols - 1):
                m.d.sync += streak.eq(0)
            with m.Elif(streak != STREAK):
                m.d.sync += streak.eq(streak + 1)
        with m.Elif(since != framing.symbols):
            m.d.sync += since.eq(since + 1)
        with m.Else():
            m.d.sync += streak.eq(0)
        m.d.comb += self.lane_good[lane].eq(streak == STREAK)
