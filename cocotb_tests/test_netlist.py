"""scin/flow/netlist.py: what is replicated is written once, and runs where it is put."""

import re

from amaranth import ClockDomain, ClockSignal, DomainRenamer, Module, Signal
from amaranth.lib.wiring import Component, In, Out

from hw.replicated import Replicated
from scin.flow.netlist import verilog_of


class Step(Replicated):
    """A register behind an addition."""

    def __init__(self, addend, width=8):
        self._addend = addend
        super().__init__({"i": In(width), "o": Out(width)}, addend, width)

    def gates(self):
        m = Module()
        m.d.sync += self.o.eq(self.i + self._addend)
        return m


class Steps(Component):
    """A chain of them; the last one in a clock domain of its own."""

    def __init__(self, addends):
        self._addends = addends
        super().__init__({"i": In(8), "o": Out(8), "clock": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.domains.slow = ClockDomain(reset_less=True)
        m.d.comb += ClockSignal("slow").eq(self.clock)
        value = self.i
        for index, addend in enumerate(self._addends):
            step = Step(addend)
            last = index == len(self._addends) - 1
            m.submodules[f"step_{index}"] = DomainRenamer("slow")(step) if last else step
            m.d.comb += step.i.eq(value)
            value = step.o
        m.d.comb += self.o.eq(value)
        return m


def modules(verilog):
    return dict(
        re.findall(r"(?s)^module (\S+?) ?\(.*?;(.*?)^endmodule", verilog, flags=re.MULTILINE)
    )


def test_once_for_all_that_are_equal():
    found = modules(verilog_of(Steps([3, 5, 3, 3]), "top"))
    assert set(found) == {"top", "Step_0", "Step_1"}
    assert len(re.findall(r"^  Step_0 step_\d", found["top"], re.MULTILINE)) == 3
    assert len(re.findall(r"^  Step_1 step_1", found["top"], re.MULTILINE)) == 1
    assert "2'h3" in found["Step_0"]
    assert "3'h5" in found["Step_1"]


def test_in_the_domain_of_each():
    top = modules(verilog_of(Steps([3, 3]), "top"))["top"]
    first, last = re.findall(r"Step_0 step_\d \((.*?)\);", top, re.DOTALL)
    assert ".clk(clk)" in first
    assert ".rst(rst)" in first
    assert ".clk(clock)" in last
    assert ".rst(1'h0)" in last, "a domain without a reset"


def test_each_where_it_stands():
    """With the lines of the sources each has a module of its own."""
    found = modules(verilog_of(Steps([3, 3]), "top", lines=True))
    assert len(found) == 3


def test_alone():
    assert set(modules(verilog_of(Step(3), "top"))) == {"top"}


def test_one_within_another():
    class Pair(Replicated):
        def __init__(self):
            super().__init__({"i": In(8), "o": Out(8)})

        def gates(self):
            m = Module()
            m.submodules.first, m.submodules.second = first, second = Step(1), Step(1)
            m.d.comb += [first.i.eq(self.i), second.i.eq(first.o), self.o.eq(second.o)]
            return m

    class Pairs(Component):
        i: In(8)
        o: Out(8)

        def elaborate(self, platform):
            m = Module()
            middle = Signal(8)
            m.submodules.first, m.submodules.second = first, second = Pair(), Pair()
            m.d.comb += [first.i.eq(self.i), middle.eq(first.o)]
            m.d.comb += [second.i.eq(middle), self.o.eq(second.o)]
            return m

    assert len(modules(verilog_of(Pairs(), "top"))) == 3
