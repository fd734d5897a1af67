"""A DMA engine: commands in, data moved, signals given. Wiring, in the order of a command."""

from dataclasses import dataclass

from amaranth import Const, Module
from amaranth.hdl import ValueLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.dma.boundary import Boundary, EnginePorts
from hw.dma.csr import MOMENTS, Control
from hw.dma.jobs import write_job_layout
from hw.dma.memory_reader import MemoryReader
from hw.dma.outcome import Outcome
from hw.dma.read_buffer import ReadBuffer
from hw.dma.realign import Realign
from hw.dma.rest import Rest
from hw.dma.ring import Ring
from hw.dma.segmenter import Segmenter
from hw.dma.sequencer import Sequencer
from hw.dma.writer import Writer
from hw.fabric.packets import node_id
from hw.spec.checks import below
from hw.spec.config import Config
from hw.stream.connect import connect_stream, register_stage
from hw.stream.queue import Buffer, LightRegister, Queue


@dataclass(frozen=True)
class Parts:
    """Those that a command passes through, in this order, and those that look after them."""

    ring: Ring
    sequencer: Sequencer
    segmenter: Segmenter
    local: MemoryReader
    read_buffer: ReadBuffer
    jobs: Queue
    realign: Realign
    writer: Writer
    outcome: Outcome
    rest: Rest


class Engine(wiring.Component):
    """Parameters: ``identity``, id of the endpoint, 0 … 15, or a value that holds it;
    ``engine``, number of the engine, below ``dma.engines``.

    Ports: ``control``, to and from the registers; ``ports``, see
    :class:`hw.dma.boundary.EnginePorts`.

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
        super().__init__({"control": In(Control()), "ports": Out(EnginePorts(config))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.boundary = boundary = Boundary(self._config)
        wiring.connect(m, wiring.flipped(self.ports), boundary.outside)
        wiring.connect(m, wiring.flipped(self.control), boundary.control)
        parts, registers = self._parts(m), boundary.held
        between = self._connect_streams(m, parts)
        self._connect_ports(m, parts, boundary.inside)
        self._connect_rest(m, parts, between)
        self._connect_commands(m, parts, registers)
        self._connect_data(m, parts)
        self._connect_packets(m, parts, registers)
        self._connect_outcome(m, parts, registers)
        self._report(m, parts, registers)
        return m

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
        m.submodules.outcome = outcome = Outcome(config)
        m.submodules.rest = rest = Rest(config)
        return Parts(
            ring, sequencer, segmenter, local, read_buffer, jobs, realign, writer, outcome, rest
        )

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

    def _connect_ports(self, m, parts, ports):
        """Own memory and the fabric."""
        local, read_buffer, writer = parts.local, parts.read_buffer, parts.writer
        for source, sink in (
            (read_buffer.request, ports.read_request),
            (ports.read_response, read_buffer.response),
            (writer.o, ports.write_request),
            (ports.write_response, writer.response),
            (writer.addition, ports.addition),
            (local.burst, ports.read_burst),
            (writer.burst, ports.write_burst),
            (writer.beat, ports.write_beat),
        ):
            connect_stream(m, source, sink)
        m.d.comb += [
            local.beat.valid.eq(ports.read_beat.valid),
            local.beat.payload.eq(ports.read_beat.payload),
            *(
                getattr(writer, name).eq(getattr(ports, name))
                for name in ("written", "write_error", "added", "addition_error")
            ),
            parts.segmenter.windows.eq(ports.windows),
            parts.segmenter.clock.eq(ports.clock),
        ]

    def _connect_rest(self, m, parts, between):
        m.d.comb += [
            parts.rest.idle.eq(
                ~parts.segmenter.busy
                & parts.read_buffer.empty
                & (parts.jobs.level == 0)
                & parts.realign.empty
                & parts.writer.empty
                & ~between
            ),
            parts.rest.looking.eq(parts.sequencer.busy),
        ]

    def _connect_commands(self, m, parts, registers):
        """Where they are taken in, and begun."""
        ring, sequencer, local = parts.ring, parts.sequencer, parts.local
        outcome, segmenter = parts.outcome, parts.segmenter
        m.d.comb += [
            ring.base.eq(registers.ring_base),
            ring.size.eq(registers.ring_size),
            ring.doorbell.eq(registers.doorbell),
            ring.ring.eq(registers.ring),
            ring.inline.eq(registers.inline),
            ring.inline_valid.eq(registers.inline_valid),
            ring.halt.eq(outcome.stopped),
            ring.flush.eq(outcome.resetting),
            sequencer.word.eq(local.word),
            sequencer.word_valid.eq(local.word_valid),
            sequencer.word_error.eq(local.word_error),
            sequencer.drained.eq(parts.rest.drained),
            sequencer.halt.eq(outcome.stopped),
            sequencer.flush.eq(outcome.flush),
            segmenter.word_done.eq(parts.writer.word_done),
            segmenter.stop.eq(outcome.stopped | outcome.abort),
            parts.writer.halt.eq(outcome.stopped),
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

    def _connect_packets(self, m, parts, registers):
        """Tenant, generation and abort, for the parts that send packets."""
        segmenter, read_buffer, writer = parts.segmenter, parts.read_buffer, parts.writer
        outcome = parts.outcome
        m.d.comb += [
            *(part.generation.eq(outcome.generation) for part in (read_buffer, writer)),
            *(part.tenant.eq(registers.tenant) for part in (segmenter, read_buffer, writer)),
            *(part.abort.eq(outcome.abort) for part in (read_buffer, writer)),
        ]

    def _connect_outcome(self, m, parts, registers):
        """Failures, and all that tells when the engine may halt or is reset."""
        ring, sequencer, realign = parts.ring, parts.sequencer, parts.realign
        read_buffer, writer, outcome = parts.read_buffer, parts.writer, parts.outcome
        m.d.comb += [
            *(
                sink.eq(part.failure)
                for sink, part in zip(outcome.failure, (read_buffer, realign, writer), strict=True)
            ),
            outcome.sequencer_failure.eq(sequencer.failure),
            outcome.sequencer_number.eq(sequencer.number),
            outcome.ring_failure.eq(ring.failure),
            outcome.begun.eq(sequencer.started),
            outcome.quiet.eq(parts.rest.quiet),
            outcome.waiting.eq(read_buffer.waiting | writer.waiting),
            outcome.moved.eq(read_buffer.moved | writer.moved),
            outcome.fetching.eq(~ring.idle),
            outcome.announced.eq(ring.fetched != registers.doorbell),
            outcome.reset.eq(registers.reset),
            outcome.timeout.eq(registers.timeout),
            outcome.rung.eq(registers.doorbell != 0),
        ]

    def _report(self, m, parts, registers):
        """To the registers."""
        read_buffer, writer, outcome = parts.read_buffer, parts.writer, parts.outcome
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
