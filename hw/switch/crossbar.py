"""Forwarding of ordinary packets between ports."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.checks import one_of
from hw.spec.config import Config
from hw.spec.packet import MessageClass, flit_layout
from hw.stream.arbiter import RoundRobin, select
from hw.stream.connect import connect_stream
from hw.stream.queue import Buffer, LightRegister
from hw.switch.replay import Replay
from hw.switch.route import ANSWER_CLASS, REFUSAL_LAYOUT, Route

PATIENCE = 8
"""Cycles a multicast packet waits for another to pass: longer than link stalls pull packets
apart, short beside a packet."""


class Crossbar(wiring.Component):
    """Forward packets of one message class, every port at once.

    Parameters: ``message_class`` of the packets.

    Ports
    -----
    i, o : one flit stream per port in and out
    alive : in, one bit per port: the endpoint there has not been declared dead
    misrouted : one bit per input, a packet named an endpoint that is absent or dead
    refusal : crossbars of requests: per input what is to be answered in place of these, see
        :class:`hw.switch.route.Route`
    answer : crossbars of responses: per output a flit stream in of single responses that the
        switch itself gives
    able, moves, offered, moved : with ``fabric.registered``, see
        :class:`hw.switch.path.SharedPath`, which moves the flits then; a bit and a flit per input,
        then per ``answer``

    A packet holds its outputs from first to last flit; outputs are granted round robin. A
    multicast packet goes at once to those of its outputs that are free, and again to the
    others (see :class:`hw.switch.replay.Replay`): no input that holds an output waits for
    another, which rules out deadlock, and the round robin rules out starvation. While another
    multicast packet passes, the next one waits up to ``PATIENCE`` cycles for it: passes that begin
    together take each other's outputs in turn, and none of them idles. One flit per cycle and
    port, no gap between packets; latency 1 cycle. Message classes use separate crossbars, so
    none blocks another.
    """

    def __init__(self, config: Config, *, message_class: MessageClass):
        self._config = config
        self._class = one_of("message_class", message_class, MessageClass)
        self._multicast = message_class == MessageClass.WRITE_REQUEST
        self._answers = message_class in ANSWER_CLASS.values()
        flits = stream.Signature(flit_layout(config))
        ports = config.system.endpoints
        self._movers = 2 * ports if self._answers else ports
        members = {
            "i": In(flits).array(ports),
            "o": Out(flits).array(ports),
            "alive": In(ports, init=-1),
            "misrouted": Out(ports),
        }
        if message_class in ANSWER_CLASS:
            members["refusal"] = Out(stream.Signature(REFUSAL_LAYOUT)).array(ports)
        if self._answers:
            members["answer"] = In(flits).array(ports)
        if config.fabric.registered:
            members |= {
                "able": Out(self._movers),
                "moves": In(self._movers),
                "offered": Out(flit_layout(config)).array(self._movers),
                "moved": In(flit_layout(config)),
            }
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        ports = self._config.system.endpoints
        asks = [Signal(ports, name=f"asks_{i}") for i in range(ports)]
        granted = [Signal(ports, name=f"granted_{i}") for i in range(ports)]
        able = Signal(self._movers)
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
        room = Cat(out.ready for out in outputs) & ~arriving
        sources = []
        spreads, together = Signal(ports), Signal(init=1)
        for i in range(ports):
            source, targets = self._input(m, i, granted[i], spreads[i])
            sources.append(source)
            # An input holding an output asks for no other: registered, a grant shows a cycle late.
            waits = together | ~spreads[i]
            if registered:
                waits &= ~granted[i].any()
            nowhere, dropping = Signal(name=f"nowhere_{i}"), Signal(name=f"dropping_{i}")
            m.d.comb += [
                nowhere.eq(Mux(source.payload.first, ~targets.any(), dropping)),
                asks[i].eq(Mux(source.valid & source.payload.first & waits, targets, 0)),
            ]
            all_ready = (~granted[i] | room).all()
            m.d.comb += [
                able[i].eq(source.valid & (nowhere | (granted[i].any() & all_ready))),
                source.ready.eq(moves[i]),
            ]
            with m.If(moves[i]):
                m.d.sync += dropping.eq(nowhere)

        answers = list(self.answer) if self._answers else []
        flits = [source.payload for source in (*sources, *answers)]
        if registered:
            m.d.comb += self.able.eq(able)
            m.d.comb += [out.eq(flit) for out, flit in zip(self.offered, flits, strict=True)]
        for o in range(ports):
            # The switch's own answers to a port ask for that output alone.
            movers = [*range(ports), *([ports + o] if answers else [])]
            count = len(movers)
            m.submodules[f"turn_{o}"] = turn = RoundRobin(count)
            holder, grant = Signal(count, name=f"holder_{o}"), Signal(count, name=f"grant_{o}")
            held, keeps = Signal(name=f"held_{o}"), Signal(count, name=f"keeps_{o}")
            m.d.comb += [
                turn.requests[:ports].eq(Cat(asks[i][o] for i in range(ports))),
                grant.eq(holder if registered else Mux(held, holder, turn.grant)),
                turn.advance.eq(~held),
                arrives[o].eq((grant & Cat(moves[mover] for mover in movers)).any()),
                outputs[o].valid.eq((arriving if registered else arrives)[o]),
                outputs[o].payload.eq(
                    self.moved if registered else select(grant, [flits[n] for n in movers])
                ),
            ]
            ends = Cat(moves[mover] & flits[mover].last for mover in movers)
            chosen = Mux(held, holder, turn.grant)
            m.d.comb += keeps.eq(Mux((grant & ends).any(), 0, chosen))
            m.d.sync += [holder.eq(keeps), held.eq(keeps.any())]
            for i in range(ports):
                m.d.comb += granted[i][o].eq(grant[i])
            if answers:
                own, answer = grant[ports], answers[o]
                m.d.comb += [
                    turn.requests[ports].eq(answer.valid & ~(own if registered else 0)),
                    able[ports + o].eq(answer.valid & own & room[o]),
                    answer.ready.eq(moves[ports + o]),
                ]
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
        m.submodules[f"route_{index}"] = route = Route(
            self._config, message_class=self._class, port=index
        )
        connect_stream(m, self.i[index], route.i)
        m.d.comb += [route.alive.eq(self.alive), self.misrouted[index].eq(route.misrouted)]
        if self._class in ANSWER_CLASS:
            connect_stream(m, route.refusal, self.refusal[index])
        if self._multicast:
            m.submodules[f"replay_{index}"] = replay = Replay(self._config)
            connect_stream(m, route.o, replay.i)
            m.d.comb += [replay.taken.eq(granted), spreads.eq(replay.spreads)]
            return replay.o, replay.targets
        flits = stream.Signature(flit_layout(self._config)).create(path=(f"input_{index}",))
        m.d.comb += [
            flits.payload.eq(route.o.payload.flit),
            flits.valid.eq(route.o.valid),
            route.o.ready.eq(flits.ready),
        ]
        return flits, route.o.payload.targets
