"""Simulated cycles per second of the fpga4 system, idle and saturated."""

from __future__ import annotations

import statistics
import time

from hw.spec.config import load
from hw.spec.instruction import DataType, ReduceOp
from scin.collectives import build
from scin.driver import Driver
from scin.simulator import Simulator

CYCLES = 50_000
RUNS = 5


def rate(simulator: Simulator) -> float:
    start = time.perf_counter()
    simulator.step(CYCLES)
    return CYCLES / (time.perf_counter() - start)


def main() -> None:
    config = load("fpga4")
    with Simulator(config) as simulator:
        driver = Driver(simulator, config)
        driver.configure()
        driver.open_whole_memory()
        for name in ("idle", "saturated"):
            if name == "saturated":
                program = build(
                    config, "allreduce", 64 << 20, DataType.FP16, ReduceOp.SUM, synchronise=False
                )
                driver.submit(program.instructions[0])
                simulator.step(2000)
            rates = sorted(rate(simulator) for _ in range(RUNS))
            print(
                f"{name:10} {statistics.median(rates):10,.0f} cycles/s "
                f"(min {rates[0]:,.0f}, max {rates[-1]:,.0f}, {RUNS} runs of {CYCLES} cycles)"
            )


if __name__ == "__main__":
    main()
