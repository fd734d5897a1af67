"""hw/stream/arbiter.py: one grant at a time, only to who asks, and nobody starves."""

from amaranth import Module, Signal
from amaranth.hdl import Assert, Assume, Cover, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from cocotb_tests.support.formal import Proof
from hw.stream.arbiter import RoundRobin

COUNT = 4


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


def test_fair():
    proof = Proof(Fairness())
    assert proof.holds_up_to(depth=20)
    assert proof.reaches(depth=10)


def test_the_proof_can_fail():
    assert not Proof(Fairness(broken=True)).holds_up_to(depth=20)
