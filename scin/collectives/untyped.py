"""Collectives that only copy, of bytes whatever they mean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from models.collective import collective
from scin.collectives.runner import Runner, message_bytes
from scin.report.measurement import Measurement

UNIT = 2
"""Bytes: the length of an instruction is a multiple of it."""


def padded_bytes(count: int) -> int:
    """Length of the instruction that copies ``count`` bytes."""
    return -(-count // UNIT) * UNIT


def run_untyped(
    runner: Runner,
    operation: str,
    contents: list[np.ndarray],
    *,
    synchronise: bool = True,
    seed: int | None = None,
) -> tuple[Measurement, list[np.ndarray]]:
    """``contents``: per endpoint the bytes it brings, any number, all equally many. Returns per
    endpoint those it gets. An odd number, in all or in each shard, travels with a byte of
    padding."""
    size = message_bytes(runner.config, operation, contents)
    shards = collective(operation).shards(runner.config.system.endpoints)
    count = contents[0].size // shards
    padded = padded_bytes(count)
    around = ((0, 0), (0, padded - count))
    outcome = runner.run(
        operation,
        [np.pad(part.reshape(shards, count), around).ravel() for part in contents],
        DataType.FP16,
        ReduceOp.SUM,
        synchronise=synchronise,
        seed=seed,
        untyped=True,
    )
    measurement = replace(outcome.measurement, size_bytes=size, count=size)
    return measurement, [raw.reshape(-1, padded)[:, :count].ravel() for raw in outcome.outputs]
