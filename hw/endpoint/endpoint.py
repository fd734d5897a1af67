"""An endpoint: stands in for an accelerator and its memory."""

from amaranth import Module
from amaranth.hdl import ValueLike
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.csr.bus import CsrBus
from hw.csr.cycle_counter import CycleCounter
from hw.dma.dma import Dma
from hw.endpoint.csr import EndpointRegisters
from hw.endpoint.read_server import ReadServer
from hw.endpoint.sync import Sync
from hw.endpoint.traffic import Traffic
from hw.endpoint.write_server import WriteServer
from hw.fabric.link import LinkEvents
from hw.fabric.merge import PacketArbiter
from hw.fabric.packets import node_id
from hw.fabric.transport import TransportCounts
from hw.memory.atomic import Atomic
from hw.memory.axi import AxiId, AxiSignature, readers, writers
from hw.memory.memory_port import MemoryPort
from hw.spec.config import Config
from hw.spec.packet import TO_ENDPOINT, TO_SWITCH, Channel, QueueSet, flit_layout
from hw.stream.connect import connect_stream


class Endpoint(wiring.Component):
    """Translate between packets and AXI4, synchronise, move data, make ordinary traffic.

    Parameters: ``identity``, id of the endpoint, 0 … 15, or a register that holds it;
    ``gated``: see :class:`hw.dma.dma.Dma`, needs a number.

    Ports
    -----
    to_switch, from_switch : flit streams per channel, in the order of ``TO_SWITCH`` and
        ``TO_ENDPOINT``
    axi : AXI4 out, the memory
    bus, dma_bus : registers of the endpoint, and of its DMA engines
    awake : out, DMA engines that have something to do
    counts, link_events, peer_dead : in, of the transport, see
        :class:`hw.fabric.transport.TransportCounts`; shown in registers

    The two queue sets have servers of their own, so that neither blocks the other.
    """

    def __init__(self, config: Config, *, identity: ValueLike, gated: bool = False):
        self._gated = gated
        self._config = config
        self._identity = node_id(identity, number=gated)
        flits = stream.Signature(flit_layout(config))
        super().__init__(
            {
                "to_switch": Out(flits).array(len(TO_SWITCH)),
                "from_switch": In(flits).array(len(TO_ENDPOINT)),
                "axi": Out(AxiSignature(config)),
                "bus": In(CsrBus()),
                "dma_bus": In(CsrBus()),
                "awake": Out(config.dma.engines),
                "counts": In(TransportCounts),
                "link_events": In(LinkEvents),
                "peer_dead": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, identity = self._config, self._identity
        m.submodules.memory = memory = MemoryPort(config)
        m.submodules.sync = sync = Sync(config, identity=identity)
        m.submodules.traffic = traffic = Traffic(config, identity=identity)
        m.submodules.registers = registers = EndpointRegisters(config, sync=sync, traffic=traffic)
        wiring.connect(m, wiring.flipped(self.axi), memory.axi)
        wiring.connect(m, wiring.flipped(self.bus), registers.bus)
        m.d.comb += [
            registers.counts.eq(self.counts),
            registers.link_events.eq(self.link_events),
            registers.peer_dead.eq(self.peer_dead),
        ]
        out = dict(zip(TO_SWITCH, self.to_switch, strict=True))
        into = dict(zip(TO_ENDPOINT, self.from_switch, strict=True))

        m.submodules.cycle_counter = counter = CycleCounter()
        m.d.comb += registers.cycles.eq(counter.cycles)
        reads, writes = readers(config), writers(config)
        writers_of = {}
        for queue_set, identifier in ((QueueSet.CORE, AxiId.CORE), (QueueSet.ISA, AxiId.ISA)):
            prefix = queue_set.name
            read = ReadServer(config, queue_set=queue_set, identity=identity)
            write = WriteServer(config, queue_set=queue_set, identity=identity)
            m.submodules[f"read_{prefix.lower()}"] = read
            m.submodules[f"write_{prefix.lower()}"] = writers_of[queue_set] = write
            connect_stream(m, into[Channel[f"{prefix}_READ_REQUEST"]], read.i)
            connect_stream(m, into[Channel[f"{prefix}_WRITE_REQUEST"]], write.i)
            connect_stream(m, read.o, out[Channel[f"{prefix}_READ_RESPONSE"]])
            connect_stream(m, write.o, out[Channel[f"{prefix}_WRITE_RESPONSE"]])
            reader, writer = reads.index(identifier), writes.index(identifier)
            connect_stream(m, read.burst, memory.read_burst[reader])
            connect_stream(m, memory.read_beat[reader], read.beat)
            connect_stream(m, write.burst, memory.write_burst[writer])
            connect_stream(m, write.beat, memory.write_beat[writer])
            m.d.comb += [
                write.written.eq(memory.written[writer]),
                write.write_error.eq(memory.write_error),
                read.windows.eq(registers.windows),
                write.windows.eq(registers.windows),
            ]
            with m.If(registers.fault_set == queue_set):
                m.d.comb += [
                    read.fault.eq(registers.fault),
                    write.fault.eq(registers.fault),
                    registers.fault_taken.eq(read.fault_taken | write.fault_taken),
                ]
        isa_write = writers_of[QueueSet.ISA]
        m.d.comb += [
            registers.visible.eq(isa_write.visible),
            registers.core_bytes.eq(writers_of[QueueSet.CORE].stored_bytes),
            registers.isa_bytes.eq(isa_write.stored_bytes),
        ]

        poll = reads.index(AxiId.POLL)
        connect_stream(m, sync.burst, memory.read_burst[poll])
        connect_stream(m, memory.read_beat[poll], sync.beat)
        connect_stream(m, sync.o, out[Channel.ISA_WRITE_REQUEST])
        self._move_data(m, out, into, memory, registers, traffic, counter.cycles, writers_of)
        return m

    def _move_data(self, m, out, into, memory, registers, traffic, clock, writers_of):
        """DMA engines, and the atomic additions they share with the fabric."""
        config = self._config
        reads, writes = readers(config), writers(config)
        m.submodules.dma = dma = Dma(config, identity=self._identity, gated=self._gated)
        requesters = [writers_of[queue_set] for queue_set in QueueSet]
        m.submodules.atomic = atomic = Atomic(
            config, requesters=len(requesters) + config.dma.engines
        )
        m.submodules.requests = requests = PacketArbiter(config, count=2)
        wiring.connect(m, wiring.flipped(self.dma_bus), dma.bus)
        for index, server in enumerate(requesters):
            connect_stream(m, server.addition, atomic.i[index])
            m.d.comb += [
                server.added.eq(atomic.done[index]),
                server.addition_error.eq(atomic.error),
            ]
        read, write = reads.index(AxiId.ATOMIC), writes.index(AxiId.ATOMIC)
        first_read, first_write = reads.index(AxiId.DMA), writes.index(AxiId.DMA)
        for source, sink in (
            (atomic.read_burst, memory.read_burst[read]),
            (memory.read_beat[read], atomic.read_beat),
            (atomic.write_burst, memory.write_burst[write]),
            (atomic.write_beat, memory.write_beat[write]),
            (dma.write_request, requests.i[0]),
            (traffic.o, requests.i[1]),
            (requests.o, out[Channel.CORE_WRITE_REQUEST]),
            (dma.read_request, out[Channel.CORE_READ_REQUEST]),
            (into[Channel.CORE_READ_RESPONSE], dma.read_response),
            (into[Channel.CORE_WRITE_RESPONSE], dma.write_response),
        ):
            connect_stream(m, source, sink)
        for index in range(config.dma.engines):
            connect_stream(m, dma.read_burst[index], memory.read_burst[first_read + index])
            connect_stream(m, memory.read_beat[first_read + index], dma.read_beat[index])
            connect_stream(m, dma.write_burst[index], memory.write_burst[first_write + index])
            connect_stream(m, dma.write_beat[index], memory.write_beat[first_write + index])
            connect_stream(m, dma.addition[index], atomic.i[len(requesters) + index])
        answers = into[Channel.CORE_WRITE_RESPONSE]
        m.d.comb += [
            atomic.written.eq(memory.written[write]),
            atomic.write_error.eq(memory.write_error),
            self.awake.eq(dma.awake),
            dma.clock.eq(clock),
            dma.windows.eq(registers.windows),
            dma.written.eq(memory.written[first_write:]),
            dma.write_error.eq(memory.write_error),
            dma.added.eq(atomic.done[len(requesters) :]),
            dma.addition_error.eq(atomic.error),
            # Ordinary traffic sees all answers and counts its own.
            traffic.response.payload.eq(answers.payload),
            traffic.response.valid.eq(answers.valid & answers.ready),
        ]
