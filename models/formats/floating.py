"""Golden reductions: the numerics of ``docs/numerics.md`` on arrays of bit patterns.

Every function takes ``operands`` of shape (ranks, ...) and type ``uint16`` and returns bit
patterns of the trailing shape. Nothing here is shared with the hardware but the
instruction's enums; the datapath must equal it bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp

Bits = np.ndarray


@dataclass(frozen=True)
class _Format:
    exponent_bits: int
    fraction_bits: int

    @property
    def infinity(self) -> int:
        return ((1 << self.exponent_bits) - 1) << self.fraction_bits

    @property
    def quiet_nan(self) -> int:
        return self.infinity + (1 << (self.fraction_bits - 1))


_FORMATS = {DataType.FP16: _Format(5, 10), DataType.BF16: _Format(8, 7)}

BF16_WINDOW_BITS = 40
"""Bits kept below and including the leading bit of the largest operand's binade."""

QUOTIENT_BITS = 16
"""Bits below the window of a quotient by the number of operands: at most 46 above are used by
the sum of 72, as many as a system can have."""


def reduce(operands: Bits, data_type: DataType, operation: ReduceOp) -> Bits:
    """The result that the hardware must produce, bit for bit."""
    operands = np.asarray(operands, dtype=np.uint16)
    if operation == ReduceOp.BYPASS:
        if operands.shape[0] != 1:
            raise ValueError(f"bypass of {operands.shape[0]} operands: must be exactly 1")
        alone: Bits = operands[0].copy()
        return alone
    if operation in (ReduceOp.SUM, ReduceOp.AVG):
        divisor = operands.shape[0] if operation == ReduceOp.AVG else 1
        return _sum(operands, DataType(data_type), divisor)
    return _extreme(operands, DataType(data_type), largest=operation == ReduceOp.MAX)


def _is_nan(bits: Bits, kind: _Format) -> Bits:
    return (bits & 0x7FFF) > kind.infinity


def _extreme(operands: Bits, data_type: DataType, *, largest: bool) -> Bits:
    """IEEE 754-2019 maximum/minimum: NaN propagates, -0 is less than +0."""
    kind = _FORMATS[data_type]
    magnitude = (operands & 0x7FFF).astype(np.int32)
    rank = np.where(operands & 0x8000, -magnitude - 1, magnitude)
    chosen = rank.argmax(axis=0) if largest else rank.argmin(axis=0)
    result = np.take_along_axis(operands, chosen[np.newaxis], axis=0)[0]
    return np.where(_is_nan(operands, kind).any(axis=0), np.uint16(kind.quiet_nan), result)


def _sum(operands: Bits, data_type: DataType, divisor: int) -> Bits:
    """The sum over ``divisor``, rounded once."""
    kind = _FORMATS[data_type]
    negative = (operands & 0x8000) != 0
    magnitude = operands & 0x7FFF
    infinite = magnitude == kind.infinity
    finite_sum = _fp16_sum if data_type == DataType.FP16 else _bf16_sum
    rounded = finite_sum(operands, divisor)

    plus, minus = (infinite & ~negative).any(axis=0), (infinite & negative).any(axis=0)
    nan = _is_nan(operands, kind).any(axis=0) | (plus & minus)
    zero = (rounded & 0x7FFF) == 0
    all_negative_zero = (operands == 0x8000).all(axis=0)
    result = np.where(zero, np.where(all_negative_zero, 0x8000, rounded & 0x8000), rounded)
    result = np.where(plus, kind.infinity, result)
    result = np.where(minus, 0x8000 | kind.infinity, result)
    return np.where(nan, kind.quiet_nan, result).astype(np.uint16)


def _parts(operands: Bits, kind: _Format) -> tuple[Bits, Bits, Bits]:
    """Sign, exponent (of subnormals: 1) and significand of finite values; else zero."""
    field = ((operands & 0x7FFF) >> kind.fraction_bits).astype(np.int64)
    fraction = (operands & ((1 << kind.fraction_bits) - 1)).astype(np.int64)
    significand = np.where(field == 0, fraction, fraction | 1 << kind.fraction_bits)
    special = field == (1 << kind.exponent_bits) - 1
    sign = np.where(operands & 0x8000, -1, 1).astype(np.int64)
    return sign, np.maximum(field, 1), np.where(special, 0, significand)


def _fp16_sum(operands: Bits, divisor: int) -> Bits:
    sign, exponent, significand = _parts(operands, _FORMATS[DataType.FP16])
    total = (sign * (significand << (exponent - 1) % 31)).sum(axis=0)
    value = _round(total, divisor, keep=11, lsb_exponent=-24, smallest_exponent=-24)
    with np.errstate(over="ignore"):
        return value.astype(np.float16).view(np.uint16)


def _bf16_sum(operands: Bits, divisor: int) -> Bits:
    sign, exponent, significand = _parts(operands, _FORMATS[DataType.BF16])
    top = exponent.max(axis=0)
    distance = np.minimum(top - exponent, 63)
    aligned = (significand << (BF16_WINDOW_BITS - 8)) >> distance
    total = (sign * aligned).sum(axis=0)
    lsb = top - 127 - (BF16_WINDOW_BITS - 1)
    value = _round(total, divisor, keep=8, lsb_exponent=lsb, smallest_exponent=-133)
    with np.errstate(over="ignore"):
        return (value.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


def _round(
    total: Bits, divisor: int, *, keep: int, lsb_exponent: Bits | int, smallest_exponent: int
) -> Bits:
    """``total`` x 2^lsb_exponent / ``divisor``, rounded to nearest even at ``keep`` bits.

    The result is exact in float64 and its last place weighs at least
    2^smallest_exponent.
    """
    magnitude, left = np.abs(total), np.zeros_like(total)
    if divisor > 1:
        # Bits enough that the last one kept is not the last of the quotient.
        magnitude, left = np.divmod(magnitude << QUOTIENT_BITS, divisor)
        lsb_exponent = lsb_exponent - QUOTIENT_BITS
    bits = np.frexp(magnitude.astype(np.float64))[1]
    drop = np.maximum(np.maximum(bits - keep, smallest_exponent - lsb_exponent), 0)
    drop = np.minimum(drop, 62)
    kept = magnitude >> drop
    rest = magnitude - (kept << drop)
    half = np.where(drop > 0, np.int64(1) << np.maximum(drop - 1, 0), np.int64(1) << 62)
    kept += (rest > half) | ((rest == half) & ((left > 0) | (kept & 1 == 1)))
    rounded: Bits = np.ldexp(np.copysign(kept.astype(np.float64), total), drop + lsb_exponent)
    return rounded
