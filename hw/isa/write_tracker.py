"""Write responses of one port."""

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.fabric.packets import header_of
from hw.isa.abandoned import count_abandoned
from hw.isa.jobs import COUNT_BITS, expectation_layout, opening_layout, write_error_layout
from hw.spec.bits import index_bits
from hw.spec.config import Config
from hw.spec.instruction import write_tag_layout
from hw.spec.packet import flit_layout
from hw.spec.status import Status
from hw.stream.connect import event, register_stage
from hw.stream.queue import LightRegister


class WriteTracker(wiring.Component):
    """Count the write responses that each instruction still waits for.

    Ports
    -----
    i : flit stream in, write responses; always ready, but with ``fabric.registered`` for a flit
        every second cycle
    open : event in, a context starts, nothing is outstanding
    expect : event in, so many more responses will come in a context
    abandon : per context, stop waiting; what comes later is dropped
    outstanding : out, per context, responses are still to come
    error : event out, a response carried or was an error
    late : pulse, an abandoned response was dropped
    answered : event out, a response was counted in this context
    """

    def __init__(self, config: Config):
        self._config = config
        context = index_bits(config.contexts)
        super().__init__(
            {
                "i": In(stream.Signature(flit_layout(config))),
                "open": In(event(opening_layout(config))),
                "expect": In(event(expectation_layout(config))),
                "abandon": In(config.contexts),
                "outstanding": Out(config.contexts),
                "error": Out(event(write_error_layout(config))),
                "late": Out(1),
                "answered": Out(event(context)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        contexts = self._config.contexts
        tag_layout = write_tag_layout(self._config)
        generation = Array(
            Signal(tag_layout["generation"].width, name=f"generation_{c}") for c in range(contexts)
        )
        counts = Array(Signal(COUNT_BITS, name=f"count_{c}") for c in range(contexts))
        # Answers still to come to requests given up: those counted, and those of the last cycle.
        given_up, drop_late = Signal(COUNT_BITS), Signal()
        abandoned = count_abandoned(m, "abandoned", more=given_up, less=drop_late)

        responses = self.i
        if self._config.fabric.registered:
            responses = register_stage(m, "responses", self.i, LightRegister)
        header = header_of(responses.payload)
        tag = data.View(tag_layout, header.tag)
        come = responses.valid & responses.payload.first
        current = generation[tag.context] == tag.generation
        counted = Signal()
        m.d.comb += [
            responses.ready.eq(1),
            counted.eq(come & current & (counts[tag.context] != 0)),
            drop_late.eq(come & ~counted & ((abandoned != 0) | (given_up != 0))),
        ]
        m.d.sync += [
            self.answered.valid.eq(counted),
            self.answered.payload.eq(tag.context),
            self.late.eq(drop_late),
            self.error.valid.eq(
                (come & ~counted & ~drop_late) | (counted & (header.status != Status.OK))
            ),
            self.error.payload.context.eq(tag.context),
            self.error.payload.status.eq(
                Mux(
                    counted,
                    header.status,
                    Mux(current, Status.DUPLICATE_RESPONSE, Status.UNKNOWN_TAG),
                )
            ),
        ]
        with m.If(self.open.valid):
            m.d.sync += generation[self.open.payload.context].eq(self.open.payload.generation)
        abandons, expect = 0, self.expect
        for c, count in enumerate(counts):
            more = Mux(expect.valid & (expect.payload.context == c), expect.payload.count, 0)
            less = counted & (tag.context == c)
            m.d.sync += count.eq(Mux(self.abandon[c], 0, count + more - less))
            # A response counts as outstanding until its status has been reported.
            reporting = Signal(name=f"reporting_{c}")
            m.d.sync += reporting.eq(less)
            # Whether there are any is known beside the count, not from it.
            some = Signal(name=f"some_{c}")
            left = (more != 0) | (count > 1) | ((count == 1) & ~less)
            m.d.sync += some.eq(left & ~self.abandon[c])
            m.d.comb += self.outstanding[c].eq(some | reporting)
            abandons += Mux(self.abandon[c], (count + more - less)[:COUNT_BITS], 0)
        m.d.sync += given_up.eq(abandons)
        return m
