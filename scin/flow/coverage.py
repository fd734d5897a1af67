"""Counters of what a simulation exercises, for every simulator a process builds or none.

They are asked for by the environment, since tests build simulators in many places: with
``SCIN_COVERAGE`` a folder, each run leaves a file of Verilator's counters there.
``cocotb_tests/coverage`` reads them.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "SCIN_COVERAGE"
OPTIONS = ("--coverage-line", "--coverage-toggle")

SOURCE = re.compile(r'\(\* src = "(.+):(\d+)" \*\)')
"""File and line that a module or a wire of emitted Verilog comes from."""
DECLARATION = re.compile(r"(?:input|output|wire|reg) (?:signed )?(?:\[[^]]+\] )?(\S+)")


def coverage_folder() -> Path | None:
    name = os.environ.get(VARIABLE)
    return Path(name) if name else None


def counters_argument(folder: Path, design: str) -> str:
    """Where a simulator is to write its counters; each run another file."""
    return f"+verilator+coverage+file+{folder / f'{design}.{uuid.uuid4().hex}.dat'}"


@dataclass(frozen=True)
class EmittedModule:
    """A module of an emitted file: lines ``first`` to ``last``, counted from 1, of ``source``."""

    name: str
    source: str
    first: int
    last: int


def emitted_modules(lines: list[str]) -> Iterator[EmittedModule]:
    first, source, name = 1, "", ""
    for number, line in enumerate(lines, 1):
        if line.startswith("module "):
            name = line.removeprefix("module ").split("(")[0].strip().lstrip("\\")
            found = SOURCE.search(" ".join(lines[first - 1 : number]))
            source = found[1] if found else ""
        elif line.startswith("endmodule"):
            yield EmittedModule(name, source, first, number)
            first = number + 1


def declared_at(lines: list[str], number: int) -> re.Match[str] | None:
    """Where the declaration in line ``number`` comes from: the line above says it, or, for a
    port, which is declared twice, the one above its first declaration."""
    above = lines[number - 2].strip()
    if above.startswith(("input", "output")):
        above = lines[number - 3].strip()
    return SOURCE.fullmatch(above)


def is_signal(name: str) -> bool:
    """Not a part of an expression, nor a field or element of a signal that is there as a whole."""
    return not name.startswith("\\$") and not re.search(r"[.[]", name)


def counted_once(verilog: str, file: str) -> str:
    """Verilator control text: count every part once.

    Left out: of parts that differ in their number only, all but the first; wires that are no
    signals; wires that another part declares, and counts.
    """
    lines = verilog.splitlines()
    off = ["`verilator_config", 'coverage_off -file "*.sv"']
    roles: set[str] = set()
    for module in emitted_modules(lines):
        role = re.sub(r"\d+", "", module.name)
        if role in roles:
            off.append(f'coverage_off -file "*{file}" -lines {module.first}-{module.last}')
            continue
        roles.add(role)
        for number in range(module.first + 1, module.last):
            declared = DECLARATION.match(lines[number - 1].strip())
            if not declared:
                continue
            source = declared_at(lines, number)
            own = source is not None and source[1] == module.source
            if not own or not is_signal(declared[1]):
                off.append(f'coverage_off -file "*{file}" -lines {number}')
    return "\n".join(off) + "\n"
