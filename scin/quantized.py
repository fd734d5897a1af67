"""Quantized collectives: FP16 tensors in, FP16 tensors out, eight or four bits on the wire."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from hw.formats import FORMATS
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


def is_quantized(data_type: DataType) -> bool:
    return data_type not in FORMATS


def padded_elements(config: Config, operation: str, data_type: DataType, count: int) -> int:
    """``count`` elements per endpoint, filled up to whole blocks."""
    block = golden_format(config, data_type).layout.block
    unit = block * (config.system.endpoints if operation == "reducescatter" else 1)
    return -(-count // unit) * unit


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
    """Quantize, run, dequantize. Tensors are filled up with zeros to whole blocks."""
    config = runner.config
    golden = golden_format(config, data_type)
    endpoints = config.system.endpoints
    pieces = endpoints if operation == "reducescatter" else 1
    exponent = tensor_exponent(golden, tensors)
    blocks = [to_blocks(golden, tensor, multiple=pieces) for tensor in tensors]
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
    count = tensors[0].size
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
            mine = exact if pieces == 1 else np.split(exact, pieces)[rank]
            expected.append(mine)
            found.append(values)
        with np.errstate(over="ignore"):
            outputs.append((values[:count] if pieces == 1 else values).astype(np.float16))
    outcome.measurement.error = asdict(error(np.concatenate(expected), np.concatenate(found)))
    return QuantizedOutcome(outcome.measurement, outputs)
