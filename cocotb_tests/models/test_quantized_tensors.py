"""Quantized All-Reduces of whole tensors: finite in, finite out, and nothing else is touched."""

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from hw.spec.config import load
from hw.spec.formats import known_block_formats
from hw.spec.formats.data_type import DataType
from models.accuracy.quantized_allreduce import error, fixed_exponent, in_two_shots, tensor_exponent
from models.accuracy.quantized_allreduce import in_switch as exact_in_switch
from models.formats.registry import golden_format
from models.formats.tensor_values import LARGEST, finite_maximum, nearest_bits, values_of

CONFIG = load("fpga4")
FORMATS = [entry.code for entry in known_block_formats(CONFIG).values()]
TENSOR_TYPES = (DataType.FP16, DataType.BF16)
RANKS = (2, 3, 4, 8, 16)
KINDS = {DataType.FP16: np.float16, DataType.BF16: ml_dtypes.bfloat16}
names = {"ids": lambda code: DataType(code).name if isinstance(code, DataType) else str(code)}
SMALLEST = {DataType.FP16: 2.0**-24, DataType.BF16: 2.0**-133}


def in_switch(code, tensors, tensor_type):
    """What the files hold: values of ``tensor_type``."""
    found = exact_in_switch(golden_format(CONFIG, code), tensors, tensor_type)
    return values_of(nearest_bits(found, tensor_type), tensor_type)


def as_tensor(values, tensor_type):
    return values_of(nearest_bits(values, tensor_type), tensor_type)


def hard_tensors(rng, ranks, tensor_type):
    """By name, tensors (ranks, 192) that are finite and difficult."""
    shape = (ranks, 192)
    top, tiny = LARGEST[tensor_type], SMALLEST[tensor_type]
    sign = rng.choice([-1.0, 1.0], shape)
    spread = np.ldexp(1.0, rng.integers(math.frexp(tiny)[1], math.frexp(top)[1], shape))
    one_rank = np.zeros(shape)
    one_rank[0] = sign[0] * top
    yield "largest", np.full(shape, top)
    yield "largest of either sign", sign * top
    yield "around the largest", sign * top * rng.uniform(0.5, 1, shape)
    yield "zero", np.zeros(shape)
    yield "smallest", sign * tiny
    yield "subnormal", sign * tiny * rng.integers(0, 100, shape)
    yield "all binades", sign * spread
    yield "one rank only", one_rank
    yield "ordinary", rng.standard_normal(shape)
    yield "outliers", rng.standard_t(2, shape) * 100
    # What scales of 3 bits round up most: just above a power of two times the largest element.
    for factor in (1.001, 1.0625, 1.13, 1.9):
        yield f"6 x {factor}", np.full(shape, np.ldexp(6 * factor, 8))


def smallest_step(code, tensors, tensor_type):
    """What the smallest element of the smallest scale stands for."""
    golden = golden_format(CONFIG, code)
    scale = golden.scales.values[golden.scales.values > 0][0]
    exponent = tensor_exponent(golden, tensors, tensor_type)
    return float(np.ldexp(golden.elements.magnitudes[1] * scale, exponent))


@pytest.mark.parametrize("tensor_type", TENSOR_TYPES, **names)
@pytest.mark.parametrize("code", FORMATS, **names)
def test_finite_in_finite_out(code, tensor_type):
    """Every format, N = 2 to 16; and within its bound wherever the sum is a finite tensor."""
    rng = np.random.default_rng(1)
    for ranks in RANKS:
        for name, values in hard_tensors(rng, ranks, tensor_type):
            tensors = list(as_tensor(values, tensor_type))
            found = in_switch(code, tensors, tensor_type)
            assert np.isfinite(found).all(), (name, ranks)
            exact = np.sum(tensors, axis=0)
            highest = sum(np.abs(tensor).max() for tensor in tensors)
            exact = np.clip(exact, -LARGEST[tensor_type], LARGEST[tensor_type])
            # Each of the two roundings is off by at most a quarter of the block's largest, or,
            # where there is no smaller scale, by half a step of the smallest.
            bound = 0.6 * highest + ranks * smallest_step(code, tensors, tensor_type)
            assert (np.abs(exact - found) <= bound).all(), (name, ranks)


@pytest.mark.parametrize("flaw", [np.inf, -np.inf, np.nan], ids=["inf", "-inf", "nan"])
@pytest.mark.parametrize("tensor_type", TENSOR_TYPES, **names)
@pytest.mark.parametrize("code", FORMATS, **names)
def test_a_flaw_stays_in_its_block(code, tensor_type, flaw):
    """One value that is no number changes nothing outside the block it is in."""
    rng = np.random.default_rng(2)
    block = golden_format(CONFIG, code).layout.block
    for ranks in (2, 4, 16):
        tensors = list(as_tensor(300 * rng.standard_normal((ranks, 5 * block)), tensor_type))
        sound = in_switch(code, tensors, tensor_type)
        tensors[1][2 * block + 3] = flaw
        found = in_switch(code, tensors, tensor_type)
        inside = slice(2 * block, 3 * block)
        assert np.isnan(found[inside]).all()
        found[inside] = sound[inside]
        assert (found == sound).all()


@pytest.mark.parametrize("code", FORMATS, **names)
def test_a_tensor_without_a_number(code):
    """Nothing finite anywhere: NaN everywhere, and no exception."""
    tensors = [np.full(128, np.nan), np.full(128, np.inf)]
    for tensor_type in TENSOR_TYPES:
        assert np.isnan(in_switch(code, tensors, tensor_type)).all()


