"""Fixed delays."""

from amaranth import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out


class Delay(wiring.Component):
    """``o`` is what ``i`` was ``cycles`` cycles earlier.

    Parameters: ``width`` in bits; ``cycles``, at least 1.

    Ports: ``i`` in, ``o`` out, one value per cycle.

    Longer delays are a ring in memory instead of registers.
    """

    REGISTERS = 3
    """Up to here registers are cheaper than a ring."""

    def __init__(self, width: int, *, cycles: int):
        self._width = width
        self._cycles = cycles
        super().__init__({"i": In(width), "o": Out(width)})

    def elaborate(self, platform):
        m = Module()
        if self._cycles <= self.REGISTERS:
            value = self.i
            for step in range(self._cycles):
                stage = Signal(self._width, name=f"stage_{step}")
                m.d.sync += stage.eq(value)
                value = stage
            m.d.comb += self.o.eq(value)
            return m
        depth = self._cycles - 1
        m.submodules.ring = ring = memory.Memory(shape=self._width, depth=depth, init=[])
        slot = Signal(range(depth))
        write, read = ring.write_port(), ring.read_port(domain="comb")
        m.d.sync += slot.eq(slot + 1)
        with m.If(slot == depth - 1):
            m.d.sync += slot.eq(0)
        m.d.comb += [
            write.en.eq(1),
            write.addr.eq(slot),
            write.data.eq(self.i),
            read.addr.eq(slot),
        ]
        m.d.sync += self.o.eq(read.data)
        return m
