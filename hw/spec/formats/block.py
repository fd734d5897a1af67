"""What the in-network quantization needs to know of a block-scaled format."""

from dataclasses import dataclass

from hw.spec.formats.data_type import DataType
from hw.spec.formats.element import IntegerElement, MinifloatElement
from hw.spec.formats.scale import MinifloatScale, PowerScale

GROUP_BYTES = 8
"""Elements of one row that always share a scale; every block holds a whole number of groups.
Narrower slices of a row are a group of their own."""

NARROW_BITS = 4
"""Elements that come two to a byte."""

WINDOW_BITS = 48
"""Fixed-point window of one operand: the whole grid of INT8 with FP16 scales."""

ALIGNED_WINDOW_BITS = 33
"""Of formats whose window follows the largest scale: products up to 2^31 below the top of it."""

NARROW_WINDOW_BITS = 22
"""Of narrow elements, whose lanes are twice as many: the whole grid of NVFP4."""

HEADROOM_BITS = 2
"""Of a window, above an element's top bit times its scale's top bit, that one included."""


def groups(slice_bytes: int) -> int:
    """Groups that are reduced side by side."""
    return max(1, slice_bytes // GROUP_BYTES)


@dataclass(frozen=True)
class BlockFormat:
    """``block`` elements and one scale: element i stands for its value times the scale.

    Elements and scales lie in separate buffers, in order; of two 4-bit elements in a byte
    the first is in the low half. Multi-byte scales are little-endian.
    """

    code: DataType
    element: IntegerElement | MinifloatElement
    scale: MinifloatScale | PowerScale
    block: int
    source: str
    """The standard or paper that defines it."""

    def __post_init__(self) -> None:
        if self.block_bytes % GROUP_BYTES or self.ratio < 8:
            raise ValueError(
                f"{self.code.name}: a block of {self.block_bytes} B with a scale of "
                f"{self.scale_bytes} B: must be a multiple of {GROUP_BYTES} B, and at least "
                "8 times its scale"
            )

    @property
    def block_bytes(self) -> int:
        return self.block * self.element.bits // 8

    @property
    def scale_bytes(self) -> int:
        return self.scale.bits // 8

    @property
    def narrow(self) -> bool:
        return self.element.bits == NARROW_BITS

    @property
    def window_bits(self) -> int:
        if self.narrow:
            return NARROW_WINDOW_BITS
        return ALIGNED_WINDOW_BITS if self.scale.aligned else WINDOW_BITS

    @property
    def farthest(self) -> int:
        """How far below the top of the window a product may begin and reach into it."""
        if self.scale.aligned:
            return self.window_bits - HEADROOM_BITS
        return self.window_bits - self.element.significand_bits - self.scale.significand_bits

    @property
    def ratio(self) -> int:
        """Bytes of elements per byte of scales."""
        return self.block_bytes // self.scale_bytes

    def block_of_group(self, group: int) -> int:
        """Which block of a row a group of ``GROUP_BYTES`` belongs to."""
        return group * GROUP_BYTES // self.block_bytes

    def first_group(self, group: int) -> int:
        """The group its block begins with."""
        return self.block_of_group(group) * (self.block_bytes // GROUP_BYTES)

    def slices_per_block(self, slice_bytes: int) -> int:
        return max(1, self.block_bytes // slice_bytes)

    def blocks_per_slice(self, slice_bytes: int) -> int:
        return max(1, slice_bytes // self.block_bytes)
