"""The whole system on one clock: endpoints, links, switch. Wiring only, in packet order."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.csr.axi_lite import AxiLiteBridge, AxiLiteSignature
from hw.csr.bus import ADDRESS_BITS
from hw.endpoint.axi import AxiSignature
from hw.endpoint.endpoint import Endpoint
from hw.fabric.phy import DelayLine
from hw.fabric.transport import TRANSPORT_CYCLES, Transport
from hw.spec.buildable import check_buildable
from hw.spec.config import Config
from hw.spec.packet import TO_ENDPOINT, TO_SWITCH
from hw.spec.registers import dma_page, endpoint_page, pages
from hw.stream.connect import connect_stream
from hw.switch.switch import Switch


class System(wiring.Component):
    """Parameters: ``gated``: see :class:`hw.isa.reduction.Reduction` and
    :class:`hw.dma.dma.Dma`.

    Ports: ``axi`` (AXI4 out per endpoint, to its memory), ``host`` (AXI4-Lite in, pages as in
    :mod:`hw.spec.registers`), ``quantizing`` and ``awake`` (DMA engines, those of
    endpoint 0 first) out."""

    def __init__(self, config: Config, *, gated: bool = False):
        self._gated = gated
        check_buildable(config)
        self._config = config
        endpoints = config.system.endpoints
        page_bits = (pages(endpoints) - 1).bit_length()
        super().__init__(
            {
                "axi": Out(AxiSignature(config)).array(endpoints),
                "host": In(AxiLiteSignature(ADDRESS_BITS + page_bits)),
                "quantizing": Out(1),
                "awake": Out(endpoints * config.dma.engines),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        endpoints = config.system.endpoints
        m.submodules.bridge = bridge = AxiLiteBridge(pages=pages(endpoints))
        m.submodules.switch = switch = Switch(config, gated=self._gated)
        m.d.comb += self.quantizing.eq(switch.quantizing)
        wiring.connect(m, wiring.flipped(self.host), bridge.axi)
        wiring.connect(m, bridge.page[0], switch.bus)
        for i in range(endpoints):
            endpoint = Endpoint(config, identity=i, gated=self._gated)
            transport = Transport(config, transmit=TO_SWITCH, receive=TO_ENDPOINT)
            m.submodules[f"endpoint_{i}"] = endpoint
            m.d.comb += self.awake.word_select(i, config.dma.engines).eq(endpoint.awake)
            m.submodules[f"transport_{i}"] = transport
            wiring.connect(m, wiring.flipped(self.axi[i]), endpoint.axi)
            wiring.connect(m, bridge.page[endpoint_page(i)], endpoint.bus)
            wiring.connect(m, bridge.page[dma_page(endpoints, i)], endpoint.dma_bus)
            for source, sink in zip(endpoint.to_switch, transport.transmit, strict=True):
                connect_stream(m, source, sink)
            for source, sink in zip(transport.receive, endpoint.from_switch, strict=True):
                connect_stream(m, source, sink)
            cycles = config.link.latency_cycles - TRANSPORT_CYCLES
            m.submodules[f"link_up_{i}"] = up = DelayLine(config, cycles=cycles)
            m.submodules[f"link_down_{i}"] = down = DelayLine(config, cycles=cycles)
            for source, sink in (
                (transport.link_out, up.i),
                (up.o, switch.link_in[i]),
                (switch.link_out[i], down.i),
                (down.o, transport.link_in),
            ):
                m.d.comb += [sink.valid.eq(source.valid), sink.payload.eq(source.payload)]
            m.d.comb += [
                endpoint.transmitted.eq(transport.link_out.valid),
                endpoint.payload_transmitted.eq(_carries_payload(transport.link_out)),
                endpoint.received.eq(transport.link_in.valid),
                endpoint.payload_received.eq(_carries_payload(transport.link_in)),
            ]
        return m


def _carries_payload(link):
    return link.valid & ~link.payload.credit & ~link.payload.flit.first
