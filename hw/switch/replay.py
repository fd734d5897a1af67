"""Gives a multicast packet to its destinations in as many passes as it takes."""

from amaranth import Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.fabric.packets import destination_of, header_of
from hw.spec.config import Config
from hw.spec.packet import flit_layout


class Replay(wiring.Component):
    """Keeps a copy of the packet that passes, for the outputs that were not free.

    Ports
    -----
    i, o : flit streams in and out
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
                "i": In(flits),
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
        read = copy.read_port(transparent_for=(write,))
        position, following = Signal(range(depth)), Signal(range(depth))
        again = Signal()
        spread = Signal()
        owed, left = Signal.like(self.targets), Signal.like(self.targets)
        moves = Signal()
        header = header_of(self.i.payload)
        unicast = destination_of(header, config.system.endpoints)
        ends = self.o.payload.last
        m.d.comb += [
            self.o.valid.eq(again | self.i.valid),
            self.o.payload.eq(Mux(again, read.data.as_value(), self.i.payload.as_value())),
            self.i.ready.eq(~again & self.o.ready),
            self.targets.eq(Mux(again, owed, Mux(header.multicast, header.destination, unicast))),
            self.spreads.eq(Mux(~again & self.i.payload.first, header.multicast, spread)),
            moves.eq(self.o.valid & self.o.ready),
            left.eq(Mux(self.o.payload.first, self.targets & ~self.taken, owed)),
            following.eq(Mux(moves, Mux(ends, 0, position + 1), position)),
            write.addr.eq(position),
            write.data.eq(self.i.payload),
            write.en.eq(self.i.valid & ~again),
            read.addr.eq(following),
            read.en.eq(1),
        ]
        with m.If(moves):
            m.d.sync += [position.eq(following), owed.eq(left), spread.eq(self.spreads)]
            with m.If(ends):
                m.d.sync += again.eq(left.any())
        return m
