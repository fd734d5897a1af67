"""Fixed delays."""

from amaranth import Module, Shape, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.checks import at_least

MOST_REGISTERS = 8
"""Up to here a chain of registers, beyond a ring in memory."""


def delayed(m, value, cycles: int, name: str):
    """What ``value`` was ``cycles`` cycles earlier; adds what it takes to ``m``."""
    if cycles <= MOST_REGISTERS:
        for step in range(cycles):
            stage = Signal.like(value, name=f"{name}_{step + 1}")
            m.d.sync += stage.eq(value)
            value = stage
        return value
    bits = Value.cast(value)
    m.submodules[f"delay_{name}"] = ring = DelayRing(len(bits), cycles=cycles)
    m.d.comb += ring.i.eq(bits)
    return ring.o.as_signed() if Shape.cast(bits.shape()).signed else ring.o


class DelayRing(wiring.Component):
    """``o`` is what ``i`` was ``cycles`` cycles earlier, through a memory.

    Parameters: ``width`` in bits, at least 0; ``cycles``, at least 2.

    Ports: ``i`` in, ``o`` out, one value per cycle.
    """

    def __init__(self, width: int, *, cycles: int):
        self._width = at_least("width", width, 0)
        self._depth = at_least("cycles", cycles, 2) - 1
        super().__init__({"i": In(width), "o": Out(width)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.ring = ring = memory.Memory(shape=self._width, depth=self._depth, init=[])
        slot = Signal(range(max(2, self._depth)))
        write, read = ring.write_port(), ring.read_port(domain="comb")
        m.d.sync += slot.eq(slot + 1)
        with m.If(slot == self._depth - 1):
            m.d.sync += slot.eq(0)
        m.d.comb += [
            write.en.eq(1),
            write.addr.eq(slot),
            write.data.eq(self.i),
            read.addr.eq(slot),
        ]
        m.d.sync += self.o.eq(read.data)
        return m
