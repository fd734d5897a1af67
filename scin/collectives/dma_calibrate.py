"""Measure the timing model's parameters on RTL: ``python -m scin.collectives.dma_calibrate``.

Runs a few copies and all-gathers of the configuration, derives each parameter from the phases
in which it shows, prints them beside the cases they must explain, and with ``--write`` puts
them into ``configs/dma/``. Nothing is fitted over a range of sizes.
"""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass
from typing import cast

import numpy as np

from hw.spec.config import load
from models.dma.phases import Phases
from models.dma.platform import FOLDER, Platform, as_toml
from models.dma.timing import predict
from scin.collectives.dma_plans import build
from scin.collectives.dma_runner import DmaRunner
from scin.host.driver import Driver
from scin.host.simulator import Simulator
from scin.report.dma_measurement import DmaMeasurement

LARGE = 1 << 18
RELEASES = 8
"""A poll sees its release after one to several cycles; so many are averaged."""

DOORBELL_CYCLES = 2
"""A register write on the bus that the hosts share."""

CASES = (
    ("p2p", "pcpy"),
    ("p2p", "swap"),
    ("allgather", "pcpy"),
    ("allgather", "bcst"),
    ("allgather", "b2b"),
    ("allgather", "mcast"),
)
SIZES = (1, 256, 4096, 65536, 1 << 20)


@dataclass
class Calibration:
    """Runs cases on one simulation."""

    runner: DmaRunner

    def run(
        self, operation: str, variant: str, size: int, *, ahead: bool = False
    ) -> DmaMeasurement:
        plan = build(self.runner.config, operation, variant, size)
        return self.runner.run(plan, prelaunch=ahead)

    def phases(self, operation: str, variant: str, size: int, *, ahead: bool = False) -> Phases:
        """Of a run that succeeds."""
        return cast(Phases, self.run(operation, variant, size, ahead=ahead).phases)

    def platform(self) -> Platform:
        """Each parameter from the difference of two runs, in cycles, then in microseconds."""
        config = self.runner.config
        fabric = config.fabric
        cycle = 1 / config.isa.clock_MHz
        raw = fabric.flit_bytes / cycle
        empty = Platform(
            name=config.name,
            endpoints=config.system.endpoints,
            switched=True,
            bandwidth=raw,
            packet_bytes=fabric.max_payload_bytes,
            header_bytes=fabric.header_bytes,
        )
        one = self.phases("p2p", "pcpy", 1)
        chain = self.phases("allgather", "b2b", config.system.endpoints)
        large = self.phases("p2p", "pcpy", LARGE)
        per_copy = _us(chain.copy - one.copy) / (config.system.endpoints - 2)
        occupancy = per_copy - empty.wire_time(1)
        start = _us(one.copy) - per_copy
        rate = empty.wire_time(LARGE) / (_us(large.copy) - start - occupancy)
        swap_one, swap = self.phases("p2p", "swap", 1), self.phases("p2p", "swap", LARGE)
        swap_start = _us(swap_one.copy) - per_copy
        first = empty.wire_time(fabric.max_payload_bytes)
        swapping = _us(swap.copy) - swap_start - occupancy - first / rate
        swap_rate = empty.wire_time(LARGE) / swapping / rate
        # Copies that end a cycle later each: one of them just before a look of the host.
        seen = [
            _us(self.phases("p2p", "pcpy", fabric.flit_bytes * rows).sync)
            for rows in range(1, 1 + round(self.runner.host.access_cycles(config)))
        ]
        released = [
            _us(self.phases("p2p", "pcpy", 1 + n, ahead=True).schedule) for n in range(RELEASES)
        ]
        return dataclasses.replace(
            empty,
            bandwidth=raw * rate,
            host=self.runner.host.command_cycles(config) * cycle,
            doorbell=DOORBELL_CYCLES * cycle,
            fetch=_us(one.schedule),
            start=start,
            occupancy=occupancy,
            swap_start=swap_start,
            swap_rate=swap_rate,
            signal=min(seen),
            poll=self.runner.host.access_cycles(config) * cycle,
            release=float(np.mean(released)),
        )


def _us(seconds: float) -> float:
    return seconds * 1e6


def _time(item: DmaMeasurement) -> float:
    if item.time_s is None:
        raise RuntimeError(f"{item.op} {item.variant} of {item.size_bytes} B: {item.status}")
    return item.time_s


def error(platform: Platform, item: DmaMeasurement) -> float:
    """Of the model's total, relative to the measurement."""
    model = predict(
        platform, item.op, item.variant, item.size_bytes, prelaunch=item.prelaunch
    ).total
    return model / _time(item) - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="fpga4")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    config = load(options.config)
    with Simulator(config) as simulator:
        driver = Driver(simulator, config)
        driver.configure()
        calibration = Calibration(DmaRunner(config, simulator, driver))
        platform = calibration.platform()
        text = as_toml(
            platform,
            f"Measured on RTL by `python -m scin.collectives.dma_calibrate`, {config.name}.",
        )
        print(text)
        if options.write:
            (FOLDER / f"{config.name}.toml").write_text(text, encoding="utf-8")
            platform = Platform.load(config.name)
        print("operation  variant         size (B)   RTL (us)  model (us)   error")
        for operation, variant in CASES:
            for size in SIZES:
                for ahead in (False, True):
                    item = calibration.run(operation, variant, size, ahead=ahead)
                    off = error(platform, item)
                    print(
                        f"{operation:10} {variant + '_pl' * ahead:10}{item.size_bytes:14}"
                        f"{_us(_time(item)):11.3f}{_us(_time(item)) * (1 + off):12.3f}{off:8.1%}"
                    )


if __name__ == "__main__":
    main()
