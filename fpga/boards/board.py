"""What a board description says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Elaboratable

from fpga.links import LinkKind


@dataclass(frozen=True)
class Channel:
    """A serial transceiver of the device: its block and its number in it."""

    block: int
    number: int

    def __str__(self) -> str:
        return f"DCU {self.block} channel {self.number}"


@dataclass(frozen=True)
class Device:
    """What a device offers. ``lut`` counts 4-input LUTs on ECP5, 6-input ones on UltraScale+."""

    name: str
    lut: int
    ff: int
    bram: int
    bram_bits: int
    dsp: int
    channels: tuple[Channel, ...] = ()


LFE5U_85F = Device("LFE5U-85F", lut=83_640, ff=83_640, bram=208, bram_bits=18 * 1024, dsp=156)
LFE5UM5G_85F = Device(
    "LFE5UM5G-85F",
    lut=83_640,
    ff=83_640,
    bram=208,
    bram_bits=18 * 1024,
    dsp=156,
    channels=tuple(Channel(block, number) for block in range(2) for number in range(2)),
)
XCVU13P = Device(
    "xcvu13p", lut=1_728_000, ff=3_456_000, bram=2_688, bram_bits=36 * 1024, dsp=12_288
)


@dataclass(frozen=True)
class Pin:
    """A pin of a connector, as the board's platform names both."""

    connector: tuple[str, int]
    name: str

    def __str__(self) -> str:
        kind, number = self.connector
        return f"{kind} {number} pin {self.name}"


@dataclass(frozen=True)
class LinkPins:
    """Pins that can carry one board-to-board link; clocks first, then as many lanes as fit."""

    transmit_clock: Pin
    transmit: tuple[Pin, ...]
    receive_clock: Pin
    receive: tuple[Pin, ...]

    @property
    def lanes(self) -> int:
        return min(len(self.transmit), len(self.receive))


@dataclass(frozen=True)
class Board:
    """A board on which a part of a system can be built.

    A file in ``fpga/boards/`` that defines ``BOARD`` adds one.
    """

    name: str
    title: str
    device: Device
    technology: str
    """``ecp5``: built here; ``vivado``: delivered as a project."""
    platform: Callable[[], Any]
    """Makes the Amaranth platform."""
    clock: str
    """Resource with the oscillator."""
    clock_hz: int
    links: tuple[LinkPins, ...]
    serial: tuple[Pin, Pin] | None = None
    """(receive, transmit) of the serial port, seen from the FPGA; None: resource ``uart``."""
    io_standard: str = "LVCMOS33"
    transceivers: int = 0
    """Links over serial transceivers, whose lanes a vendor's core drives."""
    extra: Callable[[], Elaboratable] | None = None
    """Gateware that the board needs besides, in domain ``sync``."""

    def link_count(self, kind: LinkKind) -> int:
        """How many links of this kind it can have."""
        match kind:
            case LinkKind.PINS:
                return len(self.links)
            case LinkKind.SERDES:
                return len(self.device.channels)
            case LinkKind.AURORA:
                return self.transceivers


def pins(connector: tuple[str, int], names: str) -> tuple[Pin, ...]:
    return tuple(Pin(connector, name) for name in names.split())


def link(transmit: tuple[Pin, ...], receive: tuple[Pin, ...]) -> LinkPins:
    """Of either direction the first pin is the clock."""
    return LinkPins(transmit[0], transmit[1:], receive[0], receive[1:])
