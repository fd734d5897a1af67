"""Asynchronous serial port, 8 data bits, no parity, 1 stop bit."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from hw.spec.checks import at_least

LEAST_DIVISOR = 8


class UartReceiver(wiring.Component):
    """Bytes from a pin.

    Parameters: ``divisor``, cycles per bit, at least 8. Ports: ``pin`` in; ``o`` byte stream out: a
    byte that is not taken before the next one has come is lost; so is one without a stop bit.
    """

    def __init__(self, *, divisor: int):
        self._divisor = at_least("divisor", divisor, LEAST_DIVISOR)
        super().__init__({"pin": In(1, init=1), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        level = Signal(init=1)
        m.submodules.cross = FFSynchronizer(self.pin, level, init=1)
        wait, left = Signal(range(2 * self._divisor)), Signal(range(10))
        bits = Signal(8)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(left == 0):
            with m.If(~level):
                # Into the middle of the first data bit.
                m.d.sync += [left.eq(9), wait.eq(self._divisor + self._divisor // 2 - 1)]
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Else():
            m.d.sync += [
                wait.eq(self._divisor - 1),
                left.eq(left - 1),
                bits.eq(Cat(bits[1:], level)),
            ]
            with m.If((left == 1) & level):
                m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(bits), bits.eq(bits)]
        return m


class UartTransmitter(wiring.Component):
    """Bytes to a pin.

    Parameters: ``divisor``, cycles per bit, at least 8. Ports: ``i`` byte stream in; ``pin`` out, a
    register. A byte takes ``10 * divisor`` cycles.
    """

    def __init__(self, *, divisor: int):
        self._divisor = at_least("divisor", divisor, LEAST_DIVISOR)
        super().__init__({"i": In(stream.Signature(8)), "pin": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        wait, left = Signal(range(self._divisor)), Signal(range(11))
        frame = Signal(10, init=0x3FF)
        m.d.comb += self.i.ready.eq(left == 0)
        m.d.sync += self.pin.eq(Mux(left == 0, 1, frame[0]))
        with m.If(left == 0):
            with m.If(self.i.valid):
                m.d.sync += [
                    frame.eq(Cat(Const(0, 1), self.i.payload, Const(1, 1))),
                    left.eq(10),
                    wait.eq(self._divisor - 1),
                ]
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Else():
            m.d.sync += [frame.eq(frame >> 1), left.eq(left - 1), wait.eq(self._divisor - 1)]
        return m
