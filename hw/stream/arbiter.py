"""Fair choice among requesters."""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.checks import at_least


def lowest_set(value):
    """One-hot: the lowest set bit of ``value``."""
    return Cat(bit & ~value[:index].any() for index, bit in enumerate(value))


def select(one_hot, values):
    """The value whose bit of ``one_hot`` is set; zero if none."""
    result = 0
    for index, value in enumerate(values):
        result = result | Mux(one_hot[index], Value.cast(value), 0)
    return result


class RoundRobin(wiring.Component):
    """Round-robin arbiter with a combinational grant.

    Parameters: ``count`` of requesters, at least 1.

    Ports
    -----
    requests : in, one bit per requester
    grant : out, one-hot among the requests, zero if there are none; same cycle
    advance : in, the grant was used: its holder becomes the last in turn

    No requester waits for more than ``count`` - 1 advances.
    """

    def __init__(self, count: int):
        self._count = at_least("count", count, 1)
        super().__init__({"requests": In(count), "grant": Out(count), "advance": In(1)})

    def elaborate(self, platform):
        m = Module()
        later = Signal(self._count)
        preferred = Signal(self._count)
        m.d.comb += [
            preferred.eq(self.requests & later),
            self.grant.eq(Mux(preferred.any(), lowest_set(preferred), lowest_set(self.requests))),
        ]
        with m.If(self.advance & self.requests.any()):
            m.d.sync += later.eq(Cat(self.grant[:index].any() for index in range(self._count)))
        return m


class StreamArbiter(wiring.Component):
    """Merge several streams into one, item by item, round robin; no latency.

    Parameters: ``shape`` of an item; ``count`` of streams in, at least 1.

    Ports: ``i`` (array of ``count`` streams in), ``o`` (stream out). While ``o``
    stalls, the choice is kept, so the item that is offered does not change.
    """

    def __init__(self, shape, *, count: int):
        self._shape = shape
        self._count = at_least("count", count, 1)
        super().__init__(
            {
                "i": In(stream.Signature(shape)).array(count),
                "o": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.turn = turn = RoundRobin(self._count)
        # A stalled choice is kept, so that the output payload is stable until accepted.
        held = Signal(self._count)
        grant = Signal(self._count)
        m.d.comb += [
            turn.requests.eq(Cat(source.valid for source in self.i)),
            grant.eq(Mux(held.any(), held, turn.grant)),
            turn.advance.eq(self.o.valid & ~held.any()),
            self.o.valid.eq(grant.any()),
            self.o.payload.eq(select(grant, [source.payload for source in self.i])),
        ]
        for index, source in enumerate(self.i):
            m.d.comb += source.ready.eq(grant[index] & self.o.ready)
        m.d.sync += held.eq(Mux(self.o.valid & ~self.o.ready, grant, 0))
        return m
