"""Time of an All-Reduce by any algorithm, in the simulator or in closed form."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hw.formats.data_type import DataType
from hw.spec.config import Config
from models.baselines.algorithms import ALGORITHMS as BASELINES
from models.baselines.fabric import Fabric
from models.baselines.parameters import Parameters
from models.formats.registry import golden_format
from models.quantized_allreduce import fixed_exponent
from models.simulator.collective import allreduce, wire_bytes

SCIN, SCIN_INQ = "scin", "scin-inq"
ELEMENT_BYTES = 2
ALGORITHMS = (SCIN, SCIN_INQ, *BASELINES)


@dataclass(frozen=True)
class Prediction:
    """``size``: bytes of 16-bit elements per accelerator."""

    algorithm: str
    size: int
    seconds: float
    accelerators: int
    agreement_cycles: float = 0.0
    """Part of ``seconds``: before a quantized All-Reduce, the one of a single value by which
    all ranks agree on an exponent."""

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
    tensor_type: DataType = DataType.FP16,
) -> Prediction:
    """``wire``: what ``scin-inq`` quantizes tensors of ``tensor_type`` to. Synchronisation
    included."""
    endpoints = config.system.endpoints
    if algorithm in BASELINES:
        seconds = BASELINES[algorithm](Fabric.of(config), parameters, size)
        return Prediction(algorithm, size, seconds, endpoints)
    if algorithm == SCIN:
        return Prediction(algorithm, size, allreduce(config, size).seconds(config), endpoints)
    duration = allreduce(config, wire_bytes(config, size, wire), wire)
    agreement = agreement_cycles(config, wire, tensor_type)
    total = replace(duration, cycles=duration.cycles + agreement)
    return Prediction(algorithm, size, total.seconds(config), endpoints, agreement)


def agreement_cycles(config: Config, wire: DataType, tensor_type: DataType) -> float:
    """Of the All-Reduce of one value per rank before a quantized one, where it needs one."""
    golden = golden_format(config, wire)
    if fixed_exponent(golden, tensor_type, config.system.endpoints) is not None:
        return 0.0
    # One switch is enough for one value; the planes do the same, so each may carry one.
    return allreduce(config, ELEMENT_BYTES * config.system.switches).cycles
