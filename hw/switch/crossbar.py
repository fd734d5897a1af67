"""Forwarding of ordinary packets between ports."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.fabric.packets import header_of
from hw.spec.config import Config
from hw.spec.packet import flit_layout
from hw.stream.arbiter import RoundRobin, select
from hw.stream.connect import connect_stream
from hw.stream.queue import Buffer


class Crossbar(wiring.Component):
    """Forward packets of one message class, every port at once.

    Ports
    -----
    i, o : one flit stream per port in and out
    misrouted : one bit per input, a packet that names no present endpoint was dropped

    A packet holds its outputs from first to last flit; outputs are granted round robin.
    A multicast packet takes its outputs one per cycle in ascending order of port, waiting
    for each, and moves when it holds all of them: the fixed order rules out deadlock, the
    round robin rules out starvation. One flit per cycle and port, no gap between unicast
    packets; latency 1 cycle. Message classes use separate crossbars, so none blocks another.
    """

    def __init__(self, config: Config):
        self._config = config
        flits = stream.Signature(flit_layout(config))
        ports = config.system.endpoints
        super().__init__(
            {
                "i": In(flits).array(ports),
                "o": Out(flits).array(ports),
                "misrouted": Out(ports),
            }
        )

    def elaborate(self, platform):
        m = Module()
        ports = self._config.system.endpoints
        wanted = [Signal(ports, name=f"wanted_{i}") for i in range(ports)]
        granted = [Signal(ports, name=f"granted_{i}") for i in range(ports)]
        moves = Signal(ports)
        outputs = []
        for o in range(ports):
            m.submodules[f"buffer_{o}"] = buffer = Buffer(flit_layout(self._config))
            connect_stream(m, buffer.o, self.o[o])
            outputs.append(buffer.i)

        for i, source in enumerate(self.i):
            header = header_of(source.payload)
            mask = Signal(ports, name=f"mask_{i}")
            held_mask = Signal(ports, name=f"held_mask_{i}")
            unicast = Cat(header.destination == o for o in range(ports))
            m.d.comb += [
                mask.eq(Mux(header.multicast, header.destination, unicast)),
                wanted[i].eq(Mux(source.valid, Mux(source.payload.first, mask, held_mask), 0)),
                self.misrouted[i].eq(source.valid & source.payload.first & ~wanted[i].any()),
            ]
            all_ready = Cat(~wanted[i][o] | outputs[o].ready for o in range(ports)).all()
            m.d.comb += [
                moves[i].eq(source.valid & (granted[i] == wanted[i]) & all_ready),
                source.ready.eq(moves[i]),
            ]
            with m.If(moves[i] & source.payload.first):
                m.d.sync += held_mask.eq(mask)

        holders = [Signal(ports, name=f"holder_{o}") for o in range(ports)]
        for o, holder in enumerate(holders):
            m.submodules[f"turn_{o}"] = turn = RoundRobin(ports)
            grant = Signal(ports, name=f"grant_{o}")
            # Ascending order: ask for this output once all lower ones are held.
            asks = Cat(
                wanted[i][o]
                & ~Cat(wanted[i][lower] & ~holders[lower][i] for lower in range(o)).any()
                for i in range(ports)
            )
            m.d.comb += [
                turn.requests.eq(asks),
                grant.eq(Mux(holder.any(), holder, turn.grant)),
                turn.advance.eq(~holder.any()),
                outputs[o].valid.eq((grant & moves).any()),
                outputs[o].payload.eq(select(grant, [source.payload for source in self.i])),
            ]
            last = Cat(source.payload.last for source in self.i)
            m.d.sync += holder.eq(Mux((grant & moves & last).any(), 0, grant))
            for i in range(ports):
                m.d.comb += granted[i][o].eq(grant[i])
        return m
