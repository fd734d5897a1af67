"""The top of an ECP5 board: clocks, pins, serial port and links around its core."""

from __future__ import annotations

from typing import Any

from amaranth import ClockDomain, Instance, Module, Signal
from amaranth.build import Attrs, Pins, Resource, Subsignal
from amaranth.hdl import Elaboratable
from amaranth.lib import wiring

from fpga.boards.board import Board, Pin
from fpga.ecp5.clock import ClockGenerator
from fpga.ecp5.lanes import ReceivePins, TransmitPins
from fpga.ecp5.spread import EmptyLuts
from fpga.ecp5.transceiver import TransceiverBlock
from fpga.links import LinkKind
from hw.board.contents import Contents
from hw.board.core import BoardCore
from hw.host.command import CommandPort
from hw.host.uart import UartReceiver, UartTransmitter
from hw.phy.frame import Framing
from hw.phy.serdes import SerdesPhy
from hw.phy.source_synchronous import SourceSynchronousPhy
from hw.stream.connect import connect_stream

SERIAL_RESOURCE = "scin_serial"
LINK_RESOURCE = "scin_link"


def _pins(pins: tuple[Pin, ...], direction: str) -> Pins:
    connectors = {pin.connector for pin in pins}
    if len(connectors) == 1:
        return Pins(" ".join(p.name for p in pins), dir=direction, conn=connectors.pop())
    raise ValueError(f"pins on several connectors: {', '.join(map(str, pins))}")


def connect_clocks(m: Module, platform: Any, board: Board, clock_hz: int) -> None:
    """The domains of a board's top, from its oscillator."""
    m.domains.sync = ClockDomain(reset_less=True)
    m.domains.quarter = ClockDomain(reset_less=True)
    oscillator = platform.request(board.clock, dir="-")
    m.submodules.clock = clock = ClockGenerator(input_hz=board.clock_hz, output_hz=clock_hz)
    m.submodules.oscillator_pin = Instance("IB", i_I=oscillator.io[0], o_O=clock.clock)


def connect_transceiver(
    m: Module, platform: Any, phy: SerdesPhy, block: TransceiverBlock, place: int, clock_hz: int
) -> None:
    """Wire a :class:`SerdesPhy` to one of the channels of a :class:`TransceiverBlock`."""
    for name in ("transmit_clock", "receive_clock"):
        clock = getattr(block, name)[place]
        platform.add_clock_constraint(clock, clock_hz)
        m.d.comb += getattr(phy, name).eq(clock)
    m.d.comb += [
        block.word_out[place].eq(phy.word_out),
        phy.word_in.eq(block.word_in[place]),
        phy.bad_in.eq(block.bad_in[place]),
    ]


