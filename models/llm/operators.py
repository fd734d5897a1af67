"""The operators of one layer on one of several tensor-parallel accelerators."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from models.llm.shape import ModelShape

ACTIVATION_BYTES = 2
"""FP16 between operators, whatever the matrix products compute in."""

KV_BYTES = 2
PRECISIONS = {"fp16": 2, "fp8": 1}
"""Bytes of a weight."""


@dataclass(frozen=True)
class Step:
    """``tokens`` processed at once, of ``sequences`` that see ``context`` tokens each; in
    ``prefill`` every token sees half of its context on average."""

    tokens: int
    sequences: int
    context: int
    prefill: bool


@dataclass(frozen=True)
class Operator:
    """``shape``: rows x inner x columns of a matrix product, or what else decides its time."""

    name: str
    shape: str
    precision: str
    operations: float
    bytes: float


def layer(model: ModelShape, step: Step, parallel: int, precision: str) -> Iterator[Operator]:
    """In order; two All-Reduces of tokens x hidden follow ``out`` and ``down``."""
    t, h = step.tokens, model.hidden
    shard = model.shard(parallel)
    ffn = shard.ffn
    yield _elementwise("norm", f"{t}x{h}", 4 * t * h)
    yield _product("qkv", t, h, shard.queries + 2 * shard.keys, precision)
    yield _attention(step, shard.queries, shard.keys)
    yield _product("out", t, shard.queries, h, precision)
    yield _elementwise("norm", f"{t}x{h}", 4 * t * h)
    yield _product("gate_up", t, h, 2 * ffn, precision)
    yield _elementwise("silu", f"{t}x{ffn}", 3 * t * ffn)
    yield _product("down", t, ffn, h, precision)


def head(model: ModelShape, step: Step, parallel: int, precision: str) -> Operator:
    """Logits of the last token of every sequence."""
    return _product(
        "head", step.sequences, model.hidden, -(-model.vocabulary // parallel), precision
    )


def _product(name: str, rows: int, inner: int, columns: int, precision: str) -> Operator:
    weights = PRECISIONS[precision] * inner * columns
    activations = ACTIVATION_BYTES * rows * (inner + columns)
    shape = f"{rows}x{inner}x{columns}"
    return Operator(name, shape, precision, 2.0 * rows * inner * columns, weights + activations)


def _elementwise(name: str, shape: str, elements: int) -> Operator:
    """A fused residual addition and normalisation reads and writes two tensors each."""
    return Operator(name, shape, "fp16", 0.0, ACTIVATION_BYTES * elements)


def _attention(step: Step, width: int, kv: int) -> Operator:
    """Scores and values; fused, so that only queries, keys, values and the result move."""
    seen = step.context / 2 if step.prefill else step.context
    operations = 4.0 * step.tokens * seen * width
    cached = 2 * KV_BYTES * step.sequences * step.context * kv
    moved = cached + 2 * ACTIVATION_BYTES * step.tokens * width
    shape = f"{step.tokens}x{step.context}x{width}"
    return Operator("attention", shape, "fp16", operations, moved)
