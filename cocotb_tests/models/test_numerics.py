"""models/formats/floating.py against Python's own exact arithmetic.

The references here share nothing with the model: ``math.fsum`` and ``fractions`` add
exactly, numpy's float16 and struct's conversions round once.
"""

import math
import struct
from fractions import Fraction

import numpy as np
import pytest

from cocotb_tests.support.operands import corner_sets, corner_values, random_sets
from hw.spec.formats import FORMATS
from hw.spec.instruction import DataType, ReduceOp
from models.formats.floating import reduce

FLOATS = [entry.code for entry in FORMATS.values()]
WIDTHS = (2, 4, 8, 16)
SETS = 1_000_000
QUIET_NAN = {DataType.FP16: 0x7E00, DataType.BF16: 0x7FC0}


def as_float(bits: np.ndarray, data_type: DataType) -> np.ndarray:
    bits = np.ascontiguousarray(bits)
    if data_type == DataType.FP16:
        return bits.view(np.float16).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def reference_sum(row: list[float]) -> int:
    """FP16 bits of the correctly rounded sum, by math.fsum and struct."""
    if any(math.isnan(v) for v in row) or (math.inf in row and -math.inf in row):
        return QUIET_NAN[DataType.FP16]
    total = sum(row) if math.inf in map(abs, row) else math.fsum(row)
    if total == 0:
        # fsum does not tell signs of zero; IEEE 754 6.3: only an all-minus sum is -0.
        total = -0.0 if all(math.copysign(1, v) < 0 and v == 0 for v in row) else 0.0
    try:
        return struct.unpack("<H", struct.pack("<e", total))[0]
    except OverflowError:
        return 0xFC00 if total < 0 else 0x7C00


@pytest.mark.parametrize("operands", WIDTHS)
def test_fp16_sum_is_correctly_rounded(operands):
    """10^6 random sets a width, and every corner set; fsum of FP16 values is exact."""
    rng = np.random.default_rng(operands)
    sets = np.concatenate(
        [
            corner_sets(operands, DataType.FP16),
            random_sets(rng, operands, DataType.FP16, SETS),
        ]
    )
    found = reduce(sets.T, DataType.FP16, ReduceOp.SUM)
    values = as_float(sets, DataType.FP16)
    # One vectorised pass decides; where it differs, the scalar reference names the set.
    expected = np.fromiter(map(reference_sum, values.tolist()), dtype=np.uint16, count=len(sets))
    wrong = np.flatnonzero(found != expected)
    assert wrong.size == 0, (
        f"{wrong.size} of {len(sets)}; first {sets[wrong[0]]}: "
        f"{found[wrong[0]]:#06x}, must be {expected[wrong[0]]:#06x}"
    )


def bf16_reference(row: np.ndarray) -> int:
    """The windowed sum of docs/numerics.md in exact fractions, by its definition."""
    return _reference(row, DataType.BF16, 1)


def _reference(row: np.ndarray, data_type: DataType, divisor: int) -> int:
    """The sum of docs/numerics.md over ``divisor``, in exact fractions."""
    values = as_float(row, data_type).tolist()
    if any(math.isnan(v) for v in values) or (math.inf in values and -math.inf in values):
        return QUIET_NAN[data_type]
    if math.inf in values or -math.inf in values:
        infinity = 0x7F80 if data_type == DataType.BF16 else 0x7C00
        return infinity if math.inf in values else 0x8000 | infinity
    terms = list(map(Fraction, values))
    if data_type == DataType.BF16:
        # Weight of the window's last place: 39 binades below the largest operand's.
        exponents = [max((int(bits) >> 7) & 0xFF, 1) for bits in row]
        last_place = Fraction(2) ** (max(exponents) - 127 - 39)
        terms = [math.trunc(term / last_place) * last_place for term in terms]
    total = sum(terms, Fraction(0))
    if total == 0:
        return 0x8000 if all(int(bits) == 0x8000 for bits in row) else 0
    return _nearest(total / divisor, data_type)


