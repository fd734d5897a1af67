"""Build the simulated system: Amaranth -> Verilog -> Verilator -> shared library, cached."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path

from hw.spec.config import Config
from hw.spec.fault import Disturbance
from hw.spec.packaged import packaged
from models.cache import REPOSITORY, cached
from scin.errors import BuildError
from scin.flow.cache import behind_no_space, digest, lock, work_folder, write_atomically
from scin.flow.coverage import OPTIONS as COVERAGE_OPTIONS
from scin.flow.coverage import counted_once, coverage_folder
from scin.flow.effort import Effort, effort_asked, optimisation
from scin.flow.netlist import verilog_of
from scin.flow.programs import run_program
from scin.flow.toolchain import MAKE_VARIABLES, Verilator, find_verilator, require_program
from scin.report.progress import Report, stage

SHELL_SOURCES = tuple(
    packaged("hw", "rtl/sim", name)
    for name in ("axi_memory.sv", "faulty_link.sv", "harness.cpp", "faults.cpp", "counters.vlt")
)
EMITTER = tuple(Path(__file__).with_name(name) for name in ("netlist.py", "distinct.py"))
TRAINING = REPOSITORY / "scin" / "collectives" / "training.py"
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

Hardware = Callable[[Config, Report], list[Path]]
Train = Callable[[Path], None]
"""Runs the library at a path, in a process that ends."""

OPTIMISE_SELDOM = "-O0"
"""For code that runs once: most of what Verilator writes, little of what a simulation does."""


def hardware_key(config: Config) -> str:
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
    target = cached("verilog", f"{hardware_key(config)}{suffix}")
    with lock(target):
        if not target.is_file():
            from hw.simulation import SimulatedSystem

            lines = coverage_folder() is not None
            with stage(report, f"emitting Verilog of {config.name}"):
                write_atomically(
                    target, verilog_of(SimulatedSystem(config), TOP, lines=lines).encode()
                )
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
    effort: Effort | None = None,
) -> Path:
    """The shared library of a configuration, built unless an up-to-date one is there.

    ``trace``: the format of its waveforms, "fst" or "vcd", or "" for one that writes none.
    ``hardware``: the Verilog files that it is made of. ``effort``: if None, what
    ``SCIN_SIMULATOR`` names; without that a trained library if there is one, else a fast one.
    """
    effort = effort or effort_asked()
    if trace or coverage_folder():
        effort = Effort.QUICK
    recipe = _recipe(config, trace, hardware(config, report))
    if effort is None:
        trained = recipe.target(Effort.TRAINED).is_file()
        effort = Effort.TRAINED if trained else Effort.FAST
    target = recipe.target(effort)
    with lock(target):
        if not target.is_file():
            tool = recipe.verilator.version
            text = f"building the {effort} simulator of {config.name} with {tool}"
            with stage(report, text):
                recipe.build(config, effort)
    return target


@dataclass(frozen=True)
class _Recipe:
    """What the libraries of one design are made from."""

    verilator: Verilator
    options: list[str]
    sources: list[Path]

    @cached_property
    def _contents(self) -> list[bytes]:
        """Read once: the Verilog of a system has many megabytes."""
        return [path.read_bytes() for path in self.sources]

    def target(self, effort: Effort) -> Path:
        flags = [*optimisation(effort), OPTIMISE_SELDOM]
        made_from = [*self._contents]
        if effort == Effort.TRAINED:
            made_from.append(TRAINING.read_bytes())
        key = digest(
            *made_from,
            json.dumps([self.options, effort, flags, self.verilator.version]).encode(),
        )
        return cached("simulator", key, "libscin.so")

    def build(self, config: Config, effort: Effort) -> None:
        train = partial(_train, config) if effort == Effort.TRAINED else None
        build(
            self.verilator,
            self.options,
            self.sources,
            self.target(effort),
            optimise=optimisation(effort),
            train=train,
        )


def _recipe(config: Config, trace: str, hardware: list[Path]) -> _Recipe:
    for program in ("make", "g++", "perl"):
        require_program(program, program)
    options = ["--cc", "--exe", "--prefix", "Vscin", "--top-module", TOP, "-O3"]
    options += ["--x-assign", "fast", "--x-initial", "fast", "--no-assert", "-Wall"]
    options += [f"-Wno-{name}" for name in WAIVED_WARNINGS]
    options += ["-CFLAGS", "-fPIC", "-LDFLAGS", "-shared", "-o", "libscin.so"]
    for kind in Disturbance:
        options += ["-CFLAGS", f"-DSCIN_FAULT_{kind.name}={kind.value}"]
    if trace:
        options += [f"--trace-{trace}", "-CFLAGS", f"-DSCIN_TRACE_{trace.upper()}"]
    if coverage_folder():
        options += [*COVERAGE_OPTIONS, "-CFLAGS", "-DSCIN_COVERAGE"]
        hardware = [_control(hardware[0]), *hardware]
    return _Recipe(find_verilator(), options, [*hardware, *SHELL_SOURCES])


def _train(config: Config, library: Path) -> None:
    """In a process of its own: a library writes down what it counted when its process ends."""
    description = library.with_suffix(".config")
    description.write_bytes(pickle.dumps(config))
    command = [sys.executable, "-m", "scin.collectives.training", str(library), str(description)]
    _check(run_program(command, folder=REPOSITORY), "training")


def _control(source: Path) -> Path:
    """Says of which lines coverage is to be counted."""
    target = source.with_suffix(".vlt")
    write_atomically(target, counted_once(source.read_text(encoding="utf-8"), source.name).encode())
    return target


def build(
    verilator: Verilator,
    options: list[str],
    sources: list[Path],
    target: Path,
    *,
    optimise: tuple[str, ...] = optimisation(Effort.QUICK),
    train: Train | None = None,
) -> None:
    """Verilate and compile; the product, named as ``target``, takes its place when it is done.

    ``optimise``: flags for what runs in every cycle. ``train``: run a first product that counts
    what it does; the compiler then does what is good for that.
    """
    work = work_folder("verilate-")
    try:
        verilator = verilator.behind_no_space(work)
        sources = [behind_no_space(path, work) for path in sources]
        objects, profile = work / "obj", work / "profile"
        _run(verilator, [verilator.program, *options, "--Mdir", objects, *sources])
        if train is not None:
            counting = f"-fprofile-generate={profile}"
            _compile(verilator, objects, (*optimise, counting), linking=counting)
            train(objects / target.name)
            _forget_optimised(objects)
            # The profile of an object is found by its path, so this is in the same folder.
            optimise += (f"-fprofile-use={profile}", "-fprofile-correction", *NO_PROFILE_IS_FINE)
        _compile(verilator, objects, optimise)
        write_atomically(target, (objects / target.name).read_bytes(), mode=0o777)
    finally:
        shutil.rmtree(work, ignore_errors=True)


NO_PROFILE_IS_FINE = ("-Wno-missing-profile",)
"""Some files have nothing that runs."""


def _compile(
    verilator: Verilator, objects: Path, optimise: tuple[str, ...], linking: str = ""
) -> None:
    variables = {
        **MAKE_VARIABLES,
        "OPT_FAST": " ".join(optimise),
        "OPT_SLOW": OPTIMISE_SELDOM,
        "USER_LDFLAGS": linking,
    }
    (makefile,) = set(objects.glob("V*.mk")) - set(objects.glob("*_classes.mk"))
    jobs = str(os.cpu_count() or 1)
    command = ["make", "-C", str(objects), "-f", makefile.name, "-j", jobs]
    _run(verilator, [*command, *(f"{name}={value}" for name, value in variables.items())])


def _forget_optimised(objects: Path) -> None:
    """Have make compile anew what it compiled with ``optimise``, and nothing else."""
    for pattern in ("*.o", "*.a", "*.so", "*.fast.gch"):
        for path in objects.glob(pattern):
            if not path.name.endswith("__Slow.o"):
                path.unlink()


def _run(verilator: Verilator, command: list[str | Path]) -> None:
    _check(run_program(command, env=verilator.environment()), Path(command[0]).name)


def _check(result: subprocess.CompletedProcess[str], name: str) -> None:
    if result.returncode:
        # Make prints whole command lines; what went wrong stands in what was complained of.
        tail = "\n".join((result.stderr or result.stdout).splitlines()[-20:])
        raise BuildError(f"{name} failed with status {result.returncode}:\n{tail}")
