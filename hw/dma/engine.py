"""A DMA engine: commands in, data moved, signals given. Wiring, in the order of a command."""

from dataclasses import dataclass

from amaranth import Const, Module, Signal
from amaranth.hdl import ValueLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.dma.csr import MOMENTS, Control
from hw.dma.jobs import write_job_layout
from hw.dma.memory_reader import MemoryReader
from hw.dma.outcome import Outcome
from hw.dma.read_buffer import ReadBuffer
from hw.dma.realign import Realign
from hw.dma.ring import Ring
from hw.dma.segmenter import Segmenter
from hw.dma.sequencer import Sequencer
from hw.dma.writer import Writer
from hw.fabric.packets import node_id
from hw.memory.atomic import ADDITION_LAYOUT
from hw.memory.axi import BURST_LAYOUT, read_beat_layout, write_beat_layout
from hw.memory.windows import window_layout
from hw.spec.checks import below
from hw.spec.config import Config
from hw.spec.packet import WORD_BITS, flit_layout
from hw.stream.connect import connect_stream, register_stage
from hw.stream.queue import Buffer, LightRegister, Queue


@dataclass(frozen=True)
class Parts:
    """Those that a command passes through, in this order."""

    ring: Ring
    sequencer: Sequencer
    segmenter: Segmenter
    local: MemoryReader
    read_buffer: ReadBuffer
    jobs: Queue
    realign: Realign
    writer: Writer