def _nearest(value: Fraction, data_type: DataType) -> int:
    """Round to nearest even by comparing with the two neighbours."""
    sign, value = (0x8000, -value) if value < 0 else (0, value)
    low, high = 0, 0x7F80 if data_type == DataType.BF16 else 0x7C00
    while high - low > 1:
        middle = (low + high) // 2
        if _value(middle, data_type) <= value:
            low = middle
        else:
            high = middle
    below, above = value - _value(low, data_type), _value(high, data_type) - value
    nearest = low if below < above or (below == above and low % 2 == 0) else high
    return sign | nearest


def _value(bits: int, data_type: DataType) -> Fraction:
    """Of a positive code; infinity stands for the number that would follow."""
    if data_type == DataType.BF16:
        if bits == 0x7F80:
            return Fraction(2) ** 128
        return Fraction(struct.unpack("<f", struct.pack("<I", bits << 16))[0])
    if bits == 0x7C00:
        return Fraction(2) ** 16
    return Fraction(struct.unpack("<e", struct.pack("<H", bits))[0])


@pytest.mark.parametrize("operands", WIDTHS)
def test_bf16_sum_is_the_defined_one(operands):
    rng = np.random.default_rng(operands)
    sets = np.concatenate(
        [corner_sets(operands, DataType.BF16), random_sets(rng, operands, DataType.BF16, 3000)]
    )
    found = reduce(sets.T, DataType.BF16, ReduceOp.SUM)
    for row, result in zip(sets, found, strict=True):
        expected = bf16_reference(row)
        assert result == expected, f"{row}: {result:#06x}, must be {expected:#06x}"


def test_bf16_sum_is_correctly_rounded_within_32_binades():
    """The claim of docs/numerics.md: exact whenever exponents differ by at most 32."""
    rng = np.random.default_rng(7)
    sets = rng.integers(0, 1 << 16, (20_000, 4), dtype=np.uint16)
    exponents = 100 + rng.integers(0, 33, sets.shape, dtype=np.uint16)
    sets = (sets & np.uint16(0x807F)) | (exponents << np.uint16(7))
    found = reduce(sets.T, DataType.BF16, ReduceOp.SUM)
    for row, result in zip(sets, found, strict=True):
        total = sum(map(Fraction, as_float(row, DataType.BF16).tolist()), Fraction(0))
        assert result == (_nearest(total, DataType.BF16) if total else 0), row


@pytest.mark.parametrize("data_type", FLOATS)
@pytest.mark.parametrize("operands", [1, 2, 3, 5, 6, 7, 12, 16])
def test_average_is_the_sum_rounded_once(operands, data_type):
    """Over any number of operands, a power of two or not, in exact fractions."""
    rng = np.random.default_rng(operands)
    sets = random_sets(rng, operands, data_type, 1500)
    if operands in (2, 3):
        sets = np.concatenate([corner_sets(operands, data_type), sets])
    # Small ones, whose averages are subnormal or nothing.
    small = random_sets(rng, operands, data_type, 500)
    sets = np.concatenate([sets, small & np.uint16(0x801F)])
    found = reduce(sets.T, data_type, ReduceOp.AVG)
    for row, result in zip(sets, found, strict=True):
        expected = _reference(row, data_type, operands)
        assert result == expected, f"{row}: {result:#06x}, must be {expected:#06x}"


@pytest.mark.parametrize("data_type", FLOATS)
@pytest.mark.parametrize("operation", [ReduceOp.MAX, ReduceOp.MIN])
def test_extremes(data_type, operation):
    """IEEE 754-2019 maximum and minimum over all pairs of corners."""
    for a in corner_values(data_type):
        for b in corner_values(data_type):
            pair = np.array([[a], [b]], dtype=np.uint16)
            found = int(reduce(pair, data_type, operation)[0])
            x, y = as_float(pair[:, 0], data_type).tolist()
            if math.isnan(x) or math.isnan(y):
                assert found == QUIET_NAN[data_type]
                continue

            def key(item):
                return (item[0], math.copysign(1, item[0]))

            choose = max if operation == ReduceOp.MAX else min
            assert found == choose([(x, a), (y, b)], key=key)[1], (hex(a), hex(b))


