"""The accelerator's half of one switch port."""

from amaranth import Module
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.isa.answers import PortAnswers
from hw.isa.barrier import Arrival, arrival_layout
from hw.isa.failures import PortFailures
from hw.isa.jobs import (
    allocation_layout,
    expectation_layout,
    operand_layout,
    read_job_layout,
    release_layout,
    write_job_layout,
)
from hw.isa.read_request import ReadRequest
from hw.isa.wave_table import TableRows, WaveTable
from hw.isa.write_tracker import WriteTracker
from hw.isa.writeback import Writeback, WriteRows
from hw.spec.checks import below
from hw.spec.config import Config
from hw.spec.packet import ADDRESS_BITS, flit_layout
from hw.stream.connect import connect_stream, event


class PortSettings(wiring.Signature):
    """What the registers say of a port, seen from the registers: whether a wave is read with one
    request, whether one response answers for a wave that is written, and the address of flag 0."""

    def __init__(self):
        super().__init__(
            {"burst_reads": Out(1), "coalesce": Out(1), "flag_base": Out(ADDRESS_BITS)}
        )


class IsaPort(wiring.Component):
    """Everything the accelerator keeps per port: arrivals, read requests, wave table, write-back,
    write tracker, and the operand addresses they share.

    Parameters: ``port``, number of this port, below ``system.endpoints``.

    Ports
    -----
    read_request, write_request : flit streams out, to the endpoint
    arrivals, read_response, write_response : flit streams in, from the endpoint
    settings : in, see :class:`PortSettings`
    start : event in, a context begins
    read, write : streams in, waves to read; rows and flags to write
    allocate, free, table : of the wave table, see :class:`hw.isa.wave_table.TableRows`
    expect, abandon : of the write tracker
    answers, failures : see :class:`hw.isa.answers.PortAnswers`,
        :class:`hw.isa.failures.PortFailures`
    rows : see :class:`hw.isa.writeback.WriteRows`
    arrival : event out, the endpoint arrives at a barrier; ``no_arrival``, pulse: a packet that is
        none
    table_late, tracker_late : pulses, an answer to what was given up
    """

    def __init__(self, config: Config, *, port: int):
        self._config = config
        self._port = below("port", port, config.system.endpoints)
        flits = stream.Signature(flit_layout(config))
        super().__init__(
            {
                "read_request": Out(flits),
                "write_request": Out(flits),
                "arrivals": In(flits),
                "read_response": In(flits),
                "write_response": In(flits),
                "settings": In(PortSettings()),
                "start": In(event(operand_layout(config))),
                "read": In(stream.Signature(read_job_layout(config))),
                "write": In(stream.Signature(write_job_layout(config))),
                "allocate": In(event(allocation_layout(config))),
                "free": In(event(release_layout(config))),
                "table": In(TableRows(config)),
                "expect": In(event(expectation_layout(config))),
                "abandon": In(config.contexts),
                "answers": Out(PortAnswers(config)),
                "failures": Out(PortFailures(config)),
                "rows": In(WriteRows(config)),
                "arrival": Out(event(arrival_layout(config))),
                "no_arrival": Out(1),
                "table_late": Out(1),
                "tracker_late": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.arrival = arrival = Arrival(config)
        m.submodules.reads = reads = ReadRequest(config, port=self._port)
        m.submodules.table = table = WaveTable(config)
        m.submodules.tracker = tracker = WriteTracker(config)
        m.submodules.writes = writes = Writeback(config, port=self._port)
        for source, sink in (
            (self.arrivals, arrival.i),
            (self.read_response, table.i),
            (self.write_response, tracker.i),
            (reads.o, self.read_request),
            (writes.o, self.write_request),
            (self.read, reads.job),
            (self.write, writes.job),
            (self.allocate, table.allocate),
            (self.free, table.free),
            (self.expect, tracker.expect),
            (arrival.o, self.arrival),
            (table.accepted, self.answers.accepted),
            (tracker.answered, self.answers.answered),
            (table.stray, self.failures.stray),
            (tracker.error, self.failures.write),
        ):
            connect_stream(m, source, sink)
        wiring.connect(m, wiring.flipped(self.rows), writes.rows)
        wiring.connect(m, wiring.flipped(self.table), table.rows)
        m.d.comb += [
            reads.burst_reads.eq(self.settings.burst_reads),
            table.burst_reads.eq(self.settings.burst_reads),
            writes.coalesce.eq(self.settings.coalesce),
            writes.flag_base.eq(self.settings.flag_base),
            tracker.open.valid.eq(self.start.valid),
            tracker.open.payload.eq(self.start.payload.opening),
            tracker.abandon.eq(self.abandon),
            self.answers.outstanding.eq(tracker.outstanding),
            self.answers.waiting.eq(table.waiting),
            self.failures.failure.eq(table.rows.failure),
            self.no_arrival.eq(arrival.stray),
            self.table_late.eq(table.late),
            self.tracker_late.eq(tracker.late),
        ]
        self._keep_addresses(m, reads, writes)
        return m

    def _keep_addresses(self, m, reads, writes):
        """Where the operands of each context, and their scales, lie in the endpoint."""
        start = self.start.payload
        names = {"base": start.address}
        if self._config.isa.block_formats:
            names["scale_base"] = start.scale_address
        for name, address in names.items():
            m.submodules[f"{name}s"] = bases = memory.Memory(
                shape=ADDRESS_BITS, depth=max(2, self._config.contexts), init=[]
            )
            keep = bases.write_port()
            m.d.comb += [
                keep.en.eq(self.start.valid),
                keep.addr.eq(start.opening.context),
                keep.data.eq(address),
            ]
            for user in (reads, writes):
                lookup = bases.read_port(domain="comb")
                m.d.comb += [lookup.addr.eq(user.lookup), getattr(user, name).eq(lookup.data)]
