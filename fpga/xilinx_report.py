"""What the switch takes of an xcvu13p.

``python -m fpga.xilinx_report`` synthesises the switch board of partition ``xcvu13p5`` (Yosys
``synth_xilinx``, module by module, nothing optimised across them) and prints its cells and their
share of the device, with every block format and with INT8 alone. The vendor's cores and the
shells of the links are not counted.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import click
from amaranth.lib import wiring
from rich.console import Console

from fpga.boards.board import XCVU13P
from fpga.packing import FUNCTION, Netlist, count_luts
from fpga.partition import Partition, load_partition
from fpga.tools import synthesise
from hw.board.contents import Contents
from hw.board.core import BoardCore
from hw.phy.aurora import aurora_lanes
from scin.flow.distinct import distinct
from scin.flow.netlist import rtlil_of

PARTITION = "xcvu13p5"
PUBLISHED_FORMATS = ("int8",)
"""What the published prototype requantizes."""

TOP = "counted"
MEMORY_LUTS = {"RAM32M16": 8, "RAM64M8": 8}
"""LUTs that a memory made of LUTs takes: a slice of eight."""

KNOWN_MEMORIES = (*MEMORY_LUTS, "RAMB36E2", "RAMB18E2")

STAGES = f"synth_xilinx -family xcup -top {TOP} -noiopad -noclkbuf -run "
SCRIPT = (
    # Of two names for a wire ABC's result may have both, and then fails: unused ones go first.
    f"read_rtlil design.il; {STAGES} :map_luts; opt_clean -purge; {STAGES} map_luts:; "
    "write_json netlist.json"
)


@dataclass(frozen=True)
class Share:
    """What a design takes.

    ``functions``: outputs of LUTs, as synthesis counts them, inverters included. ``lut``: LUTs of
    the device that these take, by :mod:`fpga.packing`. Both with memories made of LUTs.
    """

    functions: int
    lut: int
    ff: int
    bram: float
    dsp: int

    @classmethod
    def of(cls, cells: Mapping[str, int], netlist: Netlist) -> Share:
        memory = sum(luts * cells.get(name, 0) for name, luts in MEMORY_LUTS.items())
        logic = sum(count for name, count in cells.items() if FUNCTION.fullmatch(name))
        unknown = [name for name in cells if name.startswith("RAM") and name not in KNOWN_MEMORIES]
        if unknown:
            raise ValueError(f"cells {', '.join(unknown)}: it is not known what they take")
        return cls(
            functions=logic + memory,
            lut=count_luts(netlist, TOP) + memory,
            ff=sum(count for name, count in cells.items() if name.startswith("FD")),
            bram=cells.get("RAMB36E2", 0) + cells.get("RAMB18E2", 0) / 2,
            dsp=cells.get("DSP48E2", 0),
        )

    @property
    def shares(self) -> dict[str, float]:
        device = XCVU13P
        return {
            "functions": self.functions / device.lut,
            "lut": self.lut / device.lut,
            "ff": self.ff / device.ff,
            "bram": self.bram / device.bram,
            "dsp": self.dsp / device.dsp,
        }


def share_of(component: wiring.Component) -> Share:
    """What it takes after synthesis."""
    with tempfile.TemporaryDirectory(prefix="xilinx-") as work:
        folder = Path(work)
        netlist = rtlil_of(component, TOP)
        (folder / "design.il").write_text(distinct(netlist), encoding="utf-8")
        cells = synthesise(SCRIPT, folder)
        return Share.of(cells, json.loads((folder / "netlist.json").read_text(encoding="utf-8")))


def share_of_switch(partition: Partition, formats: tuple[str, ...]) -> Share:
    """Of the partition's switch board, with these block formats."""
    config = partition.config
    config = replace(config, isa=replace(config.isa, block_formats=formats))
    contents = Contents(config, switch=True, endpoints=0)
    core = BoardCore(contents, clock_khz=partition.clock_hz // 1000, lanes=aurora_lanes(config))
    return share_of(core)


@click.command()
def main() -> None:
    """Print the table."""
    console = Console(stderr=True)
    partition = load_partition(PARTITION)
    click.echo("| formats besides FP16 and BF16 | LUT functions | LUT | FF | block RAM | DSP |")
    click.echo("|---|---|---|---|---|---|")
    for formats in (partition.config.isa.block_formats, PUBLISHED_FORMATS):
        with console.status(f"synthesising with {', '.join(formats)}"):
            share = share_of_switch(partition, formats)
        entries = (f"{getattr(share, name):,} ({part:.1%})" for name, part in share.shares.items())
        click.echo(f"| {', '.join(formats)} | {' | '.join(entries)} |")


if __name__ == "__main__":
    main()
