"""hw/stream: what goes in comes out, once, in order, and levels tell how much is there."""

from amaranth import Module, Signal
from amaranth.hdl import Assert, Assume, Cover, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from cocotb_tests.support.formal import Claim
from hw.stream.queue import Buffer, LightRegister, Queue, Register
from hw.stream.shared_queues import SharedQueues

WIDTH = 2
COUNT_BITS = 4


def follow(m, *, watch, enters, leaves, payload, out):
    """One item, whichever ``watch`` names as it enters, is followed: how many are before it is
    counted, and when none is, it must be what ``out`` offers. Returns how many items are inside,
    and whether the one that was followed has left."""
    inside, ahead = Signal(COUNT_BITS), Signal(COUNT_BITS)
    watching, seen, kept = Signal(), Signal(), Signal(WIDTH)
    m.d.comb += [
        Assert(~out.valid | (inside != 0)),
        Assert(~watching | (ahead < inside)),
        Assert(~(watching & (ahead == 0) & out.valid) | (out.payload == kept)),
    ]
    m.d.sync += inside.eq(inside + enters - leaves)
    with m.If(enters & watch & ~watching & ~seen):
        m.d.sync += [watching.eq(1), kept.eq(payload), ahead.eq(inside - leaves)]
    with m.If(watching & leaves):
        m.d.sync += ahead.eq(ahead - 1)
        with m.If(ahead == 0):
            m.d.sync += [watching.eq(0), seen.eq(1)]
    return inside, seen


class Order(wiring.Component):
    """A stream part between free ends."""

    def __init__(self, part, *, places: int, broken: bool = False):
        self._part = part
        self._places = places
        self._broken = broken
        super().__init__({"payload": In(WIDTH), "valid": In(1), "takes": In(1), "watch": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.part = part = self._part
        inside, seen = follow(
            m,
            watch=self.watch,
            enters=part.i.valid & part.i.ready,
            leaves=part.o.valid & part.o.ready,
            payload=self.payload,
            out=part.o,
        )
        m.d.comb += [
            Assume(~ResetSignal()),
            part.i.valid.eq(self.valid),
            # The seeded bug: a bit is flipped on the way in.
            part.i.payload.eq(self.payload ^ int(self._broken)),
            part.o.ready.eq(self.takes),
            Assert(inside <= self._places),
            Cover(inside == self._places),
            Cover(seen & (inside == 0)),
        ]
        if hasattr(part, "level"):
            m.d.comb += Assert(part.level == inside)
        return m


class SharedOrder(wiring.Component):
    """One queue among several, while the others are fed as well."""

    DEPTHS = (2, 1)

    def __init__(self, *, broken: bool = False):
        self._broken = broken
        super().__init__({"payload": In(WIDTH), "enters": In(2), "takes": In(2), "watch": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.part = part = SharedQueues(WIDTH, depths=list(self.DEPTHS))
        out, depth = part.o[0], self.DEPTHS[0]
        stored = Signal()
        inside, seen = follow(
            m,
            watch=self.watch,
            enters=stored,
            leaves=out.valid & out.ready,
            payload=self.payload,
            out=out,
        )
        m.d.comb += [
            Assume(~ResetSignal()),
            Assume(self.enters != 3),
            part.payload.eq(self.payload ^ int(self._broken)),
            part.enters.eq(self.enters),
            part.o[0].ready.eq(self.takes[0]),
            part.o[1].ready.eq(self.takes[1]),
            stored.eq(self.enters[0] & (inside != depth)),
            Assert(part.level[0] == inside),
            Assert(part.level[1] <= self.DEPTHS[1]),
            Cover((inside == depth) & (part.level[1] == self.DEPTHS[1])),
            Cover(seen),
        ]
        return m


PARTS = {
    "Queue": (lambda: Queue(WIDTH, depth=3), 3),
    "Buffer": (lambda: Buffer(WIDTH), 2),
    "Register": (lambda: Register(WIDTH), 1),
    "LightRegister": (lambda: LightRegister(WIDTH), 1),
}

CLAIMS = [
    Claim(
        f"stream/queue.py {name}",
        "what goes in comes out, once and in order; no more than fits is taken",
        lambda make=make, places=places: Order(make(), places=places),
        lambda make=make, places=places: Order(make(), places=places, broken=True),
        depth=12,
        cover_depth=12,
        full_depth=20,
    )
    for name, (make, places) in PARTS.items()
] + [
    Claim(
        "stream/shared_queues.py",
        "each queue in order, its level right, whatever comes for the others",
        SharedOrder,
        lambda: SharedOrder(broken=True),
        depth=14,
        cover_depth=14,
        full_depth=20,
    )
]
