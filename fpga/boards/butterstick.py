"""ButterStick with an LFE5UM5G-85F: two links on each of two SYZYGY connectors.

The voltage of the connectors' pins is set by regulators that the FPGA steers: without the
gateware below they stay off. The serial port is on the third connector.
"""

from typing import Any

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth_boards.butterstick import ButterStickPlatform

from fpga.boards.board import LFE5UM5G_85F, Board, LinkPins, Pin, link, pins

PIN_VOLTS = 3.3
SUPPLY_VOLTS = 3.3
REFERENCE_VOLTS = 0.6
INJECTION_OHMS, FEEDBACK_OHMS, SET_OHMS = 68_000, 53_600, 13_000
"""Of the regulators: their feedback pin is held at the reference by a divider into which a
filtered pulse-density signal injects current."""

DENSITY_BITS = 10
FILTER_CYCLES = 1 << 21
"""Long beside the filter's time constant (68 kOhm and 0.1 uF: 7 ms)."""


def injection_volts(wanted: float) -> float:
    """Mean voltage of the pulse-density signal that sets ``wanted``."""
    current = REFERENCE_VOLTS / SET_OHMS - (wanted - REFERENCE_VOLTS) / FEEDBACK_OHMS
    return REFERENCE_VOLTS + INJECTION_OHMS * current


class PinVoltage(wiring.Component):
    """Sets all three regulators to ``PIN_VOLTS``, then switches them on."""

    def __init__(self) -> None:
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        control = platform.request("vccio_ctrl")
        counter, waited = Signal(DENSITY_BITS), Signal(range(FILTER_CYCLES + 1))
        share = max(0.0, min(1.0, injection_volts(PIN_VOLTS) / SUPPLY_VOLTS))
        high = counter < round(share * (1 << DENSITY_BITS))
        m.d.sync += [counter.eq(counter + 1), control.pdm.o.eq(Cat(high, high, high))]
        with m.If(waited == FILTER_CYCLES):
            m.d.sync += control.en.o.eq(1)
        with m.Else():
            m.d.sync += waited.eq(waited + 1)
        return m


def _links(connector: int) -> tuple[LinkPins, LinkPins]:
    def some(first: int) -> tuple[Pin, ...]:
        names = " ".join(f"S{n}" for n in range(first, first + 7))
        return pins(("syzygy", connector), names)

    return link(some(0), some(7)), link(some(14), some(21))


BOARD = Board(
    name="butterstick",
    title="ButterStick",
    device=LFE5UM5G_85F,
    technology="ecp5",
    platform=lambda: ButterStickPlatform(VCCIOA="3V3", VCCIOB="3V3", VCCIOC="3V3"),
    clock="clk30",
    clock_hz=30_000_000,
    links=(*_links(0), *_links(1)),
    serial=(Pin(("syzygy-txr", 0), "S0"), Pin(("syzygy-txr", 0), "S1")),
    extra=PinVoltage,
)
