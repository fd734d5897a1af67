"""Serves write requests and completion flags of one queue set."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import ValueLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.endpoint.write_answer import ANSWER_LAYOUT, WriteAnswer
from hw.fabric.packets import header_of, node_id
from hw.memory.atomic import ADDITION_LAYOUT
from hw.memory.axi import BURST_LAYOUT, beats_to_boundary, write_beat_layout
from hw.memory.windows import WindowCheck, requester_of, window_layout
from hw.spec.checks import one_of
from hw.spec.config import Config
from hw.spec.fault import Fault
from hw.spec.packet import (
    ADDRESS_BITS,
    LENGTH_BITS,
    ROUND_BITS,
    WORD_BITS,
    WORD_BYTES,
    FlagWord,
    Operation,
    QueueSet,
    flit_layout,
)
from hw.spec.registers import COUNTER_BITS
from hw.spec.status import Status
from hw.stream.connect import connect_stream, register_stage
from hw.stream.delay import delayed
from hw.stream.queue import Buffer


class WriteServer(wiring.Component):
    """Store the payload of write requests over AXI4 and answer when it is visible.

    Parameters: ``queue_set`` of the requests; ``identity``, id of the endpoint, 0 … 15, or a
    value that holds it.

    Ports
    -----
    i : flit stream in, write requests
    o : flit stream out, write responses
    burst, beat : streams out, AXI4 write bursts and their data; a beat is offered no
        earlier than its burst is taken; bursts never cross 4 KiB
    written, write_error : in, the next burst in order is visible (AXI4 B)
    addition : stream out, an atomic addition to do; ``added``, ``addition_error`` : in, it
        is visible, or failed
    windows : in, memory windows
    visible : pulse, a completion flag is visible in memory
    stored_bytes : out, payload bytes written since reset
    fault : in, misbehave once with the next response; ``fault_taken`` out

    A packet of n flits takes n cycles. Payload may start at any byte: it lies in the flits
    as it will lie in memory. Completion flags and atomic additions wait until every earlier
    write of this set is visible. Requests outside the windows are consumed and leave no trace
    in memory; their status comes back in the response, or, for writes that ask for none,
    in the next response of this set, and in the next flag.
    """

    def __init__(self, config: Config, *, queue_set: QueueSet, identity: ValueLike):
        self._config = config
        self._set = one_of("queue_set", queue_set, QueueSet)
        self._identity = node_id(identity)
        flits = stream.Signature(flit_layout(config))
        super().__init__(
            {
                "i": In(flits),
                "o": Out(flits),
                "burst": Out(stream.Signature(BURST_LAYOUT)),
                "beat": Out(stream.Signature(write_beat_layout(config))),
                "written": In(1),
                "write_error": In(1),
                "addition": Out(stream.Signature(ADDITION_LAYOUT)),
                "added": In(1),
                "addition_error": In(1),
                "windows": In(data.ArrayLayout(window_layout(config), config.endpoint.windows)),
                "visible": Out(1),
                "stored_bytes": Out(COUNTER_BITS),
                "fault": In(Fault),
                "fault_taken": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.answer = answer = WriteAnswer(
            self._config, queue_set=self._set, identity=self._identity
        )
        connect_stream(m, answer.o, self.o)
        unwritten = Signal(8)
        issued = Signal()
        m.d.comb += issued.eq(self.burst.valid & self.burst.ready)
        # Whether all is written is known beside the count, not from it.
        all_written = Signal(init=1)
        m.d.sync += [
            unwritten.eq(unwritten + issued - self.written),
            all_written.eq(~issued & ((unwritten == 0) | ((unwritten == 1) & self.written))),
        ]
        flag_status = Signal(Status)
        m.d.comb += [
            answer.written.eq(self.written),
            answer.write_error.eq(self.write_error),
            answer.fault.eq(self.fault),
            self.fault_taken.eq(answer.fault_taken),
            self.visible.eq(answer.visible),
        ]
        self._store(m, answer.i, all_written, issued, flag_status)
        return m

    def _check(self, m, check):
        """Flits, and whether the windows allow what their header asks for."""
        config = self._config
        layout = data.StructLayout({"flit": flit_layout(config), "allowed": 1})
        checked = stream.Signature(layout).create(path=("checked",))
        header = header_of(self.i.payload)
        is_word = header.operation.matches(Operation.WRITE_NOTIFY, Operation.ATOMIC_ADD)
        m.d.comb += [
            check.windows.eq(self.windows),
            check.address.eq(header.address),
            check.length.eq(Mux(is_word, WORD_BYTES, header.length)),
            check.write.eq(1),
            check.requester.eq(requester_of(header)),
            checked.payload.flit.eq(self.i.payload),
            checked.payload.allowed.eq(check.allowed),
            checked.valid.eq(self.i.valid),
            self.i.ready.eq(checked.ready),
        ]
        if not config.fabric.registered:
            return checked
        return register_stage(m, "checked", checked, Buffer)

    def _store(self, m, to_answer, all_written, issued, flag_status):
        config = self._config
        flit_bytes = config.fabric.flit_bytes
        shift = exact_log2(flit_bytes)
        m.submodules.check = check = WindowCheck(config)
        source = self._check(m, check)
        flit, header = source.payload.flit, header_of(source.payload.flit)
        bad = Signal(Status)
        is_notify, is_addition = Signal(), Signal()
        m.d.comb += [
            is_notify.eq(header.operation == Operation.WRITE_NOTIFY),
            is_addition.eq(header.operation == Operation.ATOMIC_ADD),
        ]
        is_word = is_notify | is_addition
        with m.If(~is_word & (header.operation != Operation.WRITE)):
            m.d.comb += bad.eq(Status.BAD_OPERATION)
        with m.Elif(is_word & (header.address % WORD_BYTES != 0)):
            m.d.comb += bad.eq(Status.MISALIGNED)
        with m.Elif(~source.payload.allowed):
            m.d.comb += bad.eq(Status.WINDOW_VIOLATION)

        answer = Signal(ANSWER_LAYOUT)
        address = Signal(ADDRESS_BITS)
        left = Signal(LENGTH_BITS)
        # Bytes of the first flit that lie before the address; ``left`` includes them.
        skipped = Signal(shift)
        stored = Signal(range(flit_bytes + 1))
        m.d.sync += self.stored_bytes.eq(self.stored_bytes + delayed(m, stored, 1, "stored"))
        identifier, number = Signal(16), Signal(ROUND_BITS)
        told_status = Signal(Status)
        # Beats of the burst still to come, and whether there are any.
        open_beats, opened = Signal(9), Signal()
        rows = Signal(13)
        to_boundary = Signal(13)
        beats_now = Signal(9)
        m.d.comb += [
            rows.eq((left + (flit_bytes - 1)) >> shift),
            to_boundary.eq(beats_to_boundary(address, self._config)),
            beats_now.eq(Mux(rows <= to_boundary, rows, to_boundary)),
            self.burst.payload.address.eq(Cat(Const(0, shift), address[shift:])),
            self.burst.payload.beats.eq(beats_now),
            self.beat.payload.data.eq(flit.data),
            self.beat.payload.strobe.eq(
                Mux(left >= flit_bytes, ~0, (1 << left[:shift]) - 1) & ~((1 << skipped) - 1)
            ),
            self.addition.payload.address.eq(address),
            self.addition.payload.operand.eq(flit.data[:WORD_BITS]),
            to_answer.payload.eq(answer),
        ]
        word = Signal(FlagWord.layout())
        lane = Signal(range(flit_bytes // WORD_BYTES))
        m.d.comb += [
            word.valid.eq(1),
            word.identifier.eq(identifier),
            word.round.eq(number),
            word.status.eq(Mux(told_status == Status.OK, flag_status, told_status)),
            lane.eq(address[3:shift]),
        ]

        def push_answer(status, bursts):
            m.d.comb += [
                to_answer.valid.eq(1),
                to_answer.payload.status.eq(status),
                to_answer.payload.bursts.eq(bursts),
            ]

        # The next flag tells the first error since the last one; its header takes a cycle, so an
        # answer may be noted one late.
        pushed = Signal(Status)
        m.d.sync += pushed.eq(Mux(to_answer.valid, to_answer.payload.status, Status.OK))
        with m.If(flag_status == Status.OK):
            with m.If(self.written & self.write_error):
                m.d.sync += flag_status.eq(Status.POISONED)
            with m.If(pushed != Status.OK):
                m.d.sync += flag_status.eq(pushed)

        with m.FSM():
            with m.State("header"):
                # Room for the answer is certain from here on: one is pushed per packet.
                with m.If(source.valid & to_answer.ready):
                    m.d.comb += source.ready.eq(1)
                    m.d.sync += [
                        answer.source.eq(header.source),
                        answer.tag.eq(header.tag),
                        answer.acknowledge.eq(header.acknowledge),
                        answer.notify.eq(is_notify),
                        answer.status.eq(bad),
                        answer.bursts.eq(0),
                        address.eq(header.address),
                        left.eq(header.length + header.address[:shift]),
                        skipped.eq(header.address[:shift]),
                        identifier.eq(header.tag),
                        number.eq(header.length),
                        told_status.eq(header.status),
                        open_beats.eq(0),
                        opened.eq(0),
                    ]
                    with m.If(flit.last):
                        m.next = "empty"
                        with m.If(is_notify & (bad == Status.OK)):
                            m.next = "notify"
                    with m.Elif(bad != Status.OK):
                        m.next = "drop"
                    with m.Elif(is_addition):
                        m.next = "operand"
                    with m.Else():
                        m.next = "payload"
            with m.State("payload"):
                m.d.comb += [
                    self.burst.valid.eq(source.valid & ~opened),
                    self.beat.valid.eq(source.valid & (opened | self.burst.ready)),
                    self.beat.payload.last.eq(Mux(opened, open_beats == 1, beats_now == 1)),
                    source.ready.eq(self.beat.valid & self.beat.ready),
                ]
                with m.If(issued):
                    m.d.sync += [
                        answer.bursts.eq(answer.bursts + 1),
                        open_beats.eq(beats_now - source.ready),
                        opened.eq((beats_now != 1) | ~source.ready),
                    ]
                with m.Elif(source.ready):
                    m.d.sync += [open_beats.eq(open_beats - 1), opened.eq(open_beats != 1)]
                with m.If(source.ready):
                    used = Mux(left >= flit_bytes, flit_bytes, left)
                    m.d.comb += stored.eq(used - skipped)
                    m.d.sync += [
                        left.eq(left - used),
                        skipped.eq(0),
                        address.eq(address + flit_bytes),
                    ]
                    with m.If(flit.last):
                        push_answer(
                            Mux(flit.poison, Status.POISONED, Status.OK),
                            answer.bursts + issued,
                        )
                        m.next = "header"
            with m.State("operand"), m.If(all_written):
                m.d.comb += [
                    self.addition.valid.eq(source.valid),
                    source.ready.eq(self.addition.ready),
                ]
                with m.If(self.addition.valid & self.addition.ready):
                    m.next = "adding"
            with m.State("adding"), m.If(self.added):
                push_answer(Mux(self.addition_error, Status.POISONED, Status.OK), 0)
                m.next = "header"
            with m.State("drop"):
                m.d.comb += source.ready.eq(1)
                with m.If(source.valid & flit.last):
                    push_answer(answer.status, 0)
                    m.next = "header"
            with m.State("empty"):
                push_answer(Mux(answer.status == Status.OK, Status.BAD_LENGTH, answer.status), 0)
                m.next = "header"
            with m.State("notify"), m.If(all_written):
                m.d.comb += [
                    self.burst.valid.eq(1),
                    self.burst.payload.beats.eq(1),
                    self.beat.valid.eq(self.burst.ready),
                    self.beat.payload.last.eq(1),
                    self.beat.payload.data.eq(word.as_value() << (lane << 6)),
                    self.beat.payload.strobe.eq(0xFF << (lane << 3)),
                ]
                with m.If(issued):
                    m.d.sync += [told_status.eq(word.status), flag_status.eq(Status.OK)]
                    m.next = "flag"
                    with m.If(self.beat.ready):
                        push_answer(Status.OK, 1)
                        m.next = "header"
            with m.State("flag"):
                m.d.comb += [
                    self.beat.valid.eq(1),
                    self.beat.payload.last.eq(1),
                    self.beat.payload.data.eq(word.as_value() << (lane << 6)),
                    self.beat.payload.strobe.eq(0xFF << (lane << 3)),
                ]
                with m.If(self.beat.ready):
                    push_answer(Status.OK, 1)
                    m.next = "header"
