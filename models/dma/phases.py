"""Where the time of a DMA operation goes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phases:
    """Seconds of the engine that was the last to finish. ``control``: until its doorbell, or
    the release of what was launched ahead; ``schedule``: until its first read; ``copy``: until
    its last write was acknowledged; ``sync``: until the host has seen its signal."""

    control: float
    schedule: float
    copy: float
    sync: float

    @property
    def total(self) -> float:
        return self.control + self.schedule + self.copy + self.sync

    @property
    def non_copy_share(self) -> float:
        return 1 - self.copy / self.total

    def as_tuple(self) -> tuple[float, float, float, float]:
        return (self.control, self.schedule, self.copy, self.sync)
