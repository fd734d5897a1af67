"""NVFP4: E2M1 elements, one E4M3 scale per 16."""

from hw.spec.formats.block import BlockFormat
from hw.spec.formats.data_type import DataType
from hw.spec.formats.element import E2M1
from hw.spec.formats.scale import E4M3_SCALE

FORMAT = BlockFormat(
    code=DataType.NVFP4,
    element=E2M1,
    scale=E4M3_SCALE,
    block=16,
    source="NVIDIA, NVFP4",
)
