"""``make mutate``: do the tests notice small mistakes in ``hw/``?

Every mutant gets a copy of the project of its own, and the tests that ``targets.toml`` names for
its file. A mutant survives if all of them pass.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from cocotb_tests.mutation.mutants import Mutant, choose, mutants

REPOSITORY = Path(__file__).resolve().parents[2]
TARGETS = Path(__file__).with_name("targets.toml")
PARTS = ("hw", "models", "scin", "fpga", "cocotb_tests", "configs", "rtl", "docs")
SLOWER = 4
"""A mutant hangs if its tests take that many times what they take as the file is."""
LEAST_LIMIT_SECONDS = 300
REACHED = 0.95
"""Share of mutants that must be noticed."""


@dataclass(frozen=True)
class Target:
    file: str
    count: int
    tests: list[str]
    equivalent: dict[str, str]


@dataclass(frozen=True)
class Verdict:
    mutant: Mutant
    noticed: bool
    by: str
    seconds: float


def targets() -> list[Target]:
    tree = tomllib.loads(TARGETS.read_text())
    return [
        Target(item["file"], item["mutants"], item["tests"], item.get("equivalent", {}))
        for item in tree["target"]
    ]


def chosen(target: Target, seed: int) -> list[Mutant]:
    candidates = mutants(target.file, (REPOSITORY / target.file).read_text())
    unknown = set(target.equivalent) - {f"{m.before} -> {m.after}" for m in candidates}
    if unknown:
        raise click.ClickException(f"{target.file}: no such mutant: {', '.join(sorted(unknown))}")
    worth = [m for m in candidates if f"{m.before} -> {m.after}" not in target.equivalent]
    return choose(worth, target.count, seed)


running: set[subprocess.Popen[str]] = set()
"""Tests under way, each a session of its own, so that its simulators end with it."""


def end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def judge(mutant: Mutant, tests: list[str], cache: Path, limit: float | None = None) -> Verdict:
    """What is built, for this mutant or for another one that leaves it as it is, stays in
    ``cache``, where its name says what it was made of. ``limit`` in seconds."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name)
        for part in PARTS:
            ignore = shutil.ignore_patterns("__pycache__", "generated")
            shutil.copytree(REPOSITORY / part, folder / part, ignore=ignore)
        shutil.copy(REPOSITORY / "pyproject.toml", folder)
        (folder / mutant.file).write_text(mutant.source)
        environment = dict(os.environ) | {"PYTHONPATH": name, "PYTHONDONTWRITEBYTECODE": "1"}
        environment["SCIN_CACHE"] = str(cache)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not slow", *tests]
        command += ["-p", "no:cacheprovider", "--no-header"]
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        running.add(process)
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            return Verdict(mutant, True, "hangs", time.monotonic() - start)
        finally:
            end(process)
            process.wait()
            running.discard(process)
    failed = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if process.returncode not in (0, 1):
        raise RuntimeError(f"{mutant.name}: pytest ended with {process.returncode}:\n{output}")
    by = failed[0].split(" - ")[0].removeprefix("FAILED ") if failed else ""
    return Verdict(mutant, process.returncode == 1, by, time.monotonic() - start)


def sound(target: Target) -> Mutant:
    """No mutant: the file as it is, which the tests must pass."""
    source = (REPOSITORY / target.file).read_text()
    return Mutant(target.file, 0, "as it is", "as it is", source)


@click.command()
@click.option("--seed", default=1, show_default=True, help="Which mutants are chosen.")
@click.option("--only", metavar="FILE", multiple=True, help="Of one file of hw/; repeatable.")
@click.option("--list", "listing", is_flag=True, help="Name the mutants, run nothing.")
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, help="Side by side.")
def main(seed: int, only: tuple[str, ...], listing: bool, jobs: int) -> None:
    """Make mutants of hw/, run the tests on each, list those that survive."""
    known = targets()
    for file in only:
        if file not in {target.file for target in known}:
            files = ", ".join(target.file for target in known)
            raise click.BadParameter(f"{file}: must be one of {files}", param_hint="--only")
    wanted = [target for target in known if not only or target.file in only]
    console = Console(width=140, highlight=False, markup=False)
    work = [(mutant, target.tests) for target in wanted for mutant in chosen(target, seed)]
    if listing:
        for mutant, _ in work:
            console.print(f"{mutant.file}:{mutant.line}: {mutant.before} -> {mutant.after}")
        return
    with tempfile.TemporaryDirectory(prefix="mutants-") as cache, ThreadPoolExecutor(jobs) as pool:
        try:
            verdicts = judge_all(console, pool, wanted, work, Path(cache))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(running):
                end(process)
            raise
    _report(console, wanted, verdicts)
    share = sum(verdict.noticed for verdict in verdicts) / len(verdicts)
    if share < REACHED:
        sys.exit(1)


def judge_all(
    console: Console,
    pool: ThreadPoolExecutor,
    wanted: list[Target],
    work: list[tuple[Mutant, list[str]]],
    cache: Path,
) -> list[Verdict]:
    """First that the tests pass without a mutant, then every mutant."""
    # Files share tests; those pass or fail once.
    as_is = {tuple(target.tests): target for target in wanted}
    limits = {}
    sounds = pool.map(lambda target: judge(sound(target), target.tests, cache), as_is.values())
    for number, ((tests, target), verdict) in enumerate(zip(as_is.items(), sounds, strict=True), 1):
        if verdict.noticed:
            raise click.ClickException(f"{target.file}: fails without a mutant: {verdict.by}")
        place = f"{number}/{len(as_is)} passes as it is: {target.file}"
        _say(console, f"{place} ({verdict.seconds:.0f} s)")
        limits[tests] = max(LEAST_LIMIT_SECONDS, SLOWER * verdict.seconds)
    verdicts = []
    futures = [
        pool.submit(judge, mutant, tests, cache, limits[tuple(tests)]) for mutant, tests in work
    ]
    for number, done in enumerate(as_completed(futures), 1):
        verdict = done.result()
        verdicts.append(verdict)
        said = "noticed" if verdict.noticed else "SURVIVES"
        place = f"{verdict.mutant.file}:{verdict.mutant.line}"
        _say(console, f"{number}/{len(work)} {said} {place} ({verdict.seconds:.0f} s)")
    return verdicts


def _say(console: Console, line: str) -> None:
    """At once, into a pipe too."""
    console.print(line)
    console.file.flush()


def _report(console: Console, wanted: list[Target], verdicts: list[Verdict]) -> None:
    table = Table("file", "mutants", "noticed", "equivalent")
    for target in wanted:
        here = [v for v in verdicts if v.mutant.file == target.file]
        noticed = sum(v.noticed for v in here)
        table.add_row(target.file, str(len(here)), str(noticed), str(len(target.equivalent)))
    console.print(table)
    for verdict in verdicts:
        if not verdict.noticed:
            mutant = verdict.mutant
            console.print(f"survives: {mutant.file}:{mutant.line}: {mutant.before}")
            console.print(f"       -> {mutant.after}")
    noticed = sum(verdict.noticed for verdict in verdicts)
    console.print(f"{noticed} of {len(verdicts)} mutants noticed ({noticed / len(verdicts):.1%})")


if __name__ == "__main__":
    main()
