"""Registers of one DMA engine."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.csr.bus import CsrBus, Decoder
from hw.dma.jobs import NUMBER_BITS
from hw.spec.config import Config
from hw.spec.dma import ENGINE, Command, EngineState
from hw.spec.packet import ADDRESS_BITS, TENANT_BITS
from hw.spec.registers import COUNTER_BITS, MOMENT_BITS
from hw.spec.status import Status

MOMENTS = ("rung", "fetched", "first_read", "last_write", "signalled")
"""Events whose cycle is kept."""


SETTLE_CYCLES = 4
"""From a write to a register until the engine's state accounts for it, at most."""


class Control(wiring.Signature):
    """Between the registers of an engine and the engine, seen from the registers.

    ``ring``, ``reset`` and the events are pulses; ``inline_valid`` comes with a command written
    to the doorbell; ``cleared`` tells that a reset is complete.
    """

    def __init__(self):
        super().__init__(
            {
                "ring_base": Out(ADDRESS_BITS),
                "ring_size": Out(32),
                "doorbell": Out(32),
                "ring": Out(1),
                "inline": Out(Command.layout()),
                "inline_valid": Out(1),
                "reset": Out(1),
                "timeout": Out(32),
                "tenant": Out(TENANT_BITS),
                "state": In(EngineState),
                "status": In(Status),
                "number": In(NUMBER_BITS),
                "fetched_count": In(32),
                "started": In(32),
                "completed": In(32),
                "busy": In(1),
                "cleared": In(1),
                **{f"{name}_event": In(1) for name in MOMENTS[1:]},
            }
        )


class EngineRegisters(wiring.Component):
    """Register block of an engine; the map is ``hw.spec.dma.ENGINE``.

    Ports: ``bus``; ``cycles`` (counter) in; ``control``, to the engine. Of the moments
    ``fetched`` and ``first_read`` only the first after a doorbell is kept.
    """

    def __init__(self, config: Config):
        self._config = config
        super().__init__(
            {"bus": In(CsrBus()), "cycles": In(MOMENT_BITS), "control": Out(Control())}
        )

    def elaborate(self, platform):
        m = Module()
        registers = Decoder(m, self.bus, ENGINE, registered=self._config.fabric.registered)
        # With ``fabric.registered`` the engine's state shows, and events are noted, a cycle later.
        extra = int(self._config.fabric.registered)
        written, control = self.bus.write_data, self.control
        rung, engine_state = self._show_state(m, registers, extra)
        m.d.comb += [
            control.ring_base.eq(registers.address("RING_BASE")),
            control.ring_size.eq(registers.storage("RING_SIZE")),
            control.timeout.eq(registers.storage("TIMEOUT", init=self._config.dma.timeout_cycles)),
            control.tenant.eq(registers.storage("TENANT", bits=TENANT_BITS)),
        ]
        registers.read("DOORBELL", control.doorbell)
        m.d.sync += [control.ring.eq(0), control.reset.eq(registers.written("RESET"))]
        # An engine that has failed, or is being reset, would forget what it is told.
        resetting, cleared_before, listens = Signal(), Signal(), Signal()
        m.d.sync += cleared_before.eq(control.cleared)
        m.d.comb += listens.eq(~control.reset & ~resetting & (engine_state != EngineState.HALTED))
        with m.If(control.reset):
            m.d.sync += resetting.eq(1)
        with m.Elif(cleared_before & ~control.cleared):
            m.d.sync += resetting.eq(0)
        with m.If(registers.written("DOORBELL", accepts=listens)):
            m.d.sync += [control.doorbell.eq(written), control.ring.eq(1)]
        with m.If(control.cleared):
            m.d.sync += control.doorbell.eq(0)
        registers.read("FETCHED", control.fetched_count)
        registers.read("STARTED", control.started)
        registers.read("COMPLETED", control.completed)

        if self._config.dma.inline_doorbell:
            self._take_inline(m, registers, listens)
        self._keep_moments(m, registers, rung, extra)
        busy = Signal(COUNTER_BITS)
        with m.If(control.cleared):
            m.d.sync += busy.eq(0)
        with m.Elif(control.busy):
            m.d.sync += busy.eq(busy + 1)
        registers.counter("BUSY_CYCLES", busy)
        return m

    def _show_state(self, m, registers, extra):
        """What was just written takes some cycles to show in the engine's state. Returns whether
        a doorbell was rung, and that state."""
        control = self.control
        settling = Signal(range(SETTLE_CYCLES + 2))
        rung, changed = Signal(), Signal()
        m.d.comb += [
            rung.eq(control.ring | control.inline_valid),
            changed.eq(rung | control.reset),
        ]
        with m.If(changed):
            m.d.sync += settling.eq(SETTLE_CYCLES + extra)
        with m.Elif(settling != 0):
            m.d.sync += settling.eq(settling - 1)
        engine_state = Signal.like(control.state)
        m.d["sync" if extra else "comb"] += engine_state.eq(control.state)
        state = Mux(changed | (settling != 0), EngineState.RUNNING, engine_state)
        registers.read_fields("STATE", state=state, status=control.status)
        registers.read("FAILED", control.number)
        return rung, engine_state

    def _take_inline(self, m, registers, listens):
        """A command is there with its last word."""
        written, control = self.bus.write_data, self.control
        words = [Signal(32, name=f"inline_{index}") for index in range(ENGINE["INLINE"].count)]
        for index, word in enumerate(words):
            last = index == len(words) - 1
            stored = registers.written("INLINE", index, accepts=listens if last else 1)
            with m.If(stored):
                m.d.sync += word.eq(written)
            if last:
                m.d.sync += control.inline_valid.eq(stored)
        m.d.comb += control.inline.eq(Cat(*words))

    def _keep_moments(self, m, registers, rung, extra):
        """Some of them once per doorbell."""
        control = self.control
        fresh = Signal(len(MOMENTS))
        for index, name in enumerate(MOMENTS):
            event = Signal(name=f"{name}_event")
            m.d["sync" if extra else "comb"] += event.eq(
                rung if name == "rung" else getattr(control, f"{name}_event")
            )
            taken = Signal(name=f"{name}_taken")
            once = name in ("fetched", "first_read")
            m.d.comb += taken.eq(event & (fresh[index] if once else 1))
            with m.If(rung):
                m.d.sync += fresh[index].eq(1)
            with m.Elif(event):
                m.d.sync += fresh[index].eq(0)
            moment = Signal(MOMENT_BITS, name=f"{name}_at")
            m.d.sync += moment.eq(Mux(taken, self.cycles, moment))
            registers.read(f"{name.upper()}_AT", moment)
