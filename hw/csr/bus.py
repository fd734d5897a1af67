"""The register bus inside a block, and its decoder."""

from __future__ import annotations

from amaranth import Module, Signal, Value
from amaranth.hdl import Elaboratable
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.spec.registers import PAGE_BYTES, Register

ADDRESS_BITS = (PAGE_BYTES - 1).bit_length()


class CsrBus(wiring.Signature):
    """Seen from the host: an access lasts one cycle, ``read_data`` follows in the next."""

    def __init__(self):
        super().__init__(
            {
                "address": Out(ADDRESS_BITS),
                "write": Out(1),
                "write_data": Out(32),
                "read_data": In(32),
            }
        )


class Decoder:
    """Give the registers of a map their circuits, by name.

    Names and offsets come from :mod:`hw.spec.registers` alone. A register without circuit
    reads zero; writes to unknown addresses have no effect.
    """

    def __init__(self, m: Module, bus, registers: dict[str, Register]):
        self._bus = bus
        self._m = m
        self._registers = registers
        self._readable: dict[int, Value] = {}
        # Elaborated after the module it is part of, when all registers are known.
        m.submodules += _ReadSelect(bus, self._readable)

    def selected(self, name: str, index: int = 0):
        return self._bus.address == self._registers[name].address(index)

    def read(self, name: str, value, index: int = 0) -> None:
        """``value`` is what the register reads."""
        shown = Signal(32, name=f"{name.lower()}_{index}_read")
        self._m.d.comb += shown.eq(value)
        self._readable[self._registers[name].address(index)] = shown

    def written(self, name: str, index: int = 0):
        """True in the cycle the register is written."""
        return self._bus.write & self.selected(name, index)

    def storage(self, name: str, *, init: int = 0, index: int = 0) -> Signal:
        """A register that keeps what was written."""
        value = Signal(32, init=init, name=f"{name.lower()}_{index}")
        with self._m.If(self.written(name, index)):
            self._m.d.sync += value.eq(self._bus.write_data)
        self.read(name, value, index)
        return value


class _ReadSelect(Elaboratable):
    """What is read at each address, side by side instead of one after another."""

    def __init__(self, bus, readable: dict[int, Value]):
        self._bus = bus
        self._readable = readable

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self._bus.read_data.eq(0)
        with m.Switch(self._bus.address):
            for address, value in self._readable.items():
                with m.Case(address):
                    m.d.sync += self._bus.read_data.eq(value)
        return m
