"""MXINT8: 8-bit integers in 64ths, one power of two per 32."""

from hw.spec.formats.block import BlockFormat
from hw.spec.formats.data_type import DataType
from hw.spec.formats.element import INT8_64THS
from hw.spec.formats.scale import E8M0_SCALE

FORMAT = BlockFormat(
    code=DataType.MXINT8,
    element=INT8_64THS,
    scale=E8M0_SCALE,
    block=32,
    source="OCP Microscaling Formats (MX) Specification 1.0",
)
