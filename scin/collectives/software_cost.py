"""What the in-switch accelerator costs its hosts in register accesses: measured on RTL.

``python -m scin.collectives.software_cost`` prints it for fpga4;
``models/baselines/parameters.py`` keeps the sum, which ``scin compare`` counts beside the
software of its baselines.
"""

from __future__ import annotations

from dataclasses import dataclass

from hw.spec.config import Config, load
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from scin.collectives.programs import build
from scin.host.driver import Driver
from scin.host.simulator import Simulator


@dataclass(frozen=True)
class SoftwareCost:
    """Cycles of the system's clock, of one host."""

    instruction: int
    """To write an instruction and submit it."""
    arrival: int
    poll: int
    """To find the flag set; it is seen half a poll late on average, which is in here."""

    @property
    def total(self) -> int:
        return self.instruction + self.arrival + self.poll

    def microseconds(self, config: Config) -> float:
        return self.total / config.isa.clock_MHz


def measure(config: Config, *, size: int = 4096) -> SoftwareCost:
    """One All-Reduce of ``size`` bytes, register access by register access. It is the second of
    two, since at the first one the host asks for the state of the barrier."""
    (instruction,) = build(config, "allreduce", size, DataType.FP16, ReduceOp.SUM).instructions
    with Simulator(config) as simulator:
        driver = Driver(simulator, config)
        driver.configure()
        driver.open_whole_memory()
        for _ in range(2):
            marks = [simulator.cycle]
            driver.submit(instruction)
            marks.append(simulator.cycle)
            for endpoint in range(config.system.endpoints):
                driver.arrive(endpoint, instruction.sync_id)
                marks.append(simulator.cycle)
            driver.wait_completion()
            for endpoint in range(config.system.endpoints):
                driver.wait_flag(endpoint)
            begun = simulator.cycle
            driver.read_endpoint(0, "SYNC_STATE")
            poll = simulator.cycle - begun
    return SoftwareCost(marks[1] - marks[0], marks[2] - marks[1], poll + -(-poll // 2))


def main() -> None:
    config = load("fpga4")
    cost = measure(config)
    print(
        f"{config.name}: instruction {cost.instruction} cycles, arrival {cost.arrival}, poll "
        f"{cost.poll}: {cost.total} cycles, {cost.microseconds(config):.3f} us"
    )


if __name__ == "__main__":
    main()
