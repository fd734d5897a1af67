"""Quantized collectives: FP16 tensors in, FP16 tensors out, eight or four bits on the wire."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from hw.formats.data_type import DataType
from hw.spec.config import Config
from hw.spec.instruction import ReduceOp
from models.formats.packing import pack_elements, pack_scales, unpack_elements, unpack_scales
from models.formats.registry import golden_format
from models.quantized_allreduce import error, quantize_ranks, tensor_exponent, to_blocks
from scin.runner import CollectiveRunner, Measurement

OPERATIONS = ("allreduce", "reduce", "reducescatter")
"""Collectives that add; the others copy bytes and have no use for scales."""


@dataclass
class QuantizedOutcome:
    measurement: Measurement
    outputs: list[np.ndarray]
    """Per endpoint, the dequantized result in float16; empty where it gets none."""


def padded_elements(config: Config, operation: str, data_type: DataType, count: int) -> int:
    """``count`` elements per endpoint, every shard filled up to whole blocks."""
    block = golden_format(config, data_type).layout.block
    shards = _shards(config, operation)
    return -(-count // shards // block) * block * shards


def _shards(config: Config, operation: str) -> int:
    return config.system.endpoints if operation == "reducescatter" else 1


def element_bytes(config: Config, operation: str, data_type: DataType, count: int) -> int:
    """Bytes of the elements of ``count`` numbers per endpoint."""
    bits = golden_format(config, data_type).layout.element.bits
    return padded_elements(config, operation, data_type, count) * bits // 8


def run_quantized(
    runner: CollectiveRunner,
    operation: str,
    tensors: list[np.ndarray],
    data_type: DataType,
    *,
    synchronise: bool = True,
    seed: int | None = None,
) -> QuantizedOutcome:
    """Quantize, run, dequantize. Tensors, or the shards of a reduce-scatter, are filled up
    with zeros to whole blocks."""
    config = runner.config
    golden = golden_format(config, data_type)
    shards = _shards(config, operation)
    exponent = tensor_exponent(golden, tensors)
    blocks = [
        np.concatenate([to_blocks(golden, shard) for shard in np.split(tensor.ravel(), shards)])
        for tensor in tensors
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
    exact = np.sum(blocks, axis=0).ravel()
    count = tensors[0].size // shards
    outputs, expected, found = [], [], []
    for rank, (raw, raw_scales) in enumerate(zip(outcome.outputs, outcome.scales, strict=True)):
        values = np.empty(0)
        if raw.size:
            values = np.ldexp(
                golden.dequantize(
                    unpack_elements(golden.layout, raw), unpack_scales(golden.layout, raw_scales)
                ),
                exponent,
            ).ravel()
            expected.append(np.split(exact, shards)[rank if shards > 1 else 0][:count])
            found.append(values[:count])
        with np.errstate(over="ignore"):
            outputs.append(values[:count].astype(np.float16))
    outcome.measurement.error = asdict(error(np.concatenate(expected), np.concatenate(found)))
    return QuantizedOutcome(outcome.measurement, outputs)
