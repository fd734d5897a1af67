"""An ULX3S under another name, with a slower clock."""

from dataclasses import replace

from fpga.boards.ulx3s import BOARD as ULX3S

BOARD = replace(ULX3S, name="toyboard", title="Toy board")
