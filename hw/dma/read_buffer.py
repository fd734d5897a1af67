"""Where segments land: asks for them, takes them in, keeps them until they are written."""

from amaranth import Array, Cat, Const, Module, Mux, Signal
from amaranth.hdl import ValueLike
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.dma.jobs import (
    FAILURE_LAYOUT,
    ITEM_BITS,
    read_layout,
    segment_bits,
    segment_burst_layout,
)
from hw.fabric.packets import drive_header, header_of, node_id
from hw.memory.axi import read_beat_layout
from hw.spec.checks import below
from hw.spec.config import Config
from hw.spec.dma import TAG_ENGINE_BITS, RequestTag
from hw.spec.packet import LENGTH_BITS, TENANT_BITS, MessageClass, Operation, flit_layout
from hw.spec.status import Status


class ReadBuffer(wiring.Component):
    """A buffer of ``dma.segments`` packets' payload, filled from both sides.

    Parameters: ``identity``, id of the endpoint, 0 … 15, or a value that holds it;
    ``engine``, number of the engine, below ``dma.engines``.

    Ports
    -----
    i : stream in, segments to read; taken when theirs is free and the request leaves
    burst; beat, beat_segment, beat_last : own memory
    request, response : flit streams, reads of other memories
    row, read_row, read_data : one row of the buffer, valid the cycle after ``read_row``
    arrived : out, rows there, per segment; ``complete``, ``failed`` : out, a bit per segment
    release, released : in, a segment is free again
    tenant : in, of the requests
    generation : in, part of the tags; ``abort`` : pulse, give up what the fabric owes
    waiting : out, the fabric owes something; ``moved`` : pulse, something came
    asked : pulse, a request left
    empty : out, every segment is free
    failure : out, a segment failed

    A row per cycle; own memory goes first, for its data must be taken at once. Answers that
    no segment waits for are dropped. Data are there 1 cycle after they came.
    """

    def __init__(self, config: Config, *, identity: ValueLike, engine: int):
        self._config = config
        self._identity = node_id(identity)
        self._engine = below("engine", engine, config.dma.engines)
        segments, rows = config.dma.segments, config.rows_per_packet
        flits = stream.Signature(flit_layout(config))
        super().__init__(
            {
                "i": In(stream.Signature(read_layout(config))),
                "burst": Out(stream.Signature(segment_burst_layout(config))),
                "beat": In(stream.Signature(read_beat_layout(config))),
                "beat_segment": In(segment_bits(config)),
                "beat_last": In(1),
                "request": Out(flits),
                "response": In(flits),
                "row": In(range(segments * rows)),
                "read_row": In(1),
                "read_data": Out(config.flit_bits),
                "arrived": Out(range(rows + 1)).array(segments),
                "complete": Out(segments),
                "failed": Out(segments),
                "release": In(1),
                "released": In(segment_bits(config)),
                "tenant": In(TENANT_BITS),
                "generation": In(RequestTag.layout()["generation"].shape),
                "abort": In(1),
                "waiting": Out(1),
                "moved": Out(1),
                "asked": Out(1),
                "empty": Out(1),
                "failure": Out(FAILURE_LAYOUT),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        segments = config.dma.segments
        self._open, self._fabric = Signal(segments), Signal(segments)
        # Which use of the segment this is: an answer to an earlier one is not taken.
        self._turn = Signal(ITEM_BITS - segment_bits(config))
        self._commands = [Signal(ITEM_BITS, name=f"command_{s}") for s in range(segments)]
        self._lengths = [Signal(LENGTH_BITS, name=f"length_{s}") for s in range(segments)]
        self._turns = [Signal.like(self._turn, name=f"turn_{s}") for s in range(segments)]

        self._ask(m)
        local_row, local_error = self._from_memory(m)
        row, last, status, target = self._from_fabric(m, self.beat.valid)

        m.submodules.buffer = buffer = memory.Memory(
            shape=config.flit_bits, depth=segments * config.rows_per_packet, init=[]
        )
        write, read = buffer.write_port(), buffer.read_port()
        m.d.comb += [
            write.en.eq(self.beat.valid | row),
            write.addr.eq(
                Mux(self.beat.valid, self.beat_segment, target) * config.rows_per_packet
                + Mux(self.beat.valid, local_row, self._row)
            ),
            write.data.eq(Mux(self.beat.valid, self.beat.payload.data, self.response.payload.data)),
            read.addr.eq(self.row),
            read.en.eq(self.read_row),
            self.read_data.eq(read.data),
        ]
        for index in range(segments):
            mine = self.beat.valid & (self.beat_segment == index)
            theirs = target == index
            with m.If(mine | (row & theirs)):
                m.d.sync += self.arrived[index].eq(self.arrived[index] + 1)
            with m.If(mine & self.beat_last):
                m.d.sync += [self.complete[index].eq(1), self.failed[index].eq(local_error)]
            with m.If(last & theirs):
                m.d.sync += [
                    self.complete[index].eq(1),
                    self.failed[index].eq(status != Status.OK),
                ]
            with m.If(self.abort & self._fabric[index] & self._open[index]):
                m.d.sync += self.complete[index].eq(1)
                with m.If(~self.complete[index]):
                    m.d.sync += self.failed[index].eq(1)
            with m.If(self.i.valid & self.i.ready & (self.i.payload.segment == index)):
                m.d.sync += [
                    self._open[index].eq(1),
                    self._fabric[index].eq(~self.i.payload.local),
                    self._commands[index].eq(self.i.payload.command),
                    self._lengths[index].eq(self.i.payload.length),
                    self._turns[index].eq(self._turn),
                    self.arrived[index].eq(0),
                    self.complete[index].eq(self.i.payload.status != Status.OK),
                    self.failed[index].eq(self.i.payload.status != Status.OK),
                ]
            with m.If(self.release & (self.released == index)):
                m.d.sync += [
                    self._open[index].eq(0),
                    self.complete[index].eq(0),
                    self.failed[index].eq(0),
                ]

        commands = Array(self._commands)
        with m.If(self.i.valid & self.i.ready & (self.i.payload.status != Status.OK)):
            m.d.comb += [
                self.failure.status.eq(self.i.payload.status),
                self.failure.command.eq(self.i.payload.command),
            ]
        with m.Elif(self.beat.valid & self.beat_last & local_error):
            m.d.comb += [
                self.failure.status.eq(Status.POISONED),
                self.failure.command.eq(commands[self.beat_segment]),
            ]
        with m.Elif(last):
            m.d.comb += [
                self.failure.status.eq(status),
                self.failure.command.eq(commands[target]),
            ]
        m.d.comb += [
            self.waiting.eq((self._open & self._fabric & ~self.complete).any()),
            self.moved.eq(row | last),
            self.empty.eq(~self._open.any()),
        ]
        return m

    def _ask(self, m):
        config = self._config
        wanted = self.i.payload
        shift = exact_log2(config.fabric.flit_bytes)
        free, sound = Signal(), Signal()
        beats = Signal(9)
        m.d.comb += [
            free.eq(~(self._open >> wanted.segment)[0]),
            sound.eq(wanted.status == Status.OK),
            beats.eq(
                (wanted.address[:shift] + wanted.length + config.fabric.flit_bytes - 1) >> shift
            ),
            self.burst.valid.eq(self.i.valid & free & sound & wanted.local),
            self.burst.payload.burst.address.eq(wanted.address & ~((1 << shift) - 1)),
            self.burst.payload.burst.beats.eq(beats),
            self.burst.payload.segment.eq(wanted.segment),
            self.request.valid.eq(self.i.valid & free & sound & ~wanted.local),
            *drive_header(
                self.request.payload,
                message_class=MessageClass.READ_REQUEST,
                operation=Operation.READ,
                source=self._identity,
                tenant=self.tenant,
                destination=wanted.node,
                tag=Cat(
                    wanted.segment,
                    self._turn,
                    self.generation,
                    Const(self._engine, TAG_ENGINE_BITS),
                ),
                length=wanted.length,
                address=wanted.address,
            ),
            self.i.ready.eq(
                free & Mux(sound, Mux(wanted.local, self.burst.ready, self.request.ready), 1)
            ),
            self.asked.eq(self.i.valid & self.i.ready & sound),
        ]
        with m.If(self.i.valid & self.i.ready & (wanted.segment == config.dma.segments - 1)):
            m.d.sync += self._turn.eq(self._turn + 1)

    def _from_memory(self, m):
        """Row of the present beat, and whether any of its segment so far was bad."""
        row = Signal(range(self._config.rows_per_packet))
        error = Signal()
        m.d.comb += self.beat.ready.eq(1)
        bad = error | self.beat.payload.error
        with m.If(self.beat.valid):
            m.d.sync += [row.eq(row + 1), error.eq(bad)]
            with m.If(self.beat_last):
                m.d.sync += [row.eq(0), error.eq(0)]
        return row, bad

    def _from_fabric(self, m, memory_first):
        """A row came; the last of its packet, with what became of it; and for which segment."""
        flit = self.response.payload
        header = header_of(flit)
        tag = Signal(RequestTag.layout())
        number = Signal(segment_bits(self._config))
        target = Signal.like(number)
        expected, inside = Signal(), Signal()
        row, last, status = Signal(), Signal(), Signal(Status)
        self._row = Signal(range(self._config.rows_per_packet))
        turn = tag.item[segment_bits(self._config) :]
        m.d.comb += [
            tag.eq(header.tag),
            number.eq(tag.item),
            expected.eq(
                (tag.generation == self.generation)
                & (turn == Array(self._turns)[number])
                & ((self._open & self._fabric & ~self.complete) >> number)[0]
            ),
            self.response.ready.eq(flit.first | ~memory_first),
        ]
        segment = Signal.like(number)
        short = Signal()
        moves = self.response.valid & self.response.ready
        with m.If(moves & flit.first):
            m.d.comb += [
                target.eq(number),
                last.eq(expected & flit.last),
                status.eq(Mux(header.status == Status.OK, Status.BAD_LENGTH, header.status)),
            ]
            m.d.sync += [
                segment.eq(number),
                inside.eq(expected & ~flit.last),
                short.eq(header.length != Array(self._lengths)[number]),
                self._row.eq(0),
            ]
        with m.Else():
            m.d.comb += [
                target.eq(segment),
                row.eq(moves & inside & ~self.abort),
                last.eq(row & flit.last),
                status.eq(
                    Mux(flit.poison, Status.POISONED, Mux(short, Status.BAD_LENGTH, Status.OK))
                ),
            ]
            with m.If(row):
                m.d.sync += self._row.eq(self._row + 1)
        with m.If(self.abort):
            m.d.sync += inside.eq(0)
        return row, last, status, target
