"""MXFP4: E2M1 elements, one power of two per 32."""

from hw.formats.block import BlockFormat
from hw.formats.data_type import DataType
from hw.formats.element import E2M1
from hw.formats.scale import E8M0_SCALE

FORMAT = BlockFormat(
    code=DataType.MXFP4,
    element=E2M1,
    scale=E8M0_SCALE,
    block=32,
    source="OCP Microscaling Formats (MX) Specification 1.0",
)
