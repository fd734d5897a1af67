"""All-Reduce of quantized tensors: in the switch, in two shots, around a ring. Numerics only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hw.spec.formats.data_type import DataType
from models.formats.block import Codes, GoldenBlockFormat, Values
from models.formats.tensor_values import LARGEST

HEADROOM = 1.25
"""How much a quantized tensor's largest magnitude may exceed the tensor's. The nearest element
of a given scale is at most a fifth larger than the value (E2M1: 5 to 6), and never larger
than the largest element times the scale, which for NVFP4 is at most an eighth too large."""


@dataclass(frozen=True)
class Error:
    """How far a result is from the exact one, over the elements that are finite in both."""

    maximum: float | None
    """Largest magnitude; None where no element is finite."""
    rms: float | None
    sqnr_db: float | None
    """Signal to quantization noise; None where there is no noise or no signal."""
    nonfinite: int
    """Elements that are infinite or NaN, in the result or in the exact one."""


def error(exact: Values, found: Values) -> Error:
    """How far ``found`` is from ``exact``."""
    exact, found = np.asarray(exact, np.float64), np.asarray(found, np.float64)
    finite = np.isfinite(exact) & np.isfinite(found)
    nonfinite = int(finite.size - finite.sum())
    if nonfinite == finite.size:
        return Error(None, None, None, nonfinite)
    noise = found[finite] - exact[finite]
    signal_power, noise_power = float(np.mean(exact[finite] ** 2)), float(np.mean(noise**2))
    measurable = signal_power > 0 and noise_power > 0
    return Error(
        maximum=float(np.abs(noise).max()),
        rms=math.sqrt(noise_power),
        sqnr_db=10 * math.log10(signal_power / noise_power) if measurable else None,
        nonfinite=nonfinite,
    )


def exponent_within_reach(golden: GoldenBlockFormat, maximum: float, ranks: int) -> int:
    """The smallest power of two by which tensors are to be divided, so that the quantized sum
    of ``ranks`` of them is a number; ``maximum`` is the largest finite magnitude in any."""
    reach = golden.largest * float(golden.scales.values[-1])
    fraction, exponent = math.frexp(HEADROOM * ranks * (maximum / reach))
    return exponent - 1 if fraction == 0.5 else exponent


def fixed_exponent(golden: GoldenBlockFormat, tensor_type: DataType, ranks: int) -> int | None:
    """The exponent that does for every tensor of a type, where there is one; else None.

    Scales of powers of two span so much that dividing by a few more loses nothing but the
    smallest numbers of BF16. Scales that are small floating-point numbers have no binades to
    spare: the exponent must follow the tensors, and all ranks must agree on it.
    """
    exponent = max(0, exponent_within_reach(golden, LARGEST[tensor_type], ranks))
    spans_everything = golden.scales.window_bits_below is not None
    return exponent if exponent == 0 or spans_everything else None


def tensor_exponent(
    golden: GoldenBlockFormat, tensors: list[Values], tensor_type: DataType = DataType.FP16
) -> int:
    """The power of two, common to all ranks, that tensors are divided by before quantization.

    An infinity or NaN does not count: it spoils its own block, not the others' exponent.
    """
    exponent = fixed_exponent(golden, tensor_type, len(tensors))
    if exponent is not None:
        return exponent
    maximum = max(
        float(np.abs(tensor[np.isfinite(tensor)]).max(initial=0.0))
        for tensor in map(np.asarray, tensors)
    )
    return exponent_within_reach(golden, maximum, len(tensors))


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


def in_switch(
    golden: GoldenBlockFormat, tensors: list[Values], tensor_type: DataType = DataType.FP16
) -> Values:
    """Every rank quantizes once, the switch adds exactly and quantizes once more. The exact
    values of the result, not yet rounded to ``tensor_type``."""
    exponent = tensor_exponent(golden, tensors, tensor_type)
    blocks = [to_blocks(golden, tensor) for tensor in tensors]
    result = golden.reduce(*quantize_ranks(golden, blocks, exponent))
    total: Values = np.ldexp(golden.dequantize(*result), exponent)
    return total.ravel()[: tensors[0].size].reshape(tensors[0].shape)


def in_two_shots(golden: GoldenBlockFormat, tensors: list[Values]) -> Values:
    """What quantized All-Reduces on GPUs do: every rank quantizes all shards once and sends
    each to its owner, which adds them in FP32, in the order of the ranks, quantizes the sum and
    sends it to all. Two roundings whatever the number of ranks; the owner's own shard is
    quantized like the others."""
    exponent = tensor_exponent(golden, tensors)
    total = np.zeros_like(to_blocks(golden, tensors[0]), dtype=np.float32)
    for tensor in tensors:
        sent = golden.quantize(np.ldexp(to_blocks(golden, tensor), -exponent))
        total += golden.dequantize(*sent).astype(np.float32)
    result = golden.dequantize(*golden.quantize(total))
    values: Values = np.ldexp(result, exponent)
    return values.ravel()[: tensors[0].size].reshape(tensors[0].shape)


def around_ring(golden: GoldenBlockFormat, tensors: list[Values]) -> Values:
    """A ring that sends quantized partial sums: N - 1 steps of reduce-scatter, each of which
    quantizes what it passes on, and the finished sum quantized once for the all-gather.

    A receiver adds its own tensor, which it has unquantized, without rounding. Chunk c starts
    at rank c + 1 and is finished by rank c.
    """
    exponent = tensor_exponent(golden, tensors)
    ranks = len(tensors)
    blocks = [np.ldexp(to_blocks(golden, tensor), -exponent) for tensor in tensors]
    total: Values = np.zeros_like(blocks[0])
    for chunk, part in enumerate(np.array_split(np.arange(len(total)), ranks)):
        partial = blocks[(chunk + 1) % ranks][part]
        for step in range(2, ranks + 1):
            received = golden.dequantize(*golden.quantize(partial))
            partial = received + blocks[(chunk + step) % ranks][part]
        total[part] = golden.dequantize(*golden.quantize(partial))
    total = np.ldexp(total, exponent)
    return total.ravel()[: tensors[0].size].reshape(tensors[0].shape)
