"""models/formats/block.py against exact fractions, and the bounds of docs/numerics.md."""

import math
from bisect import bisect_left
from fractions import Fraction
from functools import cache

import numpy as np
import pytest

from cocotb_tests.support.blocks import random_blocks
from hw.spec.config import load
from hw.spec.formats import known_block_formats
from hw.spec.formats.data_type import DataType
from models.accuracy.quantized_allreduce import around_ring, error, in_switch
from models.formats.block import GoldenBlockFormat
from models.formats.registry import golden_format

CONFIG = load("tiny")
FORMATS = [entry.code for entry in known_block_formats(CONFIG).values()]
names = {"ids": lambda code: DataType(code).name}

# Values by the standards' own words: sign, exponent with bias, fraction; and per format the
# element, its unit, the scale, the depth of the window below the top, and how a scale is rounded.
MINIFLOAT = {"E4M3": (4, 3), "E2M1": (2, 1), "FP16": (5, 10)}
RULES = {
    DataType.INT8: ("integer", 1, "FP16", None, "up"),
    DataType.MXINT8: ("integer", 64, "E8M0", 30, "up"),
    DataType.MXFP8: ("E4M3", 1, "E8M0", 23, "up"),
    DataType.MXFP4: ("E2M1", 1, "E8M0", 18, "up"),
    DataType.NVFP4: ("E2M1", 1, "E4M3", None, "nearest"),
}


def minifloat(code: int, kind: str) -> Fraction | None:
    """Value of a code of a binary format; None for what is no number."""
    exponent_bits, fraction_bits = MINIFLOAT[kind]
    sign = -1 if code >> (exponent_bits + fraction_bits) else 1
    field = code >> fraction_bits & ((1 << exponent_bits) - 1)
    fraction = code & ((1 << fraction_bits) - 1)
    if (kind == "FP16" and field == 31) or (kind == "E4M3" and (field, fraction) == (15, 7)):
        return None
    bias = (1 << (exponent_bits - 1)) - 1
    significand = Fraction(fraction, 1 << fraction_bits) + (field > 0)
    return sign * significand * Fraction(2) ** (max(field, 1) - bias)


def element_value(code: int, data_type: DataType) -> Fraction | None:
    kind, unit, *_ = RULES[data_type]
    if kind == "integer":
        return Fraction(code - 256 if code >= 128 else code, unit)
    return minifloat(code, kind)


def scale_value(code: int, data_type: DataType) -> Fraction | None:
    kind = RULES[data_type][2]
    if kind == "E8M0":
        return None if code == 255 else Fraction(2) ** (code - 127)
    return minifloat(code, kind)


@cache
def positive_elements(data_type: DataType) -> list[Fraction]:
    count = {"integer": 128, "E4M3": 127, "E2M1": 8}[RULES[data_type][0]]
    return [element_value(code, data_type) for code in range(count)]


@cache
def finite_scales(data_type: DataType) -> list[Fraction]:
    count = {"FP16": 0x7C00, "E8M0": 255, "E4M3": 127}[RULES[data_type][2]]
    return [scale_value(code, data_type) for code in range(count)]


def nearest(ratio: Fraction, values: list[Fraction]) -> int:
    """Index of the value nearest to ``ratio``, the outermost one beyond all; of two the even."""
    above = bisect_left(values, ratio)
    near = range(max(above - 1, 0), min(above + 1, len(values)))
    return min(near, key=lambda code: (abs(values[code] - ratio), code & 1))


def new_scale(needed: Fraction, data_type: DataType) -> int:
    """Code of the scale for a block that needs ``needed``, within what is representable."""
    finite = finite_scales(data_type)
    if RULES[data_type][4] == "nearest":
        return max(nearest(needed, finite), int(needed > 0))
    return min(bisect_left(finite, needed), len(finite) - 1)


