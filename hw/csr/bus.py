"""The register bus inside a block, and its decoder."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth import Const, Module, Mux, Signal, Value
from amaranth.hdl import Elaboratable
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.spec.registers import COUNTER_BITS, COUNTER_WORDS, PAGE_BYTES, Kind, Register

ADDRESS_BITS = (PAGE_BYTES - 1).bit_length()


class CsrBus(wiring.Signature):
    """Seen from the host: an access lasts one cycle, ``read_data`` follows in the next, or a
    cycle later with ``fabric.registered``."""

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

    Parameters: the module they are in, its bus, the map; ``registered``: reads take a cycle more.

    Names and offsets come from :mod:`hw.spec.registers` alone. A register without circuit
    reads zero; writes to unknown addresses have no effect.
    """

    def __init__(self, m: Module, bus, registers: dict[str, Register], *, registered: bool = False):
        self._bus = bus
        self._m = m
        self._registers = registers
        self._readable: dict[int, Value] = {}
        # Elaborated after the module it is part of, when all registers are known.
        m.submodules += _ReadSelect(bus, self._readable, registered)

    def selected(self, name: str, index: int = 0):
        return self._bus.address == self._registers[name].address(index)

    def read(self, name: str, value, index: int = 0) -> None:
        """``value`` is what the register reads."""
        kind = self._registers[name].kind
        if kind in (Kind.COUNTER, Kind.TALLY):
            raise ValueError(f"{name} is a {kind.name.lower()}, which has a method of its own")
        if len(Value.cast(value)) > 32:
            raise ValueError(f"{name}: {len(Value.cast(value))} bits do not fit a register")
        self._show(name, value, index)

    def counter(self, name: str, value) -> None:
        """``value``, of 64 bits, is what the two words read, each at its own time."""
        if self._registers[name].kind is not Kind.COUNTER:
            raise ValueError(f"{name}: is not said to be a counter")
        if len(value) != COUNTER_BITS:
            raise ValueError(f"{name}: has {len(value)} bits instead of {COUNTER_BITS}")
        for word in range(COUNTER_WORDS):
            self._show(name, value.word_select(word, 32), word)

    def tally(self, name: str, events, clear=0) -> None:
        """Count ``events`` (how many in this cycle, unsigned) up to the largest value."""
        if self._registers[name].kind is not Kind.TALLY:
            raise ValueError(f"{name}: is not said to be a tally")
        count, total = Signal(32, name=name.lower()), Signal(33, name=f"{name.lower()}_total")
        self._m.d.comb += total.eq(count + events)
        self._m.d.sync += count.eq(Mux(clear, 0, Mux(total[-1], ~0, total)))
        self._show(name, count, 0)

    def _show(self, name: str, value, index: int) -> None:
        shown = Signal(32, name=f"{name.lower()}_{index}_read")
        self._m.d.comb += shown.eq(value)
        self._readable[self._registers[name].address(index)] = shown

    def written(self, name: str, index: int = 0):
        """True in the cycle the register is written."""
        return self._bus.write & self.selected(name, index)

    def storage(self, name: str, *, init: int = 0, index: int = 0, bits: int = 32) -> Signal:
        """A register that keeps what was written, as far as it has ``bits``; it reads what it
        keeps, so that a value that was too large is seen."""
        value = Signal(bits, init=init, name=f"{name.lower()}_{index}")
        with self._m.If(self.written(name, index)):
            self._m.d.sync += value.eq(self._bus.write_data)
        self.read(name, value, index)
        return value


class _ReadSelect(Elaboratable):
    """What is read at each address, side by side instead of one after another."""

    GROUP = 8
    """Registers that are chosen from in one cycle, where reads take two."""

    def __init__(self, bus, readable: dict[int, Value], registered: bool):
        self._bus = bus
        self._readable = readable
        self._registered = registered

    def elaborate(self, platform):
        m = Module()
        addresses = list(self._readable)
        size = self.GROUP if self._registered else max(1, len(addresses))
        found = []
        for start in range(0, len(addresses), size):
            value = Signal(32, name=f"found_{start}")
            m.d.sync += value.eq(0)
            with m.Switch(self._bus.address):
                for address in addresses[start : start + size]:
                    with m.Case(address):
                        m.d.sync += value.eq(self._readable[address])
            found.append(value)
        domain = "sync" if self._registered else "comb"
        m.d[domain] += self._bus.read_data.eq(reduce(or_, found, Const(0, 32)))
        return m
