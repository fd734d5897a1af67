"""A Vivado project for the boards that have an AMD device. Vivado itself is not run here."""

from __future__ import annotations

import json
import re
from pathlib import Path

from fpga.boards.xcvu13p import CLOCK_HZ, REFERENCE_HZ
from fpga.emission import board_key
from fpga.partition import Partition, PartitionError, PlacedBoard
from fpga.xilinx.cores import CLOCK, HOST, Core, aurora
from fpga.xilinx.top import XilinxTop
from hw.phy.aurora import LANE_BITS, aurora_lanes
from models.cache import cached
from scin.flow.emit import made_once
from scin.flow.netlist import rare_collection
from scin.report.files import make_folder, write_file
from scin.report.progress import Report

BLACK_BOXES = "black_boxes.v"

START_MHZ = 100
LINE_RATE_MARGIN = 1.03
"""The user clock of the link is so much faster than the system's, whatever both drift."""


def cores_tcl(partition: Partition) -> str:
    """Tcl that makes the vendor's cores."""
    lanes = aurora_lanes(partition.config)
    link = _link_core(partition).name
    rate = partition.clock_hz * LANE_BITS * LINE_RATE_MARGIN * 66 / 64 / 1e9
    return f"""\
# Vendor cores. Vivado picks transceivers by C_START_QUAD; change it to suit the board.
create_ip -name clk_wiz -vendor xilinx.com -library ip -module_name {CLOCK.name}
set_property -dict [list \\
  CONFIG.PRIM_SOURCE {{Differential_clock_capable_pin}} \\
  CONFIG.PRIM_IN_FREQ {{{CLOCK_HZ / 1e6:g}}} \\
  CONFIG.CLKOUT1_REQUESTED_OUT_FREQ {{{partition.clock_hz / 1e6:g}}} \\
  CONFIG.CLKOUT2_USED {{true}} \\
  CONFIG.CLKOUT2_REQUESTED_OUT_FREQ {{{START_MHZ}}} \\
  CONFIG.USE_RESET {{false}} \\
] [get_ips {CLOCK.name}]
create_ip -name aurora_64b66b -vendor xilinx.com -library ip -module_name {link}
set_property -dict [list \\
  CONFIG.C_AURORA_LANES {{{lanes}}} \\
  CONFIG.C_LINE_RATE {{{rate:.4f}}} \\
  CONFIG.C_REFCLK_FREQUENCY {{{REFERENCE_HZ / 1e6:.6f}}} \\
  CONFIG.C_INIT_CLK {{{START_MHZ}}} \\
  CONFIG.interface_mode {{Streaming}} \\
  CONFIG.SupportLevel {{1}} \\
] [get_ips {link}]
create_ip -name jtag_axi -vendor xilinx.com -library ip -module_name {HOST.name}
set_property CONFIG.PROTOCOL 2 [get_ips {HOST.name}]
generate_target all [get_ips]
"""


def _link_core(partition: Partition) -> Core:
    lanes = aurora_lanes(partition.config)
    return aurora(lanes, lanes * LANE_BITS)


def write_project(partition: Partition, folder: Path, *, report: Report = print) -> list[Path]:
    """Verilog, constraints and Tcl of every board with an AMD device; the files written."""
    wanted = [item for item in partition.boards if item.board.technology == "vivado"]
    if not wanted:
        raise PartitionError(f"{partition.name}: no board of it has an AMD device")
    written = []
    for item in _distinct(wanted):
        for name, content in _files(partition, item, report).items():
            path = folder / item.name / name
            make_folder(path.parent)
            write_file(path, content.encode())
            written.append(path)
    return written


def _distinct(boards: list[PlacedBoard]) -> list[PlacedBoard]:
    first: dict[tuple[bool, int], PlacedBoard] = {}
    for item in boards:
        first.setdefault((item.switch, len(item.endpoints)), item)
    return list(first.values())


def _files(partition: Partition, item: PlacedBoard, report: Report) -> dict[str, str]:
    """By their names; emitted unless up-to-date copies are kept."""
    key = board_key(partition, item.board, item.contents, item.name)
    target = cached("fpga", "vivado", f"{key}.json")
    text = made_once(
        target,
        lambda: json.dumps(_emitted(partition, item)).encode(),
        report,
        f"emitting the project of {item.name}",
    )
    files: dict[str, str] = json.loads(text)
    return files


@rare_collection()
def _emitted(partition: Partition, item: PlacedBoard) -> dict[str, str]:
    board = item.board
    top = XilinxTop(item.contents, clock_hz=partition.clock_hz, oscillator=board.clock)
    plan = board.platform().prepare(
        top, name=item.name, emit_src=False, script_after_read="source cores.tcl"
    )
    files = {
        name: content if isinstance(content, str) else content.decode()
        for name, content in plan.files.items()
        if name.endswith((".v", ".xdc", ".tcl")) and not name.endswith(".debug.v")
    }
    constraints = files[f"{item.name}.xdc"]
    located = [line for line in constraints.splitlines() if "PACKAGE_PIN" in line or "LOC" in line]
    rest = [line for line in constraints.splitlines() if line not in located]
    files[f"{item.name}.xdc"] = "\n".join(rest) + "\n"
    files["pins.xdc"] = (
        "# Locations depend on the board: put the package pin in place of each name.\n"
        + "\n".join(f"# {line}" for line in located)
        + "\n"
    )
    script = f"{item.name}.tcl"
    files[script] = re.sub(rf"(read_xdc {item.name}\.xdc)", r"\1\nread_xdc pins.xdc", files[script])
    files["cores.tcl"] = cores_tcl(partition)
    files[BLACK_BOXES] = (
        "// Ports of the vendor's cores, for tools that do not have them.\n"
        + "".join(core.black_box() for core in (CLOCK, HOST, _link_core(partition)))
    )
    return files
