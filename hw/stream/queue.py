"""A queue of shaped items."""

from amaranth import Module, Signal, Value
from amaranth.hdl import Shape, ShapeCastable
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.checks import at_least
from hw.spec.timing import QUEUE_CYCLES


class Queue(wiring.Component):
    """First in, first out; storage suits block RAM (every output is registered).

    Parameters
    ----------
    shape : item shape
    depth : int, items, at least 2

    Ports
    -----
    i : stream in, ``o`` : stream out
    level : items held, an item in the output register included

    An item written in cycle *t* is valid at ``o`` in cycle *t* + 2. One item per cycle.
    """

    LATENCY = QUEUE_CYCLES

    def __init__(self, shape, *, depth: int):
        self._width = Shape.cast(shape).width
        self._depth = at_least("depth", depth, 2)
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
                "level": Out(range(depth + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.storage = storage = fifo.SyncFIFOBuffered(width=self._width, depth=self._depth)
        m.d.comb += [
            storage.w_data.eq(Value.cast(self.i.payload)),
            storage.w_en.eq(self.i.valid),
            self.i.ready.eq(storage.w_rdy),
            Value.cast(self.o.payload).eq(storage.r_data),
            self.o.valid.eq(storage.r_rdy),
            storage.r_en.eq(self.o.ready),
            self.level.eq(storage.level),
        ]
        return m


class Register(wiring.Component):
    """One register that cuts the combinational paths of payload and valid.

    Latency 1 cycle, one item per cycle; ``i.ready`` depends on ``o.ready``.
    """

    def __init__(self, shape: ShapeCastable):
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.i.ready.eq(~self.o.valid | self.o.ready)
        with m.If(self.i.ready):
            m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload)]
        return m


class LightRegister(wiring.Component):
    """One register that cuts every combinational path of a stream, in both directions.

    Latency 1 cycle, an item every second cycle; half the size of a :class:`Buffer`. The light
    mode of an AXI register slice.
    """

    def __init__(self, shape: ShapeCastable):
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.i.ready.eq(~self.o.valid)
        with m.If(self.o.valid):
            m.d.sync += self.o.valid.eq(~self.o.ready)
        with m.Else():
            m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload)]
        return m


class Buffer(wiring.Component):
    """Two registers that cut every combinational path of a stream, in both directions.

    Latency 1 cycle, one item per cycle; ``i.ready`` does not depend on ``o.ready``.
    """

    def __init__(self, shape: ShapeCastable):
        self._shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        spare = Signal(self._shape)
        spare_valid = Signal()
        m.d.comb += self.i.ready.eq(~spare_valid)
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [
                self.o.valid.eq(self.i.valid | spare_valid),
                spare_valid.eq(0),
            ]
            with m.If(spare_valid):
                m.d.sync += self.o.payload.eq(spare)
            with m.Else():
                m.d.sync += self.o.payload.eq(self.i.payload)
        with m.Elif(self.i.valid):
            m.d.sync += spare_valid.eq(1)
        # It loads whenever it is free, because the need for it is known late in the cycle.
        with m.If(~spare_valid):
            m.d.sync += spare.eq(self.i.payload)
        return m
