"""One way through the switch that all its crossbars share."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.spec.checks import at_least
from hw.spec.config import Config
from hw.spec.packet import flit_layout
from hw.stream.arbiter import RoundRobin, select


class SharedPath(wiring.Component):
    """Move one flit at a time, in place of a multiplexer per crossbar and output.

    Wires across the switch are what fills an FPGA; links between boards take many cycles for a
    flit, so one flit per cycle is enough for all of them together.

    Parameters: ``count`` of inputs, those of all crossbars, at least 1.

    Ports
    -----
    able : in, one bit per input, its flit may move; stays until it does
    moves : out, one-hot, it moves in this cycle
    offered : in, array of flits
    moved : out, the flit that moved in the cycle before

    Round robin among the inputs; a flit moves two cycles after it is able, and every third
    cycle at most from one input.
    """

    def __init__(self, config: Config, *, count: int):
        at_least("count", count, 1)
        flit = flit_layout(config)
        super().__init__(
            {
                "able": In(count),
                "moves": Out(count),
                "offered": In(flit).array(count),
                "moved": Out(flit),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.turn = turn = RoundRobin(len(self.able))
        m.d.sync += [
            turn.requests.eq(self.able & ~self.moves & ~turn.grant),
            self.moves.eq(turn.grant),
            self.moved.eq(select(self.moves, self.offered)),
        ]
        m.d.comb += turn.advance.eq(1)
        return m


def share_path(m, config: Config, crossbars) -> None:
    """Wire ``crossbars`` to a path of theirs, which becomes submodule ``path``."""
    count = sum(len(crossbar.able) for crossbar in crossbars)
    m.submodules.path = path = SharedPath(config, count=count)
    first = 0
    for crossbar in crossbars:
        here = slice(first, first + len(crossbar.able))
        m.d.comb += [
            path.able[here].eq(crossbar.able),
            crossbar.moves.eq(path.moves[here]),
            crossbar.moved.eq(path.moved),
        ]
        for place, offered in enumerate(crossbar.offered):
            m.d.comb += path.offered[first + place].eq(offered)
        first = here.stop
