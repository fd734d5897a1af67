"""Collectives of tensors of every type: which there are, how large they are, and their run."""

from __future__ import annotations

import numpy as np

from hw.spec.config import Config
from hw.spec.formats import element_bits, is_block_scaled
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from models.collective import collective, collectives
from scin.collectives.quantized import element_bytes, run_quantized
from scin.collectives.requests import check_average
from scin.collectives.runner import Runner, check_capacity
from scin.collectives.tensors import Tensors
from scin.collectives.untyped import run_untyped
from scin.errors import InputError
from scin.report.measurement import Measurement


def run_tensors(
    runner: Runner,
    operation: str,
    inputs: list[np.ndarray],
    data_type: DataType | None,
    reduce_op: ReduceOp,
    *,
    tensor_type: DataType | None = None,
    synchronise: bool,
    seed: int | None,
) -> tuple[Measurement, list[np.ndarray]]:
    """One collective of bit patterns (for a block-scaled type those of ``tensor_type``, FP16
    if none is named) or bytes, and per endpoint the bytes of the result."""
    if data_type is None:
        return run_untyped(runner, operation, inputs, synchronise=synchronise, seed=seed)
    if is_block_scaled(data_type):
        result = run_quantized(
            runner,
            operation,
            inputs,
            data_type,
            tensor_type=DataType.FP16 if tensor_type is None else tensor_type,
            synchronise=synchronise,
            seed=seed,
        )
        return result.measurement, [output.view(np.uint8) for output in result.outputs]
    outcome = runner.run(
        operation, inputs, data_type, reduce_op, synchronise=synchronise, seed=seed
    )
    return outcome.measurement, outcome.outputs


def check_quantized(
    config: Config, operation: str, data_type: DataType, reduce_op: ReduceOp
) -> None:
    name = data_type.name.lower()
    if name not in config.isa.block_formats:
        built = ", ".join(config.isa.block_formats) or "none"
        raise InputError(f"dtype {name}: not among isa.block_formats of {config.name}: {built}")
    if collective(operation).copies:
        adding = [name for name, item in collectives().items() if not item.copies]
        raise InputError(
            f"operation {operation!r} with dtype {name}: supported are {', '.join(adding)}"
        )
    if reduce_op != ReduceOp.SUM:
        raise InputError(f"redop {reduce_op.name.lower()} with dtype {name}: must be sum")


def check_collective(
    config: Config, operation: str, data_type: DataType | None, reduce_op: ReduceOp
) -> None:
    """Raise :class:`InputError` for types and operators that this switch is built without;
    ``data_type``: None for bytes."""
    check_average(config, reduce_op)
    if data_type is not None and is_block_scaled(data_type):
        check_quantized(config, operation, data_type, reduce_op)


def check_count(config: Config, operation: str, data_type: DataType | None, count: int) -> int:
    """Size in bytes of a collective of ``count`` elements (None: bytes) per endpoint; raise
    :class:`CapacityError` if that does not fit."""
    size = collective_bytes(config, operation, data_type, count)
    check_capacity(config, operation, size, DataType.FP16 if data_type is None else data_type)
    return size


def check_shards(config: Config, operation: str, tensors: Tensors) -> None:
    """Raise :class:`InputError` if shards cannot be equally large."""
    if collective(operation).shards(config.system.endpoints) > 1:
        element_count(config, operation, tensors.content[0].nbytes, tensors.tensor_type)


def collective_bytes(config: Config, operation: str, data_type: DataType | None, count: int) -> int:
    """Size of a collective of ``count`` elements per endpoint, as nccl-tests counts it."""
    pieces = collective(operation).vectors_brought(config.system.endpoints)
    if data_type is None:
        return count * pieces
    if is_block_scaled(data_type):
        return element_bytes(config, operation, data_type, count)
    return count * pieces * element_bits(config, data_type) // 8


def element_count(config: Config, operation: str, size: int, data_type: DataType | None) -> int:
    """Elements (None: bytes) per endpoint of a collective of ``size`` bytes, as nccl-tests
    counts."""
    item, endpoints = collective(operation), config.system.endpoints
    if data_type is None:
        element, what = 1, "a byte"
    else:
        element, what = element_bits(config, data_type) // 8, "the element size"
    unit = element
    if item.whole_vector:
        unit, what = unit * endpoints, f"endpoints x {what}"
    if size <= 0 or size % unit:
        raise InputError(f"size {size}: must be a positive multiple of {unit} B, {what}")
    return size // element // item.vectors_brought(endpoints)
