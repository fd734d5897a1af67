"""Golden twin of ``hw/spec/formats/nvfp4.py``."""

from hw.spec.formats.data_type import DataType
from models.formats.codecs import E2M1, E4M3_SCALES

CODE = DataType.NVFP4
ELEMENTS = E2M1
SCALES = E4M3_SCALES
