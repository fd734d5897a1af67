"""Write requests and completion flags of one port."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.fabric.packets import drive_header
from hw.isa.jobs import write_job_layout
from hw.spec.bits import index_bits
from hw.spec.checks import below
from hw.spec.config import Config
from hw.spec.instruction import write_tag_layout
from hw.spec.packet import ADDRESS_BITS, LENGTH_BITS, MessageClass, Operation, flit_layout
from hw.spec.timing import WRITEBACK_JOBS, longest_run
from hw.stream.queue import Queue


class WriteRows(wiring.Signature):
    """Reduced rows, seen from the reduction.

    ``reserve``: a row was started that will arrive; ``has_room``: there is room for the rows of a
    whole block; ``row_valid``, ``row``: a row, which cannot be held up.
    """

    def __init__(self, config: Config):
        super().__init__(
            {
                "reserve": Out(1),
                "row_valid": Out(1),
                "row": Out(config.flit_bits),
                "has_room": In(1),
            }
        )


class Writeback(wiring.Component):
    """Turn reduced rows into write packets for one destination.

    Parameters: ``port``, number of this port, below ``system.endpoints``.

    Ports
    -----
    job : stream in, waves and flags in the order they shall leave
    lookup, base, scale_base : a context, and the addresses of its operand and of the
        operand's scales in the same cycle
    flag_base : in, address of flag 0
    coalesce : in, ask for one write response per wave instead of one per packet
    rows : see :class:`WriteRows`
    o : flit stream out

    Flags take their place behind the data queued before them. A header leaves as soon as
    its job is known, while the first rows are still being reduced. One flit per cycle,
    no gap between packets.
    """

    def __init__(self, config: Config, *, port: int):
        self._config = config
        self._port = below("port", port, config.system.endpoints)
        super().__init__(
            {
                "job": In(stream.Signature(write_job_layout(config))),
                "lookup": Out(index_bits(config.contexts)),
                "base": In(ADDRESS_BITS),
                "scale_base": In(ADDRESS_BITS),
                "flag_base": In(ADDRESS_BITS),
                "coalesce": In(1),
                "rows": In(WriteRows(config)),
                "o": Out(stream.Signature(flit_layout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        limit = config.fabric.max_payload_bytes
        m.submodules.jobs = jobs = Queue(write_job_layout(config), depth=WRITEBACK_JOBS)
        rows = self._keep_rows(m, jobs)

        job = Signal(write_job_layout(config))
        pending = Signal()
        address = Signal(ADDRESS_BITS)
        remaining = Signal(LENGTH_BITS)
        payload_left = Signal(LENGTH_BITS)
        length = Signal(LENGTH_BITS)
        final = Signal()
        header_done = Signal()
        m.d.comb += [
            final.eq(remaining <= limit),
            length.eq(Mux(final, remaining, limit)),
            # The next job is prepared while the last payload of this one leaves.
            jobs.o.ready.eq(~pending | (header_done & (final | job.notify))),
        ]
        with m.If(jobs.o.ready):
            operand = Mux(jobs.o.payload.scales, self.scale_base, self.base)
            base = Mux(jobs.o.payload.notify, self.flag_base, operand)
            m.d.sync += [
                pending.eq(jobs.o.valid),
                job.eq(jobs.o.payload),
                address.eq(base + jobs.o.payload.offset),
                remaining.eq(Mux(jobs.o.payload.notify, 0, jobs.o.payload.length)),
            ]
        with m.Elif(header_done):
            m.d.sync += [remaining.eq(remaining - limit), address.eq(address + limit)]

        with m.If(payload_left == 0):
            m.d.comb += [
                self.o.valid.eq(pending),
                header_done.eq(pending & self.o.ready),
                *self._header(job, final, length, address),
            ]
            with m.If(header_done):
                m.d.sync += payload_left.eq(length)
        with m.Else():
            end = payload_left <= config.fabric.flit_bytes
            m.d.comb += [
                self.o.valid.eq(rows.o.valid),
                self.o.payload.data.eq(rows.o.payload),
                self.o.payload.first.eq(0),
                self.o.payload.last.eq(end),
                rows.o.ready.eq(self.o.ready),
            ]
            with m.If(self.o.valid & self.o.ready):
                m.d.sync += payload_left.eq(Mux(end, 0, payload_left - config.fabric.flit_bytes))
        return m

    def _keep_rows(self, m, jobs):
        """Reduced rows until their packet leaves, and the jobs that say what becomes of them."""
        config = self._config
        depth = config.isa.writeback_flits
        m.submodules.rows = rows = Queue(config.flit_bits, depth=depth)
        room = Signal(range(depth + 1), init=depth)
        taken = rows.o.valid & rows.o.ready
        m.d.sync += room.eq(room + taken - self.rows.reserve)
        m.d.comb += [
            jobs.i.payload.eq(self.job.payload),
            jobs.i.valid.eq(self.job.valid),
            self.job.ready.eq(jobs.i.ready),
            rows.i.payload.eq(self.rows.row),
            rows.i.valid.eq(self.rows.row_valid),
            self.rows.has_room.eq(room >= longest_run(config) // config.isa.cycles_per_row),
            self.lookup.eq(jobs.o.payload.context),
        ]
        return rows

    def _header(self, job, final, length, address):
        """Of the next packet of ``job``, whose ``final`` one may ask for the response to all."""
        tag = write_tag_layout(self._config)
        return drive_header(
            self.o.payload,
            last=job.notify,
            inc=1,
            message_class=MessageClass.WRITE_REQUEST,
            operation=Mux(job.notify, Operation.WRITE_NOTIFY, Operation.WRITE),
            acknowledge=~job.notify & (~self.coalesce | (final & ~job.more)),
            status=job.status,
            source=self._port,
            tenant=job.context >> ceil_log2(self._config.isa.instructions_in_flight),
            destination=self._port,
            tag=Mux(
                job.notify,
                job.identifier,
                job.context | (job.generation << tag["context"].width),
            ),
            length=Mux(job.notify, job.round, length),
            address=address,
        )
