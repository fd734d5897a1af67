"""IEEE 754 binary16: every sum is exact before its one rounding."""

from hw.spec.formats.data_type import DataType
from hw.spec.formats.floating import FloatFormat

FORMAT = FloatFormat(code=DataType.FP16, exponent_bits=5, fraction_bits=10, aligned=False)