def reference(elements, scales, data_type):
    """Elements and scale of one block: ``elements`` (ranks, block), ``scales`` (ranks)."""
    kind, _, scale_kind, below, _ = RULES[data_type]
    block = len(elements[0])
    nan_code = {"FP16": 0x7E00, "E8M0": 0xFF, "E4M3": 0x7F}[scale_kind]
    weights = [scale_value(int(code), data_type) for code in scales]
    if None in weights:
        return [0] * block, nan_code
    if below is not None:
        # The window hangs at the largest scale of those that scale anything but zeros.
        filled = [
            weight
            for weight, row in zip(weights, elements, strict=True)
            if any(element_value(int(code), data_type) != 0 for code in row)
        ]
        step = max(filled, default=Fraction(1)) / 2**below
    totals = []
    for column in zip(*elements, strict=True):
        values = [element_value(int(code), data_type) for code in column]
        if None in values:
            totals.append(None)
            continue
        terms = [v * w for v, w in zip(values, weights, strict=True)]
        if below is not None:
            terms = [math.trunc(term / step) * step for term in terms]
        totals.append(sum(terms, Fraction(0)))
    positive, finite = positive_elements(data_type), finite_scales(data_type)
    highest = max((abs(total) for total in totals if total is not None), default=Fraction(0))
    code = new_scale(highest / positive[-1], data_type)
    result = []
    for total in totals:
        if total is None:
            result.append(0x7F)
            continue
        ratio = abs(total) / finite[code] if finite[code] else Fraction(0)
        best = nearest(ratio, positive)
        if kind == "integer":
            result.append((-best if total < 0 else best) & 0xFF)
        else:
            result.append(best | ((total < 0) << (3 if kind == "E2M1" else 7)))
    return result, code


@pytest.mark.parametrize("ranks", [2, 4, 8])
@pytest.mark.parametrize("code", FORMATS, **names)
def test_reduction_equals_exact_fractions(code, ranks):
    golden = golden_format(CONFIG, code)
    rng = np.random.default_rng(ranks)
    elements, scales = random_blocks(rng, golden, ranks, 120)
    found = golden.reduce(elements, scales)
    for index in range(elements.shape[1]):
        expected = reference(elements[:, index].tolist(), scales[:, index].tolist(), code)
        assert (found[0][index].tolist(), int(found[1][index])) == expected, (
            f"{scales[:, index]}, {elements[:, index]}"
        )


@pytest.mark.parametrize("ranks", [2, 4, 16])
@pytest.mark.parametrize("code", FORMATS, **names)
def test_blocks_of_zeros_do_not_count(code, ranks):
    """Whatever scale a rank's block of zeros has, of either sign: the sum is that of the others."""
    golden = golden_format(CONFIG, code)
    one = golden.quantize(np.ones((1, golden.layout.block)))
    elements = np.repeat(one[0][np.newaxis], ranks, axis=0)
    scales = np.repeat(one[1][np.newaxis], ranks, axis=0)
    expected = golden.reduce(elements[1:], scales[1:])
    negative_zero = 0 if golden.elements.twos_complement else 1 << (golden.layout.element.bits - 1)
    for zero in (0, negative_zero):
        elements[0] = zero
        elements[0, 0, ::2] = 0
        for scale in np.linspace(0, len(golden.scales.values) - 1, 60).astype(int):
            scales[0] = scale
            found = golden.reduce(elements, scales)
            assert (found[0] == expected[0]).all(), scale
            assert found[1] == expected[1], scale


def half_step(golden: GoldenBlockFormat, magnitude: np.ndarray) -> np.ndarray:
    """Half the distance of neighbouring elements around ``magnitude``."""
    table = golden.elements.magnitudes
    upper = np.clip(np.searchsorted(table, magnitude, side="left"), 1, len(table) - 1)
    return (table[upper] - table[upper - 1]) / 2


@pytest.mark.parametrize("code", FORMATS, **names)
def test_quantization_keeps_its_bound(code):
    """docs/numerics.md: error at most half an element's step times the scale, and the scale
    at most one scale step above what the largest value needs, or the nearest one; nothing
    saturates, or only what this rounds down."""
    golden = golden_format(CONFIG, code)
    rng = np.random.default_rng(1)
    spread = np.ldexp(1.0, rng.integers(-30, 4, (20_000, 1)))
    values = rng.standard_normal((20_000, golden.layout.block)) * spread
    values = values.astype(np.float16).astype(np.float64)
    elements, scales = golden.quantize(values)
    weight = golden.scales.decode(scales, golden.layout.scale.bits)
    assert np.isfinite(weight).all()
    found = golden.dequantize(elements, scales)
    ratio = np.abs(values) / np.where(weight == 0, 1, weight)[:, np.newaxis]
    excess = np.maximum(ratio - golden.largest, 0)
    bound = np.maximum(half_step(golden, ratio), excess) * weight[:, np.newaxis]
    assert (np.abs(found - values) <= bound).all()
    needed = np.abs(values).max(axis=1) / golden.largest
    lower = golden.scales.values[np.maximum(scales.astype(int) - 1, 0)]
    if golden.scales.nearest:
        # Exact fractions say which of two scales is nearer.
        for need, scale in zip(needed.tolist(), scales.tolist(), strict=True):
            assert scale == new_scale(Fraction(need), code)
    else:
        assert not excess.any()
        assert ((lower < needed) | (scales == 0)).all()


