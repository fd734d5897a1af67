"""The link layer: what makes a link lossless. Sequence numbers, a Hamming code that corrects one
flipped bit, a CRC that finds what is left, acknowledgement, replay.

With ``link.reliable`` every link flit crosses in a word of its own, which also says how far the
sender has come, and what its own end has received.
"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.lib import data
from amaranth.lib.crc import Algorithm
from amaranth.lib.crc.catalog import CRC32_MEF
from amaranth.utils import ceil_log2

from hw.spec.config import Config
from hw.spec.packet import link_flit_layout

CHECKSUM: Algorithm = CRC32_MEF
"""Koopman's polynomial: finds any five flipped bits of up to 16,360 (Koopman, "32-Bit Cyclic
Redundancy Codes for Internet Applications", DSN 2002), and any burst of 32."""

EPOCH_BITS = 2
LATENCY_CYCLES = 5
"""Of a link layer without correction, both its ends together."""
CORRECTION_CYCLES = 1
REPEAT_CYCLES = 64
SILENCE_CYCLES = 4096
PROCESSING_CYCLES = 16
"""Registers of both ends, there and back, and a word that is just being sent."""

WORD_DOC = {
    "check": "check bits of a Hamming code over the rest of the word",
    "crc": "of the rest of the word",
    "sequence": "number of the flit; without one, of the next",
    "replay_epoch": "replay epoch: how often the sender has gone back to replay, modulo 4",
    "acknowledge": "number of the flit that this end waits for; all before have arrived",
    "nak_epoch": "replay epoch that this end accepts; when it changes, the far end replays",
    "valid": "there is a flit",
    "flit": "link flit",
}


def check_bits(bits: int) -> int:
    """How many check bits a Hamming code over ``bits`` bits has."""
    count = 0
    while (1 << count) - 1 - count < bits:
        count += 1
    return count


def places(bits: int) -> list[int]:
    """Where each of ``bits`` bits stands in its Hamming code: the powers of two are the places of
    the check bits. A word is sound if the places of its set bits add up to zero, modulo 2 bit by
    bit; if one bit is flipped, they add up to its place (Hamming, "Error Detecting and Error
    Correcting Codes", BSTJ 1950)."""
    last = bits + check_bits(bits)
    return [place for place in range(1, last + 1) if place & (place - 1)]


def check_of(value: int, bits: int) -> int:
    """Check bits of ``value``, a word of ``bits`` bits."""
    check = 0
    for index, place in enumerate(places(bits)):
        check ^= place * (value >> index & 1)
    return check


@dataclass(frozen=True)
class LinkParameters:
    """Sizes of a link layer; proofs use smaller ones than systems."""

    flit: data.StructLayout
    """A link flit, see :func:`hw.spec.packet.link_flit_layout`."""
    replay_flits: int
    """Flits that are kept until they are acknowledged; a power of two."""
    epoch_bits: int = EPOCH_BITS
    checksum: Algorithm | None = CHECKSUM
    """None: words are not checked; for proofs of what happens when some are lost."""
    corrects: bool = True
    """One flipped bit of a word is put right."""
    repeat_cycles: int = REPEAT_CYCLES
    """Cycles after which an idle end says again what it has received, in case a word was lost."""
    silence_cycles: int = SILENCE_CYCLES
    """Without a good word for so long the link counts as down."""

    def __post_init__(self) -> None:
        if self.replay_flits & (self.replay_flits - 1) or self.replay_flits < 2:
            raise ValueError(
                f"replay_flits = {self.replay_flits}: must be a power of two, at least 2"
            )

    @property
    def sequence_bits(self) -> int:
        """Twice as many numbers as flits that may be under way."""
        return self.replay_flits.bit_length()

    @property
    def crc_bits(self) -> int:
        return self.checksum.crc_width if self.checksum else 0

    @property
    def body_bits(self) -> int:
        """What the CRC covers."""
        numbers = 2 * (self.sequence_bits + self.epoch_bits)
        flit: int = self.flit.size
        return numbers + 1 + flit

    @property
    def word(self) -> data.StructLayout:
        """What crosses the link."""
        return data.StructLayout(
            {
                "check": check_bits(self.crc_bits + self.body_bits) if self.corrects else 0,
                "crc": self.crc_bits,
                "sequence": self.sequence_bits,
                "replay_epoch": self.epoch_bits,
                "acknowledge": self.sequence_bits,
                "nak_epoch": self.epoch_bits,
                "valid": 1,
                "flit": self.flit,
            }
        )


def link_parameters(config: Config) -> LinkParameters:
    """What is under way in a round trip is kept for replay."""
    round_trip = 2 * config.link.latency_cycles + PROCESSING_CYCLES
    return LinkParameters(
        link_flit_layout(config),
        1 << ceil_log2(round_trip),
        corrects=config.link.correction,
    )


def line_count(config: Config) -> int:
    """Directions of all links between endpoints and the switch."""
    return 2 * config.system.endpoints


def added_cycles(config: Config) -> int:
    """What the link layer adds to a link's latency, one way."""
    if not config.link.reliable:
        return 0
    return LATENCY_CYCLES + CORRECTION_CYCLES * config.link.correction


def one_way_cycles(config: Config) -> int:
    """From stream to stream, the link layer included."""
    return config.link.latency_cycles + added_cycles(config)


def wire_layout(config: Config) -> data.StructLayout:
    """What a physical layer carries in one piece."""
    return link_parameters(config).word if config.link.reliable else link_flit_layout(config)
