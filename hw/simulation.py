"""The system with its memories, as it is simulated."""

from amaranth import ClockSignal, Instance, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.csr.axi_lite import AxiLiteSignature
from hw.csr.bus import ADDRESS_BITS
from hw.spec.config import Config
from hw.top import System

AR, AW = ("araddr", "arlen", "arid", "arvalid"), ("awaddr", "awlen", "awid", "awvalid")
MEMORY_PORTS_IN = (*AR, *AW, "wdata", "wstrb", "wlast", "wvalid", "bready", "rready")
B, R = ("bid", "bresp", "bvalid"), ("rid", "rdata", "rresp", "rlast", "rvalid")
MEMORY_PORTS_OUT = (*B, *R, "awready", "wready", "arready")


class SimulatedSystem(wiring.Component):
    """:class:`hw.top.System` with ``rtl/sim/axi_memory.sv`` at every AXI4 port.

    Ports: ``host`` (AXI4-Lite in); ``quantizing`` out. If block-scaled formats are built, the
    clock ``quantize_clk`` is a second one to drive, at rest while nothing is quantized:
    a simulator then passes over half of all gates.
    """

    def __init__(self, config: Config):
        self._config = config
        page_bits = config.system.endpoints.bit_length()
        super().__init__(
            {
                "host": In(AxiLiteSignature(ADDRESS_BITS + page_bits)),
                "quantizing": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.system = system = System(config, gated=True)
        m.d.comb += self.quantizing.eq(system.quantizing)
        wiring.connect(m, wiring.flipped(self.host), system.host)
        for i, port in enumerate(system.axi):
            m.submodules[f"memory_{i}"] = Instance(
                "axi_memory",
                ("p", "INDEX", i),
                ("p", "DATA_BITS", config.flit_bits),
                ("p", "LATENCY", config.endpoint.memory_latency_cycles),
                ("p", "BYTES", config.endpoint.memory_bytes),
                ("i", "clk", ClockSignal()),
                ("i", "rst", ResetSignal()),
                *(("i", name, getattr(port, name)) for name in MEMORY_PORTS_IN),
                *(("o", name, getattr(port, name)) for name in MEMORY_PORTS_OUT),
            )
        return m
