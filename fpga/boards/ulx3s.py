"""ULX3S with an LFE5U-85F: one link on its 40-pin headers, serial port over USB."""

from amaranth_boards.ulx3s import ULX3S_85F_Platform

from fpga.boards.board import LFE5U_85F, Board, link, pins

GPIO = ("gpio", 0)

BOARD = Board(
    name="ulx3s",
    title="ULX3S-85F",
    device=LFE5U_85F,
    technology="ecp5",
    platform=ULX3S_85F_Platform,
    clock="clk25",
    clock_hz=25_000_000,
    # GN12 and GP12 can be clocks; data on the pins around them, one side for each direction.
    links=(
        link(
            pins(GPIO, "14+ 15+ 16+ 17+ 18+ 19+ 20+"),
            pins(GPIO, "12+ 7+ 8+ 9+ 10+ 11+ 13+"),
        ),
    ),
)
