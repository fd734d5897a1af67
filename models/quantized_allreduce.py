"""All-Reduce of quantized tensors: in the switch, and around a ring. Numerics only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from models.formats.block import Codes, GoldenBlockFormat, Values


@dataclass(frozen=True)
class Error:
    """How far ``found`` is from ``exact``."""

    maximum: float
    rms: float
    sqnr_db: float
    """Signal to quantization noise; infinite if there is none."""


def error(exact: Values, found: Values) -> Error:
    exact, found = np.asarray(exact, np.float64), np.asarray(found, np.float64)
    noise = found - exact
    signal_power, noise_power = float(np.mean(exact**2)), float(np.mean(noise**2))
    ratio = signal_power / noise_power if noise_power else math.inf
    return Error(
        maximum=float(np.abs(noise).max()),
        rms=math.sqrt(noise_power),
        sqnr_db=10 * math.log10(ratio) if ratio > 0 else -math.inf,
    )


def tensor_exponent(golden: GoldenBlockFormat, tensors: list[Values]) -> int:
    """A power of two, common to all ranks, that tensors are divided by before quantization.

    Zero where scales reach far enough for any FP16 tensor. E4M3 scales do not: the exponent
    is the smallest with which not even the largest possible sum overflows the largest scale.
    """
    reach = golden.largest * float(golden.scales.values[-1])
    if reach >= 65504 * len(tensors):
        return 0
    highest = sum(float(np.abs(tensor).max(initial=0.0)) for tensor in tensors)
    return math.ceil(math.log2(highest / reach)) if highest > 0 and math.isfinite(highest) else 0


def to_blocks(golden: GoldenBlockFormat, tensor: Values) -> Values:
    """``tensor`` flat, filled up with zeros to whole blocks."""
    flat = np.asarray(tensor, dtype=np.float64).ravel()
    unit = golden.layout.block
    padded = np.zeros(-(-flat.size // unit) * unit)
    padded[: flat.size] = flat
    return padded.reshape(-1, golden.layout.block)


def quantize_ranks(
    golden: GoldenBlockFormat, blocks: list[Values], exponent: int
) -> tuple[Codes, Codes]:
    """Elements (ranks, blocks, block) and scales (ranks, blocks)."""
    pairs = [golden.quantize(np.ldexp(values, -exponent)) for values in blocks]
    return np.stack([elements for elements, _ in pairs]), np.stack([codes for _, codes in pairs])


def in_switch(golden: GoldenBlockFormat, tensors: list[Values]) -> Values:
    """Every rank quantizes once, the switch adds exactly and quantizes once more."""
    exponent = tensor_exponent(golden, tensors)
    blocks = [to_blocks(golden, tensor) for tensor in tensors]
    result = golden.reduce(*quantize_ranks(golden, blocks, exponent))
    total = np.ldexp(golden.dequantize(*result), exponent)
    return total.ravel()[: tensors[0].size].reshape(tensors[0].shape)


def around_ring(golden: GoldenBlockFormat, tensors: list[Values]) -> Values:
    """A ring that sends quantized partial sums: N - 1 steps of reduce-scatter, each of which
    quantizes what it passes on, and the finished sum quantized once for the all-gather.

    A receiver adds its own tensor, which it has unquantized, without rounding. Chunk c starts
    at rank c + 1 and is finished by rank c.
    """
    exponent = tensor_exponent(golden, tensors)
    ranks = len(tensors)
    blocks = [np.ldexp(to_blocks(golden, tensor), -exponent) for tensor in tensors]
    total = np.zeros_like(blocks[0])
    for chunk, part in enumerate(np.array_split(np.arange(len(total)), ranks)):
        partial = blocks[(chunk + 1) % ranks][part]
        for step in range(2, ranks + 1):
            received = golden.dequantize(*golden.quantize(partial))
            partial = received + blocks[(chunk + step) % ranks][part]
        total[part] = golden.dequantize(*golden.quantize(partial))
    total = np.ldexp(total, exponent)
    return total.ravel()[: tensors[0].size].reshape(tensors[0].shape)
