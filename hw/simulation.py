"""The system with its memories, as it is simulated."""

from amaranth import ClockDomain, ClockSignal, Instance, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.csr.axi_lite import AxiLiteSignature
from hw.csr.bus import ADDRESS_BITS
from hw.dma.dma import engine_domain
from hw.memory.axi import id_bits
from hw.spec.config import Config
from hw.spec.registers import pages
from hw.top import System

AR, AW = ("araddr", "arlen", "arid", "arvalid"), ("awaddr", "awlen", "awid", "awvalid")
MEMORY_PORTS_IN = (*AR, *AW, "wdata", "wstrb", "wlast", "wvalid", "bready", "rready")
B, R = ("bid", "bresp", "bvalid"), ("rid", "rdata", "rresp", "rlast", "rvalid")
MEMORY_PORTS_OUT = (*B, *R, "awready", "wready", "arready")


class SimulatedSystem(wiring.Component):
    """:class:`hw.top.System` with ``rtl/sim/axi_memory.sv`` at every AXI4 port.

    Ports: ``clk``, ``rst`` (synchronous) in; ``reduce_clk``, ``quantize_clk``, ``engine_clk`` (a
    bit per DMA engine) in, the same clock, which may rest while ``reducing``, ``quantizing``, or
    the engine's bit of ``awake`` (all out), is low: a simulator then passes over that part;
    ``host`` (AXI4-Lite in), whose inputs count from an edge of ``host_clk`` (in) on, as if they
    changed there.

    Reset and the host's inputs go through registers, so that no gate hangs on an input of the
    simulation: a simulator looks at those whenever any input changes, the clock included.
    """

    def __init__(self, config: Config):
        self._config = config
        page_bits = ceil_log2(pages(config.system.endpoints))
        engines = config.system.endpoints * config.dma.engines
        super().__init__(
            {
                "clk": In(1),
                "rst": In(1),
                "reduce_clk": In(1),
                "quantize_clk": In(1),
                "engine_clk": In(engines),
                "awake": Out(engines),
                "host_clk": In(1),
                "host": In(AxiLiteSignature(ADDRESS_BITS + page_bits)),
                "reducing": Out(1),
                "quantizing": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.domains.start = ClockDomain(reset_less=True)
        m.domains.sync = ClockDomain()
        reset = Signal(init=1)
        m.d.start += reset.eq(self.rst)
        m.d.comb += [
            ClockSignal("start").eq(self.clk),
            ClockSignal("sync").eq(self.clk),
            ResetSignal("sync").eq(reset),
        ]
        m.submodules.system = system = System(config, gated=True)
        for domain, clock, wanted, needed in (
            ("reduce", self.reduce_clk, system.reducing, self.reducing),
            ("quantize", self.quantize_clk, system.quantizing, self.quantizing),
        ):
            m.d.comb += needed.eq(wanted | self._resting_domain(m, domain, clock, reset))
        for number in range(len(self.awake)):
            domain = engine_domain(*divmod(number, config.dma.engines))
            held = self._resting_domain(m, domain, self.engine_clk[number], reset)
            m.d.comb += self.awake[number].eq(system.awake[number] | held)
        self._connect_host(m, system.host)
        for i, port in enumerate(system.axi):
            m.submodules[f"memory_{i}"] = Instance(
                "axi_memory",
                ("p", "INDEX", i),
                ("p", "DATA_BITS", config.flit_bits),
                ("p", "ID_BITS", id_bits(config)),
                ("p", "LATENCY", config.endpoint.memory_latency_cycles),
                ("p", "BYTES", config.endpoint.memory_bytes),
                ("i", "clk", ClockSignal()),
                ("i", "rst", ResetSignal()),
                *(("i", name, getattr(port, name)) for name in MEMORY_PORTS_IN),
                *(("o", name, getattr(port, name)) for name in MEMORY_PORTS_OUT),
            )
        return m

    def _connect_host(self, m, inside):
        m.domains.host = ClockDomain(reset_less=True)
        m.d.comb += ClockSignal("host").eq(self.host_clk)
        for (name,), member, port in self.host.signature.flatten(self.host):
            if member.flow == In:
                held = Signal.like(port, name=f"held_{name}")
                m.d.host += held.eq(port)
                m.d.comb += getattr(inside, name).eq(held)
            else:
                m.d.comb += port.eq(getattr(inside, name))

    def _resting_domain(self, m, name: str, clock, reset):
        """A domain whose clock may rest, with a reset of its own: all its logic hangs on the
        reset, and would not rest if that came from a clock that goes on. True while the clock
        is needed for it."""
        held = Signal(init=1, name=f"{name}_reset")
        start = f"{name}_start"
        domain = ClockDomain(name)
        # Named alike, so that parts that differ in their domain only are emitted as one module.
        domain.clk, domain.rst = Signal(name="resting_clk"), Signal(name="resting_rst")
        m.domains += [domain, ClockDomain(start, reset_less=True)]
        m.d[start] += held.eq(reset)
        m.d.comb += [
            ClockSignal(name).eq(clock),
            ClockSignal(start).eq(clock),
            ResetSignal(name).eq(held),
        ]
        return held | reset
