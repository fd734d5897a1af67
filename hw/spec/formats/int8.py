"""INT8 with one FP16 scale per block, whose length is configurable."""

from hw.spec.formats.block import BlockFormat
from hw.spec.formats.data_type import DataType
from hw.spec.formats.element import INT8
from hw.spec.formats.scale import FP16_SCALE


def int8_format(block: int) -> BlockFormat:
    return BlockFormat(
        code=DataType.INT8,
        element=INT8,
        scale=FP16_SCALE,
        block=block,
        source="SCIN, symmetric INT8 with an FP16 scale per block",
    )
