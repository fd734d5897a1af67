"""The link layer: what makes a link lossless. Sequence numbers, check flits, replay.

Flits are numbered from zero, in the order in which they are sent. The numbers do not travel:
after a run of flits comes a check flit with the number of the flit that comes next and a CRC
over all that was sent since the check flit before, its own fields included.
"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.lib import data, enum
from amaranth.lib.crc import Algorithm
from amaranth.lib.crc.catalog import CRC32_MEF

from hw.spec.config import Config
from hw.spec.packet import link_flit_layout

CHECKSUM: Algorithm = CRC32_MEF
"""Koopman's polynomial: any five flipped bits of up to 16,360 are found (Koopman, "32-Bit
Cyclic Redundancy Codes for Internet Applications", DSN 2002)."""

RUN_FLITS = 48
"""With its check flit a run stays below what the checksum is good for: 49 x 263 bits."""

SEQUENCE_BITS = 16
ROUND_BITS = 8
IDLE_CYCLES = 64
SILENCE_CYCLES = 4096


class Control(enum.IntEnum, shape=3):
    """What a link flit with ``credit`` set is; stands in the field ``channel``."""

    CREDITS = 0
    CHECK = 1


CHECK_DOC = {
    "crc": "of everything since the check flit before, with this field zero",
    "sequence": "number of the flit that comes next",
    "round": "how often the sender has gone back, as the receiver counts it",
    "acknowledge": "number of the next flit that this end waits for; all before have arrived",
    "wanted": "round that this end waits for: the far end goes back to `acknowledge` when it changes",
}


@dataclass(frozen=True)
class LinkParameters:
    """Sizes of a link layer; proofs use smaller ones than systems."""

    flit: data.StructLayout
    """A link flit, see :func:`hw.spec.packet.link_flit_layout`."""
    replay_flits: int
    """Flits that are kept until they are acknowledged; a power of two."""
    run_flits: int = RUN_FLITS
    """Most flits between two check flits."""
    sequence_bits: int = SEQUENCE_BITS
    round_bits: int = ROUND_BITS
    checksum: Algorithm | None = CHECKSUM
    """None: nothing is checked but numbers."""
    idle_cycles: int = IDLE_CYCLES
    """An idle link carries a check flit so often: it repeats what may have been lost."""
    silence_cycles: int = SILENCE_CYCLES
    """Without a good check flit for so long the link counts as down."""

    def __post_init__(self) -> None:
        if self.replay_flits & (self.replay_flits - 1) or self.replay_flits < 2:
            raise ValueError(
                f"replay_flits = {self.replay_flits}: must be a power of two, at least 2"
            )
        if not self.replay_flits < 1 << (self.sequence_bits - 1):
            raise ValueError(
                f"replay_flits = {self.replay_flits}: must be below "
                f"{1 << (self.sequence_bits - 1)}, half of what sequence numbers count"
            )

    @property
    def check(self) -> data.StructLayout:
        """Data of a check flit."""
        return data.StructLayout(
            {
                "crc": self.checksum.crc_width if self.checksum else 0,
                "sequence": self.sequence_bits,
                "round": self.round_bits,
                "acknowledge": self.sequence_bits,
                "wanted": self.round_bits,
            }
        )

    @property
    def held_flits(self) -> int:
        """Room of a receiver: a run that is not checked yet, and one that is being passed on."""
        return 1 << (2 * self.run_flits).bit_length()


def link_parameters(config: Config) -> LinkParameters:
    """A round trip is kept for replay, with the runs that wait for their check flits."""
    round_trip = 2 * (config.link.latency_cycles + RUN_FLITS) + 32
    return LinkParameters(link_flit_layout(config), 1 << (round_trip - 1).bit_length())
