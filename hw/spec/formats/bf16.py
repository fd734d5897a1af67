"""bfloat16: the upper half of binary32."""

from hw.spec.formats.data_type import DataType
from hw.spec.formats.floating import FloatFormat

FORMAT = FloatFormat(code=DataType.BF16, exponent_bits=8, fraction_bits=7, aligned=True)
