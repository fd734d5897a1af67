"""How many bits a number takes."""

from amaranth.utils import ceil_log2


def index_bits(count: int) -> int:
    """Bits of an index that chooses one of ``count``; one bit where there is no choice, since a
    port without bits cannot be connected."""
    bits: int = ceil_log2(count)
    return max(1, bits)
