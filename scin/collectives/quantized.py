"""Quantized collectives: FP16 or BF16 tensors in, the same out, eight or four bits on the wire."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from hw.spec.config import Config
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from hw.spec.status import Status
from models.accuracy.quantized_allreduce import (
    error,
    exponent_within_reach,
    fixed_exponent,
    quantize_ranks,
    to_blocks,
)
from models.collective import collective
from models.formats.packing import pack_elements, pack_scales, unpack_elements, unpack_scales
from models.formats.registry import golden_format
from models.formats.tensor_values import finite_maximum, nearest_bits, values_of
from models.wire import busiest_link_bytes
from scin.collectives.runner import Runner
from scin.report.measurement import Measurement
from scin.report.predicted import wire_format

TENSOR_TYPES = (DataType.FP16, DataType.BF16)
"""What can be quantized, and comes out."""


@dataclass
class QuantizedOutcome:
    measurement: Measurement
    outputs: list[np.ndarray]
    """Per endpoint, the dequantized result as uint16 bit patterns; empty where it gets none."""


def padded_elements(config: Config, operation: str, data_type: DataType, count: int) -> int:
    """``count`` elements per endpoint, every shard filled up to whole blocks."""
    block = golden_format(config, data_type).layout.block
    shards = _shards(config, operation)
    return -(-count // shards // block) * block * shards


def _shards(config: Config, operation: str) -> int:
    return collective(operation).shards(config.system.endpoints)


def element_bytes(config: Config, operation: str, data_type: DataType, count: int) -> int:
    """Bytes of the elements of ``count`` numbers per endpoint."""
    bits = golden_format(config, data_type).layout.element.bits
    return padded_elements(config, operation, data_type, count) * bits // 8


def run_quantized(
    runner: Runner,
    operation: str,
    tensors: list[np.ndarray],
    data_type: DataType,
    *,
    tensor_type: DataType = DataType.FP16,
    synchronise: bool = True,
    seed: int | None = None,
) -> QuantizedOutcome:
    """Quantize, run, dequantize.

    ``tensors`` are uint16 bit patterns of ``tensor_type``, FP16 or BF16. Tensors, or the shards
    of a reduce-scatter, are filled up with zeros to whole blocks. Where the ranks must agree on
    an exponent first, the maximum of one value per rank is reduced by the switch beforehand,
    and the time of that counts. Type, size and count of the measurement are those of the tensors;
    ``wire_format`` and ``wire_bytes`` say what crossed the fabric.
    """
    config = runner.config
    golden = golden_format(config, data_type)
    shards = _shards(config, operation)
    exponent = fixed_exponent(golden, tensor_type, len(tensors))
    agreement = None
    if exponent is None:
        agreement, maximum = _agree(runner, tensors, tensor_type, synchronise, seed)
        if agreement.status != Status.OK.name:
            sent = wire_format(config, data_type)
            return _failed_before(operation, tensors, sent, agreement)
        exponent = exponent_within_reach(golden, maximum, len(tensors))
    values = [values_of(tensor, tensor_type) for tensor in tensors]
    blocks = [
        np.concatenate([to_blocks(golden, shard) for shard in np.split(tensor, shards)])
        for tensor in values
    ]
    elements, scales = quantize_ranks(golden, blocks, exponent)
    outcome = runner.run(
        operation,
        [pack_elements(golden.layout, part) for part in elements],
        data_type,
        ReduceOp.SUM,
        synchronise=synchronise,
        seed=seed,
        scales=[pack_scales(golden.layout, part) for part in scales],
    )
    with np.errstate(invalid="ignore"):
        exact = np.split(np.sum(values, axis=0), shards)
    count = tensors[0].size // shards
    outputs, expected = [], []
    for rank, (raw, raw_scales) in enumerate(zip(outcome.outputs, outcome.scales, strict=True)):
        if not raw.size:
            outputs.append(np.empty(0, np.uint16))
            continue
        result = golden.dequantize(
            unpack_elements(golden.layout, raw), unpack_scales(golden.layout, raw_scales)
        )
        outputs.append(nearest_bits(np.ldexp(result, exponent).ravel()[:count], tensor_type))
        expected.append(exact[rank if shards > 1 else 0])
    found = values_of(np.concatenate(outputs), tensor_type)
    size = tensors[0].nbytes
    measurement = replace(
        outcome.measurement,
        dtype=tensor_type.name.lower(),
        size_bytes=size,
        count=tensors[0].size,
        wire_bytes=busiest_link_bytes(
            operation, "scin-inq", config.system.endpoints, size, entry=golden.layout
        ),
        agreement_cycles=0,
        error=asdict(error(np.concatenate(expected), found)),
    )
    if agreement is not None:
        measurement = _with_agreement(measurement, agreement)
    return QuantizedOutcome(measurement, outputs)


def _failed_before(
    operation: str, tensors: list[np.ndarray], sent: str, agreement: Measurement
) -> QuantizedOutcome:
    """The collective that was asked for did not run, because the agreement failed."""
    measurement = replace(
        agreement,
        op=operation,
        algo="scin-inq",
        redop=ReduceOp.SUM.name.lower(),
        size_bytes=tensors[0].nbytes,
        count=tensors[0].size,
        wire_format=sent,
        wire_bytes=None,
        wrong=None,
    )
    return QuantizedOutcome(measurement, [np.empty(0, np.uint16) for _ in tensors])


def _agree(
    runner: Runner,
    tensors: list[np.ndarray],
    tensor_type: DataType,
    synchronise: bool,
    seed: int | None,
) -> tuple[Measurement, float]:
    """The largest finite magnitude in any rank's tensor, by an All-Reduce of one value."""
    maxima = [np.array([finite_maximum(part, tensor_type)], np.uint16) for part in tensors]
    outcome = runner.run(
        "allreduce", maxima, tensor_type, ReduceOp.MAX, synchronise=synchronise, seed=seed
    )
    agreed = outcome.outputs[0].view(np.uint16)
    return outcome.measurement, float(values_of(agreed, tensor_type)[0])


def _with_agreement(measurement: Measurement, agreement: Measurement) -> Measurement:
    """``measurement`` with the All-Reduce before it: cycles, bytes, flits, records and errors of
    both."""

    def both(name: str) -> Any:
        first, second = getattr(agreement, name), getattr(measurement, name)
        return None if first is None or second is None else first + second

    return replace(
        measurement,
        cycles=both("cycles"),
        agreement_cycles=agreement.cycles,
        time_s=both("time_s"),
        wire_bytes=both("wire_bytes"),
        wrong=both("wrong"),
        counters=agreement.counters + measurement.counters,
        payload_flits_sent=both("payload_flits_sent"),
        payload_flits_received=both("payload_flits_received"),
    )
