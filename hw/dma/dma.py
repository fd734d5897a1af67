"""The DMA engines of an endpoint, and how they share its ports."""

from amaranth import Cat, DomainRenamer, Module, Mux, Signal
from amaranth.hdl import ValueLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.csr.bus import CsrBus
from hw.dma.csr import EngineRegisters
from hw.dma.engine import Engine
from hw.fabric.merge import PacketArbiter
from hw.fabric.packets import header_of, node_id
from hw.memory.atomic import ADDITION_LAYOUT
from hw.memory.axi import BURST_LAYOUT, read_beat_layout, write_beat_layout
from hw.memory.windows import window_layout
from hw.spec.config import Config
from hw.spec.dma import ENGINE_BYTES, EngineState, RequestTag
from hw.spec.packet import WORD_BITS, flit_layout
from hw.stream.connect import connect_stream

LINGER_CYCLES = 15
"""How long the clock of an engine goes on after its last activity."""


def engine_domain(endpoint: int, engine: int) -> str:
    """Clock domain of an engine whose clock may rest."""
    return f"engine_{endpoint}_{engine}"


class Dma(wiring.Component):
    """Parameters: ``identity``, id of the endpoint, 0 … 15, or a value that holds it; ``gated``:
    each engine runs with its registers in a clock domain of its own, the same clock, which may
    rest while its bit of ``awake`` is low. Otherwise in ``sync``. Only an endpoint whose
    ``identity`` is a number can be gated.

    Ports: as :class:`hw.dma.engine.Engine`, arrays over the engines for memory and additions;
    ``bus`` is a page with ``ENGINE_BYTES`` for each engine. Packets to the fabric are merged
    round robin; answers find their engine by the tag, and those for an engine that is not
    there are dropped.
    """

    def __init__(self, config: Config, *, identity: ValueLike, gated: bool = False):
        self._gated = gated
        self._config = config
        self._identity = node_id(identity, number=gated)
        engines = config.dma.engines
        flits = stream.Signature(flit_layout(config))
        bursts = stream.Signature(BURST_LAYOUT)
        super().__init__(
            {
                "bus": In(CsrBus()),
                "awake": Out(engines),
                "clock": In(WORD_BITS),
                "windows": In(data.ArrayLayout(window_layout(config), config.endpoint.windows)),
                "read_burst": Out(bursts).array(engines),
                "read_beat": In(stream.Signature(read_beat_layout(config))).array(engines),
                "write_burst": Out(bursts).array(engines),
                "write_beat": Out(stream.Signature(write_beat_layout(config))).array(engines),
                "written": In(engines),
                "write_error": In(1),
                "addition": Out(stream.Signature(ADDITION_LAYOUT)).array(engines),
                "added": In(engines),
                "addition_error": In(1),
                "read_request": Out(flits),
                "write_request": Out(flits),
                "read_response": In(flits),
                "write_response": In(flits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, count = self._config, self._config.dma.engines
        m.submodules.read_turn = reads = PacketArbiter(config, count=count)
        m.submodules.write_turn = writes = PacketArbiter(config, count=count)
        connect_stream(m, reads.o, self.read_request)
        connect_stream(m, writes.o, self.write_request)
        engines = []
        page_bits = exact_log2(ENGINE_BYTES)
        chosen = self.bus.address[page_bits:]
        answered = Signal.like(chosen)
        absent = Signal()
        refusals = Signal(count)
        m.d.sync += [answered.eq(chosen), absent.eq(self.bus.write & (chosen >= count))]
        m.d.comb += [
            self.bus.read_refused.eq(answered >= count),
            self.bus.write_refused.eq(absent | refusals.any()),
        ]
        for index in range(count):
            engine = Engine(config, identity=self._identity, engine=index)
            registers = EngineRegisters(config)
            for name, part in (("engine", engine), ("registers", registers)):
                m.submodules[f"{name}_{index}"] = self._clocked(part, index)
            engines.append(engine)
            wiring.connect(m, registers.control, engine.control)
            m.d.comb += [
                registers.bus.address.eq(self.bus.address[:page_bits]),
                registers.bus.write.eq(self.bus.write & (chosen == index)),
                registers.bus.write_data.eq(self.bus.write_data),
                registers.cycles.eq(self.clock),
                refusals[index].eq(registers.bus.write_refused),
                self.awake[index].eq(self._awake(m, engine, registers.bus)),
                engine.ports.clock.eq(self.clock),
                engine.ports.windows.eq(self.windows),
                engine.ports.written.eq(self.written[index]),
                engine.ports.write_error.eq(self.write_error),
                engine.ports.added.eq(self.added[index]),
                engine.ports.addition_error.eq(self.addition_error),
            ]
            with m.If(answered == index):
                m.d.comb += [
                    self.bus.read_data.eq(registers.bus.read_data),
                    self.bus.read_refused.eq(registers.bus.read_refused),
                ]
            connect_stream(m, engine.ports.read_burst, self.read_burst[index])
            connect_stream(m, self.read_beat[index], engine.ports.read_beat)
            connect_stream(m, engine.ports.write_burst, self.write_burst[index])
            connect_stream(m, engine.ports.write_beat, self.write_beat[index])
            connect_stream(m, engine.ports.addition, self.addition[index])
            connect_stream(m, engine.ports.read_request, reads.i[index])
            connect_stream(m, engine.ports.write_request, writes.i[index])
        self._distribute(m, self.read_response, [e.ports.read_response for e in engines], "read")
        self._distribute(m, self.write_response, [e.ports.write_response for e in engines], "write")
        return m

    def _clocked(self, part, index):
        """Parts of an engine whose clock may rest are in its domain. Its name needs an id that is
        known here; an endpoint whose id is a signal is not gated.
        """
        if not self._gated:
            return part
        return DomainRenamer(engine_domain(self._identity, index))(part)

    def _awake(self, m, engine, bus):
        """Do the engine and its registers have anything to do, or have they just had?"""
        control = engine.control
        active, left = Signal(), Signal(range(LINGER_CYCLES + 1), init=LINGER_CYCLES)
        # What a register reads stays as long as nothing happens; another one has to be looked up.
        shown = Signal.like(bus.address)
        m.d.sync += shown.eq(bus.address)
        m.d.comb += active.eq(
            (bus.address != shown)
            | bus.write
            | (control.state == EngineState.RUNNING)
            | control.ring
            | control.inline_valid
            | control.reset
            | engine.ports.read_response.valid
            | engine.ports.write_response.valid
        )
        m.d.sync += left.eq(Mux(active, LINGER_CYCLES, Mux(left != 0, left - 1, 0)))
        return active | (left != 0)

    def _distribute(self, m, source, sinks, name):
        """A packet to the engine that its header's tag names."""
        tag = Signal(RequestTag.layout(), name=f"{name}_tag")
        owner = Signal(tag.engine.shape(), name=f"{name}_owner")
        held = Signal.like(owner, name=f"{name}_held")
        m.d.comb += [
            tag.eq(header_of(source.payload).tag),
            owner.eq(Mux(source.payload.first, tag.engine, held)),
        ]
        with m.If(source.valid & source.ready):
            m.d.sync += held.eq(owner)
        for index, sink in enumerate(sinks):
            m.d.comb += [
                sink.payload.eq(source.payload),
                sink.valid.eq(source.valid & (owner == index)),
            ]
        ready = Cat(sink.ready | (owner != index) for index, sink in enumerate(sinks)).all()
        m.d.comb += source.ready.eq(ready)
