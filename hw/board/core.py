"""What is on one board, without anything of its technology."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.board.contents import Contents
from hw.board.registers import EYE_BITS, BoardRegisters
from hw.csr.axi_lite import AxiLiteBridge, AxiLiteSignature
from hw.endpoint.attached import AttachedEndpoint
from hw.fabric.phy import wire_signature
from hw.host.decoder import HostDecoder
from hw.memory.block_ram import BlockRam
from hw.phy.supervisor import LinkStatus
from hw.spec.buildable import check_buildable
from hw.spec.checks import fits, within
from hw.spec.host import ADDRESS_BITS, BOARD_PAGE, MOST_LANES
from hw.spec.registers import dma_page, endpoint_page
from hw.stream.connect import connect_stream
from hw.switch.switch import Switch


class BoardCore(wiring.Component):
    """The instances of a board, the links between them, and the host's access to all.

    Parameters: ``contents``; ``clock_khz``, told to the host, a number of 32 bits; ``lanes`` of a
    link, 1 … 8.

    Ports
    -----
    host : AXI4-Lite in, addresses as in :mod:`hw.spec.host`
    link_out, link_in : per link to another board, towards its physical layer
    link_status, link_eye : in, what that says of itself

    Where both ends of a link are here, they are wired to each other.
    """

    def __init__(self, contents: Contents, *, clock_khz: int, lanes: int):
        check_buildable(contents.config)
        self._contents = contents
        self._clock_khz = fits("clock_khz", clock_khz, 32)
        self._lanes = within("lanes", lanes, 1, MOST_LANES)
        link = wire_signature(contents.config)
        super().__init__(
            {
                "host": In(AxiLiteSignature(ADDRESS_BITS)),
                "link_out": Out(link).array(contents.links),
                "link_in": In(link).array(contents.links),
                "link_status": In(LinkStatus).array(contents.links),
                "link_eye": In(EYE_BITS).array(contents.links, lanes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        contents, config = self._contents, self._contents.config
        count = contents.endpoints
        m.submodules.registers = registers = BoardRegisters(
            contents, clock_khz=self._clock_khz, lanes=self._lanes
        )
        pages = {BOARD_PAGE: registers.bus}
        attached, memories = [], []
        for index in range(count):
            endpoint = AttachedEndpoint(config, identity=registers.node[index])
            m.submodules[f"endpoint_{index}"] = endpoint
            m.submodules[f"memory_{index}"] = storage = BlockRam(config)
            wiring.connect(m, endpoint.axi, storage.axi)
            pages[endpoint_page(index)] = endpoint.bus
            pages[dma_page(count, index)] = endpoint.dma_bus
            attached.append((endpoint.link_out, endpoint.link_in))
            memories.append(storage.host)
        if contents.switch:
            m.submodules.switch = switch = Switch(config)
            pages[0] = switch.bus
            ports = list(zip(switch.link_out, switch.link_in, strict=True))
            for (endpoint_out, endpoint_in), (switch_out, switch_in) in zip(
                attached, ports, strict=False
            ):
                connect_stream(m, endpoint_out, switch_in)
                connect_stream(m, switch_out, endpoint_in)
            attached = ports[count:]
        for index, (out, into) in enumerate(attached):
            connect_stream(m, out, self.link_out[index])
            connect_stream(m, self.link_in[index], into)
        for name in ("link_status", "link_eye"):
            for outer, inner in zip(getattr(self, name), getattr(registers, name), strict=True):
                if name == "link_status":
                    m.d.comb += inner.eq(outer)
                else:
                    m.d.comb += [a.eq(b) for a, b in zip(inner, outer, strict=True)]

        numbers = sorted(pages)
        m.submodules.bridge = bridge = AxiLiteBridge(
            pages=numbers, registered=config.fabric.registered
        )
        for number, bus in zip(numbers, bridge.page, strict=True):
            wiring.connect(m, bus, pages[number])
        m.submodules.decoder = decoder = HostDecoder(
            register_bits=len(bridge.axi.araddr), memories=count
        )
        wiring.connect(m, wiring.flipped(self.host), decoder.axi)
        wiring.connect(m, decoder.registers, bridge.axi)
        for port, storage in zip(decoder.memory, memories, strict=True):
            wiring.connect(m, port, storage)
        return m
