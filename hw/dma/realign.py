"""Turns segments as they were read into rows as they will be written."""

from dataclasses import dataclass

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.dma.jobs import FAILURE_LAYOUT, JobKind, segment_bits, write_job_layout
from hw.spec.config import Config
from hw.spec.packet import LENGTH_BITS
from hw.spec.status import Status
from hw.stream.bytes import first_bytes
from hw.stream.connect import register_stage
from hw.stream.queue import LightRegister, Queue


def row_layout(config: Config) -> data.StructLayout:
    """``strobe``: the bytes that count; ``last`` row of its job."""
    return data.StructLayout(
        {"data": config.flit_bits, "strobe": config.fabric.flit_bytes, "last": 1}
    )


@dataclass(frozen=True)
class Look:
    """What a job sees of its segment, once it has ``looked``: the rows that ``arrived``, whether it
    is ``complete``; the job is ``ready`` to be written, or ``dead``: not to be.

    To be driven: ``finished``, the job leaves; ``pair_failed``, the first one of a swap was dead.
    """

    arrived: Signal
    complete: Signal
    ready: Signal
    dead: Signal
    finished: Signal
    pair_failed: Signal
    looked: Signal


class Realign(wiring.Component):
    """Shift bytes from their place in the source's rows to that in the destination's.

    Ports
    -----
    i : stream in, jobs
    packet : stream out, the jobs again, no later than their first rows, without the data
        jobs that are not written after all
    o : stream out, rows of the data jobs
    failure : out, a job was not written for its ``status``
    arrived, complete, failed : in, the segments; ``row``, ``read_row`` : out, ``read_data`` :
        in, their rows
    release, released : out, no job needs the segment any more
    empty : out, nothing under way

    A row per cycle, without a gap between jobs where source and destination lie alike; a job
    whose destination begins earlier in its row than its source takes one cycle more. Latency
    3 cycles. Rows leave as they arrive, unless the job asks for the whole segment first. A
    segment that failed before its first row has no rows.
    """

    def __init__(self, config: Config):
        self._config = config
        segments, rows = config.dma.segments, config.rows_per_packet
        jobs = stream.Signature(write_job_layout(config))
        super().__init__(
            {
                "i": In(jobs),
                "packet": Out(jobs),
                "o": Out(stream.Signature(row_layout(config))),
                "arrived": In(range(rows + 1)).array(segments),
                "complete": In(segments),
                "failed": In(segments),
                "row": Out(range(segments * rows)),
                "read_row": Out(1),
                "read_data": In(config.flit_bits),
                "release": Out(1),
                "released": Out(segment_bits(config)),
                "failure": Out(FAILURE_LAYOUT),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        flit_bytes = config.fabric.flit_bytes
        lane = exact_log2(flit_bytes)
        source = self._measure(m)
        job = source.payload.job
        m.submodules.packets = packets = Queue(write_job_layout(config), depth=4)
        m.d.comb += [
            self.packet.valid.eq(packets.o.valid),
            self.packet.payload.eq(packets.o.payload),
            packets.o.ready.eq(self.packet.ready),
            packets.i.payload.eq(job),
        ]

        look = self._look(m, source)
        finished, dead = look.finished, look.dead

        # Rows of the destination, counted from the one that holds the segment's first byte.
        start = job.address[:lane]
        shift = (start - job.offset)[:lane]
        early = Signal()
        rows_in, rows_out = source.payload.rows_in, source.payload.rows_out
        count = Signal(range(config.rows_per_packet + 2))
        begun, advance, issue = Signal(), Signal(), Signal()
        emits, first, last, has_row = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            early.eq(start < job.offset),
            has_row.eq(count < rows_in),
            emits.eq(~early | (count != 0)),
            first.eq(count == early),
            last.eq(count + 1 == rows_out + early),
        ]
        is_data = job.kind == JobKind.DATA
        skipped = Signal()
        m.d.comb += [
            skipped.eq(
                look.looked & is_data & look.ready & ~begun & (dead | (job.status != Status.OK))
            ),
            issue.eq(
                look.looked
                & is_data
                & advance
                & ~skipped
                & Mux(begun, (count < look.arrived) | look.complete, look.ready & packets.i.ready)
            ),
            finished.eq(Mux(is_data, skipped | (issue & last), source.valid & packets.i.ready)),
            packets.i.valid.eq(Mux(is_data, issue & ~begun, source.valid)),
            source.ready.eq(finished),
            self.release.eq(finished & is_data & job.release),
            self.released.eq(job.segment),
            self.row.eq(job.segment * config.rows_per_packet + count),
            self.read_row.eq(advance),
        ]
        with m.If(issue):
            m.d.sync += [begun.eq(~last), count.eq(Mux(last, 0, count + 1))]
        with m.If(finished & job.paired):
            m.d.sync += look.pair_failed.eq(dead)
        with m.If(skipped & ~dead):
            m.d.comb += [
                self.failure.status.eq(job.status),
                self.failure.command.eq(job.command),
            ]

        stage_layout = _stage_layout(config)
        issued = Signal(stage_layout)
        m.d.comb += [
            issued.valid.eq(issue),
            issued.emits.eq(emits),
            issued.first.eq(first),
            issued.last.eq(last),
            issued.shift.eq(shift),
            issued.start.eq(start),
            issued.end.eq(start + job.length),
        ]
        held = self._shift(m, stage_layout, issued, advance)
        m.d.comb += self.empty.eq(~self.i.valid & ~source.valid & (packets.level == 0) & ~held)
        return m

    def _measure(self, m):
        """Jobs, with the rows they take in the buffer and at their destination."""
        config = self._config
        flit_bytes = config.fabric.flit_bytes
        lane = exact_log2(flit_bytes)
        layout = data.StructLayout(
            {
                "job": write_job_layout(config),
                "rows_in": (config.rows_per_packet + 1).bit_length(),
                "rows_out": LENGTH_BITS,
            }
        )
        measured = stream.Signature(layout).create(path=("measured",))
        job = self.i.payload
        m.d.comb += [
            measured.valid.eq(self.i.valid),
            self.i.ready.eq(measured.ready),
            measured.payload.job.eq(job),
            measured.payload.rows_in.eq((job.offset + job.length + (flit_bytes - 1)) >> lane),
            measured.payload.rows_out.eq(
                (job.address[:lane] + job.length + (flit_bytes - 1)) >> lane
            ),
        ]
        if not config.fabric.registered:
            return measured
        return register_stage(m, "measured", measured, LightRegister)

    def _look(self, m, source):
        """How far the segment of a job is."""
        config, job = self._config, source.payload.job
        some = Array(self.arrived)[job.segment]
        partner = (job.segment + 1)[: segment_bits(config)]
        whole, failed = (self.complete >> job.segment)[0], (self.failed >> job.segment)[0]
        partner_complete = (self.complete >> partner)[0]
        pair_failed = Signal()
        arrived, complete = Signal.like(some), Signal()
        ready, dead, finished = Signal(), Signal(), Signal()
        # With ``fabric.registered`` a job looks at its segment a cycle after it has come.
        m.d["sync" if config.fabric.registered else "comb"] += [
            arrived.eq(some),
            complete.eq(whole),
            ready.eq((whole | ((some != 0) & ~job.whole)) & (~job.paired | partner_complete)),
            dead.eq(
                (whole & failed & ((some == 0) | job.whole))
                | (job.paired & (self.failed >> partner)[0])
                | (job.follows & pair_failed)
            ),
        ]
        looked = Signal()
        if config.fabric.registered:
            m.d.sync += looked.eq(source.valid & ~finished)
        else:
            m.d.comb += looked.eq(source.valid)
        return Look(arrived, complete, ready, dead, finished, pair_failed, looked)

    def _shift(self, m, stage_layout, issued, advance):
        """Rows from the buffer through rotation; tells whether any is inside."""
        config = self._config
        flit_bytes = config.fabric.flit_bytes
        fetched, rotated = Signal(stage_layout), Signal(stage_layout)
        current, previous = Signal(config.flit_bits), Signal(config.flit_bits)
        word = self.read_data
        for bit in range(exact_log2(flit_bytes)):
            word = Mux(fetched.shift[bit], word.rotate_left(8 << bit), word)
        with m.If(advance):
            m.d.sync += [fetched.eq(issued), rotated.eq(fetched)]
            with m.If(fetched.valid):
                m.d.sync += [current.eq(word), previous.eq(current)]
        from_previous = first_bytes(rotated.shift, config.flit_bits)
        after_start = Mux(rotated.first, ~((1 << rotated.start) - 1), ~0)
        before_end = Mux(rotated.last & (rotated.end != 0), (1 << rotated.end) - 1, ~0)
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            self.o.valid.eq(rotated.valid & rotated.emits),
            self.o.payload.last.eq(rotated.last),
            self.o.payload.strobe.eq(after_start & before_end),
            self.o.payload.data.eq((previous & from_previous) | (current & ~from_previous)),
        ]
        return fetched.valid | rotated.valid


def _stage_layout(config: Config) -> data.StructLayout:
    """A row on its way."""
    lane = exact_log2(config.fabric.flit_bytes)
    return data.StructLayout(
        {
            "valid": 1,
            "emits": 1,
            "first": 1,
            "last": 1,
            "shift": lane,
            "start": lane,
            "end": lane,
        }
    )
