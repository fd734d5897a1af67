"""Golden block-scaled numbers: quantize, dequantize, and the reduction in the switch.

The rules are those of ``docs/numerics.md``. Everything is computed on the exact values, in
float64 that is never rounded: a total has at most 52 significant bits. Nothing is shared with
the hardware but the sizes of :class:`hw.spec.formats.block.BlockFormat`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw.spec.formats.block import BlockFormat
from models.formats.packing import scale_type

Codes = np.ndarray
Values = np.ndarray


@dataclass(frozen=True)
class Elements:
    """``magnitudes[c]`` is the value of the non-negative code c; ascending, so that a code is
    even where its last bit is."""

    magnitudes: Values
    twos_complement: bool
    nan: int | None = None

    def values(self, codes: Codes, bits: int) -> Values:
        """float64, NaN where the code is."""
        sign_bit = 1 << (bits - 1)
        if self.twos_complement:
            signed = codes.astype(np.int64) - ((codes & sign_bit).astype(np.int64) << 1)
            number: Values = signed * self.magnitudes[1]
            return number
        low = codes & (sign_bit - 1)
        value = self.magnitudes[np.minimum(low, len(self.magnitudes) - 1)]
        value = np.where(codes & sign_bit, -value, value)
        return value if self.nan is None else np.where(low == self.nan, np.nan, value)

    def codes(self, magnitude: Codes, negative: np.ndarray, bits: int) -> Codes:
        magnitude = magnitude.astype(np.int64)
        if self.twos_complement:
            return (np.where(negative, -magnitude, magnitude) & ((1 << bits) - 1)).astype(np.uint8)
        signed: Codes = magnitude | negative.astype(np.int64) << (bits - 1)
        return signed.astype(np.uint8)


@dataclass(frozen=True)
class Scales:
    """``values[c]`` is the value of the finite, non-negative code c, ascending."""

    values: Values
    nan: int
    signed: bool
    nearest: bool = False
    """A new scale is the nearest one; otherwise the smallest one that suffices."""
    window_bits_below: int | None = None
    """For scales that span more than one window: how far below the largest scale of the
    ranks an element is still kept; what lies lower is cut off towards zero."""

    def decode(self, codes: Codes, bits: int) -> Values:
        """float64, NaN where the code is no finite number."""
        sign_bit = 1 << (bits - 1) if self.signed else 0
        low = codes.astype(np.int64) & ~sign_bit
        value = self.values[np.minimum(low, len(self.values) - 1)]
        value = np.where(codes.astype(np.int64) & sign_bit, -value, value)
        return np.where(low < len(self.values), value, np.nan)


@dataclass(frozen=True)
class GoldenBlockFormat:
    layout: BlockFormat
    elements: Elements
    scales: Scales

    @property
    def largest(self) -> float:
        """Largest element."""
        return float(self.elements.magnitudes[-1])

    def quantize(self, values: Values) -> tuple[Codes, Codes]:
        """Elements (blocks, block) and scales (blocks) of ``values`` (blocks, block).

        A block with an infinity or NaN among its values becomes a block that is no number.
        """
        values = np.asarray(values, dtype=np.float64)
        bad = ~np.isfinite(values).all(axis=1)
        return self._encode(np.where(bad[:, np.newaxis], 0.0, values), bad)

    def dequantize(self, elements: Codes, scales: Codes) -> Values:
        """The exact values, as float64."""
        scale = self.scales.decode(scales, self.layout.scale.bits)
        values = self.elements.values(elements, self.layout.element.bits)
        result: Values = values * scale[..., np.newaxis]
        return result

    def reduce(self, elements: Codes, scales: Codes) -> tuple[Codes, Codes]:
        """What the switch must produce of ``elements`` (ranks, blocks, block) and ``scales``
        (ranks, blocks), bit for bit: the exact sum, quantized once."""
        values = self.elements.values(elements, self.layout.element.bits)
        scale = self.scales.decode(scales, self.layout.scale.bits)
        bad = np.isnan(scale).any(axis=0)
        terms = values * np.where(bad, 0.0, scale)[..., np.newaxis]
        if self.scales.window_bits_below is not None:
            # A block of zeros says nothing, whatever its scale.
            counts = (values != 0).any(axis=-1) & ~bad
            largest = np.where(counts, scale, 0.0).max(axis=0)
            largest = np.where(largest > 0, largest, 1.0)
            step = np.ldexp(largest, -self.scales.window_bits_below)[..., np.newaxis]
            terms = np.trunc(terms / step) * step
        return self._encode(terms.sum(axis=0), bad)

    def _encode(self, totals: Values, bad: np.ndarray) -> tuple[Codes, Codes]:
        """Each block's scale, then each total to the nearest element, or the outermost one."""
        magnitudes, negative = np.abs(totals), totals < 0
        missing = np.isnan(totals)
        magnitudes[missing] = 0.0
        highest = magnitudes.max(axis=1)
        code = np.where(bad, 0, self._scale_code(highest))
        scale = self.scales.values[code][:, np.newaxis]
        nearest = self._nearest(magnitudes, np.where(scale == 0, 1.0, scale))
        element = self.elements.codes(nearest, negative, self.layout.element.bits)
        if self.elements.nan is not None:
            element = np.where(missing, self.elements.nan, element)
        element = np.where(bad[:, np.newaxis], 0, element).astype(np.uint8)
        code = np.where(bad, self.scales.nan, code)
        return element, code.astype(scale_type(self.layout))

    def _scale_code(self, highest: Values) -> Codes:
        """Of finite largest magnitudes: a finite code, and not that of zero unless they are."""
        reached = self.largest * self.scales.values
        if self.scales.nearest:
            middles = (reached[1:] + reached[:-1]) / 2
            code = np.searchsorted(middles, highest, side="left")
            at_middle = middles[np.minimum(code, len(middles) - 1)] == highest
            code = code + (at_middle & (code & 1 == 1))
            above_zero: Codes = np.maximum(code, highest > 0)
            return above_zero
        code = np.searchsorted(reached, highest, side="left")
        return np.minimum(code, len(reached) - 1)

    def _nearest(self, magnitudes: Values, scale: Values) -> Codes:
        """Index of the element nearest to magnitude / scale; of two the even one."""
        table = self.elements.magnitudes
        step = table[1]
        middles = (table[1:] + table[:-1]) / step
        # How often half a step goes into the magnitude, and whether something is left: exact,
        # since a remainder always is, and with it the division.
        half = scale * step / 2
        rest = np.fmod(magnitudes, half)
        halves = (magnitudes - rest) / half
        below = np.searchsorted(middles, halves, side="left")
        at_middle = middles[np.minimum(below, len(middles) - 1)] == halves
        nearest: Codes = below + (at_middle & ((rest > 0) | (below & 1 == 1)))
        return nearest