def int8_bound(largest: Fraction, scale: Fraction) -> Fraction:
    if scale >= Fraction(2) ** -14:
        return (1 + Fraction(2) ** -10) * largest / 254
    return largest / 254 + Fraction(2) ** -25


def nvfp4_bound(largest: Fraction, scale: Fraction) -> Fraction:
    if scale >= Fraction(2) ** -6:
        assert Fraction(16, 17) * largest <= 6 * scale <= Fraction(18, 17) * largest
        return Fraction(3, 17) * largest
    excess = max(largest - 6 * scale, Fraction(0))
    assert excess <= 6 * Fraction(2) ** -10
    assert scale <= max(largest / 6 + Fraction(2) ** -10, Fraction(2) ** -9)
    return max(scale, excess)


@pytest.mark.parametrize(
    ("code", "bound"),
    [
        (DataType.INT8, int8_bound),
        (DataType.MXINT8, lambda largest, scale: largest / 127),
        (DataType.NVFP4, nvfp4_bound),
    ],
    ids=["INT8", "MXINT8", "NVFP4"],
)
def test_stated_bounds(code, bound):
    """The bounds of docs/numerics.md in terms of a block's largest value, in exact fractions:
    from subnormal scales to the largest ones, steps of the exponent and all between."""
    golden = golden_format(CONFIG, code)
    rng = np.random.default_rng(2)
    # NVFP4 ends at 6 x 448, INT8 and MXINT8 at more than FP16 has.
    exponents = rng.integers(-25, 11 if code == DataType.NVFP4 else 15, (2000, 1))
    values = np.ldexp(rng.uniform(-2, 2, (2000, golden.layout.block)), exponents)
    values = values.astype(np.float16).astype(np.float64)
    elements, scales = golden.quantize(values)
    errors = np.abs(golden.dequantize(elements, scales) - values).max(axis=1)
    for index, worst in enumerate(errors.tolist()):
        largest = Fraction(float(np.abs(values[index]).max()))
        scale = scale_value(int(scales[index]), code)
        assert Fraction(worst) <= bound(largest, scale), values[index]


@pytest.mark.parametrize("ranks", [2, 4, 16])
@pytest.mark.parametrize("code", FORMATS, **names)
def test_finite_blocks_stay_finite(code, ranks):
    """Around the largest scales, where sums need more than there is: the scale saturates, and
    so do the elements it leaves too large; the others are right."""
    golden = golden_format(CONFIG, code)
    rng = np.random.default_rng(ranks)
    shape = (ranks, 60, golden.layout.block)
    elements = rng.integers(0, 1 << golden.layout.element.bits, shape, dtype=np.uint8)
    if golden.elements.nan is not None:
        elements[(elements & 0x7F) == golden.elements.nan] = 0x7E
    last = len(golden.scales.values) - 1
    scales = last - rng.integers(0, 2, shape[:2])
    found, codes = golden.reduce(elements, scales)
    assert (codes <= last).all()
    assert np.isfinite(golden.dequantize(found, codes)).all()
    assert (codes == last).any()
    for index in range(shape[1]):
        expected = reference(elements[:, index].tolist(), scales[:, index].tolist(), code)
        assert (found[index].tolist(), int(codes[index])) == expected


@pytest.mark.parametrize("code", FORMATS, **names)
def test_one_flawed_block_is_one_flawed_block(code):
    """A value that is no number makes its block none, and touches no other."""
    golden = golden_format(CONFIG, code)
    rng = np.random.default_rng(5)
    values = rng.standard_normal((6, golden.layout.block))
    sound = golden.quantize(values)
    values[1, 3], values[4, 0] = np.nan, -np.inf
    elements, scales = golden.quantize(values)
    flawed = np.array([False, True, False, False, True, False])
    assert (scales[flawed] == golden.scales.nan).all()
    assert not elements[flawed].any()
    assert (elements[~flawed] == sound[0][~flawed]).all()
    assert (scales[~flawed] == sound[1][~flawed]).all()
    assert np.isnan(golden.dequantize(elements, scales)[flawed]).all()


