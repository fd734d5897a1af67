"""Elements and scales as the bytes that lie in memory."""

from __future__ import annotations

import numpy as np

from hw.spec.formats.block import BlockFormat


def pack_elements(layout: BlockFormat, elements: np.ndarray) -> np.ndarray:
    """Bytes of ``elements``, any shape; of two 4-bit elements the first is the low half."""
    flat = np.ascontiguousarray(elements, dtype=np.uint8).ravel()
    if layout.element.bits == 8:
        return flat
    return flat[0::2] | flat[1::2] << np.uint8(4)


def unpack_elements(layout: BlockFormat, raw: np.ndarray) -> np.ndarray:
    """Elements of ``raw``, shape (blocks, block)."""
    raw = np.ascontiguousarray(raw, dtype=np.uint8)
    if layout.element.bits == 8:
        elements = raw
    else:
        elements = np.stack([raw & np.uint8(15), raw >> np.uint8(4)], axis=-1).ravel()
    return elements.reshape(-1, layout.block)


def scale_type(layout: BlockFormat) -> np.dtype:
    return np.dtype(np.uint16 if layout.scale_bytes == 2 else np.uint8)


def pack_scales(layout: BlockFormat, scales: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(scales, dtype=scale_type(layout)).view(np.uint8).ravel()


def unpack_scales(layout: BlockFormat, raw: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(raw, dtype=np.uint8).view(scale_type(layout))
