"""Tables as nccl-tests prints them, and progress on the terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from scin.report.measurement import Measurement
from scin.report.progress import ProgressLine
from scin.report.record import CollectiveResult, shown
from scin.report.terminal import Console, check_stdout

Column = tuple[str, str, int]
"""Name, unit, width."""

COLUMNS: tuple[Column, ...] = (
    ("size", "(B)", 12),
    ("count", "(elements)", 11),
    ("type", "", 6),
    ("redop", "", 6),
    ("time(us)", "", 11),
    ("algbw", "(GB/s)", 9),
    ("busbw", "(GB/s)", 9),
    ("wire", "(GB/s)", 9),
    ("#wrong", "", 7),
    ("cycles", "", 10),
    ("util", "", 8),
)


class TextTable:
    """Prints a line as it comes, in columns. ``error`` keeps stdout free for JSON."""

    def __init__(self, columns: Sequence[Column], *, quiet: bool, error: bool) -> None:
        if not (quiet or error):
            check_stdout()
        self._columns = columns
        self.quiet = quiet
        self._console = Console(stderr=error)

    def line(self, text: str) -> None:
        if not self.quiet:
            self._console.print(text)

    def head(self, title: str) -> None:
        self.line(f"# {title}")
        self.row([name for name, _, _ in self._columns], prefix="#")
        if any(unit for _, unit, _ in self._columns):
            self.row([unit for _, unit, _ in self._columns], prefix="#")

    def row(self, cells: Sequence[str], prefix: str = " ") -> None:
        widths = [width for _, _, width in self._columns]
        # A cell that is too long moves the others, but never touches its neighbour.
        first, *others = (c.rjust(w - 1) for c, w in zip(cells, widths, strict=True))
        self.line(" ".join([f"{prefix}{first}", *others]).rstrip())


class Table(TextTable):
    """Collectives, in nccl-tests' columns."""

    def __init__(self, *, quiet: bool, error: bool) -> None:
        super().__init__(COLUMNS, quiet=quiet, error=error)
        self._group: str | None = None

    def group(self, name: str, names: Sequence[str]) -> None:
        """Name the lines that follow, where there are several ``names`` and this one is new."""
        if len(names) > 1 and name != self._group:
            self.line(f"# {name}")
        self._group = name

    def measurement(self, item: CollectiveResult) -> None:
        self.row(
            (
                str(item.size_bytes),
                str(item.count),
                item.dtype or "-",
                item.redop or "none",
                shown(item.microseconds, ".3f"),
                *(shown(v, ".3f") for v in (item.algbw_GBps, item.busbw_GBps, item.wire_GBps)),
                shown(item.wrong),
                shown(item.cycles),
                shown(item.util, ".2%"),
            )
        )
        if isinstance(item, Measurement) and item.error is not None:
            self.line(
                f"# {item.wire_format}: {item.payload_flits_sent} payload flits from each "
                f"endpoint, {item.payload_flits_received} to it"
            )
            self.line(f"# error of the result against the exact sum: {_accuracy(item.error)}")
        if item.agreement_cycles:
            self.line(
                f"# {item.agreement_cycles} of the cycles: All-Reduce(max) of one value per rank, "
                "by which the ranks agree on an exponent"
            )
        if item.status != "OK":
            self.line(f"# status {item.status}")


def _accuracy(error: dict[str, float | int | None]) -> str:
    """Largest and rms error, SQNR, and how many elements these leave out."""
    nonfinite = f"{error['nonfinite']} elements infinite or NaN"
    if error["maximum"] is None:
        return f"{nonfinite}, none finite"
    ratio = error["sqnr_db"]
    found = "no noise or no signal" if ratio is None else f"SQNR {ratio:.2f} dB"
    text = f"largest {error['maximum']:.4g}, rms {error['rms']:.4g}, {found}"
    return f"{text} (finite elements; {nonfinite})" if error["nonfinite"] else text


class Clocked(Protocol):
    """What a :class:`Spinner` watches."""

    @property
    def cycle(self) -> int: ...


class Spinner:
    """Shows how far a long simulation is and for how long it has run; only on a terminal."""

    def __init__(self, *, quiet: bool) -> None:
        self._line = ProgressLine(quiet=quiet)
        self._task = self._line.add_task("", total=None)
        self._simulator: Clocked | None = None
        self._start = (0, 0.0)
        self._label = ""

    def watch(self, simulator: Clocked, label: str) -> None:
        self._simulator, self._label = simulator, label
        self._start = (simulator.cycle, time.monotonic())
        self._line.reset(self._task)

    def __call__(self) -> None:
        if self._line.disable or self._simulator is None:
            return
        cycles = self._simulator.cycle - self._start[0]
        rate = cycles / max(time.monotonic() - self._start[1], 1e-9)
        text = f"{self._label}: {cycles:,} cycles, {rate:,.0f} cycles/s"
        self._line.update(self._task, description=text)
        self._line.start()

    def stop(self) -> None:
        self._line.stop()
