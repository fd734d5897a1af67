"""Emit a component, build it with Verilator once, and run cocotb tests on it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from cocotb_tools.runner import Verilator, get_results
from filelock import FileLock

from models.cache import cache_folder
from scin.flow.coverage import OPTIONS as COVERAGE_OPTIONS
from scin.flow.coverage import counted_once, counters_argument, coverage_folder
from scin.flow.netlist import verilog_of
from scin.flow.toolchain import find_verilator, make_flags
from scin.flow.verilate import WAIVED_WARNINGS

TOP = "dut"
PARAMETERS = "SCIN_TEST_PARAMETERS"
MAKE_OPTIONS = {"OPT_FAST": "-O0", "OPT_SLOW": "-O0"}
"""Python takes most of a bench's time, so that it is quicker as a whole without optimising."""


class _Runner(Verilator):
    """cocotb's runner without ``--public-flat-rw``: only the ports are public.

    With every signal public Verilator can hardly optimise; that costs several times the
    speed and most of the build time.
    """

    def _build_command(self):
        commands = super()._build_command()
        commands[0].remove("--public-flat-rw")
        return commands


def simulate(component: Any, *, module: str, case: str, seed: int, **parameters: Any) -> None:
    """Run the cocotb test ``case`` of ``module`` on ``component``.

    ``parameters`` reach the test through :func:`parameters_of_test`. The random seed is
    cocotb's: it is printed, and the same seed replays the same run.
    """
    counters = coverage_folder()
    text = verilog_of(component, TOP, lines=counters is not None)
    tools = find_verilator()
    options = list(COVERAGE_OPTIONS) if counters else []
    flags = make_flags(**MAKE_OPTIONS)
    made_from = "".join([tools.version, *options, flags, text])
    key = hashlib.sha256(made_from.encode()).hexdigest()[:20]
    folder = cache_folder() / "cocotb" / key
    environment = tools.environment() | {"COCOTB_ANSI_OUTPUT": "0", "MAKEFLAGS": flags}
    with mock.patch.dict(os.environ, environment):
        # Bytecode goes to the cache, not beside the sources.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        runner = _Runner()
        # Tests run side by side; one of them builds.
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not (folder / "done").is_file():
                _build(runner, folder, text, options)
        results = runner.test(
            test_module=module,
            hdl_toplevel=TOP,
            hdl_toplevel_lang="verilog",
            testcase=case,
            seed=seed,
            plusargs=[counters_argument(counters, key)] if counters else [],
            build_dir=folder,
            test_dir=folder,
            results_xml=str(folder / f"{case}_{seed}_{os.getpid()}.xml"),
            extra_env={
                PARAMETERS: json.dumps(parameters),
                "PYTHONPATH": _python_path(),
                # Otherwise cocotb rewrites the assertions of every module that is imported,
                # Amaranth's too, which takes longer than most of the simulations.
                "COCOTB_REWRITE_ASSERTION_FILES": f"{module.rpartition('.')[2]}.py",
                # Every simulation is a process that compiles the same modules.
                "PYTHONPYCACHEPREFIX": str(cache_folder() / "bytecode"),
            },
        )
    ran, failed = get_results(Path(results))
    assert ran == 1, f"{case}: cocotb ran {ran} tests instead of 1"
    assert failed == 0, f"{case} failed with seed {seed}, {parameters}"


def _build(runner: _Runner, folder: Path, text: str, options: list[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    source, control = folder / f"{TOP}.v", folder / "ports.vlt"
    source.write_text(text)
    control.write_text(_public_ports(text))
    if options:
        control.write_text(control.read_text() + counted_once(text, source.name))
    runner.build(
        sources=[source, control],
        hdl_toplevel=TOP,
        build_dir=folder,
        build_args=["-O3", "-Wall", *options, *(f"-Wno-{name}" for name in WAIVED_WARNINGS)],
        always=True,
        log_file=folder / "build.log",
    )
    (folder / "done").touch()


def parameters_of_test() -> dict[str, Any]:
    return json.loads(os.environ[PARAMETERS])


def _python_path() -> str:
    return os.pathsep.join(path for path in sys.path if path)


def _public_ports(text: str) -> str:
    """A Verilator control file that keeps the ports of the top module visible."""
    header = re.search(rf"^module {TOP}\s*\((.*?)\);", text, re.MULTILINE | re.DOTALL)
    assert header, "the emitted Verilog has no top module"
    names = [name.strip().lstrip("\\") for name in header[1].split(",")]
    lines = [f'public_flat_rw -module "{TOP}" -var "{name}"' for name in names]
    return "\n".join(["`verilator_config", *lines]) + "\n"
