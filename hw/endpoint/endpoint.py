"""An endpoint: stands in for an accelerator and its memory."""

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.csr.bus import CsrBus
from hw.endpoint.axi import AxiId, AxiSignature
from hw.endpoint.csr import COUNTED, EndpointRegisters
from hw.endpoint.memory_port import READERS, WRITERS, MemoryPort
from hw.endpoint.read_server import ReadServer
from hw.endpoint.sync import Sync
from hw.endpoint.traffic import Traffic
from hw.endpoint.write_server import WriteServer
from hw.spec.config import Config
from hw.spec.packet import TO_ENDPOINT, TO_SWITCH, Channel, QueueSet, flit_layout
from hw.stream.connect import connect_stream


class Endpoint(wiring.Component):
    """Translate between packets and AXI4, synchronise, and make ordinary traffic.

    Parameters: ``identity``, id of the endpoint.

    Ports
    -----
    to_switch, from_switch : flit streams per channel, in the order of ``TO_SWITCH`` and
        ``TO_ENDPOINT``
    axi : AXI4 out, the memory
    bus : registers
    transmitted, received, payload_transmitted, payload_received : pulses, a flit, or one
        that is no header or credit, crossed the link (counted in registers)

    The two queue sets have servers of their own, so that neither blocks the other.
    """

    def __init__(self, config: Config, *, identity: int):
        self._config = config
        self._identity = identity
        flits = stream.Signature(flit_layout(config))
        super().__init__(
            {
                "to_switch": Out(flits).array(len(TO_SWITCH)),
                "from_switch": In(flits).array(len(TO_ENDPOINT)),
                "axi": Out(AxiSignature(config)),
                "bus": In(CsrBus()),
                "transmitted": In(1),
                "received": In(1),
                "payload_transmitted": In(1),
                "payload_received": In(1),
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
        m.d.comb += [
            registers.bus.address.eq(self.bus.address),
            registers.bus.write.eq(self.bus.write),
            registers.bus.write_data.eq(self.bus.write_data),
            self.bus.read_data.eq(registers.bus.read_data),
            *(getattr(registers, name).eq(getattr(self, name)) for name in COUNTED),
        ]
        out = dict(zip(TO_SWITCH, self.to_switch, strict=True))
        into = dict(zip(TO_ENDPOINT, self.from_switch, strict=True))

        readers, writers = {}, {}
        for queue_set, identifier in ((QueueSet.CORE, AxiId.CORE), (QueueSet.ISA, AxiId.ISA)):
            prefix = queue_set.name
            read = ReadServer(config, queue_set=queue_set, identity=identity)
            write = WriteServer(config, queue_set=queue_set, identity=identity)
            m.submodules[f"read_{prefix.lower()}"] = readers[queue_set] = read
            m.submodules[f"write_{prefix.lower()}"] = writers[queue_set] = write
            connect_stream(m, into[Channel[f"{prefix}_READ_REQUEST"]], read.i)
            connect_stream(m, into[Channel[f"{prefix}_WRITE_REQUEST"]], write.i)
            connect_stream(m, read.o, out[Channel[f"{prefix}_READ_RESPONSE"]])
            connect_stream(m, write.o, out[Channel[f"{prefix}_WRITE_RESPONSE"]])
            reader, writer = READERS.index(identifier), WRITERS.index(identifier)
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
        isa_read, isa_write = readers[QueueSet.ISA], writers[QueueSet.ISA]
        m.d.comb += [
            isa_read.fault.eq(registers.fault),
            isa_write.fault.eq(registers.fault),
            registers.fault_taken.eq(isa_read.fault_taken | isa_write.fault_taken),
            registers.visible.eq(isa_write.visible),
            registers.core_bytes.eq(writers[QueueSet.CORE].stored_bytes),
            registers.isa_bytes.eq(isa_write.stored_bytes),
        ]

        poll = READERS.index(AxiId.POLL)
        connect_stream(m, sync.burst, memory.read_burst[poll])
        connect_stream(m, memory.read_beat[poll], sync.beat)
        connect_stream(m, sync.o, out[Channel.ISA_WRITE_REQUEST])
        connect_stream(m, traffic.o, out[Channel.CORE_WRITE_REQUEST])
        connect_stream(m, into[Channel.CORE_WRITE_RESPONSE], traffic.response)
        # Ordinary reads are answered but not made: the answers' queue stays empty.
        m.d.comb += into[Channel.CORE_READ_RESPONSE].ready.eq(1)
        return m