class Engine(wiring.Component):
    """Parameters: ``identity``, id of the endpoint, 0 … 15, or a value that holds it;
    ``engine``, number of the engine, below ``dma.engines``.

    Ports
    -----
    control : to and from the registers
    clock : in, 64-bit cycle counter
    windows : in, memory windows
    read_burst, read_beat, write_burst, write_beat, written, write_error : own memory
    addition, added, addition_error : the endpoint's unit for atomic additions
    read_request, write_request, read_response, write_response : flit streams, other memories

    Commands are carried out in order: copies overlap in time, but each finds in memory what
    the ones before it wrote, and signals, fences, atomics and timestamps come after all
    before them. A failure halts the engine: what was read, or asked for, is still written where
    windows allow, nothing more is asked for and no signal is given any more; other engines go
    on. From the first refusal to the report it takes as long as the packets under way, at most
    ``3 * dma.segments`` of them and their answers, however long the copy was. The engine comes
    back with a reset.

    Throughput: one flit or beat per cycle.
    """

    def __init__(self, config: Config, *, identity: ValueLike, engine: int):
        self._config = config
        self._identity = node_id(identity)
        self._engine = below("engine", engine, config.dma.engines)
        flits = stream.Signature(flit_layout(config))
        bursts = stream.Signature(BURST_LAYOUT)
        super().__init__(
            {
                "control": In(Control()),
                "clock": In(WORD_BITS),
                "windows": In(data.ArrayLayout(window_layout(config), config.endpoint.windows)),
                "read_burst": Out(bursts),
                "read_beat": In(stream.Signature(read_beat_layout(config))),
                "write_burst": Out(bursts),
                "write_beat": Out(stream.Signature(write_beat_layout(config))),
                "written": In(1),
                "write_error": In(1),
                "addition": Out(stream.Signature(ADDITION_LAYOUT)),
                "added": In(1),
                "addition_error": In(1),
                "read_request": Out(flits),
                "write_request": Out(flits),
                "read_response": In(flits),
                "write_response": In(flits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        registers, clock = self._hold_control(m)
        parts = self._parts(m)
        between = self._connect_streams(m, parts)
        windows = self._ports(m, parts.local, parts.read_buffer, parts.writer)

        m.submodules.outcome = outcome = Outcome(self._config)
        stopped, drained, quiet = Signal(), Signal(), Signal()
        self._notice_rest(m, parts, between, drained, quiet)
        m.d.comb += stopped.eq(outcome.failed | outcome.resetting)
        self._connect_commands(m, parts, registers, outcome, stopped, drained)
        m.d.comb += [
            parts.segmenter.windows.eq(windows),
            parts.segmenter.clock.eq(clock),
            parts.segmenter.word_done.eq(parts.writer.word_done),
            parts.segmenter.stop.eq(stopped | outcome.abort),
        ]
        self._connect_data(m, parts)
        m.d.comb += parts.writer.halt.eq(stopped)
        self._connect_packets(m, parts, registers, outcome)
        self._connect_outcome(m, parts, registers, outcome, quiet)
        self._report(m, parts, registers, outcome)
        return m

    def _hold_control(self, m):
        """What the registers say and the clock, registered like everything that enters, see
        :meth:`_ports`."""
        registers = Control().flip().create(path=("control_held",))
        for name, member in registers.signature.members.items():
            if member.flow == In:
                m.d.sync += getattr(registers, name).eq(getattr(self.control, name))
            else:
                m.d.comb += getattr(self.control, name).eq(getattr(registers, name))
        clock = Signal.like(self.clock)
        m.d.sync += clock.eq(self.clock)
        return registers, clock

    def _parts(self, m):
        config, names = self._config, {"identity": self._identity, "engine": self._engine}
        m.submodules.ring = ring = Ring(config)
        m.submodules.sequencer = sequencer = Sequencer(config, identity=self._identity)
        m.submodules.segmenter = segmenter = Segmenter(config, identity=self._identity)
        m.submodules.local = local = MemoryReader(config)
        m.submodules.read_buffer = read_buffer = ReadBuffer(config, **names)
        m.submodules.jobs = jobs = Queue(write_job_layout(config), depth=2 * config.dma.segments)
        m.submodules.realign = realign = Realign(config)
        m.submodules.writer = writer = Writer(config, **names)
        return Parts(ring, sequencer, segmenter, local, read_buffer, jobs, realign, writer)

    def _connect_streams(self, m, parts):
        """Commands, segments, jobs and rows. Tells whether a packet is between two parts."""
        for source, sink in (
            (parts.local.command_beat, parts.ring.beat),
            (parts.ring.o, parts.sequencer.i),
            (parts.sequencer.poll, parts.local.poll),
            (parts.sequencer.o, parts.segmenter.i),
            (parts.segmenter.read, parts.read_buffer.i),
            (parts.local.segment_beat, parts.read_buffer.beat),
            (parts.segmenter.job, parts.jobs.i),
            (parts.jobs.o, parts.realign.i),
        ):
            connect_stream(m, source, sink)
        rows, fetches, packets = parts.realign.o, parts.ring.burst, parts.realign.packet
        segments = parts.read_buffer.burst
        between = Const(0)
        if self._config.fabric.registered:
            fetches = register_stage(m, "fetch_buffer", fetches, Buffer)
            segments = register_stage(m, "segment_buffer", segments, LightRegister)
            # Its packet stays in front of the writer until the last row is through.
            rows = register_stage(m, "row_buffer", rows, Buffer)
            packets = register_stage(m, "packet_buffer", packets, LightRegister)
            between = packets.valid
        connect_stream(m, rows, parts.writer.row)
        connect_stream(m, packets, parts.writer.packet)
        connect_stream(m, fetches, parts.local.command)
        connect_stream(m, segments, parts.local.segment)
        return between

    def _ports(self, m, local, read_buffer, writer):
        """Everything that enters or leaves the engine passes a register: no path runs through
        it, and while its clock rests nothing in it moves. Returns the windows."""
        for name, source, sink in (
            ("read_request", read_buffer.request, self.read_request),
            ("read_response", self.read_response, read_buffer.response),
            ("write_request", writer.o, self.write_request),
            ("write_response", self.write_response, writer.response),
            ("addition", writer.addition, self.addition),
            ("read_burst", local.burst, self.read_burst),
            ("write_burst", writer.burst, self.write_burst),
        ):
            m.submodules[f"{name}_buffer"] = buffer = Buffer(source.payload.shape())
            connect_stream(m, source, buffer.i)
            connect_stream(m, buffer.o, sink)
        # Data of own memory cannot be held up.
        m.d.comb += self.read_beat.ready.eq(1)
        m.d.sync += [
            local.beat.valid.eq(self.read_beat.valid),
            local.beat.payload.eq(self.read_beat.payload),
        ]
        for name in ("written", "write_error", "added", "addition_error"):
            m.d.sync += getattr(writer, name).eq(getattr(self, name))

        # A beat is offered no earlier than its burst is taken.
        m.submodules.write_beat_buffer = beats = Buffer(writer.beat.payload.shape())
        connect_stream(m, writer.beat, beats.i)
        taken, ended = Signal(), Signal()
        bursts = Signal(range(4))
        m.d.comb += [
            taken.eq(self.write_burst.valid & self.write_burst.ready),
            ended.eq(self.write_beat.valid & self.write_beat.ready & beats.o.payload.last),
            self.write_beat.payload.eq(beats.o.payload),
            self.write_beat.valid.eq(beats.o.valid & ((bursts != 0) | taken)),
            beats.o.ready.eq(self.write_beat.ready & ((bursts != 0) | taken)),
        ]
        m.d.sync += bursts.eq(bursts + taken - ended)
        windows = Signal.like(self.windows)
        m.d.sync += windows.eq(self.windows)
        return windows

    def _notice_rest(self, m, parts, between, drained, quiet):
        """``drained``: nothing is to be read or written; ``quiet``: no command is looked at
        either."""
        sequencer = parts.sequencer
        idle = (
            ~parts.segmenter.busy
            & parts.read_buffer.empty
            & (parts.jobs.level == 0)
            & parts.realign.empty
            & parts.writer.empty
        )
        idle &= ~between
        if self._config.fabric.registered:
            # Both are a cycle late. The sequencer looks some cycles after it gave the segmenter
            # something; for every other part the two together must have been idle.
            was_quiet = Signal()
            m.d.sync += [drained.eq(idle), was_quiet.eq(idle & ~sequencer.busy)]
            m.d.comb += quiet.eq(was_quiet & ~sequencer.busy)
        else:
            m.d.comb += [drained.eq(idle), quiet.eq(idle & ~sequencer.busy)]

    def _connect_commands(self, m, parts, registers, outcome, stopped, drained):
        """Where they are taken in, and begun."""
        ring, sequencer, local = parts.ring, parts.sequencer, parts.local
        m.d.comb += [
            ring.base.eq(registers.ring_base),
            ring.size.eq(registers.ring_size),
            ring.doorbell.eq(registers.doorbell),
            ring.ring.eq(registers.ring),
            ring.inline.eq(registers.inline),
            ring.inline_valid.eq(registers.inline_valid),
            ring.halt.eq(stopped),
            ring.flush.eq(outcome.resetting),
            sequencer.word.eq(local.word),
            sequencer.word_valid.eq(local.word_valid),
            sequencer.word_error.eq(local.word_error),
            sequencer.drained.eq(drained),
            sequencer.halt.eq(stopped),
            sequencer.flush.eq(outcome.flush),
        ]

    def _connect_data(self, m, parts):
        """From memories through the buffer and realignment to the writer."""
        local, read_buffer, realign = parts.local, parts.read_buffer, parts.realign
        m.d.comb += [
            read_buffer.beat_segment.eq(local.beat_segment),
            read_buffer.beat_last.eq(local.beat_last),
            read_buffer.row.eq(realign.row),
            read_buffer.read_row.eq(realign.read_row),
            realign.read_data.eq(read_buffer.read_data),
            realign.complete.eq(read_buffer.complete),
            realign.failed.eq(read_buffer.failed),
            *(into.eq(out) for into, out in zip(realign.arrived, read_buffer.arrived, strict=True)),
            read_buffer.release.eq(realign.release),
            read_buffer.released.eq(realign.released),
            parts.writer.word.eq(parts.segmenter.word),
        ]

    def _connect_packets(self, m, parts, registers, outcome):
        """Tenant, generation and abort, for the parts that send packets."""
        segmenter, read_buffer, writer = parts.segmenter, parts.read_buffer, parts.writer
        m.d.comb += [
            *(part.generation.eq(outcome.generation) for part in (read_buffer, writer)),
            *(part.tenant.eq(registers.tenant) for part in (segmenter, read_buffer, writer)),
            *(part.abort.eq(outcome.abort) for part in (read_buffer, writer)),
        ]

    def _connect_outcome(self, m, parts, registers, outcome, quiet):
        """Failures, and all that tells when the engine may halt or is reset."""
        ring, sequencer, realign = parts.ring, parts.sequencer, parts.realign
        read_buffer, writer = parts.read_buffer, parts.writer
        m.d.comb += [
            *(
                sink.eq(part.failure)
                for sink, part in zip(outcome.failure, (read_buffer, realign, writer), strict=True)
            ),
            outcome.sequencer_failure.eq(sequencer.failure),
            outcome.sequencer_number.eq(sequencer.number),
            outcome.ring_failure.eq(ring.failure),
            outcome.begun.eq(sequencer.started),
            outcome.quiet.eq(quiet),
            outcome.waiting.eq(read_buffer.waiting | writer.waiting),
            outcome.moved.eq(read_buffer.moved | writer.moved),
            outcome.fetching.eq(~ring.idle),
            outcome.announced.eq(ring.fetched != registers.doorbell),
            outcome.reset.eq(registers.reset),
            outcome.timeout.eq(registers.timeout),
            outcome.rung.eq(registers.doorbell != 0),
        ]

    def _report(self, m, parts, registers, outcome):
        """To the registers."""
        read_buffer, writer = parts.read_buffer, parts.writer
        m.d.comb += [
            registers.fetched_count.eq(parts.ring.fetched),
            registers.busy.eq(writer.busy),
            registers.cleared.eq(outcome.flush),
            *(
                getattr(registers, name).eq(getattr(outcome, name))
                for name in ("state", "status", "number", "started", "completed")
            ),
        ]
        events = (parts.sequencer.started, read_buffer.asked, writer.acknowledged, writer.signalled)
        for name, event in zip(MOMENTS[1:], events, strict=True):
            m.d.comb += getattr(registers, f"{name}_event").eq(event)
