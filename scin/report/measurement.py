"""What is reported of a collective that was run."""

from __future__ import annotations

from dataclasses import dataclass, field

from scin.report.record import CollectiveResult


@dataclass(kw_only=True)
class Measurement(CollectiveResult):
    """A collective that was run; ``wrong`` counts elements."""

    counters: list[dict[str, int]] = field(default_factory=list)
    """Completion records: cycles of the accelerator's counter, in order of completion."""
    arrived: int | None = None
    visible: int | None = None
    payload_flits_sent: int | None = None
    payload_flits_received: int | None = None
    """Of the endpoint with most: flits that are no header or credit, from its counters."""