def test_order_does_not_matter():
    rng = np.random.default_rng(3)
    for data_type in FLOATS:
        sets = random_sets(rng, 8, data_type, 10_000)
        shuffled = rng.permuted(sets, axis=1)
        one = reduce(sets.T, data_type, ReduceOp.SUM)
        assert (one == reduce(shuffled.T, data_type, ReduceOp.SUM)).all()


# Computed by hand, so that an error shared by model and hardware shows.
HAND_COMPUTED = [
    (DataType.FP16, ReduceOp.SUM, [0x3C00, 0x3C00], 0x4000),  # 1 + 1 = 2
    (DataType.FP16, ReduceOp.SUM, [0x0001, 0x8001], 0x0000),  # x - x = +0
    (DataType.FP16, ReduceOp.SUM, [0x8000, 0x8000], 0x8000),  # -0 - 0 = -0
    (DataType.FP16, ReduceOp.SUM, [0x7BFF, 0x7BFF], 0x7C00),  # overflow
    (DataType.FP16, ReduceOp.SUM, [0x7BFF, 0x4C00], 0x7C00),  # 65504 + 16: the tie goes up
    (DataType.FP16, ReduceOp.SUM, [0x7BFF, 0x4BFF], 0x7BFF),  # 65504 + 15.99: down
    (DataType.FP16, ReduceOp.SUM, [0x03FF, 0x0001], 0x0400),  # subnormal to normal
    (DataType.FP16, ReduceOp.SUM, [0x7BFF, 0x0001, 0xFBFF], 0x0001),  # nothing is lost
    (DataType.BF16, ReduceOp.SUM, [0x3F80, 0x3F80], 0x4000),
    (DataType.BF16, ReduceOp.SUM, [0x7F7F, 0x7F7F], 0x7F80),
    (DataType.FP16, ReduceOp.AVG, [0x3C00, 0x4000, 0x4200], 0x4000),  # (1 + 2 + 3) / 3 = 2
    (DataType.FP16, ReduceOp.AVG, [0x3C00, 0x0000, 0x0000], 0x3555),  # a third: 0.33325
    (DataType.FP16, ReduceOp.AVG, [0x7BFF, 0x7BFF], 0x7BFF),  # no overflow on the way
    (DataType.FP16, ReduceOp.AVG, [0x3C00, 0x3C01], 0x3C00),  # halfway: to even
    (DataType.FP16, ReduceOp.AVG, [0x3C01, 0x3C02], 0x3C02),
    (DataType.FP16, ReduceOp.AVG, [0x0001, 0x0000], 0x0000),  # half the smallest: to even
    (DataType.FP16, ReduceOp.AVG, [0x8003, 0x0000], 0x8002),
    (DataType.FP16, ReduceOp.AVG, [0x8001, 0x0000, 0x0000], 0x8000),  # a third of it: -0
    (DataType.FP16, ReduceOp.AVG, [0x7C00, 0xFC00], 0x7E00),
    (DataType.BF16, ReduceOp.AVG, [0x3F80, 0x0000, 0x0000], 0x3EAB),  # a third: 0.33398
    (DataType.BF16, ReduceOp.AVG, [0x7F7F, 0x7F7F], 0x7F7F),
    (DataType.FP16, ReduceOp.MAX, [0x8000, 0x0000], 0x0000),
    (DataType.FP16, ReduceOp.MIN, [0x0000, 0x8000], 0x8000),
]


@pytest.mark.parametrize(("data_type", "operation", "operands", "expected"), HAND_COMPUTED)
def test_hand_computed(data_type, operation, operands, expected):
    column = np.array(operands, dtype=np.uint16)[:, np.newaxis]
    assert reduce(column, data_type, operation)[0] == expected
