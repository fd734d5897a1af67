"""Simulated cycles per second: idle, saturated with FP16, with INT8.

Every figure is of the processor time that the simulation itself takes, so that what else runs on
the machine matters little. ``--simulator`` chooses what is measured, and builds it if need be.
"""

from __future__ import annotations

import argparse
import statistics
import time

from hw.spec.config import Config, load
from hw.spec.formats.data_type import DataType
from scin.collectives.training import saturate
from scin.flow.effort import Effort
from scin.flow.verilate import simulator_library
from scin.host.simulator import Simulator

CYCLES = 50_000
RUNS = 5
LOADS = {"idle": None, "fp16": DataType.FP16, "int8": DataType.INT8}


def rates(config: Config, effort: Effort, load_type: DataType | None) -> list[float]:
    """One All-Reduce, long enough for all runs, keeps every link busy."""
    found = []
    with Simulator(config, library=simulator_library(config, effort=effort)) as simulator:
        saturate(simulator, load_type, RUNS * CYCLES)
        for _ in range(RUNS):
            start = time.process_time()
            simulator.step(CYCLES)
            found.append(CYCLES / (time.process_time() - start))
    return sorted(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="fpga4")
    parser.add_argument("--simulator", default=Effort.FAST, choices=list(Effort), type=Effort)
    options = parser.parse_args()
    config = load(options.config)
    for name, load_type in LOADS.items():
        found = rates(config, options.simulator, load_type)
        print(
            f"{name:6} {statistics.median(found):10,.0f} cycles/s "
            f"(min {found[0]:,.0f}, max {found[-1]:,.0f}, {RUNS} runs of {CYCLES} cycles)"
        )


if __name__ == "__main__":
    main()
