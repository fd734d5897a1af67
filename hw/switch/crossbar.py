"""Forwarding of ordinary packets between ports."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.fabric.packets import destination_of, header_of
from hw.spec.config import Config
from hw.spec.packet import flit_layout
from hw.stream.arbiter import RoundRobin, select
from hw.stream.connect import connect_stream
from hw.stream.queue import Buffer, LightRegister
from hw.switch.replay import Replay, routed_layout

PATIENCE = 8
"""Cycles a multicast packet waits for another to pass: longer than link stalls pull packets
apart, short beside a packet."""


class Crossbar(wiring.Component):
    """Forward packets of one message class, every port at once.

    Parameters: ``multicast``: packets may have several destinations; without, such packets
    are dropped.

    Ports
    -----
    i, o : one flit stream per port in and out
    misrouted : one bit per input, a packet that names no present endpoint was dropped
    able, moves, offered, moved : with ``fabric.registered``, see
        :class:`hw.switch.path.SharedPath`, which moves the flits then

    A packet holds its outputs from first to last flit; outputs are granted round robin. A
    multicast packet goes at once to those of its outputs that are free, and again to the
    others (see :class:`hw.switch.replay.Replay`): nobody waits holding an output, which
    rules out deadlock, and the round robin rules out starvation. While another multicast
    packet passes, the next one waits up to ``PATIENCE`` cycles for it: passes that begin
    together take each other's outputs in turn, and none of them idles. One flit per cycle and
    port, no gap between packets; latency 1 cycle. ``source`` of every header is set to the
    number of the port it came from, so that nobody passes for another. Message classes use
    separate crossbars, so none blocks another.
    """

    def __init__(self, config: Config, *, multicast: bool):
        self._config = config
        self._multicast = multicast
        flits = stream.Signature(flit_layout(config))
        ports = config.system.endpoints
        members = {
            "i": In(flits).array(ports),
            "o": Out(flits).array(ports),
            "misrouted": Out(ports),
        }
        if config.fabric.registered:
            members |= {
                "able": Out(ports),
                "moves": In(ports),
                "offered": Out(flit_layout(config)).array(ports),
                "moved": In(flit_layout(config)),
            }
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        ports = self._config.system.endpoints
        asks = [Signal(ports, name=f"asks_{i}") for i in range(ports)]
        granted = [Signal(ports, name=f"granted_{i}") for i in range(ports)]
        able = Signal(ports)
        registered = self._config.fabric.registered
        kind = LightRegister if registered else Buffer
        moves = self.moves if registered else able
        outputs = []
        # With a path to share, what moved arrives a cycle later.
        arrives, arriving = Signal(ports), Signal(ports)
        if registered:
            m.d.sync += arriving.eq(arrives)
        for o in range(ports):
            m.submodules[f"buffer_{o}"] = buffer = kind(flit_layout(self._config))
            connect_stream(m, buffer.o, self.o[o])
            outputs.append(buffer.i)
        sources = []
        spreads, together = Signal(ports), Signal(init=1)
        for i in range(ports):
            source, targets = self._input(m, i, granted[i], spreads[i])
            sources.append(source)
            # Whoever holds an output asks for no other: with registers a grant shows a cycle late.
            waits = together | ~spreads[i]
            if registered:
                waits &= ~granted[i].any()
            nowhere, dropping = Signal(name=f"nowhere_{i}"), Signal(name=f"dropping_{i}")
            m.d.comb += [
                nowhere.eq(Mux(source.payload.first, ~targets.any(), dropping)),
                asks[i].eq(Mux(source.valid & source.payload.first & waits, targets, 0)),
                self.misrouted[i].eq(moves[i] & source.payload.first & nowhere),
            ]
            room = Cat(out.ready for out in outputs) & ~arriving
            all_ready = (~granted[i] | room).all()
            m.d.comb += [
                able[i].eq(source.valid & (nowhere | (granted[i].any() & all_ready))),
                source.ready.eq(moves[i]),
            ]
            with m.If(moves[i]):
                m.d.sync += dropping.eq(nowhere)

        flits = [source.payload for source in sources]
        if registered:
            m.d.comb += self.able.eq(able)
            m.d.comb += [out.eq(flit) for out, flit in zip(self.offered, flits, strict=True)]
        for o in range(ports):
            m.submodules[f"turn_{o}"] = turn = RoundRobin(ports)
            holder, grant = Signal(ports, name=f"holder_{o}"), Signal(ports, name=f"grant_{o}")
            held, keeps = Signal(name=f"held_{o}"), Signal(ports, name=f"keeps_{o}")
            m.d.comb += [
                turn.requests.eq(Cat(asks[i][o] for i in range(ports))),
                grant.eq(holder if registered else Mux(held, holder, turn.grant)),
                turn.advance.eq(~held),
                arrives[o].eq((grant & moves).any()),
                outputs[o].valid.eq((arriving if registered else arrives)[o]),
                outputs[o].payload.eq(self.moved if registered else select(grant, flits)),
            ]
            last = Cat(source.payload.last for source in sources)
            chosen = Mux(held, holder, turn.grant)
            m.d.comb += keeps.eq(Mux((grant & moves & last).any(), 0, chosen))
            m.d.sync += [holder.eq(keeps), held.eq(keeps.any())]
            for i in range(ports):
                m.d.comb += granted[i][o].eq(grant[i])
        if self._multicast:
            self._begin_together(m, sources, moves, spreads, together)
        return m

    def _begin_together(self, m, sources, moves, spreads, together):
        """May a pass of a multicast packet begin?"""
        passing = Signal(len(sources))
        patience = Signal(range(PATIENCE + 1))
        begins = Signal()
        for i, source in enumerate(sources):
            with m.If(moves[i]):
                m.d.sync += passing[i].eq(spreads[i] & ~source.payload.last)
        first = Cat(source.valid & source.payload.first for source in sources)
        m.d.comb += [
            together.eq(~passing.any() | (patience == PATIENCE)),
            begins.eq((moves & first & spreads).any()),
        ]
        with m.If(begins | ~passing.any()):
            m.d.sync += patience.eq(0)
        with m.Elif((first & spreads).any() & (patience != PATIENCE)):
            m.d.sync += patience.eq(patience + 1)

    def _input(self, m, index, granted, spreads):
        """The stream of an input, and which outputs its packet still has to go to;
        ``spreads`` becomes true for a multicast packet."""
        source = self._route(m, index)
        if self._multicast:
            m.submodules[f"replay_{index}"] = replay = Replay(self._config)
            connect_stream(m, source, replay.i)
            m.d.comb += [replay.taken.eq(granted), spreads.eq(replay.spreads)]
            return replay.o, replay.targets
        flits = stream.Signature(flit_layout(self._config)).create(path=(f"input_{index}",))
        m.d.comb += [
            flits.payload.eq(source.payload.flit),
            flits.valid.eq(source.valid),
            source.ready.eq(flits.ready),
        ]
        return flits, Mux(source.payload.spreads, 0, source.payload.targets)

    def _route(self, m, index):
        """The flits of an input with the outputs they are for."""
        config, source = self._config, self.i[index]
        layout = routed_layout(config)
        routed = stream.Signature(layout).create(path=(f"routed_{index}",))
        header = header_of(source.payload)
        unicast = destination_of(header, config.system.endpoints)
        known = source.valid
        if config.fabric.registered:
            # What the flit is for is told a cycle after it came; the flit itself stays.
            known = Signal(name=f"known_{index}")
            m.d.sync += known.eq(source.valid & ~(known & routed.ready))
        m.d["sync" if config.fabric.registered else "comb"] += [
            routed.payload.targets.eq(Mux(header.multicast, header.destination, unicast)),
            routed.payload.spreads.eq(header.multicast),
        ]
        m.d.comb += [
            routed.payload.flit.eq(source.payload),
            header_of(routed.payload.flit).source.eq(
                Mux(source.payload.first, index, header.source)
            ),
            routed.valid.eq(known),
            source.ready.eq(known & routed.ready),
        ]
        return routed
