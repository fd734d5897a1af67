"""hw/switch/route.py, refuser.py: what the switch answers for, it answers once, and soon."""

from amaranth import Cat, Const, Module, Signal
from amaranth.hdl import Assert, Assume, Cover, ResetSignal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from cocotb_tests.support.formal import Claim
from hw.fabric.packets import header_of
from hw.spec.config import load
from hw.spec.packet import MessageClass
from hw.switch.refuser import Refuser
from hw.switch.route import Route

CONFIG = load("tiny")
PORTS = CONFIG.system.endpoints
NAMED = 4
"""Endpoints that headers here may name, of as many as there could be."""
BOUND = NAMED + 2
"""Cycles a header waits for its refusal, while answers are taken: those of the one before."""
ASKED = data.StructLayout({"destination": NAMED, "multicast": 1, "acknowledge": 1, "tag": 2})


class Refusals(wiring.Component):
    """Route and refuser of one input, whose headers the outside chooses; both endpoints live."""

    def __init__(self, *, broken: bool = False):
        self._broken = broken
        super().__init__(
            {"offers": In(1), "asked": In(ASKED), "goes": In(1), "takes": In(1), "first": In(1)}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.route = route = Route(CONFIG, message_class=MessageClass.WRITE_REQUEST, port=1)
        m.submodules.refuser = refuser = Refuser(
            CONFIG, message_class=MessageClass.WRITE_REQUEST, port=1
        )
        # A stalled offer stays as it is.
        offered, held, held_first = Signal(), Signal(ASKED), Signal()
        header = header_of(route.i.payload)
        moves, refused, answered = Signal(), Signal(), Signal()
        m.d.sync += [
            offered.eq(route.i.valid & ~route.i.ready),
            held.eq(self.asked),
            held_first.eq(route.i.payload.first),
        ]
        m.d.comb += [
            Assume(~ResetSignal()),
            Assume(~offered | (self.offers & (self.asked.as_value() == held.as_value()))),
            Assume(~offered | (self.first == held_first)),
            route.i.valid.eq(self.offers),
            route.i.payload.first.eq(self.first),
            *(header[name].eq(self.asked[name]) for name, _ in ASKED),
            route.o.ready.eq(self.goes),
            refuser.i.payload.eq(route.refusal.payload),
            refuser.i.valid.eq(route.refusal.valid),
            route.refusal.ready.eq(refuser.i.ready),
            # The seeded bug: an answer is taken for gone while it waits.
            refuser.o.ready.eq(1 if self._broken else self.takes),
            moves.eq(route.i.valid & route.i.ready),
            refused.eq(route.refusal.valid & route.refusal.ready),
            answered.eq(refuser.o.valid & self.takes),
        ]

        missing, count = Signal(NAMED), Signal(range(NAMED + 1))
        absent = self.asked.destination & ~Const((1 << PORTS) - 1, NAMED)
        with m.If(~header.multicast):
            m.d.comb += missing.eq(header.destination >= PORTS)
        with m.Else():
            m.d.comb += missing.eq(absent | (header.destination == 0))
        m.d.comb += count.eq(sum(missing[i] for i in range(NAMED)))
        wants = header.acknowledge & self.first & missing.any()

        # A request that wants an answer and misses a destination is refused, once per header.
        done, owed, waited = Signal(), Signal(range(NAMED + 1)), Signal(4)
        tag = Signal.like(header.tag)
        m.d.sync += done.eq((done | refused) & ~moves)
        m.d.comb += [
            Assert(~route.refusal.valid | (wants & ~done)),
            Assert(~moves | ~wants | done),
            Assert(route.misrouted == (moves & self.first & missing.any())),
            # Every answer is owed, to the request refused last.
            Assert(~refuser.o.valid | (owed != 0)),
            Assert(~refuser.o.valid | (header_of(refuser.o.payload).tag == tag)),
            Assert(~refused | (owed == 0)),
            Assert(waited <= BOUND),
            Cover((owed == 2) & answered),
            Cover(done & moves),
        ]
        with m.If(refused):
            m.d.sync += [owed.eq(count), tag.eq(header.tag)]
        with m.Else():
            m.d.sync += owed.eq(owed - answered)
        with m.If(Cat(self.takes, self.goes).all() & self.offers & ~moves):
            m.d.sync += waited.eq(waited + 1)
        with m.Else():
            m.d.sync += waited.eq(0)
        return m


CLAIMS = [
    Claim(
        "switch/route.py, refuser.py",
        "one answer for each destination that a request misses, with the tag of that request, "
        f"within {BOUND} cycles while answers are taken; no other",
        Refusals,
        lambda: Refusals(broken=True),
        depth=12,
        cover_depth=10,
        full_depth=20,
    )
]
