"""What is reported of a DMA operation, measured or predicted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from models.dma.phases import Phases
from scin.report.record import Result


@dataclass(kw_only=True)
class DmaMeasurement(Result):
    """One DMA collective."""

    op: str
    size_bytes: int
    algo: str | None = "dma"
    sync_included: bool | None = True
    variant: str
    prelaunch: bool
    platform: str
    phases: Phases | None
    """None of what failed."""
    speedup_vs_pcpy: float | None = None
    injected_flits: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.failed:
            self.phases = self.speedup_vs_pcpy = None

    def as_dict(self, **more: Any) -> dict[str, Any]:
        record = super().as_dict(**more)
        phases = record.pop("phases")
        parts = None if phases is None else dict(zip(PHASES, phases.as_tuple(), strict=True))
        return record | {"phases_s": parts}


PHASES = ("control", "schedule", "copy", "sync")
"""In the order of :meth:`models.dma.phases.Phases.as_tuple`."""
