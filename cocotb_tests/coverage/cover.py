"""``make coverage``: what of ``hw/`` the tests exercise, in lines, signals and functions."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from cocotb_tests.coverage.bins import CROSSES
from cocotb_tests.coverage.plugin import events_in
from cocotb_tests.coverage.points import collected
from models.cache import REPOSITORY, cache_folder
from scin.flow.coverage import VARIABLE

FOLDER = cache_folder() / "coverage"
REASONS = Path(__file__).with_name("holes.toml")
TESTS = tuple(
    f"cocotb_tests/{name}"
    for name in (
        "system/test_address_space.py",
        "system/test_any_bits.py",
        "system/test_barriers.py",
        "system/test_combinations.py",
        "system/test_counter_wrap.py",
        "system/test_errors.py",
        "system/test_isolation.py",
        "system/test_protocol.py",
        "system/test_quantized.py",
        "system/test_random.py",
        "system/test_register_bus.py",
        "system/test_simultaneous.py",
        "system/test_stops.py",
        "dma/test_abort.py",
        "dma/test_commands.py",
        "dma/test_errors.py",
        "dma/test_random_lists.py",
        "soak",
        "unit/csr",
        "unit/dma",
        "unit/endpoint",
        "unit/fabric",
        "unit/host",
        "unit/isa",
        "unit/memory",
        "unit/phy/test_phy.py",
        "unit/switch",
    )
)
"""Those of whole systems, and of parts that systems do not have or hardly stir."""

LINES, TOGGLES, BINS = 0.98, 0.90, 1.0
"""Shares to reach; of the bins, those without a reason."""


@dataclass(frozen=True)
class Count:
    reached: int = 0
    all: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.reached + other.reached, self.all + other.all)

    @property
    def share(self) -> float:
        return self.reached / self.all if self.all else 1.0

    def __str__(self) -> str:
        return f"{self.reached} of {self.all} ({self.share:.1%})"


@dataclass(frozen=True)
class Reason:
    """Why what matches one of ``holes`` is not reached."""

    holes: list[str]
    because: str


def reasons() -> list[Reason]:
    tree = tomllib.loads(REASONS.read_text())
    return [Reason(item["holes"], item["because"]) for item in tree["reason"]]


@click.command()
@click.option("--report-only", is_flag=True, help="Of the last run; run nothing.")
@click.argument("tests", nargs=-1)
def main(report_only: bool, tests: tuple[str, ...]) -> None:
    """Run TESTS (by default those of whole systems and some of parts) on simulators that count."""
    if not report_only:
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(parents=True)
        command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "--dist", "worksteal"]
        command += ["-p", "cocotb_tests.coverage.plugin", "-n", "auto", "--maxprocesses", "4"]
        environment = dict(os.environ) | {VARIABLE: str(FOLDER)}
        result = subprocess.run(
            [*command, *(tests or TESTS)], cwd=REPOSITORY, env=environment, check=False
        )
        if result.returncode:
            raise click.ClickException("the tests do not pass; what they reached means nothing")
    if not any(FOLDER.rglob("*.npy")):
        raise click.ClickException(f"{FOLDER}: holds nothing; run without --report-only")
    sys.exit(report(Console(width=120, highlight=False, markup=False)))


def report(console: Console) -> int:
    """Print the tables; not zero if a share is missed or a bin has no reason."""
    coverage = collected(FOLDER)
    missed: dict[str, list[str]] = defaultdict(list)
    lines: dict[str, Count] = defaultdict(Count)
    toggles: dict[str, Count] = defaultdict(Count)
    for branch, hit in coverage.branches.items():
        lines[_room(branch.file)] += Count(hit, 1)
        if not hit:
            missed["line"].append(str(branch))
    for toggle, hit in coverage.toggles.items():
        toggles[_room(toggle.wire.file)] += Count(hit, 1)
        if not hit:
            missed["toggle"].append(str(toggle))
    table = Table("of hw/", "lines", "toggles")
    for room in sorted(lines | toggles):
        table.add_row(room, str(lines[room]), str(toggles[room]))
    all_lines, all_toggles = sum(lines.values(), Count()), sum(toggles.values(), Count())
    table.add_row("all", str(all_lines), str(all_toggles))
    console.print(table)
    bins = _report_bins(console, missed)
    explained = _explain(console, missed)
    console.print(f"lines {all_lines.share:.1%} (to reach: {LINES:.0%})")
    console.print(f"toggles {all_toggles.share:.1%} (to reach: {TOGGLES:.0%})")
    console.print(f"functional bins {bins}, {len(explained['bin'])} more with a reason")
    good = all_lines.share >= LINES and all_toggles.share >= TOGGLES
    return 0 if good and bins.reached + len(explained["bin"]) == bins.all else 1


def _report_bins(console: Console, missed: dict[str, list[str]]) -> Count:
    seen = events_in(FOLDER)
    table = Table("functional bins", "reached")
    total = Count()
    for cross in CROSSES:
        bins, reached = cross.bins(), cross.reached(seen)
        count = Count(len(reached), len(bins))
        total += count
        table.add_row(cross.name, str(count))
        missed["bin"] += [f"{cross.name}: {' '.join(v)}" for v in bins if v not in reached]
    console.print(table)
    return total


def _explain(console: Console, missed: dict[str, list[str]]) -> dict[str, list[str]]:
    """Count holes by reason; all of them go to a file."""
    explained: dict[str, list[str]] = defaultdict(list)
    table = Table("not reached", "lines", "toggles", "bins")
    left = {kind: list(holes) for kind, holes in missed.items()}
    for reason in reasons():
        found = {kind: _matching(reason, holes) for kind, holes in left.items()}
        for kind, holes in found.items():
            left[kind] = [hole for hole in left[kind] if hole not in holes]
            explained[kind] += holes
        counts = [str(len(found.get(kind, ()))) for kind in ("line", "toggle", "bin")]
        table.add_row(reason.because, *counts)
    counts = [str(len(left.get(kind, ()))) for kind in ("line", "toggle", "bin")]
    table.add_row("without a reason", *counts)
    console.print(table)
    path = FOLDER / "holes.txt"
    path.write_text(
        "".join(f"{kind}\t{hole}\n" for kind, holes in left.items() for hole in sorted(holes))
    )
    console.print(f"holes without a reason: {path}")
    return explained


def _matching(reason: Reason, holes: Iterable[str]) -> set[str]:
    return {hole for hole in holes if any(fnmatchcase(hole, each) for each in reason.holes)}


def _room(file: str) -> str:
    parts = Path(file).parts
    return "/".join(parts[1:2]) if len(parts) > 2 else "top"


if __name__ == "__main__":
    main()
