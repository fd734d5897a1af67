"""Link layer: makes of a physical layer that damages and loses flits one that does not."""

from amaranth import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.fabric.link_receiver import LinkReceiver
from hw.fabric.link_transmitter import LinkTransmitter
from hw.spec.link import LinkParameters
from hw.stream.connect import connect_stream


class LinkEvents(data.Struct):
    """``up``: the far end is heard; pulses: this end went back (``replayed``), got a damaged word,
    asked the far end to go back (``rejected``), or put a flipped bit right (``corrected``)."""

    up: 1
    replayed: 1
    damaged: 1
    rejected: 1
    corrected: 1


class LinkLayer(wiring.Component):
    """Both directions at one end of a link.

    Parameters: ``parameters``.

    Ports
    -----
    transmit, receive : link flits of the transport, in and out
    i, o : words of the physical layer, in and out
    events : out, see :class:`LinkEvents`

    One flipped bit of a word is put right. Words that are damaged beyond that, lost or doubled on
    the way, and all behind them, are sent again (go-back-N), and ``receive`` sees each flit once
    and in order. Latency ``LATENCY_CYCLES``, and ``CORRECTION_CYCLES`` with correction, from
    ``transmit`` to the far end's ``receive``, without the physical layers; a flit per cycle. An
    end that is reset alone cannot be brought back: both ends must be.
    """

    def __init__(self, parameters: LinkParameters):
        self._parameters = parameters
        flits, words = stream.Signature(parameters.flit), stream.Signature(parameters.word)
        super().__init__(
            {
                "transmit": In(flits),
                "receive": Out(flits),
                "i": In(words),
                "o": Out(words),
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
            transmitter.nak_epoch.eq(receiver.far_nak_epoch),
            transmitter.own_acknowledge.eq(receiver.acknowledge),
            transmitter.own_nak_epoch.eq(receiver.nak_epoch),
            transmitter.acknowledgement_pending.eq(receiver.acknowledgement_pending),
            self.events.up.eq(receiver.up),
            self.events.replayed.eq(transmitter.replays),
            self.events.damaged.eq(receiver.damaged),
            self.events.rejected.eq(receiver.rejects),
            self.events.corrected.eq(receiver.corrected),
        ]
        return m
