"""Retire: tell the participants, and report, in order."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.isa.context import TIMES, context_layout, times_layout
from hw.isa.jobs import write_job_layout
from hw.spec.bits import index_bits
from hw.spec.checks import below
from hw.spec.config import Config
from hw.spec.instruction import Completion
from hw.spec.packet import NODE_BITS
from hw.spec.status import Status


class Retire(wiring.Component):
    """End the oldest instruction of a controller.

    Parameters: ``index``, number of the controller, below ``isa.wave_controllers``.

    Ports
    -----
    oldest : out, context that retires next
    drained : in, all its waves have left the tables
    answered : in, all its write responses are in, or given up
    context, times, status, culprit : in, what is known of it
    fused_notify, cycles : in
    notify : stream out, the completion flag; with fused notify once the instruction has
        drained, behind its data, otherwise once it is answered
    completion : stream out, unless the instruction asks for no record; then ``retired`` pulses
        and ``oldest`` moves on
    reporting : out, the instruction is complete, and its record is offered

    A flag tells the first error since the controller's previous flag, so that one flag can
    stand for a program of several instructions. An instruction whose flag is withheld comes here
    as one without: the next flag tells its error.
    """

    def __init__(self, config: Config, *, index: int):
        self._config = config
        self._index = below("index", index, config.isa.wave_controllers)
        super().__init__(
            {
                "oldest": Out(index_bits(config.isa.instructions_in_flight)),
                "drained": In(1),
                "answered": In(1),
                "context": In(context_layout(config)),
                "times": In(times_layout()),
                "status": In(Status),
                "culprit": In(NODE_BITS),
                "fused_notify": In(1),
                "cycles": In(32),
                "notify": Out(stream.Signature(write_job_layout(config))),
                "completion": Out(stream.Signature(Completion.layout())),
                "retired": Out(1),
                "reporting": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        slots = self._config.isa.instructions_in_flight
        context, done = self.context, self.completion.payload
        notified = Signal()
        earlier_error = Signal(Status)
        outcome = Signal(Status)
        m.d.comb += [
            outcome.eq(Mux(earlier_error != Status.OK, earlier_error, self.status)),
            self.notify.payload.ports.eq(context.participants),
            self.notify.payload.notify.eq(1),
            self.notify.payload.context.eq(self.oldest + self._index * slots),
            self.notify.payload.offset.eq(context.sync_id << 3),
            self.notify.payload.identifier.eq(context.identifier),
            self.notify.payload.round.eq(context.round),
            self.notify.payload.status.eq(outcome),
            done.identifier.eq(context.identifier),
            done.status.eq(self.status),
            done.endpoint.eq(self.culprit),
            done.controller.eq(self._index),
            done.done.eq(self.cycles),
            *(done[name].eq(self.times[name]) for name in TIMES),
        ]
        with m.FSM():
            with m.State("drain"):
                with m.If(self.drained):
                    with m.If(context.notify & ~notified):
                        m.d.comb += self.notify.valid.eq(self.fused_notify | self.answered)
                        with m.If(self.notify.valid & self.notify.ready):
                            m.d.sync += notified.eq(1)
                    with m.Elif(self.answered):
                        m.next = "report"
            with m.State("report"):
                m.d.comb += [self.completion.valid.eq(~context.no_record), self.reporting.eq(1)]
                with m.If(self.completion.ready | context.no_record):
                    m.d.comb += self.retired.eq(1)
                    m.d.sync += [
                        self.oldest.eq(self.oldest + 1),
                        notified.eq(0),
                        earlier_error.eq(Mux(context.notify, Status.OK, outcome)),
                    ]
                    m.next = "drain"
        return m
