"""Clocks of an ECP5 board: the system's, and the same a quarter of a period later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth import ClockDomain, ClockSignal, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In

from hw.spec.config import ConfigError

OUTPUT_DIVIDERS = (8, 16, 32)
"""Multiples of 4, so that a quarter of a period is a whole number of VCO cycles."""

VCO_HZ = (400_000_000, 800_000_000)
PHASE_DETECTOR_HZ = (3_125_000, 400_000_000)
MOST_DIVIDER = 128

START_CYCLES = 256


class ClockError(ConfigError):
    """No setting of the PLL makes this clock; the message names frequency and bound."""


@dataclass(frozen=True)
class PllSetting:
    """EHXPLLL with feedback from CLKOP: output = input x feedback / input divider."""

    input_divider: int
    feedback_divider: int
    output_divider: int

    @classmethod
    def of(cls, input_hz: int, output_hz: int) -> PllSetting:
        able = [
            output for output in OUTPUT_DIVIDERS if VCO_HZ[0] <= output_hz * output <= VCO_HZ[1]
        ]
        if not able:
            low, high = VCO_HZ[0] / OUTPUT_DIVIDERS[-1], VCO_HZ[1] / OUTPUT_DIVIDERS[0]
            raise ClockError(
                f"clock {output_hz / 1e6:g} MHz: must be between {low / 1e6:g} and "
                f"{high / 1e6:g} MHz"
            )
        for divider in range(1, MOST_DIVIDER + 1):
            feedback, rest = divmod(output_hz * divider, input_hz)
            detector = input_hz / divider
            if rest == 0 and feedback <= MOST_DIVIDER and detector >= PHASE_DETECTOR_HZ[0]:
                return cls(divider, feedback, able[0])
        raise ClockError(
            f"clock {output_hz / 1e6:g} MHz: cannot be made from the board's {input_hz / 1e6:g} MHz"
        )


class ClockGenerator(wiring.Component):
    """Drives the domains ``sync`` and ``quarter`` of the top.

    Parameters: ``input_hz``, ``output_hz``. Ports: ``clock`` in, the oscillator.

    Neither domain has a reset: registers start with the values of the bitstream, and the clock of
    ``sync`` is let through ``START_CYCLES`` after the PLL has locked. A reset of every register
    would take wires all over the device, which are what is short.
    """

    def __init__(self, *, input_hz: int, output_hz: int):
        self._setting = PllSetting.of(input_hz, output_hz)
        self._hz = (input_hz, output_hz)
        super().__init__({"clock": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.domains.generated = ClockDomain(reset_less=True, local=True)
        locked, steady = Signal(), Signal()
        waited = Signal(range(START_CYCLES))
        m.submodules.cross_locked = FFSynchronizer(locked, steady, o_domain="generated")
        with m.If(~steady):
            m.d.generated += waited.eq(0)
        with m.Elif(~waited.all()):
            m.d.generated += waited.eq(waited + 1)
        m.submodules.gate = Instance(
            "DCCA",
            i_CLKI=ClockSignal("generated"),
            i_CE=waited.all(),
            o_CLKO=ClockSignal("sync"),
        )
        output = self._setting.output_divider
        phase = (output - 1) // 2
        in_mhz, out_mhz = (f"{hz / 1e6:g}" for hz in self._hz)
        m.submodules.pll = Instance(
            "EHXPLLL",
            ("a", "FREQUENCY_PIN_CLKI", in_mhz),
            ("a", "FREQUENCY_PIN_CLKOP", out_mhz),
            ("a", "FREQUENCY_PIN_CLKOS", out_mhz),
            ("a", "ICP_CURRENT", "12"),
            ("a", "LPF_RESISTOR", "8"),
            ("a", "MFG_ENABLE_FILTEROPAMP", "1"),
            ("a", "MFG_GMCREF_SEL", "2"),
            ("p", "PLLRST_ENA", "DISABLED"),
            ("p", "INTFB_WAKE", "DISABLED"),
            ("p", "STDBY_ENABLE", "DISABLED"),
            ("p", "DPHASE_SOURCE", "DISABLED"),
            ("p", "OUTDIVIDER_MUXA", "DIVA"),
            ("p", "OUTDIVIDER_MUXB", "DIVB"),
            ("p", "CLKI_DIV", self._setting.input_divider),
            ("p", "CLKFB_DIV", self._setting.feedback_divider),
            ("p", "FEEDBK_PATH", "CLKOP"),
            ("p", "CLKOP_ENABLE", "ENABLED"),
            ("p", "CLKOP_DIV", output),
            ("p", "CLKOP_CPHASE", phase),
            ("p", "CLKOP_FPHASE", 0),
            ("p", "CLKOS_ENABLE", "ENABLED"),
            ("p", "CLKOS_DIV", output),
            ("p", "CLKOS_CPHASE", phase + output // 4),
            ("p", "CLKOS_FPHASE", 0),
            ("i", "CLKI", self.clock),
            ("i", "CLKFB", ClockSignal("generated")),
            ("i", "RST", 0),
            ("i", "STDBY", 0),
            ("i", "PHASESEL0", 0),
            ("i", "PHASESEL1", 0),
            ("i", "PHASEDIR", 1),
            ("i", "PHASESTEP", 1),
            ("i", "PHASELOADREG", 1),
            ("i", "PLLWAKESYNC", 0),
            ("i", "ENCLKOP", 0),
            ("o", "CLKOP", ClockSignal("generated")),
            ("o", "CLKOS", ClockSignal("quarter")),
            ("o", "LOCK", locked),
        )
        return m
