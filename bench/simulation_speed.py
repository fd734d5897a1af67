"""Simulated cycles per second of the fpga4 system: idle, saturated with FP16, with INT8."""

from __future__ import annotations

import statistics
import time

from hw.formats.data_type import DataType
from hw.spec.config import Config, load
from hw.spec.instruction import ReduceOp
from scin.collectives import build
from scin.driver import Driver
from scin.simulator import Simulator

CYCLES = 50_000
RUNS = 5
LOADS = {"idle": None, "fp16": DataType.FP16, "int8": DataType.INT8}
WARM_UP_CYCLES = 2000


def rates(config: Config, load_type: DataType | None) -> list[float]:
    """One All-Reduce, long enough for all runs, keeps every link busy."""
    found = []
    with Simulator(config) as simulator:
        driver = Driver(simulator, config)
        driver.configure()
        driver.open_whole_memory()
        if load_type is not None:
            size = 2 * (WARM_UP_CYCLES + RUNS * CYCLES) * config.fabric.flit_bytes
            program = build(config, "allreduce", size, load_type, ReduceOp.SUM, synchronise=False)
            for instruction in program.instructions:
                driver.submit(instruction)
        simulator.step(WARM_UP_CYCLES)
        for _ in range(RUNS):
            start = time.perf_counter()
            simulator.step(CYCLES)
            found.append(CYCLES / (time.perf_counter() - start))
    return sorted(found)


def main() -> None:
    config = load("fpga4")
    for name, load_type in LOADS.items():
        found = rates(config, load_type)
        print(
            f"{name:6} {statistics.median(found):10,.0f} cycles/s "
            f"(min {found[0]:,.0f}, max {found[-1]:,.0f}, {RUNS} runs of {CYCLES} cycles)"
        )


if __name__ == "__main__":
    main()
