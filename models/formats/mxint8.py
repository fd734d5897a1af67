"""Golden twin of ``hw/spec/formats/mxint8.py``."""

from hw.spec.formats.data_type import DataType
from models.formats.codecs import INT8_64THS, e8m0_scales

CODE = DataType.MXINT8
ELEMENTS = INT8_64THS
SCALES = e8m0_scales(window_bits_below=30)
