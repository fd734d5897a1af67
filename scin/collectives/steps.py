"""Where the cycles of a small All-Reduce go: closed form beside measurement."""

from __future__ import annotations

import itertools

from hw.spec.config import Config
from models.isa.latency import steps
from scin.report.measurement import Measurement


def measured_steps(config: Config, item: Measurement) -> list[tuple[str, str, int, int]]:
    """(step, closed form, its cycles, measured cycles) of a one-wave All-Reduce."""
    record = item.counters[0]
    moments = []
    if item.arrived is not None:
        moments += [item.arrived, record["barrier_met"]]
    moments += [record["first_read"], record["last_write"]]
    if item.visible is None or not config.isa.fused_notify:
        moments.append(record["last_response"])
    if item.visible is not None:
        moments.append(item.visible)
    expected = steps(config, item.size_bytes, synchronise=item.sync_included)
    measured = [after - before for before, after in itertools.pairwise(moments)]
    return [
        (step.name, step.formula, step.cycles, cycles)
        for step, cycles in zip(expected, measured, strict=True)
    ]
