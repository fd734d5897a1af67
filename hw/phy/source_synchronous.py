"""A board-to-board link over ordinary pins: data lanes beside a forwarded clock."""

from amaranth import ClockDomain, ClockSignal, DomainRenamer, Module, Signal
from amaranth.lib import fifo, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from hw.fabric.phy import wire_signature
from hw.phy.deserializer import Deserializer
from hw.phy.frame import Framing
from hw.phy.serializer import Serializer
from hw.phy.supervisor import LinkStatus, LinkSupervisor
from hw.phy.training import Training
from hw.spec.link import wire_layout
from hw.stream.connect import connect_stream
from hw.stream.queue import Buffer

SETTLE_FRAMES = 24
"""A delay setting is tried for as long as so many frames take: a streak, and crossing domains."""

CROSSING_CYCLES = 9
"""Registers at both ends, the receiver's judgement, and the FIFO between the clocks."""


def frame_latency(framing: Framing) -> int:
    """Cycles from a flit that is offered to the same at the far end, without the cable: it
    waits for a frame to begin, at most as long as one takes, then is sent and taken whole."""
    return 2 * framing.symbols + CROSSING_CYCLES


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

    An end that is not trained sends training frames, whose marker says when it is; when both
    ends are, flits flow. So the ends may start in any order, and either notices when the other
    starts over: what was under way is lost then, ``drops`` counts it, and a request that waits
    for an answer ends with a timeout. Frames that fail their checksum are dropped and counted in
    ``errors``. The far clock may differ from ours by any amount up to 1 / ``symbols``: a flit
    crosses into ``sync`` through a FIFO that is read faster than frames arrive. Latency a frame
    to serialize, one to wait for its beginning at most, and about 8 cycles.
    """

    def __init__(self, framing: Framing):
        self._framing = framing
        super().__init__(
            {
                "i": In(wire_signature(framing.config)),
                "o": Out(wire_signature(framing.config)),
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
        m.submodules.offered = offered = Buffer(wire_layout(framing.config))
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

        m.submodules.supervisor = supervisor = LinkSupervisor()
        lane_good = Signal(framing.lanes)
        m.submodules.cross_lane_good = FFSynchronizer(deserializer.lane_good, lane_good)
        m.d.comb += [
            supervisor.receiver_aligned.eq(deserializer.aligned),
            supervisor.receiver_far_trained.eq(deserializer.far_trained),
            supervisor.receiver_error.eq(deserializer.error),
            supervisor.receiver_beat.eq(deserializer.beat),
            supervisor.trained.eq(training.trained),
            supervisor.state.eq(training.state),
            training.aligned.eq(supervisor.aligned),
            training.alive.eq(supervisor.alive),
            training.lane_good.eq(lane_good),
            serializer.sending.eq(supervisor.sending),
            self.status.eq(supervisor.status),
        ]
        return m
