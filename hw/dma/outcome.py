"""How the commands of an engine end: counts, the first failure, timeout, reset."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.dma.jobs import FAILURE_LAYOUT, ITEM_BITS, NUMBER_BITS
from hw.spec.config import Config
from hw.spec.dma import EngineState, RequestTag
from hw.spec.status import Status

SOURCES = 3
"""Parts that tell of a failure by the low bits of the command's number."""

FOUND_LAYOUT = data.StructLayout({"status": Status, "limit": NUMBER_BITS, "ending": ITEM_BITS})
"""A failure, of the last command up to ``limit`` whose number ends with ``ending``."""


class Outcome(wiring.Component):
    """Ports
    -----
    failure : in, of the parts that move data: OK, or what became of which command
    sequencer_failure, sequencer_number : in, of a command that was not given out
    ring_failure : in, of the command after the last one begun
    begun : pulse, a command was begun; ``quiet`` : in, everything begun is over
    waiting, moved : in, the fabric owes something; something came from it
    fetching : in, commands are being fetched, or wait to be begun; ``announced`` : in, the
        doorbell tells of more than was fetched
    reset : pulse; ``timeout`` : in, cycles; ``rung`` : in, the doorbell is not zero
    stopped : out, a failure or a reset: nothing more is begun; ``resetting`` : out, a reset
    flush : out, the engine is empty and its counters go to zero
    abort : pulse, give up what the fabric owes; ``generation`` : out, of the tags from now on
    state, status, number, started, completed : out, for the registers

    The first failure stays until a reset. A reset lasts until everything begun is over.
    """

    def __init__(self, config: Config):
        super().__init__(
            {
                "failure": In(FAILURE_LAYOUT).array(SOURCES),
                "sequencer_failure": In(Status),
                "sequencer_number": In(NUMBER_BITS),
                "ring_failure": In(Status),
                "begun": In(1),
                "quiet": In(1),
                "waiting": In(1),
                "moved": In(1),
                "fetching": In(1),
                "announced": In(1),
                "reset": In(1),
                "timeout": In(32),
                "rung": In(1),
                "stopped": Out(1),
                "resetting": Out(1),
                "flush": Out(1),
                "abort": Out(1),
                "generation": Out(RequestTag.layout()["generation"].shape),
                "state": Out(EngineState),
                "status": Out(Status),
                "number": Out(NUMBER_BITS),
                "started": Out(32),
                "completed": Out(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        latest = (self.started - 1)[:NUMBER_BITS]
        number, started = self.sequencer_number, self.started

        found = (
            *((failure.status, latest, failure.command) for failure in self.failure),
            (self.sequencer_failure, number, number[:ITEM_BITS]),
            (self.ring_failure, started, started[:ITEM_BITS]),
            (Mux(self.abort, Status.TIMEOUT, Status.OK), latest, latest[:ITEM_BITS]),
        )
        now = Signal(data.ArrayLayout(FOUND_LAYOUT, len(found)))
        before, first = Signal.like(now), Signal(FOUND_LAYOUT)
        m.d.sync += before.eq(now)
        m.d.comb += [
            self.status.eq(first.status),
            self.number.eq(first.limit - (first.limit - first.ending)[:ITEM_BITS]),
        ]
        # That something failed is known at once, for the signals; what, a cycle later.
        failed, told = Signal(), Signal()
        for index, (status, limit, ending) in enumerate(found):
            m.d.comb += [
                now[index].status.eq(status),
                now[index].limit.eq(limit),
                now[index].ending.eq(ending),
            ]
            with m.If(now[index].status != Status.OK):
                m.d.sync += failed.eq(1)
            with m.If(failed & ~told & (before[index].status != Status.OK)):
                m.d.sync += [told.eq(1), first.eq(before[index])]

        m.d.comb += self.stopped.eq(failed | self.resetting)

        # The fabric owes something and nothing comes.
        silence = Signal(32)
        expired = Signal()
        m.d.comb += self.abort.eq(self.waiting & expired)
        m.d.sync += expired.eq((silence >= self.timeout) & self.waiting & ~self.moved & ~self.abort)
        m.d.sync += silence.eq(Mux(self.waiting & ~self.moved, silence + 1, 0))
        with m.If(self.abort):
            m.d.sync += [self.generation.eq(self.generation + 1), silence.eq(0)]

        with m.If(self.reset):
            m.d.sync += self.resetting.eq(1)
        m.d.comb += self.flush.eq(self.resetting & self.quiet & ~self.fetching)
        # The doorbell is cleared by the flush; until it shows, commands would come again.
        with m.If(self.flush & ~self.rung):
            m.d.sync += [
                self.resetting.eq(0),
                failed.eq(0),
                told.eq(0),
                first.status.eq(Status.OK),
            ]
        with m.If(self.flush):
            m.d.sync += [self.started.eq(0), self.completed.eq(0)]
        with m.Else():
            m.d.sync += self.started.eq(self.started + self.begun)
            with m.If(self.quiet & ~failed):
                m.d.sync += self.completed.eq(self.started)
        with m.If(told & self.quiet):
            m.d.comb += self.state.eq(EngineState.HALTED)
        with m.Elif(
            self.resetting
            | failed
            | ~self.quiet
            | self.fetching
            | self.announced
            | (self.completed != self.started)
        ):
            m.d.comb += self.state.eq(EngineState.RUNNING)
        return m
