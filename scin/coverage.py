"""Counters of what a simulation exercises, for every simulator a process builds or none.

They are asked for by the environment, since tests build simulators in many places: with
``SCIN_COVERAGE`` a folder, each run leaves a file of Verilator's counters there.
``cocotb_tests/coverage`` reads them.
"""

from __future__ import annotations

import os
import re
import uuid
from itertools import pairwise
from pathlib import Path

VARIABLE = "SCIN_COVERAGE"
OPTIONS = ("--coverage-line", "--coverage-toggle")

_EXPRESSION = re.compile(r"\s*(wire|reg)\b[^;]*\\\$")
_ATTRIBUTE_LINES = 2
"""From one declaration to the next, with a line that says where it comes from."""


def coverage_folder() -> Path | None:
    name = os.environ.get(VARIABLE)
    return Path(name) if name else None


def counters_argument(folder: Path, design: str) -> str:
    """Where a simulator is to write its counters; each run another file."""
    return f"+verilator+coverage+file+{folder / f'{design}.{uuid.uuid4().hex}.dat'}"


def without_expressions(verilog: str, file: str) -> str:
    """Verilator control text: leave out wires that only name a part of an expression."""
    lines = [n for n, line in enumerate(verilog.splitlines(), 1) if _EXPRESSION.match(line)]
    starts = [b for a, b in pairwise([-_ATTRIBUTE_LINES - 1, *lines]) if b - a > _ATTRIBUTE_LINES]
    ends = [a for a, b in pairwise([*lines, 1 << 62]) if b - a > _ATTRIBUTE_LINES]
    off = [
        f'coverage_off -file "*{file}" -lines {a}-{b}' for a, b in zip(starts, ends, strict=True)
    ]
    return "\n".join(["`verilator_config", 'coverage_off -file "*.sv"', *off]) + "\n"
