"""What takes long, told on stderr: with a running clock on a terminal, in one line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from scin.report.terminal import Console

Report = Callable[[str], None]
"""Called with what is going on; a :class:`Stages` also shows for how long."""


class Stages:
    """Tells stages of a command as they come. ``quiet``: tells nothing."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def __call__(self, text: str) -> None:
        if not self._quiet:
            print(text, file=sys.stderr, flush=True)

    @contextmanager
    def running(self, text: str) -> Iterator[None]:
        """Around the stage ``text``."""
        if self._quiet:
            yield
            return
        console, start = Console(stderr=True), time.monotonic()
        if console.is_terminal:
            text_column = TextColumn("{task.description}", markup=False)
            columns = (SpinnerColumn(), text_column, TimeElapsedColumn())
            with Progress(*columns, console=console, transient=True) as progress:
                progress.add_task(text, total=None)
                yield
            print(f"{text}: {elapsed(start)}", file=sys.stderr, flush=True)
            return
        print(f"{text}: ", end="", file=sys.stderr, flush=True)
        try:
            yield
        except BaseException:
            print(file=sys.stderr, flush=True)
            raise
        print(elapsed(start), file=sys.stderr, flush=True)


def elapsed(start: float) -> str:
    """Since a moment of ``time.monotonic``."""
    return f"{time.monotonic() - start:.1f} s"


def stage(report: Report, text: str) -> AbstractContextManager[None]:
    """Around a stage, told to ``report``; with the time that it takes if that can show it."""
    if isinstance(report, Stages):
        return report.running(text)
    report(text)
    return nullcontext()
