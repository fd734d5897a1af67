"""Registers of the switch: submit instructions, read completions, set features."""

from amaranth import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.csr.bus import CsrBus, Decoder
from hw.csr.cycle_counter import CycleCounter
from hw.spec.config import Config
from hw.spec.instruction import Completion, instruction_layout
from hw.spec.packet import ADDRESS_BITS
from hw.spec.registers import COUNTER_BITS, FEATURE_BITS, IDENTITY, SWITCH
from hw.stream.connect import connect_stream
from hw.stream.delay import delayed
from hw.stream.queue import Queue


class IsaRegisters(wiring.Component):
    """Register page of the switch; the map is ``hw.spec.registers.SWITCH``.

    Ports
    -----
    bus : register bus
    instruction : stream out per controller
    completion : stream in, records
    features, timeout, barrier_timeout, flag_base : out, settings
    cycles : out, since reset
    late, stray, misrouted : in, events in this cycle, to be counted
    given_up : in, a bit per port
    sync_refused : out, per controller, a bit per barrier it may not use

    Submitting to a full queue is ignored: read QUEUE_SPACE first.
    """

    def __init__(self, config: Config):
        self._config = config
        count = config.isa.wave_controllers
        super().__init__(
            {
                "bus": In(CsrBus()),
                "instruction": Out(stream.Signature(instruction_layout(config))).array(count),
                "completion": In(stream.Signature(Completion)),
                "features": Out(len(FEATURE_BITS)),
                "timeout": Out(32),
                "barrier_timeout": Out(32),
                "flag_base": Out(ADDRESS_BITS),
                "cycles": Out(COUNTER_BITS),
                "late": In(8),
                "stray": In(8),
                "misrouted": In(8),
                "given_up": In(config.system.endpoints),
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
        registers.read("GIVEN_UP", self.given_up)
        for barrier in range(isa.sync_ids):
            refused = registers.storage("SYNC_REFUSED", index=barrier, bits=count)
            for controller, mask in enumerate(self.sync_refused):
                m.d.comb += mask[barrier].eq(refused[controller])

        enabled = sum(getattr(isa, name) << bit for bit, name in enumerate(FEATURE_BITS))
        base = config.flag_base
        m.d.comb += [
            self.features.eq(registers.storage("FEATURES", init=enabled)),
            self.timeout.eq(registers.storage("TIMEOUT", init=isa.timeout_cycles)),
            self.barrier_timeout.eq(
                registers.storage("BARRIER_TIMEOUT", init=isa.barrier_timeout_cycles)
            ),
            self.flag_base.eq(
                Cat(
                    registers.storage("FLAG_BASE", init=base & 0xFFFFFFFF, index=0),
                    registers.storage("FLAG_BASE", init=base >> 32, index=1),
                )
            ),
        ]
        for name, events in (
            ("LATE_RESPONSES", self.late),
            ("STRAY_RESPONSES", self.stray),
            ("MISROUTED", self.misrouted),
        ):
            # The sum of events from everywhere, in a cycle of its own.
            registers.tally(name, delayed(m, events, 1, f"{name.lower()}_events"))

        # Instructions are written word by word, then submitted as a whole.
        layout = instruction_layout(config)
        words = [Signal(32, name=f"staged_{i}") for i in range((layout.size + 31) // 32)]
        for index, word in enumerate(words):
            with m.If(registers.written("INSTRUCTION", index)):
                m.d.sync += word.eq(self.bus.write_data)
        for c in range(isa.wave_controllers):
            queue = Queue(layout, depth=isa.instruction_queue)
            m.submodules[f"queue_{c}"] = queue
            m.d.comb += [
                queue.i.payload.eq(Cat(*words)[: layout.size]),
                queue.i.valid.eq(registers.written("SUBMIT") & (self.bus.write_data == c)),
            ]
            connect_stream(m, queue.o, self.instruction[c])
            registers.read("QUEUE_SPACE", isa.instruction_queue - queue.level, c)

        depth = 2 * config.contexts
        m.submodules.completions = completions = Queue(Completion, depth=depth)
        connect_stream(m, self.completion, completions.i)
        record = completions.o.payload.as_value()
        registers.read("COMPLETIONS", completions.level)
        m.d.comb += completions.o.ready.eq(registers.written("COMPLETION_POP"))
        for index in range((len(record) + 31) // 32):
            registers.read("COMPLETION", record[32 * index : 32 * index + 32], index)
        return m
