"""What is reported of a DMA operation, measured or predicted."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from models.dma.phases import Phases


@dataclass(frozen=True)
class DmaMeasurement:
    """One DMA collective; the fields are those of the JSON records."""

    op: str
    variant: str
    prelaunch: bool
    backend: str
    platform: str
    endpoints: int
    size_bytes: int
    cycles: int | None
    time_s: float
    algbw_GBps: float  # noqa: N815
    busbw_GBps: float  # noqa: N815
    util: float
    wrong: int | None
    status: str
    seed: int | None
    phases: Phases
    speedup_vs_pcpy: float | None = None
    algo: str = "dma"
    dtype: str | None = None
    redop: str | None = None
    sync_included: bool = True
    injected_flits: list[int] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        record = asdict(self)
        record["phases_s"] = record.pop("phases")
        return record
