"""A real transformer, tensor-parallel over four endpoints, through RTL All-Reduces.

Every attention and MLP partial sum of every layer is reduced by the simulated switch and fed
back into the next layer, first as FP16, then quantized to NVFP4, four bits an element. Each
result is compared bit for bit with the golden model, and the final embeddings with those of
the unsharded model. The golden model alone does the same for two endpoints. Run it with
`make example`.
"""

from __future__ import annotations

import sys

import numpy as np

from hw.spec.config import Config, load
from hw.spec.formats import is_block_scaled
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from models.accuracy.quantized_allreduce import in_switch
from models.accuracy.sentences import SENTENCES
from models.accuracy.transformer import AllReduce, Encoder
from models.formats.registry import golden_format
from models.formats.tensor_values import nearest_bits
from scin.collectives.runner import CollectiveRunner
from scin.collectives.tensor_runs import run_tensors
from scin.host.driver import Driver
from scin.host.simulator import Simulator

READ = SENTENCES[:8]
MINIMUM_COSINE = {DataType.FP16: 0.9999, DataType.NVFP4: 0.99}
"""Between the embeddings of the sharded and of the unsharded model."""


class RtlAllReduce:
    """Sends partial sums through the simulated switch: FP16 tensors, quantized to ``data_type``
    if that is block-scaled."""

    def __init__(self, runner: CollectiveRunner, data_type: DataType) -> None:
        self.runner = runner
        self.data_type = data_type
        self.calls = self.cycles = self.wrong = 0

    def __call__(self, partial: list[np.ndarray]) -> np.ndarray:
        inputs = [part.astype(np.float16).view(np.uint16).ravel() for part in partial]
        measurement, outputs = run_tensors(
            self.runner,
            "allreduce",
            inputs,
            self.data_type,
            ReduceOp.SUM,
            synchronise=True,
            seed=None,
        )
        self.calls += 1
        self.cycles += measurement.cycles
        self.wrong += (measurement.wrong or 0) + (measurement.status != "OK")
        print(
            f"all-reduce {self.calls:3}, {measurement.dtype}: {measurement.size_bytes:7} B, "
            f"{measurement.cycles:6} cycles, {measurement.busbw_GBps:6.3f} GB/s busbw, "
            f"#wrong {measurement.wrong}"
        )
        result = outputs[0].view(np.float16).reshape(partial[0].shape)
        return result.astype(np.float32)


def golden_all_reduce(config: Config, data_type: DataType) -> AllReduce:
    """What the switch computes, without its hardware, for any number of ranks."""
    golden = golden_format(config, data_type)

    def reduce(partial: list[np.ndarray]) -> np.ndarray:
        sent = [part.astype(np.float16).astype(np.float64) for part in partial]
        bits = nearest_bits(in_switch(golden, sent), DataType.FP16)
        return bits.view(np.float16).astype(np.float32)

    return reduce


def close(name: str, data_type: DataType, sharded: np.ndarray, whole: np.ndarray) -> bool:
    """Are the embeddings numbers, and near enough? Prints how near."""
    cosine = (sharded * whole).sum(axis=1)
    print(f"\n{name}: cosine between sharded and unsharded embedding, per sentence:")
    for sentence, value in zip(READ, cosine, strict=True):
        print(f"  {value:.7f}  {sentence}")
    least = MINIMUM_COSINE[data_type]
    print(f"smallest {cosine.min():.7f}, must be at least {least}\n")
    return bool(np.isfinite(sharded).all() and cosine.min() >= least)


def main() -> int:
    encoder = Encoder.load()
    config = load("fpga4")
    whole = encoder.embed(READ)
    good = True
    with Simulator(config) as simulator:
        runner = CollectiveRunner(config, simulator, Driver(simulator, config))
        for data_type in MINIMUM_COSINE:
            reduce = RtlAllReduce(runner, data_type)
            sharded = encoder.embed(READ, ranks=config.system.endpoints, all_reduce=reduce)
            time = reduce.cycles / config.isa.clock_MHz
            print(
                f"{reduce.calls} All-Reduces, {reduce.cycles} cycles, {time:.1f} us of fabric "
                f"time, #wrong {reduce.wrong}"
            )
            name = f"{data_type.name} through RTL, N = {config.system.endpoints}"
            good &= close(name, data_type, sharded, whole) and reduce.wrong == 0
    for data_type in filter(is_block_scaled, MINIMUM_COSINE):
        reduce_two = golden_all_reduce(config, data_type)
        sharded = encoder.embed(READ, ranks=2, all_reduce=reduce_two)
        good &= close(f"{data_type.name}, golden model, N = 2", data_type, sharded, whole)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
