"""Coverage points of a simulation, merged over instances, configurations and runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cocotb_tests.coverage.verilog import Branch, Design, Wire, read

_COUNT = re.compile(rb"' (\d+)$", re.MULTILINE)
_POINT = re.compile(r"\x01(\w+)\x02([^\x01']*)")
_BIT = re.compile(r"(.+?)(?:\[(\d+)\])?:(0->1|1->0)")


@dataclass(frozen=True)
class Toggle:
    """A bit of a signal that rose or fell."""

    wire: Wire
    bit: int
    edge: str

    def __str__(self) -> str:
        return f"{self.wire}[{self.bit}] {self.edge}"


@dataclass
class Coverage:
    """Every point of ``hw/`` that was built, and whether it was reached."""

    branches: dict[Branch, bool] = field(default_factory=dict)
    toggles: dict[Toggle, bool] = field(default_factory=dict)

    def add(self, names: str, reached: np.ndarray) -> None:
        """The points of one simulator, in the order of its counters."""
        designs: dict[str, Design] = {}
        for fields, hit in zip(_points(names), reached, strict=True):
            file, line = fields["f"], int(fields["l"])
            if not file.endswith(".v"):
                continue
            if file not in designs:
                designs[file] = read(Path(file).read_text())
            design = designs[file]
            if fields["page"].startswith("v_toggle"):
                self._toggle(design, line, fields["o"], bool(hit))
            elif branch := design.branches.get(line):
                self._branch(branch, fields["o"], bool(hit))

    def _toggle(self, design: Design, line: int, comment: str, hit: bool) -> None:
        match = _BIT.fullmatch(comment)
        wire = design.wires.get(line)
        if match and wire:
            point = Toggle(wire, int(match[2] or 0), match[3])
            self.toggles[point] = self.toggles.get(point, False) or hit

    def _branch(self, branch: Branch, kind: str, hit: bool) -> None:
        point = branch.otherwise() if kind in ("else", "cond_else") else branch
        self.branches[point] = self.branches.get(point, False) or hit


def _points(names: str) -> Iterator[dict[str, str]]:
    for line in names.splitlines():
        if line.startswith("C '"):
            yield dict(_POINT.findall(line))


def collect(folder: Path) -> None:
    """Take in the counters that simulations left in ``folder``: for each simulator one file of
    names, and one of what was reached."""
    for path in folder.glob("*.dat"):
        raw = path.read_bytes()
        path.unlink()
        reached = np.array([int(count) > 0 for count in _COUNT.findall(raw)])
        kept = folder / f"{path.name.split('.')[0]}.npy"
        if kept.is_file():
            reached |= np.load(kept)
        else:
            kept.with_suffix(".names").write_bytes(raw)
        np.save(kept, reached)


def collected(folder: Path) -> Coverage:
    """Of every process that left something below ``folder``."""
    result = Coverage()
    for path in sorted(folder.rglob("*.npy")):
        result.add(path.with_suffix(".names").read_text(), np.load(path))
    return result
