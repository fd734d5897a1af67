"""A real transformer, tensor-parallel over four endpoints, through RTL All-Reduces.

Every attention and MLP partial sum of every layer is reduced by the simulated switch and
fed back into the next layer; each result is compared bit for bit with the golden model, and
the final embeddings with those of the unsharded model. Run it with `make example`.
"""

from __future__ import annotations

import sys

import numpy as np

from hw.spec.config import load
from hw.spec.instruction import DataType, ReduceOp
from models.sentences import SENTENCES
from models.transformer import Encoder
from scin.driver import Driver
from scin.runner import CollectiveRunner
from scin.simulator import Simulator

READ = SENTENCES[:8]
MINIMUM_COSINE = 0.9999


class RtlAllReduce:
    """Sends partial sums through the simulated switch as FP16."""

    def __init__(self, runner: CollectiveRunner) -> None:
        self.runner = runner
        self.calls = self.cycles = self.wrong = 0

    def __call__(self, partial: list[np.ndarray]) -> np.ndarray:
        inputs = [part.astype(np.float16).view(np.uint16).ravel() for part in partial]
        outcome = self.runner.run("allreduce", inputs, DataType.FP16, ReduceOp.SUM)
        measurement = outcome.measurement
        self.calls += 1
        self.cycles += measurement.cycles
        self.wrong += measurement.wrong + (measurement.status != "OK")
        print(
            f"all-reduce {self.calls:3}: {measurement.size_bytes:7} B, "
            f"{measurement.cycles:6} cycles, {measurement.busbw_GBps:6.3f} GB/s busbw, "
            f"#wrong {measurement.wrong}"
        )
        result = outcome.outputs[0].view(np.float16).reshape(partial[0].shape)
        return result.astype(np.float32)


def main() -> int:
    encoder = Encoder.load()
    config = load("fpga4")
    with Simulator(config) as simulator:
        reduce = RtlAllReduce(CollectiveRunner(config, simulator, Driver(simulator, config)))
        sharded = encoder.embed(READ, ranks=config.system.endpoints, all_reduce=reduce)
    whole = encoder.embed(READ)
    cosine = (sharded * whole).sum(axis=1)
    time = reduce.cycles / config.isa.clock_MHz
    print(
        f"\n{reduce.calls} All-Reduces, {reduce.cycles} cycles, {time:.1f} us of fabric time, "
        f"#wrong {reduce.wrong}"
    )
    print("cosine between sharded-through-RTL and unsharded embedding, per sentence:")
    for sentence, value in zip(READ, cosine, strict=True):
        print(f"  {value:.7f}  {sentence}")
    good = reduce.wrong == 0 and cosine.min() >= MINIMUM_COSINE
    print(f"smallest {cosine.min():.7f}, must be at least {MINIMUM_COSINE}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
