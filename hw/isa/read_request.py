"""Read requests of one port."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.fabric.packets import drive_header
from hw.isa.jobs import read_job_layout
from hw.spec.bits import index_bits
from hw.spec.checks import below
from hw.spec.config import Config
from hw.spec.instruction import read_tag_layout
from hw.spec.packet import ADDRESS_BITS, LENGTH_BITS, MessageClass, Operation, flit_layout
from hw.stream.connect import register_stage
from hw.stream.queue import LightRegister


class ReadRequest(wiring.Component):
    """Turn waves into read requests: one per wave (burst reads), or one per packet. The
    scales of a wave are asked for before its elements.

    Parameters: ``port``, number of this port, below ``system.endpoints``.

    Ports
    -----
    job : stream in, waves to read from this port
    lookup, base, scale_base : a context, and the addresses of its operand and of the
        operand's scales in the same cycle
    burst_reads : in, one request per wave
    o : flit stream out

    One request per cycle within a wave, one wave every second cycle; latency 1 cycle.
    """

    def __init__(self, config: Config, *, port: int):
        self._config = config
        self._port = below("port", port, config.system.endpoints)
        super().__init__(
            {
                "job": In(stream.Signature(read_job_layout(config))),
                "lookup": Out(index_bits(config.contexts)),
                "base": In(ADDRESS_BITS),
                "scale_base": In(ADDRESS_BITS),
                "burst_reads": In(1),
                "o": Out(stream.Signature(flit_layout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        limit = self._config.fabric.max_payload_bytes
        tag_layout = read_tag_layout(self._config)
        address = Signal(ADDRESS_BITS)
        remaining = Signal(LENGTH_BITS)
        tag = Signal(tag_layout)
        length = Signal(LENGTH_BITS)
        jobs = self.job
        if self._config.fabric.registered:
            jobs = register_stage(m, "jobs", self.job, LightRegister)
        job = jobs.payload
        elements_address = Signal(ADDRESS_BITS)
        elements_left = Signal(LENGTH_BITS)
        m.d.comb += [
            self.lookup.eq(job.context),
            jobs.ready.eq(remaining == 0),
            self.o.valid.eq(remaining != 0),
            length.eq(Mux(self.burst_reads | (remaining <= limit), remaining, limit)),
            *drive_header(
                self.o.payload,
                inc=1,
                message_class=MessageClass.READ_REQUEST,
                operation=Operation.READ,
                source=self._port,
                tenant=tag.entry >> ceil_log2(self._config.waves_per_controller),
                destination=self._port,
                tag=tag.as_value(),
                length=length,
                address=address,
            ),
        ]
        with m.If(jobs.valid & jobs.ready):
            m.d.sync += [
                address.eq(self.base + job.offset),
                remaining.eq(job.length),
                tag.packet.eq(0),
                tag.entry.eq(job.entry),
                tag.generation.eq(job.generation),
                elements_left.eq(0),
            ]
            if self._config.isa.block_formats:
                with m.If(job.scale_length != 0):
                    m.d.sync += [
                        address.eq(self.scale_base + job.scale_offset),
                        remaining.eq(job.scale_length),
                        tag.packet.eq(self._config.packets_per_wave),
                        elements_address.eq(self.base + job.offset),
                        elements_left.eq(job.length),
                    ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [
                remaining.eq(remaining - length),
                address.eq(address + limit),
                tag.packet.eq(tag.packet + 1),
            ]
            with m.If((remaining == length) & (elements_left != 0)):
                m.d.sync += [
                    address.eq(elements_address),
                    remaining.eq(elements_left),
                    tag.packet.eq(0),
                    elements_left.eq(0),
                ]
        return m
