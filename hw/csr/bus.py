"""The register bus inside a block, and its decoder."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.hdl import Elaboratable, ValueLike
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.spec.packet import ADDRESS_BITS as FABRIC_ADDRESS_BITS
from hw.spec.registers import (
    COUNTER_BITS,
    COUNTER_WORDS,
    PAGE_BYTES,
    WORD_BITS,
    Kind,
    Register,
)

ADDRESS_BITS = exact_log2(PAGE_BYTES)


class CsrBus(wiring.Signature):
    """Seen from the host: an access lasts one cycle, ``read_data`` follows in the next, or a
    cycle later with ``fabric.registered``.

    ``read_refused`` comes with ``read_data``: there is nothing to read at that address.
    ``write_refused`` is a pulse in the cycle after ``write``: the register is not there, cannot
    be written, or does not accept the value now; nothing has happened.
    """

    def __init__(self):
        super().__init__(
            {
                "address": Out(ADDRESS_BITS),
                "write": Out(1),
                "write_data": Out(32),
                "read_data": In(32),
                "read_refused": In(1),
                "write_refused": In(1),
            }
        )


class Decoder:
    """Give the registers of a map their circuits, by name.

    Parameters: the module they are in, its bus, the map; ``registered``: reads take a cycle more.

    Names, offsets and directions come from :mod:`hw.spec.registers` alone. Every access without
    a circuit is refused: of an unknown address, of an index that this configuration does not
    have, in a direction that the register does not have.
    """

    def __init__(self, m: Module, bus, registers: dict[str, Register], *, registered: bool = False):
        self._bus = bus
        self._m = m
        self._registers = registers
        self._readable: dict[int, Value] = {}
        self._writable: dict[int, ValueLike] = {}
        # Elaborated after the module it is part of, when all registers are known.
        m.submodules += _ReadSelect(bus, self._readable, registered)
        m.submodules += _WriteCheck(bus, self._writable)

    def _place(self, name: str, index: int, direction: str, taken: dict[int, Any]) -> int:
        register = self._registers[name]
        address = register.address(index)
        if direction not in register.access:
            raise ValueError(f"{name}: its access is {register.access!r}, not {direction!r}")
        if address in taken:
            raise ValueError(f"{name}[{index}]: has a circuit for {direction!r} already")
        return address

    def read(self, name: str, value, index: int = 0) -> None:
        """``value`` is what the register reads."""
        kind = self._registers[name].kind
        if kind in (Kind.COUNTER, Kind.TALLY):
            raise ValueError(f"{name} is a {kind.name.lower()}, which has a method of its own")
        if len(Value.cast(value)) > 32:
            raise ValueError(f"{name}: {len(Value.cast(value))} bits do not fit a register")
        self._show(name, value, index)

    def read_fields(self, name: str, index: int = 0, **values: ValueLike) -> None:
        """``values`` of its fields are what the register reads."""
        word = Signal(self._registers[name].layout, name=f"{name.lower()}_{index}_fields")
        self._m.d.comb += [word[field].eq(value) for field, value in values.items()]
        self.read(name, word, index)

    def written_fields(self, name: str) -> data.View:
        """What is being written, as fields of the register."""
        return data.View(self._registers[name].layout, self._bus.write_data)

    def written_beyond(self, name: str, *fields: str) -> Value:
        """Is a bit being written that belongs to none of these ``fields``, by default of all?"""
        register = self._registers[name]
        known = sum(register.mask(field) for field in fields or register.fields)
        others = [bit for bit in range(WORD_BITS) if not known >> bit & 1]
        return Cat(self._bus.write_data[bit] for bit in others).any()

    def counter(self, name: str, value) -> None:
        """``value``, of 64 bits, is what the two words read, each at its own time."""
        if self._registers[name].kind is not Kind.COUNTER:
            raise ValueError(f"{name}: is not said to be a counter")
        if len(value) != COUNTER_BITS:
            raise ValueError(f"{name}: has {len(value)} bits instead of {COUNTER_BITS}")
        for word in range(COUNTER_WORDS):
            self._show(name, value.word_select(word, 32), word)

    def tally(self, name: str, events, clear=0, index: int = 0) -> None:
        """Count ``events`` (how many in this cycle, unsigned) up to the largest value."""
        if self._registers[name].kind is not Kind.TALLY:
            raise ValueError(f"{name}: is not said to be a tally")
        label = f"{name.lower()}_{index}"
        count, total = Signal(32, name=label), Signal(33, name=f"{label}_total")
        self._m.d.comb += total.eq(count + events)
        self._m.d.sync += count.eq(Mux(clear, 0, Mux(total[-1], ~0, total)))
        self._show(name, count, index)

    def _show(self, name: str, value, index: int) -> None:
        address = self._place(name, index, "r", self._readable)
        shown = Signal(32, name=f"{name.lower()}_{index}_read")
        self._m.d.comb += shown.eq(value)
        self._readable[address] = shown

    def written(self, name: str, index: int = 0, *, accepts: ValueLike = 1):
        """True in the cycle the register is written with what it ``accepts``, a condition on
        the value written and on the state of that cycle; any other write is refused."""
        address = self._place(name, index, "w", self._writable)
        self._writable[address] = accepts
        return self._bus.write & (self._bus.address == address) & accepts

    def storage(
        self,
        name: str,
        *,
        init: int = 0,
        index: int = 0,
        bits: int = 32,
        align: int = 1,
        accepts: Callable[[Value], ValueLike] | None = None,
    ) -> Signal:
        """A register that keeps what was written. Values of more than ``bits``, those that are no
        multiple of ``align`` (a power of two), and those that ``accepts`` is false of are
        refused."""
        value = Signal(bits, init=init, name=f"{name.lower()}_{index}")
        cut = Cat(self._bus.write_data[bits:], self._bus.write_data[: align.bit_length() - 1])
        accepted: ValueLike = ~cut.any() if len(cut) else 1
        if accepts is not None:
            accepted &= accepts(self._bus.write_data)
        with self._m.If(self.written(name, index, accepts=accepted)):
            self._m.d.sync += value.eq(self._bus.write_data)
        self.read(name, value, index)
        return value

    def address(self, name: str, *, init: int = 0, align: int = 1) -> Value:
        """The same for an address of ``ADDRESS_BITS`` (:mod:`hw.spec.packet`) in two words."""
        low = self.storage(name, init=init & 0xFFFFFFFF, index=0, align=align)
        high = self.storage(name, init=init >> 32, index=1, bits=FABRIC_ADDRESS_BITS - 32)
        return Cat(low, high)


class _WriteCheck(Elaboratable):
    """Refuse every write that no register accepts."""

    def __init__(self, bus, writable: dict[int, ValueLike]):
        self._bus = bus
        self._writable = writable

    def elaborate(self, platform):
        m = Module()
        accepted = Signal()
        with m.Switch(self._bus.address):
            for address, accepts in self._writable.items():
                with m.Case(address):
                    m.d.comb += accepted.eq(accepts)
        m.d.sync += self._bus.write_refused.eq(self._bus.write & ~accepted)
        return m


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
            # The value, and above it whether the address is one of the group.
            value = Signal(33, name=f"found_{start}")
            m.d.sync += value.eq(0)
            with m.Switch(self._bus.address):
                for address in addresses[start : start + size]:
                    with m.Case(address):
                        m.d.sync += value.eq(Cat(self._readable[address], 1))
            found.append(value)
        result = reduce(or_, found, Const(0, 33))
        domain = "sync" if self._registered else "comb"
        m.d[domain] += [
            self._bus.read_data.eq(result[:32]),
            self._bus.read_refused.eq(~result[32]),
        ]
        return m
