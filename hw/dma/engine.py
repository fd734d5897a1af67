"""A DMA engine: commands in, data moved, signals given. Wiring, in the order of a command."""

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
        config, names = self._config, {"identity": self._identity, "engine": self._engine}
        # Registered like everything that enters, see :meth:`_ports`.
        registers = Control().flip().create(path=("control_held",))
        for name, member in registers.signature.members.items():
            if member.flow == In:
                m.d.sync += getattr(registers, name).eq(getattr(self.control, name))
            else:
                m.d.comb += getattr(self.control, name).eq(getattr(registers, name))
        clock = Signal.like(self.clock)
        m.d.sync += clock.eq(self.clock)
        m.submodules.ring = ring = Ring(config)
        m.submodules.sequencer = sequencer = Sequencer(config, identity=self._identity)
        m.submodules.segmenter = segmenter = Segmenter(config, identity=self._identity)
        m.submodules.local = local = MemoryReader(config)
        m.submodules.read_buffer = read_buffer = ReadBuffer(config, **names)
        m.submodules.jobs = jobs = Queue(write_job_layout(config), depth=2 * config.dma.segments)
        m.submodules.realign = realign = Realign(config)
        m.submodules.writer = writer = Writer(config, **names)

        for source, sink in (
            (local.command_beat, ring.beat),
            (ring.o, sequencer.i),
            (sequencer.poll, local.poll),
            (sequencer.o, segmenter.i),
            (segmenter.read, read_buffer.i),
            (local.segment_beat, read_buffer.beat),
            (segmenter.job, jobs.i),
            (jobs.o, realign.i),
        ):
            connect_stream(m, source, sink)
        rows, fetches, packets = realign.o, ring.burst, realign.packet
        segments = read_buffer.burst
        between = Const(0)
        if config.fabric.registered:
            fetches = register_stage(m, "fetch_buffer", fetches, Buffer)
            segments = register_stage(m, "segment_buffer", segments, LightRegister)
            # Its packet stays in front of the writer until the last row is through.
            rows = register_stage(m, "row_buffer", rows, Buffer)
            packets = register_stage(m, "packet_buffer", packets, LightRegister)
            between = packets.valid
        connect_stream(m, rows, writer.row)
        connect_stream(m, packets, writer.packet)
        connect_stream(m, fetches, local.command)
        connect_stream(m, segments, local.segment)
        windows = self._ports(m, local, read_buffer, writer)

        m.submodules.outcome = outcome = Outcome(config)
        stopped, drained, quiet = Signal(), Signal(), Signal()
        idle = (
            ~segmenter.busy & read_buffer.empty & (jobs.level == 0) & realign.empty & writer.empty
        )
        idle &= ~between
        if config.fabric.registered:
            # Both are a cycle late. The sequencer looks some cycles after it gave the segmenter
            # something; for every other part the two together must have been idle.
            was_quiet = Signal()
            m.d.sync += [drained.eq(idle), was_quiet.eq(idle & ~sequencer.busy)]
            m.d.comb += quiet.eq(was_quiet & ~sequencer.busy)
        else:
            m.d.comb += [drained.eq(idle), quiet.eq(idle & ~sequencer.busy)]
        m.d.comb += [
            stopped.eq(outcome.failed | outcome.resetting),
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
            segmenter.windows.eq(windows),
            segmenter.clock.eq(clock),
            segmenter.word_done.eq(writer.word_done),
            segmenter.stop.eq(stopped | outcome.abort),
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
            writer.word.eq(segmenter.word),
            writer.halt.eq(stopped),
            *(part.generation.eq(outcome.generation) for part in (read_buffer, writer)),
            *(part.tenant.eq(registers.tenant) for part in (segmenter, read_buffer, writer)),
            *(part.abort.eq(outcome.abort) for part in (read_buffer, writer)),
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
            registers.fetched_count.eq(ring.fetched),
            registers.busy.eq(writer.busy),
            registers.cleared.eq(outcome.flush),
            *(
                getattr(registers, name).eq(getattr(outcome, name))
                for name in ("state", "status", "number", "started", "completed")
            ),
        ]
        events = (sequencer.started, read_buffer.asked, writer.acknowledged, writer.signalled)
        for name, event in zip(MOMENTS[1:], events, strict=True):
            m.d.comb += getattr(registers, f"{name}_event").eq(event)
        return m

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
