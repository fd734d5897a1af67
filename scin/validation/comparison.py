"""A case on RTL beside the same case in the simulator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hw.spec.formats import is_block_scaled
from models.prediction import SCIN, SCIN_INQ
from models.simulator.simulation import simulate
from scin.report.record import Result
from scin.validation.cases import Case
from scin.validation.rtl import Observation

RELATIVE_BOUND = 0.02
CYCLES_BOUND = 8


@dataclass(frozen=True)
class Comparison:
    case: Case
    rtl: Observation
    simulated: int

    @property
    def error(self) -> int:
        return self.simulated - self.rtl.cycles

    @property
    def bound(self) -> float:
        return max(CYCLES_BOUND, RELATIVE_BOUND * self.rtl.cycles)

    @property
    def holds(self) -> bool:
        return abs(self.error) <= self.bound and self.rtl.status == 0

    def as_dict(self) -> dict[str, Any]:
        config = self.case.config
        quantized = is_block_scaled(self.case.instructions[0].data_type)
        return Result(
            op="allreduce",
            algo=SCIN_INQ if quantized else SCIN,
            backend="rtl",
            dtype="fp16",
            redop="sum",
            endpoints=config.system.endpoints,
            size_bytes=self.case.size,
            cycles=self.rtl.cycles,
            time_s=self.rtl.cycles / (config.isa.clock_MHz * 1e6),
            status=self.rtl.status.name,
            sync_included=self.case.synchronised,
        ).as_dict(
            config=config.name,
            case=self.case.what,
            improvements=self.case.switches,
            simulated_cycles=self.simulated,
            error_cycles=self.error,
            bound_cycles=self.bound,
            holds=self.holds,
        )


def predict(case: Case, observation: Observation) -> int:
    """Cycles by the simulator, which is told when the driver let everything start."""
    outcome = simulate(
        case.config,
        [
            replace(item, start=start)
            for item, start in zip(case.instructions, observation.starts, strict=True)
        ],
        [
            replace(item, start=start)
            for item, start in zip(case.traffic, observation.traffic_starts, strict=True)
        ],
        since_reset=observation.since_reset,
        arrivals=observation.arrivals,
    )
    return outcome.visible if case.synchronised else outcome.unsynchronised
