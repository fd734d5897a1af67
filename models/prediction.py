"""Time of an All-Reduce by any algorithm, in the simulator or in closed form."""

from __future__ import annotations

from dataclasses import dataclass

from hw.formats.data_type import DataType
from hw.spec.config import Config
from models.baselines.algorithms import ALGORITHMS as BASELINES
from models.baselines.fabric import Fabric
from models.baselines.parameters import Parameters
from models.simulator.collective import allreduce, wire_bytes

SCIN, SCIN_INQ = "scin", "scin-inq"
ALGORITHMS = (SCIN, SCIN_INQ, *BASELINES)


@dataclass(frozen=True)
class Prediction:
    """``size``: bytes of 16-bit elements per accelerator."""

    algorithm: str
    size: int
    seconds: float
    accelerators: int

    @property
    def algbw(self) -> float:
        """Bytes per second."""
        return self.size / self.seconds

    @property
    def busbw(self) -> float:
        return self.algbw * 2 * (self.accelerators - 1) / self.accelerators


def predict(
    config: Config,
    algorithm: str,
    size: int,
    parameters: Parameters,
    wire: DataType = DataType.INT8,
) -> Prediction:
    """``wire``: what ``scin-inq`` quantizes to. Synchronisation included."""
    if algorithm in BASELINES:
        seconds = BASELINES[algorithm](Fabric.of(config), parameters, size)
    else:
        data_type = wire if algorithm == SCIN_INQ else DataType.FP16
        duration = allreduce(config, wire_bytes(config, size, data_type), data_type)
        seconds = duration.seconds(config)
    return Prediction(algorithm, size, seconds, config.system.endpoints)
