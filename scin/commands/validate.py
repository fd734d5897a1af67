"""``scin validate``: the same cases on RTL and in the simulator."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator

import click

from hw.spec.config import load
from scin.commands.options import Command, json_option, parse_list
from scin.commands.process import exit_status
from scin.errors import EXIT_WRONG
from scin.flow.compilation import compile_simulator
from scin.host.simulator import Simulator
from scin.report.files import takes_stdout
from scin.report.output import recorded
from scin.report.progress import Stages
from scin.report.table import Column, Spinner, TextTable
from scin.validation.cases import LARGEST, cases
from scin.validation.comparison import CYCLES_BOUND, RELATIVE_BOUND, Comparison, predict
from scin.validation.rtl import observe

COLUMNS: tuple[Column, ...] = (
    ("config", "", 8),
    ("case", "", 34),
    ("improvements", "", 32),
    ("size", "(B)", 10),
    ("RTL", "(cycles)", 10),
    ("simulator", "(cycles)", 10),
    ("error", "(cycles)", 9),
    ("error", "(%)", 8),
    ("bound", "(cycles)", 9),
    ("", "", 5),
)


@click.command(cls=Command)
@click.option(
    "--config",
    "names",
    default=",".join(LARGEST),
    show_default=True,
    help="Configurations; comma-separated.",
)
@click.option("--quick", is_flag=True, help="Up to 64 KiB only.")
@json_option
@click.option("--quiet", is_flag=True, help="No table, no progress.")
def validate(*, names: str, quick: bool, json_path: str | None, quiet: bool) -> None:
    """Compare the simulator with the RTL, case by case.

    Fails if a case differs by more than 2 % and more than 8 cycles.
    """
    with exit_status():
        chosen = parse_list("config", names, LARGEST)
        table = TextTable(COLUMNS, quiet=quiet, error=takes_stdout(json_path))
        compile_simulator(Stages(quiet=quiet))
        table.head("All-Reduce on RTL and in the simulator")
        results = []
        with recorded(json_path, "validate", None) as records:
            for name in chosen:
                for item in compare(name, quick, table, quiet):
                    results.append(item)
                    records.append(item.as_dict())
            summarise(results, table)
        if not all(item.holds for item in results):
            sys.exit(EXIT_WRONG)


def compare(name: str, quick: bool, table: TextTable, quiet: bool) -> Iterator[Comparison]:
    """Every case runs on a freshly reset system, so that none inherits an arbiter's turn."""
    spinner = Spinner(quiet=quiet)
    try:
        for case in cases(name, quick=quick):
            with Simulator(load(name), report=Stages(quiet=quiet)) as simulator:
                spinner.watch(simulator, f"{name} {case.what} {case.size} B")
                observation = observe(simulator, case, progress=spinner)
            result = Comparison(case, observation, predict(case, observation))
            spinner.stop()
            yield result
            # It is recorded by now: a table that cannot be printed does not lose it.
            table.row(_cells(result))
    finally:
        spinner.stop()


def summarise(results: list[Comparison], table: TextTable) -> None:
    for name, group in itertools.groupby(results, key=lambda item: item.case.config.name):
        members = list(group)
        worst = max(members, key=lambda item: abs(item.error) / item.bound)
        within = sum(item.holds for item in members)
        table.line(
            f"# {name}: {within} of {len(members)} within {RELATIVE_BOUND:.0%} or "
            f"{CYCLES_BOUND} cycles; nearest to its bound: {worst.case.what}, "
            f"{worst.case.switches}, {worst.case.size} B, {worst.error:+d} cycles"
        )


def _cells(item: Comparison) -> list[str]:
    return [
        item.case.config.name,
        item.case.what,
        item.case.switches,
        str(item.case.size),
        str(item.rtl.cycles),
        str(item.simulated),
        f"{item.error:+d}",
        f"{100 * item.error / item.rtl.cycles:+.2f}",
        f"{item.bound:.0f}",
        "" if item.holds else "FAIL",
    ]
