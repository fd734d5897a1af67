"""hw/fabric/link*.py: whatever is lost on the way, every flit arrives once and in order."""

from amaranth import Module, Signal
from amaranth.hdl import Assert, Assume, Cover, ResetSignal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from cocotb_tests.support.formal import Claim
from hw.fabric.link_receiver import LinkReceiver
from hw.fabric.link_transmitter import LinkTransmitter
from hw.spec.link import LinkParameters

NUMBER_BITS = 4
SMALL = LinkParameters(
    flit=data.StructLayout({"number": NUMBER_BITS}),
    replay_flits=2,
    round_bits=1,
    checksum=None,
    repeat_cycles=3,
    silence_cycles=15,
)
"""The least there can be of everything; a word that comes is whole."""


class LossyLoop(wiring.Component):
    """One direction and its acknowledgements. Flits carry their numbers; the outside chooses
    when one is offered, and which words of either direction are lost."""

    def __init__(self, *, broken: bool = False):
        self._broken = broken
        super().__init__({"offers": In(1), "lost": In(2)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.near_out = near = LinkTransmitter(SMALL)
        m.submodules.near_in = near_in = LinkReceiver(SMALL)
        m.submodules.far_in = far = LinkReceiver(SMALL)
        m.submodules.far_out = back = LinkTransmitter(SMALL)
        given, taken, losses = Signal(NUMBER_BITS), Signal(NUMBER_BITS), Signal(3)
        m.d.comb += [
            Assume(~ResetSignal()),
            near.i.valid.eq(self.offers),
            near.i.payload.number.eq(given),
        ]
        for source, sink, lost in ((near, far, self.lost[0]), (back, near_in, self.lost[1])):
            m.d.comb += [
                source.o.ready.eq(1),
                sink.i.valid.eq(source.o.valid & ~lost),
                sink.i.payload.eq(source.o.payload),
            ]
        for out, into in ((near, near_in), (back, far)):
            m.d.comb += [
                out.heard.eq(into.heard),
                out.acknowledge.eq(into.far_acknowledge),
                out.wanted.eq(into.far_wanted),
                out.own_acknowledge.eq(into.acknowledge),
                out.own_wanted.eq(into.wanted),
                out.news.eq(into.news),
            ]
        if self._broken:
            # The seeded bug: whatever number comes is taken for the next.
            m.d.comb += far.i.payload.sequence.eq(far.acknowledge)
        m.d.sync += [
            given.eq(given + (near.i.valid & near.i.ready)),
            taken.eq(taken + far.o.valid),
            losses.eq(losses + (near.o.valid & self.lost[0] & (losses != 7))),
        ]
        m.d.comb += [
            Assert(~far.o.valid | (far.o.payload.number == taken)),
            # No more is under way than is kept: nothing that may be needed again is given up.
            Assert((given - taken)[:NUMBER_BITS] <= SMALL.replay_flits + 1),
            Cover((taken == 2) & (losses == 2)),
            Cover(near.replays),
        ]
        return m


CLAIMS = [
    Claim(
        "fabric/link.py",
        "in order and exactly once, whichever words of either direction are lost",
        LossyLoop,
        lambda: LossyLoop(broken=True),
        depth=14,
        cover_depth=18,
        full_depth=24,
    )
]
