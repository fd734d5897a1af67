"""What can carry a fabric link between boards, and how fast."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from hw.phy.aurora import LANE_BITS, aurora_lanes
from hw.phy.frame import Framing
from hw.phy.serdes import serial_latency
from hw.phy.source_synchronous import frame_latency
from hw.phy.words import WORD_BITS, frame_words

AURORA_CYCLES = 70
"""Of link and physical layer of the published prototype (arXiv 2603.28239, section 3.5)."""


class LinkKind(enum.StrEnum):
    PINS = "pins"
    """Data lanes beside a forwarded clock, on ordinary pins."""
    SERDES = "serdes"
    """A serial transceiver of an ECP5."""
    AURORA = "aurora"
    """Serial transceivers behind the AMD core."""


@dataclass(frozen=True)
class LinkRate:
    """Of one direction, in cycles of the boards' clock."""

    bits_per_cycle: int
    cycles_per_flit: int
    latency_cycles: int
    """From link to link, without the cable."""


def link_rate(kind: LinkKind, framing: Framing) -> LinkRate:
    config = framing.config
    match kind:
        case LinkKind.PINS:
            return LinkRate(framing.word_bits, framing.symbols, frame_latency(framing))
        case LinkKind.SERDES:
            return LinkRate(WORD_BITS, frame_words(config), serial_latency(config))
        case LinkKind.AURORA:
            return LinkRate(aurora_lanes(config) * LANE_BITS, 1, AURORA_CYCLES)