class Ecp5Top(Elaboratable):
    """Parameters: ``board``, ``contents``; ``link_kind``, ``framing`` of its links; ``clock_hz``;
    ``baud``; ``spread``, keep some LUTs empty for the sake of the wires."""

    def __init__(
        self,
        board: Board,
        contents: Contents,
        framing: Framing,
        *,
        link_kind: LinkKind,
        clock_hz: int,
        baud: int,
        spread: bool,
    ):
        self._board = board
        self._contents = contents
        self._framing = framing
        self._link_kind = link_kind
        self._clock_hz = clock_hz
        self._baud = baud
        self._spread = spread

    def resources(self) -> list[Resource]:
        """Those of the links, and of the serial port if the board does not name one."""
        attributes = Attrs(IO_TYPE=self._board.io_standard)
        lanes = self._framing.lanes
        links = self._board.links if self._link_kind == LinkKind.PINS else ()
        found = [
            Resource(
                LINK_RESOURCE,
                index,
                Subsignal("transmit_clock", _pins((item.transmit_clock,), "o")),
                Subsignal("transmit", _pins(item.transmit[:lanes], "o")),
                Subsignal("receive_clock", _pins((item.receive_clock,), "i")),
                Subsignal("receive", _pins(item.receive[:lanes], "i")),
                attributes,
            )
            for index, item in enumerate(links[: self._contents.links])
        ]
        if self._board.serial is not None:
            receive, transmit = self._board.serial
            found.append(
                Resource(
                    SERIAL_RESOURCE,
                    0,
                    Subsignal("rx", _pins((receive,), "i")),
                    Subsignal("tx", _pins((transmit,), "o")),
                    attributes,
                )
            )
        return found

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        board, contents, framing = self._board, self._contents, self._framing
        platform.add_resources(self.resources())

        connect_clocks(m, platform, board, self._clock_hz)
        if board.extra is not None:
            m.submodules.extra = board.extra()

        if self._spread:
            m.submodules.spread = EmptyLuts(platform.device)
        m.submodules.core = core = BoardCore(
            contents, clock_khz=self._clock_hz // 1000, lanes=framing.lanes
        )
        self._connect_serial(m, platform, core)
        if self._link_kind == LinkKind.PINS:
            for index in range(contents.links):
                self._connect_pins(m, platform, core, index)
        else:
            self._connect_transceivers(m, platform, core)
        return m

    def _connect_link(
        self, m: Module, core: BoardCore, index: int, phy: SerdesPhy | SourceSynchronousPhy
    ) -> None:
        m.submodules[f"phy_{index}"] = phy
        connect_stream(m, core.link_out[index], phy.i)
        connect_stream(m, phy.o, core.link_in[index])
        m.d.comb += core.link_status[index].eq(phy.status)

    def _connect_serial(self, m: Module, platform: Any, core: BoardCore) -> None:
        name = "uart" if self._board.serial is None else SERIAL_RESOURCE
        serial = platform.request(name, 0, dir={"rx": "-", "tx": "-"})
        divisor = round(self._clock_hz / self._baud)
        m.submodules.receiver = receiver = UartReceiver(divisor=divisor)
        m.submodules.transmitter = transmitter = UartTransmitter(divisor=divisor)
        m.submodules.commands = commands = CommandPort()
        level = Signal()
        m.submodules.receive_pin = Instance("IB", i_I=serial.rx.io[0], o_O=level)
        m.submodules.transmit_pin = Instance("OB", i_I=transmitter.pin, o_O=serial.tx.io[0])
        m.d.comb += receiver.pin.eq(level)
        connect_stream(m, receiver.o, commands.i)
        connect_stream(m, commands.o, transmitter.i)
        wiring.connect(m, commands.axi, core.host)

    def _connect_transceivers(self, m: Module, platform: Any, core: BoardCore) -> None:
        channels = self._board.device.channels[: self._contents.links]
        for block in sorted({channel.block for channel in channels}):
            mine = [index for index, channel in enumerate(channels) if channel.block == block]
            m.submodules[f"transceivers_{block}"] = transceivers = TransceiverBlock(
                tuple(channels[index] for index in mine), clock_hz=self._clock_hz
            )
            for place, index in enumerate(mine):
                phy = SerdesPhy(self._framing.config)
                self._connect_link(m, core, index, phy)
                connect_transceiver(m, platform, phy, transceivers, place, self._clock_hz)

    def _connect_pins(self, m: Module, platform: Any, core: BoardCore, index: int) -> None:
        phy = SourceSynchronousPhy(self._framing)
        self._connect_link(m, core, index, phy)
        m.d.comb += [
            there.eq(here) for there, here in zip(core.link_eye[index], phy.eye, strict=True)
        ]
        names = ("transmit_clock", "transmit", "receive_clock", "receive")
        port = platform.request(LINK_RESOURCE, index, dir=dict.fromkeys(names, "-"))
        platform.add_clock_constraint(port.receive_clock.io, self._clock_hz)
        m.submodules[f"transmit_{index}"] = transmit = TransmitPins(
            port.transmit_clock, port.transmit
        )
        m.submodules[f"receive_{index}"] = receive = ReceivePins(port.receive_clock, port.receive)
        m.d.comb += [
            transmit.word.eq(phy.word_out),
            phy.word_in.eq(receive.word),
            phy.receive_clock.eq(receive.receive_clock),
            receive.delay_load.eq(phy.delay_load),
            receive.delay_move.eq(phy.delay_move),
        ]
