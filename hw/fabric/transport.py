"""Transport layer: channels, queues and credits at one end of a link."""

from amaranth import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.fabric.link import LinkEvents, LinkLayer
from hw.fabric.phy import wire_signature
from hw.fabric.receiver import Receiver
from hw.fabric.transmitter import Transmitter
from hw.spec.checks import covers, some, subset
from hw.spec.config import Config
from hw.spec.link import link_parameters
from hw.spec.packet import Channel, QueueSet, flit_layout, queue_set
from hw.stream.connect import connect_stream, register_stage
from hw.stream.queue import LightRegister, Queue

TRANSPORT_CYCLES = 1 + Queue.LATENCY
"""From a stream of the sender to that of the receiver, without the physical layer."""


class TransportCounts(data.Struct):
    """Pulses: a flit left or came, credits included; one that is no header or credit; one of a
    channel that this end does not receive came, and was dropped. What a link layer adds or
    repeats does not count."""

    transmitted: 1
    received: 1
    payload_transmitted: 1
    payload_received: 1
    unknown: 1


class Transport(wiring.Component):
    """Both directions at one end of a link.

    Parameters: ``transmit``, ``receive``: the channels sent and received here, as
    :class:`hw.fabric.transmitter.Transmitter` and :class:`hw.fabric.receiver.Receiver` take them;
    ``buffered``: those of ``transmit`` whose source is no register.

    Ports
    -----
    transmit, receive : arrays of flit streams
    link_out, link_in : link out and in; with ``link.reliable`` behind a link layer
    counts : out, see :class:`TransportCounts`
    events : out, of the link layer; without one the link is always up
    peer_dead : out, see :class:`hw.fabric.transmitter.Transmitter`

    With ``fabric.registered`` what ``buffered`` names passes a register more.
    """

    def __init__(
        self,
        config: Config,
        *,
        transmit: tuple[Channel, ...],
        receive: tuple[Channel, ...],
        buffered: tuple[Channel, ...] = (),
    ):
        self._config = config
        subset("transmit", transmit, Channel)
        self._transmit = covers("transmit", transmit, queue_set, QueueSet)
        self._receive = some("receive", subset("receive", receive, Channel))
        self._buffered = subset("buffered", buffered, transmit)
        flits = stream.Signature(flit_layout(config))
        super().__init__(
            {
                "transmit": In(flits).array(len(transmit)),
                "receive": Out(flits).array(len(receive)),
                "link_out": Out(wire_signature(config)),
                "link_in": In(wire_signature(config)),
                "counts": Out(TransportCounts),
                "events": Out(LinkEvents),
                "peer_dead": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.transmitter = transmitter = Transmitter(self._config, self._transmit)
        m.submodules.receiver = receiver = Receiver(self._config, self._receive)
        for index, (outer, inner) in enumerate(zip(self.transmit, transmitter.i, strict=True)):
            source = outer
            if self._config.fabric.registered and self._transmit[index] in self._buffered:
                source = register_stage(m, f"transmit_{index}", outer, LightRegister)
            connect_stream(m, source, inner)
        for inner, outer in zip(receiver.o, self.receive, strict=True):
            connect_stream(m, inner, outer)
        if self._config.link.reliable:
            m.submodules.link = link = LinkLayer(link_parameters(self._config))
            connect_stream(m, transmitter.link, link.transmit)
            connect_stream(m, link.o, self.link_out)
            connect_stream(m, self.link_in, link.i)
            connect_stream(m, link.receive, receiver.link)
            m.d.comb += self.events.eq(link.events)
        else:
            connect_stream(m, transmitter.link, self.link_out)
            connect_stream(m, self.link_in, receiver.link)
            m.d.comb += self.events.up.eq(1)
        for link, name in ((transmitter.link, "transmitted"), (receiver.link, "received")):
            moves, flit = link.valid & link.ready, link.payload
            m.d.comb += [
                self.counts[name].eq(moves),
                self.counts[f"payload_{name}"].eq(moves & ~flit.credit & ~flit.flit.first),
            ]
        m.d.comb += [
            self.counts.unknown.eq(receiver.unknown),
            self.peer_dead.eq(transmitter.peer_dead),
            transmitter.grant_valid.eq(receiver.grant_valid),
            transmitter.grant.eq(receiver.grant),
            transmitter.owed.eq(receiver.owed),
            transmitter.owed_any.eq(receiver.owed_any),
            transmitter.owed_urgent.eq(receiver.owed_urgent),
            receiver.take_owed.eq(transmitter.take_owed),
        ]
        return m
