"""An AMD xcvu13p, as the published prototype uses: four links over GTY transceivers.

No particular board: the locations of its pins are left to `pins.xdc`, which a project gets as a
form to fill in.
"""

from amaranth.build import Clock, DiffPairs, Pins, Resource, Subsignal
from amaranth.vendor import XilinxPlatform

from fpga.boards.board import XCVU13P, Board

CLOCK_HZ = 300_000_000
REFERENCE_HZ = 161_132_812
LINKS = 4
LANES = 5
"""Transceivers of a link: a link flit of 263 bits in one cycle."""


class Xcvu13pPlatform(XilinxPlatform):
    """The device in its largest package, with names for pins in place of locations."""

    device = "xcvu13p"
    package = "fhgb2104"
    speed = "2-i"
    default_clk = "clk300"
    resources = (
        Resource("clk300", 0, DiffPairs("CLK_P", "CLK_N", dir="i"), Clock(CLOCK_HZ)),
        *(
            Resource(
                "gty",
                index,
                Subsignal("reference", DiffPairs(f"REF{index}_P", f"REF{index}_N", dir="i")),
                Subsignal(
                    "transmit_p", Pins(" ".join(f"TX{index}_{n}P" for n in range(LANES)), dir="o")
                ),
                Subsignal(
                    "transmit_n", Pins(" ".join(f"TX{index}_{n}N" for n in range(LANES)), dir="o")
                ),
                Subsignal(
                    "receive_p", Pins(" ".join(f"RX{index}_{n}P" for n in range(LANES)), dir="i")
                ),
                Subsignal(
                    "receive_n", Pins(" ".join(f"RX{index}_{n}N" for n in range(LANES)), dir="i")
                ),
            )
            for index in range(LINKS)
        ),
    )
    connectors = ()


BOARD = Board(
    name="xcvu13p",
    title="xcvu13p",
    device=XCVU13P,
    technology="vivado",
    platform=Xcvu13pPlatform,
    clock="clk300",
    clock_hz=CLOCK_HZ,
    links=(),
    transceivers=LINKS,
)
