"""How much quantization in the network costs: numerics of the switch against those of two
shots and of a ring."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from hw.spec.config import load
from hw.spec.formats.block import BlockFormat
from hw.spec.formats.data_type import DataType
from hw.spec.formats.element import IntegerElement
from hw.spec.formats.scale import FP16_SCALE
from models.accuracy.quantized_allreduce import around_ring, error, in_switch, in_two_shots
from models.accuracy.sentences import SENTENCES
from models.accuracy.transformer import Encoder
from models.formats.block import Elements, GoldenBlockFormat
from models.formats.codecs import FP16_SCALES
from models.formats.registry import golden_format

Algorithm = Callable[[GoldenBlockFormat, list[np.ndarray]], np.ndarray]

QUANTIZED_ALGORITHMS: dict[str, Algorithm] = {
    "scin-inq": in_switch,
    "two-shot-quantized": in_two_shots,
    "ring-quantized": around_ring,
}
INTEGERS = {"int8": 8, "int4": 4}
"""Bits of the formats that are studied with blocks of any size."""
NVFP4_UP = "nvfp4-up"
"""NVFP4 with scales that are rounded up, as the other formats' are, instead of to nearest."""
FORMATS = (*INTEGERS, "mxint8", "mxfp8", "mxfp4", "nvfp4", NVFP4_UP)
BLOCKS = (32, 64, 128, 256, 512)
RANKS = (2, 4, 8, 16, 32, 72)
MODEL_RANKS = 8


def integer_format(bits: int, block: int) -> GoldenBlockFormat:
    """INT8's rules at any width and block; the hardware builds some of these."""
    layout = BlockFormat(
        code=DataType.INT8,
        element=IntegerElement(bits=bits),
        scale=FP16_SCALE,
        block=block,
        source="the INT8 format with other sizes",
    )
    largest = (1 << (bits - 1)) - 1
    elements = Elements(magnitudes=np.arange(float(largest + 1)), twos_complement=True)
    return GoldenBlockFormat(layout, elements, FP16_SCALES)


@dataclass(frozen=True)
class Study:
    """A format, as it is called, with its block."""

    format: str
    golden: GoldenBlockFormat

    @property
    def bits(self) -> int:
        """Of an element."""
        return self.golden.layout.element.bits

    @property
    def block(self) -> int:
        """Elements that share a scale."""
        return self.golden.layout.block


def studies(formats: Sequence[str], blocks: Sequence[int]) -> list[Study]:
    """INT8 and INT4 with each of ``blocks``, the others with their own."""
    config = load("fpga4")
    found = []
    for name in formats:
        if name in INTEGERS:
            found += [Study(name, integer_format(INTEGERS[name], block)) for block in blocks]
        elif name == NVFP4_UP:
            golden = golden_format(config, DataType.NVFP4)
            rounded_up = replace(golden.scales, nearest=False)
            found.append(Study(name, replace(golden, scales=rounded_up)))
        else:
            found.append(Study(name, golden_format(config, DataType[name.upper()])))
    return found


def theory_db(ranks: int) -> float:
    """Margin of one rounding over a ring's many, for independent terms of equal size.

    Noise power is that of the block's amplitude, so it grows with the number k of terms
    added: N roundings of single terms and one of the sum make 2 N units; a ring rounds
    partial sums of 1, 2, ... N terms, N (N + 1) / 2 units.
    """
    return 10 * math.log10((ranks + 1) / 4)


def synthetic_tensors(ranks: int, seed: int) -> list[list[np.ndarray]]:
    """Activations as large models have them: heavy tails (Student's t with 3 degrees of
    freedom), and one channel in 64 that is 20 times larger in every token. 64 tokens of 1024
    channels."""
    rng = np.random.default_rng(seed)
    channel = np.where(rng.random(1024) < 1 / 64, 20.0, 1.0)
    return [[rng.standard_t(3, (64, 1024)) * channel for _ in range(ranks)]]


def normal_tensors(ranks: int, seed: int) -> list[list[np.ndarray]]:
    """Normally distributed, as much as the synthetic ones."""
    rng = np.random.default_rng(seed)
    return [[rng.standard_normal((64, 1024)) for _ in range(ranks)]]


def model_tensors(encoder: Encoder, ranks: int, tokens: int = 64) -> list[list[np.ndarray]]:
    """The partial sums of both All-Reduces of every layer, of the first ``tokens`` tokens,
    in FP16 as they are sent."""
    collected = []

    def collect(partial: list[np.ndarray]) -> np.ndarray:
        rows = [part.reshape(-1, part.shape[-1])[:tokens] for part in partial]
        collected.append([row.astype(np.float16).astype(np.float64) for row in rows])
        total: np.ndarray = np.sum(partial, axis=0)
        return total

    encoder.embed(list(SENTENCES), ranks=ranks, all_reduce=collect)
    return collected


@dataclass(frozen=True)
class Sqnr:
    data: str
    ranks: int
    format: str
    bits: int
    block: int
    algo: str
    sqnr_db: float | None
    """None where nothing is wrong, or nothing is left of the signal."""
    theory_margin_db: float
    """Of the switch over the ring."""


def sqnr_of(data: str, sets: list[list[np.ndarray]], ranks: int, study: Study) -> Iterator[Sqnr]:
    """Against the exact sums, over all tensors together."""
    exact = np.concatenate([np.sum(tensors, axis=0).ravel() for tensors in sets])
    for algo, all_reduce in QUANTIZED_ALGORITHMS.items():
        found = np.concatenate([all_reduce(study.golden, tensors).ravel() for tensors in sets])
        yield Sqnr(
            data=data,
            ranks=ranks,
            format=study.format,
            bits=study.bits,
            block=study.block,
            algo=algo,
            sqnr_db=error(exact, found).sqnr_db,
            theory_margin_db=theory_db(ranks),
        )


@dataclass(frozen=True)
class Embedding:
    ranks: int
    format: str
    bits: int
    block: int
    algo: str
    cosine_min: float
    cosine_mean: float
    rank_correlation: float
    """Spearman's, of the similarities of all pairs of sentences."""
    pairs: int


def embeddings_of(encoder: Encoder, reference: np.ndarray, study: Study) -> Iterator[Embedding]:
    """The whole model with every All-Reduce quantized, against ``reference`` without any."""
    for algo, all_reduce in QUANTIZED_ALGORITHMS.items():

        def reduce(partial: list[np.ndarray], all_reduce: Algorithm = all_reduce) -> np.ndarray:
            sent = [part.astype(np.float16).astype(np.float64) for part in partial]
            return all_reduce(study.golden, sent).astype(np.float32)

        found = encoder.embed(list(SENTENCES), ranks=MODEL_RANKS, all_reduce=reduce)
        cosine = (found * reference).sum(axis=1)
        pairs = np.array(list(combinations(range(len(found)), 2)))
        yield Embedding(
            ranks=MODEL_RANKS,
            format=study.format,
            bits=study.bits,
            block=study.block,
            algo=algo,
            cosine_min=float(cosine.min()),
            cosine_mean=float(cosine.mean()),
            rank_correlation=_rank_correlation(
                similarities(found, pairs), similarities(reference, pairs)
            ),
            pairs=len(pairs),
        )


def similarities(embeddings: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    products: np.ndarray = (embeddings[pairs[:, 0]] * embeddings[pairs[:, 1]]).sum(axis=1)
    return products


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    first_rank, second_rank = (np.argsort(np.argsort(values)) for values in (first, second))
    return float(np.corrcoef(first_rank, second_rank)[0, 1])
