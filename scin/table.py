"""Tables as nccl-tests prints them, and progress on the terminal."""

from __future__ import annotations

import time

from rich.console import Console

from scin.runner import Measurement
from scin.simulator import Simulator

COLUMNS = (
    "size",
    "count",
    "type",
    "redop",
    "time(us)",
    "algbw",
    "busbw",
    "#wrong",
    "cycles",
    "util",
)
WIDTHS = (12, 11, 6, 6, 11, 9, 9, 7, 10, 8)


class Table:
    """Prints a line per measurement as it comes. ``error`` keeps stdout free for JSON."""

    def __init__(self, *, quiet: bool, error: bool) -> None:
        self._quiet = quiet
        self._console = Console(stderr=error, highlight=False, soft_wrap=True)

    def line(self, text: str) -> None:
        if not self._quiet:
            self._console.print(text, markup=False)

    def head(self, title: str) -> None:
        self.line(f"# {title}")
        self._row(COLUMNS, prefix="#")
        self._row(("(B)", "(elements)", "", "", "", "(GB/s)", "(GB/s)", "", "", ""), prefix="#")

    def measurement(self, item: Measurement) -> None:
        self._row(
            (
                str(item.size_bytes),
                str(item.count),
                item.dtype,
                item.redop or "none",
                f"{item.time_s * 1e6:.3f}",
                f"{item.algbw_GBps:.3f}",
                f"{item.busbw_GBps:.3f}",
                str(item.wrong),
                str(item.cycles),
                f"{item.util:.2%}",
            )
        )
        if item.error is not None:
            self.line(
                f"# {item.wire}: {item.payload_flits_sent} payload flits from each endpoint, "
                f"{item.payload_flits_received} to it; against the exact sum: largest error "
                f"{item.error['maximum']:.4g}, rms {item.error['rms']:.4g}, "
                f"SQNR {item.error['sqnr_db']:.2f} dB"
            )
        if item.status != "OK":
            self.line(f"# status {item.status}")

    def _row(self, cells, prefix: str = " ") -> None:
        self.line(
            prefix + "".join(cell.rjust(width) for cell, width in zip(cells, WIDTHS, strict=True))
        )


class Spinner:
    """Shows how far a long simulation is; on stderr, and only on a terminal."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(stderr=True)
        self._quiet = quiet or not self._console.is_terminal
        self._status = self._console.status("")
        self._simulator: Simulator | None = None
        self._start = (0, 0.0)
        self._label = ""

    def watch(self, simulator: Simulator, label: str) -> None:
        self._simulator, self._label = simulator, label
        self._start = (simulator.cycle, time.monotonic())

    def __call__(self) -> None:
        if self._quiet or self._simulator is None:
            return
        cycles = self._simulator.cycle - self._start[0]
        rate = cycles / max(time.monotonic() - self._start[1], 1e-9)
        self._status.update(f"{self._label}: {cycles:,} cycles, {rate:,.0f} cycles/s")
        self._status.start()

    def stop(self) -> None:
        self._status.stop()
