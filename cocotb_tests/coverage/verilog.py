"""Where in ``hw/`` the lines and signals of an emitted Verilog file come from.

What Verilog says once per instance and configuration is one thing here. A signal is named by the
line of ``hw/`` that declares it; a branch by its file, by what it assigns, and by the conditions
around it, each a signal's name or the line that writes the expression. The elements of an array
are one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from models.cache import REPOSITORY
from scin.flow.coverage import (
    DECLARATION,
    SOURCE,
    EmittedModule,
    declared_at,
    emitted_modules,
    is_signal,
)

_EXPRESSION = re.compile(r"assign \\(\$\S+) {1,2}= .*?" + SOURCE.pattern)
_FEEDS = re.compile(r"(?:assign )?(\S+) {1,2}<?= \\(\$\S+) ;")
_OPENS = re.compile(r"(?:end else )?if \((.*)\)(?: begin)?|casez \((.*)\)|(\d+'\S+|default)\b.*:")
_ASSIGNS = re.compile(r"(\S+)(?: \[[^]]+\])? {1,2}<?= ")
_ELEMENT = re.compile(r"_\d+(?= ?;?$)")
"""Ends the name of one of several signals that differ in their number."""
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
    for module in emitted_modules(lines):
        if file := _of_hw(module.source):
            _read_module(design, lines, module, file)
    return design


def _read_module(design: Design, lines: list[str], module: EmittedModule, file: str) -> None:
    stripped = [line.strip() for line in lines[module.first - 1 : module.last]]
    spelled: dict[str, str] = {}
    """What expressions are called here: by what they drive, else by where they are written."""
    for line in stripped:
        if (match := _EXPRESSION.match(line)) and (where := _of_hw(match[2])):
            spelled.setdefault(match[1], f"{where}:{match[3]}")
    for line in stripped:
        if match := _FEEDS.fullmatch(line):
            spelled[match[2]] = _plain(match[1])

    def said(text: str) -> str:
        named = re.sub(r"\\(\$\S+) ?", lambda m: spelled.get(m[1], "an expression"), text)
        return re.sub(r"\$\d+(?= |\[|$)", "", named.replace("\\", ""))

    around: list[tuple[int, str]] = []
    target, element = "", False
    for number, line in enumerate(stripped, module.first):
        indent = len(lines[number - 1]) - len(line)
        if _DUMMY in line:
            continue
        if match := DECLARATION.match(line):
            source = declared_at(lines, number)
            if source and (where := _of_hw(source[1])) and is_signal(match[1]):
                name = _ELEMENT.sub("", _plain(match[1].rstrip(";")))
                design.wires[number] = Wire(where, int(source[2]), name)
            continue
        if line.startswith("assign") and " ? " in line:
            driven, _, condition = line.removeprefix("assign ").partition(" = ")
            said_by = f"{said(condition.partition(' ? ')[0])} (line {SOURCE.search(line)[2]})"
            driven = _ELEMENT.sub("", said(f"{driven} ").strip())
            design.branches[number] = Branch(file, driven, (said_by,))
            continue
        if line.startswith("always"):
            target = _target(stripped[number - module.first :], said)
            element = bool(_ELEMENT.search(target))
            target = _ELEMENT.sub("", target)
        around = [item for item in around if item[0] < indent]
        if match := _OPENS.fullmatch(line):
            condition = said(match[1] or match[2] or match[3])
            following = stripped[number - module.first + 1]
            if match[3] and (element or _ELEMENT.search(following)):
                condition = "an element"
            around.append((indent, condition))
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


def _of_hw(file: str) -> str:
    """Its name below the repository; empty if it is not one of ``hw/``."""
    name = file.removeprefix(f"{REPOSITORY}/")
    return name if name.startswith("hw/") else ""


def _plain(name: str) -> str:
    """Without what makes it unique in its module."""
    return re.sub(r"\$\d+$", "", name.lstrip("\\"))
