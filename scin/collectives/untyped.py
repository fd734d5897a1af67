"""Collectives that only copy, of bytes whatever they mean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from scin.collectives.runner import Runner, message_bytes
from scin.report.measurement import Measurement

OPERATIONS = ("broadcast", "allgather")
"""Collectives that copy every bit of their source."""

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
    endpoint those it gets. An odd number travels with a byte of padding."""
    size = message_bytes(runner.config, operation, contents)
    count = contents[0].size
    padded = padded_bytes(count)
    outcome = runner.run(
        operation,
        [np.pad(part, (0, padded - count)) for part in contents],
        DataType.FP16,
        ReduceOp.SUM,
        synchronise=synchronise,
        seed=seed,
        untyped=True,
    )
    measurement = replace(outcome.measurement, size_bytes=size, count=size)
    return measurement, [raw.reshape(-1, padded)[:, :count].ravel() for raw in outcome.outputs]
