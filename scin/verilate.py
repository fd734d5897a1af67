"""Build the simulated system: Amaranth -> Verilog -> Verilator -> shared library, cached."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from hw.spec.config import Config
from hw.spec.fault import Disturbance
from models.cache import cached
from scin.cache import alone, behind_no_space, digest, place, work_folder
from scin.coverage import OPTIONS as COVERAGE_OPTIONS
from scin.coverage import counted_once, coverage_folder
from scin.errors import BuildError
from scin.netlist import verilog_of
from scin.programs import run_program
from scin.toolchain import (
    REPOSITORY,
    Verilator,
    find_verilator,
    make_flags,
    require_program,
)

SHELL_SOURCES = tuple(
    REPOSITORY / "rtl/sim" / name
    for name in ("axi_memory.sv", "faulty_link.sv", "harness.cpp", "faults.cpp", "counters.vlt")
)
EMITTER = tuple(REPOSITORY / "scin" / name for name in ("netlist.py", "distinct.py"))
TOP = "scin"
WAIVED_WARNINGS = (
    # All from the emitter's style of Verilog, none from a mistake in the design.
    "PROCASSINIT",
    "UNUSEDSIGNAL",
    "UNUSEDPARAM",
    "WIDTHEXPAND",
    "WIDTHTRUNC",
    "CASEINCOMPLETE",
    "DECLFILENAME",
    "PINCONNECTEMPTY",
    "VARHIDDEN",
    "ASCRANGE",
    # Names that C++ reserves; Verilator gives them others.
    "SYMRSVDWORD",
)

Report = Callable[[str], None]
Hardware = Callable[[Config, Report], list[Path]]

MAKE_OPTIONS = {"OPT_FAST": "-O1", "OPT_SLOW": "-O0"}
"""A fifth less to build than with -O2, a fiftieth slower to run."""


def _hardware_key(config: Config) -> str:
    """Changes whenever the emitted Verilog might."""
    sources = [*sorted((REPOSITORY / "hw").rglob("*.py")), *EMITTER]
    return digest(
        json.dumps(config.hardware_dict(), sort_keys=True).encode(),
        version("amaranth").encode(),
        *(path.read_bytes() for path in sources),
    )


def emitted_verilog(config: Config, report: Report = print) -> Path:
    """Verilog of the simulated system, emitted unless an up-to-date copy is there."""
    # With the lines it comes from, if they are to be told apart.
    suffix = ".lines.v" if coverage_folder() else ".v"
    target = cached("verilog", f"{_hardware_key(config)}{suffix}")
    with alone(target):
        if not target.is_file():
            report(f"emitting Verilog of {config.name}")
            from hw.simulation import SimulatedSystem

            lines = coverage_folder() is not None
            place(target, verilog_of(SimulatedSystem(config), TOP, lines=lines).encode())
    return target


def described(config: Config, report: Report) -> list[Path]:
    """The system as ``hw/`` describes it."""
    return [emitted_verilog(config, report)]


def simulator_library(
    config: Config,
    *,
    trace: str = "",
    report: Report = print,
    hardware: Hardware = described,
) -> Path:
    """The shared library of a configuration.

    ``trace``: the format of its waveforms, "fst" or "vcd", or "" for one that writes none.
    ``hardware``: the Verilog files that it is made of.
    """
    sources = hardware(config, report)
    verilator = find_verilator()
    require_program("make", "make")
    require_program("g++", "g++")
    require_program("perl", "perl")
    options = ["--cc", "--exe", "--prefix", "Vscin", "--top-module", TOP, "-O3"]
    # Parts that are there several times stay parts: less to compile, and no slower.
    options += ["--inline-mult", "1"]
    options += ["--x-assign", "fast", "--x-initial", "fast", "--no-assert", "-Wall"]
    options += [f"-Wno-{name}" for name in WAIVED_WARNINGS]
    options += ["-CFLAGS", "-fPIC", "-LDFLAGS", "-shared", "-o", "libscin.so"]
    for kind in Disturbance:
        options += ["-CFLAGS", f"-DSCIN_FAULT_{kind.name}={kind.value}"]
    if trace:
        options += [f"--trace-{trace}", "-CFLAGS", f"-DSCIN_TRACE_{trace.upper()}"]
    if coverage_folder():
        options += [*COVERAGE_OPTIONS, "-CFLAGS", "-DSCIN_COVERAGE"]
        sources = [_control(sources[0]), *sources]
    sources += SHELL_SOURCES
    key = digest(
        *(path.read_bytes() for path in sources),
        json.dumps([options, MAKE_OPTIONS, verilator.version]).encode(),
    )
    target = cached("simulator", key, "libscin.so")
    with alone(target):
        if not target.is_file():
            report(f"building the simulator of {config.name} with {verilator.version}")
            build(verilator, options, sources, target)
    return target


def _control(source: Path) -> Path:
    """Says of which lines coverage is to be counted."""
    target = source.with_suffix(".vlt")
    place(target, counted_once(source.read_text(), source.name).encode())
    return target


def build(verilator: Verilator, options: list[str], sources: list[Path], target: Path) -> None:
    """Verilate and compile; the product, named as ``target``, takes its place when it is done."""
    work = work_folder("verilate-")
    try:
        verilator = verilator.behind_no_space(work)
        sources = [behind_no_space(path, work) for path in sources]
        jobs = str(os.cpu_count() or 1)
        command = [verilator.program, *options, "--build", "-j", jobs, "--Mdir", str(work / "obj")]
        command += ["-MAKEFLAGS", make_flags(**MAKE_OPTIONS)]
        command += [str(path) for path in sources]
        result = run_program(command, env=verilator.environment())
        if result.returncode:
            tail = "\n".join((result.stdout + result.stderr).splitlines()[-20:])
            raise BuildError(f"verilator failed with status {result.returncode}:\n{tail}")
        place(target, (work / "obj" / target.name).read_bytes(), mode=0o777)
    finally:
        shutil.rmtree(work, ignore_errors=True)
