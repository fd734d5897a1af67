"""hw/fabric/link*.py: whatever is lost on the way, every flit arrives once and in order; a
flipped bit is put right."""

from dataclasses import replace

from amaranth import Cat, Const, Module, Signal
from amaranth.hdl import Assert, Assume, Cover, ResetSignal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from cocotb_tests.support.formal import Claim
from hw.fabric.checksum import Correction, parities
from hw.fabric.link_receiver import LinkReceiver
from hw.fabric.link_transmitter import LinkTransmitter
from hw.spec.link import LinkParameters, check_bits, check_of

NUMBER_BITS = 4
SMALL = LinkParameters(
    flit=data.StructLayout({"number": NUMBER_BITS}),
    replay_flits=2,
    epoch_bits=1,
    checksum=None,
    corrects=False,
    repeat_cycles=3,
    silence_cycles=15,
)
"""The least there can be of everything; a word that comes is whole."""


CODED = replace(SMALL, corrects=True)
COVERED = 11
"""Bits of a word whose correction is proved by itself."""


class LossyLoop(wiring.Component):
    """One direction and its acknowledgements. Flits carry their numbers; the outside chooses
    when one is offered, which words of either direction are lost, and, where the link corrects,
    which bit of each word is flipped, if any."""

    def __init__(self, parameters: LinkParameters = SMALL, *, broken: bool = False):
        self._parameters = parameters
        self._broken = broken
        flips = range(parameters.word.size + 1)
        super().__init__({"offers": In(1), "lost": In(2), "flip": In(flips).array(2)})

    def elaborate(self, platform):
        m = Module()
        parameters = self._parameters
        m.submodules.near_out = near = LinkTransmitter(parameters)
        m.submodules.near_in = near_in = LinkReceiver(parameters)
        m.submodules.far_in = far = LinkReceiver(parameters)
        m.submodules.far_out = back = LinkTransmitter(parameters)
        given, taken, losses = Signal(NUMBER_BITS), Signal(NUMBER_BITS), Signal(3)
        m.d.comb += [
            Assume(~ResetSignal()),
            near.i.valid.eq(self.offers),
            near.i.payload.number.eq(given),
        ]
        for index, (source, sink) in enumerate(((near, far), (back, near_in))):
            flipped = (Const(1) << self.flip[index]) if parameters.corrects else 0
            m.d.comb += [
                source.o.ready.eq(1),
                sink.i.valid.eq(source.o.valid & ~self.lost[index]),
                sink.i.payload.as_value().eq(source.o.payload.as_value() ^ flipped),
            ]
        for out, into in ((near, near_in), (back, far)):
            m.d.comb += [
                out.heard.eq(into.heard),
                out.acknowledge.eq(into.far_acknowledge),
                out.nak_epoch.eq(into.far_nak_epoch),
                out.own_acknowledge.eq(into.acknowledge),
                out.own_nak_epoch.eq(into.nak_epoch),
                out.acknowledgement_pending.eq(into.acknowledgement_pending),
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
            Assert((given - taken)[:NUMBER_BITS] <= parameters.replay_flits + 1),
            Cover((taken == 2) & (losses == 2)),
            Cover(near.replays),
        ]
        return m


class OneFlip(wiring.Component):
    """Any word, and which of its bits is flipped, if any; the seeded bug: two of them."""

    def __init__(self, *, broken: bool = False):
        self._broken = broken
        super().__init__(
            {"word": In(COVERED), "flip": In(range(COVERED + check_bits(COVERED) + 1))}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.correction = correction = Correction(width=COVERED)
        added = len(correction.check)
        sealed = Cat(parities(self.word, lambda word: check_of(word, COVERED), added), self.word)
        came = sealed ^ (Const(1) << self.flip)[: len(sealed)] ^ int(self._broken)
        m.d.comb += [
            Cat(correction.check, correction.data).eq(came),
            Assert(correction.corrected == self.word),
            Assert(correction.flipped == (self.flip < len(sealed))),
            Cover(correction.flipped & (correction.corrected != correction.data)),
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
    ),
    Claim(
        "fabric/link.py with correction",
        "the same, whichever bit of each word is flipped besides",
        lambda: LossyLoop(CODED),
        lambda: LossyLoop(CODED, broken=True),
        depth=12,
        cover_depth=22,
        full_depth=20,
    ),
    Claim(
        "fabric/checksum.py Correction",
        "every word comes out as it went in, whichever one of its bits is flipped",
        OneFlip,
        lambda: OneFlip(broken=True),
        depth=1,
        cover_depth=1,
    ),
]
