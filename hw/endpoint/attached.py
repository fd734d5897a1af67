"""An endpoint with its end of the link."""

from amaranth import Module
from amaranth.hdl import ValueLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.csr.bus import CsrBus
from hw.endpoint.endpoint import Endpoint
from hw.fabric.packets import node_id
from hw.fabric.phy import wire_signature
from hw.fabric.transport import Transport
from hw.memory.axi import AxiSignature
from hw.spec.config import Config
from hw.spec.packet import TO_ENDPOINT, TO_SWITCH
from hw.stream.connect import connect_stream


class AttachedEndpoint(wiring.Component):
    """:class:`hw.endpoint.endpoint.Endpoint` behind a transport that counts its flits.

    Parameters: as of ``Endpoint``. Ports: ``axi``, ``bus``, ``dma_bus``, ``awake`` of the
    endpoint; ``link_out``, ``link_in``.
    """

    def __init__(self, config: Config, *, identity: ValueLike, gated: bool = False):
        self._config = config
        self._identity = node_id(identity, number=gated)
        self._gated = gated
        super().__init__(
            {
                "axi": Out(AxiSignature(config)),
                "bus": In(CsrBus()),
                "dma_bus": In(CsrBus()),
                "awake": Out(config.dma.engines),
                "link_out": Out(wire_signature(config)),
                "link_in": In(wire_signature(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.endpoint = endpoint = Endpoint(
            config, identity=self._identity, gated=self._gated
        )
        m.submodules.transport = transport = Transport(
            config, transmit=TO_SWITCH, receive=TO_ENDPOINT, buffered=TO_SWITCH
        )
        for name in ("axi", "bus", "dma_bus"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(endpoint, name))
        for source, sink in (
            *zip(endpoint.to_switch, transport.transmit, strict=True),
            *zip(transport.receive, endpoint.from_switch, strict=True),
            (transport.link_out, self.link_out),
            (self.link_in, transport.link_in),
        ):
            connect_stream(m, source, sink)
        m.d.comb += [
            self.awake.eq(endpoint.awake),
            endpoint.counts.eq(transport.counts),
            endpoint.link_events.eq(transport.events),
            endpoint.peer_dead.eq(transport.peer_dead),
        ]
        return m