def test_rank_maxima_whose_scales_round_up():
    """1250, 1250 and 187 need scales that E4M3 rounds up; with no room for that, the sum of
    2688 = 6 x 448 does not fit the largest scale."""
    tensors = [np.ones(32) for _ in range(4)]
    for tensor, largest in zip(tensors, (1250, 1250, 187, 1), strict=True):
        tensor[3] = largest
    exact = np.sum(tensors, axis=0)
    assert exact[3] == 2688
    found = in_switch(DataType.NVFP4, tensors, DataType.FP16)
    assert np.isfinite(found).all()
    assert found[3] == pytest.approx(2688, rel=0.15)


def test_two_shots_equal_the_switch_but_for_fp32():
    """Both round every tensor once and the sum once; the sum itself is exact or FP32."""
    rng = np.random.default_rng(3)
    for code in FORMATS:
        golden = golden_format(CONFIG, code)
        tensors = [rng.standard_normal(4096).astype(np.float16).astype(float) for _ in range(8)]
        exact = np.sum(tensors, axis=0)
        switch = error(exact, exact_in_switch(golden, tensors)).sqnr_db
        assert error(exact, in_two_shots(golden, tensors)).sqnr_db == pytest.approx(switch, abs=0.1)


def test_which_formats_need_an_agreement():
    """Small floating-point scales that do not reach as far as the tensors."""
    needed = {
        (code, tensor_type)
        for code in FORMATS
        for tensor_type in TENSOR_TYPES
        if fixed_exponent(golden_format(CONFIG, code), tensor_type, 16) is None
    }
    assert needed == {
        (DataType.NVFP4, DataType.FP16),
        (DataType.NVFP4, DataType.BF16),
        (DataType.INT8, DataType.BF16),
    }


@pytest.mark.parametrize("ranks", RANKS)
def test_the_exponent_leaves_room_and_no_more(ranks):
    """The quantized maxima fit, and twice as much would not have left room for them."""
    golden = golden_format(CONFIG, DataType.NVFP4)
    rng = np.random.default_rng(ranks)
    reach = golden.largest * golden.scales.values[-1]
    for highest in [1.0, 2688.0, 65504.0, *np.exp(rng.uniform(-16, 11, 200))]:
        tensors = [np.full(16, highest), *(np.zeros(16) for _ in range(ranks - 1))]
        exponent = tensor_exponent(golden, tensors)
        room = Fraction(reach) * Fraction(2) ** exponent / ranks / Fraction(highest)
        assert 1.25 <= room < 2.5


@pytest.mark.parametrize("tensor_type", TENSOR_TYPES, **names)
def test_values_and_nearest_bits(tensor_type):
    """Every bit pattern to its value and back; between neighbours as a library rounds; finite
    values beyond the largest number are the largest number."""
    bits = np.arange(1 << 16, dtype=np.uint16)
    kind = KINDS[tensor_type]
    with np.errstate(invalid="ignore"):
        expected = bits.view(kind).astype(np.float64)
    values = values_of(bits, tensor_type)
    np.testing.assert_array_equal(values, expected)
    numbers = ~np.isnan(values)
    assert (nearest_bits(values[numbers], tensor_type) == bits[numbers]).all()
    assert np.isnan(values_of(nearest_bits(values[~numbers], tensor_type), tensor_type)).all()

    ordered = np.unique(values[np.isfinite(values)])
    middles = (ordered[1:] + ordered[:-1]) / 2
    inside = np.concatenate([middles, np.nextafter(middles, 0), np.nextafter(middles, np.inf)])
    inside = inside[::97]
    rounded = nearest_bits(inside, tensor_type)
    for value, found in zip(inside.tolist(), rounded.tolist(), strict=True):
        near = values_of(np.array([found]), tensor_type)[0]
        above = min(np.searchsorted(ordered, value), len(ordered) - 1)
        below = max(above - 1, 0)
        best = min(abs(ordered[below] - value), abs(ordered[above] - value))
        assert abs(near - value) == best
        if abs(ordered[below] - value) == abs(ordered[above] - value):
            assert found & 1 == 0, "a tie goes to the even pattern"

    largest = LARGEST[tensor_type]
    beyond = np.array([largest * 1.01, 1e300, -1e300, np.inf, -np.inf])
    rounded = values_of(nearest_bits(beyond, tensor_type), tensor_type)
    assert rounded.tolist() == [largest, largest, -largest, math.inf, -math.inf]


@pytest.mark.parametrize("tensor_type", TENSOR_TYPES, **names)
def test_finite_maximum(tensor_type):
    def of(*values):
        bits = np.array(values).astype(KINDS[tensor_type]).view(np.uint16)
        return values_of(np.array([finite_maximum(bits, tensor_type)]), tensor_type)[0]

    assert of(1.0, -3.0, 2.0) == 3
    assert of(np.inf, -3.0, np.nan) == 3
    assert of(np.inf, np.nan) == 0
    assert of(-0.0) == 0


def test_error_counts_what_it_leaves_out():
    exact = np.array([1.0, 2.0, np.inf, 4.0])
    assert error(exact, np.array([1.0, 2.5, np.inf, np.nan])).nonfinite == 2
    assert error(exact, np.array([1.0, 2.5, np.inf, np.nan])).maximum == 0.5
    none = error(exact[2:3], exact[2:3])
    assert (none.maximum, none.rms, none.sqnr_db, none.nonfinite) == (None, None, None, 1)
    same = error(exact[:2], exact[:2])
    assert (same.maximum, same.rms, same.sqnr_db, same.nonfinite) == (0, 0, None, 0)
