"""Writes what an engine has to write, to its own memory and over the fabric."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import ValueLike
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.dma.jobs import FAILURE_LAYOUT, ITEM_BITS, JobKind, write_job_layout
from hw.dma.realign import row_layout
from hw.fabric.packets import drive_header, header_of, node_id
from hw.memory.atomic import ADDITION_LAYOUT
from hw.memory.axi import BURST_LAYOUT, beats_to_boundary, write_beat_layout
from hw.spec.checks import below
from hw.spec.config import MAX_ENDPOINTS, Config
from hw.spec.dma import TAG_ENGINE_BITS, RequestTag
from hw.spec.packet import LENGTH_BITS, TENANT_BITS, WORD_BITS, MessageClass, Operation, flit_layout
from hw.spec.status import Status
from hw.stream.queue import Queue

BURSTS_UNDER_WAY = 16


class Writer(wiring.Component):
    """Parameters: ``identity``, id of the endpoint, 0 … 15, or a value that holds it;
    ``engine``, number of the engine, below ``dma.engines``.

    Ports
    -----
    packet, row : streams in, jobs and the rows of the data jobs
    word : in, operand of the job that is a word or an addition
    word_done : pulse, that job is visible, or was given up
    burst, beat, written, write_error : own memory
    addition, added, addition_error : the endpoint's unit for atomic additions
    o, response : flit streams, writes to other memories and their answers
    tenant : in, of the requests
    generation : in, part of the tags; ``abort`` : pulse, give up what the fabric owes
    halt : in, an earlier command failed: signals are not given
    waiting : out, the fabric owes an answer; ``moved`` : pulse, one came
    acknowledged, signalled : pulses, a write of data, or a signal, is visible
    busy : out, data leave in this cycle
    empty : out, nothing is under way
    failure : out, a write failed

    A flit or beat per cycle; a packet costs its header, a job in own memory one cycle. Words
    and additions wait until all data before them is visible, and hold back what follows
    until they are visible themselves.
    """

    def __init__(self, config: Config, *, identity: ValueLike, engine: int):
        self._config = config
        self._identity = node_id(identity)
        self._engine = below("engine", engine, config.dma.engines)
        flits = stream.Signature(flit_layout(config))
        super().__init__(
            {
                "packet": In(stream.Signature(write_job_layout(config))),
                "row": In(stream.Signature(row_layout(config))),
                "word": In(WORD_BITS),
                "word_done": Out(1),
                "burst": Out(stream.Signature(BURST_LAYOUT)),
                "beat": Out(stream.Signature(write_beat_layout(config))),
                "written": In(1),
                "write_error": In(1),
                "addition": Out(stream.Signature(ADDITION_LAYOUT)),
                "added": In(1),
                "addition_error": In(1),
                "o": Out(flits),
                "response": In(flits),
                "tenant": In(TENANT_BITS),
                "generation": In(RequestTag.layout()["generation"].shape),
                "abort": In(1),
                "halt": In(1),
                "waiting": Out(1),
                "moved": Out(1),
                "acknowledged": Out(1),
                "signalled": Out(1),
                "busy": Out(1),
                "empty": Out(1),
                "failure": Out(FAILURE_LAYOUT),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        flit_bytes = config.fabric.flit_bytes
        shift = exact_log2(flit_bytes)
        job = self.packet.payload
        is_data = job.kind == JobKind.DATA
        header_sent = Signal()
        burst_issued = Signal()
        clear, in_word, refused = Signal(), Signal(), Signal()

        room = Signal()
        # Rows of the job in own memory, cut at 4 KiB.
        left, here = Signal(LENGTH_BITS), Signal.like(job.address)
        rows, to_boundary, beats_now = Signal(13), Signal(13), Signal(9)
        open_beats = Signal(9)
        value = Signal(WORD_BITS)
        last_row = self.row.payload.last
        halted = Signal()
        m.d.sync += halted.eq(self.halt)
        m.d.comb += [
            rows.eq((left + (flit_bytes - 1)) >> shift),
            to_boundary.eq(beats_to_boundary(here, self._config)),
            beats_now.eq(Mux(rows <= to_boundary, rows, to_boundary)),
            self.burst.payload.address.eq(Cat(Const(0, shift), here[shift:])),
            self.burst.payload.beats.eq(Mux(in_word, 1, beats_now)),
            burst_issued.eq(self.burst.valid & self.burst.ready),
            self.beat.payload.data.eq(self.row.payload.data),
            self.beat.payload.strobe.eq(self.row.payload.strobe),
            self.beat.payload.last.eq(Mux(open_beats != 0, open_beats == 1, beats_now == 1)),
            self.addition.payload.address.eq(job.address),
            self.addition.payload.operand.eq(value),
            self.busy.eq(self.row.valid & self.row.ready),
        ]
        in_header, own_failure = Signal(), Signal(Status)
        words = Cat(*[value] * (flit_bytes * 8 // WORD_BITS))
        lane = job.address[2:shift]
        header = [
            *drive_header(
                self.o.payload,
                last=0,
                message_class=MessageClass.WRITE_REQUEST,
                operation=Mux(job.kind == JobKind.ADD, Operation.ATOMIC_ADD, Operation.WRITE),
                acknowledge=1,
                multicast=job.multicast,
                source=self._identity,
                tenant=self.tenant,
                destination=job.node,
                tag=Cat(job.command, self.generation, Const(self._engine, TAG_ENGINE_BITS)),
                length=job.length,
                address=job.address,
            )
        ]
        with m.If(in_header):
            m.d.comb += header
        with m.Else():
            m.d.comb += [
                self.o.payload.data.eq(Mux(is_data, self.row.payload.data, words)),
                self.o.payload.last.eq(~is_data | last_row),
            ]
        with m.If(in_word):
            word_strobe = Mux(job.length == 8, 0xFF, 0xF) << (lane << 2)
            # A 32-bit word is written twice over, so that either half of 64 bits holds it.
            m.d.comb += [
                self.beat.payload.data.eq(words),
                self.beat.payload.strobe.eq(word_strobe),
                self.beat.payload.last.eq(1),
            ]

        with m.FSM() as states:
            with m.State("start"), m.If(self.packet.valid):
                m.d.sync += [left.eq(job.length + job.address[:shift]), here.eq(job.address)]
                with m.If(is_data & job.local):
                    m.next = "beats"
                with m.Elif(is_data):
                    m.d.comb += self.o.valid.eq(self.row.valid)
                    with m.If(self.o.valid & self.o.ready):
                        m.next = "flits"
                with m.Elif(clear):
                    m.next = "word"
                    m.d.sync += value.eq(
                        Mux(job.length == 8, self.word, self.word[:32].replicate(2))
                    )
            with m.State("beats"):
                m.d.comb += [
                    self.burst.valid.eq(self.row.valid & (open_beats == 0) & room),
                    self.beat.valid.eq(
                        self.row.valid & ((open_beats != 0) | (self.burst.ready & room))
                    ),
                    self.row.ready.eq(self.beat.valid & self.beat.ready),
                ]
                with m.If(burst_issued):
                    m.d.sync += open_beats.eq(beats_now - self.row.ready)
                with m.Elif(self.row.ready):
                    m.d.sync += open_beats.eq(open_beats - 1)
                with m.If(self.row.ready):
                    m.d.sync += [
                        here.eq(here + flit_bytes),
                        left.eq(Mux(left > flit_bytes, left - flit_bytes, 0)),
                    ]
                    with m.If(last_row):
                        m.d.comb += self.packet.ready.eq(1)
                        m.next = "start"
            with m.State("flits"):
                m.d.comb += [self.o.valid.eq(self.row.valid), self.row.ready.eq(self.o.ready)]
                with m.If(self.row.valid & self.row.ready & last_row):
                    m.d.comb += self.packet.ready.eq(1)
                    m.next = "start"
            with m.State("word"):
                # Every earlier write was answered before the step to here, so the outcome of
                # a cycle ago is known.
                with m.If(halted | (job.status != Status.OK)):
                    m.d.sync += refused.eq(1)
                    m.d.comb += own_failure.eq(job.status)
                    m.next = "given"
                with m.Elif(~job.local):
                    m.d.comb += self.o.valid.eq(1)
                    with m.If(self.o.ready):
                        m.next = "operand"
                with m.Elif(job.kind == JobKind.ADD):
                    m.d.comb += self.addition.valid.eq(1)
                    with m.If(self.addition.ready):
                        m.next = "adding"
                with m.Else():
                    m.d.comb += [
                        self.burst.valid.eq(1),
                        self.beat.valid.eq(self.burst.ready),
                    ]
                    with m.If(self.burst.ready):
                        m.next = "visible"
                        with m.If(~self.beat.ready):
                            m.next = "beat"
            with m.State("operand"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "visible"
            with m.State("beat"):
                m.d.comb += self.beat.valid.eq(1)
                with m.If(self.beat.ready):
                    m.next = "visible"
            with m.State("adding"), m.If(self.added):
                m.next = "given"
            with m.State("visible"), m.If(clear):
                m.next = "given"
            with m.State("given"):
                m.d.comb += [self.word_done.eq(1), self.packet.ready.eq(1)]
                m.d.sync += refused.eq(0)
                m.next = "start"
        with m.If(states.ongoing("adding") & self.added & self.addition_error):
            m.d.comb += own_failure.eq(Status.POISONED)
        starting, word = states.ongoing("start"), states.ongoing("word")
        m.d.comb += [
            in_header.eq(starting | word),
            in_word.eq(word | states.ongoing("beat")),
            header_sent.eq(in_header & self.o.valid & self.o.ready),
            self.empty.eq(starting & clear & ~self.packet.valid),
        ]
        answered, local_answered = self._count(m, job, header_sent, burst_issued, clear, room)
        given = states.ongoing("given")
        m.d.comb += [
            self.signalled.eq(given & ~refused),
            self.acknowledged.eq((answered | local_answered) & (is_data | starting)),
        ]
        with m.If(own_failure != Status.OK):
            m.d.comb += [
                self.failure.status.eq(own_failure),
                self.failure.command.eq(job.command),
            ]
        return m

    def _count(self, m, job, header_sent, burst_issued, clear, room):
        """Writes not yet visible; tells whether one of either kind became so."""
        owed, local_owed = Signal(16), Signal(range(BURSTS_UNDER_WAY + 1))
        header = header_of(self.response.payload)
        tag = Signal(RequestTag.layout())
        answered = Signal()
        copies = Mux(job.multicast, sum(job.node[i] for i in range(MAX_ENDPOINTS)), 1)
        m.submodules.commands = commands = Queue(ITEM_BITS, depth=BURSTS_UNDER_WAY)
        m.d.comb += [
            tag.eq(header.tag),
            self.response.ready.eq(1),
            answered.eq(self.response.valid & (tag.generation == self.generation) & (owed != 0)),
            commands.i.valid.eq(burst_issued),
            commands.i.payload.eq(job.command),
            commands.o.ready.eq(self.written),
            clear.eq((owed == 0) & (local_owed == 0)),
            room.eq(local_owed != BURSTS_UNDER_WAY),
            self.waiting.eq(owed != 0),
            self.moved.eq(answered | header_sent),
        ]
        m.d.sync += local_owed.eq(local_owed + burst_issued - self.written)
        with m.If(self.abort):
            m.d.sync += owed.eq(0)
        with m.Else():
            m.d.sync += owed.eq(owed + Mux(header_sent, copies, 0) - answered)
        with m.If(answered & (header.status != Status.OK)):
            m.d.comb += [
                self.failure.status.eq(header.status),
                self.failure.command.eq(tag.item),
            ]
        with m.Elif(self.written & self.write_error):
            m.d.comb += [
                self.failure.status.eq(Status.POISONED),
                self.failure.command.eq(commands.o.payload),
            ]
        return answered, self.written
