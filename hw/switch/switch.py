"""The switch: ordinary forwarding beside the in-switch accelerator."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.csr.bus import CsrBus
from hw.fabric.phy import wire_signature
from hw.fabric.transport import Transport
from hw.isa.isa import Isa
from hw.spec.config import Config
from hw.spec.packet import (
    CORE_CHANNELS,
    FROM_ACCELERATOR,
    TO_ENDPOINT,
    TO_SWITCH,
    Channel,
    message_class,
)
from hw.stream.connect import connect_stream
from hw.switch.crossbar import Crossbar
from hw.switch.path import share_path
from hw.switch.refuser import Refuser
from hw.switch.route import ANSWER_CLASS


class Switch(wiring.Component):
    """Transport per port, a crossbar per message class, one accelerator.

    Parameters: ``gated``: see :class:`hw.isa.reduction.Reduction`.

    Ports: ``link_in``, ``link_out`` per port; ``bus`` (registers); ``reducing`` and
    ``quantizing``. The INC bit of a packet has already chosen its channel, so
    demultiplexing on RX costs nothing, and the transport's round robin shares each TX link
    between switch core and accelerator.
    """

    def __init__(self, config: Config, *, gated: bool = False):
        self._gated = gated
        self._config = config
        ports = config.system.endpoints
        super().__init__(
            {
                "link_in": In(wire_signature(config)).array(ports),
                "link_out": Out(wire_signature(config)).array(ports),
                "bus": In(CsrBus()),
                "reducing": Out(1),
                "quantizing": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.isa = isa = Isa(config, gated=self._gated)
        m.d.comb += [self.reducing.eq(isa.reducing), self.quantizing.eq(isa.quantizing)]
        crossbars = {
            channel: Crossbar(config, message_class=message_class(channel))
            for channel in CORE_CHANNELS
        }
        for channel, crossbar in crossbars.items():
            m.submodules[f"crossbar_{channel.name.lower()}"] = crossbar
        if config.fabric.registered:
            share_path(m, config, list(crossbars.values()))
        wiring.connect(m, wiring.flipped(self.bus), isa.bus)
        misrouted = [bit for crossbar in crossbars.values() for bit in crossbar.misrouted]
        alive = Signal(config.system.endpoints)
        m.d.comb += [crossbar.alive.eq(alive) for crossbar in crossbars.values()]
        self._refuse(m, crossbars)
        for i in range(config.system.endpoints):
            transport = Transport(
                config, transmit=TO_ENDPOINT, receive=TO_SWITCH, buffered=FROM_ACCELERATOR
            )
            m.submodules[f"transport_{i}"] = transport
            m.d.comb += [
                isa.dead_peers[i].eq(transport.peer_dead),
                alive[i].eq(~transport.peer_dead),
            ]
            misrouted.append(transport.counts.unknown)
            connect_stream(m, self.link_in[i], transport.link_in)
            connect_stream(m, transport.link_out, self.link_out[i])
            into = dict(zip(TO_SWITCH, transport.receive, strict=True))
            out = dict(zip(TO_ENDPOINT, transport.transmit, strict=True))
            for channel, crossbar in crossbars.items():
                connect_stream(m, into[channel], crossbar.i[i])
                connect_stream(m, crossbar.o[i], out[channel])
            connect_stream(m, into[Channel.ISA_WRITE_REQUEST], isa.arrivals[i])
            connect_stream(m, into[Channel.ISA_READ_RESPONSE], isa.read_response[i])
            connect_stream(m, into[Channel.ISA_WRITE_RESPONSE], isa.write_response[i])
            connect_stream(m, isa.read_request[i], out[Channel.ISA_READ_REQUEST])
            connect_stream(m, isa.write_request[i], out[Channel.ISA_WRITE_REQUEST])
        m.d.comb += isa.misrouted.eq(sum(misrouted))
        return m

    def _refuse(self, m, crossbars):
        """The switch answers for destinations that cannot be reached, in the response's class."""
        classes = {message_class(channel): crossbar for channel, crossbar in crossbars.items()}
        for request, response in ANSWER_CLASS.items():
            for i, refusal in enumerate(classes[request].refusal):
                refuser = Refuser(self._config, message_class=request, port=i)
                m.submodules[f"refuser_{request.name.lower()}_{i}"] = refuser
                connect_stream(m, refusal, refuser.i)
                connect_stream(m, refuser.o, classes[response].answer[i])
