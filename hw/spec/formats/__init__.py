"""Number formats. Each file here describes one; the datapaths take them all.

``FORMATS`` are the floating-point formats that ordinary reductions understand,
:func:`block_formats` the block-scaled ones of in-network quantization.
"""

from hw.spec.config import Config
from hw.spec.formats import bf16, fp16, mxfp4, mxfp8, mxint8, nvfp4
from hw.spec.formats.block import BlockFormat
from hw.spec.formats.data_type import DataType
from hw.spec.formats.floating import FloatFormat
from hw.spec.formats.int8 import int8_format

FORMATS: dict[int, FloatFormat] = {entry.code.value: entry for entry in (fp16.FORMAT, bf16.FORMAT)}


def known_block_formats(config: Config) -> dict[str, BlockFormat]:
    """Every block-scaled format by the name that configurations and command lines use."""
    known = (
        int8_format(config.isa.int8_block),
        mxint8.FORMAT,
        mxfp8.FORMAT,
        mxfp4.FORMAT,
        nvfp4.FORMAT,
    )
    return {entry.code.name.lower(): entry for entry in known}


def block_formats(config: Config) -> tuple[BlockFormat, ...]:
    """The block-scaled formats that this system is built for, in the order of their codes."""
    known = known_block_formats(config)
    return tuple(entry for name, entry in known.items() if name in config.isa.block_formats)


def block_format(config: Config, code: DataType) -> BlockFormat:
    return known_block_formats(config)[DataType(code).name.lower()]


def is_block_scaled(code: DataType) -> bool:
    return code not in FORMATS


def element_bits(config: Config, code: DataType) -> int:
    if not is_block_scaled(code):
        return 1 + FORMATS[code].exponent_bits + FORMATS[code].fraction_bits
    return block_format(config, code).element.bits
