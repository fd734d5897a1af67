"""Link layer: makes of a physical layer that damages and loses flits one that does not."""

from amaranth import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.fabric.link_receiver import LinkReceiver
from hw.fabric.link_transmitter import LinkTransmitter
from hw.spec.link import LinkParameters
from hw.stream.connect import connect_stream


class LinkEvents(data.Struct):
    """``up``: the far end is heard; pulses: this end went back (``replayed``), or asked the far
    end to (``rejected``)."""

    up: 1
    replayed: 1
    rejected: 1


class LinkLayer(wiring.Component):
    """Both directions at one end of a link.

    Parameters: ``parameters``.

    Ports
    -----
    transmit, receive : link flits of the transport, in and out
    i, o : link flits of the physical layer, in and out
    events : out, see :class:`LinkEvents`

    Go-back-N: flits that are damaged, lost or doubled on the way, and all behind them, are sent
    again, and ``receive`` sees each once and in order. Latency 7 cycles from ``transmit`` to the
    far end's ``receive``, without the physical layers, for the last flit of a run; those before
    wait for it, up to ``run_flits`` cycles. One flit in ``run_flits`` + 1 is a check flit.
    An end that is reset alone cannot be brought back: both ends must be.
    """

    LATENCY = 7

    def __init__(self, parameters: LinkParameters):
        self._parameters = parameters
        flits = stream.Signature(parameters.flit)
        super().__init__(
            {
                "transmit": In(flits),
                "receive": Out(flits),
                "i": In(flits),
                "o": Out(flits),
                "events": Out(LinkEvents),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.transmitter = transmitter = LinkTransmitter(self._parameters)
        m.submodules.receiver = receiver = LinkReceiver(self._parameters)
        for source, sink in (
            (self.transmit, transmitter.i),
            (transmitter.o, self.o),
            (self.i, receiver.i),
            (receiver.o, self.receive),
        ):
            connect_stream(m, source, sink)
        m.d.comb += [
            transmitter.heard.eq(receiver.heard),
            transmitter.acknowledge.eq(receiver.far_acknowledge),
            transmitter.wanted.eq(receiver.far_wanted),
            transmitter.own_acknowledge.eq(receiver.acknowledge),
            transmitter.own_wanted.eq(receiver.wanted),
            transmitter.news.eq(receiver.news),
            transmitter.urgent.eq(receiver.urgent),
            self.events.up.eq(receiver.up),
            self.events.replayed.eq(transmitter.replays),
            self.events.rejected.eq(receiver.rejects),
        ]
        return m
