"""hw/dma/segmenter.py: what is told to stop, stops, however long its command is."""

from amaranth import Module, Mux, Signal
from amaranth.hdl import Assert, Assume, Cover, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from cocotb_tests.support.formal import Claim
from hw.dma.segmenter import Segmenter
from hw.spec.config import load
from hw.spec.dma import Command

CONFIG = load("tiny", {"endpoint.windows": 1})
MOST_JOBS = 2
"""Handed out after the stop: a segment, and its second destination."""
MOST_CYCLES = 4
"""Until it is idle, where both are taken at once."""


class StoppedSegmenter(wiring.Component):
    """Any command; parts behind that take jobs whenever they like; a stop at any time, for good."""

    def __init__(self, *, deaf: bool = False):
        self._deaf = deaf
        super().__init__(
            {
                "command": In(Command.layout()),
                "offers": In(1),
                "takes": In(1),
                "stop": In(1),
                "done": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.segmenter = segmenter = Segmenter(CONFIG, identity=0)
        stopped, busy_before = Signal(), Signal()
        after, waited = Signal(4), Signal(4)
        given = segmenter.job.valid & segmenter.job.ready
        m.d.sync += stopped.eq(stopped | self.stop)
        m.d.comb += [
            Assume(~ResetSignal()),
            segmenter.i.payload.command.eq(self.command),
            # As the sequencer, which begins nothing more once something failed.
            segmenter.i.valid.eq(self.offers & ~stopped),
            segmenter.job.ready.eq(self.takes),
            segmenter.read.ready.eq(self.takes),
            segmenter.word_done.eq(self.done),
            segmenter.stop.eq(stopped & (not self._deaf)),
        ]
        with m.If(stopped):
            m.d.sync += [
                after.eq(after + (given & ~after.all())),
                waited.eq(waited + (self.takes & ~waited.all())),
                busy_before.eq(segmenter.busy),
            ]
        m.d.comb += [
            Assert(after <= MOST_JOBS),
            Assert(Mux(waited > MOST_CYCLES, ~segmenter.busy, 1)),
            Cover(stopped & (after == MOST_JOBS)),
            Cover(busy_before & ~segmenter.busy & (after == 1)),
        ]
        return m


CLAIMS = [
    Claim(
        "dma/segmenter.py",
        "once stopped, hands out a segment and its second destination at most, then is idle",
        StoppedSegmenter,
        lambda: StoppedSegmenter(deaf=True),
        depth=12,
        cover_depth=10,
        full_depth=20,
    )
]
