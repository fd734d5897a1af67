"""Golden twin of ``hw/spec/formats/int8.py``."""

from hw.spec.formats.data_type import DataType
from models.formats.codecs import FP16_SCALES, INT8

CODE = DataType.INT8
ELEMENTS = INT8
SCALES = FP16_SCALES
