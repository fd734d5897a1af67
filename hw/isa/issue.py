"""Issue: from an instruction to the reads of its waves."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.isa.barrier import BarrierUser
from hw.isa.check import Check
from hw.isa.jobs import read_job_layout, scale_share
from hw.spec.bits import index_bits
from hw.spec.checks import below
from hw.spec.config import Config
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import Instruction, Opcode, read_tag_layout
from hw.spec.packet import LENGTH_BITS, NODE_BITS
from hw.spec.status import Status


@dataclass(frozen=True)
class Round:
    """Of the barrier: ``allowed``, the controller may use it; ``ends_round``, what fails here
    ends it."""

    allowed: Signal
    ends_round: Signal


@dataclass(frozen=True)
class Wave:
    """The next one, cut from what is left of the instruction, and its entry."""

    offset: Signal
    left: Signal
    wave_length: Signal
    last_wave: Signal
    position: Signal
    generation: Signal
    in_use: Signal
    issued: Signal

    @classmethod
    def create(cls, config: Config) -> Wave:
        waves = config.waves_per_controller
        offset, left = Signal(32), Signal(32)
        wave_length = Signal(LENGTH_BITS)
        last_wave = Signal()
        position = Signal(range(waves))
        generation = Signal(read_tag_layout(config)["generation"].width)
        in_use = Signal(range(waves + 1))
        issued = Signal()
        return cls(offset, left, wave_length, last_wave, position, generation, in_use, issued)


class Issue(wiring.Component):
    """Fetch an instruction (a quantized one with its scales), check it, claim its round of the
    barrier and wait there, cut it into waves.

    Parameters: ``index``, number of the controller, below ``isa.wave_controllers``.

    Ports
    -----
    instruction : stream in
    sync_refused : in, a bit per barrier this controller may not use
    context_free : in, context ``newest`` is free
    newest, begin : out, ``instruction`` is taken into that context
    current, scales, context : out, the instruction being issued, the one with its scales,
        and their context
    pairing : out, a quantized instruction waits for its scales
    open, granted : out, in; its operand addresses are to be kept, and are
    rejected, status, culprit : out, it broke a rule; the endpoint at fault, if ``status`` has one
    withheld : out, it may write no flags: its controller may not use that barrier, the barrier is
        absent, or its round was not its own to end
    failed : in, it has failed meanwhile: stop
    is_oldest : in, all earlier instructions have retired (for ``fence``)
    barrier : see :class:`hw.isa.barrier.BarrierUser`
    at_barrier : out, it waits there
    read : stream out, one item per wave; leaves only with a free table entry
    entry_wait : out, a wave waits for an entry
    wave_freed : in, the oldest wave's entry is free
    finished : out, no more waves of ``context`` will come

    Entries are used in a ring; the generation counts its rounds. One wave per cycle.
    """

    def __init__(self, config: Config, *, index: int):
        self._config = config
        self._index = below("index", index, config.isa.wave_controllers)
        slot_bits = index_bits(config.isa.instructions_in_flight)
        super().__init__(
            {
                "sync_refused": In(config.isa.sync_ids),
                "instruction": In(stream.Signature(Instruction.layout(config))),
                "context_free": In(1),
                "newest": Out(slot_bits),
                "begin": Out(1),
                "current": Out(Instruction.layout(config)),
                "scales": Out(Instruction.layout(config)),
                "pairing": Out(1),
                "context": Out(slot_bits),
                "open": Out(1),
                "granted": In(1),
                "rejected": Out(1),
                "status": Out(Status),
                "culprit": Out(NODE_BITS),
                "withheld": Out(1),
                "failed": In(1),
                "is_oldest": In(1),
                "at_barrier": Out(1),
                "barrier": Out(BarrierUser(config)),
                "read": Out(stream.Signature(read_job_layout(config))),
                "first_wave": Out(1),
                "passed_barrier": Out(1),
                "entry_wait": Out(1),
                "wave_freed": In(1),
                "finished": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        status, bad_round = Signal(Status), Signal()
        allowed, ends_round = Signal(), Signal()
        round_ = Round(allowed, ends_round)
        wave = Wave.create(config)
        self._examine(m, status, bad_round)
        self._present_round(m, round_)
        self._present_wave(m, wave)

        examine = "examine" if config.fabric.registered else "check"
        with m.FSM():
            with m.State("fetch"):
                self._fetch(m, examine)
            with m.State("pair"):
                self._pair(m, round_, examine)
            if config.fabric.registered:
                with m.State("examine"):
                    m.next = "check"
            with m.State("check"):
                self._check(m, status, round_, wave)
            with m.State("wait"):
                self._wait(m, bad_round)
            with m.State("issue"):
                self._issue(m, wave)
        return m

    def _examine(self, m, status, bad_round):
        """With ``fabric.registered`` what is found takes a cycle."""
        m.submodules.check = check = Check(self._config)
        m.d["sync" if self._config.fabric.registered else "comb"] += [
            status.eq(check.status),
            self.culprit.eq(check.culprit),
        ]
        m.d.comb += [
            check.instruction.eq(self.current),
            check.scales.eq(self.scales),
            check.sync_refused.eq(self.sync_refused),
            self.status.eq(Mux(bad_round, Status.BAD_ROUND, status)),
        ]

    def _present_round(self, m, round_):
        """The round of the barrier that the instruction names."""
        config, instruction = self._config, self.current
        barrier, allowed = self.barrier, round_.allowed
        m.d.comb += [
            barrier.sync_id.eq(instruction.sync_id),
            barrier.round.eq(instruction.round),
            barrier.participants.eq(instruction.participants),
            allowed.eq(
                (instruction.sync_id < config.isa.sync_ids)
                & ~self.sync_refused.bit_select(instruction.sync_id, 1)
            ),
            # One that fails before it has claimed its round ends it too, if it may use it.
            round_.ends_round.eq(
                instruction.barrier
                & ~instruction.opcode.matches(Opcode.NOP, Opcode.SCALES)
                & allowed
            ),
        ]

    def _present_wave(self, m, wave):
        """The next wave of the instruction."""
        config, instruction = self._config, self.current
        offset, left, last_wave = wave.offset, wave.left, wave.last_wave
        wave_length, in_use, issued = wave.wave_length, wave.in_use, wave.issued
        first_context = self._index * config.isa.instructions_in_flight
        m.d.comb += [
            last_wave.eq(left <= config.isa.wave_bytes),
            wave_length.eq(Mux(last_wave, left, config.isa.wave_bytes)),
            issued.eq(self.read.valid & self.read.ready),
            self.first_wave.eq(issued & (offset == 0)),
            self.read.payload.ports.eq(instruction.sources),
            self.read.payload.context.eq(self.context + first_context),
            self.read.payload.entry.eq(wave.position + self._index * config.waves_per_controller),
            self.read.payload.generation.eq(wave.generation),
            self.read.payload.offset.eq(offset),
            self.read.payload.length.eq(wave_length),
        ]
        if config.isa.block_formats:
            kind = Mux(instruction.quantize, instruction.data_type, DataType.FP16)
            m.d.comb += [
                self.read.payload.scale_offset.eq(scale_share(config, kind, offset)),
                self.read.payload.scale_length.eq(scale_share(config, kind, wave_length)),
            ]
        m.d.sync += in_use.eq(in_use + issued - self.wave_freed)

    def _fetch(self, m, examine):
        following = self.instruction.payload
        with m.If(self.instruction.valid & self.context_free):
            m.d.comb += [self.instruction.ready.eq(1), self.begin.eq(1)]
            m.d.sync += [
                self.current.eq(self.instruction.payload),
                self.context.eq(self.newest),
                self.newest.eq(self.newest + 1),
                self.scales.eq(0),
            ]
            m.next = examine
            with m.If(following.quantize & (following.opcode == Opcode.COLLECTIVE)):
                m.next = "pair"

    def _pair(self, m, round_, examine):
        """Anything but scales stays in the queue: it is the next instruction."""
        instruction, barrier, allowed = self.current, self.barrier, round_.allowed
        following = self.instruction.payload
        m.d.comb += self.pairing.eq(1)
        with m.If(self.failed):
            m.d.comb += [
                self.finished.eq(1),
                barrier.end.eq(round_.ends_round),
                self.withheld.eq(~Mux(instruction.barrier, barrier.ended, allowed)),
            ]
            m.next = "fetch"
        with m.Elif(self.instruction.valid):
            with m.If(following.opcode == Opcode.SCALES):
                m.d.comb += self.instruction.ready.eq(1)
                m.d.sync += self.scales.eq(following)
            m.next = examine

    def _check(self, m, status, round_, wave):
        instruction, barrier = self.current, self.barrier
        allowed, ends_round = round_.allowed, round_.ends_round
        m.d.comb += self.open.eq(1)
        m.d.sync += [wave.offset.eq(0), wave.left.eq(instruction.length)]
        with m.If(self.granted):
            m.next = "wait"
            with m.If(status != Status.OK):
                m.d.comb += [self.rejected.eq(1), barrier.end.eq(ends_round)]
            with m.Else():
                m.d.comb += barrier.claim.eq(ends_round)
            with m.If((status != Status.OK) | (instruction.opcode == Opcode.NOP)):
                m.d.comb += [
                    self.finished.eq(1),
                    self.withheld.eq(~Mux(instruction.barrier, barrier.ended, allowed)),
                ]
                m.next = "fetch"

    def _wait(self, m, bad_round):
        """For the barrier, behind the fence."""
        instruction, barrier = self.current, self.barrier
        fenced = instruction.fence & ~self.is_oldest
        m.d.comb += [
            self.at_barrier.eq(instruction.barrier & ~fenced),
            bad_round.eq(instruction.barrier & ~barrier.held),
        ]
        with m.If(self.failed | bad_round):
            m.d.comb += [
                self.rejected.eq(bad_round & ~self.failed),
                self.finished.eq(1),
                barrier.end.eq(barrier.held),
                self.withheld.eq(bad_round),
            ]
            m.next = "fetch"
        with m.Elif(~fenced & (~instruction.barrier | barrier.met)):
            m.d.comb += [barrier.end.eq(barrier.held), self.passed_barrier.eq(1)]
            m.next = "issue"

    def _issue(self, m, wave):
        """A wave each time that an entry is free."""
        waves = self._config.waves_per_controller
        offset, left = wave.offset, wave.left
        wave_length, last_wave, in_use = wave.wave_length, wave.last_wave, wave.in_use
        position, generation, issued = wave.position, wave.generation, wave.issued
        with m.If(self.failed):
            m.d.comb += self.finished.eq(1)
            m.next = "fetch"
        with m.Elif(in_use == waves):
            m.d.comb += self.entry_wait.eq(1)
        with m.Else():
            m.d.comb += self.read.valid.eq(1)
        with m.If(issued):
            m.d.sync += [offset.eq(offset + wave_length), left.eq(left - wave_length)]
            with m.If(position == waves - 1):
                m.d.sync += [position.eq(0), generation.eq(generation + 1)]
            with m.Else():
                m.d.sync += position.eq(position + 1)
            with m.If(last_wave):
                m.d.comb += self.finished.eq(1)
                m.next = "fetch"
