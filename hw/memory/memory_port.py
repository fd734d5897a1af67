"""The endpoint's AXI4 port, shared by its requesters."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.memory.axi import (
    BURST_INCR,
    BURST_LAYOUT,
    OKAY,
    AxiId,
    AxiSignature,
    id_bits,
    read_beat_layout,
    readers,
    write_beat_layout,
    writers,
)
from hw.spec.config import Config
from hw.stream.arbiter import RoundRobin, StreamArbiter, select
from hw.stream.connect import connect_stream, register_stage
from hw.stream.queue import Buffer, Queue


class MemoryPort(wiring.Component):
    """Bursts of several requesters onto one AXI4 port.

    Ports
    -----
    axi : AXI4 out
    read_burst, read_beat : per id of :func:`hw.memory.axi.readers`; beats must be taken at
        once
    write_burst, write_beat : per id of :func:`hw.memory.axi.writers`; a writer keeps the
        data channel from its burst to the last beat
    written, write_error : pulse per writer, its next burst is visible

    Round robin between requesters, burst by burst. Each has an id of its own, so AXI4
    returns its answers in order. ``user`` is 1 for the accelerator's accesses (INC). One
    beat per cycle each way, no gap between bursts; 1 cycle to the port, 2 for data written, none
    back.
    """

    def __init__(self, config: Config):
        self._config = config
        self._readers, self._writers = readers(config), writers(config)
        self._tagged = data.StructLayout({"burst": BURST_LAYOUT, "id": id_bits(config)})
        bursts = stream.Signature(BURST_LAYOUT)
        read_beats = stream.Signature(read_beat_layout(config))
        write_beats = stream.Signature(write_beat_layout(config))
        super().__init__(
            {
                "axi": Out(AxiSignature(config)),
                "read_burst": In(bursts).array(len(self._readers)),
                "read_beat": Out(read_beats).array(len(self._readers)),
                "write_burst": In(bursts).array(len(self._writers)),
                "write_beat": In(write_beats).array(len(self._writers)),
                "written": Out(len(self._writers)),
                "write_error": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self._read(m)
        self._write(m)
        return m

    def _entrance(self, m, name, source, layout):
        """With ``fabric.registered`` requesters are a register away from their choice."""
        if not self._config.fabric.registered:
            return source
        return register_stage(m, name, source, Buffer)

    def _address(self, m, channel: str, queue, size: int):
        axi = self.axi
        tagged = queue.o.payload
        for name, value in (
            ("addr", tagged.burst.address),
            ("len", tagged.burst.beats - 1),
            ("size", size),
            ("burst", BURST_INCR),
            ("user", tagged.id == AxiId.ISA),
            ("id", tagged.id),
            ("valid", queue.o.valid),
        ):
            m.d.comb += getattr(axi, channel + name).eq(value)
        m.d.comb += queue.o.ready.eq(getattr(axi, channel + "ready"))

    def _read(self, m):
        axi = self.axi
        m.submodules.read_turn = turn = StreamArbiter(self._tagged, count=len(self._readers))
        m.submodules.ar = queue = Buffer(self._tagged)
        for index, reader in enumerate(self._readers):
            burst = self._entrance(m, f"read_burst_{index}", self.read_burst[index], BURST_LAYOUT)
            m.d.comb += [
                turn.i[index].valid.eq(burst.valid),
                turn.i[index].payload.burst.eq(burst.payload),
                turn.i[index].payload.id.eq(reader),
                burst.ready.eq(turn.i[index].ready),
                self.read_beat[index].valid.eq(axi.rvalid & (axi.rid == reader)),
                self.read_beat[index].payload.data.eq(axi.rdata),
                self.read_beat[index].payload.error.eq(axi.rresp != OKAY),
            ]
        connect_stream(m, turn.o, queue.i)
        self._address(m, "ar", queue, exact_log2(self._config.fabric.flit_bytes))
        m.d.comb += axi.rready.eq(1)

    def _write(self, m):
        axi = self.axi
        m.submodules.write_turn = turn = RoundRobin(len(self._writers))
        m.submodules.aw = addresses = Buffer(self._tagged)
        # Data follows its address by a cycle, for a memory that takes none before it knows where
        # it goes; a shorter queue would then stall in every burst.
        m.submodules.w = beats = Queue(write_beat_layout(self._config), depth=4)
        bursts, sources = [], []
        for index in range(len(self._writers)):
            bursts.append(
                self._entrance(m, f"write_burst_{index}", self.write_burst[index], BURST_LAYOUT)
            )
            layout = write_beat_layout(self._config)
            sources.append(self._entrance(m, f"write_beat_{index}", self.write_beat[index], layout))
        # Requesters offer no beat before its burst is taken, but registers between do.
        passes = Signal()
        holder = Signal(len(self._writers))
        grant = Signal(len(self._writers))
        m.d.comb += [
            turn.requests.eq(Cat(source.valid for source in bursts)),
            grant.eq(Mux(holder.any(), holder, turn.grant)),
            addresses.i.valid.eq(~holder.any() & turn.requests.any()),
            addresses.i.payload.burst.eq(select(grant, [source.payload for source in bursts])),
            addresses.i.payload.id.eq(select(grant, self._writers)),
            turn.advance.eq(addresses.i.valid & addresses.i.ready),
            beats.i.valid.eq(select(grant, [source.valid for source in sources]) & passes),
            beats.i.payload.eq(select(grant, [source.payload for source in sources])),
        ]
        for index in range(len(self._writers)):
            m.d.comb += [
                bursts[index].ready.eq(grant[index] & ~holder.any() & addresses.i.ready),
                sources[index].ready.eq(grant[index] & beats.i.ready & passes),
            ]
        if self._config.fabric.registered:
            m.d.comb += passes.eq(holder.any() | turn.advance)
        else:
            m.d.comb += passes.eq(1)
        ended = beats.i.valid & beats.i.ready & beats.i.payload.last
        with m.If(ended):
            m.d.sync += holder.eq(0)
        with m.Elif(turn.advance):
            m.d.sync += holder.eq(grant)

        self._address(m, "aw", addresses, exact_log2(self._config.fabric.flit_bytes))
        m.d.comb += [
            axi.wdata.eq(beats.o.payload.data),
            axi.wstrb.eq(beats.o.payload.strobe),
            axi.wlast.eq(beats.o.payload.last),
            axi.wvalid.eq(beats.o.valid),
            beats.o.ready.eq(axi.wready),
            axi.bready.eq(1),
            self.write_error.eq(axi.bresp != OKAY),
            self.written.eq(Cat(axi.bvalid & (axi.bid == writer) for writer in self._writers)),
        ]
