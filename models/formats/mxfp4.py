"""Golden twin of ``hw/spec/formats/mxfp4.py``."""

from hw.spec.formats.data_type import DataType
from models.formats.codecs import E2M1, e8m0_scales

CODE = DataType.MXFP4
ELEMENTS = E2M1
SCALES = e8m0_scales(window_bits_below=18)
