"""hw/stream/arbiter.py, hw/fabric/merge.py, hw/switch/path.py: no requester starves."""

from amaranth import Cat, Module, Signal
from amaranth.hdl import Assert, Assume, Cover, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from cocotb_tests.support.formal import Claim
from hw.fabric.merge import PacketArbiter
from hw.spec.config import load
from hw.stream.arbiter import RoundRobin, StreamArbiter
from hw.switch.path import SharedPath

COUNT = 4
CONFIG = load("tiny")


class Fairness(wiring.Component):
    """Free requests; ``waited`` counts the advances that passed requester 2 by."""

    def __init__(self, *, broken: bool = False):
        self._broken = broken
        super().__init__({"requests": In(COUNT), "advance": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.turn = turn = RoundRobin(COUNT)
        waited = Signal(4)
        m.d.comb += [
            turn.requests.eq(self.requests),
            # The seeded bug: turns never move, so the lowest requester always wins.
            turn.advance.eq(0 if self._broken else self.advance),
            Assume(~ResetSignal()),
            Assert((turn.grant & ~turn.requests) == 0),
            Assert((turn.grant & (turn.grant - 1))[:COUNT] == 0),
            Assert(turn.grant.any() == turn.requests.any()),
            Assert(waited < COUNT),
            Cover(waited == COUNT - 1),
        ]
        with m.If(~self.requests[2] | (turn.grant[2] & self.advance)):
            m.d.sync += waited.eq(0)
        with m.Elif(self.advance):
            m.d.sync += waited.eq(waited + 1)
        return m


class StreamFairness(wiring.Component):
    """Sources that offer what they like for as long as they must; an item names its source."""

    def __init__(self, *, broken: bool = False):
        self._broken = broken
        super().__init__({"offers": In(COUNT), "takes": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.merge = merge = StreamArbiter(2, count=COUNT)
        valid, waited = Signal(COUNT), Signal(4)
        moves = Signal()
        for index, source in enumerate(merge.i):
            m.d.comb += [source.valid.eq(valid[index]), source.payload.eq(index)]
            m.d.sync += valid[index].eq((valid[index] & ~source.ready) | self.offers[index])
        m.d.comb += [
            Assume(~ResetSignal()),
            # The seeded bug: the output is taken to move whenever it is valid.
            merge.o.ready.eq(self.takes),
            moves.eq(merge.o.valid & (1 if self._broken else merge.o.ready)),
            Assert(~moves | (valid.bit_select(merge.o.payload, 1) == 1)),
            Assert(~moves | Cat(source.ready for source in merge.i).bit_select(merge.o.payload, 1)),
            Assert(waited <= COUNT),
            Cover(waited == COUNT - 1),
        ]
        with m.If(~valid[2] | (moves & (merge.o.payload == 2))):
            m.d.sync += waited.eq(0)
        with m.Elif(moves):
            m.d.sync += waited.eq(waited + 1)
        return m


class PacketFairness(wiring.Component):
    """Packets of any length; the seeded bug: their ends are not told."""

    SENDERS = 3

    def __init__(self, *, broken: bool = False):
        self._broken = broken
        super().__init__({"valid": In(self.SENDERS), "last": In(self.SENDERS), "takes": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.merge = merge = PacketArbiter(CONFIG, count=self.SENDERS)
        inside, owner, waited = Signal(), Signal(2), Signal(3)
        moves = merge.o.valid & merge.o.ready
        for index, source in enumerate(merge.i):
            m.d.comb += [
                source.valid.eq(self.valid[index]),
                source.payload.last.eq(0 if self._broken else self.last[index]),
                source.payload.data.eq(index),
            ]
            # An offer stays as it is until it is taken.
            before, before_last = Signal(), Signal()
            m.d.sync += [
                before.eq(source.valid & ~source.ready),
                before_last.eq(self.last[index]),
            ]
            m.d.comb += Assume(~before | (self.valid[index] & (self.last[index] == before_last)))
        m.d.comb += [
            Assume(~ResetSignal()),
            merge.o.ready.eq(self.takes),
            Assert(~(moves & inside) | (merge.o.payload.data[:2] == owner)),
            Assert(waited <= self.SENDERS),
            Cover(waited == self.SENDERS - 1),
        ]
        with m.If(moves):
            m.d.sync += [inside.eq(~self._ends(merge)), owner.eq(merge.o.payload.data[:2])]
        with m.If(~self.valid[1] | (moves & (merge.o.payload.data[:2] == 1))):
            m.d.sync += waited.eq(0)
        with m.Elif(moves & self._ends(merge)):
            m.d.sync += waited.eq(waited + 1)
        return m

    def _ends(self, merge):
        return self.last.bit_select(merge.o.payload.data[:2], 1)


class PathFairness(wiring.Component):
    """Inputs that stay able until they move; the seeded bug: one that does not."""

    INPUTS = 3
    BOUND = 3 * INPUTS

    def __init__(self, *, broken: bool = False):
        self._broken = broken
        super().__init__({"comes": In(self.INPUTS)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.path = path = SharedPath(CONFIG, count=self.INPUTS)
        able, waited = Signal(self.INPUTS), Signal(5)
        m.d.sync += able.eq((able & ~path.moves) | self.comes)
        m.d.comb += [
            Assume(~ResetSignal()),
            path.able.eq(self.comes if self._broken else able),
            Assert((path.moves & (path.moves - 1))[: self.INPUTS] == 0),
            Assert((path.moves & ~path.able) == 0),
            Assert(waited <= self.BOUND),
            Cover(path.moves[2] & able.all()),
        ]
        with m.If(~able[1] | path.moves[1]):
            m.d.sync += waited.eq(0)
        with m.Else():
            m.d.sync += waited.eq(waited + 1)
        return m


CLAIMS = [
    Claim(
        "stream/arbiter.py RoundRobin",
        f"one grant, only to a requester; none is passed by more than {COUNT - 1} times",
        Fairness,
        lambda: Fairness(broken=True),
        depth=20,
        cover_depth=10,
        full_depth=40,
    ),
    Claim(
        "stream/arbiter.py StreamArbiter",
        f"only what is offered moves; no source is passed by more than {COUNT} times",
        StreamFairness,
        lambda: StreamFairness(broken=True),
        depth=12,
        cover_depth=10,
        full_depth=24,
    ),
    Claim(
        "fabric/merge.py PacketArbiter",
        "packets stay whole; no sender waits longer than one packet of each other sender, and one "
        "more",
        PacketFairness,
        lambda: PacketFairness(broken=True),
        depth=12,
        cover_depth=10,
        full_depth=20,
    ),
    Claim(
        "switch/path.py SharedPath",
        f"one input moves, only if able; none waits for more than {PathFairness.BOUND} cycles",
        PathFairness,
        lambda: PathFairness(broken=True),
        depth=14,
        cover_depth=12,
        full_depth=30,
    ),
]
