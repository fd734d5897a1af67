"""Packets of several senders onto one stream."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.checks import at_least
from hw.spec.config import Config
from hw.spec.packet import flit_layout
from hw.stream.arbiter import RoundRobin, select


class PacketArbiter(wiring.Component):
    """Merge ``count`` flit streams, packet by packet, round robin; no latency.

    Parameters: ``count`` of streams in, at least 1.

    Ports: ``i`` (array of flit streams in), ``o`` (flit stream out). A sender keeps the
    stream from first to last flit.
    """

    def __init__(self, config: Config, *, count: int):
        flits = stream.Signature(flit_layout(config))
        self._count = at_least("count", count, 1)
        super().__init__({"i": In(flits).array(count), "o": Out(flits)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.turn = turn = RoundRobin(self._count)
        held, grant = Signal(self._count), Signal(self._count)
        m.d.comb += [
            turn.requests.eq(Cat(source.valid for source in self.i)),
            grant.eq(Mux(held.any(), held, turn.grant)),
            turn.advance.eq(self.o.valid & ~held.any()),
            self.o.valid.eq((grant & turn.requests).any()),
            self.o.payload.eq(select(grant, [source.payload for source in self.i])),
        ]
        for index, source in enumerate(self.i):
            m.d.comb += source.ready.eq(grant[index] & self.o.ready)
        with m.If(self.o.valid):
            done = self.o.ready & self.o.payload.last
            m.d.sync += held.eq(Mux(done, 0, grant))
        return m
