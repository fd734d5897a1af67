"""Pins of a board-to-board link: double data rate both ways, with a delay at the receiver."""

from typing import Any

from amaranth import ClockSignal, Instance, Module, Signal
from amaranth.hdl import ValueLike
from amaranth.lib import wiring
from amaranth.lib.io import SingleEndedPort
from amaranth.lib.wiring import In, Out


class TransmitPins(wiring.Component):
    """A symbol of two bits per cycle and lane, and a clock in the middle of its bits.

    Parameters: ``clock``, ``lanes``: ports of the platform. Ports: ``word`` in, symbol of lane
    0 lowest.
    """

    def __init__(self, clock: SingleEndedPort, lanes: SingleEndedPort):
        self._clock = clock
        self._lanes = lanes
        super().__init__({"word": In(2 * len(lanes))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for index in range(len(self._lanes)):
            low, high = self.word[2 * index], self.word[2 * index + 1]
            self._drive(m, f"lane_{index}", low, high, self._lanes.io[index], "sync")
        self._drive(m, "clock", 1, 0, self._clock.io[0], "quarter")
        return m

    def _drive(
        self,
        m: Module,
        name: str,
        first: ValueLike,
        second: ValueLike,
        pin: ValueLike,
        domain: str,
    ) -> None:
        level = Signal(name=f"{name}_level")
        m.submodules[f"{name}_register"] = Instance(
            "ODDRX1F",
            i_D0=first,
            i_D1=second,
            i_SCLK=ClockSignal(domain),
            i_RST=0,
            o_Q=level,
        )
        m.submodules[f"{name}_pin"] = Instance("OB", i_I=level, o_O=pin)


class ReceivePins(wiring.Component):
    """The far end's clock, and a symbol of two bits per cycle of it and lane.

    Parameters: ``clock``, ``lanes``: ports of the platform.

    Ports: ``receive_clock``, ``word`` out; ``delay_load``, ``delay_move`` in, per lane: back to
    the lowest delay, one step of 25 ps more with the end of a pulse.
    """

    def __init__(self, clock: SingleEndedPort, lanes: SingleEndedPort):
        self._clock = clock
        self._lanes = lanes
        super().__init__(
            {
                "receive_clock": Out(1),
                "word": Out(2 * len(lanes)),
                "delay_load": In(1),
                "delay_move": In(len(lanes)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.clock_pin = Instance("IB", i_I=self._clock.io[0], o_O=self.receive_clock)
        for index in range(len(self._lanes)):
            level, late = Signal(name=f"level_{index}"), Signal(name=f"late_{index}")
            m.submodules[f"pin_{index}"] = Instance("IB", i_I=self._lanes.io[index], o_O=level)
            m.submodules[f"delay_{index}"] = Instance(
                "DELAYF",
                p_DEL_MODE="USER_DEFINED",
                p_DEL_VALUE=0,
                i_A=level,
                i_LOADN=~self.delay_load,
                i_MOVE=self.delay_move[index],
                i_DIRECTION=0,
                o_Z=late,
            )
            m.submodules[f"register_{index}"] = Instance(
                "IDDRX1F",
                i_D=late,
                i_SCLK=self.receive_clock,
                i_RST=0,
                o_Q0=self.word[2 * index],
                o_Q1=self.word[2 * index + 1],
            )
        return m
