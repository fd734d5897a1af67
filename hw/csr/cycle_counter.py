"""The cycle counter of a block."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hw.spec.registers import COUNTER_BITS


class CycleCounter(wiring.Component):
    """``cycles`` (out): since reset, 0 in the first cycle.

    At 1 GHz it lasts for 584 years. A module of its own, so that a simulation finds it by its
    name and lets it start elsewhere.
    """

    cycles: Out(COUNTER_BITS)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.cycles.eq(self.cycles + 1)
        return m
