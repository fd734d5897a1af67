"""The golden twin of every block-scaled format."""

from __future__ import annotations

from hw.spec.config import Config
from hw.spec.formats import block_format
from hw.spec.formats.data_type import DataType
from models.formats import int8, mxfp4, mxfp8, mxint8, nvfp4
from models.formats.block import GoldenBlockFormat

_CODECS = {module.CODE: module for module in (int8, mxint8, mxfp8, mxfp4, nvfp4)}


def golden_format(config: Config, code: DataType) -> GoldenBlockFormat:
    codec = _CODECS[code]
    return GoldenBlockFormat(block_format(config, code), codec.ELEMENTS, codec.SCALES)
