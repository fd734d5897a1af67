"""A board-to-board link over ordinary pins: data lanes beside a forwarded clock."""

from amaranth import ClockDomain, ClockSignal, DomainRenamer, Module, Mux, Signal
from amaranth.lib import data, fifo, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from hw.fabric.phy import link_signature
from hw.phy.deserializer import BEAT_BITS, Deserializer
from hw.phy.frame import Framing
from hw.phy.serializer import Sending, Serializer
from hw.phy.training import Training, TrainingState
from hw.spec.packet import link_flit_layout
from hw.stream.connect import connect_stream
from hw.stream.queue import Buffer

SETTLE_FRAMES = 24
"""A delay setting is tried for as long as so many frames take: a streak, and crossing domains."""

COUNTER_BITS = 16


CROSSING_CYCLES = 9
"""Registers at both ends, the receiver's judgement, and the FIFO between the clocks."""


def frame_latency(framing: Framing) -> int:
    """Cycles from a flit that is offered to the same at the far end, without the cable: it
    waits for a frame to begin, at most as long as one takes, then is sent and taken whole."""
    return 2 * framing.symbols + CROSSING_CYCLES


class LinkStatus(data.Struct):
    """Of one board-to-board link; the low word of its registers."""

    up: 1
    trained: 1
    far_trained: 1
    aligned: 1
    clock: 1
    state: TrainingState
    reserved: 1
    drops: 8
    errors: COUNTER_BITS


class SourceSynchronousPhy(wiring.Component):
    """Both directions at one end of a board-to-board link.

    Parameters: ``framing``.

    Ports
    -----
    i : link in; ready once per frame while the link is up
    o : link out; at most a flit per frame
    word_out : out, a register, a symbol per lane, first bit of each in its low bit
    word_in, receive_clock : in, symbols of the far end and the clock that came with them
    delay_load, delay_move : out, for the delay elements of the lanes, see ``Training``
    status : out, see :class:`LinkStatus`
    eye : out, per lane, see ``Training``

    Whoever is not trained sends training frames, and says with their marker when it is; when
    both are, flits flow. So the ends may start in any order, and either notices when the other
    starts over: what was under way is lost then, ``drops`` counts it, and whoever waits for an
    answer ends with a timeout. Frames that fail their checksum are dropped and counted in
    ``errors``. The far clock may differ from ours by any amount up to 1 / ``symbols``: a flit
    crosses into ``sync`` through a FIFO that is read faster than frames arrive. Latency a frame
    to serialize, one to wait for its beginning at most, and about 8 cycles.
    """

    def __init__(self, framing: Framing):
        self._framing = framing
        super().__init__(
            {
                "i": In(link_signature(framing.config)),
                "o": Out(link_signature(framing.config)),
                "word_out": Out(framing.word_bits),
                "word_in": In(framing.word_bits),
                "receive_clock": In(1),
                "delay_load": Out(1),
                "delay_move": Out(framing.lanes),
                "status": Out(LinkStatus),
                "eye": Out(8).array(framing.lanes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        framing = self._framing
        # The far clock may stop and come back: nothing may hang on a reset from here.
        m.domains.receive = ClockDomain(reset_less=True, local=True)
        m.d.comb += ClockSignal("receive").eq(self.receive_clock)

        # The transmitter's choice does not wait for the state of training.
        m.submodules.offered = offered = Buffer(link_flit_layout(framing.config))
        m.submodules.serializer = serializer = Serializer(framing)
        connect_stream(m, self.i, offered.i)
        connect_stream(m, offered.o, serializer.i)
        m.submodules.deserializer = deserializer = DomainRenamer("receive")(Deserializer(framing))
        m.submodules.training = training = Training(
            lanes=framing.lanes, settle_cycles=SETTLE_FRAMES * framing.symbols
        )
        m.submodules.crossing = crossing = fifo.AsyncFIFO(
            width=len(deserializer.flit.as_value()), depth=4, w_domain="receive", r_domain="sync"
        )
        m.d.comb += [
            self.word_out.eq(serializer.word),
            deserializer.word.eq(self.word_in),
            crossing.w_data.eq(deserializer.flit),
            crossing.w_en.eq(deserializer.flit_valid),
            crossing.r_en.eq(1),
            self.o.valid.eq(crossing.r_rdy),
            self.o.payload.as_value().eq(crossing.r_data),
            self.delay_load.eq(training.delay_load),
            self.delay_move.eq(training.delay_move),
            *(outer.eq(inner) for outer, inner in zip(self.eye, training.eye, strict=True)),
        ]

        aligned, far_trained = Signal(), Signal()
        lane_good = Signal(framing.lanes)
        error, beat = Signal(), Signal()
        for name, source, target in (
            ("aligned", deserializer.aligned, aligned),
            ("far_trained", deserializer.far_trained, far_trained),
            ("lane_good", deserializer.lane_good, lane_good),
            ("error", deserializer.error, error),
            ("beat", deserializer.beat, beat),
        ):
            m.submodules[f"cross_{name}"] = FFSynchronizer(source, target)
        alive = self._watch_clock(m, beat)

        up, was_up = Signal(), Signal()
        status, errors, drops = self.status, Signal(COUNTER_BITS), Signal(8)
        last_error = Signal()
        m.d.sync += [was_up.eq(up), last_error.eq(error)]
        with m.If((error != last_error) & training.trained & ~errors.all()):
            m.d.sync += errors.eq(errors + 1)
        with m.If(was_up & ~up & ~drops.all()):
            m.d.sync += drops.eq(drops + 1)
        m.d.sync += serializer.sending.eq(
            Mux(up, Sending.FLITS, Mux(training.trained, Sending.TRAINED, Sending.UNTRAINED))
        )
        m.d.comb += [
            training.aligned.eq(aligned),
            training.lane_good.eq(lane_good),
            training.alive.eq(alive),
            up.eq(training.trained & far_trained),
            status.up.eq(up),
            status.trained.eq(training.trained),
            status.far_trained.eq(far_trained),
            status.aligned.eq(aligned),
            status.clock.eq(alive),
            status.state.eq(training.state),
            status.drops.eq(drops),
            status.errors.eq(errors),
        ]
        return m

    def _watch_clock(self, m, beat):
        """True while the far end's clock runs."""
        alive, last = Signal(), Signal()
        silent = Signal(BEAT_BITS + 2)
        m.d.sync += last.eq(beat)
        with m.If(beat != last):
            m.d.sync += [silent.eq(0), alive.eq(1)]
        with m.Elif(silent.all()):
            m.d.sync += alive.eq(0)
        with m.Else():
            m.d.sync += silent.eq(silent + 1)
        return alive
