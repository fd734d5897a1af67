"""Wave controller: runs one stream of instructions."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth import Array, Module, Mux, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.isa.answers import ContextAnswers
from hw.isa.barrier import BarrierUser
from hw.isa.context import Fault, context_layout, lowest_index, times_layout
from hw.isa.issue import Issue
from hw.isa.jobs import (
    operands_layout,
    read_job_layout,
    wave_layout,
    write_job_layout,
)
from hw.isa.retire import Retire
from hw.isa.watchdog import Watchdog
from hw.spec.bits import index_bits
from hw.spec.checks import below
from hw.spec.config import Config
from hw.spec.instruction import Completion, Instruction
from hw.spec.packet import LENGTH_BITS, NODE_BITS
from hw.spec.status import Status
from hw.stream.connect import connect_stream, event
from hw.stream.queue import Queue


@dataclass(frozen=True)
class Contexts:
    """What is known of each instruction in flight."""

    live: Array
    issued: Array
    timed_out: Array
    status: Array
    failed: Array
    culprit: Array
    info: Array
    pending: Array
    times: Array
    generation: Array

    @classmethod
    def create(cls, config: Config, generation: Shape) -> Contexts:
        shapes = {
            "live": 1,
            "issued": 1,
            "timed_out": 1,
            "status": Status,
            "failed": 1,
            "culprit": NODE_BITS,
            "info": context_layout(config),
            "pending": range(config.waves_per_controller + 1),
            "times": times_layout(),
            "generation": generation,
        }
        slots = range(config.isa.instructions_in_flight)
        return cls(
            **{
                name: Array(Signal(shape, name=f"{name}_{k}") for k in slots)
                for name, shape in shapes.items()
            }
        )


class WaveController(wiring.Component):
    """Issue waves, keep what is known of their instructions, retire them.

    :class:`hw.isa.issue.Issue` feeds it, :class:`hw.isa.retire.Retire` ends it.

    Parameters: ``index``, number of this controller, below ``isa.wave_controllers``.

    Ports
    -----
    instruction : stream in
    open : stream out, a context starts, see :func:`hw.isa.jobs.operands_layout`
    sync_refused : in, a bit per barrier this controller may not use
    barrier : see :class:`hw.isa.barrier.BarrierUser`
    read : stream out, a wave whose table entry is reserved
    wave : stream out, the same wave for the scheduler; taken when its entry is free again
    wave_timed_out : out, the wave at ``wave`` will not complete
    started : in, a row of the wave at ``wave`` entered the reduction
    notify : stream out, completion flags
    faults : event in per context, an error of it; several may have one in the same cycle
    stray : event in, an error that names no context; charged to the oldest
    answers : see :class:`hw.isa.answers.ContextAnswers`
    abandon : out per context, see :class:`hw.isa.write_tracker.WriteTracker`
    completion : stream out, one record per instruction without ``no_record``, in order

    Up to ``isa.instructions_in_flight`` instructions overlap: while one drains, the next
    issues. They retire in order. An error stops the issue, discards the waves in flight
    and ends the instruction with its status; the watchdog does so when nothing moves.
    """

    def __init__(self, config: Config, *, index: int):
        self._config = config
        self._index = below("index", index, config.isa.wave_controllers)
        slots = config.isa.instructions_in_flight
        super().__init__(
            {
                "cycles": In(32),
                "fused_notify": In(1),
                "timeout": In(32),
                "barrier_timeout": In(32),
                "sync_refused": In(config.isa.sync_ids),
                "instruction": In(stream.Signature(Instruction.layout(config))),
                "open": Out(stream.Signature(operands_layout(config))),
                "barrier": Out(BarrierUser(config)),
                "read": Out(stream.Signature(read_job_layout(config))),
                "wave": Out(stream.Signature(wave_layout(config))),
                "wave_timed_out": Out(1),
                "started": In(1),
                "notify": Out(stream.Signature(write_job_layout(config))),
                "faults": In(event(Fault)).array(slots),
                "stray": In(event(Fault)),
                "answers": Out(ContextAnswers(config)),
                "abandon": Out(slots),
                "completion": Out(stream.Signature(Completion.layout())),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.issue = issue = Issue(self._config, index=self._index)
        m.submodules.retire = retire = Retire(self._config, index=self._index)
        contexts = Contexts.create(self._config, self.wave.payload.generation.shape())
        self._connect_issue(m, issue, retire.oldest, contexts)
        self._note_issue(m, issue, contexts)
        slot, moved = self._queue_waves(m, issue, contexts)
        self._note_times(m, issue, contexts.times, slot)
        self._connect_retire(m, retire, contexts)
        self._note_errors(m, issue, retire, contexts, moved)
        return m

    def _connect_issue(self, m, issue, oldest, contexts):
        """From the instruction to its waves."""
        live, failed, generation = contexts.live, contexts.failed, contexts.generation
        first_context = self._index * self._config.isa.instructions_in_flight
        connect_stream(m, self.instruction, issue.instruction)
        connect_stream(m, issue.read, self.read)
        wiring.connect(m, issue.barrier, wiring.flipped(self.barrier))
        m.d.comb += [
            issue.context_free.eq(~live[issue.newest]),
            issue.granted.eq(self.open.ready),
            issue.sync_refused.eq(self.sync_refused),
            issue.failed.eq(failed[issue.context]),
            issue.is_oldest.eq(oldest == issue.context),
            self.open.valid.eq(issue.open),
            self.open.payload.opening.context.eq(issue.context + first_context),
            self.open.payload.opening.generation.eq(generation[issue.context]),
            self.open.payload.addresses.eq(issue.current.addresses),
            self.open.payload.scale_addresses.eq(issue.scales.addresses),
        ]

    def _note_issue(self, m, issue, contexts):
        """A context begins with its instruction; it is told how the issue ends."""
        status, culprit, info = contexts.status, contexts.culprit, contexts.info
        times, generation = contexts.times, contexts.generation
        with m.If(issue.begin):
            new = issue.newest
            m.d.sync += [
                contexts.live[new].eq(1),
                contexts.issued[new].eq(0),
                contexts.timed_out[new].eq(0),
                status[new].eq(Status.OK),
                culprit[new].eq(0),
                contexts.pending[new].eq(0),
                times[new].eq(0),
                times[new].fetched.eq(self.cycles),
                generation[new].eq(generation[new] + 1),
                *(
                    info[new][name].eq(self.instruction.payload[name])
                    for name, _ in context_layout(self._config)
                ),
            ]
        with m.If(issue.rejected):
            m.d.sync += status[issue.context].eq(issue.status)
            with m.If(issue.status == Status.WINDOW_VIOLATION):
                m.d.sync += culprit[issue.context].eq(issue.culprit)
        with m.If(issue.withheld):
            m.d.sync += info[issue.context].notify.eq(0)
        with m.If(issue.finished):
            m.d.sync += contexts.issued[issue.context].eq(1)

    def _queue_waves(self, m, issue, contexts):
        """The waves, the oldest first, for the scheduler. Returns the slot of the oldest, and
        whether a wave came or went."""
        config = self._config
        slots = config.isa.instructions_in_flight
        live, status, failed = contexts.live, contexts.status, contexts.failed
        m.submodules.queue = queue = Queue(
            _queued_layout(config), depth=max(2, config.waves_per_controller)
        )
        head = queue.o.payload
        wave_issued, wave_freed = Signal(), Signal()
        freed_slot = Signal.like(head.slot)
        # What becomes of a wave may be noted a cycle late.
        m.d["sync" if config.fabric.registered else "comb"] += [
            wave_freed.eq(self.wave.valid & self.wave.ready),
            freed_slot.eq(head.slot),
            *(failed[k].eq(live[k] & (status[k] != Status.OK)) for k in range(slots)),
        ]
        m.d.comb += [
            wave_issued.eq(self.read.valid & self.read.ready),
            issue.wave_freed.eq(wave_freed),
            queue.i.valid.eq(wave_issued),
            queue.i.payload.slot.eq(issue.context),
            queue.i.payload.entry.eq(self.read.payload.entry),
            queue.i.payload.offset.eq(self.read.payload.offset),
            queue.i.payload.length.eq(self.read.payload.length),
            queue.o.ready.eq(self.wave.ready),
            self.wave.valid.eq(queue.o.valid),
        ]
        self._describe_wave(m, head, contexts)
        pending, timed_out = contexts.pending, contexts.timed_out
        for k in range(slots):
            more = wave_issued & (issue.context == k)
            less = wave_freed & (freed_slot == k)
            with m.If(more | less):
                m.d.sync += pending[k].eq(pending[k] + more - less)
            m.d.comb += self.abandon[k].eq(timed_out[k] & live[k])
        return head.slot, wave_issued | wave_freed

    def _describe_wave(self, m, head, contexts):
        """The oldest wave, with what is known of its instruction."""
        first_context = self._index * self._config.isa.instructions_in_flight
        m.d.comb += [
            self.wave.payload.context.eq(head.slot + first_context),
            self.wave.payload.entry.eq(head.entry),
            self.wave.payload.generation.eq(contexts.generation[head.slot]),
            self.wave.payload.offset.eq(head.offset),
            self.wave.payload.length.eq(head.length),
            self.wave.payload.failed.eq(contexts.failed[head.slot]),
            self.wave_timed_out.eq(contexts.timed_out[head.slot]),
            *(
                self.wave.payload[name].eq(contexts.info[head.slot][name])
                for name in ("sources", "destinations", "data_type", "reduce_op", "quantize")
            ),
        ]

    def _note_times(self, m, issue, times, slot):
        """When things happened."""
        answered = self.answers.answered
        for happens, context, name in (
            (issue.passed_barrier, issue.context, "barrier_met"),
            (issue.first_wave, issue.context, "first_read"),
            (self.started, slot, "last_write"),
            *((answered[k], k, "last_response") for k in range(len(answered))),
        ):
            with m.If(happens):
                m.d.sync += times[context][name].eq(self.cycles)
        with m.If(issue.entry_wait):
            waited = times[issue.context].table_wait
            m.d.sync += waited.eq(waited + ~waited.all())

    def _connect_retire(self, m, retire, contexts):
        """From the last wave to the report."""
        live, issued, pending = contexts.live, contexts.issued, contexts.pending
        timed_out, oldest = contexts.timed_out, retire.oldest
        connect_stream(m, retire.notify, self.notify)
        connect_stream(m, retire.completion, self.completion)
        m.d.comb += [
            self.answers.oldest.eq(oldest),
            retire.drained.eq(live[oldest] & issued[oldest] & (pending[oldest] == 0)),
            retire.answered.eq(~self.answers.outstanding.bit_select(oldest, 1) | timed_out[oldest]),
            retire.context.eq(contexts.info[oldest]),
            retire.times.eq(contexts.times[oldest]),
            retire.status.eq(contexts.status[oldest]),
            retire.culprit.eq(contexts.culprit[oldest]),
            retire.fused_notify.eq(self.fused_notify),
            retire.cycles.eq(self.cycles),
        ]
        with m.If(retire.retired):
            m.d.sync += live[oldest].eq(0)

    def _note_errors(self, m, issue, retire, contexts, moved):
        """The first error of an instruction counts."""
        live, status, oldest = contexts.live, contexts.status, retire.oldest
        m.submodules.watchdog = watchdog = Watchdog()
        m.d.comb += [
            watchdog.running.eq(live[oldest] & ~retire.reporting),
            watchdog.at_barrier.eq(issue.at_barrier & issue.is_oldest),
            watchdog.progress.eq(self.answers.progress | moved | self.started),
            watchdog.limit.eq(self.timeout),
            watchdog.barrier_limit.eq(self.barrier_timeout),
        ]

        def note(context, error, endpoint):
            m.d.sync += [status[context].eq(error), contexts.culprit[context].eq(endpoint)]

        for k, fault in enumerate(self.faults):
            with m.If(fault.valid & (status[k] == Status.OK)):
                note(k, fault.payload.status, fault.payload.endpoint)
        with m.If(live[oldest] & (status[oldest] == Status.OK)):
            with m.If(self.stray.valid):
                note(oldest, self.stray.payload.status, self.stray.payload.endpoint)
            with m.Elif(watchdog.barrier_expired):
                note(oldest, Status.BARRIER_TIMEOUT, lowest_index(self.barrier.missing))
            with m.Elif(watchdog.expired):
                answers = self.answers
                waiting = Mux(
                    answers.reads_waiting.any(), answers.reads_waiting, answers.writes_waiting
                )
                unpaired = issue.pairing & issue.is_oldest
                late = Mux(unpaired, Status.MISSING_SCALES, Status.TIMEOUT)
                note(oldest, late, Mux(unpaired, 0, lowest_index(waiting)))
        with m.If(watchdog.expired & live[oldest]):
            m.d.sync += contexts.timed_out[oldest].eq(1)


def _queued_layout(config: Config) -> data.StructLayout:
    return data.StructLayout(
        {
            "slot": index_bits(config.isa.instructions_in_flight),
            "entry": index_bits(config.isa.waves),
            "offset": 32,
            "length": LENGTH_BITS,
        }
    )
