"""The simulator's inner loops, compiled before their first use."""

from __future__ import annotations

from collections.abc import Iterable

from hw.spec.config import load
from models.prediction import SCIN, SCIN_INQ
from models.simulator.compiled import CACHE
from models.simulator.simulation import simulate
from models.simulator.work import Instruction
from scin.report.progress import Report, stage

SMALL = 256
"""Bytes of an All-Reduce that takes no time."""


def compile_simulator(report: Report, algorithms: Iterable[str] = (SCIN,)) -> None:
    """Tell of it, for it takes a while, unless it was done before, or none of ``algorithms`` is
    simulated."""
    if not {SCIN, SCIN_INQ} & set(algorithms):
        return
    if CACHE is None or not any(CACHE.rglob("*.nbi")):
        with stage(report, "compiling the simulator"):
            simulate(load("tiny"), [Instruction(SMALL)])
