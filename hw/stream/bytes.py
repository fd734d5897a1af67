"""Masks of whole bytes, as shifts of a constant: few gates, and quick to simulate."""

from amaranth import Const


def first_bytes(count, width: int):
    """``width`` bits, ones in the lowest ``count`` bytes; ``count`` below ``width`` / 8."""
    return Const((1 << width) - 1, width) >> (width - (count << 3))[: width.bit_length()]


def all_but_last_bytes(count, width: int):
    """``width`` bits, zeros in the highest ``count`` bytes."""
    return Const((1 << width) - 1, width) >> (count << 3)
