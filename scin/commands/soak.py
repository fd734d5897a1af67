"""``scin soak``: does a system survive faults, and what do they cost?"""

from __future__ import annotations

import sys

import click

from hw.spec.buildable import check_buildable
from hw.spec.config import Config
from scin.commands.options import Command, Whole, common, fault_option, parse_faults
from scin.errors import EXIT_WRONG
from scin.host.simulator import Faults
from scin.report.files import takes_stdout
from scin.report.output import recorded
from scin.report.progress import ProgressLine, Stages
from scin.report.table import TextTable
from scin.soak.run import SoakResult, with_faults
from scin.soak.run import soak as run_soak

COLUMNS = (
    ("cycles", "", 12),
    ("rounds", "", 8),
    ("moved", "(MB)", 9),
    ("wrong", "(B)", 8),
    ("lost", "", 6),
    ("duplicated", "", 12),
    ("corrected", "", 11),
    ("replays", "", 9),
    ("damaged", "", 9),
    ("rejects", "", 9),
    ("drops", "", 7),
    ("kept", "", 9),
)


MOST_CYCLES = 10**12
"""Months, at the speed of a simulation."""


@click.command(cls=Command)
@click.option(
    "--cycles",
    type=Whole(1, MOST_CYCLES),
    default=1_000_000,
    show_default=True,
    help="Of the system's clock.",
)
@fault_option
@common(
    draws="of random data",
    adapt=lambda config, options: with_faults(config, parse_faults(options["faults"])),
)
def soak(
    *,
    config: Config,
    cycles: int,
    faults: tuple[str, ...],
    json_path: str | None,
    seed: int,
    quiet: bool,
) -> None:
    """Run All-Reduces, quantized ones, DMA copies and ordinary writes under faults.

    Every round ends with a comparison of all memories with the golden model, and the same
    rounds run once more without faults to see what throughput is kept.

    Exit status: 0 nothing was wrong, lost or doubled; 1 something was; 2 bad input; 3 a tool is
    missing.
    """
    rates = parse_faults(faults)
    check_buildable(config)
    table = TextTable(COLUMNS, quiet=quiet, error=takes_stdout(json_path))
    named = " ".join(f"{kind.name.lower()}={rate:g}" for kind, rate in rates.items()) or "none"
    with recorded(json_path, "soak", config) as records:
        result = _soak(config, rates, cycles, seed, quiet=quiet)
        records.append(result.as_dict())
        table.head(f"soak on RTL, {config.name}, faults {named}, seed {seed}")
        _print_result(table, result)
    if not result.good:
        sys.exit(EXIT_WRONG)


def _soak(config: Config, rates: Faults, cycles: int, seed: int, *, quiet: bool) -> SoakResult:
    """The soak, with a line that shows how far each part of it is."""
    line = ProgressLine(quiet=quiet, share=True)
    task = line.add_task("", total=None)

    def progress(what: str, done: int, wanted: int) -> None:
        if line.tasks[task].description != what:
            line.reset(task, description=what, total=wanted)
            # Not before: what is built has a line of its own.
            line.start()
        line.update(task, completed=done)

    try:
        return run_soak(
            config, rates, cycles=cycles, seed=seed, progress=progress, report=Stages(quiet=quiet)
        )
    finally:
        line.stop()


def _print_result(table: TextTable, result: SoakResult) -> None:
    table.row(
        (
            str(result.cycles),
            str(result.rounds),
            f"{result.moved_bytes / 1e6:.1f}",
            str(result.wrong),
            str(result.lost),
            str(result.duplicated),
            str(result.corrected),
            str(result.replays),
            str(result.damaged),
            str(result.rejects),
            str(result.drops),
            "-" if result.throughput_kept is None else f"{result.throughput_kept:.2%}",
        )
    )
    for name, count in result.happened.items():
        table.line(f"# {name}: struck {count} times")
    for name, count in sorted(result.statuses.items()):
        table.line(f"# status {name}: {count}")
