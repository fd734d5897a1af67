"""The golden number formats against the ones of a library that is not ours: ml_dtypes."""

import ml_dtypes
import numpy as np
import pytest

from cocotb_tests.support.operands import corner_values
from hw.spec.config import load
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from models.formats.codecs import E2M1, E4M3, E4M3_SCALES, e8m0_scales
from models.formats.floating import reduce
from models.formats.registry import golden_format

OUTSIDE = {DataType.FP16: np.float16, DataType.BF16: ml_dtypes.bfloat16}
PARTNERS = 64
names = {"ids": lambda code: DataType(code).name}


@pytest.mark.parametrize("data_type", OUTSIDE, **names)
def test_sums_of_two(data_type):
    """Every operand with every corner value and some random ones. Which NaN comes out is ours
    to say; that it is one is not."""
    rng = np.random.default_rng(1)
    every = np.arange(1 << 16, dtype=np.uint16)
    others = np.concatenate([corner_values(data_type), rng.choice(every, PARTNERS)])
    kind = OUTSIDE[data_type]
    for other in others.astype(np.uint16):
        pair = np.stack([every, np.full_like(every, other)])
        with np.errstate(all="ignore"):
            expected = (pair[0].view(kind) + pair[1].view(kind)).astype(kind)
        found = reduce(pair, data_type, ReduceOp.SUM)
        numbers = ~np.isnan(expected.astype(np.float32))
        assert (found[numbers] == expected.view(np.uint16)[numbers]).all(), hex(other)
        assert np.isnan(found.view(kind).astype(np.float32)[~numbers]).all(), hex(other)


@pytest.mark.parametrize(
    ("decoded", "kind"),
    [
        (E4M3.values(np.arange(256), 8), ml_dtypes.float8_e4m3fn),
        (E2M1.values(np.arange(16), 4), ml_dtypes.float4_e2m1fn),
        (E4M3_SCALES.decode(np.arange(256), 8), ml_dtypes.float8_e4m3fn),
        (e8m0_scales(38).decode(np.arange(256), 8), ml_dtypes.float8_e8m0fnu),
    ],
    ids=["E4M3", "E2M1", "E4M3 scales", "E8M0 scales"],
)
def test_codes(decoded, kind):
    expected = np.arange(len(decoded), dtype=np.uint8).view(kind).astype(np.float64)
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize(
    ("data_type", "kind"),
    [
        (DataType.MXFP8, ml_dtypes.float8_e4m3fn),
        (DataType.MXFP4, ml_dtypes.float4_e2m1fn),
        (DataType.NVFP4, ml_dtypes.float4_e2m1fn),
    ],
    ids=lambda item: getattr(item, "name", None),
)
def test_rounding(data_type, kind):
    """A block with the largest element in it has the scale 1; the others are rounded as a
    conversion of the library does."""
    golden = golden_format(load("tiny"), data_type)
    rng = np.random.default_rng(2)
    values = rng.normal(size=(10_000, golden.layout.block)) * golden.largest / 4
    # Halfway cases too, and what rounds to zero.
    values = np.where(rng.random(values.shape) < 0.5, np.round(values * 8) / 8, values)
    # A zero is positive here, whatever it is the sum of.
    values = np.float32(np.clip(values, -golden.largest, golden.largest)) + np.float32(0)
    values[:, 0] = golden.largest
    codes, scales = golden.quantize(values)
    assert (golden.scales.decode(scales, golden.layout.scale.bits) == 1).all()
    assert (codes == values.astype(kind).view(np.uint8)).all()
