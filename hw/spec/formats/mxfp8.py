"""MXFP8 with E4M3 elements, one power of two per 32."""

from hw.spec.formats.block import BlockFormat
from hw.spec.formats.data_type import DataType
from hw.spec.formats.element import E4M3
from hw.spec.formats.scale import E8M0_SCALE

FORMAT = BlockFormat(
    code=DataType.MXFP8,
    element=E4M3,
    scale=E8M0_SCALE,
    block=32,
    source="OCP Microscaling Formats (MX) Specification 1.0",
)
