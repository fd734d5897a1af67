"""Where in ``hw/`` the lines and signals of an emitted Verilog file come from.

What Verilog says once per instance and configuration is one thing here. A signal is named by the
line of ``hw/`` that declares it; a branch by its file, by what it assigns, and by the conditions
around it, each a signal's name or the line that writes the expression.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from scin.toolchain import REPOSITORY

_SOURCE = re.compile(r'\(\* src = "([^"]+)" \*\)')
_DECLARATION = re.compile(r"(input|output|wire|reg) (?:signed )?(?:\[[^]]+\] )?(\S+)")
_EXPRESSION = re.compile(r"assign \\(\$\S+) {1,2}= .*?" + _SOURCE.pattern)
_FEEDS = re.compile(r"(?:assign )?(\S+) {1,2}<?= \\(\$\S+) ;")
_OPENS = re.compile(r"(?:end else )?if \((.*)\)(?: begin)?|casez \((.*)\)|(\d+'\S+|default)\b.*:")
_ASSIGNS = re.compile(r"(\S+)(?: \[[^]]+\])? {1,2}<?= ")
_DUMMY = "$auto$verilog_backend"
"""In what the emitter adds to every process."""


@dataclass(frozen=True)
class Wire:
    """A signal, and the line that declares it."""

    file: str
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.name}"


@dataclass(frozen=True)
class Branch:
    """What is assigned if all of the conditions hold."""

    file: str
    target: str
    conditions: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file} {self.target}, {'; '.join(self.conditions) or 'always'}"

    def otherwise(self) -> Branch:
        *around, last = self.conditions
        return Branch(self.file, self.target, (*around, f"not {last}"))


@dataclass
class Design:
    """What the lines of an emitted file are; those that are not of ``hw/`` are left out."""

    branches: dict[int, Branch] = field(default_factory=dict)
    wires: dict[int, Wire] = field(default_factory=dict)


def read(text: str) -> Design:
    design = Design()
    lines = text.splitlines()
    start = 0
    for number, line in enumerate(lines):
        if line.startswith("endmodule"):
            _read_module(design, lines, start, number)
            start = number + 1
    return design


def _read_module(design: Design, lines: list[str], start: int, end: int) -> None:
    stripped = [line.strip() for line in lines[start:end]]
    header = next(n for n, line in enumerate(stripped) if line.startswith("module "))
    file = _place(" ".join(stripped[:header]))[0]
    if not file:
        return
    spelled: dict[str, str] = {}
    """What expressions are called here: by what they drive, else by where they are written."""
    for line in stripped:
        if match := _EXPRESSION.match(line):
            expression_file, expression_line = _place(line)
            if expression_file:
                spelled.setdefault(match[1], f"{expression_file}:{expression_line}")
    for line in stripped:
        if match := _FEEDS.fullmatch(line):
            spelled[match[2]] = _plain(match[1])

    def said(text: str) -> str:
        named = re.sub(r"\\(\$\S+) ?", lambda m: spelled.get(m[1], "an expression"), text)
        return re.sub(r"\$\d+(?= |\[|$)", "", named.replace("\\", ""))

    around: list[tuple[int, str]] = []
    target = ""
    for offset, line in enumerate(stripped):
        number = start + offset + 1
        indent = len(lines[number - 1]) - len(line)
        if _DUMMY in line:
            continue
        if match := _DECLARATION.match(line):
            # A port is declared twice, and only the first time with where it comes from.
            port = stripped[offset - 1].startswith(("input", "output"))
            declared_in, declared_at = _place(stripped[offset - 1 - port])
            if declared_in and not match[2].startswith("\\$"):
                design.wires[number] = Wire(declared_in, declared_at, _plain(match[2].rstrip(";")))
            continue
        if line.startswith("assign") and " ? " in line:
            driven, _, condition = line.removeprefix("assign ").partition(" = ")
            said_by = f"{said(condition.partition(' ? ')[0])} (line {_place(line)[1]})"
            design.branches[number] = Branch(file, said(f"{driven} ").strip(), (said_by,))
            continue
        if line.startswith("always"):
            target = _target(stripped[offset:], said)
        around = [item for item in around if item[0] < indent]
        if match := _OPENS.fullmatch(line):
            around.append((indent, said(match[1] or match[2] or match[3])))
        if target:
            design.branches[number] = Branch(file, target, tuple(text for _, text in around))


def _target(process: list[str], said) -> str:
    """The first thing assigned in the process that begins here."""
    for line in process[1:]:
        if line.startswith("always"):
            break
        if match := _ASSIGNS.match(line):
            return said(match[1] + " ").strip()
    return ""


def _place(attribute: str) -> tuple[str, int]:
    """File and line of an attribute; no file if it is not one of ``hw/``."""
    match = _SOURCE.search(attribute)
    if match:
        file, _, line = match[1].rpartition(":")
        prefix = f"{REPOSITORY}/"
        if file.startswith(f"{prefix}hw/"):
            return file.removeprefix(prefix), int(line)
    return "", 0


def _plain(name: str) -> str:
    """Without what makes it unique in its module."""
    return re.sub(r"\$\d+$", "", name.lstrip("\\"))
