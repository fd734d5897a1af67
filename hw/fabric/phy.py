"""Physical layer seam: what carries words between two boards or dies."""

from amaranth import ClockSignal, Instance, Module, ResetSignal, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.checks import at_least, below
from hw.spec.config import Config
from hw.spec.link import line_count, wire_layout


def wire_signature(config: Config) -> wiring.Signature:
    """One direction of a link, towards or from the physical layer: a stream of what
    :func:`hw.spec.link.wire_layout` says.

    A physical layer takes words when it can send; at the far end they are always taken, since
    credits see to room.
    """
    return stream.Signature(wire_layout(config))


class DelayLine(wiring.Component):
    """A lossless physical layer of fixed latency, a flit per cycle, for simulation.

    Parameters: ``cycles`` (at least 2). Ports: ``i``, ``o`` (links). What enters in cycle
    *t* leaves in cycle *t* + ``cycles``. Kept as a ring buffer, so that simulating a long
    link costs no more than a short one.
    """

    def __init__(self, config: Config, *, cycles: int):
        self._cycles = at_least("cycles", cycles, 2)
        self._layout = wire_layout(config)
        signature = wire_signature(config)
        super().__init__({"i": In(signature), "o": Out(signature)})

    def elaborate(self, platform):
        m = Module()
        slots = self._cycles - 1
        width = self._layout.size + 1
        m.submodules.ring = ring = memory.Memory(shape=width, depth=slots, init=[])
        write = ring.write_port()
        read = ring.read_port(domain="sync")
        position = Signal(range(slots))
        following = Signal(range(slots))
        m.d.comb += following.eq(0)
        with m.If(position != slots - 1):
            m.d.comb += following.eq(position + 1)
        m.d.sync += position.eq(following)
        # The slot read now was written `slots` cycles ago and is overwritten this cycle;
        # the memory returns the old word.
        m.d.comb += [
            write.addr.eq(position),
            write.data.eq(self.i.payload.as_value() << 1 | self.i.valid),
            write.en.eq(1),
            self.i.ready.eq(1),
            read.addr.eq(position),
            read.en.eq(1),
            self.o.valid.eq(read.data[0]),
            self.o.payload.as_value().eq(read.data[1:]),
        ]
        return m


class FaultyLine(wiring.Component):
    """A :class:`DelayLine` whose last cycle is ``rtl/sim/faulty_link.sv``, for simulation.

    Parameters: ``cycles`` (at least 3); ``index``, of the line among those that can be faulty, two
    for each endpoint.
    """

    def __init__(self, config: Config, *, cycles: int, index: int):
        self._config = config
        self._cycles = at_least("cycles", cycles, 3)
        self._index = below("index", index, line_count(config))
        signature = wire_signature(config)
        super().__init__({"i": In(signature), "o": Out(signature)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.line = line = DelayLine(self._config, cycles=self._cycles - 1)
        m.d.comb += [
            line.i.payload.eq(self.i.payload),
            line.i.valid.eq(self.i.valid),
            self.i.ready.eq(line.i.ready),
        ]
        m.submodules.fault = Instance(
            "faulty_link",
            ("p", "INDEX", self._index),
            ("p", "BITS", wire_layout(self._config).size),
            ("i", "clk", ClockSignal()),
            ("i", "rst", ResetSignal()),
            ("i", "i_valid", line.o.valid),
            ("i", "i_word", line.o.payload.as_value()),
            ("o", "o_valid", self.o.valid),
            ("o", "o_word", self.o.payload.as_value()),
        )
        return m
