"""What takes long, told on stderr: with a running clock on a terminal, in one line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from scin.report.terminal import Console

Report = Callable[[str], None]
"""Called with what is going on; a :class:`Stages` also shows for how long."""

Advance = Callable[[int], None]
"""Called with how many more steps of a stage are done."""


class ProgressLine(Progress):
    """What is going on and for how long, in a line that goes when it ends; only on a terminal.

    ``share``: also how much of it is done, and how long the rest will take.
    """

    def __init__(self, *, quiet: bool = False, share: bool = False) -> None:
        columns: list[ProgressColumn] = [
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            *([BarColumn(), TaskProgressColumn()] if share else []),
            TimeElapsedColumn(),
            TextColumn("elapsed"),
            *([TimeRemainingColumn(), TextColumn("left")] if share else []),
        ]
        console = Console(stderr=True)
        hidden = quiet or not console.is_interactive
        super().__init__(*columns, console=console, transient=True, disable=hidden)

    def stop(self) -> None:
        # Older releases of rich end a line that was never begun.
        if not self.disable:
            super().stop()


class Stages:
    """Tells stages of a command as they come. ``quiet``: tells nothing."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def __call__(self, text: str) -> None:
        if not self._quiet:
            print(text, file=sys.stderr, flush=True)

    @contextmanager
    def running(self, text: str, steps: int | None = None) -> Iterator[Advance]:
        """Around the stage ``text``, which calls what it is given as its ``steps`` are done."""
        line, start = ProgressLine(quiet=self._quiet, share=steps is not None), time.monotonic()
        advance = partial(line.advance, line.add_task(text, total=steps))
        if self._quiet:
            yield advance
            return
        if not line.disable:
            with line:
                yield advance
            print(f"{text}: {elapsed(start)}", file=sys.stderr, flush=True)
            return
        print(f"{text}: ", end="", file=sys.stderr, flush=True)
        try:
            yield advance
        except BaseException:
            print(file=sys.stderr, flush=True)
            raise
        print(elapsed(start), file=sys.stderr, flush=True)


def elapsed(start: float) -> str:
    """Since a moment of ``time.monotonic``."""
    return f"{time.monotonic() - start:.1f} s"


def stage(report: Report, text: str) -> AbstractContextManager[object]:
    """Around a stage, told to ``report``; with the time that it takes if that can show it."""
    if isinstance(report, Stages):
        return report.running(text)
    report(text)
    return nullcontext()
