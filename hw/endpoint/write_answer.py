"""Answers to write requests, in order, once their data is visible."""

from amaranth import Module, Mux, Signal
from amaranth.hdl import ValueLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.fabric.packets import drive_header, node_id
from hw.spec.checks import one_of
from hw.spec.config import TAG_BITS, Config
from hw.spec.fault import Fault
from hw.spec.packet import NODE_BITS, MessageClass, Operation, QueueSet, flit_layout
from hw.spec.status import Status
from hw.spec.timing import ANSWERS_WAITING
from hw.stream.connect import connect_stream, register_stage
from hw.stream.queue import Buffer, Queue

"""Requests that may wait for their data to be visible."""

BURSTS_PER_REQUEST = 2
"""A packet of up to 4 KiB touches at most two 4 KiB pages."""

ANSWER_LAYOUT = data.StructLayout(
    {
        "source": NODE_BITS,
        "tag": TAG_BITS,
        "acknowledge": 1,
        "notify": 1,
        "status": Status,
        "bursts": 2,
    }
)
"""A request whose bursts are on their way; answered when all of them are written."""


class WriteAnswer(wiring.Component):
    """Match bursts that have become visible with the requests they belong to.

    Parameters: ``queue_set`` of the requests; ``identity``, id of the endpoint, 0 … 15, or a
    value that holds it.

    Ports
    -----
    i : stream in, requests whose bursts are on their way, in order
    written, write_error : in, the next burst in order is visible, or failed (AXI4 B)
    o : flit stream out, write responses
    visible : pulse, a completion flag is visible in memory
    fault : in, misbehave once with the next response; ``fault_taken`` out

    The error of a write that asked for no answer is told in the next answer. A response
    leaves one cycle after its last burst became visible.
    """

    def __init__(self, config: Config, *, queue_set: QueueSet, identity: ValueLike):
        self._config = config
        self._set = one_of("queue_set", queue_set, QueueSet)
        self._identity = node_id(identity)
        super().__init__(
            {
                "i": In(stream.Signature(ANSWER_LAYOUT)),
                "written": In(1),
                "write_error": In(1),
                "o": Out(stream.Signature(flit_layout(config))),
                "visible": Out(1),
                "fault": In(Fault),
                "fault_taken": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.answers = answers = Queue(ANSWER_LAYOUT, depth=ANSWERS_WAITING)
        incoming = self.i
        if self._config.fabric.registered:
            incoming = register_stage(m, "incoming", self.i, Buffer)
        connect_stream(m, incoming, answers.i)
        head = answers.o.payload
        limit = BURSTS_PER_REQUEST * (ANSWERS_WAITING + 1)
        completed = Signal(range(limit + 1))
        # Bit j: the jth burst that is visible but not yet answered for has failed.
        errors = Signal(limit + 1)
        own_errors = errors & ((1 << head.bursts) - 1)
        unreported = Signal(Status)
        due = Signal()
        again = Signal()
        silent = Signal()
        tag = Signal(TAG_BITS)
        outcome = Signal(Status)
        m.d.comb += [
            due.eq(answers.o.valid & (completed >= head.bursts)),
            tag.eq(head.tag),
            outcome.eq(
                Mux(
                    head.status != Status.OK,
                    head.status,
                    Mux(own_errors.any(), Status.POISONED, unreported),
                )
            ),
            self.o.valid.eq(due & head.acknowledge & ~silent),
            answers.o.ready.eq(due & (~head.acknowledge | silent | (self.o.ready & ~again))),
            *drive_header(
                self.o.payload,
                inc=self._set.value,
                message_class=MessageClass.WRITE_RESPONSE,
                operation=Operation.WRITE,
                status=outcome,
                source=self._identity,
                destination=head.source,
                tag=tag,
            ),
        ]
        answered = Signal(range(BURSTS_PER_REQUEST + 1))
        remaining = Signal.like(completed)
        popped = answers.o.valid & answers.o.ready
        m.d.comb += [
            answered.eq(Mux(popped, head.bursts, 0)),
            remaining.eq(completed - answered),
        ]
        m.d.sync += [
            completed.eq(remaining + self.written),
            errors.eq((errors >> answered) | ((self.written & self.write_error) << remaining)),
            self.visible.eq(popped & head.notify & (head.bursts != 0)),
        ]
        with m.If(popped & head.acknowledge):
            m.d.sync += unreported.eq(Status.OK)
        with m.Elif(popped & (unreported == Status.OK)):
            m.d.sync += unreported.eq(outcome)
        if self._config.endpoint.fault_injection:
            self._misbehave(m, head, due, tag, silent, again)
        return m

    def _misbehave(self, m, head, due, tag, silent, again):
        repeated = Signal()
        answering = self.o.valid & self.o.ready
        with m.Switch(self.fault):
            with m.Case(Fault.SILENT_WRITE):
                m.d.comb += [silent.eq(1), self.fault_taken.eq(due & head.acknowledge)]
            with m.Case(Fault.DUPLICATE_WRITE):
                m.d.comb += [again.eq(~repeated), self.fault_taken.eq(answering & repeated)]
                m.d.sync += repeated.eq(repeated ^ answering)
            with m.Case(Fault.UNKNOWN_WRITE):
                m.d.comb += [
                    tag.eq(head.tag ^ (1 << (TAG_BITS - 1))),
                    self.fault_taken.eq(answering),
                ]
