"""What crosses a serial link: words of two bytes, of which some are control symbols."""

from amaranth.lib import data
from amaranth.lib.crc import Algorithm
from amaranth.lib.crc.catalog import CRC16_IBM_3740

from hw.phy.frame import FrameKind
from hw.spec.config import Config
from hw.spec.link import wire_layout

BYTE_BITS = 8
WORD_BYTES = 2
WORD_BITS = BYTE_BITS * WORD_BYTES

COMMA = 0xBC
"""K28.5 of 8b/10b: the symbol by which transceivers find where symbols begin."""

CHECK: Algorithm = CRC16_IBM_3740


class Word(data.Struct):
    """Before 8b/10b encoding; a set bit of ``control`` makes its byte a control symbol."""

    data: WORD_BITS
    control: WORD_BYTES


def header(kind: FrameKind) -> int:
    """Begins every frame: a comma, then a byte that differs in four bits from any other kind's."""
    return COMMA | (kind.value * 0b01010101) << BYTE_BITS


def body_words(config: Config) -> int:
    """Words of a link flit; in a frame the header is before them, the CRC of them behind."""
    return -(-wire_layout(config).size // WORD_BITS)


def frame_words(config: Config) -> int:
    """Of a frame with a flit; any other is its header alone."""
    return 1 + body_words(config) + 1
