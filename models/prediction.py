"""Time of an All-Reduce by any algorithm, in the simulator or in closed form."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hw.spec.config import Config
from hw.spec.formats import block_format
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from models.accuracy.quantized_allreduce import fixed_exponent
from models.baselines.algorithms import BASELINES
from models.baselines.fabric import Fabric
from models.baselines.parameters import Parameters
from models.formats.registry import golden_format
from models.simulator.collective import allreduce, wire_bytes
from models.wire import bus_factor, busiest_link_bytes

SCIN, SCIN_INQ = "scin", "scin-inq"
ELEMENT_BYTES = 2


def known_algorithms() -> tuple[str, ...]:
    """Names of those that can be predicted."""
    return SCIN, SCIN_INQ, *BASELINES


@dataclass(frozen=True)
class Prediction:
    """``size``: bytes of 16-bit elements per accelerator. ``wire_bytes``: what of them and of
    their scales, or of copies of them, the busiest link carries; ``wire``: the format in which.
    ``cycles``: of the simulated accelerator; None of a closed form."""

    algorithm: str
    size: int
    seconds: float
    accelerators: int
    wire_bytes: int
    wire: DataType
    cycles: int | None = None
    agreement_cycles: float = 0.0
    """Part of ``seconds``: before a quantized All-Reduce, the one of a single value by which
    all ranks agree on an exponent."""

    @property
    def algbw(self) -> float:
        """Bytes per second."""
        return self.size / self.seconds

    @property
    def busbw(self) -> float:
        return self.algbw * bus_factor("allreduce", self.accelerators)


def predict(
    config: Config,
    algorithm: str,
    size: int,
    parameters: Parameters,
    wire: DataType = DataType.INT8,
    tensor_type: DataType = DataType.FP16,
    reduce_op: ReduceOp = ReduceOp.SUM,
) -> Prediction:
    """``wire``: what ``scin-inq`` quantizes tensors of ``tensor_type`` to; ``reduce_op``: what
    the switch does with them. Synchronisation included, software as far as ``parameters`` count
    it; ``cycles`` are the hardware's alone."""
    endpoints = config.system.endpoints
    if algorithm in BASELINES:
        fabric = Fabric.of(config)
        baseline = BASELINES[algorithm]
        seconds = baseline.seconds(fabric, parameters, size)
        moved = baseline.link_bytes(fabric, parameters, size)
        return Prediction(algorithm, size, seconds, endpoints, moved, tensor_type)
    agreement, entry, data_type = 0.0, None, tensor_type
    if algorithm == SCIN_INQ:
        data_type, entry = wire, block_format(config, wire)
        agreement = agreement_cycles(config, wire, tensor_type)
    length = wire_bytes(config, size, data_type)
    duration = allreduce(config, length, data_type, reduce_op=reduce_op)
    total = replace(duration, cycles=duration.cycles + agreement)
    moved = busiest_link_bytes("allreduce", algorithm, endpoints, size, entry=entry)
    calls = 1
    if agreement:
        calls = 2
        moved += busiest_link_bytes("allreduce", SCIN, endpoints, ELEMENT_BYTES)
    return Prediction(
        algorithm,
        size,
        total.seconds(config) + calls * parameters.scin_software,
        endpoints,
        moved,
        data_type,
        round(total.cycles),
        agreement,
    )


def agreement_cycles(config: Config, wire: DataType, tensor_type: DataType) -> float:
    """Of the All-Reduce of one value per rank before a quantized one, where it needs one."""
    golden = golden_format(config, wire)
    if fixed_exponent(golden, tensor_type, config.system.endpoints) is not None:
        return 0.0
    # One switch is enough for one value; the planes do the same, so each may carry one.
    return allreduce(config, ELEMENT_BYTES * config.system.switches).cycles
