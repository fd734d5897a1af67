"""Golden twin of ``hw/spec/formats/mxfp8.py``."""

from hw.spec.formats.data_type import DataType
from models.formats.codecs import E4M3, e8m0_scales

CODE = DataType.MXFP8
ELEMENTS = E4M3
SCALES = e8m0_scales(window_bits_below=23)
