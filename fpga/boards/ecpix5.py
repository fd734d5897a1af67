"""ECPIX-5 with an LFE5UM5G-85F: four links on its eight Pmods, serial port over USB."""

from amaranth_boards.ecpix5 import ECPIX585Platform

from fpga.boards.board import LFE5UM5G_85F, Board, LinkPins, link, pins

PMOD_PINS = "1 2 3 4 7 8 9 10"


def _link(transmit: int, receive: int) -> LinkPins:
    return link(pins(("pmod", transmit), PMOD_PINS)[:7], pins(("pmod", receive), PMOD_PINS)[:7])


BOARD = Board(
    name="ecpix5",
    title="ECPIX-5 85F",
    device=LFE5UM5G_85F,
    technology="ecp5",
    platform=ECPIX585Platform,
    clock="clk100",
    clock_hz=100_000_000,
    links=(_link(0, 1), _link(2, 3), _link(4, 5), _link(6, 7)),
)
