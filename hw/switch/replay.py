"""Gives a multicast packet to its destinations in as many passes as it takes."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import Config
from hw.spec.packet import flit_layout


def routed_layout(config: Config) -> data.StructLayout:
    """A flit and, with the first of a packet, the outputs it is for; ``spreads``: by a mask."""
    return data.StructLayout(
        {"flit": flit_layout(config), "targets": config.system.endpoints, "spreads": 1}
    )


class Replay(wiring.Component):
    """Keeps a copy of the packet that passes, for the outputs that were not free.

    Ports
    -----
    i : stream in, flits with their outputs, see :func:`routed_layout`
    o : flit stream out
    targets : out, with the first flit: outputs that have not had the packet
    taken : in, with the first flit: those that take this pass of it
    spreads : out, with every flit: the packet is a multicast

    A pass follows the one before without a gap, and a packet for one output, or whose outputs
    are all free, passes once; so an input is never held by outputs it waits for, and outputs
    never wait for each other. Latency none, one flit per cycle.
    """

    def __init__(self, config: Config):
        self._config = config
        flits = stream.Signature(flit_layout(config))
        ports = config.system.endpoints
        super().__init__(
            {
                "i": In(stream.Signature(routed_layout(config))),
                "o": Out(flits),
                "targets": Out(ports),
                "taken": In(ports),
                "spreads": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        # A header, and payload that may start within a flit.
        depth = config.rows_per_packet + 2
        layout = flit_layout(config)
        m.submodules.copy = copy = memory.Memory(shape=layout, depth=depth, init=[])
        write = copy.write_port()
        # A flit that moves was offered before if the crossbars share a path: it is there by then.
        stored = config.fabric.registered
        read = copy.read_port(transparent_for=() if stored else (write,))
        position, following = Signal(range(depth)), Signal(range(depth))
        again = Signal()
        spread = Signal()
        owed, left = Signal.like(self.targets), Signal.like(self.targets)
        moves = Signal()
        offered = self.i.payload
        final = Signal(range(depth))
        ends = self.o.payload.last
        # What frames a repeated packet is counted: control does not wait for the memory.
        repeated = Signal(layout)
        at_start, at_end = Signal(init=1), Signal()
        m.d.comb += [
            repeated.eq(read.data),
            repeated.first.eq(at_start),
            repeated.last.eq(at_end),
        ]
        # What follows a move, told from registers alone: the move itself is known late.
        one_flit, before_end = Signal(), Signal()
        m.d.comb += [
            one_flit.eq(Mux(again, final == 0, position == 0)),
            before_end.eq(position + 1 == final),
        ]
        m.d.sync += [
            at_start.eq(following == 0),
            at_end.eq(Mux(moves, Mux(ends, one_flit, again & before_end), position == final)),
        ]
        m.d.comb += [
            self.o.valid.eq(again | self.i.valid),
            self.o.payload.eq(Mux(again, repeated.as_value(), offered.flit.as_value())),
            self.i.ready.eq(~again & self.o.ready),
            self.targets.eq(Mux(again, owed, offered.targets)),
            self.spreads.eq(Mux(~again & offered.flit.first, offered.spreads, spread)),
            moves.eq(self.o.valid & self.o.ready),
            left.eq(Mux(self.o.payload.first, self.targets & ~self.taken, owed)),
            following.eq(Mux(moves, Mux(ends, 0, position + 1), position)),
            write.addr.eq(position),
            write.data.eq(offered.flit),
            write.en.eq(self.i.valid & ~again & ~(moves if stored else 0)),
            read.addr.eq(following),
            read.en.eq(1),
        ]
        with m.If(moves):
            m.d.sync += [position.eq(following), owed.eq(left), spread.eq(self.spreads)]
            with m.If(~again):
                m.d.sync += final.eq(position)
            with m.If(ends):
                m.d.sync += again.eq(left.any())
        return m
