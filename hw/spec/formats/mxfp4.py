"""MXFP4: E2M1 elements, one power of two per 32."""

from hw.spec.formats.block import BlockFormat
from hw.spec.formats.data_type import DataType
from hw.spec.formats.element import E2M1
from hw.spec.formats.scale import E8M0_SCALE

FORMAT = BlockFormat(
    code=DataType.MXFP4,
    element=E2M1,
    scale=E8M0_SCALE,
    block=32,
    source="OCP Microscaling Formats (MX) Specification 1.0",
)
