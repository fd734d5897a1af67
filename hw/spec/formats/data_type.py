"""Codes of the number formats, as instructions carry them."""

from hw.spec.enums import IntEnum


class DataType(IntEnum, shape=4):
    FP16 = 0
    BF16 = 1
    INT8 = 2
    MXINT8 = 3
    MXFP8 = 4
    MXFP4 = 5
    NVFP4 = 6
