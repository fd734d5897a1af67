"""The register bus inside a block, and its decoder."""

from __future__ import annotations

from amaranth import Module, Signal
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
        self._m = m
        self._bus = bus
        self._registers = registers

    def selected(self, name: str, index: int = 0):
        return self._bus.address == self._registers[name].address(index)

    def read(self, name: str, value, index: int = 0) -> None:
        """``value`` is what the register reads."""
        with self._m.If(self.selected(name, index)):
            self._m.d.sync += self._bus.read_data.eq(value)

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
