"""Tables of DMA measurements and predictions."""

from __future__ import annotations

from scin.report.dma_measurement import PHASES, DmaMeasurement
from scin.report.record import shown
from scin.report.table import Column, TextTable

COLUMNS: tuple[Column, ...] = (
    ("size", "(B)", 10),
    ("variant", "", 9),
    ("time(us)", "", 12),
    ("algbw", "(GB/s)", 9),
    ("busbw", "(GB/s)", 9),
    ("wire", "(GB/s)", 9),
    ("#wrong", "", 7),
    ("cycles", "", 9),
    ("util", "", 8),
    ("control", "(us)", 9),
    ("schedule", "(us)", 9),
    ("copy", "(us)", 11),
    ("sync", "(us)", 9),
    ("non-copy", "", 9),
    ("vs pcpy", "", 8),
)


class DmaTable(TextTable):
    """DMA collectives, with the phases of each."""

    def __init__(self, *, quiet: bool, error: bool) -> None:
        super().__init__(COLUMNS, quiet=quiet, error=error)

    def measurement(self, item: DmaMeasurement) -> None:
        phases = item.phases
        parts = [None] * len(PHASES) if phases is None else phases.as_tuple()
        share = None if phases is None else phases.non_copy_share
        self.row(
            [
                str(item.size_bytes),
                item.variant + ("_pl" if item.prelaunch else ""),
                shown(item.microseconds, ".3f"),
                *(shown(v, ".3f") for v in (item.algbw_GBps, item.busbw_GBps, item.wire_GBps)),
                shown(item.wrong),
                shown(item.cycles),
                shown(item.util, ".2%"),
                *(shown(None if value is None else 1e6 * value, ".3f") for value in parts),
                shown(share, ".1%"),
                shown(item.speedup_vs_pcpy, ".2f"),
            ]
        )
        if item.status != "OK":
            self.line(f"# status {item.status}")
