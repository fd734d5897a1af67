"""What a simulator is trained with: loads that stir every part that a command may keep busy.

The compiler lays out what runs often for speed and all else for size, so whatever is missing here
would run slower in a trained simulator than in another.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np

from hw.spec.config import AXI_BOUNDARY_BYTES, Config
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from scin.collectives.dma_plans import OPERATIONS as DMA_OPERATIONS
from scin.collectives.dma_plans import build as build_dma
from scin.collectives.dma_runner import DmaRunner
from scin.collectives.programs import build
from scin.host.driver import Driver
from scin.host.simulator import Simulator

CYCLES = 10_000
"""Of each load."""
START_CYCLES = 2000
"""Until a load has reached every part."""
DMA_BYTES = 16 << 10
RANDOM_BYTES = 1 << 20
"""Of every memory; what lies above is zero."""


def saturate(simulator: Simulator, data_type: DataType | None, cycles: int) -> None:
    """Start one All-Reduce that keeps every link busy for ``cycles``, as far as it fits into the
    memories, and let it reach every part; None: no load."""
    config = simulator.config
    driver = Driver(simulator, config)
    driver.configure()
    driver.open_whole_memory()
    if data_type is not None:
        size = 2 * (START_CYCLES + cycles) * config.fabric.flit_bytes
        room = config.flag_base // 2 // AXI_BOUNDARY_BYTES * AXI_BOUNDARY_BYTES
        program = build(
            config, "allreduce", min(size, room), data_type, ReduceOp.SUM, synchronise=False
        )
        for instruction in program.instructions:
            driver.submit(instruction)
    simulator.step(START_CYCLES)


def train(config: Config, library: Path) -> None:
    """Nothing, plain sums, each block format, and each variant of each DMA collective, in turn."""
    formats = [DataType[name.upper()] for name in config.isa.block_formats]
    for data_type in (None, DataType.FP16, DataType.BF16, *formats):
        with Simulator(config, library=library) as simulator:
            rng = np.random.default_rng(1)
            room = min(config.flag_base, RANDOM_BYTES)
            for memory in simulator.memory:
                memory[:room] = rng.integers(0, 256, room, dtype=np.uint8)
            saturate(simulator, data_type, CYCLES)
            simulator.step(CYCLES)
    with Simulator(config, library=library) as simulator:
        driver = Driver(simulator, config)
        driver.configure()
        runner = DmaRunner(config, simulator, driver)
        for operation, (_, variants) in DMA_OPERATIONS.items():
            for variant in variants:
                runner.run(build_dma(config, operation, variant, DMA_BYTES))


def main() -> None:
    """The arguments are paths: of the library, and of its pickled configuration."""
    library, description = map(Path, sys.argv[1:])
    train(pickle.loads(description.read_bytes()), library)


if __name__ == "__main__":
    main()