def test_scales_of_nvfp4_by_hand():
    """Nearest to a sixth of the largest value, ties to even, never zero, at most 448."""
    golden = golden_format(CONFIG, DataType.NVFP4)

    def scale_of(largest):
        values = np.zeros((1, 16))
        values[0, 7] = -largest
        elements, scales = golden.quantize(values)
        return int(scales[0]), int(elements[0, 7])

    outermost = 0xF
    assert scale_of(6.0) == (0x38, outermost)
    # 6 x 17/16 lies between the scales 1 and 9/8: to the even one, and the element saturates.
    assert scale_of(6.375) == (0x38, outermost)
    assert scale_of(6.376) == (0x39, outermost)
    # 6 x 19/16: of 9/8 and 10/8 the latter is even.
    assert scale_of(7.125) == (0x3A, outermost)
    assert scale_of(2688.0) == (0x7E, outermost)
    assert scale_of(60_000.0) == (0x7E, outermost)
    # Below the smallest scale, 2^-9: it does, as long as there is anything.
    assert scale_of(2.0**-10) == (0x01, 0x9)
    assert scale_of(2.0**-24) == (0x01, 0x8)
    assert scale_of(0.0) == (0x00, 0x0)


def test_corner_blocks_of_int8():
    """All zero, subnormal scale, -128, negative scale, infinity, NaN, overflow."""
    golden = golden_format(CONFIG, DataType.INT8)
    block = golden.layout.block

    def reduced(values, scales):
        elements = np.zeros((len(scales), 1, block), np.uint8)
        elements[:, 0, : len(values)] = np.array(values, np.int8).view(np.uint8)
        found = golden.reduce(elements, np.array(scales).reshape(-1, 1))
        return found[0][0, : len(values)].view(np.int8).tolist(), int(found[1][0])

    assert reduced([0, 0], [0x3C00, 0x0000]) == ([0, 0], 0)
    assert reduced([127, -1], [0x0001]) == ([127, -1], 0x0001)
    # -128 x 1 needs a scale of 128/127, rounded up to the next FP16 number.
    assert reduced([-128, 0], [0x3C00]) == ([-127, 0], 0x3C09)
    assert reduced([100, 50], [0xBC00]) == ([-127, -63], 0x3A4D)
    assert reduced([1, 2], [0x7C00, 0x3C00]) == ([0, 0], 0x7E00)
    assert reduced([1, 2], [0x7E01, 0x3C00]) == ([0, 0], 0x7E00)
    assert reduced([127, 2], [0x7BFF, 0x7BFF]) == ([127, 4], 0x7BFF)
    assert reduced([-128, 1], [0x7BFF]) == ([-127, 1], 0x7BFF)


# docs/inq.md, "Formats side by side".
SQNR_DB = {
    DataType.INT8: 41.5,
    DataType.MXINT8: 38.1,
    DataType.MXFP8: 28.4,
    DataType.MXFP4: 15.4,
    DataType.NVFP4: 17.4,
}


@pytest.mark.parametrize("code", FORMATS, **names)
def test_formats_side_by_side(code):
    golden = golden_format(CONFIG, code)
    rng = np.random.default_rng(1)
    tensors = [rng.standard_normal(1 << 17).astype(np.float16).astype(float) for _ in range(4)]
    found = error(np.sum(tensors, axis=0), in_switch(golden, tensors)).sqnr_db
    assert round(found, 1) == SQNR_DB[code]


@pytest.mark.parametrize("ranks", [4, 8, 16])
def test_one_rounding_beats_many_as_theory_says(ranks):
    """Noise of a quantized value grows with its block's amplitude, so with the number of
    terms k already added: N + N against 1 + 2 + ... + N, a factor of (N + 1) / 4."""
    golden = golden_format(CONFIG, DataType.INT8)
    rng = np.random.default_rng(ranks)
    tensors = [rng.standard_normal(64 * 512) for _ in range(ranks)]
    exact = np.sum(tensors, axis=0)
    switch = error(exact, in_switch(golden, tensors)).sqnr_db
    ring = error(exact, around_ring(golden, tensors)).sqnr_db
    assert switch - ring == pytest.approx(10 * math.log10((ranks + 1) / 4), abs=0.3)
