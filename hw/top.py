"""The whole system on one clock: endpoints, links, switch. Wiring only, in packet order."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.csr.axi_lite import AxiLiteBridge, AxiLiteSignature, page_bits
from hw.csr.bus import ADDRESS_BITS
from hw.endpoint.attached import AttachedEndpoint
from hw.fabric.phy import DelayLine, FaultyLine
from hw.fabric.transport import TRANSPORT_CYCLES
from hw.memory.axi import AxiSignature
from hw.spec.buildable import check_buildable
from hw.spec.config import Config
from hw.spec.registers import dma_page, endpoint_page, pages
from hw.stream.connect import connect_stream
from hw.switch.switch import Switch


class System(wiring.Component):
    """Parameters: ``gated``: see :class:`hw.isa.reduction.Reduction` and
    :class:`hw.dma.dma.Dma`.

    Ports: ``axi`` (AXI4 out per endpoint, to its memory), ``host`` (AXI4-Lite in, pages as in
    :mod:`hw.spec.registers`), ``reducing``, ``quantizing`` and ``awake`` (DMA engines,
    those of endpoint 0 first) out."""

    def __init__(self, config: Config, *, gated: bool = False):
        self._gated = gated
        check_buildable(config)
        self._config = config
        endpoints = config.system.endpoints
        super().__init__(
            {
                "axi": Out(AxiSignature(config)).array(endpoints),
                "host": In(AxiLiteSignature(ADDRESS_BITS + page_bits(pages(endpoints)))),
                "reducing": Out(1),
                "quantizing": Out(1),
                "awake": Out(endpoints * config.dma.engines),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        endpoints = config.system.endpoints
        m.submodules.bridge = bridge = AxiLiteBridge(
            pages=range(pages(endpoints)), registered=config.fabric.registered
        )
        m.submodules.switch = switch = Switch(config, gated=self._gated)
        m.d.comb += [
            self.reducing.eq(switch.reducing),
            self.quantizing.eq(switch.quantizing),
        ]
        wiring.connect(m, wiring.flipped(self.host), bridge.axi)
        wiring.connect(m, bridge.page[0], switch.bus)
        for i in range(endpoints):
            endpoint = AttachedEndpoint(config, identity=i, gated=self._gated)
            m.submodules[f"endpoint_{i}"] = endpoint
            m.d.comb += self.awake.word_select(i, config.dma.engines).eq(endpoint.awake)
            wiring.connect(m, wiring.flipped(self.axi[i]), endpoint.axi)
            wiring.connect(m, bridge.page[endpoint_page(i)], endpoint.bus)
            wiring.connect(m, bridge.page[dma_page(endpoints, i)], endpoint.dma_bus)
            up = self._line(m, f"link_up_{i}", 2 * i)
            down = self._line(m, f"link_down_{i}", 2 * i + 1)
            for source, sink in (
                (endpoint.link_out, up.i),
                (up.o, switch.link_in[i]),
                (switch.link_out[i], down.i),
                (down.o, endpoint.link_in),
            ):
                connect_stream(m, source, sink)
        return m

    def _line(self, m, name, index):
        """One direction of a link."""
        config = self._config
        cycles = config.link.latency_cycles - TRANSPORT_CYCLES
        if config.link.fault_injection:
            line = FaultyLine(config, cycles=cycles, index=index)
        else:
            line = DelayLine(config, cycles=cycles)
        m.submodules[name] = line
        return line
