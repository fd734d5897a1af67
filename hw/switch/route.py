"""Where an ordinary packet goes, and what the switch refuses of it."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.fabric.packets import destination_of, header_of
from hw.spec.checks import below, one_of
from hw.spec.config import MAX_ENDPOINTS, TAG_BITS, Config
from hw.spec.packet import MessageClass, flit_layout
from hw.switch.replay import routed_layout

ANSWER_CLASS = {
    MessageClass.READ_REQUEST: MessageClass.READ_RESPONSE,
    MessageClass.WRITE_REQUEST: MessageClass.WRITE_RESPONSE,
}
"""Class of the response to a request."""

REFUSAL_LAYOUT = data.StructLayout({"tag": TAG_BITS, "copies": MAX_ENDPOINTS})
"""A request that wants answers which no endpoint will give: one for each set bit of ``copies``."""


class Route(wiring.Component):
    """Find the outputs of every packet of one input.

    Parameters: ``message_class`` of the packets; ``port``: number of the input, below
    ``system.endpoints``.

    Ports
    -----
    i : flit stream in
    o : stream out, flits with their outputs, see :func:`hw.switch.replay.routed_layout`; a
        packet without outputs is to be dropped
    alive : in, one bit per port: the endpoint there has not been declared dead
    misrouted : pulse out, a packet names an endpoint that is absent or dead, or none at all
    refusal : stream out, ``REFUSAL_LAYOUT``, for requests that want an answer; other classes
        have none

    A packet goes to those of its destinations that are present and alive. For each of the others
    a request that wants an answer (a read, or a write with acknowledge) is refused, before its
    header moves on: until the refusal is taken, this input waits, and nothing else does. A
    request that names no endpoint, or has a mask where there is no multicast, is refused once. Only
    write requests have multicast. ``source`` of every header becomes ``port``, so that no endpoint
    passes for another. What is alive is looked at once per header.

    One flit per cycle without latency; with ``fabric.registered`` a flit takes two cycles. A
    refused header takes a cycle more.
    """

    def __init__(self, config: Config, *, message_class: MessageClass, port: int):
        self._config = config
        self._class = one_of("message_class", message_class, MessageClass)
        self._port = below("port", port, config.system.endpoints)
        members = {
            "i": In(stream.Signature(flit_layout(config))),
            "o": Out(stream.Signature(routed_layout(config))),
            "alive": In(config.system.endpoints, init=-1),
            "misrouted": Out(1),
        }
        if message_class in ANSWER_CLASS:
            members["refusal"] = Out(stream.Signature(REFUSAL_LAYOUT))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        source, routed = self.i, self.o
        header = header_of(source.payload)
        targets, missing = self._reach(m, header)
        known, moves = source.valid, Signal()
        domain = "comb"
        if self._config.fabric.registered:
            # What the flit is for is known a cycle after it came; the flit itself stays.
            domain, known = "sync", Signal()
            m.d.sync += known.eq(source.valid & ~moves)
        names_missing = Signal()
        m.d[domain] += [
            routed.payload.targets.eq(targets),
            routed.payload.spreads.eq(header.multicast),
            names_missing.eq(missing.any() & source.payload.first),
        ]
        refused = self._refuse(m, domain, header, missing, known, moves)
        m.d.comb += [
            routed.payload.flit.eq(source.payload),
            header_of(routed.payload.flit).source.eq(
                Mux(source.payload.first, self._port, header.source)
            ),
            routed.valid.eq(known & refused),
            moves.eq(routed.valid & routed.ready),
            source.ready.eq(moves),
            self.misrouted.eq(moves & names_missing),
        ]
        return m

    def _reach(self, m, header):
        """Outputs of the packet, and a mask of its destinations that cannot be reached."""
        ports = self._config.system.endpoints
        alive = Signal(ports, init=-1)
        with m.If(~self.i.valid | self.i.ready):
            m.d.sync += alive.eq(self.alive)
        targets, missing = Signal(ports), Signal(MAX_ENDPOINTS)
        unicast = destination_of(header, ports) & alive
        with m.If(~header.multicast):
            m.d.comb += [targets.eq(unicast), missing.eq(~unicast.any())]
        with m.Elif(self._class == MessageClass.WRITE_REQUEST):
            m.d.comb += [
                targets.eq(header.destination & alive),
                missing.eq(header.destination & ~Cat(alive, Const(0, MAX_ENDPOINTS - ports))),
            ]
            with m.If(header.destination == 0):
                m.d.comb += missing.eq(1)
        with m.Else():
            m.d.comb += missing.eq(1)
        return targets, missing

    def _refuse(self, m, domain, header, missing, known, moves):
        """Offer the refusal of the header at the input; tells whether the flit may move on."""
        if self._class not in ANSWER_CLASS:
            return 1
        wants_answer = 1 if self._class == MessageClass.READ_REQUEST else header.acknowledge
        needed, done = Signal(), Signal()
        refusal = self.refusal
        m.d[domain] += [
            needed.eq(missing.any() & self.i.payload.first & wants_answer),
            refusal.payload.tag.eq(header.tag),
            refusal.payload.copies.eq(missing),
        ]
        m.d.comb += refusal.valid.eq(known & needed & ~done)
        m.d.sync += done.eq((done | (refusal.valid & refusal.ready)) & ~moves)
        return ~needed | done
