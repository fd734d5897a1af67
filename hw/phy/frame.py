"""What crosses a board-to-board link: frames of a fixed number of symbols."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth import Shape
from amaranth.lib import data, enum
from amaranth.lib.crc import Algorithm
from amaranth.lib.crc.catalog import CRC7_MMC

from hw.spec.config import Config
from hw.spec.link import wire_layout

BITS_PER_SYMBOL = 2
"""A lane carries one bit with each edge of the forwarded clock."""

CHECK: Algorithm = CRC7_MMC


class FrameKind(enum.IntEnum, shape=2):
    """The first symbol of lane 0, in training frames of every lane."""

    TRAINED = 0b00
    FLIT = 0b01
    IDLE = 0b10
    UNTRAINED = 0b11


@dataclass(frozen=True)
class Framing:
    """How a link flit is cut into symbols.

    A frame carries kind, flit and CRC-7 of both (``CRC-7/MMC``), then zeros; symbol *k* of lane
    *l* is bits ``2 (k lanes + l)`` and the next. Frames follow each other without a gap. A
    training frame has the same symbols on every lane: a marker of two symbols that occurs
    nowhere else in it, and alternating bits. The marker tells whether the sender's own receiver
    is trained.
    """

    config: Config
    lanes: int

    @property
    def word_bits(self) -> int:
        """Of all lanes, in one cycle."""
        return BITS_PER_SYMBOL * self.lanes

    @property
    def body_bits(self) -> int:
        return Shape.cast(FrameKind).width + wire_layout(self.config).size

    @property
    def symbols(self) -> int:
        """Cycles that a frame takes."""
        return -(-(self.body_bits + CHECK.crc_width) // self.word_bits)

    @property
    def bits(self) -> int:
        return self.symbols * self.word_bits

    @property
    def layout(self) -> data.StructLayout:
        padding = self.bits - self.body_bits - CHECK.crc_width
        return data.StructLayout(
            {
                "kind": FrameKind,
                "flit": wire_layout(self.config),
                "check": CHECK.crc_width,
                "padding": padding,
            }
        )

    def training_symbols(self, *, trained: bool) -> list[int]:
        marker = [FrameKind.TRAINED.value, FrameKind.UNTRAINED.value]
        if not trained:
            marker.reverse()
        return marker + [0b01 if k % 2 else 0b10 for k in range(self.symbols - len(marker))]

    def training_word(self, symbol: int) -> int:
        """The same symbol on every lane."""
        return sum(symbol << BITS_PER_SYMBOL * lane for lane in range(self.lanes))

    def training_frame(self, *, trained: bool) -> int:
        return sum(
            self.training_word(symbol) << self.word_bits * k
            for k, symbol in enumerate(self.training_symbols(trained=trained))
        )
