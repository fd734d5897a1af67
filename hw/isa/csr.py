"""Registers of the switch: submit instructions, read completions, set features."""

from amaranth import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.csr.bus import CsrBus, Decoder
from hw.csr.cycle_counter import CycleCounter
from hw.isa.barrier import BarrierState
from hw.spec.config import Config
from hw.spec.instruction import Completion, Instruction
from hw.spec.packet import ADDRESS_BITS, WORD_BYTES
from hw.spec.registers import (
    COUNTER_BITS,
    FEATURE_BITS,
    IDENTITY,
    RECORD_WORDS,
    SWITCH,
)
from hw.stream.connect import connect_stream
from hw.stream.delay import delayed
from hw.stream.queue import Queue


class IsaRegisters(wiring.Component):
    """Register page of the switch; the map is ``hw.spec.registers.SWITCH``.

    Ports
    -----
    bus : register bus
    instruction : stream out per controller
    completion : stream in per controller, records; always ready
    barrier : see :class:`hw.isa.barrier.BarrierState`
    no_arrivals : in, packets in this cycle that are no arrivals, counted as stray ones
    features, timeout, barrier_timeout, flag_base : out, settings
    cycles : out, since reset
    late, stray, misrouted : in, events in this cycle, to be counted
    dead_peers : in, a bit per port
    sync_refused : out, per controller, a bit per barrier it may not use

    Each controller has a queue of ``config.records`` records of its own. A record that finds it
    full is dropped and counted, so that no tenant waits for what another leaves unread.
    """

    def __init__(self, config: Config):
        self._config = config
        count = config.isa.wave_controllers
        super().__init__(
            {
                "bus": In(CsrBus()),
                "instruction": Out(stream.Signature(Instruction.layout(config))).array(count),
                "completion": In(stream.Signature(Completion.layout())).array(count),
                "barrier": In(BarrierState(config)),
                "no_arrivals": In(range(config.system.endpoints + 1)),
                "features": Out(len(FEATURE_BITS)),
                "timeout": Out(32),
                "barrier_timeout": Out(32),
                "flag_base": Out(ADDRESS_BITS),
                "cycles": Out(COUNTER_BITS),
                "late": In(8),
                "stray": In(8),
                "misrouted": In(8),
                "dead_peers": In(config.system.endpoints),
                "sync_refused": Out(config.isa.sync_ids).array(count),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, isa = self._config, self._config.isa
        count = isa.wave_controllers
        registers = Decoder(m, self.bus, SWITCH, registered=config.fabric.registered)
        registers.read("IDENTITY", IDENTITY)
        m.submodules.cycle_counter = counter = CycleCounter()
        m.d.comb += self.cycles.eq(counter.cycles)
        registers.counter("CYCLES", counter.cycles)
        registers.read("DEAD_PEERS", self.dead_peers)
        for barrier in range(isa.sync_ids):
            refused = registers.storage("SYNC_REFUSED", index=barrier, bits=count)
            for controller, mask in enumerate(self.sync_refused):
                m.d.comb += mask[barrier].eq(refused[controller])

        enabled = sum(getattr(isa, name) << bit for bit, name in enumerate(FEATURE_BITS))
        m.d.comb += [
            self.features.eq(registers.storage("FEATURES", init=enabled, bits=len(FEATURE_BITS))),
            self.timeout.eq(registers.storage("TIMEOUT", init=isa.timeout_cycles)),
            self.barrier_timeout.eq(
                registers.storage("BARRIER_TIMEOUT", init=isa.barrier_timeout_cycles)
            ),
            self.flag_base.eq(
                registers.address("FLAG_BASE", init=config.flag_base, align=WORD_BYTES)
            ),
        ]
        barrier = self.barrier
        for name, events in (
            ("LATE_RESPONSES", self.late),
            ("STRAY_RESPONSES", self.stray),
            ("MISROUTED", self.misrouted),
            ("LATE_ARRIVALS", barrier.late),
            ("DOUBLED_ARRIVALS", barrier.doubled),
            ("STRAY_ARRIVALS", barrier.stray + self.no_arrivals),
        ):
            # The sum of events from everywhere, in a cycle of its own.
            registers.tally(name, delayed(m, events, 1, f"{name.lower()}_events"))
        self._rounds(m, registers)
        self._instructions(m, registers)
        self._records(m, registers)
        return m

    def _rounds(self, m, registers):
        barrier = self.barrier
        m.d.comb += barrier.begin_round.eq(registers.written_fields("ROUND").current)
        for s, (current, over) in enumerate(zip(barrier.current, barrier.over, strict=True)):
            registers.read_fields("ROUND", s, current=current, over=over)
            free = ~barrier.waited_at[s] & ~registers.written_beyond("ROUND", "current")
            m.d.comb += barrier.begin[s].eq(registers.written("ROUND", s, accepts=free))

    def _instructions(self, m, registers):
        """Instructions are written word by word, then submitted as a whole."""
        config, isa, count = self._config, self._config.isa, self._config.isa.wave_controllers
        layout = Instruction.layout(config)
        words = [
            Signal(min(32, layout.size - start), name=f"staged_{start // 32}")
            for start in range(0, layout.size, 32)
        ]
        for index, word in enumerate(words):
            fits = (self.bus.write_data >> len(word)) == 0
            with m.If(registers.written("INSTRUCTION", index, accepts=fits)):
                m.d.sync += word.eq(self.bus.write_data)
        has_room = Signal(count)
        chosen = [self.bus.write_data == c for c in range(count)]
        submitted = registers.written("SUBMIT", accepts=(Cat(*chosen) & has_room).any())
        for c in range(count):
            queue = Queue(layout, depth=isa.instruction_queue)
            m.submodules[f"queue_{c}"] = queue
            m.d.comb += [
                has_room[c].eq(queue.i.ready),
                queue.i.payload.eq(Cat(*words)),
                queue.i.valid.eq(submitted & chosen[c]),
            ]
            connect_stream(m, queue.o, self.instruction[c])
            registers.read("QUEUE_SPACE", isa.instruction_queue - queue.level, c)

    def _records(self, m, registers):
        waiting = 0
        for c, source in enumerate(self.completion):
            records = Queue(Completion.layout(), depth=self._config.records)
            m.submodules[f"records_{c}"] = records
            m.d.comb += [
                source.ready.eq(1),
                records.i.valid.eq(source.valid),
                records.i.payload.eq(source.payload),
                records.o.ready.eq(registers.written("RECORD_POP", c, accepts=records.o.valid)),
            ]
            registers.read("RECORDS", records.level, c)
            registers.tally("RECORDS_LOST", source.valid & ~records.i.ready, index=c)
            record = records.o.payload.as_value()
            for index in range(RECORD_WORDS):
                word = record.word_select(index, 32)
                registers.read("RECORD", word, RECORD_WORDS * c + index)
            waiting = waiting + records.level
        registers.read("COMPLETIONS", waiting)
